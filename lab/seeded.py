# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of one member that is restored by hand, and one that begins so as mirror_seed.yml lets a mirror begin."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from lab import Lab, LabError

SECONDS = 300


def begin_with_snapshot(source: Lab, destination: Lab, folder: Path) -> dict[str, Any]:
    """What the settings of an engine know of it, as ``seed``. Nobody writes to the source meanwhile."""
    before = source.members[0].client.status()
    restore_by_hand(destination, save(source, folder / "snapshot.db"), "seeded")
    return {
        "source": f"{before.cluster_id:x}",
        "destination": f"{destination.members[0].client.status().cluster_id:x}",
        "revision": before.revision,
        "restored_to": before.revision,
    }


def save(lab: Lab, path: Path) -> Path:
    _run(lab, "etcdctl", "--endpoints", lab.endpoints[0], "snapshot", "save", str(path))
    return path


def restore_by_hand(lab: Lab, snapshot: Path, token: str, *flags: str) -> None:
    """Its only member is killed, loses its data, and starts with those of the snapshot."""
    (member,) = lab.members
    lab.kill(member)
    shutil.rmtree(member.data_dir)
    tool = "etcdutl" if (lab.bin_dir / "etcdutl").exists() else "etcdctl"
    _run(
        lab,
        *(tool, "snapshot", "restore", str(snapshot), f"--name={member.name}", f"--data-dir={member.data_dir}", *flags),
        *(f"--initial-cluster={member.name}={member.peer_url}", f"--initial-advertise-peer-urls={member.peer_url}"),
        f"--initial-cluster-token={token}",
    )
    lab.start(member)
    lab.wait_ready()


def _run(lab: Lab, tool: str, *arguments: str) -> None:
    argv = [str(lab.bin_dir / tool), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, env={"ETCDCTL_API": "3"}, timeout=SECONDS, check=False)
    if done.returncode:
        raise LabError(f"{tool} {arguments[0]} failed: {done.stderr}")
