# SPDX-License-Identifier: GPL-3.0-or-later
"""What was deleted and changed by mistake comes back key by key, from the mirror's log and from a mirror that is behind; what has
changed meanwhile stays. On real members of each line.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any, Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client, Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Delete, Put, prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.recovery import Wish, recover
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import Log
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side, load
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import FOLLOW, begun, state_key
from client import dump
from conftest import CHECKOUT, play
from lab import Lab

LINES = ("3.4", "3.5", "3.6", "3.7")
ALL = prefix_range(b"")
PLAYBOOK = CHECKOUT / "playbooks" / "mirror_recover.yml"


class Reading:
    """The source is read into the log, as the engine does it."""

    def __init__(self, settings: MirrorSettings) -> None:
        self._client = Client(Connection(endpoints=settings.source.endpoints))
        header = self._client.page(b"x").header
        self.log = Log(os.path.join(settings.folder, "log"), *prefix_range(settings.source_prefix), kept=True)
        self.log.begin(header.cluster_id, header.revision, time.time())
        start = self.log.revision + 1
        self._watch = self._client.watch(*prefix_range(settings.source_prefix), start, previous=True)
        self._cluster = header.cluster_id
        self._thread = threading.Thread(target=self._read)
        self._over = threading.Event()
        self._asking = threading.Thread(target=self._ask)

    def __enter__(self) -> Reading:
        self._thread.start()
        self._asking.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._asking.join()
        self._watch.close()
        self._thread.join()
        self.log.close()
        self._client.close()

    def wait_for(self, revision: int) -> None:
        """What was before an event is told by the source, unless that is compacted before it tells."""
        until = time.monotonic() + 60
        while self.log.revision < revision:
            assert time.monotonic() < until
            time.sleep(0.05)

    def _ask(self) -> None:
        while not self._over.wait(0.2):
            self._watch.ask_progress()

    def _read(self) -> None:
        for watched in self._watch:
            by_revision: dict[int, list] = {}
            for event in watched.events:
                by_revision.setdefault(event.kv.mod_revision, []).append(event)
            if not by_revision and not watched.created:
                by_revision = {watched.header.revision: []}
            for revision, events in by_revision.items():
                self.log.append(self._cluster, revision, time.time(), events)
            self.log.sync()


def settings_of(folder: Path, source: Lab, destination: Lab | None = None, **more: Any) -> MirrorSettings:
    given = {
        "name": "east",
        "source": {"endpoints": source.endpoints},
        "destination": {"endpoints": (destination or source).endpoints},
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
def single(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("single") / "lab", members=1, line=request.param) as lab:
        yield lab


def test_a_prefix_comes_back_from_the_log_though_the_source_has_forgotten_it(single: Lab, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, single)
    with Client(Connection(endpoints=single.endpoints)) as client:
        client.commit([], [Delete(*ALL)])
        some_keys(client)  # before the log begins
        client.commit(
            [], [Put(b"/registry/shop/\xff\x00", bytes(range(256))), Put(b"/registry/leased", b"l", client.grant(3600))]
        )
        good = values(single)
        with Reading(settings) as reading:
            time.sleep(1.1)
            moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S')}Z"
            revision = client.page(b"x").header.revision
            time.sleep(1.1)
            client.commit([], [Delete(*prefix_range(b"/registry/shop/"))])
            client.commit([], [Put(b"/registry/shop/0001", b"wrong"), Put(b"/registry/shop/new", b"new")])
            client.commit([], [Delete(b"/registry/leased"), Put(b"/registry/other/0001", b"theirs")])
            reading.wait_for(client.page(b"x").header.revision)
            client.compact(client.page(b"x").header.revision)
            bad = values(single)

            looked = recover(settings, Wish(prefix=b"/registry/shop/", at=moment), False, time.time(), print)
            assert looked.plan.difference[:3] == (300, 1, 1)
            assert looked.plan.place.revision == revision and values(single) == bad
            done = recover(settings, Wish(prefix=b"/registry/shop/", at=moment), True, time.time(), print)
            assert done.outcome == (302, [], 0)
            expected = {key: value for key, value in good.items() if key.startswith(b"/registry/shop/")}
            expected.update((key, value) for key, value in bad.items() if not key.startswith(b"/registry/shop/"))
            assert values(single) == expected

            again = recover(settings, Wish(prefix=b"/registry/shop/", revision=revision), True, time.time(), print)
            assert again.plan.difference.total == 0
            recover(settings, Wish(everything=True, revision=revision), True, time.time(), print)
            assert values(single) == good
            assert dump(single.members[0].client)[b"/registry/leased"].lease != 0


def test_what_is_changed_between_the_look_and_the_deed_stays(
    single: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tmp_path, single, prefix="/registry/")
    with Client(Connection(endpoints=single.endpoints)) as client:
        client.commit([], [Delete(*ALL)])
        some_keys(client)
        good = values(single)
        with Reading(settings):
            revision = client.page(b"x").header.revision
            client.commit([], [Delete(*prefix_range(b"/registry/shop/"))])
            really = Client.commit

            def commit(self: Client, compares: Any, operations: Any) -> Any:
                monkeypatch.setattr(Client, "commit", really)
                client.commit([], [Put(b"/registry/shop/0007", b"theirs")])
                return really(self, compares, operations)

            monkeypatch.setattr(Client, "commit", commit)
            done = recover(settings, Wish(everything=True, revision=revision), True, time.time(), print)
            assert done.outcome == (299, [b"/registry/shop/0007"], 0)
            assert values(single) == {**good, b"/registry/shop/0007": b"theirs"}
    with pytest.raises(EtcdError, match="has only keys from /registry/ on"):
        recover(settings, Wish(prefix=b"/reg", revision=revision), False, time.time(), print)


# ---- by the playbook ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Lab]]:
    folder = tmp_path_factory.mktemp("two")
    with Lab(folder / "source", members=1) as source, Lab(folder / "mirror", members=1) as mirror:
        yield source, mirror


def inventory(folder: Path) -> Path:
    path = folder / "hosts"
    local = f"ansible_connection=local ansible_become=false ansible_python_interpreter={sys.executable}"
    path.write_text(f"[etcd_mirror]\nengine {local} etcd_mirror_name=east etcd_mirror_config={folder}/east.json\n")
    return path


def test_the_playbook_shows_the_difference_and_brings_it_back_when_it_is_confirmed(
    two: tuple[Lab, Lab], tmp_path: Path
) -> None:
    source = two[0]
    settings, hosts = settings_of(tmp_path, source), inventory(tmp_path)
    with Client(Connection(endpoints=source.endpoints)) as client:
        client.commit([], [Delete(*ALL)])
        some_keys(client)
        good = values(source)
        with Reading(settings):
            wanted = ["-i", hosts, "-e", "etcd_mirror_recover_prefix=/registry/shop/"]
            wanted += ["-e", f"etcd_mirror_recover_revision={client.page(b'x').header.revision}"]
            client.commit([], [Delete(*prefix_range(b"/registry/shop/"))])
            client.commit([], [Put(b"/registry/shop/{{ 7 * 7 }}\x1b[2J", b"new")])
            bad = values(source)

            looked = play(PLAYBOOK, *wanted, "--check", "--diff")
            assert looked.rc == 0, looked.output
            assert "300 to create, 0 to change, 1 to delete" in looked.text and "+ /registry/shop/0000" in looked.output
            assert "- /registry/shop/{{ 7 * 7 }}\\x1b[2J" in looked.output and "shop/49" not in looked.output
            assert looked.recap("engine")["changed"] == 1
            unconfirmed = play(PLAYBOOK, *wanted)
            assert unconfirmed.rc == 0, unconfirmed.output
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

    late = play(PLAYBOOK, "-i", hosts, "-e", "etcd_mirror_recover_all=true", "-e", "etcd_mirror_recover_at=2h")
    assert late.rc != 0 and "the log does not reach back to" in late.text, late.output


def test_the_playbook_brings_a_prefix_back_from_a_delayed_mirror(two: tuple[Lab, Lab], tmp_path: Path) -> None:
    source, mirror = two
    settings = settings_of(tmp_path, source, mirror, prefix="/registry/", destination_prefix="/dr/", keep_log=False)
    with Client(Connection(endpoints=source.endpoints)) as client, Client(
        Connection(endpoints=mirror.endpoints)
    ) as other:
        client.commit([], [Delete(*ALL)])
        some_keys(client)
        some_keys(other, b"/dr/")
        header = client.page(b"x").header
        state = begun(settings, "1", header.cluster_id, header.revision, None)
        other.commit([], [Put(state_key(settings), state.encode()), Put(b"/outside", b"o")])
        good = values(source)
        client.commit([], [Delete(*prefix_range(b"/registry/shop/")), Put(b"/registry/other/0001", b"theirs")])
        client.compact(client.page(b"x").header.revision)
        wanted = ["-i", inventory(tmp_path), "-e", "etcd_mirror_recover_prefix=/registry/shop/"]
        wanted += ["-e", "etcd_mirror_recover_from_mirror=true", "-e", "etcd_mirror_recover_confirm=east"]
        scanning = play(PLAYBOOK, *wanted)
        assert scanning.rc != 0 and "the mirror is being compared with its source" in scanning.text
        other.commit([], [Put(state_key(settings), state.at(header.revision).encode())])
        assert state.at(1).phase == FOLLOW
        before = values(mirror)
        done = play(PLAYBOOK, *wanted)
        assert done.rc == 0 and "300 keys brought back" in done.text, done.output
        assert values(source) == {**good, b"/registry/other/0001": b"theirs"}
        assert values(mirror) == before
        assert isinstance(settings.source, Side)
