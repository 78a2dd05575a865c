# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lines of what became of the last runs: the newest first, bounded, and readable whatever happened to the file."""

from __future__ import annotations

import json
import stat
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import (
    BACKUPS,
    FAILED,
    SAVED,
    Attempt,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core import log

SAID = Attempt(
    at="2026-11-24T03:46:40Z",
    host="m1",
    cluster="etcd",
    folder="/var/backups/etcd",
    result=SAVED,
    seconds=1.5,
    cluster_id="aa",
    revision=7,
    path="/var/backups/etcd/etcd-20261124T034640Z-rev7.db",
    size=20512,
    removed=("old.db",),
    concerns=("an alarm.\nAnother line.",),
)
LOST = replace(SAID, result=FAILED, cause="the disk is full.\n", next_step="free some.", path="")


def test_the_newest_comes_first_and_the_failed_are_there_too(tmp_path):
    BACKUPS.add(str(tmp_path / "state"), SAID)
    BACKUPS.add(str(tmp_path / "state"), LOST)
    BACKUPS.add(str(tmp_path / "state"), replace(SAID, cluster="shop"))
    assert BACKUPS.last(str(tmp_path / "state"), "etcd") == [LOST, SAID]
    assert BACKUPS.last(str(tmp_path / "state"), "etcd", 1) == [LOST]
    assert not LOST.is_good and SAID.is_good
    assert stat.S_IMODE((tmp_path / "state" / BACKUPS.name).stat().st_mode) == 0o600


def test_it_is_read_only_as_far_as_it_is_asked_for(tmp_path, monkeypatch):
    for number in range(20):
        BACKUPS.add(str(tmp_path), replace(SAID, revision=number))
    read = []
    monkeypatch.setattr(log.strict_json, "parse", lambda line: read.append(line) or json.loads(line))
    assert [one.revision for one in BACKUPS.last(str(tmp_path), "etcd", 2)] == [19, 18] and len(read) == 2
    assert next(BACKUPS.each(str(tmp_path), "etcd")).revision == 19 and len(read) == 3


def test_what_cannot_be_noted_is_said_in_words(tmp_path):
    assert BACKUPS.note(str(tmp_path / "state"), SAID, "run") == ""
    (tmp_path / "file").write_text("")
    said = BACKUPS.note(str(tmp_path / "file"), SAID, "run")
    assert said == f"this run could not be recorded in {tmp_path}/file: File exists."


def test_there_are_none_before_the_first(tmp_path):
    assert BACKUPS.last(str(tmp_path / "state"), "etcd") == []


def test_a_line_that_was_cut_off_swallows_none(tmp_path):
    BACKUPS.add(str(tmp_path), SAID)
    path = tmp_path / BACKUPS.name
    path.write_bytes(path.read_bytes() + b'{"at": "2026-11-24T03:4\0\0\0\xff')
    BACKUPS.add(str(tmp_path), LOST)
    with path.open("a") as file:
        file.write('\n[]\n{"at": 5}\n{"result": "saved"}\nnull\n')
    assert BACKUPS.last(str(tmp_path), "etcd") == [LOST, SAID]


def test_a_newer_version_may_have_written_more(tmp_path):
    (tmp_path / BACKUPS.name).write_text(
        json.dumps({"at": SAID.at, "host": "m1", "cluster": "etcd", "folder": "/b", "result": "proven", "level": 3})
        + "\n"
    )
    (found,) = BACKUPS.last(str(tmp_path), "etcd")
    assert found.result == "proven" and found.path == ""


def test_the_file_has_a_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(BACKUPS, "_most", 5)
    for number in range(37):
        BACKUPS.add(str(tmp_path), replace(SAID, revision=number))
        assert len((tmp_path / BACKUPS.name).read_text().split()) > 0
        found = [attempt.revision for attempt in BACKUPS.last(str(tmp_path), "etcd")]
        assert found[0] == number and len(found) <= 5 and found == sorted(found, reverse=True)
    lines = [line for line in (tmp_path / BACKUPS.name).read_text().split("\n") if line]
    assert 5 <= len(lines) <= 10


def test_where_it_cannot_be_written_that_is_an_os_error(tmp_path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(OSError):
        BACKUPS.add(str(tmp_path / "state"), SAID)
