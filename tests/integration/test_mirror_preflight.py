# SPDX-License-Identifier: GPL-3.0-or-later
"""The preflight of a mirror between real clusters: with users, certificates, limits and alarms."""

from __future__ import annotations

import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Put, prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import NoSpace
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import preflight as judging
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side, connection_of
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.survey import look, preflight
from doors import PASSWORD, Guarded, connection
from lab import Lab

APP, ALL = "app/", prefix_range(b"")


@pytest.fixture(scope="module", params=[("3.4", "3.7"), ("3.7", "3.5")], ids="-".join)
def sides(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Guarded, Guarded]]:
    """Two clusters of different lines with mutual TLS and users, which are the same on both."""
    folder = tmp_path_factory.mktemp("sides")
    made = [Guarded(folder / name, members=1, line=line) for name, line in zip(("a", "b"), request.param)]
    (folder / "a" / "password").touch(mode=0o600)
    (folder / "a" / "password").write_text(PASSWORD)
    try:
        for one in made:
            one.up().turn_on_users()
            one.add_user("app", "readwrite app/")
            one.add_user("reader", "read app/")
            one.add_user("half", "readwrite app/a", "readwrite app/c")
        yield made[0], made[1]
    finally:
        for one in made:
            one.lab.down(grace=0)


def side(to: Connection, folder: Path | None = None) -> Side:
    tls = {"cacert": to.cacert, "cert": to.cert, "key": to.key}
    password = str(folder / "a" / "password") if folder and to.user else ""
    return Side(tuple(to.endpoints), user=to.user, password_file=password, command_timeout=2, **tls)


def checked(source: Side, destination: Side, **settings: Any) -> list[str]:
    """What is said; EtcdError for what is refused."""
    said: list[str] = []
    wanted = MirrorSettings("west", source, destination, **settings)
    with Client(connection_of(source)) as one, Client(connection_of(destination)) as other:
        preflight(wanted, one, other, said.append, time.time())
    return said


def given(sides: tuple[Guarded, Guarded], source: str, destination: str) -> tuple[Side, Side]:
    folder = sides[0].folder.parent
    return side(sides[0].connection(source), folder), side(sides[1].connection(destination), folder)


def revision(guarded: Guarded) -> int:
    with Client(guarded.connection("root")) as client:
        return client.page(b"x").header.revision


@pytest.mark.parametrize("users", [("app", "app"), ("reader", "app"), ("root", "root")], ids="-".join)
def test_users_that_may_what_a_mirror_does(sides: tuple[Guarded, Guarded], users: tuple[str, str]) -> None:
    """And it is tried without a trace: no key is written, and none is deleted."""
    before = [revision(one) for one in sides]
    said = checked(*given(sides, *users), prefix=APP)
    assert [words for words in said if "quiet watch" not in words] == []
    assert bool(said) == (sides[0].lab.line == "3.4")
    assert [revision(one) for one in sides] == before


@pytest.mark.parametrize(
    ("users", "prefix", "words", "step"),
    [
        (
            ("app", "reader"),
            APP,
            "destination: the user reader may not read and write all keys below 'app/'",
            "reader readwrite",
        ),
        (("app", "half"), APP, "destination: the user half may not", "half readwrite --prefix=true 'app/'"),
        (("half", "app"), APP, "source: the user half may not read all keys below 'app/'", "half read --prefix=true"),
        (
            ("app", "app"),
            "other/",
            "source: the user app may not",
            "destination: etcdctl role grant-permission app readwrite",
        ),
        (
            ("app", "root"),
            "",
            "may not read all keys of the whole cluster",
            "grant-permission app read --prefix=true ''",
        ),
        (("", "app"), APP, "source: who the mirror logs in as may not read", "role grant-permission ROLE read"),
    ],
)
def test_users_that_may_not(
    sides: tuple[Guarded, Guarded], users: tuple[str, str], prefix: str, words: str, step: str
) -> None:
    with pytest.raises(EtcdError) as told:
        checked(*given(sides, *users), prefix=prefix)
    assert words in told.value.message
    assert step in told.value.next_step


def test_the_next_step_is_right(sides: tuple[Guarded, Guarded]) -> None:
    """What it says is done, and then it works."""
    sides[1].add_user("later", "read app/")
    with pytest.raises(EtcdError) as told:
        checked(*given(sides, "app", "later"), prefix=APP)
    words = re.sub(r"'([^']*)'", r"\1", told.value.next_step.replace(", by root.", "")).split(" ")
    sides[1].etcdctl(*words[1:], user="root")
    checked(*given(sides, "app", "later"), prefix=APP)


def test_certificates_that_end_soon(sides: tuple[Guarded, Guarded], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "SOON", 60 * 86400)  # those of the bed live for 30 days
    said = "\n".join(checked(*given(sides, "app", "app"), prefix=APP))
    for one, name in zip(sides, ("source", "destination")):
        to = one.connection("app")
        for what in (to.cert, to.cacert, f"the certificate of {to.endpoints[0]}"):
            assert f"The {name}: {what} ends in 29 d" in said


def test_a_certificate_of_another_authority_is_told(sides: tuple[Guarded, Guarded]) -> None:
    """The cluster may come back, so it is no refusal; the engine waits, and says the same."""
    source, destination = given(sides, "app", "app")
    other = Side(**{**destination.__dict__, "cacert": sides[0].connection().cacert})
    said = checked(source, other, prefix=APP)
    assert any("does not answer: its certificate is not trusted" in words for words in said)


# ---- without users -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Lab]]:
    """A source, and a destination with little room and few operations a transaction."""
    folder = tmp_path_factory.mktemp("pair")
    small = Lab(folder / "small", members=1, line="3.6").write()
    file = small.members[0].config_file
    text = re.sub(r"quota-backend-bytes: \d+", f"quota-backend-bytes: {4 << 20}", file.read_text())
    file.write_text(f"{text}max-txn-ops: 64\n")
    with small, Lab(folder / "source", members=1, line="3.6") as source:
        yield source, small


def test_a_destination_that_takes_fewer_operations(pair: tuple[Lab, Lab]) -> None:
    with pytest.raises(EtcdError, match="too many operations in txn request"):
        checked(*(side(connection(one)) for one in pair))


def test_a_destination_that_is_full(pair: tuple[Lab, Lab]) -> None:
    with Client(connection(pair[1])) as client, pytest.raises(NoSpace):
        for number in range(20):
            client.commit([], [Put(b"k%d" % number, b"x" * 1_000_000)])
    with pytest.raises(EtcdError, match="destination: it has the alarm NOSPACE"):
        checked(*(side(connection(one)) for one in pair))


def test_the_same_cluster(pair: tuple[Lab, Lab]) -> None:
    one = side(connection(pair[0]))
    with pytest.raises(EtcdError, match="source and destination are the same cluster"):
        checked(one, one, prefix="a/", destination_prefix="a/b/")
    assert checked(one, one, prefix="a/", destination_prefix="b/") == []


def test_a_side_that_is_not_there_is_waited_for(pair: tuple[Lab, Lab]) -> None:
    said = checked(side(connection(pair[0])), side(connection(Lab("/nonexistent/lab", members=1))))
    (words,) = said
    assert words.startswith("The destination: http://127.0.0.1:")
    assert "does not answer" in words


def test_a_history_that_is_compacted_away(pair: tuple[Lab, Lab]) -> None:
    client, connection = pair[0].members[0].client, Connection(pair[0].endpoints)

    def shallow() -> bool:
        with Client(connection) as source:
            return look(source, connection, b"app/").shallow

    revision = [client.put(b"app/%d" % number, b"1") for number in range(5)][-1]
    assert not shallow()
    client.compact(revision)
    client.put(b"app/x", b"2")
    assert shallow()


def test_a_learner_is_no_destination(tmp_path: Path) -> None:
    with Lab(tmp_path / "lab", members=1, line="3.6") as lab:
        newcomer = lab.newcomer("m2")
        argv = ["member", "add", "m2", f"--peer-urls={newcomer.peer_url}", "--learner"]
        with Client(connection(lab, endpoints=lab.endpoints[:1])) as client:
            _etcdctl(lab, *argv)
            first = lab.members[0]
            newcomer.config_file.write_text(
                lab.config_text(newcomer, "existing", f"m1={first.peer_url},m2={newcomer.peer_url}")
            )
            lab.start(newcomer)
            until = time.monotonic() + 30
            while not any(member.name == "m2" for member in client.members()):
                assert time.monotonic() < until
        learner = Side((newcomer.client_url,), command_timeout=2)
        with pytest.raises(EtcdError, match="is a learner, and a learner serves nobody"):
            checked(Side((first.client_url,), command_timeout=2), learner, destination_prefix="copy/", prefix="a/")


def _etcdctl(lab: Lab, *words: str) -> None:
    argv = [str(lab.bin_dir / "etcdctl"), f"--endpoints={lab.endpoints[0]}", *words]
    subprocess.run(argv, check=True, capture_output=True, env={**os.environ, "ETCDCTL_API": "3"}, timeout=30)
