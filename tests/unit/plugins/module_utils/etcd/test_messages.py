# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import prefix_range


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        (b"", (b"\0", b"\0")),
        (b"/registry/", (b"/registry/", b"/registry0")),
        (b"a\xff\xff", (b"a\xff\xff", b"b")),
        (b"\xff", (b"\xff", b"\0")),
    ],
)
def test_the_range_of_a_prefix(prefix, expected):
    assert prefix_range(prefix) == expected
