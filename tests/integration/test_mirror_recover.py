# SPDX-License-Identifier: GPL-3.0-or-later
"""What was deleted and changed by mistake comes back key by key, from the mirror's log and from a mirror that is behind; what has
changed meanwhile stays. On real members of each line.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.threads import Beside
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Delete, Put, prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.engine import run
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.history import Asked, history, log_folder
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.recovery import Wish, recover
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, load
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import FOLLOW, state_key
from client import dump
from conftest import CHECKOUT, play
from lab import Lab

LINES = ("3.4", "3.5", "3.6", "3.7")
ALL = prefix_range(b"")
PLAYBOOK = CHECKOUT / "playbooks" / "mirror_recover.yml"


class Running:
    """The mirror's engine at work; inside it follows."""

    def __init__(self, settings: MirrorSettings) -> None:
        self._settings, self._stop = settings, threading.Event()
        self.said: list[str] = []

    def __enter__(self) -> Running:
        self._thread = Beside(lambda: run(self._settings, False, self.said.append, self._stop))
        self.wait_for(0)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop.set()
        self._thread.result()

    def wait_for(self, revision: int) -> None:
        """Until so much is read and applied: what was before an event the source tells, unless it is compacted before."""
        until = time.monotonic() + 60
        path = Path(self._settings.folder) / "status.json"
        while True:
            status = json.loads(path.read_text()) if path.exists() else {}
            if status.get("phase") == FOLLOW and status["applied_revision"] >= revision:
                return
            assert time.monotonic() < until, (self.said, status)
            time.sleep(0.1)


def settings_of(folder: Path, source: Lab, destination: Lab, **more: Any) -> MirrorSettings:
    given = {
        "name": "east",
        "source": {"endpoints": source.endpoints},
        "destination": {"endpoints": destination.endpoints},
        "keep_log": True,
        "state_dir": str(folder / "state"),
        **more,
    }
    path = folder / "east.json"
    path.write_text(json.dumps(given))
    return load(str(path))


def values(lab: Lab) -> dict[bytes, bytes]:
    return {key: kv.value for key, kv in dump(lab.members[0].client).items()}


def some_keys(client: Client, stem: bytes = b"/registry/") -> None:
    for first in range(0, 300, 100):
        for kind in (b"shop/", b"other/"):
            client.commit([], [Put(stem + kind + b"%04d" % one, b"%d" % one * 20) for one in range(first, first + 100)])


@pytest.fixture(scope="module", params=LINES)
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Lab]]:
    folder = tmp_path_factory.mktemp("two")
    with Lab(folder / "source", members=1, line=request.param) as source, Lab(folder / "mirror", members=1) as mirror:
        yield source, mirror


@pytest.fixture
def clients(two: tuple[Lab, Lab]) -> Iterator[tuple[Client, Client]]:
    """Both empty."""
    with Client(Connection(endpoints=two[0].endpoints)) as one, Client(Connection(endpoints=two[1].endpoints)) as other:
        for client in (one, other):
            client.commit([], [Delete(*ALL)])
        yield one, other


def now_of(client: Client) -> int:
    return client.page(b"x").header.revision


def test_a_prefix_comes_back_from_the_log_though_the_source_has_forgotten_it(
    two: tuple[Lab, Lab], clients: tuple[Client, Client], tmp_path: Path
) -> None:
    (source, mirror), client = two, clients[0]
    settings = settings_of(tmp_path, source, mirror)
    some_keys(client)  # before the log begins
    odd = Put(b"/registry/shop/\xff\x00", bytes(range(256)))
    client.commit([], [odd, Put(b"/registry/leased", b"l", client.grant(3600))])
    good = values(source)
    with Running(settings) as engine:
        time.sleep(1.1)
        moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime())}Z"
        revision = now_of(client)
        time.sleep(1.1)
        client.commit([], [Delete(*prefix_range(b"/registry/shop/"))])
        client.commit([], [Put(b"/registry/shop/0001", b"wrong"), Put(b"/registry/shop/new", b"new")])
        client.commit([], [Delete(b"/registry/leased"), Put(b"/registry/other/0001", b"theirs")])
        engine.wait_for(now_of(client))
        client.compact(now_of(client))
        bad = values(source)

        wish = Wish(prefix=b"/registry/shop/", at=moment)
        looked = recover(settings, wish, False, time.time(), print)
        assert looked.plan.difference[:3] == (300, 1, 1)
        assert looked.plan.place.revision == revision and values(source) == bad
        done = recover(settings, wish, True, time.time(), print)
        assert done.outcome == (302, [], 0)
        expected = {key: value for key, value in good.items() if key.startswith(b"/registry/shop/")}
        expected.update((key, value) for key, value in bad.items() if not key.startswith(b"/registry/shop/"))
        assert values(source) == expected

        again = recover(settings, replace(wish, at="", revision=revision), True, time.time(), print)
        assert again.plan.difference.total == 0
        if (
            source.line == "3.4"
        ):  # its watch does not tell what a key was before a change, and the rest is compacted away
            with pytest.raises(EtcdError, match="knows what 1 key had been at revision .*: /registry/other/0001"):
                recover(settings, Wish(everything=True, revision=revision), True, time.time(), print)
            good[b"/registry/other/0001"] = b"theirs"
        whole = Wish(everything=True, revision=revision, partly=source.line == "3.4")
        recover(settings, whole, True, time.time(), print)
        assert values(source) == good
        assert dump(source.members[0].client)[b"/registry/leased"].lease != 0
        engine.wait_for(now_of(client))
        state = state_key(settings)
        assert {key: value for key, value in values(mirror).items() if key != state} == good
    found = history(log_folder(settings.folder), Asked(b"/registry/shop/"))
    assert found.deleted == 301 + 1 and found.created == 2 + 300


def test_what_is_changed_between_the_look_and_the_deed_stays(
    two: tuple[Lab, Lab], clients: tuple[Client, Client], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source, mirror), client = two, clients[0]
    settings = settings_of(tmp_path, source, mirror, prefix="/registry/", exclude=["/registry/other/"])
    some_keys(client)
    good = values(source)
    with Running(settings):
        revision = now_of(client)
        client.commit([], [Delete(*prefix_range(b"/registry/shop/"))])
        client.commit([], [Delete(b"/registry/other/0001")])
        really = Client.commit

        def commit(self: Client, compares: Any, operations: Any) -> Any:
            if not any(one.mod_revision is not None for one in compares):
                return really(self, compares, operations)  # the engine's own
            monkeypatch.setattr(Client, "commit", really)
            client.commit([], [Put(b"/registry/shop/0007", b"theirs")])
            return really(self, compares, operations)

        monkeypatch.setattr(Client, "commit", commit)
        done = recover(settings, Wish(everything=True, revision=revision), True, time.time(), print)
        assert done.outcome == (299, [b"/registry/shop/0007"], 0)
        del good[b"/registry/other/0001"]  # it is not mirrored, and so nobody knows
        assert values(source) == {**good, b"/registry/shop/0007": b"theirs"}
    with pytest.raises(EtcdError, match="has only keys from /registry/ on"):
        recover(settings, Wish(prefix=b"/reg", revision=revision), False, time.time(), print)


def test_a_prefix_comes_back_from_a_mirror_that_is_behind(
    two: tuple[Lab, Lab], clients: tuple[Client, Client], tmp_path: Path
) -> None:
    (source, mirror), client = two, clients[0]
    settings = settings_of(
        tmp_path, source, mirror, prefix="/registry/", destination_prefix="/dr/", keep_log=False, delay=3600
    )
    some_keys(client)
    good = values(source)
    with Running(settings):
        client.commit([], [Delete(*prefix_range(b"/registry/shop/"))])
        client.commit([], [Put(b"/registry/other/0001", b"theirs"), Put(b"/registry/shop/0001", b"wrong")])
        client.compact(now_of(client))
        before = values(mirror)
        done = recover(settings, Wish(prefix=b"/registry/shop/", from_mirror=True), True, time.time(), print)
        assert done.outcome == (300, [], 0)
        assert values(source) == {**good, b"/registry/other/0001": b"theirs"}
        assert values(mirror) == before


# ---- by the playbook ----------------------------------------------------------------------------------------------------


def inventory(folder: Path) -> Path:
    path = folder / "hosts"
    local = f"ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable}"
    path.write_text(f"[etcd_mirror]\nengine {local} etcd_mirror_name=east etcd_mirror_config={folder}/east.json\n")
    return path


@pytest.mark.parametrize("two", ["3.6"], indirect=True)
def test_the_playbook_shows_the_difference_and_brings_it_back_when_it_is_confirmed(
    two: tuple[Lab, Lab], clients: tuple[Client, Client], tmp_path: Path
) -> None:
    (source, mirror), client = two, clients[0]
    settings, hosts = settings_of(tmp_path, source, mirror), inventory(tmp_path)
    some_keys(client)
    good = values(source)
    with Running(settings):
        wanted = ["-i", hosts, "-e", "etcd_mirror_recover_prefix=/registry/shop/"]
        wanted += ["-e", f"etcd_mirror_recover_revision={now_of(client)}"]
        client.commit([], [Delete(*prefix_range(b"/registry/shop/"))])
        client.commit([], [Put(b"/registry/shop/{{ 7 * 7 }}\x1b[2J", b"new")])
        bad = values(source)

        looked = play(PLAYBOOK, *wanted, "--check", "--diff")
        assert looked.rc == 0, looked.output
        assert "300 to create, 0 to change, 1 to delete" in looked.text and "+ /registry/shop/0000" in looked.output
        assert "- /registry/shop/{{ 7 * 7 }}\\x1b[2J" in looked.output and "shop/49" not in looked.output
        assert looked.recap("engine")["changed"] == 1
        unconfirmed = play(PLAYBOOK, *wanted)
        assert unconfirmed.rc == 0 and unconfirmed.recap("engine")["changed"] == 0, unconfirmed.output
        assert "nothing was touched: confirm with the mirror's name, east" in unconfirmed.text
        wrong = play(PLAYBOOK, *wanted, "-e", "etcd_mirror_recover_confirm=west")
        assert wrong.rc != 0 and "west is not the name of the mirror. Next: confirm with east." in wrong.text
        assert values(source) == bad

        done = play(PLAYBOOK, *wanted, "-e", "etcd_mirror_recover_confirm=east")
        assert done.rc == 0 and "301 keys brought back" in done.text, done.output
        assert values(source) == good
        again = play(PLAYBOOK, *wanted, "-e", "etcd_mirror_recover_confirm=east")
        assert again.rc == 0 and again.recap("engine")["changed"] == 0, again.output
        assert "it is as it was" in again.text
