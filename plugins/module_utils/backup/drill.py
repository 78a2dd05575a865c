# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The drill: a snapshot is restored into a folder of its own, an etcd is started on it, and what it serves is compared.

Nothing of the host's own member is touched, and nobody else sees what is in the snapshot: see ``etcd.throwaway``. What a drill
that was killed has left, processes and folders, the next one clears away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from dataclasses import dataclass, field, replace
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple, cast

from ..core.errors import Damaged, EtcdError
from ..core.text import rfc3339
from ..etcd.commands import (
    THROWAWAY,
    THROWAWAY_PEER,
    Run,
    Tool,
    Tools,
    count_keys,
    endpoint_hashkv,
    restore_tool,
    run_checked,
    snapshot_restore,
)
from ..etcd.database import Database, describe, records
from ..etcd.printed import count_of, hash_of, rows
from ..etcd.throwaway import MARK, Bed, Etcd, time_left, why
from ..etcd.users import open_to_all
from ..snapshot.entry import Manifest
from ..snapshot.kit import read_kit
from ..snapshot.manifest import held_manifest, manifest_mismatch, signed_by, understood
from ..snapshot.packed import compression_of
from ..snapshot.pages import sha256_of
from ..snapshot.scratch import make_folder, plain, private_folder
from ..snapshot.verify import SNAPSHOT, verify
from .fetching import fetch
from .killed import DRILL, at_work
from .picking import Picked
from .proofs import DRILLS, FAILED, LOCAL, PROVEN, READ, VERIFIED, Drill
from .selecting import NAME, Selector
from .stores import Store

PREFIX = ".quorum-etcd-drill-"
_DATA, _FETCHED = "data", "fetched"  # the restored data directory, and what was fetched, in the drill's folder
_WAL = 192 << 20  # bytes that a WAL takes at once, whatever is in it, and a second file of it
_CHECK_LINES, _CHECK_LINE = 20, 300  # of what the site's check prints at its end, and characters of a line


@dataclass(frozen=True)
class Terms:
    """How drills are done on a host.

    ``scratch`` is the folder for restored data, ``check`` the site's own command; times are in seconds, ``memory`` in bytes. With
    ``signers``, text as ``ssh-keygen`` reads it, what none of them has signed is not proven.
    """

    cluster: str
    scratch: str
    state_dir: str
    check: Tuple[str, ...] = ()
    seconds: float = 3600.0
    memory: int = 2 << 30
    patience: float = 0.0
    signers: str = ""


@dataclass
class _Found:
    """What a drill has found out so far: it is recorded also where the next step fails. None begins after ``until``."""

    drill: Drill
    until: float
    parts: Dict[str, float] = field(default_factory=dict)
    compared: List[str] = field(default_factory=list)
    not_compared: List[str] = field(default_factory=list)

    def learn(self, **more: object) -> None:
        self.drill = replace(self.drill, **more)  # type: ignore[arg-type]

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        time_left(self.until)
        began = time.monotonic()
        try:
            yield
        finally:
            self.parts[name] = round(time.monotonic() - began, 2)

    def done(self, began: float, **more: object) -> Drill:
        restore = sum(self.parts.get(name, 0.0) for name in ("fetch", "unpack", "verify", "restore", "start"))
        self.learn(
            parts=self.parts,
            compared=tuple(self.compared),
            not_compared=tuple(self.not_compared),
            restore_seconds=round(restore, 1),
            seconds=round(time.monotonic() - began, 1),
            **more,
        )
        return self.drill


class _Hurried:
    """A store that gives nothing more once the time is up."""

    def __init__(self, store: Store, until: float) -> None:
        self._store, self._until = store, until

    def __getattr__(self, name: str) -> Any:
        time_left(self._until)
        return getattr(self._store, name)


def drill_all(
    run: Run,
    tools: Tools,
    picked: Sequence[Picked],
    terms: Terms,
    stores: Sequence[Store] = (),
    clock: Callable[[], float] = time.time,
) -> List[Drill]:
    """A drill of each, one after the other; what became of them is recorded. Busy where another run of drills is at work here.

    ``stores`` are those that something was picked of.
    """
    _check_scratch(terms.scratch)
    make_folder(terms.scratch)
    with at_work(terms.scratch, DRILL, DRILL, terms.state_dir, terms.cluster, terms.patience, clock):
        clear_leftovers(terms.scratch)
        return [_recorded(terms, _drilled(run, tools, one, terms, stores, clock)) for one in picked]


def _drilled(
    run: Run, tools: Tools, picked: Picked, terms: Terms, stores: Sequence[Store], clock: Callable[[], float]
) -> Drill:
    began = time.monotonic()
    until = began + terms.seconds
    blank = Drill(rfc3339(clock()), socket.gethostname(), terms.cluster, FAILED, source=picked.store or LOCAL)
    found = _Found(replace(blank, name=os.path.basename(picked.path), path=picked.path, picked=picked.why), until)
    path = picked.path
    try:
        with private_folder(terms.scratch, PREFIX) as way:
            bed = Bed(os.readlink(way), way, terms.memory, until)
            if picked.store:
                path = _fetched(run, picked, bed, terms, stores, found)
            _prove(run, tools, picked._replace(path=path), bed, terms, found)
        return found.done(began, result=PROVEN)
    except EtcdError as error:
        if not (picked.store or os.path.exists(path)):
            return found.done(began, cause=f"{path} was removed meanwhile.", next_step="run the drill again.")
        cause, damaged = error.message.replace(path, picked.path), isinstance(error, Damaged)
        return found.done(began, cause=cause, next_step=error.next_step, damaged=damaged)
    except OSError as error:
        cause = f"the drill could not use {error.filename or terms.scratch}: {error.strerror}."
        return found.done(began, cause=cause, next_step="check the disk, and the mode of the folder.")


def _fetched(run: Run, picked: Picked, bed: Bed, terms: Terms, stores: Sequence[Store], found: _Found) -> str:
    """Where the snapshot lies that was fetched: in the drill's own folder, put together of all that the store has of it."""
    _check_room(terms.scratch, 2 * picked.size)
    store = [cast(Store, _Hurried(store, bed.until)) for store in stores if store.name == picked.store]
    wanted, folder = Selector(NAME, picked.path), f"{bed.way}/{_FETCHED}"
    with found.part("fetch"):
        return fetch(run, store, terms.cluster, wanted, folder, terms.state_dir, terms.signers).path


def _prove(run: Run, tools: Tools, picked: Picked, bed: Bed, terms: Terms, found: _Found) -> None:
    """Level by level; EtcdError at the first thing that is not as it should be."""
    manifest = _vouched(run, picked.path, terms.signers, found)
    with contextlib.ExitStack() as stack:
        with found.part("unpack"):
            _check_packed(picked.path, manifest)
            file = stack.enter_context(plain(picked.path, run, bed.way))
        _prove_plain(run, tools, picked, manifest, file, bed, terms, found)
    found.learn(level=PROVEN)
    _check_kit(picked.path, manifest, found)


def _prove_plain(
    run: Run,
    tools: Tools,
    picked: Picked,
    manifest: Optional[Manifest],
    file: str,
    bed: Bed,
    terms: Terms,
    found: _Found,
) -> None:
    with found.part("verify"):
        _verify(picked, manifest, file, found)
    with found.part("read"):
        told = _read(picked.path, file, manifest, found)
    etcd, etcdctl = _tools(tools)
    found.learn(etcd_version=str(etcd.version))
    _check_room(terms.scratch, found.drill.size)
    with found.part("restore"):
        _restore(run, tools, picked.path, file, bed)
        restored = f"{bed.way}/{_DATA}/member/snap/db"
        _same("revision of the restored data", told.revision, describe(restored).revision)
        if open_to_all(restored):
            found.not_compared.append("authentication is on in it, and was off while it was looked at")
    began = time.monotonic()
    lone = Etcd(run, bed, etcd, etcdctl, _DATA, found.drill.size)
    with lone.running():
        found.parts["start"] = round(time.monotonic() - began, 2)
        with found.part("compare"):
            _compare(run, lone, etcdctl, etcd, manifest or Manifest(), told, found)
        if terms.check:
            with found.part("check"):
                _check(run, lone, etcdctl, bed, terms, found)


def _verify(picked: Picked, manifest: Optional[Manifest], file: str, found: _Found) -> None:
    """The hash at its end, its manifest, and what was recorded when it was saved: all must be of these bytes."""
    path = picked.path
    verdict = verify(file)
    found.learn(sha256=verdict.sha256, size=verdict.size)
    if not verdict.ok:
        raise Damaged(verdict.reason.replace(file, path), "use another one, and check the disk.")
    if verdict.kind != SNAPSHOT:
        raise Damaged(f"{path} is a copied database: it has no hash.", "drill one that snapshot save has made.")
    wrong = manifest_mismatch(manifest, verdict.size, verdict.sha256)
    if wrong:
        raise Damaged(f"{path}: {wrong}", "see who has changed the file or its manifest.")
    if picked.sha256 not in ("", verdict.sha256):
        raise Damaged(
            f"{path} is not what was saved under this name: its SHA-256 was {picked.sha256[:16]}…, and is"
            f" {verdict.sha256[:16]}…",
            "see who has changed the file and its manifest.",
        )
    if manifest and picked.cluster and manifest.cluster != picked.cluster:
        raise Damaged(
            f"{path} is a snapshot of cluster {manifest.cluster}, and not of {picked.cluster}.",
            "see who has put it there.",
        )
    found.learn(level=VERIFIED)


def _vouched(run: Run, path: str, signers: str, found: _Found) -> Optional[Manifest]:
    """Its manifest, which one of the ``signers`` has signed, where there are any.

    One that nobody of them has signed is no proof, and need not be damaged: it may be from before there were signers.
    """
    try:
        held = held_manifest(path)
        manifest = understood(held) if held else None
    except EtcdError as error:
        raise Damaged(error.message, error.next_step) from error
    if manifest:
        found.learn(taken_at=manifest.taken_at)
    if signers:
        found.compared.append(f"signed by {signed_by(path, held, signers, run)}")
    return manifest


def _check_packed(path: str, manifest: Optional[Manifest]) -> None:
    """One that was compressed when it was saved is still the same file; what it unpacks to is looked at next."""
    packed = manifest.packed if manifest else None
    if packed and packed.compression == compression_of(path) and sha256_of(path) != packed.sha256:
        raise Damaged(
            f"{path} is damaged: its manifest was written for other content (the SHA-256 differs).",
            "use another one, and check the disk.",
        )


def _check_kit(path: str, manifest: Optional[Manifest], found: _Found) -> None:
    """What a restore on new machines needs besides the data, which is proven by now."""
    try:
        kit = read_kit(path, manifest.more.get("kit") if manifest else None)
    except EtcdError as error:
        raise Damaged(error.message, error.next_step or "use another one for new machines.") from error
    if kit:
        found.compared.append("its recovery kit")


def _read(path: str, file: str, manifest: Optional[Manifest], found: _Found) -> Database:
    """All of its structure, and that it holds the revision that it should."""
    try:
        number, told = records(file), describe(file)
    except EtcdError as error:
        raise Damaged(error.message.replace(file, path), error.next_step) from error
    found.learn(revision=told.revision)
    if manifest is None:
        found.not_compared.append("it has no manifest, so that only it itself says what it should hold")
    elif manifest.revision is not None:
        _same("revision", manifest.revision, told.revision)
        found.compared.append(f"revision {told.revision}")
    found.compared.append(f"{number} records read")
    found.learn(level=READ)
    return told


def _tools(tools: Tools) -> Tuple[Tool, Tool]:
    restore_tool(tools)
    if not (tools.etcd and tools.etcdctl):
        missing = "etcdctl" if tools.etcd else "etcd"
        raise EtcdError(f"{missing} is missing on this host, so nothing can be tried.", "install it, or set bin_dir.")
    return tools.etcd, tools.etcdctl


def _restore(run: Run, tools: Tools, path: str, file: str, bed: Bed) -> None:
    command = snapshot_restore(
        tools,
        file,
        name=THROWAWAY,
        initial_cluster=f"{THROWAWAY}={THROWAWAY_PEER}",
        token=os.path.basename(bed.folder),
        peer_urls=[THROWAWAY_PEER],
        data_dir=_DATA,
    )
    result = bed.run(run, command.argv, command.env)
    if result.rc:
        raise EtcdError(
            f"{path} cannot be restored: {why(result).replace(file, path)}.",
            "see whether the tools of this host are of its version, and have memory enough (etcd_backup_drill_memory).",
        )


def _compare(
    run: Run, lone: Etcd, etcdctl: Tool, etcd: Tool, manifest: Manifest, told: Database, found: _Found
) -> None:
    """What it serves at the snapshot's revision: leases that end meanwhile may have raised its own by now."""
    command = count_keys(etcdctl, lone.connection, told.revision)
    keys = count_of(run_checked(run, command, "see the concerns of this backup: an alarm may be in it."), command)
    found.learn(keys=keys)
    if manifest.user_keys is None:
        found.not_compared.append(f"{keys} keys, since the manifest has no number of them")
    else:
        _same("number of keys", manifest.user_keys, keys)
        found.compared.append(f"{keys} keys")
    _compare_hash(run, lone, etcdctl, etcd, manifest, found)


def _compare_hash(run: Run, lone: Etcd, etcdctl: Tool, etcd: Tool, manifest: Manifest, found: _Found) -> None:
    """etcd's own hash of all keys, which the member that was asked had at one revision, where it can be the same.

    What a compaction removes is part of it until then, and versions count differently what one has left.
    """
    more = manifest.more
    expected, at, compacted = (more.get(name) for name in ("hashkv", "hashkv_revision", "hashkv_compact_revision"))
    if not isinstance(expected, int) or not isinstance(at, int) or not isinstance(compacted, int):
        found.not_compared.append("the hash of all keys, which its manifest has not")
        return
    if manifest.etcd_version != str(etcd.version):
        found.not_compared.append(
            f"the hash of all keys, which etcd {manifest.etcd_version} made, and this one is {etcd.version}"
        )
        return
    command = endpoint_hashkv(etcdctl, lone.connection, at)
    result = run(command.argv, command.env)
    hashes = [hash_of(row, at) for row in rows(result.out, command, result.rc)]
    if not hashes or hashes[0].compact_revision != compacted:
        found.not_compared.append(f"the hash of all keys, since a compaction came after revision {at}")
        return
    _same(f"hash of all keys at revision {at}", expected, hashes[0].hash)
    found.compared.append(f"hash {expected} of all keys at revision {at}")


def _check(run: Run, lone: Etcd, etcdctl: Tool, bed: Bed, terms: Terms, found: _Found) -> None:
    """The site's own command, which reaches the etcd by etcdctl's variables, and finds etcdctl on its path."""
    path = f"{os.path.dirname(etcdctl.path)}:{os.environ.get('PATH', os.defpath)}"
    env = {"ETCDCTL_ENDPOINTS": bed.endpoint, "PATH": path}
    result = bed.run(run, terms.check, env)
    lines = [line[:_CHECK_LINE] for line in result.out.strip().splitlines()[-_CHECK_LINES:]]
    found.learn(check=tuple(lines))
    if result.rc:
        raise EtcdError(f"the check {terms.check[0]} says no: {why(result)}.", "see its last lines in the record.")
    found.compared.append(f"the check {terms.check[0]} is content")


def _same(what: str, expected: int, seen: int) -> None:
    if expected != seen:
        raise Damaged(f"its {what} should be {expected}, and is {seen}.", "do not rely on it; use another one.")


# ---- room, and what others have left ---------------------------------------------------------------------------------


def _check_scratch(folder: str) -> None:
    """Never in a data directory, whoever has set it."""
    above = os.path.realpath(folder)
    while above != "/":
        if os.path.isdir(os.path.join(above, "member", "snap")) or os.path.basename(above) == "member":
            raise EtcdError(f"{folder} lies in the data directory {above} of etcd.", "set another drill_dir.")
        above = os.path.dirname(above)


def _check_room(folder: str, size: int) -> None:
    """A tenth of the disk stays free: the live member may write there too."""
    usage = shutil.disk_usage(folder)
    needed = size + size // 10 + _WAL
    if usage.free - usage.total // 10 < needed:
        raise EtcdError(
            f"{folder} has {usage.free} bytes free, and a drill needs {needed} besides a tenth of the disk.",
            "free some disk, or set etcd_backup_drill_dir to a folder of another one.",
        )


def clear_leftovers(scratch: str) -> None:
    """End what drills that were killed have left running, and remove their folders. Whoever calls has the folder's lock.

    A process is a drill's if it has the name of the drill's own folder, which was drawn, in its environment.
    """
    left = {entry.path for entry in os.scandir(scratch) if entry.name.startswith(PREFIX)}
    for folder in left:
        _end_those_of(os.path.realpath(folder))
        shutil.rmtree(folder, ignore_errors=True)


def _end_those_of(folder: str) -> None:
    mark = f"{MARK}={folder}".encode()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), _held(int(pid)) as end, open(f"/proc/{pid}/environ", "rb") as file:
            if mark in file.read().split(b"\0"):
                end()


@contextlib.contextmanager
def _held(pid: int) -> Iterator[Callable[[], None]]:
    """How to kill this very process, whoever has its number by then; before Python 3.9, whoever has it."""
    opened, send = getattr(os, "pidfd_open", None), getattr(signal, "pidfd_send_signal", None)
    if not (opened and send):
        yield lambda: os.kill(pid, signal.SIGKILL)
        return
    descriptor = opened(pid)
    try:
        yield lambda: send(descriptor, signal.SIGKILL)
    finally:
        os.close(descriptor)


def _recorded(terms: Terms, drill: Drill) -> Drill:
    unwritten = DRILLS.note(terms.state_dir, drill, "drill")
    return replace(drill, not_compared=(*drill.not_compared, unwritten)) if unwritten else drill
