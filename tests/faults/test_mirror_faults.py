# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong while a mirror follows a source that is written to; in the end both sides are equal, key by key."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import load
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.verify import verify_mirror
from client import GatewayError
from lab import Lab
from mirror_ground import Mirrored, Small
from mirrors import OVERTAKEN

pytestmark = pytest.mark.xdist_group("mirror")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("faults") / "source") as lab:
        yield lab


@pytest.fixture(scope="module")
def destination(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("faults") / "destination") as lab:
        yield lab


@pytest.fixture
def mirrored(source: Lab, destination: Lab, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Mirrored]:
    name = request.node.name.partition("[")[0].removeprefix("test_")[:40] + f"-{len(request.node.name)}"
    with Mirrored(tmp_path, name, source.endpoints, destination.endpoints) as made:
        yield made


def assert_verified(mirrored: Mirrored, engine) -> None:
    settings = load(str(engine.settings_file))
    with Client(Connection(settings.source.endpoints)) as one, Client(
        Connection(settings.destination.endpoints)
    ) as other:
        found = verify_mirror(settings, one, other, rest=0)
    assert found.equal and found.source_keys and not found.unsettled, found


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_partition_is_noticed_and_another_member_asked(mirrored: Mirrored, side: str) -> None:
    """The connections stand and are silent. Nothing heals: what is asked must be another member."""
    with mirrored.engine().running() as engine:
        engine.wait_until_it_follows()
        mirrored.load.wait_for(20)
        proxies = getattr(mirrored, side)
        for proxy in [one for one in proxies if one.connections][: len(proxies) - 1]:
            proxy.blackhole()
        mirrored.load.wait_for(20)
        mirrored.assert_equal_in_the_end(engine)
        assert "is asked from now on" in engine.log, engine.log
        for proxy in proxies:
            proxy.heal()
        assert_verified(mirrored, engine)


def test_compaction_while_the_source_is_cut_off(mirrored: Mirrored) -> None:
    with mirrored.engine().running() as engine:
        engine.wait_until_it_follows()
        for proxy in mirrored.source:
            proxy.cut()
        mirrored.load.wait_for(50)
        mirrored.source_client.compact(mirrored.source_client.status().revision)
        mirrored.load.wait_for(20)
        for proxy in mirrored.source:
            proxy.heal()
        mirrored.assert_equal_in_the_end(engine)
        assert_verified(mirrored, engine)
        assert "compacted" in engine.log and engine.log.count("Compared") > 1, engine.log


def test_both_sides_come_and_go(mirrored: Mirrored) -> None:
    """Answers are lost again and again, those of transactions that were committed among them."""
    with mirrored.engine().running() as engine:
        engine.wait_until_it_follows()
        for number in range(12):
            for proxy in mirrored.source if number % 3 == 0 else mirrored.destination:
                proxy.reset()
            mirrored.load.wait_for(7)
        mirrored.assert_equal_in_the_end(engine)
        assert_verified(mirrored, engine)


def test_of_two_engines_the_second_takes_over(mirrored: Mirrored) -> None:
    first, second = mirrored.engine(1), mirrored.engine(2)
    with first.running():
        first.wait_until_it_follows()
        mirrored.load.wait_for(10)
        with second.running():
            second.wait_until_it_follows()
            assert first.process.wait(60) == OVERTAKEN, first.log
            mirrored.load.wait_for(20)
            mirrored.assert_equal_in_the_end(second)
            assert_verified(mirrored, second)


def test_the_disk_of_the_log_is_full(mirrored: Mirrored) -> None:
    """No file may grow beyond some bytes, which is what a full disk is to a writer; then there is room again."""
    engine = mirrored.engine()
    with engine.running():
        engine.wait_until_it_follows()
        resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
        engine.wait_for(lambda status: "full" in status.get("last_error", ""), "it says that the log's disk is full")
        mirrored.load.wait_for(20)
        resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        mirrored.load.wait_for(20)
        mirrored.assert_equal_in_the_end(engine)
        assert_verified(mirrored, engine)
        assert engine.process.poll() is None, engine.log


def test_the_destination_is_away_for_more_than_the_log_may_hold(source: Lab, destination: Lab, tmp_path: Path) -> None:
    """It ends by itself: nobody makes room."""
    with Mirrored(tmp_path, "away", source.endpoints, destination.endpoints, log_max_bytes=1 << 20) as mirrored:
        engine = mirrored.engine()
        with engine.running():
            engine.wait_until_it_follows()
            for proxy in mirrored.destination:
                proxy.cut()
            for number in range(120):
                mirrored.source_client.put(mirrored.prefix + b"large-%d" % (number % 3), bytes(500_000))
            engine.wait_for(lambda _status: "the log is full" in engine.log, "it reads no more")
            for proxy in mirrored.destination:
                proxy.heal()
            mirrored.assert_equal_in_the_end(engine)
            assert_verified(mirrored, engine)


def test_the_destination_is_full(source: Lab, tmp_path: Path) -> None:
    """Until somebody compacts and defragments it and takes the alarm away, again and again."""
    with Small(tmp_path / "small", members=1) as small, Mirrored(
        tmp_path, "full", source.endpoints, small.endpoints
    ) as mirrored:
        engine = mirrored.engine()
        with engine.running():
            engine.wait_until_it_follows()
            for number in range(120):
                mirrored.source_client.put(mirrored.prefix + b"large-%d" % (number % 3), bytes(400_000))
            engine.wait_for(
                lambda status: "space" in status.get("last_error", ""), "it says that the destination is full"
            )

            def make_room() -> None:
                """What is still to come may fill it again."""
                with suppress(GatewayError):  # nothing was written since
                    small.members[0].client.compact(small.members[0].client.status().revision)
                etcdctl(small, "defrag", "--command-timeout=60s")
                etcdctl(small, "alarm", "disarm")

            mirrored.assert_equal_in_the_end(engine, make_room)
            assert_verified(mirrored, engine)


def etcdctl(lab: Lab, *arguments: str) -> None:
    argv = [str(lab.bin_dir / "etcdctl"), "--endpoints", lab.endpoints[0], *arguments]
    subprocess.run(argv, check=True, capture_output=True, env={"ETCDCTL_API": "3"}, timeout=90)


def test_a_member_with_a_stale_view_is_not_believed(destination: Lab, tmp_path: Path) -> None:
    """A copy of the source as it was a while ago, with the same cluster ID, answers at its second endpoint."""
    with Lab(tmp_path / "source", members=1) as source, past_of(source, tmp_path / "past") as past:
        past.members[0].client.put(b"stale/0001", b"of another history")
        endpoints = [source.endpoints[0], past.endpoints[0]]
        with Mirrored(tmp_path, "stale", endpoints, destination.endpoints) as mirrored:
            assert source.members[0].client.status().cluster_id == past.members[0].client.status().cluster_id
            mirrored.load.wait_for(30)
            mirrored.source[1].cut()  # so that it begins with the one that is right
            with mirrored.engine().running() as engine:
                engine.wait_until_it_follows()
                mirrored.load.wait_for(10)
                mirrored.source[1].heal()
                mirrored.source[0].cut()
                mirrored.load.wait_for(50)
                mirrored.source[0].heal()
                mirrored.source[1].reset()
                mirrored.assert_equal_in_the_end(engine)


@contextmanager
def past_of(lab: Lab, folder: Path) -> Iterator[Lab]:
    """Another process with the data of a lab of one member: the same member, which does not hear of what comes."""
    member = lab.members[0]
    member.client.put_many([(b"stale/%04d" % number, b"early") for number in range(10)])
    lab.stop(member)
    past = Lab(folder, members=1)
    past.write()
    shutil.copytree(member.data_dir, past.members[0].data_dir)
    lab.start(member)
    lab.wait_ready()
    with past:
        yield past


def test_a_killed_engine_goes_on_where_it_was(mirrored: Mirrored) -> None:
    engine = mirrored.engine()
    for _time in range(5):
        engine.begin()
        mirrored.load.wait_for(15)
        engine.end(signal.SIGKILL)
    with engine.running():
        engine.wait_until_it_follows()
        mirrored.assert_equal_in_the_end(engine)
        assert_verified(mirrored, engine)
