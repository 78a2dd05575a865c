# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.change import after_add, after_promotion, after_removal


@pytest.mark.parametrize(
    "change, words, keeps, left, alone",
    [
        # Of three with one dead: the dead one may go, a healthy one may not.
        (after_removal(3, 2, False, "m3"), "removing m3 leaves 2 of 2, quorum 2", True, "2 of 2", False),
        (after_removal(3, 2, True, "etcd-2"), "removing etcd-2 leaves 1 of 2, quorum 2", False, "1 of 2", False),
        (after_removal(3, 3, True), "removing a voter leaves 2 of 2, quorum 2", True, "2 of 2", False),
        # A replacement is added after the dead one is removed, since four need three.
        (after_add(3, 2, "m4"), "adding m4 leaves 2 of 4, quorum 3", False, "2 of 4", False),
        (after_add(2, 2, "m4"), "adding m4 leaves 2 of 3, quorum 2", True, "2 of 3", False),
        (after_add(3, 3, "m4"), "adding m4 leaves 3 of 4, quorum 3", True, "3 of 4", False),
        (after_add(1, 1, "m2"), "adding m2 leaves 1 of 2, quorum 2", False, "1 of 2", False),
        # A learner that has proven itself is no risk, also beside a single voter.
        (after_promotion(1, 1, True, "m2"), "promoting m2 leaves 2 of 2, quorum 2", True, "2 of 2", False),
        (after_promotion(1, 1, False, "m2"), "promoting m2 leaves 1 of 2, quorum 2", False, "1 of 2", False),
        (after_promotion(3, 2, True), "promoting a learner leaves 3 of 4, quorum 3", True, "3 of 4", False),
        # A cluster of one has a quorum, and nothing to spare ever.
        (after_removal(2, 2, True, "m2"), "removing m2 leaves 1 of 1, quorum 1", True, "1 of 1", True),
        (after_removal(1, 1, True, "m1"), "removing m1 leaves 0 of 0, quorum 0", False, "0 of 0", False),
        (after_removal(5, 3, False), "removing a voter leaves 3 of 4, quorum 3", True, "3 of 4", False),
        (after_removal(5, 3, True), "removing a voter leaves 2 of 4, quorum 3", False, "2 of 4", False),
    ],
)
def test_what_a_change_leaves_by_its_worst_end(change, words, keeps, left, alone):
    voters, healthy = change.before
    assert change.words.endswith(f", {healthy} healthy, quorum {change.before.size}: {words}")
    assert change.words.startswith(f"{voters} voter")
    assert (change.keeps_quorum, change.left, change.ends_redundancy) == (keeps, left, alone)


def test_its_words_begin_as_the_operator_counts():
    told = after_removal(3, 2, True, "etcd-2").words
    assert told == "3 voters, 2 healthy, quorum 2: removing etcd-2 leaves 1 of 2, quorum 2"
    assert after_add(1, 1).words.startswith("1 voter, 1 healthy, quorum 1: ")


@pytest.mark.parametrize("voters, healthy, removed_is_healthy", [(0, 0, False), (3, 0, True), (2, 2, False)])
def test_what_cannot_be(voters, healthy, removed_is_healthy):
    with pytest.raises(ValueError):
        after_removal(voters, healthy, removed_is_healthy)
