# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent as one file: a zip of Python's own kind, made of the very files that the modules travel with.

The same files make the same bytes, on every machine. In it, the folder ``quorum_etcd`` is this collection's ``plugins``.
"""

from __future__ import annotations

import json
from pathlib import Path

from ..module_utils.agent.compiled import zipped

PLUGINS = Path(__file__).resolve().parents[1]
ROOMS = ("agent", "backup", "core", "etcd", "host", "mirror", "snapshot")
DOORS = ("__init__.py", "agent.py", "local.py")
_MAIN = """\
import sys

if sys.version_info < (3, 8):
    sys.exit("quorum-etcd needs Python 3.8 or later, and this is " + sys.version.split()[0])

from quorum_etcd.plugin_utils.agent import main

main("@VERSION@")
"""


def build(version: str = "", plugins: Path = PLUGINS) -> bytes:
    """The zip, without the line that names an interpreter. ``version`` is the collection's where it is not given."""
    files = {"__main__.py": _MAIN.replace("@VERSION@", version or collection_version(plugins.parent)).encode()}
    files["quorum_etcd/__init__.py"] = files["quorum_etcd/module_utils/__init__.py"] = b""
    for room in ROOMS:
        for path in (plugins / "module_utils" / room).rglob("*.py"):
            files[f"quorum_etcd/{path.relative_to(plugins).as_posix()}"] = path.read_bytes()
    for name in DOORS:
        files[f"quorum_etcd/plugin_utils/{name}"] = (plugins / "plugin_utils" / name).read_bytes()
    return zipped(files)


def collection_version(root: Path) -> str:
    """Of a checkout by its ``galaxy.yml``, of an installed collection by its ``MANIFEST.json``."""
    manifest = root / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    lines = (root / "galaxy.yml").read_text(encoding="utf-8").splitlines()
    return next(line.split()[1] for line in lines if line.startswith("version:"))
