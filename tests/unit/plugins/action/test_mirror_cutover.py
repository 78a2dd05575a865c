# SPDX-License-Identifier: GPL-3.0-or-later
"""The host that hands over is lost meanwhile: what became of it is found out, and where nobody can say, nobody is started."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible_collections.quorum.etcd.plugins.action import mirror_cutover
from ansible_collections.quorum.etcd.plugins.action.mirror_cutover import PATIENCE, REFUSALS, ActionModule

LOST = AnsibleConnectionFailure("Connection timed out")
RUNS = {
    "failed": True,
    "msg": "A cutover of dr runs on this host already. Next: wait.",
    "next_step": "wait.",
    "running": True,
}
REFUSED = {"failed": True, "msg": "Somebody still writes. Next: stop them.", "next_step": "stop them."}
KILLED = {"failed": True, "msg": "MODULE FAILURE", "rc": 137}
LOOKED, ALREADY = ({"result": result, "text": [result], "late": 0} for result in ("looked", "already"))
DONE = {"result": "handed over", "text": ["HANDED OVER"], "late": 0}


class Host:
    """It answers each question with the next of ``answers``, and the last one for ever; each takes a while."""

    def __init__(self, monkeypatch, *answers, confirm="dr", check_mode=False):
        self.answers, self.asked, self.now = list(answers), [], 0.0
        monkeypatch.setattr(mirror_cutover, "time", self)
        monkeypatch.setattr(mirror_cutover, "Ticker", MagicMock())
        monkeypatch.setattr(mirror_cutover.ActionBase, "run", lambda *_given: {})
        self.action = ActionModule(*(MagicMock() for _argument in range(6)))
        self.action._task.args, self.action._task.check_mode = {"name": "dr", "confirm": confirm}, check_mode
        self.action._execute_module = self.execute

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds

    def execute(self, module_name, module_args, task_vars):
        self.asked.append(module_args["confirm"])
        self.now += 10
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return dict(answer)

    def told(self):
        return self.action.run(None, {"inventory_hostname": "engine"})


@pytest.mark.parametrize("answer", [DONE, REFUSED, ALREADY])
def test_an_answer_is_one(monkeypatch, answer):
    host = Host(monkeypatch, answer)
    assert host.told() == answer and host.asked == ["dr"]


@pytest.mark.parametrize(("confirm", "check_mode"), [("", False), ("dr", True)])
def test_a_look_is_no_handover(monkeypatch, confirm, check_mode):
    with pytest.raises(AnsibleConnectionFailure):
        Host(monkeypatch, LOST, confirm=confirm, check_mode=check_mode).told()


@pytest.mark.parametrize("lost", [LOST, KILLED, RUNS])
def test_it_went_on_alone_and_handed_over(monkeypatch, lost):
    """``RUNS`` is what a connection that tries again by itself is told."""
    host = Host(monkeypatch, lost, AnsibleError("still away"), LOST, RUNS, RUNS, ALREADY, {**ALREADY, "late": 3})
    told = host.told()
    assert (told["result"], told["late"], told["changed"]) == ("already", 3, True) and "failed" not in told
    assert host.asked == ["dr", "", "", "", "", "", "dr"]


def test_it_handed_over_and_cannot_do_the_rest_now(monkeypatch):
    for answer in (LOST, REFUSED):
        told = Host(monkeypatch, KILLED, ALREADY, answer).told()
        assert told["result"] == "already" and "run this again" in told["problem"]


def test_it_had_not_handed_over(monkeypatch):
    host = Host(monkeypatch, LOST, RUNS, LOOKED)
    told = host.told()
    assert told["failed"] and "result" not in told and host.asked == ["dr", "", ""]
    assert "(Connection timed out), and nothing was handed over" in told["msg"] and "Next: " in told["msg"]


@pytest.mark.parametrize(("answer", "patience"), [(LOST, PATIENCE), (RUNS, PATIENCE), (REFUSED, REFUSALS)])
def test_where_nobody_can_say_it_is_unknown(monkeypatch, answer, patience):
    host = Host(monkeypatch, LOST, answer)
    told = host.told()
    assert told["result"] == "unknown" and told["late"] == -1 and "failed" not in told
    assert (answer["msg"] if isinstance(answer, dict) else "Connection timed out") in told["problem"]
    assert patience < host.now < patience + 60


def test_one_that_refuses_for_a_moment_is_asked_again(monkeypatch):
    host = Host(monkeypatch, LOST, REFUSED, LOST, *[REFUSED] * 5, LOOKED)
    assert "nothing was handed over" in host.told()["msg"]
