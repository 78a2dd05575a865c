# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where times and revisions do not agree, what lies off-site is neither spooled again nor replaced, and all of it stays whole."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.copies import copies_folder
from ansible_collections.quorum.etcd.plugins.module_utils.backup.folder_store import Folder
from ansible_collections.quorum.etcd.plugins.module_utils.backup.holding import Content, content_of
from ansible_collections.quorum.etcd.plugins.module_utils.backup.prune import Counted, prune
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import UPLOADS
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import Policy
from ansible_collections.quorum.etcd.plugins.module_utils.backup.shipping import Shipping, send
from ansible_collections.quorum.etcd.plugins.module_utils.backup.spool import Spooled, base_of, waiting
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.offsite import offsite_of, with_offsite
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.halfhours import (
    HALF_HOUR,
    put_together,
)
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.backup.test_shipping import (
    DAY,
    MONTH,
    Agent,
    Shelf,
    days,
)

KEPT = 10
MINUTE = 60.0


class Site:
    """A host that keeps its last ten, and ships to a folder store."""

    def __init__(self, tmp_path, append_only=False):
        self.tmp_path, self.folder = tmp_path, tmp_path / "mnt" / "etcd"
        (tmp_path / "mnt").mkdir()
        self.store = Folder("nas", str(tmp_path / "mnt"), "etcd", append_only, mounted=False)
        self.agent, self.uploads = Agent(tmp_path, self.store), []

    def half_hours(self, count, **more):
        """So many; the first comes ``later`` than is usual."""
        for _half_hour in range(count):
            self.uploads += self.agent.half_hour(**more)
            counted = Counted("etcd", self.agent.member.cluster_id, Policy(last=KEPT))
            prune(str(self.agent.member.folder), counted, self.agent.member.now)
            more = {}

    def check(self):
        """Each that was saved was sent once, and is put together by the script, to the very bytes."""
        saved = self.agent.member.bytes_of
        assert [(one.result, one.waiting) for one in self.uploads] == [("shipped", 0)] * len(saved)
        assert [name for one in self.uploads for name in one.sent] == list(saved)
        assert [one.whole for one in self.uploads] == list(range(1, len(saved) + 1))
        for name, data in saved.items():
            assert put_together(self.folder, name, self.tmp_path / "result") == data


@pytest.mark.parametrize(
    ("before", "minutes", "append_only"),
    [
        (2, 40, False),
        (11, 40, False),
        (5, 60, True),
        (12, 60, False),
        (3, 240, False),
        (12, 240, True),
        (11, 33, False),
    ],
)
def test_a_clock_that_is_set_back_spoils_nothing_off_site(tmp_path, before, minutes, append_only):
    site = Site(tmp_path, append_only)
    site.half_hours(before)
    site.half_hours(4, later=-minutes * MINUTE)
    assert [one.newest for one in site.uploads] == list(site.agent.member.bytes_of), "the newest has the last writes"
    site.check()


def test_a_clock_that_is_set_back_twice_and_put_right_again_spoils_nothing(tmp_path):
    site = Site(tmp_path)
    for minutes in (30, -60, -240, 330):
        site.half_hours(3, later=minutes * MINUTE)
    site.check()


def test_a_restore_by_hand_under_the_same_id_holds_up_no_copy_and_spoils_none(tmp_path):
    site = Site(tmp_path)
    site.half_hours(8)
    site.agent.member.revision -= 6
    site.half_hours(8)
    site.check()


def test_what_would_need_itself_is_lost_and_never_uploaded(tmp_path):
    """Whatever has made it: here an increment of the second one that starts from the third, and has another manifest."""
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    for _half_hour in range(3):
        agent.half_hour()
    copies = copies_folder(agent.state_dir, "shelf")
    held = content_of(store, copies)
    _first, second, third = sorted(held.manifests)
    told = replace(held.told[second], base_name=third, base=held.manifests[third].sha256)
    again = Spooled(second, with_offsite(replace(held.manifests[second], user_keys=1), told), ())
    store.log.clear()
    done = send(store, agent.spool, [again], held, copies, lambda one, *_names: one)
    assert (done.sent, done.lost, done.problems, store.log) == ([], [again], [], [])
    agent.check(store, tmp_path)


def test_where_the_last_one_was_lost_the_next_is_a_full_one(tmp_path, monkeypatch):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    agent.half_hour()
    monkeypatch.setattr(Content, "can_take", lambda self, one: False)
    (upload,) = agent.half_hour()
    assert (upload.sent, upload.waiting, waiting(agent.spool), base_of(agent.spool)) == ((), 0, [], None)
    monkeypatch.undo()
    agent.half_hour()
    newest = max(agent.member.bytes_of)
    assert offsite_of(content_of(store, copies_folder(agent.state_dir, "shelf")).manifests[newest]).kind == "full"


def test_a_store_that_has_lost_all_is_caught_up_and_the_other_one_keeps_what_it_has(tmp_path):
    """Nothing is written meanwhile: the newest is spooled once more, as a full one."""
    near, far = Shelf(tmp_path / "a", "a", append_only=True), Shelf(tmp_path / "b", "b")
    agent = Agent(tmp_path, near, far)
    for _half_hour in range(4):
        agent.half_hour()
    before = {name: (near.folder / name).read_bytes() for name in near.names()}
    for name in far.names():
        (far.folder / name).unlink()
    agent.ship()
    uploads = agent.ship()
    assert [(one.result, one.whole, one.waiting) for one in uploads] == [("up to date", 4, 0), ("shipped", 1, 0)]
    assert {name: (near.folder / name).read_bytes() for name in near.names()} == before
    agent.half_hour()
    agent.check(near, tmp_path)
    agent.check(far, tmp_path, sorted(agent.member.bytes_of)[-2:])


def test_what_was_spooled_anew_from_another_base_goes_with_the_chain_that_it_has_in_the_store(tmp_path):
    """As above, and then a day goes by after the other: what the kept ones need is kept, whatever their manifests call it."""
    keep = Policy(days=2)
    near, far = Shelf(tmp_path / "a", "a"), Shelf(tmp_path / "b", "b")
    agent = Agent(tmp_path, near, far, keep=keep)
    days(agent, 1)
    for name in far.names():
        (far.folder / name).unlink()
    agent.ship()
    agent.ship()
    for _day in range(4):
        days(agent, 1)
        held = [content_of(store, copies_folder(agent.state_dir, store.name)) for store in (near, far)]
        assert all(one.is_whole(name) for one in held for name in one.manifests)
    for store, one in zip((near, far), held):
        agent.check(store, tmp_path, list(one.manifests))
        assert len(one.manifests) < 4 * 4, "and what is old has gone"


def test_hosts_with_one_folder_do_not_replace_what_another_has_shipped(tmp_path):
    """A host whose turn comes does not know yet what the others have shipped, and spools it from its own last one."""
    store = Shelf(tmp_path / "a", append_only=True)
    agents = [Agent(tmp_path, store), Agent(tmp_path, store)]
    for number, agent in enumerate(agents):
        agent.state_dir = str(tmp_path / f"state {number}")
        agent.member = agents[0].member
        agent.job = Shipping("etcd", str(agent.member.folder), agent.state_dir, (store,), MONTH)
    for number in (0, 1, 1, 0, 0, 0, 1, 0):
        (upload,) = agents[number].half_hour()
        assert (upload.result, upload.sent) == ("shipped", (max(agents[0].member.bytes_of),))
    agents[0].check(store, tmp_path)


def test_the_newest_of_a_store_is_of_this_etcd_cluster_and_by_its_revision(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    agent.half_hour()
    agent.half_hour(later=-HALF_HOUR / 2)
    (upload,) = UPLOADS.last(agent.state_dir, "etcd", 1)
    assert upload.newest == list(agent.member.bytes_of)[-1] != max(agent.member.bytes_of)
    agent.member.cluster_id, agent.member.revision = "c2", 5
    (upload,) = agent.half_hour(later=DAY)
    assert (upload.newest, upload.whole) == (list(agent.member.bytes_of)[-1], 1)
    assert json.loads((store.folder / f"{upload.newest}.json").read_text())["revision"] == 6


@pytest.mark.parametrize("claimed", [False, True])
def test_what_has_no_manifest_yet_may_be_another_hosts_under_way(tmp_path, claimed):
    """Two hosts that ship for the first time: the first one's object is older than all that the other one sees, and stays."""
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    agent.half_hour()
    snapshot = max(agent.member.bytes_of)
    first, said = f"{snapshot}.zst", store.folder / f"{snapshot}.json"
    manifest = said.rename(tmp_path / "its manifest")
    agent.half_hour(later=86000)
    assert first in store.names()
    if claimed:
        manifest.rename(said)
    agent.half_hour(later=4000)
    assert first in store.names()
    days(agent, 2)
    assert (first in store.names()) == claimed
    if claimed:
        assert put_together(store.folder, snapshot, tmp_path / "result") == agent.member.bytes_of[snapshot]


def test_what_another_host_has_shipped_meanwhile_counts_in_what_is_kept(tmp_path):
    """The chain that it goes on is not removed below it."""
    store = Shelf(tmp_path / "a")
    one = Agent(tmp_path, store, keep=Policy(last=1))
    one.half_hour()
    (tmp_path / "other").mkdir()
    other = Agent(tmp_path / "other", store, keep=Policy(last=1))
    other.member.member_id = "m2"
    other.saved(later=HALF_HOUR + MINUTE)
    one.member.now = other.member.now
    put = store.put

    def meanwhile(path, name):
        put(path, name)
        store.put = put
        (upload,) = one.half_hour()
        assert upload.result == "shipped"

    store.put = meanwhile
    (upload,) = other.ship()
    assert (upload.result, upload.removed) == ("shipped", tuple(other.member.bytes_of))
    one.check(store, tmp_path)


def test_what_another_host_removes_between_the_list_and_the_look_is_no_error(tmp_path):
    store = Shelf(tmp_path / "a")
    agent = Agent(tmp_path, store)
    for _time in range(2):
        agent.half_hour()
    gone, names = min(agent.member.bytes_of), store.names

    def listed():
        found = names()
        (store.folder / f"{gone}.json").unlink(missing_ok=True)
        return found

    store.names = listed
    assert set(content_of(store, str(tmp_path / "copies")).manifests) == {max(agent.member.bytes_of)}
