#!/bin/sh
# On a real Pi systemd keeps the agent running; here a loop does.
set -eu
(
    while :; do
        if [ -f /etc/cyberlab/agent.json ]; then
            python3 -m cyberlab_edge.agent --config /etc/cyberlab/agent.json || true
        fi
        sleep 1
    done
) &
exec /usr/local/bin/engine "$@"
