# SPDX-License-Identifier: GPL-3.0-or-later
"""The line that says how far a phase is."""

from __future__ import annotations

import time

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.progress import Progress, how_far, read_so_far, tree_size


def test_a_line_is_there_as_long_as_the_phase(tmp_path):
    path = tmp_path / "progress"
    path.write_text("of a run that was killed")
    progress = Progress(str(path))
    with progress.shown():
        assert not path.exists()
        progress.say("flushing")
        assert path.read_text() == "flushing\n"
    assert not path.exists()


def test_how_far_something_grows(tmp_path):
    (tmp_path / "tree").mkdir()
    progress = Progress(str(tmp_path / "progress"))
    with progress.growing("restoring", 4_000_000, lambda: tree_size(str(tmp_path / "tree"))):
        (tmp_path / "tree" / "db").write_bytes(b"x" * 1_000_000)
        time.sleep(1.3)
        assert (tmp_path / "progress").read_text() == "restoring: 25 % of 4 MB\n"


def test_nothing_depends_on_it(tmp_path):
    Progress(str(tmp_path / "no" / "folder" / "progress")).say("lost")


def test_how_far_a_file_is_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"x" * 5000)
    assert read_so_far(str(path)) == 0
    with path.open("rb", buffering=0) as file:
        file.read(1234)
        assert read_so_far(str(path)) == 1234
    assert read_so_far(str(tmp_path / "none")) == 0


@pytest.mark.parametrize(
    ("done", "total", "words"),
    [
        (2_000_000, 8_000_000, "25 % of 8 MB"),
        (8_000_000, 8_000_000, "100 % of 8 MB"),
        (0, 0, "0 % of 0 MB"),
        (2_658_240, 0, "3 MB so far"),
        (2_658_240, 1, "3 MB so far"),
    ],
)
def test_of_what_is_not_known_there_is_no_share(done, total, words):
    assert how_far(done, total) == words
