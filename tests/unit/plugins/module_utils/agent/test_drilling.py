# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is drawn of a store whose own rules remove what is old: not what has expired, and whatever is damaged."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.drilling import Asked, picked_of
from ansible_collections.quorum.etcd.plugins.module_utils.backup.drill import Terms
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.test_shipping import Agent, Shelf, days

OBJECTS, MANIFEST = (".db.zst", ".pages.zst"), ".db.json"


class Site:
    """Three days in a store, of four snapshots each."""

    def __init__(self, tmp_path, append_only=True):
        self.store = Shelf(tmp_path / "a", append_only=append_only)
        self.agent = Agent(tmp_path, self.store)
        days(self.agent, 3)
        self.names = sorted(self.agent.member.bytes_of)
        self.terms = Terms("etcd", str(tmp_path / "scratch"), self.agent.state_dir)

    def lose(self, number, *ends):
        stem = self.names[number][: -len(".db")]
        for path in [self.store.folder / f"{stem}{end}" for end in ends]:
            path.unlink(missing_ok=True)

    def drawn(self):
        """The numbers of all that any seed draws."""
        picked = [picked_of(self.terms, "", Asked(seed=seed, offsite=True), [self.store]) for seed in range(150)]
        return {self.names.index(one.path) for each in picked for one in each}


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_what_has_lost_its_full_one_to_the_stores_own_rules_is_not_drawn(site):
    assert site.drawn() == set(range(12))
    site.lose(0, *OBJECTS, MANIFEST)
    assert site.drawn() == set(range(4, 12))
    site.lose(1, *OBJECTS)  # its manifest is a moment younger
    assert site.drawn() == set(range(4, 12))
    (named,) = picked_of(site.terms, "", Asked(name=site.names[2], offsite=True), [site.store])
    assert named.path == site.names[2]


@pytest.mark.parametrize("ends", [OBJECTS, (*OBJECTS, MANIFEST)])
def test_a_chain_that_is_broken_between_whole_ones_is_drawn(site, ends):
    site.lose(4, *ends)
    assert site.drawn() == set(range(12)) - ({4} if MANIFEST in ends else set())


def test_what_is_there_and_is_cut_off_is_drawn_however_old(site):
    path = site.store.folder / f"{site.names[0]}.zst"
    path.write_bytes(path.read_bytes()[:-1])
    assert site.drawn() == set(range(12))


def test_where_no_chain_is_whole_any_more_everything_is_drawn(site):
    for number in (0, 4, 8):
        site.lose(number, *OBJECTS)
    assert site.drawn() == set(range(12))


def test_where_we_remove_what_is_old_nothing_expires(tmp_path):
    site = Site(tmp_path, append_only=False)
    site.lose(0, *OBJECTS)
    assert site.drawn() == set(range(12))
