# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups while the cluster works and while it suffers, with mutual TLS and users: nobody is disturbed, and nothing is half.

A writer writes all the time. Leaders, sources and disks go in the middle of a save, clocks go back, hosts share a folder.
"""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Iterator

import pytest
from agents import Agent, ended, made_program
from ansible_collections.quorum.etcd.plugins.module_utils.agent.offsite import shipping_of
from ansible_collections.quorum.etcd.plugins.module_utils.agent.saving import job_of
from ansible_collections.quorum.etcd.plugins.module_utils.agent.settings import connection_of, load
from ansible_collections.quorum.etcd.plugins.module_utils.backup.lock import NAME as LOCK
from ansible_collections.quorum.etcd.plugins.module_utils.backup.run import back_up
from ansible_collections.quorum.etcd.plugins.module_utils.backup.shipping import ship
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.bolt import Bolt
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import look_for_tools
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.catalogue import ALL, catalogue, newest_good
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.names import (
    PACKED,
    kit_path,
    manifest_path,
    without_end,
)
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.scratch import plain
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run as run_here
from client import WRITER_KEY, Client, Writer
from conftest import CHECKOUT
from lab import Lab, Member
from waiting import until

sys.path.insert(0, str(CHECKOUT / "tests" / "hosts"))
from pki import Authority  # noqa: E402

PASSWORD = "geheim"
VALUES, SIZE = 60, 200_000  # of the seed: a save takes a while
DRAFTS = ".quorum-etcd-saving-*/snapshot.db.part"


class Guarded:
    """Three members with mutual TLS and users, and what asks them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.authority = folder, Authority(folder / "pki")
        self.lab = Lab(folder / "lab").write()
        for member in self.lab.members:
            self._secure(member)
        (folder / "password").touch(mode=0o600)
        (folder / "password").write_text(f"{PASSWORD}\n")
        self.program = made_program(folder)

    def _secure(self, member: Member) -> None:
        certificate, key = self.authority.member(member.name, [])
        (member.dir / "member.crt").write_bytes(certificate)
        (member.dir / "member.key").write_bytes(key)
        paths = {
            "cert-file": member.dir / "member.crt",
            "key-file": member.dir / "member.key",
            "trusted-ca-file": self.folder / "pki" / "ca.crt",
        }
        text = member.config_file.read_text().replace(member.client_url, self.url(member))
        lines = "".join(f'  {name}: "{path}"\n' for name, path in paths.items())
        member.config_file.write_text(f"{text}client-transport-security:\n{lines}  client-cert-auth: true\n")

    def url(self, member: Member) -> str:
        return member.client_url.replace("http:", "https:")

    @property
    def urls(self) -> list[str]:
        return [self.url(member) for member in self.lab.members]

    def client(self, member: Member, user: str = "root") -> Client:
        tls = ssl.create_default_context(cafile=str(self.folder / "pki" / "ca.crt"))
        tls.load_cert_chain(self.folder / "pki" / "client.crt", self.folder / "pki" / "client.key")
        return Client(self.url(member), tls=tls, user=user, password=PASSWORD if user else "")

    def etcdctl(self, *words: str, user: str = f"root:{PASSWORD}") -> str:
        files = [f"--{name}={self.folder}/pki/{file}" for name, file in FILES.items()]
        argv = [self.lab.bin_dir / "etcdctl", f"--endpoints={','.join(self.urls)}", *files]
        env = {**os.environ, "ETCDCTL_API": "3", **({"ETCDCTL_USER": user} if user else {})}
        done = subprocess.run([*argv, *words], env=env, check=True, capture_output=True, text=True, timeout=60)
        return done.stdout

    def agent(self, member: Member, home: Path, **settings: Any) -> Agent:
        given = {name: str(self.folder / "pki" / file) for name, file in FILES.items()}
        given.update(
            endpoints=self.urls, here=[self.url(member)], user="root", password_file=str(self.folder / "password")
        )
        return Agent(self.lab, member, self.program, home, **{**given, **settings})

    def up(self) -> None:
        """Every member runs and answers a linearizable read."""
        for member in self.lab.members:
            if member.pid() is None:
                self.lab.start(member)
        until(lambda: all(self._serves(member) for member in self.lab.members), "all members serve")

    def _serves(self, member: Member) -> bool:
        try:
            self.client(member).get(b"ready")
        except Exception:  # noqa: BLE001
            return False
        return True

    def leader(self) -> Member:
        found = [(member, self.client(member).status()) for member in self.lab.members]
        return next(member for member, status in found if status.leader == status.member_id)

    def whose_turn(self) -> Member:
        leader = self.leader()
        others = [member for member in self.lab.members if member != leader]
        return min(others, key=lambda member: format(self.client(member).status().member_id, "x"))


FILES = {"cacert": "ca.crt", "cert": "client.crt", "key": "client.key"}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    made = Guarded(tmp_path_factory.mktemp("load"))
    try:
        for member in made.lab.members:
            made.lab.start(member)
        until(lambda: made.lab.members[0].pid() and answers(made), "the member answers")
        for words in ("user add root:geheim", "role add root", "user grant-role root root", "auth enable"):
            made.etcdctl(*words.split(), user="")
        made.up()
        client = made.client(made.lab.members[0])
        for number in range(VALUES):
            client.put(b"seed/%d" % number, os.urandom(SIZE))
        yield made
    finally:
        made.lab.down(grace=0)


def answers(made: Guarded) -> bool:
    try:
        return bool(made.etcdctl("endpoint", "health", user=""))
    except subprocess.CalledProcessError:
        return False


@pytest.fixture
def bed(guarded: Guarded) -> Iterator[Guarded]:
    guarded.up()
    yield guarded
    guarded.up()


def whole(agent: Agent) -> list[dict[str, Any]]:
    """What lies in the agent's folder, each of which must be whole and have its manifest and its kit; nothing else lies there."""
    code, listed = agent.run("list", "--verify")
    assert code == 0, listed
    assert all(one["ok"] and one["verified"] and one["manifest"] for one in listed["snapshots"]), listed
    names = {one["name"] for one in listed["snapshots"]}
    there = {path.name for path in agent.folder.iterdir()}
    beside = {other for name in names for other in (manifest_path(name), kit_path(name))}
    assert there == {*names, *beside, LOCK}
    return listed["snapshots"]


def written_in(path: Path) -> bytes:
    """The writer's counter in a snapshot: the value in the last record of its key, which ends with it."""
    with plain(str(path), run) as file, Bolt(file) as bolt:
        records = [record for _revision, record in bolt.items(b"key", 128) if WRITER_KEY in record[:20]]
    found = re.search(rb"\x2a[\x01-\x09](\d+)$", records[-1])  # field 5 of mvccpb.KeyValue, its length, and the value
    assert found, records[-1]
    return found.group(1)


def test_a_writer_is_not_disturbed_and_each_snapshot_is_of_its_moment(bed: Guarded, tmp_path: Path) -> None:
    agents = [
        bed.agent(member, tmp_path / member.name, every_member=True, keep="all", compress="none")
        for member in bed.lab.members
    ]
    client = bed.client(bed.lab.members[0])
    with Writer([bed.client(member) for member in bed.lab.members], interval=0.002, timeout=5.0) as writer:
        writer.wait_for_write()
        for _round in range(2):
            before = client.status().revision
            begun = [agent.begin("backup") for agent in agents]
            made = [ended(process) for process in begun]
            after = client.status().revision
            assert [(code, one["result"]) for code, one in made] == [(0, "saved")] * 3, made
            assert all(before < one["revision"] <= after for _code, one in made), "the revision is of the run"
            time.sleep(1.1)
    acknowledged = len(writer.acknowledged)
    assert writer.failed == 0 and acknowledged > 100, (writer.failed, acknowledged)
    assert client.get(WRITER_KEY).value == b"%d" % (acknowledged - 1), "no acknowledged write is lost"
    for agent in agents:
        found = whole(agent)
        assert len(found) == 2
        for one in found:
            told = bed.etcdctl("get", WRITER_KEY.decode(), f"--rev={one['revision']}", "--print-value-only").strip()
            assert written_in(agent.folder / one["name"]) == told.encode(), "each holds what was there at its revision"


def test_the_leader_or_the_source_is_killed_in_the_middle_of_a_save(bed: Guarded, tmp_path: Path) -> None:
    leader = bed.leader()
    agents = {member.name: bed.agent(member, tmp_path / member.name, every_member=True) for member in bed.lab.members}
    source = next(member for member in bed.lab.members if member != leader)
    agent = agents[source.name]
    process = agent.begin("backup")
    until(lambda: list(agent.folder.glob(DRAFTS)), "a draft")
    bed.lab.kill(leader)
    code, made = ended(process)
    assert (code, made["result"]) == (0, "saved"), made
    assert len(whole(agent)) == 1
    bed.up()

    # The member that sends it dies: another one becomes the source.
    process = agent.begin("backup", "--force")
    until(lambda: any(path.stat().st_size for path in agent.folder.glob(DRAFTS)), "a draft with something in it")
    bed.lab.kill(source)
    code, made = ended(process)
    assert (code, made["result"]) == (0, "saved") and made["endpoint"] != bed.url(source), made
    assert PASSWORD not in json.dumps(made) and len(whole(agent)) == 2

    # So does a second one. Without a quorum nobody can log in: it is told, and nothing is half.
    bed.lab.kill(next(member for member in bed.lab.members if member != source))
    code, made = agent.run("backup", "--force")
    assert (code, made["result"]) == (1, "failed") and made["cause"] and made["next_step"], made
    assert len(whole(agent)) == 2 and agent.run("status")[0] == 1


def test_two_hosts_with_one_folder_do_not_spoil_each_other(bed: Guarded, tmp_path: Path) -> None:
    shared = str(tmp_path / "shared")
    agents = [
        bed.agent(member, tmp_path / member.name, every_member=True, keep=3, folder=shared)
        for member in bed.lab.members
    ]
    with Writer([bed.client(bed.lab.members[0])], interval=0.005, timeout=5.0) as writer:
        writer.wait_for_write()
        begun = [agent.begin("backup", "--force", "--wait", "60") for agent in agents]
        assert [ended(process)[0] for process in begun] == [0, 0, 0]
        begun = [agent.begin("backup") for agent in agents]
        results = Counter(ended(process)[1]["result"] for process in begun)
    assert results["saved"] >= 1 and set(results) <= {"saved", "refused"}, results
    assert writer.failed == 0 and len(whole(agents[0])) == 3, "they are counted together, whoever saved them"


@contextmanager
def disk_at(place: Path, size: str) -> Iterator[None]:
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(place: Path) -> None:
    """To the last byte, while somebody else writes there."""
    with (place / "filler").open("wb", buffering=0) as stream:
        for step in (1 << 20, 1 << 12):
            with suppress(OSError):
                while stream.write(b"\1" * step):
                    pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_the_disk_fills_up_in_the_middle_of_a_save(bed: Guarded, tmp_path: Path) -> None:
    place = tmp_path / "disk"
    with disk_at(place, "100m"):
        agent = bed.agent(bed.lab.members[0], tmp_path / "own", every_member=True, folder=str(place / "backups"))
        agent.set(state_dir=str(place / "state"))
        assert agent.run("backup")[1]["result"] == "saved"
        process = agent.begin("backup", "--force")
        until(lambda: list(agent.folder.glob(DRAFTS)), "a draft")
        fill(place)
        code, made = ended(process)
        assert (code, made["result"]) == (1, "failed"), made
        assert made["next_step"] and len(whole(agent)) == 1, "the one that there was is left, and nothing half"
        (place / "filler").unlink()
        code, made = agent.run("backup", "--force")
        assert (code, made["result"]) == (0, "saved") and len(whole(agent)) == 2
        assert agent.run("status")[0] == 0


def test_a_clock_that_is_set_back_costs_no_backup(bed: Guarded, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    place = {"name": "near", "folder": str(tmp_path / "store"), "mounted": False}
    agent = bed.agent(bed.lab.members[0], tmp_path / "own", every_member=True, keep=2, offsite=[place])
    client, now = bed.client(bed.lab.members[0]), float(int(time.time()))
    settings = load(str(agent.config))
    tools, to, job = look_for_tools(run_here, settings.bin_dir)[0], connection_of(settings), job_of(settings)

    def at(clock: float) -> Any:
        client.put(b"moment", b"%d" % clock)
        own = replace(job, here=(bed.url(bed.whose_turn()),))  # else nothing is shipped
        made = back_up(run_here, tools, to, own, clock=lambda: clock)
        assert made.result == "saved", made
        (shipped,) = ship(run_here, shipping_of(settings, run_here), clock=lambda: clock)
        name = without_end(os.path.basename(made.path), *PACKED)
        assert (shipped.result, shipped.sent, shipped.newest) == ("shipped", (name,), name), shipped
        with plain(made.path, run) as file:
            saved[name] = Path(file).read_bytes()
        return made

    day, saved = 86400.0, {}
    for seconds in (120, 60):
        at(now - seconds)
    last = at(now)
    for minutes in (0, 30, 60):
        last = at(now - 2 * day + 60 * minutes)
    found = catalogue(str(agent.folder), ALL, now - 2 * day + 3600)
    assert all(one.ok and one.verified for one in found)
    newest = newest_good(found)
    assert newest and newest.path == last.path, "the newest is the one with the last writes, whatever its name says"
    assert {os.path.basename(last.path)} < set(agent.snapshots()), "where clock and revision disagree, more are kept"

    # Nothing is written: that is seen, though a name of the day after tomorrow is there. And a change that has no revision is
    # not forgotten until that day.
    again = back_up(run_here, tools, to, job, clock=lambda: now - 2 * day + 3700)
    assert (again.result, again.path) == ("unchanged", last.path)

    # Off-site each is there as it was saved, and nothing was sent twice.
    (shipped,) = ship(run_here, shipping_of(settings, run_here), clock=lambda: now - 2 * day + 3700)
    assert (shipped.result, shipped.whole) == ("up to date", len(saved)), shipped
    for name, data in saved.items():
        to, manifest = tmp_path / name, tmp_path / "store" / "etcd" / manifest_path(name)
        subprocess.run([sys.executable, CHECKOUT / "docs" / "put_together.py", manifest, to], check=True, timeout=60)
        assert to.read_bytes() == data
