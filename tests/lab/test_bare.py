# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run on a bare Debian has written where it should not is found."""

from __future__ import annotations

import os
from pathlib import Path

from bare import strangers


def test_what_is_written_outside_the_checkout_is_found(tmp_path: Path) -> None:
    since = put(tmp_path / "checkout" / ".since", 100)
    put(tmp_path / "checkout" / ".cache" / "etcd", 200)  # ours
    put(tmp_path / "var" / "lib" / "dpkg" / "status", 200)  # Debian's
    put(tmp_path / "root" / ".bashrc", 50)  # was there before
    assert strangers(tmp_path, since) == []
    left = [put(tmp_path / name, 200) for name in ("root/.ansible/tmp/x", "tmp/pytest/db", "var/tmp/y")]
    assert sorted(strangers(tmp_path, since)) == sorted(map(str, left))


def put(path: Path, when: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (when, when))
    return path
