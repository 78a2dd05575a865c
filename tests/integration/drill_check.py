# SPDX-License-Identifier: GPL-3.0-or-later
"""A site's check of what a drill has restored, which also looks whether anybody else can reach it. Standard library only."""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys

NOBODY = 65534


def as_nobody(work):
    """Whether the work fails for another user of this host, for want of permission."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        work()
    except PermissionError:
        os._exit(0)
    os._exit(1)


def connect(path):
    socket.socket(socket.AF_UNIX).connect(path)


def listening_ports(pid):
    """The TCP sockets that the process listens at."""
    links = [os.readlink(f"/proc/{pid}/fd/{name}") for name in os.listdir(f"/proc/{pid}/fd")]
    own = {link[8:-1] for link in links if link.startswith("socket:[")}
    lines = [
        line.split()
        for name in ("tcp", "tcp6")
        for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return [line[1] for line in lines if line[3] == "0A" and line[9] in own]


def main():
    endpoint, folder = os.environ["ETCDCTL_ENDPOINTS"], os.environ["QUORUM_ETCD_DRILL"]
    way = endpoint[len("unix://") :]
    assert os.path.realpath(os.path.dirname(way)) == folder and os.stat(folder).st_mode & 0o777 == 0o700
    connect(way)
    # Others come as far as the drill's own folder, or this would show nothing.
    above = pathlib.Path(folder).parent.parent
    assert all(one.stat().st_mode & 0o5 == 0o5 for one in (above, *above.parents)), above
    assert as_nobody(lambda: connect(way)) and as_nobody(lambda: connect(f"{folder}/client:1"))
    assert as_nobody(lambda: os.listdir(folder)) and as_nobody(lambda: connect(f"{folder}/peer:1"))

    mark = f"QUORUM_ETCD_DRILL={folder}".encode()
    pids = [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
    ours = []
    for pid in pids:
        try:
            if mark in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                ours.append((pid, os.path.basename(os.readlink(f"/proc/{pid}/exe"))))
        except OSError:
            continue
    (etcd,) = [pid for pid, name in ours if name == "etcd"]
    assert listening_ports(etcd) == [], listening_ports(etcd)
    assert pathlib.Path(f"/proc/{etcd}/stat").read_text().rpartition(")")[2].split()[16] == "19"
    assert re.search(r"Max data size +1073741824 ", pathlib.Path(f"/proc/{etcd}/limits").read_text())
    assert len(os.sched_getaffinity(0)) == 1 and os.sched_getaffinity(int(etcd)) == os.sched_getaffinity(0)
    assert pathlib.Path(f"/proc/{etcd}/oom_score_adj").read_text().strip() == "1000"

    asked = ["etcdctl", "get", "", "--prefix", "--keys-only", "--limit=1", "-w", "json"]
    count = json.loads(subprocess.run(asked, stdout=subprocess.PIPE, check=True).stdout)["count"]
    print(f"{count} keys, and nobody else sees them")


if __name__ == "__main__":
    sys.exit(main())
