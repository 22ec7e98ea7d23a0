#!/bin/sh
# From a machine with git, make and Python 3.11+ to one that can run `cyberlab-hub`: packages, Node's proxy, the
# Python environment. Does only what is missing; says what it does. Mirrors, proxies and certificate authorities are
# those this machine is set up with.
#
#   hub/bootstrap.sh [--tests]      --tests: also what the tests need (Chromium, skopeo)
set -eu
cd "$(dirname "$0")/.."
state="${CYBERLAB_STATE:-/var/lib/cyberlab}"

say() { printf '%s\n' "$*"; }
stop() { printf 'bootstrap: %s\n' "$*" >&2; exit 1; }

root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then sudo -E "$@"
    else stop "run this as root, or install sudo"; fi
}

# ------------------------------------------------------------ Debian packages
have_any() { for command in "$@"; do command -v "$command" >/dev/null 2>&1 && return 0; done; return 1; }
PATH="$PATH:/usr/sbin:/sbin"
missing=""
need() { package="$1"; shift; have_any "$@" || missing="$missing $package"; }
need docker.io dockerd
need iptables iptables
need mmdebstrap mmdebstrap
need ca-certificates update-ca-certificates
need e2fsprogs mkfs.ext4
need npm npm
need nodejs node
need curl curl
if [ "${1:-}" = --tests ]; then
    need chromium chromium
    need skopeo skopeo
    need mosquitto mosquitto
    need mosquitto-clients mosquitto_pub
    [ -d /usr/share/fonts/truetype/dejavu ] || missing="$missing fonts-dejavu-core"
fi

python=""
for candidate in python3 python3.13 python3.12 python3.11; do
    if command -v "$candidate" >/dev/null 2>&1 &&
        "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null; then
        python="$candidate"
        break
    fi
done
[ -n "$python" ] || stop "Python 3.11, 3.12 or 3.13 is needed; install one and run this again"
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"

if [ -n "$missing" ]; then
    [ -f /etc/debian_version ] || stop "this is not Debian; install by hand:$missing"
    say "installing packages:$missing"
    log="$(mktemp)"
    { root apt-get update -qq && root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing; } \
        >"$log" 2>&1 || { tail -20 "$log" >&2; stop "apt-get failed (whole log: $log)"; }
    rm -f "$log"
fi

# ------------------------------------------------------------ the Python environment
wanted="$(cat pyproject.toml | cksum) $("$python" --version)"
if [ "$(cat .venv/made-from 2>/dev/null)" != "$wanted" ]; then
    say "making the Python environment (.venv)"
    [ -x .venv/bin/python ] || "$python" -m venv .venv
    .venv/bin/python -m pip install --quiet --upgrade uv
    # uv does not read pip's configuration: hand over an index set there
    index="$(.venv/bin/python -m pip config get global.index-url 2>/dev/null || true)"
    [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    .venv/bin/uv pip install --quiet --python .venv/bin/python --editable '.[hub,notebook,edge,test]'
    printf '%s\n' "$wanted" > .venv/made-from
fi

# ------------------------------------------------------------ the hub's proxy
if [ ! -x "$state/node/node_modules/.bin/configurable-http-proxy" ]; then
    say "installing configurable-http-proxy"
    root mkdir -p "$state/node"
    root npm install --silent --no-fund --no-audit --prefix "$state/node" 'configurable-http-proxy@^5'
fi
