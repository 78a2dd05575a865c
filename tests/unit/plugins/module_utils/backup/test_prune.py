# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Removing old snapshots with all that lies beside them, on a real folder; what a killed removal has left goes with the next."""

from __future__ import annotations

import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.prune import Counted, names, prune, prune_recorded
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import FAILED, PRUNED, PRUNES
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import REMOVE, Policy
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import manifest_path
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.names import beside
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.save import default_name
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW, put

ETCD = Counted("etcd", "aa", Policy(last=1))


def saved(folder, age, cluster="etcd", cluster_id="aa", name=""):
    """A snapshot with everything beside it, as a run has saved it ``age`` seconds ago; its path."""
    own = name or default_name(cluster, NOW - age, 44)
    told = {"cluster": cluster, "cluster_id": cluster_id, "revision": 44}
    path = put(folder, own, taken_at=rfc3339(NOW - age), age=age, **told)
    for other in beside(str(path))[1:]:
        with open(other, "w") as file:
            file.write("beside")
    return path


def there(folder):
    return {path.name for path in folder.iterdir()}


def test_a_snapshot_goes_with_all_that_lies_beside_it(tmp_path):
    saved(tmp_path, 60)
    kept = there(tmp_path)
    old = saved(tmp_path, 3600)
    assert names(prune(str(tmp_path), ETCD, NOW, pretend=True), REMOVE) == (old.name,) and old.exists()
    assert names(prune(str(tmp_path), ETCD, NOW), REMOVE) == (old.name,)
    assert there(tmp_path) == kept


def test_what_a_killed_removal_has_left_goes_with_the_next(tmp_path):
    saved(tmp_path, 60)
    kept = there(tmp_path)
    for age, gone in ((3600, 1), (7200, 2), (10800, 3)):
        old = str(saved(tmp_path, age))
        for path in [old, *reversed(beside(old))][:gone]:
            os.unlink(path)
    assert len(there(tmp_path)) > len(kept) + 5
    prune(str(tmp_path), ETCD, NOW, pretend=True)
    assert len(there(tmp_path)) > len(kept) + 5
    prune(str(tmp_path), ETCD, NOW)
    assert there(tmp_path) == kept


def test_what_may_still_be_of_use_stays(tmp_path):
    """A manifest counts for a snapshot that was compressed, and nobody knows whose another one is."""
    saved(tmp_path, 60)
    packed = saved(tmp_path, 3600)
    packed.rename(f"{packed}.gz")
    others = [saved(tmp_path, 3600, cluster="shop"), saved(tmp_path, 3600, cluster_id="bb", name="")]
    others.append(saved(tmp_path, 3600, name="before-upgrade.db"))
    for path in others:
        path.unlink()
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "spoilt.db.json").write_text("{")
    before = there(tmp_path)
    prune(str(tmp_path), ETCD, NOW)
    assert there(tmp_path) == before


def test_each_removal_is_recorded_with_what_it_gave_free(tmp_path, monkeypatch):
    folder, state = tmp_path / "b", str(tmp_path / "state")
    folder.mkdir()
    saved(folder, 60)
    old = saved(folder, 3600)
    size = old.stat().st_size
    prune_recorded(state, str(folder), ETCD, NOW)
    (one,) = PRUNES.last(state, "etcd")
    assert (one.result, one.at, one.kept, one.removed, one.size) == (PRUNED, rfc3339(NOW), 1, (old.name,), size)

    old = saved(folder, 3600)
    unlink = os.unlink

    def stubborn(path, *more, **others):
        if str(path) == str(old):
            raise PermissionError(1, "Operation not permitted", str(path))
        unlink(path, *more, **others)

    monkeypatch.setattr(os, "unlink", stubborn)
    with pytest.raises(EtcdError, match="could not be removed: .*Operation not permitted"):
        prune_recorded(state, str(folder), ETCD, NOW)
    last = PRUNES.last(state, "etcd")[0]
    assert last.result == FAILED and "Operation not permitted" in last.cause and last.next_step
    assert os.path.exists(manifest_path(str(old))), "the snapshot goes first"
