#!/bin/sh
# Starts dockerd with the cage's flags. Settings come in the environment:
#   LAB_DNS       resolver of the containers inside (Docker's own 127.0.0.11 is dropped by an inner engine)
#   LAB_ALLOW     what the containers inside may reach, as address:port, space separated; everything else is refused
#   LAB_REGISTRY  host:port of the lab's registry, trusted by /certs/ca.crt
#   LAB_BUILDS    control group in which builds run; all builds together have at most 600 processes
#   LAB_WARDEN    limits for the authorization plugin; empty: none runs (a Pi, which listens on its own socket only)
#   LAB_INTAKE    a Pi's host:port on its own bridge where containers leave their points; empty: there is none
#   LAB_LISTEN    host:port to listen on with mTLS; empty: only the unix socket
set -eu

# cgroup v1 shows each controller as a read-only mount of its own; v2 shows one.
for folder in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if mountpoint -q "$folder"; then mount -o remount,bind,rw "$folder"; fi
done

# On cgroup v2 a group with processes may not pass controllers on: move ourselves into a leaf first.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p /sys/fs/cgroup/init
    while read -r pid; do echo "$pid" > /sys/fs/cgroup/init/cgroup.procs || true; done < /sys/fs/cgroup/cgroup.procs
    sed -e 's/ / +/g' -e 's/^/+/' /sys/fs/cgroup/cgroup.controllers > /sys/fs/cgroup/cgroup.subtree_control
fi

if [ -n "${LAB_BUILDS:-}" ]; then
    folder=/sys/fs/cgroup/pids
    [ -d "$folder" ] || folder=/sys/fs/cgroup
    mkdir -p "$folder/$LAB_BUILDS"
    echo 600 > "$folder/$LAB_BUILDS/pids.max"
fi

# Containers inside reach what LAB_ALLOW lists and nothing else: not this engine, not its neighbours, no resolver. Docker asks
# the chain DOCKER-USER before its own rules, and keeps one that is there already.
iptables -w -N LAB-OUT 2>/dev/null || iptables -w -F LAB-OUT
iptables -w -N DOCKER-USER 2>/dev/null || iptables -w -F DOCKER-USER
iptables -w -A LAB-OUT -m conntrack --ctstate ESTABLISHED,RELATED -j RETURN
for place in $LAB_ALLOW; do
    iptables -w -A LAB-OUT -o eth0 -p tcp -d "${place%:*}" --dport "${place##*:}" -j RETURN
done
iptables -w -A LAB-OUT -i eth0 -j RETURN
iptables -w -A LAB-OUT -o eth0 -j REJECT
iptables -w -A DOCKER-USER -j LAB-OUT
iptables -w -A DOCKER-USER -j RETURN
iptables -w -F INPUT
iptables -w -A INPUT -i lo -j ACCEPT
if [ -n "${LAB_INTAKE:-}" ]; then
    bridge="${LAB_INTAKE%:*}"
    iptables -w -A INPUT -i eth0 -d "$bridge" -j REJECT
    iptables -w -A INPUT -i docker0 -p tcp -d "$bridge" --dport "${LAB_INTAKE##*:}" -j ACCEPT
    set -- --bip "$bridge/16" "$@"
fi
iptables -w -A INPUT -i eth0 -j ACCEPT
iptables -w -A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
iptables -w -A INPUT -j REJECT

# The swarm's own records lie on another disk than images and containers: a manager that cannot write them, because
# somebody's build filled the disk, dies and stays dead.
if [ -d /var/lib/swarm ]; then
    first="$(sed -n 's/^dockremap:\([0-9]*\):.*/\1/p' /etc/subuid)"
    records="/var/lib/docker/$first.$first/swarm"
    install -d -m 710 -g "$first" "${records%/swarm}"
    mkdir -p -m 700 "$records"
    if [ ! -d /var/lib/swarm/records ]; then
        rm -rf /var/lib/swarm/partial
        cp -a "$records" /var/lib/swarm/partial
        mv /var/lib/swarm/partial /var/lib/swarm/records
    fi
    mount --bind /var/lib/swarm/records "$records"
fi

mkdir -p "/etc/docker/certs.d/$LAB_REGISTRY"
cp /certs/ca.crt "/etc/docker/certs.d/$LAB_REGISTRY/ca.crt"

set -- --userns-remap=default --no-new-privileges --icc=false --log-level=warn "$@"
set -- "$@" --add-runtime caged=/usr/local/bin/caged-runc --default-runtime caged
for resolver in $LAB_DNS; do set -- "$@" --dns "$resolver"; done
set -- "$@" -H unix:///var/run/docker.sock

# The warden is asked before each request. Without it the engine refuses everything; it is started anew whenever it ends.
if [ -n "${LAB_WARDEN:-}" ]; then
    while :; do
        PYTHONPATH=/usr/local/lib/cyberlab python3 -m warden || true
        sleep 0.2
    done &
    tries=100
    until [ -S /run/docker/plugins/warden.sock ]; do
        tries=$((tries - 1))
        if [ "$tries" = 0 ]; then echo "the warden does not start" >&2; exit 1; fi
        sleep 0.1
    done
    set -- "$@" --authorization-plugin=warden
fi
if [ -n "${LAB_LISTEN:-}" ]; then
    if [ -z "${LAB_WARDEN:-}" ]; then echo "an engine that listens needs a warden: set LAB_WARDEN" >&2; exit 1; fi
    set -- "$@" -H "tcp://$LAB_LISTEN" --tlsverify \
        --tlscacert /certs/ca.crt --tlscert /certs/engine.crt --tlskey /certs/engine.key
fi
exec dockerd "$@"
