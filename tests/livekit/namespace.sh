#!/usr/bin/env bash
# namespace.sh COMMAND…: runs it where no address but 127.0.0.0/8 exists, and ends whatever it leaves running.
set -euo pipefail
rights=()
((EUID == 0)) || rights=(--map-root-user)
# WebRTC offers no address of a loopback device, so 127.0.0.2 sits on a bridge without ports: what is sent there
# goes nowhere else. The shell stays as process 1: when it ends, the kernel kills all that is left in the namespace.
exec unshare "${rights[@]}" --net --pid --fork --kill-child --mount-proc bash -c '
    ip link set lo up
    ip link add lkt0 type bridge
    ip addr add 127.0.0.2/8 dev lkt0
    ip link set lkt0 addrgenmode none
    ip link set lkt0 up
    "$@"' namespace "$@"
