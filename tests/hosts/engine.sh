#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# See to it that a Docker engine answers and that images can be made: install Debian's packages where they are missing,
# start dockerd where none runs. At once when all is there. The engine stays up; its log and pid are in .cache/docker/.
set -euo pipefail
cd "$(dirname "$0")/../.."

START_SECONDS=60
state=$PWD/.cache/docker

answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

cannot() {
    echo "engine: $1" >&2
    echo "engine: next: $2" >&2
    exit 1
}

missing_packages() {
    answers || command -v dockerd >/dev/null || echo docker.io
    answers || command -v iptables >/dev/null || echo iptables
    command -v debootstrap >/dev/null || echo debootstrap
}

install_missing() {
    local packages
    mapfile -t packages < <(missing_packages)
    [ "${#packages[@]}" -gt 0 ] || return 0
    [ "$(id -u)" = 0 ] || cannot "${packages[*]} missing, and only root can install" \
        "run this as root, or install ${packages[*]} and give yourself a Docker engine"
    command -v apt-get >/dev/null || cannot "${packages[*]} missing, and there is no apt-get here" \
        "install ${packages[*]} with this system's package manager"
    echo "engine: installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    # The lists may be old or absent; a policy that says no keeps the packages from starting services.
    apt-get update -q
    apt-get install -q -y --no-install-recommends "${packages[@]}"
}

start_dockerd() {
    [ "$(id -u)" = 0 ] || cannot "no Docker engine answers, and only root can start one" \
        "start it (systemctl start docker), or run this as root; to use it, be in the group docker"
    mkdir -p "$state"
    # Of its own session, so that it outlives the terminal and whoever asked for it.
    setsid nohup dockerd --pidfile "$state/dockerd.pid" >>"$state/dockerd.log" 2>&1 </dev/null &
    local until=$((SECONDS + START_SECONDS))
    until answers; do
        kill -0 "$!" 2>/dev/null || { tail -n 15 "$state/dockerd.log" >&2; cannot "dockerd ended" "read $state/dockerd.log"; }
        [ "$SECONDS" -lt "$until" ] || cannot "dockerd does not answer after $START_SECONDS s" "read $state/dockerd.log"
        sleep 0.2
    done
    echo "engine: dockerd started, pid $(cat "$state/dockerd.pid")"
}

# Two that start at once start one engine.
mkdir -p "$state"
exec 9>"$state/.lock"
flock 9
install_missing 9>&-
answers || start_dockerd 9>&-
