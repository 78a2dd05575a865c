# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Saved snapshots as they come into a spool, one half hour after the other."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

from ansible_collections.quorum.etcd.plugins.module_utils.backup import spool
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Manifest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import write_manifest
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.save import default_name
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW, at_revision
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.test_packed import run

SCRIPT = Path(__file__).parents[5] / "docs" / "put_together.py"
HALF_HOUR = 1800.0
PAGES = 200  # that stand behind the database, and of which a few change


class Member:
    """A member whose snapshots lie in a folder; ``bytes_of`` are all that it ever had, by their names."""

    def __init__(self, folder, member_id="m1", cluster_id="c1", begin=NOW):
        self.folder, self.member_id, self.cluster_id, self.now = folder, member_id, cluster_id, begin
        self.revision, self.bytes_of, self.spool = 100, {}, str(folder / "spool")
        self._chance = random.Random(1)
        self._pages = [self._chance.getrandbits(8 * 4096).to_bytes(4096, "big") for _page in range(PAGES)]
        folder.mkdir(exist_ok=True)

    def save(self, changes=3, later=HALF_HOUR):
        """A new snapshot some seconds later, in which some pages differ; its path and its manifest."""
        self.now, self.revision = self.now + later, self.revision + 1
        for page in self._chance.sample(range(PAGES), changes):
            self._pages[page] = self._chance.getrandbits(8 * 4096).to_bytes(4096, "big")
        body = at_revision(self.revision)[:-32] + b"".join(self._pages)
        data = body + hashlib.sha256(body).digest()
        name = default_name("etcd", self.now, self.revision)
        plain = {
            "schema": 1,
            "size": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
            "revision": self.revision,
            "cluster": "etcd",
            "cluster_id": self.cluster_id,
            "member_id": self.member_id,
            "taken_at": rfc3339(self.now),
            "file": name,
        }
        (self.folder / name).write_bytes(data)
        manifest = from_plain(Manifest, plain)
        write_manifest(str(self.folder / name), manifest)
        self.bytes_of[name] = data
        return str(self.folder / name), manifest

    def put(self, **more):
        """Save and spool one; what its manifest says then."""
        return spool.put(self.spool, *self.save(**more), run)


def put_together(folder, name, to):
    """By the script of the documentation; the bytes."""
    to.unlink(missing_ok=True)
    argv = [sys.executable, str(SCRIPT), os.path.join(str(folder), f"{name}.json"), str(to)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return to.read_bytes()
