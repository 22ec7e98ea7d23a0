#!/bin/sh
# Runs the broker, and tells it when its passwords, rights or certificate have changed.
#   broker.sh CONFIGURATION FOLDER...      FOLDER: whose files are looked at; in the first the gateway listens
set -eu
configuration="$1"; shift
seen() { stat -c '%n %i %Y' $(find "$@" -type f) 2>/dev/null | sort; }

said="$(mktemp -d)/said"
mkfifo -m 600 "$said"
perl "$(dirname "$0")/said.pl" "$1/said" < "$said" &
ear=$!
mosquitto -c "$configuration" > "$said" 2>&1 &
broker=$!
trap 'kill -TERM "$broker" 2>/dev/null' TERM INT
before="$(seen "$@")"
while kill -0 "$broker" 2>/dev/null; do
    sleep 1 & wait $! || true
    # what it says must be heard: without that the container starts anew
    kill -0 "$ear" 2>/dev/null || kill -TERM "$broker" 2>/dev/null || true
    now="$(seen "$@")"
    if [ "$now" != "$before" ]; then
        before="$now"
        kill -HUP "$broker" 2>/dev/null || true
    fi
done
wait "$broker"
