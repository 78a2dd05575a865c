# SPDX-License-Identifier: GPL-3.0-or-later
"""Members replaced where authentication is on: a newcomer is a learner first, and lets no user log in."""

from __future__ import annotations

from pathlib import Path

import pytest
from client import Client, RetryingWriter, differences, dump, seed
from conftest import play
from lab import Lab
from test_member_replace import CONFIRM, LINES, MEMBER_REPLACE, asking, lose

PASSWORD = "for this test alone"
ROOT = ("-e", "etcd_auth_user=root", "-e", f'{{"etcd_auth_password": "{PASSWORD}"}}')


def as_root(lab: Lab, name: str) -> Client:
    return Client(lab.member(name).client_url, 1.5, user="root", password=PASSWORD)


@pytest.mark.parametrize("line", LINES)
def test_a_newcomer_that_lets_nobody_log_in(tmp_path: Path, line: str) -> None:
    with Lab(tmp_path / "lab", line=line) as lab:
        seed(lab.members[0].client, 200)
        expected = dump(lab.members[0].client)
        call = lab.members[0].client.call
        for path, body in (
            ("user/add", {"name": "root", "password": PASSWORD}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("enable", {}),
        ):
            call(f"auth/{path}", body)
        lose(lab, "m3")
        with RetryingWriter([as_root(lab, one.name) for one in lab.members]) as writer:
            done = play(MEMBER_REPLACE, "-i", lab.inventory, *CONFIRM, *ROOT, *asking(dead="m3"))
            assert done.rc == 0, done.output
        for name in ("m1", "m2", "m3"):
            as_root(lab, name).get(b"back")  # linearizable: it has caught up
            assert differences(expected, dump(as_root(lab, name))) == [], name
        writer.check(as_root(lab, "m3"))
