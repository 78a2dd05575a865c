# SPDX-License-Identifier: GPL-3.0-or-later
"""``quorum-etcd log show``, with the settings of a mirror and without those of backups."""

from __future__ import annotations

import json
import time

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent import cli
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Event, KeyValue
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import Log

NOW = 1795867200.0


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    side = {"endpoints": ["http://127.0.0.1:9"]}
    given = {
        "name": "east",
        "source": side,
        "destination": side,
        "keep_log": True,
        "state_dir": str(tmp_path / "state"),
    }
    (tmp_path / "east.json").write_text(json.dumps(given))
    return tmp_path


def said(mirror, *words):
    lines = []
    config = str(mirror / "east.json")
    code = cli.main(
        ["log", "show", "east", "--config", config, *words], lambda _argv, _env: Result(1, "", ""), "1", lines.append
    )
    return code, lines


def a_log(mirror):
    with Log(str(mirror / "state/log"), kept=True) as log:
        log.begin(1, 10, NOW - 9000)
        for number, ago in enumerate((8000, 3000, 60)):
            log.append(1, 11 + number, NOW - ago, [Event(False, KeyValue(b"/k/%d" % number, 11, 11, 1, b"secret"))])


def test_it_shows_what_was_asked_for(mirror):
    a_log(mirror)
    code, lines = said(mirror, "--since", "1h")
    assert code == 0 and [line.split()[4] for line in lines if " created " in line] == ["/k/1", "/k/2"]
    code, lines = said(mirror, "--until", "1h", "--prefix", "/k", "--json")
    told = json.loads(lines[0])
    assert code == 0 and [one["key"] for one in told["changes"] if one["what"] == "created"] == ["/k/0"]
    assert "secret" not in "".join(said(mirror)[1]) and "secret" in "".join(said(mirror, "--values")[1])


@pytest.mark.parametrize(
    ("words", "why"),
    [(["--since", "yesterday"], "'yesterday' is no moment"), ([], "has no log: there is no folder")],
)
def test_what_cannot_be_shown_is_refused(mirror, words, why):
    if words:
        a_log(mirror)
    code, lines = said(mirror, *words)
    assert code == 1 and why in lines[0] and "Next: " in lines[-1]
