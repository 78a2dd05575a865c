# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One change of the membership: what it comes to, whom it means, and why it is refused, with the arithmetic in words."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.membership import Membership
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.proving import look
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.members.single import (
    ABSENT,
    LEADER,
    PRESENT,
    PROMOTED,
    Asked,
    as_it_will_be,
    carry_out,
    decide,
    in_lines,
)

sys.path.insert(0, str(Path(__file__).parents[1] / "etcd"))
from living import Living, peer, time_jumps  # noqa: E402


@pytest.fixture(autouse=True)
def jumping(monkeypatch):
    time_jumps(monkeypatch)


def seen(etcd):
    return look(etcd, etcd.tools, etcd.connection(), knock=etcd.knock, handshake=lambda *_: "")


def decided(etcd, state, **asked):
    return decide(seen(etcd), Asked(state, **asked))


def refused(etcd, state, **asked):
    with pytest.raises(EtcdError) as caught:
        decided(etcd, state, **asked)
    assert caught.value.next_step
    return f"{caught.value.message} Next: {caught.value.next_step}"


def with_learner(**more):
    etcd = Living((1, 2, 3, 4), **more)
    etcd.members[4]["isLearner"] = True
    return etcd


def unstarted(etcd, number=4):
    etcd.members[number] = {"ID": number, "peerURLs": [peer(number)]}
    return etcd


# ---- who is meant ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked", [{"name": "m2"}, {"id": "2"}, {"peer_urls": [peer(2)]}, {"name": "m2", "id": "2", "peer_urls": [peer(2)]}]
)
def test_a_member_is_found_by_each_of_its_marks_and_by_all(asked):
    assert decided(Living(), ABSENT, **asked).id == "2"


def test_an_id_may_be_in_capitals_and_no_mark_is_a_substring():
    etcd = Living((1, 2, 11))
    etcd.members[11]["ID"] = 0xAB
    assert decided(etcd, ABSENT, id="AB").id == "ab"
    assert decided(etcd, ABSENT, name="m").do == decided(etcd, ABSENT, peer_urls=["http://10.0.0.1"]).do == ""
    assert decided(etcd, ABSENT, name="m1").id == "1", "and not m11"


def test_several_urls_are_all_wanted_in_any_order():
    etcd = Living()
    etcd.members[2]["peerURLs"] = [peer(2), peer(9)]
    assert decided(etcd, ABSENT, peer_urls=[peer(9), peer(2)]).id == "2"
    assert decided(etcd, ABSENT, peer_urls=[peer(2)]).do == ""


def test_a_name_that_two_have_is_refused_and_the_id_decides():
    etcd = Living()
    etcd.members[3]["name"] = "m2"
    words = refused(etcd, ABSENT, name="m2")
    assert "2 members are m2: 2, 3." in words and "by its id" in words
    assert decided(etcd, ABSENT, name="m2", id="3").id == "3"


def test_marks_of_two_members_are_refused():
    words = refused(Living(), ABSENT, name="m2", id="3")
    assert "no member is m2 ID 3: 3 is m3 at http://10.0.0.3:2380; 2 is m2 at http://10.0.0.2:2380" in words
    words = refused(Living(), PRESENT, name="m2", peer_urls=[peer(4)])
    assert "no member is m2 at http://10.0.0.4:2380: 2 is m2 at http://10.0.0.2:2380" in words
    assert "no member is m4 at" in refused(Living(), PRESENT, name="m4", peer_urls=[peer(2)])
    assert "set name, id or peer_urls" in refused(Living(), ABSENT)


def test_one_that_never_ran_has_no_name_yet():
    etcd = unstarted(Living())
    again = decided(etcd, PRESENT, name="m4", peer_urls=[peer(4)])
    assert (again.do, again.id, again.says) == ("", "4", "4 is a voter that has never run.")
    assert decided(etcd, ABSENT, name="m4", id="4").id == "4" and decided(etcd, ABSENT, name="m4").do == ""


def test_who_is_no_member_is_neither_promoted_nor_led_by():
    for state in (PROMOTED, LEADER):
        assert "m9 is no member of this cluster. Next: name one of m1 (1), m2 (2), m3 (3)." in refused(
            Living(), state, name="m9"
        )


# ---- added -----------------------------------------------------------------------------------------------------------


def test_a_learner_is_added_whatever_the_arithmetic():
    new = {"name": "m4", "peer_urls": [peer(4)]}
    for etcd in (Living(), Living(down={3}), Living((1,))):
        made = decided(etcd, PRESENT, **new)
        assert (made.do, made.arithmetic, made.says) == (PRESENT, "", "m4 is added as a learner.")


def test_a_voter_that_is_added_counts_as_dead():
    new = {"name": "m4", "peer_urls": [peer(4)], "learner": False}
    assert decided(Living(), PRESENT, **new).arithmetic == (
        "3 voters, 3 healthy, quorum 2: adding m4 leaves 3 of 4, quorum 3"
    )
    words = refused(Living(cut={3}), PRESENT, **new)
    assert "3 voters, 2 healthy, quorum 2: adding m4 leaves 2 of 4, quorum 3: no quorum." in words
    assert "learner: true" in words and 'set force: "2 of 4"' in words
    assert decided(Living(cut={3}), PRESENT, force="2 of 4", **new).do == PRESENT
    assert "force is '2 of 3', and that is not what it leaves" in refused(
        Living(cut={3}), PRESENT, force="2 of 3", **new
    )
    assert "adding m4 leaves 1 of 2, quorum 2: no quorum" in refused(Living((1,)), PRESENT, **new)


def test_one_newcomer_at_a_time():
    new = {"name": "m5", "peer_urls": [peer(5)]}
    assert "m4 is a learner, and one newcomer at a time" in refused(with_learner(), PRESENT, **new)
    assert "4 is a voter that has never run" in refused(unstarted(Living()), PRESENT, **new)


@pytest.mark.parametrize(
    "asked, words",
    [
        ({"id": "9"}, "ID 9 is no member, and cannot be added. Next: set its name and its peer_urls."),
        ({"name": "m4"}, "m4 is no member, and cannot be added."),
        ({"name": "m4", "peer_urls": ["10.0.0.4:2380"]}, "is not http, https, unix or unixs"),
    ],
)
def test_what_a_new_member_needs(asked, words):
    assert words in refused(Living(), PRESENT, **asked)


def test_one_that_is_there_stays_as_it_is_promoted_or_not():
    assert decided(with_learner(), PRESENT, name="m4", peer_urls=[peer(4)]).says == "m4 is a learner."
    assert decided(Living(), PRESENT, name="m3", peer_urls=[peer(3)]).says == "m3 is a voter."


# ---- promoted --------------------------------------------------------------------------------------------------------


def test_a_learner_that_has_caught_up_is_promoted():
    made = decided(with_learner(behind={4: 1000}, index=10_000), PROMOTED, name="m4")
    assert (made.do, made.id, made.waits) == (PROMOTED, "4", "")
    assert made.arithmetic == "3 voters, 3 healthy, quorum 2: promoting m4 leaves 4 of 4, quorum 3"
    assert decided(Living(), PROMOTED, name="m3").do == ""


def test_the_gate_is_an_absolute_number_of_entries():
    etcd = with_learner(index=10_000_000, behind={4: 999_999})
    assert decided(etcd, PROMOTED, name="m4").waits == (
        "m4 lacks 999,999 entries of the leader's log, and may lack 1,000"
    )
    assert decided(etcd, PROMOTED, name="m4", max_lag=1_000_000).waits == ""


def test_one_that_never_ran_or_does_not_answer_is_waited_for():
    etcd = Living()
    etcd.members[4] = {"ID": 4, "peerURLs": [peer(4)], "isLearner": True}
    assert decided(etcd, PROMOTED, id="4").waits == "4 has never run"
    assert (
        "m4 does not tell how far it is: Connection refused"
        in decided(with_learner(down={4}), PROMOTED, name="m4").waits
    )


def test_a_promotion_by_its_arithmetic():
    assert decided(with_learner(cut={3}), PROMOTED, name="m4").arithmetic == (
        "3 voters, 2 healthy, quorum 2: promoting m4 leaves 3 of 4, quorum 3"
    )


# ---- removed ---------------------------------------------------------------------------------------------------------


def test_a_dead_member_goes_and_a_healthy_one_that_is_needed_stays():
    etcd = Living(cut={3})
    assert decided(etcd, ABSENT, name="m3").arithmetic == (
        "3 voters, 2 healthy, quorum 2: removing m3 leaves 2 of 2, quorum 2"
    )
    words = refused(etcd, ABSENT, name="m2")
    assert words.startswith("3 voters, 2 healthy, quorum 2: removing m2 leaves 1 of 2, quorum 2: no quorum. Next: ")
    assert 'set force: "1 of 2"' in words
    assert decided(etcd, ABSENT, name="m2", force="1 of 2").do == ABSENT
    for wrong in ("true", "yes", "1 of 3", "1 of 2 "):
        assert "that is not what it leaves" in refused(etcd, ABSENT, name="m2", force=wrong)


def test_of_two_none_goes_without_being_told_so_and_of_one_never():
    words = refused(Living((1, 2)), ABSENT, name="m2")
    assert "removing m2 leaves 1 of 1, quorum 1: no member that may fail" in words
    assert decided(Living((1, 2)), ABSENT, name="m2", force="1 of 1").do == ABSENT
    for force in ("", "0 of 0"):
        assert "never removed" in refused(Living((1,)), ABSENT, name="m1", force=force)


def test_a_leader_hands_over_before_it_goes():
    made = decided(Living(behind={2: 5}), ABSENT, name="m1")
    assert (made.do, made.first_leads) == (ABSENT, "3"), "to the one that is furthest"
    assert decided(Living(leader=2), ABSENT, name="m1").first_leads == ""


def test_learners_and_strangers_go_without_arithmetic():
    made = decided(with_learner(cut={3}), ABSENT, name="m4")
    assert (made.do, made.arithmetic) == (ABSENT, "")
    assert decided(Living(), ABSENT, name="m9").says == "m9 is no member."


# ---- leading ---------------------------------------------------------------------------------------------------------


def test_who_may_lead():
    assert decided(Living(), LEADER, name="m2").do == LEADER and decided(Living(), LEADER, name="m1").do == ""
    assert "m3 is not healthy (it does not answer a linearizable read" in refused(Living(cut={3}), LEADER, name="m3")
    assert "m4 is a learner, and cannot lead. Next: name one of m1, m2, m3." in refused(
        with_learner(), LEADER, name="m4"
    )
    assert "m2 lacks 5,000 entries" in refused(Living(index=10_000, behind={2: 5_000}), LEADER, name="m2")


# ---- without a quorum, and where the version forbids it --------------------------------------------------------------


@pytest.mark.parametrize("state", [PRESENT, PROMOTED, ABSENT, LEADER])
def test_a_cluster_without_a_quorum_is_not_forced(state):
    words = refused(Living(cut={2, 3}), state, name="m4", peer_urls=[peer(4)], force="1 of 2")
    assert "no quorum, and nothing forces" in words and "restore.yml" in words and "member/snap/db" in words


def test_members_that_refuse_the_question_are_no_lost_quorum():
    words = refused(Living(probe_words=dict.fromkeys((1, 2, 3), "etcdserver: user name is empty")), ABSENT, name="m1")
    assert "cannot be asked" in words and "etcd_auth_user" in words and "restore.yml" not in words


def test_where_a_promotion_breaks_the_next_start_nothing_is_added_or_promoted():
    etcd = Living(version=Version(3, 6, 3))
    words = refused(etcd, PRESENT, name="m4", peer_urls=[peer(4)])
    assert "etcd #20387" in words and "Upgrade to 3.6.4 or later" in words
    assert "etcd #20387" in refused(with_learner(version=Version(3, 6, 3)), PROMOTED, name="m4")
    assert decided(etcd, ABSENT, name="m3").do == ABSENT, "what is dead may go"
    assert decided(Living(version=Version(3, 6, 4)), PRESENT, name="m4", peer_urls=[peer(4)]).do == PRESENT


def test_what_a_version_does_wrong_is_a_warning():
    made = decided(Living(version=Version(3, 5, 2)), PRESENT, name="m4", peer_urls=[peer(4)])
    assert any("can corrupt data under load" in words for words in made.warnings)
    assert decided(Living(), PRESENT, name="m4", peer_urls=[peer(4)]).warnings == []


# ---- the list before and after, and the doing ------------------------------------------------------------------------


def test_the_diff_is_the_member_list():
    etcd = Living()
    members = seen(etcd).members
    assert in_lines(members).splitlines() == [
        "m1 1 http://10.0.0.1:2380 leader",
        "m2 2 http://10.0.0.2:2380 voter",
        "m3 3 http://10.0.0.3:2380 voter",
    ]

    def after(state, **given):
        asked = Asked(state, **given)
        return in_lines(as_it_will_be(members, asked, decide(seen(etcd), asked))).splitlines()

    assert (
        after(PRESENT, name="m4", peer_urls=[peer(4)])[3] == "m4 (new) http://10.0.0.4:2380 learner that has never run"
    )
    assert after(ABSENT, name="m1") == ["m2 2 http://10.0.0.2:2380 voter", "m3 3 http://10.0.0.3:2380 leader"]
    assert after(LEADER, name="m2")[:2] == ["m1 1 http://10.0.0.1:2380 voter", "m2 2 http://10.0.0.2:2380 leader"]
    assert after(ABSENT, name="m9") == in_lines(members).splitlines()
    learner = with_learner()
    promoted = as_it_will_be(seen(learner).members, Asked(PROMOTED), decided(learner, PROMOTED, name="m4"))
    assert in_lines(promoted).splitlines()[3] == "m4 4 http://10.0.0.4:2380 voter"


def carried_out(etcd, state, seconds=0.2, pause=None, **given):
    asked = Asked(state, **given)
    made = Membership(etcd, etcd.tools, etcd.connection(1, 2, 3), knock=etcd.knock, handshake=lambda *_: "")
    return carry_out(made, asked, decide(made.look(), asked), seconds, pause or time.sleep)


def test_a_removal_is_judged_anew_when_the_leadership_has_moved():
    """Voters that die meanwhile make it the removal of one too many."""
    etcd = Living((1, 2, 3, 4, 5), behind={4: 9, 5: 9})
    plain = etcd.change

    def die(asked, make):
        etcd.down = {4, 5}
        return plain(asked, make)

    etcd.change = die
    with pytest.raises(EtcdError, match="5 voters, 3 healthy.* no quorum"):
        carried_out(etcd, ABSENT, name="m1")
    assert sorted(etcd.members) == [1, 2, 3, 4, 5] and etcd.leader != 1


def test_a_list_that_comes_too_late_does_not_end_the_wait_for_a_learner():
    etcd = with_learner(behind={4: 5000}, version=Version(3, 5, 35))

    def catches_up(_seconds):
        etcd.behind, etcd.unreadable = {}, 1

    assert carried_out(etcd, PROMOTED, pause=catches_up, name="m4") == "4" and "isLearner" not in etcd.members[4]


def test_what_was_decided_is_done():
    etcd = Living()
    assert carried_out(etcd, PRESENT, name="m4", peer_urls=[peer(4)]) == "4"
    etcd.start(4)
    assert carried_out(etcd, PROMOTED, name="m4") == "4" and "isLearner" not in etcd.members[4]
    assert carried_out(etcd, LEADER, name="m4") == "4" and etcd.leader == 4
    assert carried_out(etcd, ABSENT, name="m4") == "4" and 4 not in etcd.members and etcd.leader == 3
    assert carried_out(etcd, PRESENT, name="m3", peer_urls=[peer(3)]) == "3"


def test_a_learner_is_waited_for_and_not_for_ever():
    etcd = with_learner(index=10_000, behind={4: 9_000})

    def catch_up(_seconds):
        etcd.behind[4] -= 3_000

    assert carried_out(etcd, PROMOTED, pause=catch_up, name="m4") == "4" and etcd.behind[4] == 0
    with pytest.raises(EtcdError, match="m4 lacks 9,000 entries"):
        carried_out(with_learner(index=10_000, behind={4: 9_000}), PROMOTED, seconds=0, name="m4")
