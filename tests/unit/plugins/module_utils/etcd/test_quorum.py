# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.quorum import (
    Quorum,
    has_quorum,
    may_fail,
    quorum_size,
    sentence,
)


@pytest.mark.parametrize("voters, size", [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)])
def test_a_quorum_is_more_than_half(voters, size):
    assert quorum_size(voters) == size


@pytest.mark.parametrize(
    "voters, healthy, held, spare",
    [
        (1, 1, True, 0),
        (2, 2, True, 0),
        (2, 1, False, 0),
        (3, 3, True, 1),
        (3, 2, True, 0),
        (3, 1, False, 0),
        (4, 3, True, 0),
        (4, 2, False, 0),
        (5, 5, True, 2),
        (0, 0, False, 0),
    ],
)
def test_how_many_may_fail(voters, healthy, held, spare):
    assert (has_quorum(voters, healthy), may_fail(voters, healthy)) == (held, spare)
    assert (Quorum(voters, healthy).held, Quorum(voters, healthy).may_fail) == (held, spare)


@pytest.mark.parametrize(
    "voters, healthy, words",
    [
        (3, 3, "3 of 3 voters are up, 2 are needed: 1 more may fail."),
        (3, 2, "2 of 3 voters are up, 2 are needed: no further member may fail."),
        (3, 1, "1 of 3 voters is up, 2 are needed: there is no quorum, so nothing can be written."),
        (1, 1, "1 of 1 voter is up, 1 is needed: no further member may fail."),
        (0, 0, "The cluster has no voters that are known."),
    ],
)
def test_the_sentence(voters, healthy, words):
    assert sentence(voters, healthy) == words == Quorum(voters, healthy).sentence


def test_more_healthy_voters_than_voters_is_a_mistake_in_the_code():
    with pytest.raises(ValueError):
        has_quorum(3, 4)
