# SPDX-License-Identifier: GPL-3.0-or-later
"""The door of every module: what it does before the module's own work. (It meets Ansible, so it lies beside the actions.)"""

from __future__ import annotations

import os
import stat
from unittest.mock import MagicMock

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import exclusive
from ansible_collections.quorum.etcd.plugins.module_utils.glue import answer


@pytest.mark.parametrize(("umask", "expected"), [(0, 0o755), (0o002, 0o755), (0o077, 0o700)])
def test_nothing_can_be_written_by_others_whatever_the_umask_of_the_logins(tmp_path, umask, expected):
    state = tmp_path / "parent" / "state"

    def work(_module):
        with exclusive(str(state)):
            (state / "file").write_text("")
        return {}

    old = os.umask(umask)
    try:
        answer(MagicMock(), work)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "parent").stat().st_mode) == expected
    assert all(not path.stat().st_mode & 0o022 for path in (tmp_path / "parent").rglob("*"))
