# SPDX-License-Identifier: GPL-3.0-or-later
"""``quorum-etcd recover``: what is refused before any cluster is asked, and what it says of what it has found and done."""

from __future__ import annotations

import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent import cli, recovering
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.log_place import Keys, Place
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.recovering import Difference, Outcome, Plan
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.recovery import Recovery, Wish, in_words, recover, told
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import load

NOON = 1795867200.0


@pytest.fixture
def config(tmp_path):
    side = {"endpoints": ["http://127.0.0.1:9"]}
    path = tmp_path / "east.json"
    path.write_text(
        json.dumps({"name": "east", "source": side, "destination": side, "state_dir": str(tmp_path / "state")})
    )
    return str(path)


def said(config, *words):
    lines = []
    code = cli.main(
        ["recover", "east", "--config", config, *words], lambda _argv, _env: Result(1, "", ""), "1", lines.append
    )
    return code, lines


def a_recovery(outcome=None, keys=(("create", b"/a/\xff"), ("delete", b"/a/2")), left=()):
    difference = Difference(1, 0, 1, keys) if keys else Difference(0, 0, 0, ())
    plan = Plan(Place(5, 4711, NOON), 4720, difference, left, lambda: iter(()))
    return Recovery("east", Keys(b"/a/"), plan, False, outcome)


def test_a_wrong_confirmation_is_refused(config):
    code, lines = said(config, "--all", "--at", "30m", "--confirm", "west")
    assert code == 1 and "west is not the mirror's name" in lines[0] and "confirm with east" in lines[1]


@pytest.mark.parametrize("words", [["--all"], ["--at", "30m"], ["--all", "--key", "a", "--at", "1h"]])
def test_what_is_not_said_is_asked_for(config, words):
    with pytest.raises(SystemExit):
        said(config, *words)


@pytest.mark.parametrize(
    ("wish", "why"),
    [
        (Wish(at="30m"), "which keys is not said"),
        (Wish(key=b"a", prefix=b"b", at="30m"), "or more than once"),
        (Wish(prefix=b"", at="30m"), "the key or prefix is empty.*say that it is everything"),
        (Wish(everything=True), "how the keys are to be is not said"),
        (Wish(everything=True, at="1h", revision=4), "or more than once"),
    ],
)
def test_a_wish_that_is_not_clear_is_refused_before_a_cluster_is_asked(config, wish, why):
    with pytest.raises(Exception, match=why):
        recover(load(config), wish, True, NOON, print)


def test_the_command_passes_on_what_it_was_given(config, monkeypatch):
    asked = []

    def recovered(_settings, wish, confirmed, _now, _progress):
        asked.append((wish, confirmed))
        return a_recovery(Outcome(1, [b"/a/2"], 1) if confirmed else None)

    monkeypatch.setattr(recovering, "recover", recovered)
    assert said(config, "--key", "/a\udcff", "--revision", "7", "--partly")[0] == 0
    code, lines = said(config, "--prefix", "/a/", "--from-mirror", "--confirm", "east", "--json")
    assert code == 1 and json.loads(lines[0])["meanwhile"] == ["/a/2"]
    assert asked == [
        (Wish(key=b"/a\xff", revision=7, partly=True), False),
        (Wish(prefix=b"/a/", from_mirror=True), True),
    ]


def test_what_was_found_in_words():
    assert in_words(a_recovery(left=[b"/x"])) == [
        "the keys that begin with /a/, as of revision 4,711, read at 2026-11-28T12:00:00Z, from the log; the source is at 4,720",
        "  1 to create, 0 to change, 1 to delete",
        "    create /a/\\xff",
        "    delete /a/2",
        "  left as it is, since nobody knows what it was: /x",
        "  nothing was touched: confirm with the mirror's name, east",
    ]
    assert in_words(a_recovery(keys=()))[-1] == "  nothing to do: it is as it was"


def test_what_was_done_in_words_and_as_data():
    recovery = a_recovery(Outcome(1, [b"/a/2"], 3))
    assert in_words(recovery)[-3:] == [
        "  1 key brought back",
        "  without their leases, of which 3 had ended",
        "  NOT brought back, since it was changed meanwhile: /a/2",
    ]
    data = told(recovery)
    assert (data["result"], data["done"], data["created"], data["deleted"], data["leases_ended"]) == (
        "done",
        1,
        1,
        1,
        3,
    )
    assert data["differing"][0] == {"what": "create", "key": "/a/\\xff", "key_base64": "L2Ev/w=="}
    assert json.loads(json.dumps(data)) == data
