# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import hashlib
import random
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.how_far import Far
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Header
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.wire import Status
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import ranges, verified
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.pairs import Standing
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.ranges import Side, Span, spans_without
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import Side as Reached
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import begun, state_key
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.verify import (
    Options,
    Time,
    followers_first,
    verify,
    verify_mirror,
)
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.mirror.fake_etcd import FakeEtcd

STATE = b"quorum.etcd/mirror/dr"
OWN = b"quorum.etcd/mirror/"


class Mirrored:
    """A source, and a mirror of its keys below ``a/`` at ``b/``, which has applied what it was told to."""

    def __init__(self, cluster=7, **options):
        self.source, self.destination = FakeEtcd(cluster), FakeEtcd(8)
        self.options = Options(**{"mirror": "dr", "state": STATE, "left_out": [OWN], "patience": 5, **options})
        self.now, self.slept, self.told = 0.0, [], []
        self.meanwhile = lambda: None

    def apply(self, *to, note=""):
        """One transaction brings the mirror from wherever it is to a revision of the source."""
        revision = to[0] if to else self.source.revision
        held = {key: kv for key, kv in self.source.history[revision].items() if key.startswith(b"a/")}
        wanted = {b"b/" + key[2:]: kv.value for key, kv in held.items()}
        have = self.destination.history[self.destination.revision]
        own = {key: kv.value for key, kv in have.items() if key.startswith(b"b/") and not key.startswith(b"b/" + OWN)}
        puts = [(key, value) for key, value in wanted.items() if own.get(key) != value]
        self.destination.txn(
            [*puts, (b"b/" + STATE, self.state(revision, note))], [key for key in own if key not in wanted]
        )

    def state(self, revision, note=""):
        return b"%x %d %s" % (self.source.cluster, revision, note.encode())

    @staticmethod
    def read(value):
        cluster, revision, note = value.split(b" ")
        return Standing(int(cluster, 16), int(revision), exact=not note, partly=note == b"partly")

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds
        self.meanwhile()

    def verify(self):
        sides = Side(self.source, b"a/"), Side(self.destination, b"b/")
        timing = Time(lambda: self.now, lambda: 1_700_000_000.0, self.sleep)
        return verify(*sides, self.read, self.options, timing, self.told.append)


def seeded(keys=3000, **options):
    made = Mirrored(**options)
    made.source.txn([(b"a/%05d" % number, b"value %d" % number) for number in range(keys)])
    made.source.put(b"elsewhere", b"x")
    made.destination.put(b"elsewhere", b"y")
    made.apply()
    return made


def differing(found):
    return {(one.key, one.how) for one in found.differing}


def test_a_mirror_is_equal():
    made = seeded()
    found = made.verify()
    assert (found.equal, found.source_keys, found.mirror_keys) == (True, 3000, 3000)
    assert (found.source_revision, found.applied_revision, found.mirror_revision) == (3, 3, made.destination.revision)
    assert found.digest == found.mirror_digest and len(found.digest) == 64
    assert (found.missing, found.extra, found.other, found.unsettled, found.rounds) == (0, 0, 0, 0, 1)
    assert made.told[-1] == Far("Compared", 3000, 3000)
    assert len(made.told) > 3, "after each slice"


def test_all_that_differs_is_named():
    made = seeded()
    made.destination.txn(
        [(b"b/00005", b"changed"), (b"b/00005x", b"extra"), (b"b/9", b"extra at the end")],
        [b"b/00000", b"b/02999"],
    )
    found = made.verify()
    assert (found.equal, found.missing, found.extra, found.other) == (False, 2, 2, 1)
    assert differing(found) == {
        ("a/00000", "missing"),
        ("a/02999", "missing"),
        ("a/00005", "other"),
        ("a/00005x", "extra"),
        ("a/9", "extra"),
    }
    assert found.digest != found.mirror_digest


def test_the_first_are_named_and_all_are_counted():
    made = seeded(first=10)
    made.destination.txn(deletes=[b"b/%05d" % number for number in range(500)])
    found = made.verify()
    assert (len(found.differing), found.missing) == (10, 500)


def test_a_mirror_of_nothing_and_one_that_holds_nothing():
    made = seeded(0)
    assert made.verify().equal
    made.destination.put(b"b/x", b"")
    assert differing(made.verify()) == {("a/x", "extra")}
    made = seeded(5)
    made.destination.txn(deletes=[key for key in made.destination.history[made.destination.revision] if b"/0" in key])
    assert made.verify().missing == 5


def test_extra_keys_between_any_two_are_found():
    """As many more than a part has, so that the mirror's parts end within those of the source."""
    made = seeded(2000)
    made.destination.txn([(b"b/01000-%05d" % number, b"x") for number in range(5000)])
    found = made.verify()
    assert (found.extra, found.missing, found.other, found.mirror_keys) == (5000, 0, 0, 7000)


def test_a_lag_is_no_difference():
    """The source has gone on, and the mirror was written to while it is being verified."""
    made = seeded()
    made.source.txn([(b"a/new", b"1"), (b"a/00001", b"2")], [b"a/00002"])

    def write():
        made.source.put(b"a/%05d" % random.randrange(3000), b"later")
        made.apply(made.source.revision - 1)

    made.meanwhile = write
    found = made.verify()
    assert found.equal and (found.applied_revision, found.rounds) == (3, 1)


def test_a_real_difference_under_load_is_reported():
    made = seeded()
    made.destination.put(b"b/02900", b"wrong")
    made.meanwhile = lambda: (made.source.put(b"a/00001", b"later"), made.apply())
    assert differing(made.verify()) == {("a/02900", "other")}


def test_a_compacted_revision_is_followed_by_another_pair():
    made = seeded()
    made.destination.put(b"b/00001", b"wrong")
    made.destination.put(b"b/02900", b"wrong")

    def compact():
        made.source.put(b"a/02000", b"%d" % made.source.revision)
        made.source.compact()
        made.apply_only(b"02000")

    def apply_only(name):
        value = made.source.history[made.source.revision][b"a/" + name].value
        made.destination.txn([(b"b/" + name, value), (b"b/" + STATE, made.state(made.source.revision))])
        made.destination.compact()

    made.apply_only = apply_only
    made.meanwhile = compact
    found = made.verify()
    assert differing(found) == {("a/00001", "other"), ("a/02900", "other")}
    assert found.rounds > 1 and (found.source_keys, found.mirror_keys) == (3000, 3000)


def delayed():
    """A mirror that is held back: the source has changed, deleted and compacted since."""
    made = seeded(100)
    made.source.txn([(b"a/00001", b"changed"), (b"a/new", b"1")], [b"a/00002"])
    made.source.compact()
    return made


def test_a_delayed_mirror_behind_a_compaction_is_not_wrong():
    found = delayed().verify()
    assert found.equal and found.unsettled == 3
    assert found.source_revision > found.applied_revision


def test_what_was_not_changed_since_must_be_equal_in_a_delayed_mirror():
    made = delayed()
    made.destination.put(b"b/00050", b"wrong")
    made.destination.put(b"b/extra", b"wrong")
    found = made.verify()
    assert differing(found) == {("a/00050", "other")} and found.unsettled == 4


def test_an_extra_key_is_sure_when_a_delayed_mirror_has_passed_it():
    made = delayed()
    made.destination.put(b"b/extra", b"wrong")

    def pass_on():
        own = (b"b/" + STATE, made.state(made.source.revision))
        made.destination.txn([(b"b/00001", b"changed"), (b"b/new", b"1"), own], [b"b/00002"])
        made.source.put(b"a/elsewhere", b"later")
        made.source.compact()
        made.meanwhile = lambda: None

    made.meanwhile = lambda: pass_on() if made.now > 2 else None
    found = made.verify()
    assert differing(found) == {("a/extra", "extra")} and found.unsettled == 0


def test_a_key_with_a_lease_may_have_expired_there_first():
    made = seeded(10, leases=True)
    made.source.put(b"a/leased", b"x", lease=5)
    made.apply()
    made.destination.delete(b"b/leased")

    def expire():
        if made.now > 2 and b"a/leased" in made.source.history[made.source.revision]:
            made.source.delete(b"a/leased")
            made.destination.put(b"b/" + STATE, made.state(made.source.revision))

    made.meanwhile = expire
    found = made.verify()
    assert found.equal and found.unsettled == 0


def test_a_key_with_a_lease_that_stays_is_missing():
    made = seeded(10, leases=True)
    made.source.put(b"a/leased", b"x", lease=5)
    made.apply()
    made.destination.delete(b"b/leased")
    assert differing(made.verify()) == {("a/leased", "missing")}


def test_a_mirror_of_other_tools_is_wrong_where_a_difference_stays():
    made = seeded(10)
    made.destination.txn([(b"b/00003", b"old"), (b"b/00004", b"wrong")], [b"b/" + STATE])
    made.meanwhile = lambda: made.now > 3 and made.destination.put(b"b/00003", b"value 3")
    found = made.verify()
    assert differing(found) == {("a/00004", "other")} and found.applied_revision == 0


def test_a_key_that_always_changes_is_unsettled_in_a_mirror_of_other_tools():
    made = seeded(10)
    made.destination.txn([(b"b/00003", b"old")], [b"b/" + STATE])
    made.meanwhile = lambda: made.source.put(b"a/00003", b"%f" % made.now)
    found = made.verify()
    assert found.equal and found.unsettled == 1


def test_a_part_of_a_large_revision_is_gone_back_over():
    made = seeded(10)
    before = made.destination.revision
    made.source.txn([(b"a/00001", b"n"), (b"a/00002", b"n")])
    for name in (b"b/00001", b"b/00002"):
        made.destination.txn([(name, b"n"), (b"b/" + STATE, made.state(4, "partly"))])
    found = made.verify()
    assert found.equal and (found.applied_revision, found.mirror_revision) == (3, before)


@pytest.mark.parametrize("compacted", [True, False])
def test_a_mirror_that_is_being_compared_is_refused(compacted):
    made = seeded(10)
    made.apply(note="partly" if compacted else "scan")
    if compacted:
        made.destination.compact()
    with pytest.raises(EtcdError, match=r"not at any one of its revisions yet\. Next: wait"):
        made.verify()


def test_a_mirror_of_another_cluster_or_of_a_restored_one_is_refused():
    made = seeded(10)
    made.source.cluster = 99
    with pytest.raises(EtcdError, match="The mirror is one of cluster 7, and the source is 63"):
        made.verify()
    made = seeded(10)
    made.destination.put(b"b/" + STATE, made.state(500))
    with pytest.raises(EtcdError, match="at revision 500 of its source, which is only at 3"):
        made.verify()


def test_keys_of_mirrors_and_what_is_excluded_are_left_out():
    made = seeded(50, left_out=[OWN, b"events/", b"events/inner/", b"0004"])
    made.source.txn([(b"a/" + OWN + b"another", b"1"), (b"a/events/inner/x", b"1"), (b"a/00041", b"1")])
    made.destination.put(b"b/" + OWN + b"third", b"1")
    made.destination.put(b"b/events/y", b"1")
    found = made.verify()
    assert found.equal and found.source_keys == 40


def test_a_member_that_is_behind_is_not_asked_alone():
    made = seeded(10)
    made.source.put(b"a/1", b"1")
    made.apply()
    made.source.behind = 1
    assert made.verify().equal
    reads = [asked for asked in made.source.asked if asked[1] and not asked[4]]
    assert [one[5] for one in reads] == [True, False] * 2  # before the mirror's own key, and behind it


def test_parts_are_small_where_values_are_large(monkeypatch):
    monkeypatch.setattr(ranges, "PART_BYTES", 10_000)
    made = seeded(200)
    made.source.largest = made.destination.largest = 40_000
    made.source.txn([(b"a/%05d" % number, b"x" * 3000) for number in range(100, 150)])
    made.source.put(b"a/zz", b"x" * 39_000)
    made.apply()
    assert made.verify().equal


def test_it_rests_as_long_as_it_reads():
    made = seeded(3000)

    def read():
        made.now += 0.1

    made.source.before = read
    made.verify()
    assert made.slept and all(seconds == pytest.approx(0.1) for seconds in made.slept)


def test_keys_may_be_any_bytes():
    made = Mirrored()
    rng = random.Random(5)
    keys = {bytes(rng.randrange(256) for _byte in range(rng.randrange(0, 6))) for _key in range(2000)}
    made.source.txn([(b"a/" + key, key) for key in keys])
    made.apply()
    assert made.verify().equal
    made.destination.put(b"b/\xff\xff\xff\xff\xff\xff\x1b", b"")
    assert differing(made.verify()) == {(r"a/\xff\xff\xff\xff\xff\xff\x1b", "extra")}


@pytest.mark.parametrize("seed", range(20))
def test_what_it_finds_is_what_differs(seed):
    """Random sides, against dictionaries."""
    rng = random.Random(seed)
    names = [b"%x" % rng.randrange(1 << 16) for _name in range(400)]
    made = Mirrored(first=10_000)
    sides = []
    for etcd, prefix in ((made.source, b"a/"), (made.destination, b"b/")):
        held = {name: b"%d" % rng.randrange(2) for name in rng.sample(names, rng.randrange(400))}
        etcd.txn([(prefix + name, value) for name, value in held.items()])
        sides.append(held)
    made.destination.put(b"b/" + STATE, made.state(made.source.revision))
    source, destination = sides
    wanted = {(f"a/{name.decode()}", "missing") for name in source.keys() - destination.keys()}
    wanted |= {(f"a/{name.decode()}", "extra") for name in destination.keys() - source.keys()}
    wanted |= {
        (f"a/{name.decode()}", "other")
        for name in source.keys() & destination.keys()
        if source[name] != destination[name]
    }
    found = made.verify()
    assert differing(found) == wanted and len(found.differing) == len(wanted) == found.differences


@pytest.mark.parametrize(
    ("left_out", "spans"),
    [
        ([], [Span(b"")]),
        ([b"b", b"d/"], [Span(b"", b"b"), Span(b"c", b"d/"), Span(b"d0")]),
        ([b"b", b"b/inner", b"c"], [Span(b"", b"b"), Span(b"d")]),
        ([b"\xff"], [Span(b"", b"\xff")]),
        ([b"a\xff"], [Span(b"", b"a\xff"), Span(b"b")]),
        ([b""], []),
    ],
)
def test_spans(left_out, spans):
    assert spans_without(left_out) == spans


def test_the_last_one_is_kept(tmp_path):
    assert verified.last(str(tmp_path)) is None
    made = seeded(10)
    made.destination.put(b"b/\xff", b"x")
    found = made.verify()
    verified.write(str(tmp_path), found)
    assert verified.last(str(tmp_path)) == found
    (tmp_path / verified.FILE).write_text("{}")
    with pytest.raises(EtcdError, match=r"cannot be understood: mirror is missing\. Next: verify"):
        verified.last(str(tmp_path))


def test_a_key_is_shown_on_one_line():
    assert verified.shown(b"/registry/\xff\n\x1b[2J") == r"/registry/\xff\n\x1b[2J"
    assert verified.shown("clé".encode()) == "clé"
    assert verified.shown(b"k" * 5000) == "k" * 200 + "... (5,000 bytes)"


# ---- with the settings and the state of the engine -----------------------------------------------------------------------

CLUSTER = MirrorSettings(
    name="dr", source=Reached(("a:1",)), destination=Reached(("b:1",)), prefix="a/", destination_prefix="b/"
)


def engine(settings=CLUSTER, **changed):
    """A source and its mirror with the very state that the engine writes."""
    source, destination = FakeEtcd(7), FakeEtcd(8)
    source.txn([(b"a/1", b"1"), (b"a/2", b"2"), (b"a/out/1", b"1")])
    state = replace(begun(settings, "e", 7, 2, None).at(2), **changed)
    destination.txn([(b"b/1", b"1"), (b"b/2", b"2"), (state_key(settings), state.encode())])
    return source, destination


def test_the_engine_s_own_state_is_understood():
    settings = replace(CLUSTER, exclude=("a/out/",))
    source, destination = engine(settings)
    found = verify_mirror(settings, source, destination, rest=0)
    assert found.equal and (found.mirror, found.applied_revision, found.mirror_keys) == ("dr", 2, 2)
    destination.put(b"b/2", b"3")
    assert differing(verify_mirror(settings, source, destination, rest=0)) == {("a/2", "other")}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"phase": "scan"}, "is being compared with its source"),
        ({"until": 3}, "is being compared with its source"),  # it has some of what came after its revision
        ({"index": 3}, "is being compared with its source"),  # and the state before that is not there
        ({"cluster": "99"}, "is one of cluster 99"),
        ({"cluster": "no number"}, "its cluster is no ID in hexadecimal"),
        ({"version": 2}, "it is of version 2"),
        ({"exclude": ("a/1",)}, "made with other settings"),
    ],
)
def test_a_state_at_which_nothing_can_be_said(changed, why):
    source, destination = engine(**changed)
    destination.compact()
    with pytest.raises(EtcdError, match=rf"{why}.* Next: "):
        verify_mirror(CLUSTER, source, destination, rest=0)


def test_the_digest_is_that_of_names_and_values():
    """So that it can be made of any dump: the length of each in four bytes, and then itself."""
    source, destination = engine(replace(CLUSTER, exclude=("a/out/",)))
    found = verify_mirror(replace(CLUSTER, exclude=("a/out/",)), source, destination, rest=0)
    text = b"\0\0\0\x011\0\0\0\x011" + b"\0\0\0\x012\0\0\0\x012"
    assert found.digest == found.mirror_digest == hashlib.sha256(text).hexdigest()


def test_who_leads_is_asked_after_the_others():
    """And who says nothing, or has no vote, at last."""

    def told(member, learner=False):
        return Status(Header(1, member, 9, 2), "3.6.0", 1, 3, 9, 2, 9, (), 1, learner, "", 0)

    connection = Connection(["silent", "learner", "leader", "unheard-of", "one", "two"], user="u")
    answers = {
        "silent": EtcdError("no answer."),
        "learner": told(4, learner=True),
        "leader": told(3),
        "one": told(1),
        "two": told(2),
    }
    found = followers_first(connection, answers)
    assert (found.endpoints, found.user) == (["one", "two", "leader", "silent", "learner", "unheard-of"], "u")
