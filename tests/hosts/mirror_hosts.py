# SPDX-License-Identifier: GPL-3.0-or-later
"""Several clusters on hosts of one network, which one inventory reaches: a source, and its mirrors.

With grpcio on each host, as the distribution has it; or on none, for those that get it as wheels.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any, Mapping

sys.path.append(str(Path(__file__).resolve().parents[2] / "lab"))
from client import dump
from etcd_binaries import locked
from hosts import READY_SECONDS, Hosts, Member
from images import CHECKOUT, image, image_with_grpcio

WHEELS = CHECKOUT / ".cache" / "wheels"
WANTED = ("grpcio==", "typing_extensions==")
DOWNLOAD_SECONDS = 300
DEFAULT = MappingProxyType({"etcd": 3, "etcd_mirror": 1})


class MirrorHosts(Hosts):
    """`clusters`: how many members each group of the inventory has. `members` are the first group's."""

    def __init__(
        self, folder: str | Path, clusters: Mapping[str, int] = DEFAULT, line: str = "3.6", **more: Any
    ) -> None:
        counts = list(clusters.values())
        super().__init__(folder, line=line, members=counts[0], spares=sum(counts[1:]), **more)
        self._counts: dict[str, int] = self._settings.setdefault("clusters", dict(clusters))

    @property
    def clusters(self) -> dict[str, list[Member]]:
        found, left = {}, self.all
        for name, count in self._counts.items():
            found[name], left = left[:count], left[count:]
        return found

    @property
    def packaged(self) -> bool:
        """Upstream's etcd of each line: Debian's is that of Debian alone, and these are all of one Debian."""
        return False

    def cluster(self, name: str) -> list[Member]:
        return self.clusters[name]

    def _clusters(self) -> dict[str, list[Member]]:
        return self.clusters

    def _image(self) -> str:
        return image_with_grpcio(self._settings["line"])

    def _initially(self, member: Member) -> list[Member]:
        return next(members for members in self.clusters.values() if member in members)

    def _starts(self, member: Member) -> bool:
        return True

    def _enable_auth(self, founders: Any) -> None:
        super()._enable_auth([members[0] for members in self.clusters.values()])

    def wait_ready(self, timeout: float = READY_SECONDS, members: Any = ()) -> Hosts:
        return super().wait_ready(timeout, members or self.all)

    def contents(self, member: Member) -> dict[bytes, bytes]:
        """Keys and values as this member has them; without those that mirrors keep for themselves."""
        found = dump(self.client(member), serializable=False)
        return {key: entry.value for key, entry in found.items() if b"quorum.etcd/mirror/" not in key}

    @staticmethod
    def differing(expected: Mapping[bytes, bytes], found: Mapping[bytes, bytes]) -> list[str]:
        keys = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
        return [f"{key!r}: {expected.get(key)!r} is {found.get(key)!r}" for key in keys]


class WithoutGrpcio(MirrorHosts):
    """As MirrorHosts, but that no Python of a host has grpcio."""

    def _image(self) -> str:
        return image(self._settings["line"])


def wheels_of_grpcio(python: str) -> list[str]:
    """Wheels on this machine, of the versions of these tests, for hosts like it with this Python, such as 3.13."""
    pinned = [line for line in (CHECKOUT / "requirements.txt").read_text().split() if line.startswith(WANTED)]
    folder = WHEELS / "-".join([python, *pinned]).replace("==", "-")
    WHEELS.mkdir(parents=True, exist_ok=True)
    with locked(WHEELS / ".lock"):
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=WHEELS, prefix=".making-") as temp:
                argv = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
                argv += ["--python-version", python, "--dest", f"{temp}/made", *pinned]
                subprocess.run(argv, check=True, timeout=DOWNLOAD_SECONDS, stdout=subprocess.DEVNULL)
                Path(temp, "made").rename(folder)
    return sorted(map(str, folder.glob("*.whl")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=["up", "down", "logs"])
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("--clusters", type=json.loads, default=DEFAULT, metavar="JSON")
    parser.add_argument("--line", default="3.6")
    parser.add_argument("--config", choices=["env", "yaml", "flags"])
    given = parser.parse_args()
    hosts = MirrorHosts(given.dir, given.clusters, line=given.line, config=given.config, tls=True, auth=True)
    if given.action == "up":
        print(hosts.up().keep().inventory)
    elif given.action == "logs":
        hosts.logs(CHECKOUT / ".cache" / "logs" / given.dir.name)
    else:
        hosts.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
