# SPDX-License-Identifier: GPL-3.0-or-later
"""Small files: as a whole or not at all, private from the first byte, and never through a link that somebody has put there."""

from __future__ import annotations

import os
import stat

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.durable import add_line, put


def test_a_file_is_replaced_and_is_its_owners_alone_unless_it_is_said_otherwise(tmp_path):
    path = tmp_path / "plan.json"
    path.write_text("old")
    put(str(path), b"new")
    assert path.read_text() == "new" and stat.S_IMODE(path.stat().st_mode) == 0o600
    put(str(path), b"newer", prepare=lambda descriptor: os.fchmod(descriptor, 0o644))
    assert path.read_text() == "newer" and stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == ["plan.json"]


@pytest.mark.parametrize("what", ["fsync", "rename"])
def test_what_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(tmp_path, monkeypatch, what):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    path = tmp_path / "plan.json"
    path.write_text("old")
    monkeypatch.setattr(os, what, full)
    with pytest.raises(OSError, match="No space"):
        put(str(path), b"new")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["plan.json"]


def test_a_line_is_added_behind_one_that_was_cut_off(tmp_path):
    path = tmp_path / "journal"
    path.write_text("{half")
    add_line(str(path), "whole")
    add_line(str(path), "next")
    assert [line for line in path.read_text().split("\n") if line] == ["{half", "whole", "next"]


def test_no_line_goes_through_a_link(tmp_path):
    (tmp_path / "roots").write_text("")
    (tmp_path / "journal").symlink_to(tmp_path / "roots")
    with pytest.raises(OSError):
        add_line(str(tmp_path / "journal"), "line")
    assert (tmp_path / "roots").read_text() == ""
