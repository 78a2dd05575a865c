# SPDX-License-Identifier: GPL-3.0-or-later
"""The client over gRPC with mutual TLS and with users, on real members of each line: tokens end, certificates are renewed."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Delete, Put, prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Denied, Unavailable
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.wire import Permission, Status
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from doors import Guarded

# 3.4 does not know how long a simple token lives, but a signed one ends by itself in each line.
SIGNED, SIMPLE = (
    "auth-token: jwt,pub-key={0}/jwt.pub,priv-key={0}/jwt.key,sign-method=RS256,ttl=1s\n",
    "auth-token-ttl: 1\n",
)
TOKENS = {"3.4": SIGNED, "3.5": SIMPLE, "3.6": SIGNED, "3.7": SIMPLE}
OLD = 2.5  # seconds after which a token has ended: simple ones are looked through once a second


@pytest.fixture(scope="module", params=TOKENS)
def guarded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """One member with users: root, app with the keys of app/, and reader who may only read them."""
    folder = tmp_path_factory.mktemp("guarded")
    _sign(folder)
    made = Guarded(folder, TOKENS[request.param].format(folder), members=1, line=request.param)
    try:
        made.up().turn_on_users()
        made.add_user("app", "readwrite app/", "read other/")
        made.add_user("reader", "read app/")
        yield made
    finally:
        made.lab.down(grace=0)


def _sign(folder: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    (folder / "jwt.key").write_bytes(key.private_bytes(serialization.Encoding.PEM, *private))
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    (folder / "jwt.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, public))


@pytest.fixture
def app(guarded: Guarded) -> Iterator[Client]:
    with Client(guarded.connection("app")) as client:
        client.commit([], [Delete(*prefix_range(b"app/"))])
        yield client


def test_a_user_does_what_it_may(app: Client) -> None:
    start = app.commit([], [Put(b"app/a", b"1")]).header.revision
    assert [kv.value for kv in app.page(*prefix_range(b"app/")).kvs] == [b"1"]
    with app.watch(*prefix_range(b"app/"), start) as watch:
        assert next(watch).created
        assert next(watch).events[0].kv.value == b"1"
    assert app.page(b"other/a").kvs == []
    for refused in (
        lambda: app.commit([], [Put(b"other/a", b"1")]),
        lambda: app.commit_soon([], [Put(b"other/a", b"1")]).result(),
        lambda: app.page(*prefix_range(b"")),
        lambda: app.watch(*prefix_range(b""), 0),
    ):
        with pytest.raises(Denied, match="permission denied"):
            refused()


def test_term_and_raft_index_are_told_to_who_may_read_a_key(guarded: Guarded, app: Client) -> None:
    before = app.raft_index(b"app/a")
    time.sleep(OLD)
    for number in range(10):
        app.commit([], [Put(b"app/%d" % number, b"")])
    with Client(guarded.connection("reader")) as reader:
        assert reader.raft_index(b"app/") >= before + 10
        reader.page(b"app/")
        assert reader.term == app.term > 0
        with pytest.raises(Denied, match="permission denied"):
            reader.raft_index(b"other/")


def test_a_token_that_has_ended_is_renewed(app: Client) -> None:
    app.commit([], [Put(b"app/a", b"1")])
    time.sleep(OLD)
    pending = [app.commit_soon([], [Put(b"app/%d" % number, b"")]) for number in range(10)]
    assert all(one.result().succeeded for one in pending)
    time.sleep(OLD)
    assert app.page(*prefix_range(b"app/"), count_only=True).total == 11
    start = app.commit([], [Put(b"app/a", b"2")]).header.revision
    time.sleep(OLD)
    with app.watch(*prefix_range(b"app/"), start) as watch:
        assert next(watch).created
        assert next(watch).events[0].kv.value == b"2"
        time.sleep(OLD)  # what was permitted when it began goes on
        app.commit([], [Put(b"app/b", b"3")])
        assert next(watch).events[0].kv.value == b"3"
    assert all(isinstance(one, Status) for one in app.status().values())


def test_permissions(guarded: Guarded) -> None:
    app, other = prefix_range(b"app/"), prefix_range(b"other/")
    expected = {
        "app": (("app",), {Permission(True, True, *app), Permission(True, False, *other)}),
        "reader": (("reader",), {Permission(True, False, *app)}),
    }
    for user, (roles, permissions) in expected.items():
        with Client(guarded.connection(user)) as client:
            found = client.permissions()
        assert (found.enabled, found.user, found.all, tuple(found.roles)) == (True, user, False, roles)
        assert set(found.permissions) == permissions
    with Client(guarded.connection("root")) as client:
        found = client.permissions()
        assert (found.all, found.roles) == (True, ["root"])
    with Client(guarded.connection()) as client:
        found = client.permissions()
        assert (found.enabled, found.user, found.all) == (True, "", False)


def test_a_user_that_is_not_let_in(guarded: Guarded) -> None:
    for wrong in ({"user": "nobody"}, {"password": "other"}, {"user": "", "password": ""}):
        with Client(replace(guarded.connection("app"), **wrong)) as client:
            for refused in (lambda c=client: c.page(b"app/a"), lambda c=client: c.watch(b"app/a", b"", 0)):
                with pytest.raises(Denied) as told:
                    refused()
                assert "geheim" not in str(told.value)
                assert told.value.next_step


def test_what_is_asked_without_a_right_certificate_says_what_is_wrong(guarded: Guarded, tmp_path: Path) -> None:
    right = guarded.connection("app", command_timeout=1)
    member = guarded.lab.members[0]
    for wrong, words in (
        (replace(right, cert="", key=""), "wants a client certificate"),
        (replace(right, cacert=""), "its certificate is not trusted"),
        (replace(right, endpoints=[member.client_url]), "it speaks TLS, and was asked without"),
    ):
        with Client(wrong) as client, pytest.raises(Unavailable, match=words) as told:
            client.page(b"app/a")
        assert "certificates" in told.value.next_step
    with pytest.raises(EtcdError, match="No such file"):
        Client(replace(right, cacert=str(tmp_path / "none")))


def test_a_certificate_that_is_renewed_on_disk_is_taken(guarded: Guarded, tmp_path: Path) -> None:
    """As when the old one has ended: nobody starts the engine anew."""
    for name in ("client.crt", "client.key"):
        shutil.copy(guarded.folder / "pki" / name, tmp_path / name)
    certificate, key = guarded.authority.issue("", [ExtendedKeyUsageOID.SERVER_AUTH])  # of no use to a client
    right = {name: (tmp_path / name).read_bytes() for name in ("client.crt", "client.key")}
    (tmp_path / "client.crt").write_bytes(certificate)
    (tmp_path / "client.key").write_bytes(key)
    to = guarded.connection(
        "app", cert=str(tmp_path / "client.crt"), key=str(tmp_path / "client.key"), command_timeout=1
    )
    with Client(to) as client:
        with pytest.raises(Unavailable):
            client.page(b"app/a")
        for name, content in right.items():
            (tmp_path / name).write_bytes(content)
        client.page(b"app/a")


def test_users_that_are_turned_on_while_it_runs(tmp_path: Path) -> None:
    """A user may be named before there are any, and a client goes on when authentication comes, and when it goes."""
    made = Guarded(tmp_path / "later", members=1, line="3.6")
    try:
        made.up()
        with Client(made.connection("root")) as client:
            client.commit([], [Put(b"a", b"1")])
            assert not client.permissions().enabled
            made.turn_on_users()
            assert client.commit([], [Put(b"a", b"2")]).succeeded
            assert client.permissions().enabled
            made.etcdctl("auth", "disable", user="root")
            assert client.commit([], [Put(b"a", b"3")]).succeeded
    finally:
        made.lab.down(grace=0)


def test_a_member_that_starts_anew_has_forgotten_its_tokens(guarded: Guarded) -> None:
    with Client(guarded.connection("app")) as client:
        client.page(b"app/a")
        member = guarded.lab.members[0]
        guarded.lab.kill(member)
        guarded.lab.start(member)
        until = time.monotonic() + 30
        while True:
            try:
                client.page(b"app/a")
                break
            except Unavailable:
                assert time.monotonic() < until
