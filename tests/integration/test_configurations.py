# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations as people write them: restored with, or refused before anything is touched."""

from __future__ import annotations

import re
from pathlib import Path

from client import differences, dump
from conftest import CONFIRM, RESTORE, play, seeded
from lab import Lab


def test_a_configuration_that_would_ruin_the_restore_is_refused_and_an_unusual_one_is_kept(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", members=1, line="3.6") as lab:
        expected = seeded(lab)
        member = lab.members[0]
        good = member.config_file.read_text()
        pid = member.pid()
        stranger = member.data_dir / "photos"
        stranger.mkdir()
        # Its process was started without these; the next start would not be.
        alias = re.sub("initial-cluster-token: .*", "x: &x old\ninitial-cluster-token: *x", good)
        member.config_file.write_text(alias + "\nforce-new-cluster: true\ndiscovery-srv: example.com\n")
        refused = play(RESTORE, "-i", lab.inventory, *CONFIRM)
        assert refused.rc != 0 and "Nothing was touched." in refused.text
        for words in (
            "also holds what is not etcd's, which would be moved aside with it: photos",
            "force-new-cluster is set in",
            "discovery-srv is set in",
            "initial-cluster-token is no plain value but a list, a map, an alias",
        ):
            assert words in refused.text, refused.output
        assert member.pid() == pid and stranger.is_dir() and differences(expected, dump(member.client)) == []

        stranger.rmdir()
        block = f"Initial-Cluster: >-\n  m1={member.peer_url}\n"
        member.config_file.write_text(re.sub("initial-cluster: .*\n", block, good) + "...\nwhat etcd does not read\n")
        done = play(RESTORE, "-i", lab.inventory, *CONFIRM)
        assert done.rc == 0, done.output
        assert differences(expected, dump(member.client)) == []
        text = member.config_file.read_text()
        assert block in text, "it says already what it is to say"
        assert text.endswith("...\nwhat etcd does not read\n")
        lab.stop(member)
        lab.start(member)  # with what the restore has left in its configuration
