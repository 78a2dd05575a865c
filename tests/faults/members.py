# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults: a lab of four hosts whose membership changes under fire, while a client writes.

One lab serves many faults: each round first makes the membership that its case begins with, by etcd's own means.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, NamedTuple

from beds import SERVE_SECONDS, LabBed
from client import WRITTEN, GatewayError, RetryingWriter, differences, dump, seed
from conftest import CHECKOUT, Play
from killing import UnderFire, run
from lab import Lab, Member

KEYS = 200


class Everyone(LabBed):
    """All hosts of a lab, the spare ones too."""

    @property
    def members(self) -> list[Member]:
        return self.of.everyone


class Case(NamedTuple):
    """A change of the membership: so many voters there are before, and what happens to them and is asked then."""

    name: str
    voters: int
    begin: Callable[[Members], dict[str, Any]]


class Members(UnderFire):
    """A lab of three founders and a spare host. ``wanted`` are the names of those that must be members at the end."""

    playbook, folder = CHECKOUT / "playbooks" / "member_replace.yml", "restores"

    def __init__(self, lab: Lab) -> None:
        super().__init__(Everyone(lab))
        self.lab = lab
        self.wanted: list[str] = []
        self.gone: list[str] = []  # what stays stopped, by the job and not by the fault
        self.limit: list[str] = []
        self.asked: dict[str, Any] = {}
        self.writer: RetryingWriter | None = None
        seed(lab.members[0].client, KEYS)

    # ---- a round ---------------------------------------------------------------------------------------------------

    def begin(self, case: Case, writes: bool = True) -> Members:
        """``writes``: with a client of its own that writes all the time."""
        self._shape(case.voters)
        self.gone, self.limit, self.writer = [], [], None
        self.asked = case.begin(self)
        self.begin_round()
        if writes:
            self._write()
        return self

    def _write(self) -> None:
        self.forget_what_was_written()
        self.writer = RetryingWriter(self.everywhere)
        self.writer.__enter__()

    def forget_what_was_written(self) -> None:
        """Another round's writes must not stand for those of this one: they have the same keys and values."""
        self.serving().client.delete_range(WRITTEN, WRITTEN[:-1] + b"0")

    @property
    def everywhere(self) -> list[str]:
        return [member.client_url for member in self.lab.everyone]

    def end(self) -> None:
        super().end()
        if self.writer:
            self.stop_writing()

    def stop_writing(self) -> RetryingWriter:
        assert self.writer is not None
        self.writer.__exit__()
        return self.writer

    def arguments(self) -> list[str]:
        said = {f"etcd_member_replace_{name}": value for name, value in self.asked.items()}
        more = {"etcd_member_replace_confirm": "etcd", "etcd_member_replace_backup": False, **said}
        return ["-e", json.dumps(more), *(["--limit", ":".join(self.limit)] if self.limit else [])]

    def lose(self, name: str, disk: bool = False) -> None:
        self.lab.kill(self.lab.member(name))
        if disk:
            shutil.rmtree(self.lab.member(name).data_dir)

    def serving(self) -> Member:
        return next(one for one in map(self.lab.member, self.voters()) if one.pid() is not None)

    def voters(self) -> list[str]:
        return sorted(entry["name"] for entry in self.listed() if entry.get("name") and not entry.get("isLearner"))

    def free(self) -> list[str]:
        seated = {url for entry in self.listed() for url in entry["peerURLs"]}
        return [member.name for member in self.lab.everyone if member.peer_url not in seated]

    def leader(self) -> str:
        status = self.lab.status()
        return next(name for name, one in status.items() if one and one.leader == one.member_id)

    def followers(self) -> list[str]:
        return [name for name in self.voters() if name != self.leader()]

    # ---- what etcd itself says and does ----------------------------------------------------------------------------

    def ctl(self, *words: str, names: list[str] | None = None) -> Any:
        """etcdctl at the first of these members, or of all, that answers."""
        said = ""
        for member in self.lab.everyone if names is None else map(self.lab.member, names):
            if member.pid() is not None:
                argv = [self.lab.bin_dir / "etcdctl", f"--endpoints={member.client_url}", *words, "-w", "json"]
                done = subprocess.run(argv, capture_output=True, text=True, check=False)
                if done.returncode == 0:
                    return json.loads(done.stdout or "null")
                said += done.stderr
        raise GatewayError(f"etcdctl {' '.join(words)}: {said}")

    def listed(self) -> list[dict[str, Any]]:
        return self._patiently("member", "list")["members"]

    def _patiently(self, *words: str) -> Any:
        until = time.monotonic() + SERVE_SECONDS
        while True:
            try:
                return self.ctl(*words)
            except GatewayError as error:
                if "member not found" in str(error):
                    return None  # removed by a call whose answer was lost
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    def _shape(self, count: int) -> None:
        """So many voters that serve, and nothing on the other hosts."""
        for entry in self.listed():
            if entry.get("isLearner") or not entry.get("name") or len(self.voters()) > count:
                self._patiently("member", "remove", f"{entry['ID']:x}")
        for name in self.free():
            self.lose(name)
            shutil.rmtree(self.lab.member(name).data_dir, ignore_errors=True)
        for name in self.free()[: count - len(self.voters())]:
            member = self.lab.member(name)
            self._patiently("member", "add", name, f"--peer-urls={member.peer_url}")
            others = {entry["name"] or name: entry["peerURLs"][0] for entry in self.listed() if entry.get("name")}
            members = ",".join(f"{one}={url}" for one, url in {**others, name: member.peer_url}.items())
            member.config_file.write_text(self.lab.config_text(member, "existing", members))
            self.lab.start(member)
            self._wait(name, again=True)
        for name in self.voters():
            self.lab.start(self.lab.member(name))
            self._wait(name)
        assert len(self.voters()) == count

    def _wait(self, name: str, again: bool = False) -> None:
        """``again``: a newcomer may hang in the snapshot that it was sent (seen with 3.6.16), and is started anew."""
        until = time.monotonic() + SERVE_SECONDS
        while True:
            try:
                self.lab.member(name).client.get(b"ready")
                return
            except GatewayError as error:
                if again and time.monotonic() > until:
                    self.lab.kill(self.lab.member(name))
                    self.lab.start(self.lab.member(name))
                    until, again = time.monotonic() + SERVE_SECONDS, False
                assert time.monotonic() < until, f"{name} does not serve: {error}\n{self.lab.logs(lines=20)}"
                time.sleep(0.1)

    # ---- the end of it ---------------------------------------------------------------------------------------------

    def assert_is_done(self) -> None:
        """The members that are wanted and no others, all of them voters with the same data, and every acknowledged write."""
        writer = self.stop_writing()
        self.assert_members()
        held = dump(self.lab.member(self.wanted[0]).client, serializable=False)
        for name in self.wanted:
            member = self.lab.member(name)
            assert differences(held, dump(member.client)) == [], f"{name}\n{self.story()}"
            writer.check(member.client)
        assert len({entry["HashKV"]["hash"] for entry in self._hashes()}) == 1, self.story()

    def assert_members(self) -> None:
        """The members that are wanted and no others, all of them voters, and so say their configurations."""
        listed = self.listed()
        assert all(entry.get("name") and not entry.get("isLearner") for entry in listed), f"{listed}\n{self.story()}"
        assert self.voters() == sorted(self.wanted), f"{listed}\n{self.story()}"
        for name in self.wanted:
            self._assert_configured(self.lab.member(name))
        for name in self.gone:
            assert self.lab.member(name).pid() is None, f"{name} runs\n{self.story()}"
            left = list(self.lab.member(name).data_dir.glob("*"))
            assert left == [], f"the data of {name} was not moved aside: {left}\n{self.story()}"

    def _hashes(self) -> list[dict[str, Any]]:
        found = []
        for name in self.wanted:
            found += self.ctl("endpoint", "hashkv", names=[name])
        return found

    def _assert_configured(self, member: Member) -> None:
        text = member.config_file.read_text()
        named = {one.name for one in self.lab.everyone if f"{one.name}={one.peer_url}" in text}
        assert named == set(self.wanted) and '"existing"' in text, f"{member.name}: {text}\n{self.story()}"

    def unwrite(self, step: str) -> None:
        """The step was done and is not written down: the run was killed between the two."""
        for member in self.bed.members:
            name, entries = self._newest(member)
            steps = [entry["step"] for entry in entries]
            # What comes a moment later may be written down before the kill.
            if step in steps[-2:] and step in self.steps(member):
                left = entries[: steps.index(step, max(0, len(steps) - 2))]
                path: Path = self.journals(member) / name / "journal.jsonl"
                path.write_text("".join(f"{json.dumps(entry)}\n" for entry in left))
                return
        raise AssertionError(f"{step} is no last step\n{self.story()}")


def again(fire: Members) -> Play:
    """The same command, to the end."""
    done = run(fire)
    assert done.rc == 0, done.output + fire.story()
    assert "The snapshot of cluster" not in done.text, "it was told to take no backup"
    fire.assert_is_done()
    return done
