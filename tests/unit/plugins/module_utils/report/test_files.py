# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder of reports: private, nothing overwritten, bounded, and nobody else's file touched."""

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.report.files import prune, stem, write

OUTCOMES = ["restored", "rolled-back", "refused"]
REPORT = {"cluster": "etcd", "restore_id": "20261124T031500Z", "when": "2026-11-24T03:16:00Z", "outcome": "restored"}


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "etcd-20261124T031500Z-restored"),
        ({"restore_id": "", "outcome": "refused"}, "etcd-20261124T031600Z-refused"),
        ({"restore_id": "../../etc"}, "etcd-20261124T031600Z-restored"),
        ({"cluster": "../../etc/cron.d/x y\n\u00fc"}, "_.._etc_cron.d_x_y_-20261124T031500Z-restored"),
        ({"cluster": "..."}, "cluster-20261124T031500Z-restored"),
    ],
)
def test_a_name_stays_in_its_folder(changes, name):
    assert stem({**REPORT, **changes}) == name


def test_folder_and_files_are_private_whatever_the_umask(tmp_path):
    folder = tmp_path / "state" / "reports"
    before = os.umask(0)
    try:
        paths = write(str(folder), "etcd", {"html": "<p>\u00fc", "json": "{}"})
    finally:
        os.umask(before)
    assert mode(folder) == 0o700
    assert {ending: mode(path) for ending, path in paths.items()} == {"html": 0o600, "json": 0o600}
    assert (folder / "etcd.html").read_text(encoding="utf-8") == "<p>\u00fc"


def test_no_report_replaces_another(tmp_path):
    names = []
    for number in range(3):
        paths = write(str(tmp_path), stem(REPORT), {"html": str(number), "json": str(number)})
        names.append({os.path.basename(path).rpartition(".")[0] for path in paths.values()})
    first = stem(REPORT)
    assert names == [{first}, {f"{first}-2"}, {f"{first}-3"}]
    assert (tmp_path / f"{first}.html").read_text() == "0"
    (tmp_path / f"{first}-4.json").symlink_to(tmp_path / "nowhere")
    assert write(str(tmp_path), first, {"json": "x"})["json"].endswith("-5.json"), "a link is not written through"


def test_where_one_file_cannot_be_written_there_is_none(tmp_path):
    with pytest.raises(OSError):
        write(str(tmp_path), "etcd", {"html": "x", "no/such": "x"})
    assert list(tmp_path.iterdir()) == []


def test_only_the_newest_reports_are_kept_and_only_reports_go(tmp_path):
    others = [
        "notes.html",
        "etcd-restored.html",
        "etcd-20261124T031500Z-restored.html.bak",
        "etcd-20261124T031500Z-mine.json",
    ]
    for name in others:
        (tmp_path / name).write_text("mine")
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / "etcd-20200101T000000Z-restored.json").mkdir()
    for number in range(5):
        outcome = ("restored", "rolled-back")[number % 2]
        report = {**REPORT, "cluster": "ab"[number % 2], "restore_id": f"2026112{number}T031500Z", "outcome": outcome}
        for path in write(str(tmp_path), stem(report), {"html": "", "json": ""}).values():
            os.utime(path, (1000 - number, 1000 - number))  # the first is the newest, whatever its name says
    gone = prune(str(tmp_path), OUTCOMES, keep=2)
    assert sorted(map(os.path.basename, gone)) == [
        "a-20261122T031500Z-restored.html",
        "a-20261122T031500Z-restored.json",
        "a-20261124T031500Z-restored.html",
        "a-20261124T031500Z-restored.json",
        "b-20261123T031500Z-rolled-back.html",
        "b-20261123T031500Z-rolled-back.json",
    ]
    assert all((tmp_path / name).exists() for name in others)
    assert prune(str(tmp_path), OUTCOMES, keep=2) == []
