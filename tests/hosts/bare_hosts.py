# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts with systemd and SSH that have no etcd, with Debian's packages of it where apt finds them: no mirror is asked."""

from __future__ import annotations

import hashlib
import subprocess
import time
from pathlib import Path

from etcd_binaries import locked, unpacked
from hosts import Hosts, Member
from images import CACHE, SUITES, base_image, image_tag, put_upon

REPOSITORY = "srv/packages"
# The last three are what Ansible wants on a host that it installs packages on.
PACKAGES = ("etcd-server", "etcd-client", "python3-apt", "python-apt-common", "distro-info-data")
# Debian's etcd goes, with its user, its unit and its data. What apt knows is the folder alone.
BARE = f"""\
set -eu
dpkg --purge etcd-server etcd-client 2>/dev/null
rm -rf /var/lib/etcd /etc/default/etcd
! getent passwd etcd >/dev/null || userdel etcd
! getent group etcd >/dev/null || groupdel etcd
rm -rf /etc/apt/sources.list.d/*
echo 'deb [trusted=yes] file:/{REPOSITORY} ./' >/etc/apt/sources.list
"""


def bare_image(distribution: str) -> str:
    """The image without etcd; its packages lie in a folder that apt reads."""
    base = base_image(distribution)
    packages = sorted(packages_of(SUITES[distribution]).glob("*.deb"))
    index = "\n".join(map(_entry, packages))
    files = [(f"{REPOSITORY}/Packages", index, 0o644)]
    files += [(f"{REPOSITORY}/{path.name}", path, 0o644) for path in packages]
    return put_upon(base, image_tag(f"bare-{distribution}", base, BARE, index), BARE, files)


def packages_of(suite: str) -> Path:
    """A folder with Debian's packages of etcd of this suite, downloaded once."""
    folder = CACHE / f"packages-{suite}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / f".packages-{suite}.lock"):
        if not folder.exists():
            with unpacked(PACKAGES, CACHE, suite) as root:
                (root.parent / "packages").rename(folder)
    return folder


def _entry(package: Path) -> str:
    """A package as an index of apt has it."""
    raw = package.read_bytes()
    fields = subprocess.run(["dpkg-deb", "--field", str(package)], capture_output=True, text=True, check=True).stdout
    return f"{fields}Filename: ./{package.name}\nSize: {len(raw)}\nSHA256: {hashlib.sha256(raw).hexdigest()}\n"


class BareHosts(Hosts):
    """Hosts that have nothing yet; what they are to become, the test says."""

    def __init__(self, folder: str | Path, distribution: str, tls: bool = False, members: int = 3) -> None:
        super().__init__(folder, line="3.6", distribution=distribution, members=members, tls=tls)

    @property
    def members(self) -> list[Member]:
        return [
            member._replace(data_dir="/var/lib/etcd/data", config_file="/etc/etcd/etcd.yml")
            for member in super().members
        ]

    def _image(self) -> str:
        return bare_image(self._settings["distribution"])

    def _make_hosts(self, chosen: str) -> None:
        """No certificates either: the play brings them."""
        self.on_each(lambda member: self._make_host(member, chosen, self._ssh_files(member)))

    def _install(self, member: Member) -> None:
        """Nothing: that is what is tested."""

    def wait_ready(self, timeout: float = 60) -> BareHosts:
        for member in self.members:
            self.wait_reachable(member, timeout)
        return self

    def serve(self) -> bool:
        """Whether every member answers a linearizable read."""
        return all(map(self._serves, self.members))

    def wait_serving(self, timeout: float = 60) -> None:
        until = time.monotonic() + timeout
        while not self.serve():
            assert time.monotonic() < until, f"not all of {[member.host for member in self.members]} serve"
            time.sleep(0.2)

    def says(self, member: Member, script: str) -> str:
        """What a script of the shell prints on the host, whatever its exit code."""
        return self.run(member, ["sh", "-c", f"{{ {script}; }} 2>&1 || :"])

    def gateway(self) -> str:
        """The controller's address, as these hosts see it."""
        return self.says(self.members[0], "ip -4 route show default").split()[2]
