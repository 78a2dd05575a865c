# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The changes of a membership, and what each voter has proven itself, in the shapes that were seen on etcd 3.4 to 3.7."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.membership import Membership
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.proving import answering, lag, look
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version

sys.path.insert(0, str(Path(__file__).parent))
from living import LOST, Living, peer, time_jumps, url  # noqa: E402

LINES = [Version(3, 4, 23), Version(3, 5, 35), Version(3, 6, 16), Version(3, 7, 3)]


@pytest.fixture(autouse=True)
def jumping(monkeypatch):
    time_jumps(monkeypatch)


def membership(etcd, **more):
    given = {"knock": etcd.knock, "handshake": lambda *_: "", **more}
    return Membership(etcd, etcd.tools, etcd.connection(), **given)


def seen(etcd, *endpoints):
    return look(etcd, etcd.tools, etcd.connection(*endpoints), knock=etcd.knock, handshake=lambda *_: "")


def names(members):
    return [member.name for member in members]


# ---- the view by proofs ----------------------------------------------------------------------------------------------


def test_whoever_answers_a_linearizable_read_is_healthy():
    etcd = Living()
    view = seen(etcd)
    assert [member.healthy for member in view.members] == [True] * 3
    assert (view.health, view.has_quorum, view.serving_voters, view.healthy_voters) == ("healthy", True, 3, 3)
    assert etcd.asked("endpoint health") == [[1, 2, 3]], "one command for all of them"
    assert not etcd.asked("endpoint hashkv")


@pytest.mark.parametrize("version", LINES, ids=str)
def test_a_member_that_is_cut_off_is_not_healthy_although_it_says_so(version):
    etcd = Living(version=version, cut={3})
    view = seen(etcd, 3, 1)
    assert [(member.name, member.healthy, member.has_leader) for member in view.members] == [
        ("m1", True, True),
        ("m2", True, True),
        ("m3", False, True),
    ]
    assert view.members[2].errors == ["it does not answer a linearizable read: context deadline exceeded"]
    assert (view.health, view.has_quorum, view.serving_voters, view.may_fail) == ("degraded", True, 2, 0)
    assert names(answering(view)) == ["m1", "m2"]
    assert etcd.asked("member list")[-1] != [3, 1], "its list is one of the past"
    assert "2 of 3 voters are up, 2 are needed: no further member may fail." in view.summary


@pytest.mark.parametrize("version", LINES, ids=str)
def test_where_nobody_answers_there_is_no_quorum_whatever_they_say(version):
    view = seen(Living(version=version, cut={1, 2}))
    assert (view.has_quorum, view.quorum_unknown, view.serving_voters, view.health) == (False, False, 0, "no quorum")
    assert answering(view) == []


def test_a_user_who_may_not_read_is_answered_and_one_who_is_refused_tells_nothing():
    assert seen(Living()).has_quorum
    view = seen(Living(probe_words=dict.fromkeys((1, 2, 3), "etcdserver: user name is empty")))
    assert (view.has_quorum, view.quorum_unknown, view.health) == (False, True, "cannot be asked")
    assert view.next_steps == ["set etcd_auth_user (with the root role) and etcd_auth_password."]


@pytest.mark.parametrize("words", ["Active Alarm(s): NOSPACE", "Unable to fetch the alarm list"])
def test_an_alarm_comes_after_the_answer(words):
    etcd = Living(probe_words={2: words})
    view = seen(etcd)
    assert names(answering(view)) == ["m1", "m2", "m3"] and view.has_quorum


def test_a_voter_with_an_alarm_serves_and_is_not_healthy():
    view = seen(Living(alarms=[2]))
    assert [member.healthy for member in view.members] == [True, False, True]
    assert (view.serving_voters, view.healthy_voters) == (3, 2) and names(answering(view)) == ["m1", "m2", "m3"]


def test_a_learner_is_not_asked_for_a_read_which_it_refuses():
    etcd = Living((1, 2, 3, 4))
    etcd.members[4]["isLearner"] = True
    view = seen(etcd)
    assert etcd.asked("endpoint health") == [[1, 2, 3]] and view.members[3].healthy and view.voters == 3


def test_the_lag_is_what_a_member_has_not_applied_of_the_leaders_log():
    etcd = Living((1, 2, 3, 4), index=10_000_000, behind={4: 900_000, 2: 3}, down={3})
    etcd.members[4]["isLearner"] = True
    view = seen(etcd)
    assert [lag(view, member) for member in "12345"] == [0, 3, None, 900_000, None]


# ---- changes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", LINES, ids=str)
@pytest.mark.parametrize("learner", [True, False])
def test_a_member_is_added_once(version, learner):
    etcd = Living(version=version)
    made = membership(etcd).add("m4", [peer(4)], learner)
    assert (made.id, made.changed) == ("4", True) and bool(etcd.members[4].get("isLearner")) is learner
    again = membership(etcd).add("m4", [peer(4)], learner)
    assert (again.id, again.changed) == ("4", False) and "is there" in again.says
    assert len(etcd.asked("member add")) == 1


def test_an_addition_whose_answer_is_lost_has_worked():
    etcd = Living(lose=1)
    made = membership(etcd).add("m4", [peer(4)], True)
    assert (made.id, made.changed) == ("4", True)
    assert [said for said, _asked in etcd.calls][-2:] == ["member add m4", "member list"], (
        "nothing comes before the list"
    )


def test_one_that_never_arrived_says_so_in_etcds_words_and_is_not_repeated():
    etcd = Living(ignore=1)
    with pytest.raises(EtcdError, match="member add m4 failed with exit code 1: context deadline exceeded") as caught:
        membership(etcd).add("m4", [peer(4)], True)
    assert caught.value.next_step and len(etcd.asked("member add")) == 1 and 4 not in etcd.members
    assert len(etcd.asked("member list")) > 2, "it could have come yet"


def test_where_the_list_cannot_be_read_either_nothing_is_known():
    etcd = Living(lose=1)
    plain = etcd.member_add

    def add(*given):
        etcd.unreadable = 1_000_000
        return plain(*given)

    etcd.member_add = add
    with pytest.raises(EtcdError, match="it is not known whether the change was made") as caught:
        membership(etcd).add("m4", [peer(4)], True)
    assert "context deadline exceeded" in caught.value.message and "status.yml" in caught.value.next_step


def test_a_cluster_that_counts_as_unhealthy_for_some_seconds_is_waited_for():
    etcd, heard = Living(refuse=["unhealthy cluster"] * 3), []
    made = membership(etcd, say=heard.append).add("m4", [peer(4)], True)
    assert made.changed and len(etcd.asked("member add")) == 4
    assert heard == ["waiting: etcdserver: unhealthy cluster"] * 3


def test_an_id_of_the_same_second_that_was_removed_is_waited_out_by_whoever_adds():
    etcd = Living(refuse=["member not found"] * 3)
    added = membership(etcd).add("m4", [peer(4)], learner=True)
    assert added.changed and len(etcd.asked("member add")) == 4


def test_and_not_for_ever():
    etcd = Living(refuse=["unhealthy cluster"] * 100_000)
    with pytest.raises(EtcdError, match="unhealthy cluster") as caught:
        membership(etcd).add("m4", [peer(4)], True)
    assert "which voter is not healthy" in caught.value.next_step


@pytest.mark.parametrize(
    "words, step",
    [
        ("too many learner members in cluster", "promote or remove the learner"),
        ("re-configuration failed due to not enough started members", "start the members"),
        ("permission denied", "name a user with the root role"),
        ("something new", "run status.yml"),
    ],
)
def test_another_refusal_is_said_at_once(words, step):
    etcd = Living(refuse=[words])
    with pytest.raises(EtcdError, match=words) as caught:
        membership(etcd).add("m4", [peer(4)], True)
    assert step in caught.value.next_step and len(etcd.asked("member add")) == 1


def test_two_members_of_one_name_or_one_peer_url_are_refused_before_etcd_is_asked():
    etcd = Living()
    for name, urls, words in (
        ("m2", [peer(4)], "a member is called m2 already: 2"),
        ("m4", [peer(4), peer(2)], "the member m2 has some of the peer URLs"),
    ):
        with pytest.raises(EtcdError, match=words):
            membership(etcd).add(name, urls, True)
    assert not etcd.asked("member add")


@pytest.mark.parametrize("lose", [0, 1])
def test_a_removal_is_asked_of_the_others_and_done_once(lose):
    etcd = Living(lose=lose, leader=2)
    made = membership(etcd).remove("3")
    assert made.changed and 3 not in etcd.members and etcd.asked("member remove") == [[1, 2]]
    assert all(3 not in asked for asked in etcd.asked("member list")[1:])
    again = membership(etcd).remove("3")
    assert not again.changed and again.says == "the cluster has no member 3."


def test_a_dead_member_is_removed_and_what_was_removed_by_the_call_before_has_worked():
    etcd = Living(down={3}, refuse=["member not found"])
    etcd.member_remove = lambda asked, words, argv: (etcd.members.pop(3), Living.change(etcd, asked, dict))[1]
    assert membership(etcd).remove("3").changed


def meanwhile(etcd, happens):
    """Let it happen when a removal is asked for."""
    plain = etcd.member_remove

    def remove(*given):
        happens()
        return plain(*given)

    etcd.member_remove = remove


def test_after_a_removal_the_others_must_answer():
    etcd = Living((1, 2, 3, 4, 5))
    meanwhile(etcd, lambda: etcd.cut.add(2))
    with pytest.raises(EtcdError, match="5 is removed, and not all others have answered since"):
        membership(etcd).remove("5")


def test_a_look_that_finds_no_list_ends_no_wait():
    """Whom it does not know of cannot be seen to be silent."""
    etcd = Living((1, 2, 3, 4, 5))
    meanwhile(etcd, lambda: etcd.cut.add(2))
    plain, lists = etcd.member_list, []

    def list_of(*given):
        lists.append(5 not in etcd.members)
        return Result(1, "", LOST) if sum(lists) > 1 else plain(*given)  # the change itself is seen

    etcd.member_list = list_of
    with pytest.raises(EtcdError, match="5 is removed, and not all others have answered since"):
        membership(etcd).remove("5")


def test_who_is_removed_meanwhile_need_not_answer():
    etcd = Living((1, 2, 3, 4, 5))
    meanwhile(etcd, lambda: etcd.members.pop(2))
    assert membership(etcd).remove("5").changed and set(etcd.members) == {1, 3, 4}


def test_the_last_voter_cannot_be_asked_to_remove_itself():
    with pytest.raises(EtcdError, match="nobody but 1 could be asked"):
        membership(Living((1,))).remove("1")


def test_a_promotion_is_asked_of_the_leader():
    etcd = Living((1, 2, 3, 4), leader=2, lose=1)
    etcd.members[4]["isLearner"] = True
    assert membership(etcd).promote("4").changed and etcd.asked("member promote") == [[2]]
    again = membership(etcd).promote("4")
    assert not again.changed and again.says == "4 is a voter."


def test_one_that_is_not_in_sync_yet_is_waited_for_and_not_for_ever():
    early = "can only promote a learner member which is in sync with leader"
    etcd = Living((1, 2, 3, 4), refuse=[early, early])
    etcd.members[4]["isLearner"] = True
    assert membership(etcd).promote("4").changed
    etcd.members[4]["isLearner"], etcd.refuse = True, [early] * 100_000
    with pytest.raises(EtcdError, match="in sync with leader") as caught:
        membership(etcd).promote("4")
    assert "caught up" in caught.value.next_step


def test_the_leadership_moves_once():
    etcd = Living()
    assert membership(etcd).move_leader("2").changed and etcd.leader == 2
    assert not membership(etcd).move_leader("2").changed and len(etcd.asked("move-leader")) == 1
    etcd.lose = 1
    assert membership(etcd).move_leader("3").changed, "its answer was lost, and it has worked"
    etcd.ignore = 1
    with pytest.raises(EtcdError, match=f"move-leader 1 failed with exit code 1: {LOST[7:]}"):
        membership(etcd).move_leader("1")


def test_who_cannot_lead():
    etcd = Living((1, 2, 3, 4), cut={3})
    etcd.members[4]["isLearner"] = True
    for member, words in (("3", "3 is no healthy voter"), ("4", "4 is no healthy voter"), ("9", "no member 9")):
        with pytest.raises(EtcdError, match=words):
            membership(etcd).move_leader(member)
    assert not etcd.asked("move-leader")


@pytest.mark.parametrize(
    "call", [lambda m: m.add("m4", [peer(4)], True), lambda m: m.remove("3"), lambda m: m.promote("3")]
)
def test_without_a_quorum_nothing_is_asked(call):
    etcd = Living(cut={1, 2})
    with pytest.raises(EtcdError, match="has no quorum") as caught:
        call(membership(etcd))
    assert "restore.yml" in caught.value.next_step
    assert not any(said.startswith(("member add", "member remove", "member promote")) for said, _asked in etcd.calls)


def test_a_list_that_came_too_late_is_asked_for_again_before_a_change():
    etcd = Living(version=LINES[1], unreadable=1)
    assert membership(etcd).remove("3").changed and not etcd.unreadable
    etcd.unreadable = 1_000_000
    with pytest.raises(EtcdError, match="did not tell its members"):
        membership(etcd).remove("2")
    assert len(etcd.asked("member remove")) == 1


def test_an_unknown_member_is_not_promoted():
    with pytest.raises(EtcdError, match="the cluster has no member 9"):
        membership(Living()).promote("9")


def test_it_needs_etcdctl():
    etcd = Living()
    with pytest.raises(EtcdError, match="etcdctl is missing"):
        Membership(etcd, type(etcd.tools)(), etcd.connection())
    assert url(1) in etcd.connection().endpoints
