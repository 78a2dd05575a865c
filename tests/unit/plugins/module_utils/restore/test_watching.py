# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is seen of other members from outside."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.module_utils.restore.watching import Closing


def test_others_are_seen_closed_once_even_if_they_open_again():
    asked = []

    def connect(address, timeout):
        asked.append(address)
        if len(asked) == 2:
            raise ConnectionRefusedError  # the second URL, for one moment
        if len(asked) == 5:
            raise ConnectionRefusedError  # the first, later
        return type("Open", (), {"close": lambda self: None})()

    with Closing(["http://10.0.0.1:2380", "https://[::1]:2380"], connect) as others:
        assert others.wait(10)
    assert asked[:2] == [("10.0.0.1", 2380), ("::1", 2380)]
    assert set(asked[2:]) == {("10.0.0.1", 2380)}, "what was seen closed is not asked again"
