# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: a cluster whose old data and snapshot can be told apart, and a run of restore.yml that is killed where one wants.

One cluster serves many faults. Each round writes a new snapshot and, after it, a new old state: keys that only the one
has, keys that only the other has, and keys that both have with other values. So a mixture of the two cannot hide.
"""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Callable, Iterator, NamedTuple

from client import Client, GatewayError, differences, dump, seed
from conftest import CHECKOUT, CONFIRM, PLAYBOOK_SECONDS, RESTORE, Play, playbook_argv, user_environment
from hosts import Hosts
from hosts import Member as HostsMember
from lab import Lab
from lab import Member as LabMember

SEED = os.environ.get("FAULTS_SEED", "1")
MARK = "QUORUM_ETCD_FAULTS"  # in the environment of a run and of all that it starts, but not of etcd
CLOSED = ("finished", "rolled_back")
KEYS = 20  # of each sort, a round
SERVE_SECONDS = 60.0


# ---- the two beds, as faults see them --------------------------------------------------------------------------------


class LabBed:
    """Members on loopback: the modules run on the controller's side, and die with it where a fault wants that."""

    def __init__(self, lab: Lab) -> None:
        self.of = lab
        self.dir, self.inventory = lab.dir, lab.inventory
        self.tools = lab.bin_dir

    @property
    def members(self) -> list[LabMember]:
        return self.of.members

    def client(self, member: LabMember) -> Client:
        return member.client

    def restores(self, member: LabMember) -> Path:
        return member.dir / "state" / "restores"

    def data(self, member: LabMember) -> Path:
        return member.data_dir

    def configuration(self, member: LabMember) -> str:
        return member.config_file.read_text()

    def pid(self, member: LabMember) -> str:
        return str(member.pid())

    @contextmanager
    def refuses(self, member: LabMember) -> Iterator[None]:
        """The member starts with the token that it has now, and with no other: what a restore has made does not come up."""
        script = member.dir / "etcd.sh"
        good = script.read_text()
        guard = f"grep -qF '{_token(self.configuration(member))}' \"$here/{member.config_file.name}\" || exit 1"
        script.write_text(good.replace("start() {", f"start() {{\n    {guard}", 1))
        yield
        script.write_text(good)

    def wait_ready(self) -> None:
        self.of.wait_ready(SERVE_SECONDS)


class HostsBed:
    """Hosts with systemd, over SSH. What lies on a host is read through the root of its first process."""

    def __init__(self, hosts: Hosts, tools: Path) -> None:
        self.of = hosts
        self.dir, self.inventory, self.tools = hosts.dir, hosts.inventory, tools
        self._roots: dict[str, Path] = {}

    @property
    def members(self) -> list[HostsMember]:
        return self.of.members

    def client(self, member: HostsMember) -> Client:
        return self.of.client(member)

    def root(self, member: HostsMember) -> Path:
        known = self._roots.get(member.host)
        if known is None or not known.exists():
            argv = ["docker", "inspect", "--format", "{{.State.Pid}}", member.container]
            pid = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()
            known = self._roots[member.host] = Path(f"/proc/{pid}/root")
        return known

    def restores(self, member: HostsMember) -> Path:
        return self.root(member) / "var/lib/quorum-etcd/restores"

    def data(self, member: HostsMember) -> Path:
        return self.root(member) / member.data_dir[1:]

    def configuration(self, member: HostsMember) -> str:
        return (self.root(member) / member.config_file[1:]).read_text()

    def pid(self, member: HostsMember) -> str:
        return self.of.run(member, ["systemctl", "show", "--property=MainPID", "--value", "etcd"]).strip()

    @contextmanager
    def refuses(self, member: HostsMember) -> Iterator[None]:
        """The member starts with the token that it has now, and with no other: what a restore has made does not come up."""
        folder = "/etc/systemd/system/etcd.service.d"
        check = f"ExecStartPre=/bin/grep -qF '{_token(self.configuration(member))}' {member.config_file}"
        self.of.run(
            member, ["sh", "-c", f'mkdir -p {folder}; printf "[Service]\\n%s\\n" "{check}" >{folder}/refuses.conf']
        )
        self.of.run(member, ["systemctl", "daemon-reload"])
        yield
        self.of.run(member, ["rm", f"{folder}/refuses.conf"])
        self.of.run(member, ["systemctl", "daemon-reload"])

    def wait_ready(self) -> None:
        self.of.wait_ready(SERVE_SECONDS)


def _token(configuration: str) -> str:
    found = re.search(r"cluster[-_]token\W+([\w.-]+)", configuration, re.IGNORECASE)
    assert found, configuration
    return found.group(1)


Bed = Any  # LabBed or HostsBed


# ---- the cluster under fire ------------------------------------------------------------------------------------------


class Ground:
    """A cluster, what the snapshot of this round holds and what the cluster itself held when the round began."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.round = 0
        self.new: dict = {}
        self.old: dict = {}
        self.configurations: list[str] = []
        self.pids: list[str] = []
        self.snapshot = Path()
        self.elsewhere = Path("/nowhere")  # where the slow way moves the old data
        self._began: dict[str, tuple[str, int]] = {}
        self.let_go: list[str] = []  # marks of runs of which something may still live
        seed(self._any, 300)

    @property
    def _any(self) -> Client:
        return self.bed.client(self.bed.members[0])

    def begin(self) -> Ground:
        """A new snapshot and a new old state. Nothing of an earlier round is left that could be taken for this one's."""
        self.bed.wait_ready()
        self._clean_up()
        self.elsewhere = Path("/nowhere")
        self.round += 1
        client, name = self._any, b"%d" % self.round
        client.delete_range(b"round/", b"round0")
        client.put_many((b"round/both/%d" % n, b"snapshot " + name) for n in range(KEYS))
        client.put_many((b"round/new/%s/%d" % (name, n), b"snapshot") for n in range(KEYS))
        self.snapshot = self.save(str(self.round))
        self.new = dump(client, serializable=False)

        client.delete_range(b"round/new/", b"round/new0")
        client.put_many((b"round/both/%d" % n, self.mark) for n in range(KEYS))
        client.put_many((b"round/old/%s/%d" % (name, n), self.mark) for n in range(KEYS))
        self.old = dump(client, serializable=False)
        assert len(differences(self.new, self.old)) == 3 * KEYS, "the old state and the snapshot must be told apart"
        self.configurations = [self.bed.configuration(member) for member in self.bed.members]
        self.pids = [self.bed.pid(member) for member in self.bed.members]
        self._began = {member.host: self._place(member) for member in self.bed.members}
        return self

    def end(self) -> None:
        """The round is over, and with it what its runs have left alive: a worker without its controller sleeps for ever."""
        while self.let_go:
            _kill_marked(self.let_go.pop())

    @property
    def mark(self) -> bytes:
        """Stands in the files of the old data of this round, and nowhere else."""
        return b"the old cluster of round %d in %s" % (self.round, str(self.bed.dir).encode())

    def save(self, name: str) -> Path:
        """A snapshot of what the cluster holds now, on the controller."""
        path = self.bed.dir / "snapshots" / f"{name}.db"
        path.parent.mkdir(exist_ok=True)
        argv = [self.bed.tools / "etcdctl", f"--endpoints={self._any.endpoint}", "snapshot", "save", path]
        subprocess.run(argv, check=True, capture_output=True)
        return path

    def _clean_up(self) -> None:
        """What earlier rounds have set aside: 64 MiB of WAL each."""
        for member in self.bed.members:
            for path in self.asides(member):
                shutil.rmtree(path)
        for path in (self.bed.dir / "snapshots").glob("*.db"):
            path.unlink()

    def asides(self, member: Any) -> list[Path]:
        """All that restores have put beside the data directory, or inside where it is a mount point, or elsewhere."""
        data = self.bed.data(member)
        beside = [*data.parent.glob(f"{data.name}.*"), *data.glob(".[br]*-*")]
        return sorted([*beside, *(self.elsewhere / member.host).glob("*")])

    # ---- the journals ------------------------------------------------------------------------------------------------

    def _place(self, member: Any) -> tuple[str, int]:
        name, entries = self._newest(member)
        return name, len(entries)

    def _newest(self, member: Any) -> tuple[str, list[dict]]:
        """The newest restore on this host, and its steps; a line that is being written is not one yet."""
        try:
            name = max(name for name in os.listdir(self.bed.restores(member)) if not name.startswith("."))
            lines = (self.bed.restores(member) / name / "journal.jsonl").read_text().splitlines()
        except (OSError, ValueError):
            return "", []
        entries = []
        for line in lines:
            with suppress(ValueError):
                entries.append(json.loads(line))
        return name, entries

    def entries(self, member: Any) -> list[dict]:
        """What this host's journal says of this round, over all runs."""
        name, entries = self._newest(member)
        known, count = self._began[member.host]
        return entries[count:] if name == known else entries

    def steps(self, member: Any) -> list[str]:
        return [entry["step"] for entry in self.entries(member)]

    def is_closed(self) -> bool:
        """Whether this round's restore has ended on every host, so that the next run begins another one."""
        return all(self.steps(member)[-1:] in [[step] for step in CLOSED] for member in self.bed.members)

    def must_go_back(self) -> bool:
        """Whether a rollback was begun that some host, whose old data was touched, has not ended."""
        every = [self.steps(member) for member in self.bed.members]
        begun = any(step in ("rolling_back", "rolled_back") for steps in every for step in steps)
        return begun and any("stopping" in steps and steps[-1] not in CLOSED for steps in every)

    def touched(self) -> bool:
        return any("stopping" in self.steps(member) for member in self.bed.members)

    def story(self) -> str:
        return "\n".join(f"{member.host}: {' '.join(self.steps(member))}" for member in self.bed.members)

    # ---- what must be true -------------------------------------------------------------------------------------------

    def assert_untouched(self) -> None:
        """Nothing was stopped: the same processes with the same data and configuration."""
        assert [self.bed.pid(member) for member in self.bed.members] == self.pids, self.story()
        self.assert_old()

    def assert_new(self, members: list[Any] | None = None) -> None:
        """Every member, or these, hold the snapshot's data, key by key, and the old data lies beside it."""
        for member in members or self.bed.members:
            self._wait_for(member)
            self._assert_holds(member, self.new)
            state = [line for line in self.bed.configuration(member).splitlines() if _is_state(line)]
            assert state and all("existing" in line for line in state), f"{member.host}: {state}"
            assert self.keeps_old(member, aside=True), f"{member.host} has lost its old data\n{self.story()}"

    def assert_old(self, members: list[Any] | None = None) -> None:
        """Every member, or these, serve the old cluster's data, with the configuration as it was to the byte."""
        for member in members or self.bed.members:
            self._wait_for(member)
            self._assert_holds(member, self.old)
            before = self.configurations[self.bed.members.index(member)]
            assert self.bed.configuration(member) == before, member.host

    def assert_nothing_is_lost(self) -> None:
        """At this instant, whatever runs: every host still has the old data, here or there."""
        for member in self.bed.members:
            assert self.keeps_old(member), f"{member.host} has lost its old data\n{self.story()}"

    def keeps_old(self, member: Any, aside: bool = False) -> bool:
        """Whether the files of the old data are on the host; with ``aside``, elsewhere than in the live data directory."""
        for _look in range(3):  # what is at work may move it from the one place to the other between two looks
            places = [*self.asides(member), *([] if aside else [self.bed.data(member)])]
            with suppress(FileNotFoundError):
                if any(self.mark in _bytes(path) for place in places for path in place.rglob("*") if _is_data(path)):
                    return True
        return False

    def _wait_for(self, member: Any) -> None:
        until = time.monotonic() + SERVE_SECONDS
        while True:
            try:
                self.bed.client(member).get(b"ready")
                return
            except GatewayError as error:
                assert time.monotonic() < until, f"{member.host} does not serve: {error}\n{self.story()}"
                time.sleep(0.1)

    def _assert_holds(self, member: Any, wanted: dict) -> None:
        found = differences(wanted, dump(self.bed.client(member)))
        assert found == [], f"{member.host} in round {self.round}: {found[:5]}\n{self.story()}"


def _is_state(line: str) -> bool:
    return not line.lstrip().startswith("#") and "initial_cluster_state" in line.lower().replace("-", "_")


def _is_data(path: Path) -> bool:
    return path.suffix == ".wal" or path.name == "db"


def _bytes(path: Path) -> bytes:
    """A WAL segment is 64 MiB long and mostly nothing: it ends where there is nothing for long."""
    found = bytearray()
    with suppress(FileNotFoundError), path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            found += chunk
            if path.suffix == ".wal" and not chunk.strip(b"\0"):
                break
    return bytes(found)


# ---- a run, and its end ----------------------------------------------------------------------------------------------


class Run:
    """An ansible-playbook under way. As a context manager it leaves nothing of it behind."""

    def __init__(self, ground: Ground, *arguments: str) -> None:
        self._ground = ground
        self.mark = f"{os.getpid()}-{random.getrandbits(64):x}"
        self._argv = playbook_argv(RESTORE, "-i", ground.bed.inventory, *arguments)
        self._log = (ground.bed.dir / f"play-{self.mark}.log").open("w+")
        self._process = subprocess.Popen(
            self._argv,
            cwd=CHECKOUT,
            env={**user_environment(), MARK: self.mark},
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill(modules=True)
        self._log.close()

    def until(self, happened: Callable[[], bool], what: str, seconds: float = 120.0) -> None:
        """Wait for something; AssertionError where the run ends without it."""
        deadline = time.monotonic() + seconds
        while not happened():
            over = self._process.poll() is not None and not happened()
            assert not over and time.monotonic() < deadline, (
                f"the run never came to {what}\n{self._ground.story()}\n{self.output}"
            )
            time.sleep(0.002)

    def until_step(self, member: Any, step: str) -> None:
        self.until(lambda: step in self._ground.steps(member), f"{step} on {member.host}")

    def hold(self) -> None:
        """No task is begun from now on; those that were go on."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def kill(self, modules: bool) -> bool:
        """SIGKILL for the controller, and for its workers, modules and connections too or not. Whether it still ran."""
        ran = self._process.poll() is None
        if ran:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        if modules:
            _kill_marked(self.mark)
        return ran

    def let_go(self) -> bool:
        """What was left alive may live on after the context too, until the round is over. Whether there is any."""
        left = _marked(self.mark)
        self._ground.let_go.append(self.mark)
        self.mark = "nothing any more"
        return bool(left)

    def end(self, seconds: float = PLAYBOOK_SECONDS) -> Play:
        """Wait until it has ended by itself."""
        try:
            rc = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the run did not end in {seconds:g} s\n{self.output}") from None
        assert "Traceback" not in self.output, self.output
        return Play(rc, self.output)

    @property
    def output(self) -> str:
        self._log.flush()
        return f"$ {' '.join(self._argv)}\n{Path(self._log.name).read_text()}"


def _marked(mark: str) -> list[int]:
    """The processes that a run has started and that still live. etcd's own are started with a clean environment."""
    wanted, found = f"{MARK}={mark}".encode(), []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if wanted in path.read_bytes().split(b"\0") and _lives(path.parent):
                found.append(int(path.parent.name))
    return found


def _kill_marked(mark: str) -> None:
    while left := _marked(mark):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _lives(process: Path) -> bool:
    return (process / "stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"


def run(ground: Ground, *arguments: str) -> Play:
    """The restore of this round as its user runs it, to the end."""
    with Run(ground, *CONFIRM, "-e", f"etcd_restore_snapshot={ground.snapshot}", *arguments) as running:
        return running.end()


def start(ground: Ground, *arguments: str) -> Run:
    return Run(ground, *CONFIRM, "-e", f"etcd_restore_snapshot={ground.snapshot}", *arguments)


# ---- where it is killed ----------------------------------------------------------------------------------------------


class Point(NamedTuple):
    """A place in a restore: so many seconds after the step appeared in the journal of member number so and so."""

    step: str
    member: int
    after: float = 0.0
    modules: bool = True  # die with the controller

    def __str__(self) -> str:
        later = f"+{self.after * 1000:.0f}ms" if self.after else ""
        return f"{self.step}{later}-m{self.member + 1}{'' if self.modules else '-modules-live'}"


def at_random(steps: list[str], count: int, name: str) -> list[Point]:
    """Moments between the boundaries; the same for the same seed."""
    dice = random.Random(f"{SEED} {name}")
    return [
        Point(dice.choice(steps), dice.randrange(3), round(dice.uniform(0.005, 0.6), 3), dice.random() < 0.5)
        for _point in range(count)
    ]


def killed_at(ground: Ground, point: Point, *arguments: str) -> bool:
    """Run the restore, and kill it there. Whether something of it still lives, which may yet do what it was told."""
    with start(ground, *arguments) as running:
        running.until_step(ground.bed.members[point.member], point.step)
        time.sleep(point.after)
        running.kill(point.modules)
        return running.let_go()


def assert_is_over(ground: Ground, record_property: Any = None, *arguments: str) -> None:
    """The next plain run completes the restore, or, where a rollback had begun, ends that and says so."""
    back = ground.must_go_back()
    done = run(ground, *arguments)
    if back:
        assert_is_back(ground, done)
    else:
        assert done.rc == 0, done.output + ground.story()
        ground.assert_new()
    if record_property:
        record_property("what became of it", "rolled back" if back else "completed")


def assert_is_back(ground: Ground, done: Play) -> None:
    assert done.rc != 0 and "Run the same command again for the restore itself" in reason(done), done.output
    ground.assert_old()
    assert all(ground.steps(member)[-1] == "rolled_back" for member in ground.bed.members), ground.story()


def reason(done: Play) -> str:
    """What a run that failed says of why."""
    found = re.search(
        r"(The restore did not succeed\..*?|The interrupted restore is taken back.*?)(?: PLAY RECAP|$)", done.text
    )
    return found.group(1) if found else ""


def says_gone(ground: Ground, done: Play, lost: Any) -> bool:
    """Whether the run names the host that was lost, and the others go by that, or by a proof in which it was missing."""
    said = done.text.replace("'", "")
    here = ", ".join(member.name for member in ground.bed.members if member != lost)
    reasons = (
        f"Reason: {lost.host}: it could not be reached any more",
        f"healthy members: expected [m1, m2, m3], found [{here}]",
    )
    return f"[{lost.host}]: UNREACHABLE!" in said and any(reason in said for reason in reasons)
