# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's own mirror: the command, and what is refused before there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Tool
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.classic import Classic, command_of

V34, V35, V36 = (Tool("/ctl", Version(3, line, 0)) for line in (4, 5, 6))
SOURCE = Connection(["http://a:2379", "http://b:2379"])
DESTINATION = Connection(["http://c:2379"])
USER = replace(DESTINATION, user="mirror", password="geheim")
WANTED = Classic(SOURCE, DESTINATION, "app/")


def test_the_command_of_what_works():
    command = command_of(V34, WANTED, {"etcd_mirror_delay": False})
    assert command.argv[-3:] == ["make-mirror", "--prefix=app/", "http://c:2379"]
    again = command_of(V36, replace(WANTED, destination_prefix="app/", revision=7), {})
    assert again.argv[-5:] == ["make-mirror", "--prefix=app/", "--dest-prefix=app/", "--rev=7", "http://c:2379"]


@pytest.mark.parametrize(
    ("etcdctl", "wanted", "cause", "next_step"),
    [
        (None, WANTED, "no etcdctl was found", "etcd_bin_dir"),
        (V36, replace(WANTED, source=Connection()), "the source has no endpoint", "start a member"),
        (
            V36,
            replace(WANTED, destination=Connection(["http://c:2379", "http://d:2379"])),
            "one endpoint of the destination, and waits while that one is down (etcd #12209); it has http://c:2379, http://d:2379",
            "etcd_mirror_destination_endpoint",
        ),
        (V36, replace(WANTED, destination=Connection()), "it has none", "etcd_mirror_destination_endpoint"),
        (V36, replace(WANTED, destination=Connection(["http://b:2379"])), "of the source and of the", "two clusters"),
        (V34, replace(WANTED, destination=USER), "etcdctl 3.4.0 cannot say who it is", "etcdctl 3.5"),
        (V36, replace(WANTED, destination=replace(USER, user="a:b")), "a colon in its name", "another user"),
        (V36, replace(WANTED, destination=replace(USER, password="")), "no password for the destination's", "vault"),
        (V36, replace(WANTED, source=replace(SOURCE, user="m")), "no password for the source's user m", "vault"),
        (V36, replace(WANTED, destination=replace(USER, password="a\nb")), "no character of a line", "another one"),
        (V35, replace(WANTED, revision=7, destination_prefix="x/"), "cannot begin at a revision", "etcdctl 3.6"),
        (V36, replace(WANTED, revision=7), "writes to the wrong keys (etcd #22421)", "etcd_mirror_destination_prefix"),
        (V36, replace(WANTED, prefix="a\nb"), "cannot be a word of a command", "engine"),
    ],
)
def test_what_is_known_to_hurt_is_refused(etcdctl, wanted, cause, next_step):
    with pytest.raises(EtcdError) as refused:
        command_of(etcdctl, wanted, {})
    assert cause in refused.value.message and next_step in refused.value.next_step
    assert "geheim" not in str(refused.value)


def test_what_only_the_engine_can_is_refused():
    with pytest.raises(EtcdError, match="knows nothing like etcd_mirror_delay"):
        command_of(V36, WANTED, {"etcd_mirror_exclude": False, "etcd_mirror_delay": True})
