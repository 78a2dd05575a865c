# SPDX-License-Identifier: GPL-3.0-or-later
"""The users in a snapshot, from the bytes that etcd 3.4 and 3.7 really wrote."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import users
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.users import auth_enabled, users_of

HASH = b"$2a$10$5gn3Fb7OXOzch.2/3AM26eOW4G2aLXQuBRlO78k2KgazlaH6fexae"
USERS = {
    b"cert": b'\n\x04cert\x1a\x06reader\x1a\x04root"\x02\x08\x01',
    b"root": b"\n\x04root\x12<" + HASH + b'\x1a\x04root"\x00',
    b"small": b"\n\x05small\x12<" + HASH + b'\x1a\x06reader"\x00',
}


class Database:
    """What ``users`` asks of a bbolt file."""

    path = "/s.db"

    def __init__(self, users, enabled=b"\x01"):
        self._users, self._enabled = users, enabled

    def get(self, bucket, key, largest):
        assert (bucket, key) == (b"auth", b"authEnabled")
        return self._enabled

    def items(self, bucket, head):
        assert bucket == b"authUsers" and head < 1 << 20
        return iter(sorted(self._users.items()))


def test_who_has_the_root_role():
    assert users_of(Database(USERS)) == {"cert": True, "root": True, "small": False}
    assert users_of(Database({})) == {}
    assert "$2a$" not in str(users_of(Database(USERS))), "no hash of a password leaves the host"


def test_a_role_that_is_only_called_alike_is_another():
    assert users_of(Database({b"x": b"\n\x01x\x12\x04root\x1a\x05roots"})) == {"x": False}


@pytest.mark.parametrize("enabled, on", [(b"\x01", True), (b"\x00", False), (None, False)])
def test_whether_authentication_is_on(enabled, on):
    assert auth_enabled(Database({}, enabled)) is on


@pytest.mark.parametrize(
    "message", [b"\n", b"\n\x05ab", b"\x08\x01", b"\xff" * 12, b"\n\x04root\x1a\xff\xff\xff\xff\xff"]
)
def test_what_is_no_user_is_an_error_that_names_the_file(message):
    with pytest.raises(EtcdError, match="/s.db: an entry of its users cannot be read"):
        users_of(Database({b"x": message}))


def test_more_than_anybody_has_are_not_read_to_their_end():
    assert users_of(Database({str(number).encode(): b"" for number in range(1001)})) is None


def test_in_a_copy_it_is_turned_off_by_the_one_byte(tmp_path, monkeypatch):
    copy = tmp_path / "copy.db"
    copy.write_bytes(b"before\x01after")

    class Copy(Database):
        def __enter__(self):
            return self

        def __exit__(self, *_exc):
            pass

        def place(self, bucket, key):
            assert (bucket, key) == (b"auth", b"authEnabled")
            return 6, 1

    monkeypatch.setattr(users, "Bolt", lambda path: Copy(USERS))
    assert users.open_to_all(str(copy)) is True and copy.read_bytes() == b"before\x00after"
    monkeypatch.setattr(users, "Bolt", lambda path: Copy(USERS, b"\x00"))
    copy.write_bytes(b"before\x02after")
    assert users.open_to_all(str(copy)) is False and copy.read_bytes() == b"before\x02after"
