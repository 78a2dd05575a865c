#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# The init script of one lab member: sh etcd.sh start|stop|restart|status
# It lies in the member's folder, beside etcd.conf.yml or etcd.env, and runs ../bin/etcd.
set -eu

here=$(cd "$(dirname "$0")" && pwd -P)
etcd=$(dirname "$here")/bin/etcd
STOP_SECONDS=30

# Prints the pid of this member, if it runs. A pid file may be stale and its number taken by another process:
# only an etcd of this lab that was started in this folder is ours.
running() {
    pid=$(cat "$here/etcd.pid" 2>/dev/null) || return 1
    [ -n "$pid" ] || return 1
    program=$(tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | head -n 1) || return 1
    [ "$program" = "$etcd" ] && [ "$(readlink "/proc/$pid/cwd")" = "$here" ] && echo "$pid"
}

# The last thread has ended: only then are the ports and the lock on the database free. What nobody has collected
# yet stays in /proc as a single task in state Z.
gone() {
    [ -d "/proc/$1" ] || return 0
    state=$(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null)
    case "$state" in Z | X | "") set -- "/proc/$1/task"/*; [ "$#" -le 1 ] ;; *) return 1 ;; esac
}

# Does not wait for a quorum: the other members may be started after this one.
start() {
    if pid=$(running); then
        echo "running $pid"
        return
    fi
    cd "$here"
    # etcd reads every ETCD_ variable, so none of the caller's may reach it. 3.4 wants to be asked for on arm64.
    # It writes its own pid: whoever starts it may be killed in this very moment.
    # shellcheck disable=SC2016 # the inner shell expands it
    setsid nohup env -i PATH="$PATH" ETCD_UNSUPPORTED_ARCH=arm64 sh -c '
        echo "$$" >etcd.pid
        [ ! -f etcd.env ] || { set -a; . ./etcd.env; set +a; exec "$0"; }
        exec "$0" --config-file etcd.conf.yml
    ' "$etcd" >>etcd.log 2>&1 </dev/null &
    until running >/dev/null; do
        kill -0 "$!" 2>/dev/null || { echo "did not start: see $here/etcd.log" >&2; exit 1; }
        sleep 0.02
    done
    echo "started $!"
}

stop() {
    pid=$(running) || { echo "stopped"; return; }
    kill -TERM "$pid"
    tries=$((STOP_SECONDS * 20))
    until gone "$pid"; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "still running after $STOP_SECONDS s: $pid" >&2; exit 1; }
        sleep 0.05
    done
    echo "stopped"
}

status() {
    pid=$(running) || { echo "stopped"; exit 3; }
    echo "running $pid"
}

case "${1:-}" in
    start | stop | status) "$1" ;;
    restart) stop && start ;;
    *) echo "usage: sh etcd.sh start|stop|restart|status" >&2; exit 2 ;;
esac
