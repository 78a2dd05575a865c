# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the engine's host reaches the two clusters of a mirror."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.sides import Told, reached

FILES = {"cacert": "/pki/ca.crt", "cert": "/pki/m.crt", "key": "/pki/m.key"}
TEXTS = {"cacert": "CA", "cert": "CERT", "key": "KEY"}
M1 = Told("m1", True, ["https://a:2379"], "3.6.16", FILES, {}, "root", "geheim")
M2 = replace(M1, host="m2", endpoints=["https://b:2379", "https://a:2379"], texts=TEXTS)


def test_a_host_of_the_cluster_uses_its_own_files():
    side = reached("destination", "dr", [M1, M2], "m2", {})
    assert (side.endpoints, side.paths, side.texts) == (["https://a:2379", "https://b:2379"], FILES, {})
    assert (side.user, side.password, side.versions) == ("root", "geheim", ["3.6.16"])


def test_another_host_is_brought_them_of_the_one_that_was_read():
    side = reached("source", "etcd", [M1, M2], "other", {})
    assert (side.paths, side.texts) == ({}, TEXTS)


def test_files_of_a_member_that_is_down_are_not_taken_where_another_runs():
    down = replace(M1, running=False, paths={name: f"/old{path}" for name, path in FILES.items()})
    assert reached("source", "etcd", [down, M2], "m1", {}).texts == TEXTS
    assert reached("source", "etcd", [down], "m1", {}).paths == down.paths, "none runs: it may yet"


def test_what_the_operator_says_goes_first():
    given = {"endpoints": ["https://lb:2379"], "cacert": "/ca", "user": "mirror", "password": "own"}
    side = reached("source", "etcd", [M1], "other", given)
    assert (side.endpoints, side.paths, side.texts) == (["https://lb:2379"], {"cacert": "/ca"}, {})
    assert (side.user, side.password) == ("mirror", "own")
    assert reached("source", "etcd", [M1], "m1", {"user": "mirror"}).password == "", "another user's is not tried"


def test_a_cluster_without_certificates_needs_none():
    plain = Told("m1", True, ["http://a:2379"], "", dict.fromkeys(FILES, ""))
    side = reached("source", "etcd", [plain], "other", {})
    assert (side.paths, side.texts, side.user, side.versions) == ({}, {}, "", [])


def test_what_cannot_be_found_is_refused():
    with pytest.raises(EtcdError, match="no member of the source was seen on the hosts of the group etcd") as refused:
        reached("source", "etcd", [], "m1", {})
    assert "-e target=GROUP" in refused.value.next_step
    with pytest.raises(EtcdError, match="could not be read on m1, of the group dr") as refused:
        reached("destination", "dr", [M1], "other", {})
    assert "etcd_mirror_destination_cacert" in refused.value.next_step
