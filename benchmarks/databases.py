# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a wanted size, made once by a real member and kept in .cache/benchmarks.

A member that starts reads every key and every value, and that takes a processor: with values of 5,000 bytes, as large
Kubernetes objects have them, 4 GB are 650,000 keys.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from lab import Lab, Member

CHECKOUT = Path(__file__).resolve().parents[1]

CACHE = CHECKOUT / ".cache" / "benchmarks"
LINE = "3.6"
VALUE = 5000  # bytes
SHARE = 0.81  # of the values in the database, as seen: the rest is keys, revisions and half-filled pages
WRITERS = 4
REQUEST = 500_000  # bytes of values in a transaction
QUOTA = 8 << 30
SETTINGS = {"quota-backend-bytes": QUOTA}  # of every member that is to hold such a database


class Database(NamedTuple):
    path: Path
    keys: int
    size: int  # bytes

    @property
    def manifest(self) -> Path:
        return Path(f"{self.path}.json")


class DatabaseError(Exception):
    """It could not be made; the text says why."""


def database(gigabytes: float, value: int = VALUE) -> Database:
    """The snapshot of about this size with values of so many bytes, made first where it is not there."""
    keys = int(gigabytes * 1e9 * SHARE / value)
    path = CACHE / f"{keys}-keys-of-{value}.db"
    if not path.exists():
        _make(path, keys, value)
    return Database(path, keys, path.stat().st_size)


def _make(path: Path, keys: int, value: int) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    folder = CACHE / f"making-{keys}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        lab = Seeding(folder, members=1, line=LINE)
        with lab:
            _seed(lab.members[0], keys, value)
            given = ("-e", f"etcd_backup_dir={folder}/made", "-e", "etcd_backup_compress=none")
            playbook(CHECKOUT / "playbooks" / "backup.yml", "-i", lab.inventory, *given)
        made = next((folder / "made").glob("*.db"))
        Path(f"{made}.json").rename(f"{path}.json")
        made.rename(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class Seeding(Lab):
    """A member that needs not survive a power cut, and keeps little of what it was sent in memory."""

    def config_text(self, member: Member) -> str:
        quick = {"unsafe-no-fsync": "true", "snapshot-count": "500", "snapshot-catchup-entries": "100"}
        quick |= {"quota-backend-bytes": str(QUOTA)}
        lines = super().config_text(member).splitlines()
        kept = [line for line in lines if line.partition(":")[0] not in quick]
        return "\n".join([*kept, *(f"{name}: {value}" for name, value in quick.items())]) + "\n"


def _seed(member: Member, keys: int, value: int) -> None:
    """Text that compresses to half, as base64 of certificates and secrets would."""
    size = max(1, REQUEST // value)

    def write(part: int) -> None:
        for first in range(part * size, keys, WRITERS * size):
            member.client.put_many(
                (b"registry/objects/%08d" % number, os.urandom(value // 2).hex().encode())
                for number in range(first, min(first + size, keys))
            )

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))


def playbook(path: Path, *arguments: str | Path, **env: str) -> str:
    """Run ansible-playbook with the checkout's ansible.cfg; returns its output, DatabaseError where it fails."""
    argv = [str(Path(sys.executable).parent / "ansible-playbook"), str(path), *map(str, arguments)]
    done = subprocess.run(argv, cwd=CHECKOUT, env={**os.environ, **env}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DatabaseError(f"{' '.join(argv)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout
