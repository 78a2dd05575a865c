# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a new snapshot is saved: into a private folder, verified, and published with its manifest by a rename."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from dataclasses import replace
from functools import partial
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..core.errors import EtcdError
from ..core.strict_json import misfit
from ..core.text import rfc3339
from ..core.threads import Beside
from ..core.values import Misfit, from_plain, to_plain
from ..etcd.commands import (
    Connection,
    Run,
    Tool,
    Tools,
    count_keys,
    endpoint_status,
    in_words,
    parse_json,
    restore_tool,
    run_checked,
    snapshot_save,
    snapshot_status,
)
from ..etcd.identity import hex_id
from .entry import Inside, Manifest, Packed, SnapshotMember
from .following import Follower
from .inside import inside_of
from .manifest import SCHEMA, in_bytes
from .names import kit_path, manifest_path, safe, signature_path
from .packed import GZIP, NONE, SUFFIXES, ZSTD, compression_for, pack, packing, plain_sha256
from .pages import sha256_of
from .publish import check_name, clear_saves, publish
from .scratch import private_folder
from .signature import UNSIGNED, Signing, sign, signer_of_file
from .verify import SNAPSHOT, Read, verify

_DAY = 86400.0
_SLOWEST = 4 << 20  # bytes a second that a snapshot is expected to come with at least, for the time limit of a save
_STATUS = {"revision": (int, None), "totalKey": (int, None), "hash": (int, None)}  # what is read of snapshot status


class Form(NamedTuple):
    """How a snapshot is kept: ``compress`` is one of ``packed.CHOICES``; where the caller gives a name, its end says it."""

    compress: str = NONE
    signing: Signing = UNSIGNED


class Saved(NamedTuple):
    """A new snapshot. ``size`` is in bytes, of the plain one, ``cluster_id`` in hex, as in its manifest.

    ``concerns`` are what whoever saves has to say of what lies beside it.
    """

    path: str
    size: int
    sha256: str
    revision: int
    cluster_id: str
    alarms: List[str]
    manifest: Manifest
    concerns: Tuple[str, ...] = ()


PLAIN = Form()


class Source(NamedTuple):
    """Who is behind an endpoint: cluster and member ID (hex), its version, and the size of its database in bytes."""

    endpoint: str
    cluster_id: str
    member_id: str
    etcd_version: str
    db_size: int


class _Status(NamedTuple):
    """What ``snapshot status`` says; None for what it does not know."""

    revision: int = 0
    keys: Optional[int] = None
    hash: Optional[int] = None


class _Counted(NamedTuple):
    """How many keys a client sees at a revision; None where that cannot be told."""

    revision: int
    keys: Optional[int]


class _Draft(NamedTuple):
    """A saved file that is known to be whole. ``user_keys`` is None where they cannot be counted."""

    sha256: str
    size: int
    revision: int
    status: _Status
    user_keys: Optional[int]
    inside: Inside
    complete: bool


def default_name(cluster: str, now: float, revision: int) -> str:
    """``<cluster>-<UTC yyyymmddThhmmssZ>-rev<revision>.db``; what is no letter, digit, ``.``, ``_`` or ``-`` becomes ``-``."""
    return f"{safe(cluster)}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-rev{revision}.db"


def _free_second(folder: str, cluster: str, now: float, revision: int) -> float:
    """``now``, or the first second after it whose name is free: one run may save right after another that it has waited for."""
    ends = ("", *SUFFIXES.values())
    while any(os.path.lexists(os.path.join(folder, default_name(cluster, now, revision) + end)) for end in ends):
        now += 1
    return now


def compression_by_name(name: str) -> str:
    """How a file of this name is compressed; empty where it is not."""
    return next((one for one in (ZSTD, GZIP) if name.endswith(SUFFIXES[one])), "")


def space_needed(db_size: int, compressed: bool = False) -> int:
    """Bytes that must be free before a snapshot of a database of ``db_size`` is begun: it may grow while it is read.

    A compressed one lies beside the plain one for a moment, and need not be smaller: what is encrypted is not.
    """
    return (db_size + db_size // 10) * (2 if compressed else 1) + (1 << 20)


def save(
    run: Run,
    tools: Tools,
    connection: Connection,
    source: Source,
    folder: str,
    name: str,
    now: float,
    extra: Optional[Mapping[str, object]] = None,
    form: Form = PLAIN,
    vouch: Callable[[int], Mapping[str, object]] = lambda _revision: {},
    kit: Callable[[], bytes] = lambda: b"",
) -> Saved:
    """Save a snapshot of ``source`` into ``folder``, verify it, and publish it by a rename, with its manifest.

    ``name`` is the file's name, or empty for ``default_name``. ``now`` is in seconds since the epoch. ``extra`` is what
    the caller knows on top (``cluster``, ``source_host``, ...) and stands in the manifest as it is. So does what ``vouch``
    says (``hashkv``, ``hashkv_revision``, ...): it is asked with the snapshot's revision once that is known to be whole, and
    raises what speaks against it. ``kit`` gives the bytes of the recovery kit that lies beside it, empty for none: it is asked
    when the snapshot has come. The snapshot is compressed and signed as ``form`` says. It is made in a private folder
    inside ``folder``: a run that is killed leaves nothing that looks like a snapshot, and the next save clears it away after a
    day. EtcdError, with nothing published, where anything is wrong.
    """
    etcdctl = _need(tools)
    form.signing.check()
    check_name(folder, name)
    compression = compression_by_name(name) if name else compression_for(form.compress, run)
    clear_saves(folder, now - _DAY)
    _check_space(folder, space_needed(source.db_size, bool(compression)), source.db_size)
    try:
        with private_folder(folder) as private:
            draft = os.path.join(private, "snapshot.db")
            packed_to = draft + SUFFIXES[compression] if compression else ""
            patient = _patient(connection, source)
            pack_it = (lambda: packing(packed_to, compression, run)) if compression else None
            ask = partial(_ask, run, tools, etcdctl, patient)
            with Follower(ask, f"{draft}.part", draft, pack=pack_it) as follower:
                run_checked(
                    run,
                    snapshot_save(etcdctl, patient, draft),
                    f"see the log of the etcd behind {source.endpoint}, and check user, password and disk.",
                )
            told = _look(draft, follower.seen or ask(draft), follower.read, source.endpoint, bool(compression))
            cluster = str((extra or {}).get("cluster", ""))
            taken = now if name else _free_second(folder, cluster, now, told.revision)
            name = name or default_name(cluster, taken, told.revision) + SUFFIXES.get(compression, "")
            known = {"taken_at": rfc3339(taken), **(extra or {}), **vouch(told.revision), "file": name}
            if compression:
                draft, packed = _packed(run, draft, packed_to, compression, told.sha256, follower.read)
                known.update(packed=to_plain(packed), **({"inside": to_plain(told.inside)} if told.complete else {}))
            packed_kit = kit()
            if packed_kit:
                digest = hashlib.sha256(packed_kit).hexdigest()
                known.update(kit={"name": kit_path(name), "sha256": digest, "size": len(packed_kit)})
            manifest = _manifest(told, source, etcdctl, known)
            publish(private, folder, [*_beside(run, private, name, manifest, form, packed_kit), (draft, name)])
    except OSError as error:
        raise EtcdError(
            f"the snapshot could not be written to {folder}: {error.strerror}.", "check the disk."
        ) from error
    path = os.path.join(folder, name)
    return Saved(path, told.size, told.sha256, told.revision, source.cluster_id, told.inside.alarms, manifest)


def _packed(run: Run, draft: str, to: str, compression: str, sha256: str, read: Optional[Read]) -> Tuple[str, Packed]:
    """The draft compressed to ``to``, in its place, and unpacked once more to see that it is the same, which writes nothing.

    What was ``read`` while it came is compressed already.
    """
    if not read or read.sha256 != sha256:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(to)
        pack(draft, to, compression, run)
    os.unlink(draft)
    own = Beside(lambda: sha256_of(to))
    if plain_sha256(to, run) != sha256:
        raise EtcdError(
            f"the snapshot came out of its compression by {compression} as another.",
            "check memory and disk of this host.",
        )
    return to, Packed(compression, os.path.getsize(to), own.result())


def _need(tools: Tools) -> Tool:
    if not tools.etcdctl:
        raise EtcdError("etcdctl is missing, so no snapshot can be saved.", "install etcdctl, or set bin_dir.")
    return tools.etcdctl


def source_behind(run: Run, tools: Tools, connection: Connection, endpoint: str) -> Source:
    """Who answers there. EtcdError where nobody does."""
    command = endpoint_status(_need(tools), replace(connection, endpoints=[endpoint]))
    next_step = f"see that the member behind {endpoint} runs, and check user, password and TLS files."
    answers = parse_json(run_checked(run, command, next_step), command)
    try:
        status = answers[0]["Status"]  # type: ignore[index]
        return Source(
            endpoint=endpoint,
            cluster_id=hex_id(int(status["header"]["cluster_id"])),
            member_id=hex_id(int(status["header"]["member_id"])),
            etcd_version=str(status["version"]),
            db_size=int(status["dbSize"]),
        )
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise EtcdError(f"the status of {endpoint} is not what etcd prints.", next_step) from error


def _patient(connection: Connection, source: Source) -> Connection:
    """A connection to one endpoint that waits as long as its snapshot can take.

    etcdctl has no time limit for ``snapshot save`` until ``--command-timeout`` is given; then it cuts the transfer off.
    """
    seconds = max(connection.command_timeout, 60 + source.db_size // _SLOWEST)
    return replace(connection, endpoints=[source.endpoint], command_timeout=seconds)


def _ask(run: Run, tools: Tools, etcdctl: Tool, connection: Connection, draft: str) -> Tuple[_Status, _Counted]:
    """What etcd says of the saved file, which reads all of it, and beside that the member of its keys."""
    counting = Beside(lambda: _counted(run, etcdctl, connection, draft))
    return _status(run, tools, draft), counting.result()


def _look(draft: str, asked: Tuple[_Status, _Counted], read: Optional[Read], endpoint: str, thorough: bool) -> _Draft:
    """What is to be said of the saved file, once it is known to be whole; with ``thorough`` all that a look would say."""
    status, counted = asked
    verdict = verify(draft, read)  # after etcd's own look, so that these are the bytes that are published
    if not verdict.ok or verdict.kind != SNAPSHOT:
        reason = verdict.reason or "it has no hash at its end."
        raise EtcdError(f"the snapshot of {endpoint} is not whole: {reason}", "save it again; check disk and network.")
    inside, complete = _inside(draft, thorough)
    revision = max(inside.revision, status.revision)
    return _Draft(
        sha256=verdict.sha256,
        size=verdict.size,
        revision=revision,
        status=status,
        user_keys=counted.keys if counted.revision == revision else None,
        inside=inside,
        complete=complete,
    )


def _inside(draft: str, thorough: bool) -> Tuple[Inside, bool]:
    """What is in the snapshot, and whether that is all that a look would say; what is odd in it is no reason to save none."""
    try:
        return inside_of(draft, thorough), thorough
    except EtcdError:
        return inside_of(draft, thorough=False), False


def _manifest(told: _Draft, source: Source, etcdctl: Tool, more: Mapping[str, object]) -> Manifest:
    """The manifest as it is written: what is not known is null in it. EtcdError where nobody could read it again."""
    plain = {
        "schema": SCHEMA,
        "sha256": told.sha256,
        "size": told.size,
        "revision": told.revision,
        "keys": told.status.keys,
        "user_keys": told.user_keys,
        "hash": told.status.hash,
        "cluster_id": source.cluster_id,
        "member_id": source.member_id,
        "members": [_without_client_urls(member) for member in told.inside.members],
        "etcd_version": source.etcd_version,
        "cluster_version": told.inside.cluster_version,
        "alarms": told.inside.alarms,
        "tool": {"name": "etcdctl", "version": str(etcdctl.version)},
        "source_endpoint": source.endpoint,
        **more,
    }
    try:
        return from_plain(Manifest, plain)
    except Misfit as why:
        raise EtcdError(
            f"the manifest of this snapshot could not be read again: {why}.", "give the cluster a name of one line."
        ) from why


def _without_client_urls(member: SnapshotMember) -> Dict[str, object]:
    return {key: value for key, value in to_plain(member).items() if key != "client_urls"}


def _status(run: Run, tools: Tools, draft: str) -> _Status:
    """etcd's word on hash, keys and revision; none on a host of 3.6 or later without etcdutl, whose backup still counts."""
    try:
        restore_tool(tools)
    except EtcdError:
        return _Status()
    command = snapshot_status(tools, draft)
    status = parse_json(run_checked(run, command, "save it again; check disk and network."), command)
    if not isinstance(status, dict) or misfit(status, _STATUS):
        raise EtcdError(f"{in_words(command)} did not print the status of a snapshot.")
    return _Status(status.get("revision") or 0, status.get("totalKey"), status.get("hash"))


def _counted(run: Run, etcdctl: Tool, connection: Connection, draft: str) -> _Counted:
    """At the file's revision. Where it cannot be told, that is no reason to refuse a backup.

    The member that gave the snapshot is asked. ``totalKey`` of ``snapshot status`` is another number: before 3.6 it counts
    revisions and tombstones, and since then one more in every store whose revision a restore has raised, for which etcdutl
    writes a record of a key without a name (3.6.16: snapshot/v3_snapshot.go, unsafeBumpBucketsRevision).
    """
    try:
        revision = inside_of(draft, thorough=False).revision
    except EtcdError:  # which is found again, and said, by whoever reads all of it
        return _Counted(0, None)
    command = count_keys(etcdctl, replace(connection, command_timeout=5), revision, serializable=True)
    result = run(command.argv, command.env)
    answer = parse_json(result.out, command) if result.rc == 0 else None
    return _Counted(revision, int(answer.get("count", 0)) if isinstance(answer, dict) else None)


def _beside(
    run: Run, private: str, name: str, manifest: Manifest, form: Form, packed_kit: bytes
) -> List[Tuple[str, str]]:
    """What lies beside the snapshot of this name, as drafts in the private folder, each with its name."""
    file = manifest_path(os.path.join(private, "snapshot.db"))
    with open(file, "wb") as stream:
        stream.write(in_bytes(manifest))
    drafts, signing = [(file, manifest_path(name))], form.signing
    if packed_kit:
        kit = kit_path(os.path.join(private, "snapshot.db"))
        with open(kit, "wb") as stream:
            stream.write(packed_kit)
        drafts.append((kit, kit_path(name)))
    if signing.key:
        drafts.append((sign(run, signing.key, file), signature_path(manifest_path(name))))
        if signing.signers:
            signer_of_file(run, signing.signers, file, "what is signed here")
    return drafts


def _check_space(folder: str, need: int, db_size: int) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise EtcdError(f"the folder {folder} cannot be used: {error.strerror}.", "create it.") from error
    if free < need:
        raise EtcdError(
            f"{folder} has {free} bytes free, and a snapshot of {db_size} bytes needs {need}.",
            "free some disk, prune old snapshots, or choose another folder.",
        )
