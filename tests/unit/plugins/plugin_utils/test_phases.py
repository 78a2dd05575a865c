# SPDX-License-Identifier: GPL-3.0-or-later
"""When a host must not go on alone, and when it is not even asked."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible_collections.quorum.etcd.plugins.plugin_utils.phases import PhaseAction, Turn, failed_peers, with_the_gone

PEERS = {"m1": {"changed": True}, "m2": {"failed": True, "msg": "no space left."}}


class Phases(PhaseAction):
    """A job whose phase ``told`` is known already, and that does ``other`` in the place of ``instead``."""

    alone = ("back",)

    def told(self, turn: Turn):
        return {"known": turn.own} if turn.phase == "told" else None

    def instead(self, turn: Turn):
        return ("other", {"said": "so"}) if turn.phase == "instead" else super().instead(turn)


def run(phase, peers=None, in_play=("m1", "m2")):
    """The result, and the arguments that the host's module was given."""
    task = MagicMock(
        args={"phase": phase, "plan": {"of": {}}, "peers": peers or {}}, async_val=0, resolved_action="a.b.c"
    )
    connection = MagicMock(transport="local", become=None)
    action = Phases(task, connection, MagicMock(), MagicMock(), MagicMock(), MagicMock())
    action._execute_module = MagicMock(return_value={"changed": True})
    result = action.run(task_vars={"inventory_hostname": "m1", "ansible_play_hosts": list(in_play)})
    calls = action._execute_module.call_args_list
    return result, [(call.kwargs["module_name"], call.kwargs["module_args"]) for call in calls]


def test_a_phase_is_done_on_the_host_which_hears_nothing_of_the_others():
    result, calls = run("stage", {"m1": {"changed": True}, "m2": {}})
    assert result["changed"] and calls == [("a.b.c", {"phase": "stage", "plan": {"of": {}}})]


@pytest.mark.parametrize(("peers", "in_play"), [(PEERS, ("m1", "m2")), ({"m1": {}, "m2": {}}, ("m1",))])
def test_nobody_goes_on_where_another_one_failed_or_is_gone(peers, in_play):
    result, calls = run("stage", peers, in_play)
    assert (
        result["failed"] and result["because_of"] == "another host" and result["msg"].startswith("m2: ") and calls == []
    )
    assert run("back", peers, in_play)[1], "but the way back is everybody's own"


def test_what_is_known_is_not_asked_and_what_a_job_does_instead_is_done():
    assert run("told", {"m1": {"changed": True}, "m2": {}}) == ({**run("told")[0], "known": {"changed": True}}, [])
    result, calls = run("instead")
    assert calls[0][1]["phase"] == "other" and result["said"] == "so"


def test_nobody_failed():
    assert failed_peers({}) == ""
    assert failed_peers({"m1": {"changed": True}, "m2": {"skipped": True}, "m3": {}}) == ""


def test_the_host_and_its_words_are_told():
    said = failed_peers({"m1": {"changed": True}, "m2": {"failed": True, "msg": "no space left."}})
    assert said == "m2: no space left."


def test_a_host_that_is_gone_counts_as_failed():
    assert failed_peers({"m1": {"unreachable": True}}) == "m1: it could not be reached any more."
    said = failed_peers({"m1": {"unreachable": True, "msg": "Connection timed out"}})
    assert said == "m1: it could not be reached any more: Connection timed out"


def test_a_host_that_left_the_play_in_another_task_is_gone_too():
    """Its last result may be an earlier phase's, or none at all."""
    peers = with_the_gone({"m1": {"changed": True}, "m2": {}, "m3": {"failed": True, "msg": "no space left."}}, ["m1"])
    assert failed_peers(peers) == "m2: it could not be reached any more. m3: no space left."
    assert with_the_gone({"m1": {"changed": True}, "m2": {}}, ["m1", "m2"]) == {"m1": {"changed": True}, "m2": {}}
