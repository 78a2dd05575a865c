# SPDX-License-Identifier: GPL-3.0-or-later
"""Labs as a client over gRPC meets them: plain, or with mutual TLS and users."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Unavailable
from conftest import CHECKOUT
from lab import Lab, Member

sys.path.insert(0, str(CHECKOUT / "tests" / "hosts"))
from pki import Authority  # noqa: E402

PASSWORD = "geheim"
READY = 30  # seconds until a cluster has a leader


def connection(lab: Lab, **settings: Any) -> Connection:
    return Connection(**{"endpoints": lab.endpoints, **settings})


class Guarded:
    """A cluster with mutual TLS and users: root, and others as they are added. ``settings`` are lines of each member's YAML."""

    def __init__(self, folder: Path, settings: str = "", **lab: Any) -> None:
        self.folder, self.authority = folder, Authority(folder / "pki")
        self.lab = Lab(folder / "lab", **lab).write()
        self._settings = settings
        for member in self.lab.members:
            self._secure(member)

    def _secure(self, member: Member) -> None:
        certificate, key = self.authority.member(member.name, [])
        (member.dir / "member.crt").write_bytes(certificate)
        (member.dir / "member.key").write_bytes(key)
        paths = {
            "cert-file": member.dir / "member.crt",
            "key-file": member.dir / "member.key",
            "trusted-ca-file": self.folder / "pki" / "ca.crt",
        }
        text = member.config_file.read_text().replace(member.client_url, secure(member))
        lines = "".join(f'  {name}: "{path}"\n' for name, path in paths.items())
        tls = f"client-transport-security:\n{lines}  client-cert-auth: true\n"
        member.config_file.write_text(text + tls + self._settings)

    def up(self) -> Guarded:
        for member in self.lab.members:
            self.lab.start(member)
        until = time.monotonic() + READY
        with Client(self.connection()) as client:
            while True:
                try:
                    client.page(b"ready")
                    return self
                except Unavailable:
                    assert time.monotonic() < until, self.lab.logs()

    def connection(self, user: str = "", **settings: Any) -> Connection:
        pki = self.folder / "pki"
        given = {
            "endpoints": [secure(member) for member in self.lab.members],
            "cacert": str(pki / "ca.crt"),
            "cert": str(pki / "client.crt"),
            "key": str(pki / "client.key"),
            "user": user,
            "password": PASSWORD if user else "",
        }
        return Connection(**{**given, **settings})

    def etcdctl(self, *words: str, user: str = "") -> str:
        to = self.connection(user)
        argv = [str(self.lab.bin_dir / "etcdctl"), *to.flags(), *words]
        env = {**os.environ, **to.env()}
        return subprocess.run(argv, env=env, check=True, capture_output=True, text=True, timeout=60).stdout

    def turn_on_users(self) -> None:
        self.etcdctl("user", "add", f"root:{PASSWORD}")
        self.etcdctl("user", "grant-role", "root", "root")
        self.etcdctl("auth", "enable")

    def add_user(self, name: str, *grants: str) -> None:
        """A user with a role of its name; each grant is ``read PREFIX`` or the like."""
        for words in (("user", "add", f"{name}:{PASSWORD}"), ("role", "add", name), ("user", "grant-role", name, name)):
            self.etcdctl(*words, user="root")
        for grant in grants:
            kind, prefix = grant.split(" ", 1)
            self.etcdctl("role", "grant-permission", "--prefix=true", name, kind, prefix, user="root")


def secure(member: Member) -> str:
    return member.client_url.replace("http:", "https:")
