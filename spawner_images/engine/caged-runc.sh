#!/bin/sh
# The runtime of every container on this engine: runc, without raw sockets and without io_uring.
#
# The classic builder cannot drop capabilities: with NET_RAW, a build could answer ARP in the name of the bridge and read
# what other builds fetch. io_uring is in the default seccomp profile of Docker up to 24, and has been the kernel's
# widest hole since. Both are taken out of the bundle before runc reads it.
set -eu
bundle=.
create=
previous=
for word in "$@"; do
    case $previous in --bundle | -b) bundle=$word ;; esac
    case $word in
        --bundle=*) bundle=${word#*=} ;;
        create | run) create=1 ;;
    esac
    previous=$word
done
if [ -n "$create" ] && [ -f "$bundle/config.json" ]; then
    sed -i -E -e 's/"(CAP_NET_RAW|io_uring_(setup|enter|register))",//g' \
        -e 's/(,)?"(CAP_NET_RAW|io_uring_(setup|enter|register))"//g' "$bundle/config.json"
fi
exec runc "$@"
