# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a host may be silent."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.plugin_utils.wire import SILENCE, bound_silence


class Connection:
    def __init__(self, transport: str, given: str | None) -> None:
        self.transport, self.given = transport, given

    def get_option(self, name: str) -> str | None:
        assert name == "ssh_extra_args"
        return self.given

    def set_option(self, name: str, value: str) -> None:
        assert name == "ssh_extra_args"
        self.given = value


@pytest.mark.parametrize("given", [None, "", "-o ServerAliveInterval=60"])
def test_ssh_gives_up_a_silent_host_but_the_users_own_words_come_first(given):
    connection = Connection("ssh", given)
    bound_silence(connection)
    bound_silence(connection)
    assert connection.given == f"{given or ''} {SILENCE}".strip()


def test_other_connections_are_left_alone():
    connection = Connection("local", None)
    bound_silence(connection)
    assert connection.given is None
