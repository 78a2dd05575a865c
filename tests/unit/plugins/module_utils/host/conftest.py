# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.fake_host import FakeHost


@pytest.fixture
def host(tmp_path):
    return FakeHost(tmp_path)
