# SPDX-License-Identifier: GPL-3.0-or-later
"""A snapshot of a cluster that was full: what is said of it by the backup, by the plan and by the proof."""

from __future__ import annotations

from pathlib import Path

import lab as labs
import pytest
from client import GatewayError
from conftest import BACKUP, CONFIRM, RESTORE, play
from lab import Lab


def test_a_snapshot_with_a_nospace_alarm_is_restored_and_its_refused_write_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(labs, "QUOTA", 3 << 20)
    with Lab(tmp_path / "lab", members=1) as lab:
        member = lab.members[0]
        with pytest.raises(GatewayError, match="database space exceeded"):
            for number in range(100):
                member.client.put(b"k%d" % number, b"x" * 100_000)
        backup = play(BACKUP, "-i", lab.inventory)
        assert backup.rc == 0, backup.output
        assert "a NOSPACE alarm is in the snapshot" in backup.text, backup.output
        assert f"{member.host}: its quota-backend-bytes is {3 << 20} (3 MiB)" in backup.text

        refused = play(RESTORE, "-i", lab.inventory, *CONFIRM)
        assert refused.rc != 0 and "the restored member would refuse every write" in refused.text, refused.output
        text = member.config_file.read_text()
        member.config_file.write_text(text.replace(str(3 << 20), str(64 << 20)))
        done = play(RESTORE, "-i", lab.inventory, *CONFIRM)
        assert done.rc == 0, done.output + lab.logs()
        assert "a NOSPACE alarm is in the snapshot" in done.text
        assert "proven: a write and its deletion refused for the NOSPACE alarm" in done.text, done.output
