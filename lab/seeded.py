# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab of one member begins with a snapshot of another one, as mirror_seed.yml lets a mirror begin: for tests and benchmarks."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from lab import Lab, LabError

SECONDS = 300


def begin_with_snapshot(source: Lab, destination: Lab, folder: Path) -> dict[str, Any]:
    """What the settings of an engine know of it, as ``seed``. Nobody writes to the source meanwhile."""
    before, snapshot, member = source.members[0].client.status(), folder / "snapshot.db", destination.members[0]
    _run(source, "etcdctl", "--endpoints", source.endpoints[0], "snapshot", "save", str(snapshot))
    destination.stop(member)
    shutil.rmtree(member.data_dir)
    tool = "etcdutl" if (destination.bin_dir / "etcdutl").exists() else "etcdctl"
    _run(
        destination,
        *(tool, "snapshot", "restore", str(snapshot), f"--name={member.name}", f"--data-dir={member.data_dir}"),
        *(f"--initial-cluster={member.name}={member.peer_url}", f"--initial-advertise-peer-urls={member.peer_url}"),
        "--initial-cluster-token=seeded",
    )
    destination.start(member)
    destination.wait_ready()
    return {
        "source": f"{before.cluster_id:x}",
        "destination": f"{member.client.status().cluster_id:x}",
        "revision": before.revision,
        "restored_to": before.revision,
    }


def _run(lab: Lab, tool: str, *arguments: str) -> None:
    argv = [str(lab.bin_dir / tool), *arguments]
    done = subprocess.run(argv, capture_output=True, text=True, env={"ETCDCTL_API": "3"}, timeout=SECONDS, check=False)
    if done.returncode:
        raise LabError(f"{tool} {arguments[0]} failed: {done.stderr}")
