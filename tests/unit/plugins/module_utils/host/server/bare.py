# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host without etcd for the tests, and an etcd that judges a configuration file as the real one does."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile

import yaml
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.wanted import server_of

TYPES = {
    "name": "string", "wal-dir": "string", "data-dir": "string", "max-txn-ops": "uint", "log-level": "string",
    "corrupt-check-time": "time.Duration", "snapshot-count": "uint64", "client-cert-auth": "bool", "cert-file": "string",
    "cipher-suites": "[]string", "feature-gates": "string",
}  # fmt: skip
WRONG = {"string": (dict, list), "uint": (str, dict, list), "uint64": (str, dict, list), "bool": (str, dict, list)}


def params(**changed):
    """What the module is given for a host that is to become a member."""
    return {
        "name": "m1",
        "peer_urls": ["http://10.0.0.1:2380"],
        "client_urls": ["http://10.0.0.1:2379"],
        "listen_peer_urls": [],
        "listen_client_urls": [],
        "data_dir": "/var/lib/etcd/data",
        "wal_dir": "",
        "user": "etcd",
        "bin_dir": "/usr/local/bin",
        "config_file": "/etc/etcd/etcd.yml",
        "service_name": "etcd",
        "tls": {},
        "settings": {},
        **changed,
    }


def server(**changed):
    return server_of(params(**changed))


class Etcd:
    """Runs what the host would: etcd of ``version``, and systemctl, which says yes. ``asked`` has every command."""

    def __init__(self, version="3.6.16", types=None):
        self.version, self.types, self.asked = version, {**TYPES, **(types or {})}, []

    def __call__(self, argv, env):
        self.asked.append(list(argv))
        if not argv[0].endswith("/etcd"):
            return Result(0, "", "")
        if argv[1] == "--version":
            return Result(0, f"etcd Version: {self.version}\n", "")
        with open(argv[1].partition("=")[2]) as stream:
            return Result(1, "", self._judged(yaml.safe_load(stream.read())))

    def _judged(self, given, within="configYAML.Config"):
        """The first value that does not fit, in the order of the keys."""
        for key, value in sorted(given.items()):
            if key.lower().endswith("-transport-security"):
                said = self._judged(value, f"securityConfig.{key.lower()}")
                if said:
                    return said
                continue
            kind = self.types.get(key.lower())
            wrong = WRONG.get(kind, (str, dict, list) if kind == "time.Duration" else (dict,))
            if kind and isinstance(value, wrong):
                return f'{{"error":"json: cannot unmarshal object into Go struct field {within}.{key.lower()} of type {kind}"}}\n'
        return ""


def release(*names, folder="etcd-v3.6.16-linux-amd64/", more=()):
    """A release archive with these programs, and its SHA-256; ``more`` are (entry, content)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for entry, content in [
            *((tarfile.TarInfo(folder + name), b"\x7fELF" + name.encode()) for name in names),
            *more,
        ]:
            entry.size = len(content) if entry.isreg() else 0
            archive.addfile(entry, io.BytesIO(content))
    raw = buffer.getvalue()
    return raw, hashlib.sha256(raw).hexdigest()


def everything(root):
    """Every path below a folder, with what it is."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, root)] = _content(path)
    return found


def _content(path):
    if os.path.islink(path):
        return os.readlink(path)
    if not os.path.isfile(path):
        return None
    with open(path, "rb") as stream:
        return stream.read()
