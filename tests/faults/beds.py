# SPDX-License-Identifier: GPL-3.0-or-later
"""The two beds that faults are tried in, as they see them: members on loopback, and hosts over SSH."""

from __future__ import annotations

import re
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator

from client import Client
from hosts import Hosts
from hosts import Member as HostsMember
from lab import Lab
from lab import Member as LabMember

SERVE_SECONDS = 60.0


class LabBed:
    """Members on loopback: the modules run on the controller's side, and die with it where a fault wants that."""

    def __init__(self, lab: Lab) -> None:
        self.of = lab
        self.dir, self.inventory = lab.dir, lab.inventory
        self.tools = lab.bin_dir

    @property
    def members(self) -> list[LabMember]:
        return self.of.members

    def client(self, member: LabMember) -> Client:
        return member.client

    def state(self, member: LabMember) -> Path:
        return member.dir / "state"

    def data(self, member: LabMember) -> Path:
        return member.data_dir

    def configuration(self, member: LabMember) -> str:
        return member.config_file.read_text()

    def pid(self, member: LabMember) -> str:
        return str(member.pid())

    @contextmanager
    def refuses(self, member: LabMember) -> Iterator[None]:
        """The member starts with the token that it has now, and with no other: what a restore has made does not come up."""
        script = member.dir / "etcd.sh"
        good = script.read_text()
        guard = f"grep -qF '{_token(self.configuration(member))}' \"$here/{member.config_file.name}\" || exit 1"
        script.write_text(good.replace("start() {", f"start() {{\n    {guard}", 1))
        yield
        script.write_text(good)

    def wait_ready(self) -> None:
        self.of.wait_ready(SERVE_SECONDS)


class HostsBed:
    """Hosts with systemd, over SSH. What lies on a host is read through the root of its first process."""

    def __init__(self, hosts: Hosts, tools: Path) -> None:
        self.of = hosts
        self.dir, self.inventory, self.tools = hosts.dir, hosts.inventory, tools
        self._roots: dict[str, Path] = {}

    @property
    def members(self) -> list[HostsMember]:
        return self.of.members

    def client(self, member: HostsMember) -> Client:
        return self.of.client(member)

    def root(self, member: HostsMember) -> Path:
        known = self._roots.get(member.host)
        if known is None or not known.exists():
            argv = ["docker", "inspect", "--format", "{{.State.Pid}}", member.container]
            pid = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
            known = self._roots[member.host] = Path(f"/proc/{pid}/root")
        return known

    def state(self, member: HostsMember) -> Path:
        return self.root(member) / "var/lib/quorum-etcd"

    def data(self, member: HostsMember) -> Path:
        return self.root(member) / member.data_dir[1:]

    def configuration(self, member: HostsMember) -> str:
        return (self.root(member) / member.config_file[1:]).read_text()

    def pid(self, member: HostsMember) -> str:
        return self.of.run(member, ["systemctl", "show", "--property=MainPID", "--value", "etcd"]).strip()

    @contextmanager
    def refuses(self, member: HostsMember) -> Iterator[None]:
        """The member starts with the token that it has now, and with no other: what a restore has made does not come up."""
        folder = "/etc/systemd/system/etcd.service.d"
        check = f"ExecStartPre=/bin/grep -qF '{_token(self.configuration(member))}' {member.config_file}"
        self.of.run(
            member, ["sh", "-c", f'mkdir -p {folder}; printf "[Service]\\n%s\\n" "{check}" >{folder}/refuses.conf']
        )
        self.of.run(member, ["systemctl", "daemon-reload"])
        yield
        self.of.run(member, ["rm", f"{folder}/refuses.conf"])
        self.of.run(member, ["systemctl", "daemon-reload"])

    def wait_ready(self) -> None:
        self.of.wait_ready(SERVE_SECONDS)


def _token(configuration: str) -> str:
    found = re.search(r"cluster[-_]token\W+([\w.-]+)", configuration, re.IGNORECASE)
    assert found, configuration
    return found.group(1)


Bed = Any  # LabBed or HostsBed
