# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What etcd's database says of itself, without any of etcd's tools."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import bolt, database
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import LINES, content

TOLD = {
    # line: revision, compacted, consistent index, term, cluster version, storage version, members, removed
    "3.4": (32, 0, 39, 0, "3.4.0", "", ["m1", "m2", "m0"], 1),
    "3.5": (32, 0, 44, 2, "3.5.0", "", ["lrn", "m1", "m2", "m0"], 0),
    "3.6": (44, 0, 54, 2, "3.6.0", "3.6.0", ["m0"], 0),
    "3.7": (1033, 1032, 11, 2, "3.7.0", "3.7.0", ["m1", "m0", "m2"], 0),
}


@pytest.fixture(params=LINES)
def real(request, tmp_path):
    path = tmp_path / (request.param + ".db")
    path.write_bytes(content(request.param))
    return path


def test_it_is_described_without_any_tool(real):
    told = database.describe(str(real))
    fields = ("revision", "compact_revision", "consistent_index", "term", "cluster_version", "storage_version")
    names = [member.name for member in told.members]
    assert (*(getattr(told, field) for field in fields), names, told.removed_members) == TOLD[real.stem]


def test_a_learner_is_told_from_a_voter(tmp_path):
    (tmp_path / "s.db").write_bytes(content("3.5"))
    assert to_plain(database.describe(str(tmp_path / "s.db")).members[0]) == {
        "id": "3518ee9e00799e50",
        "name": "lrn",
        "peer_urls": ["http://127.0.0.1:28413"],
        "client_urls": ["http://127.0.0.1:28313"],
        "is_learner": True,
    }


def test_the_database_of_a_stopped_member_tells_its_revision(tmp_path):
    (tmp_path / "member" / "snap").mkdir(parents=True)
    assert database.told_by_data(str(tmp_path)) == database.told_by_data("") == database.Told(revision=0, member_ids=())
    file = tmp_path / "member" / "snap" / "db"
    file.write_bytes(content()[:-32])
    told, described = database.told_by_data(str(tmp_path)), database.describe(str(file))
    assert told.revision == described.revision > 0
    assert told.member_ids == [member.id for member in described.members] != []


def test_all_of_it_is_read_through(real):
    with bolt.Bolt(str(real)) as opened:
        expected = sum(1 for _entry in opened.items(b"key"))
    assert database.records(str(real)) == expected > 0


def test_where_its_structure_is_broken_that_is_found(real):
    """A leaf page of the keys that a restore would stumble over, and that neither the head nor the last key tells of."""
    with bolt.Bolt(str(real)) as opened:
        at, _size = opened.place(b"key", next(opened.items(b"key"))[0])
    page = at - at % 4096
    spoilt = bytearray(real.read_bytes())
    spoilt[page + 8 : page + 10] = b"\x77\x77"  # the page's flags
    real.write_bytes(spoilt)
    with pytest.raises(EtcdError, match="is a damaged bbolt file"):
        database.records(str(real))
