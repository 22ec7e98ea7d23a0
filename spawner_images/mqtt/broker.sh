#!/bin/sh
# Runs the broker, and tells it when its passwords, rights or certificate have changed.
#   broker.sh CONFIGURATION FOLDER...      FOLDER: whose files are looked at
set -eu
configuration="$1"; shift
seen() { stat -c '%n %i %Y' $(find "$@" -type f) 2>/dev/null | sort; }

mosquitto -c "$configuration" &
broker=$!
trap 'kill -TERM "$broker" 2>/dev/null' TERM INT
before="$(seen "$@")"
while kill -0 "$broker" 2>/dev/null; do
    sleep 1 & wait $! || true
    now="$(seen "$@")"
    if [ "$now" != "$before" ]; then
        before="$now"
        kill -HUP "$broker" 2>/dev/null || true
    fi
done
wait "$broker"
