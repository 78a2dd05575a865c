# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Snapshots: whether a file is a whole one, what is in it, what a folder holds, and how a new one is saved.

etcd's own tools do not tell whether a snapshot is intact (``etcdutl snapshot status`` exits 0 after a flipped byte), so
the verdict here is this module's own: the SHA-256 with which ``snapshot save`` ends a file. Next to each snapshot lies
its manifest, ``<snapshot>.json``, with what only the running cluster knew.
"""

from __future__ import annotations

import calendar
import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
import time
from dataclasses import replace
from itertools import islice
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple, cast

from . import strict_json
from ._packed import compression_of, room, unpack
from .bolt import Bolt
from .commands import (
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
from .errors import EtcdError
from .identity import hex_id
from .snapshot_kubernetes import kubernetes_in
from .snapshot_order import lineages, newest
from .usable import alarms_of
from .users import auth_enabled, users_of

SCHEMA = 1
SNAPSHOT, DATABASE = "snapshot", "database"
NEWEST, ALL, NONE = "newest", "all", "none"  # how many snapshots of a folder are read to their end
PACKED = (".gz", ".zst")
HIGHEST_REVISION = (1 << 63) - 1  # a revision is an int64
_SMALL = 1024  # bytes that a value of etcd's own has at most, such as a version or a revision
_LARGEST_MEMBER, _MOST_MEMBERS = 1 << 16, 1000  # bytes of an entry of the member list, and entries
_HASH = 32  # bytes of the SHA-256 at the end of a snapshot
_SECTOR = 512  # etcd tells a snapshot with a hash by its size: 32 more than a multiple of this
_PAGE = 4096  # the least page size of a database; others are multiples of it
_CHUNK = 1 << 20
_PRIVATE = ".quorum-etcd-saving-"  # folders of saves that are under way
_DAY = 86400.0
_SLOWEST = 4 << 20  # bytes a second that a snapshot is expected to come with at least, for the time limit of a save


class Verdict(NamedTuple):
    """What is to be thought of a file. ``size`` is in bytes; ``sha256`` is of the whole file, trailer included.

    ``kind`` is ``snapshot`` (saved by etcd, hash verified), ``database`` (a copied ``member/snap/db``: it has no hash, so
    nothing vouches for its content) or empty. ``reason`` says in words why a file is refused.
    """

    ok: bool
    kind: str
    size: int
    sha256: str
    reason: str


# Verify.


def verify(path: str) -> Verdict:
    """Read the file once from end to end and say whether it is a whole snapshot. Raises nothing: a refusal is an answer."""
    size = 0
    try:
        size = _size(path)
        _check_shape(path, size)
        intact, whole = _hashes(path, size)
    except EtcdError as error:
        return Verdict(False, "", size, "", error.message)
    except OSError as error:
        return Verdict(False, "", size, "", f"{path} cannot be read: {error.strerror}.")
    if _kind(size) == SNAPSHOT and not intact:
        return Verdict(
            False, "", size, whole, f"{path} is damaged: the SHA-256 at its end does not match what stands before it."
        )
    return Verdict(True, _kind(size), size, whole, "")


def _size(path: str) -> int:
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise EtcdError(f"{path} is not a regular file.")
    return status.st_size


def _kind(size: int) -> str:
    """What a file of this size can be; empty for neither."""
    if size % _SECTOR == _HASH:
        return SNAPSHOT
    return DATABASE if size and size % _PAGE == 0 else ""


def _check_shape(path: str, size: int) -> None:
    """EtcdError for everything that a few reads can tell, so that a foreign or cut file is not read to its end."""
    if path.endswith(".part"):
        raise EtcdError(f"{path} is a save that did not finish (.part).")
    if not size:
        raise EtcdError(f"{path} is empty.")
    with Bolt(path):
        pass
    if not _kind(size):
        raise EtcdError(
            f"{path} is cut off or damaged: {size} bytes are neither a snapshot with its hash nor a database."
        )


def _hashes(path: str, size: int) -> Tuple[bool, str]:
    """Whether the trailer matches the body (False for a database), and the SHA-256 of the whole file."""
    digest, left = hashlib.sha256(), size - _HASH
    with open(path, "rb") as file:
        while left > 0:
            chunk = file.read(min(_CHUNK, left))
            if not chunk:
                raise EtcdError(f"{path} became shorter while it was read.")
            digest.update(chunk)
            left -= len(chunk)
        trailer, before = file.read(_HASH + 1), digest.digest()
    if len(trailer) != _HASH:
        raise EtcdError(f"{path} changed its size while it was read.")
    digest.update(trailer)
    return trailer == before, digest.hexdigest()


def trailer(path: str) -> str:
    """The SHA-256 with which etcd has ended a snapshot, of all that stands before it, in hex; empty where the file is none.

    It is only what the file says: whether it is true, ``verify`` and etcd's own tools find out.
    """
    size = _size(path)
    if _kind(size) != SNAPSHOT:
        return ""
    with open(path, "rb") as file:
        file.seek(size - _HASH)
        return file.read().hex()


# Describe.


def describe(path: str) -> Dict[str, Any]:
    """What the database in the file says of itself; needs none of etcd's tools. EtcdError where it is malformed.

    ``revision`` is the one with which etcd will serve it, by the rule of ``(*store).restore`` in
    ``server/storage/mvcc/kvstore.go``: the greatest of the last key's and the compacted ones. ``key_revision`` is the last
    key's alone, from which a restore counts its bump. ``consistent_index`` and ``term`` are raft's, 0 where they are not
    kept (term: 3.4). The versions are empty where they are not kept.
    """
    with Bolt(path) as bolt:

        def meta(name: bytes) -> bytes:
            return bolt.get(b"meta", name, _SMALL) or b""

        compacted = _revision(path, meta(b"finishedCompactRev"))
        last = _revision(path, bolt.last_key(b"key"))
        return {
            "revision": max(last, compacted, _revision(path, meta(b"scheduledCompactRev"))),
            "key_revision": last,
            "compact_revision": compacted,
            "consistent_index": int.from_bytes(meta(b"consistent_index")[:8], "big"),
            "term": int.from_bytes(meta(b"term")[:8], "big"),
            "cluster_version": (bolt.get(b"cluster", b"clusterVersion", _SMALL) or b"").decode(errors="replace"),
            "storage_version": meta(b"storageVersion").decode(errors="replace"),
            "members": _members(path, bolt),
            "auth_enabled": auth_enabled(bolt),
            "users": users_of(bolt),
            "alarms": alarms_of(bolt),
            "removed_members": sum(1 for _entry in bolt.items(b"members_removed", 0)),
        }


def _revision(path: str, key: Optional[bytes]) -> int:
    """The main revision of a revision's bytes: 8 of it, big endian, ``_``, 8 of the sub revision. 0 where there is none."""
    revision = int.from_bytes((key or b"")[:8], "big")
    if revision > HIGHEST_REVISION:
        raise EtcdError(f"{path}: {revision} cannot be a revision.", "use another snapshot.")
    return revision


def _members(path: str, bolt: Bolt) -> List[Dict[str, Any]]:
    found = [_member(path, value) for _id, value in islice(bolt.items(b"members", _LARGEST_MEMBER), _MOST_MEMBERS + 1)]
    if len(found) > _MOST_MEMBERS:
        raise EtcdError(f"{path}: its member list has more than {_MOST_MEMBERS} entries.", "use another snapshot.")
    return found


# One entry of the member list as etcd writes it: what it does not know of a member, it leaves out.
_MEMBER = {
    "id": int,
    "name": (strict_json.WORD, None),
    "peerURLs": ([strict_json.WORD], None),
    "clientURLs": ([strict_json.WORD], None),
    "isLearner": (bool, None),
}


def _member(path: str, value: bytes) -> Dict[str, Any]:
    try:
        raw = strict_json.parse(value.decode("utf-8"))
        wrong = strict_json.misfit(raw, _MEMBER)
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise EtcdError(f"{path}: an entry of its member list cannot be read: {wrong}.", "use another snapshot.")
    return {
        "id": hex_id(raw["id"]),
        "name": raw.get("name") or "",
        "peer_urls": list(raw.get("peerURLs") or []),
        "client_urls": list(raw.get("clientURLs") or []),
        "is_learner": bool(raw.get("isLearner")),
    }


# Manifests.


def manifest_path(path: str) -> str:
    return path + ".json"


def read_manifest(path: str) -> Optional[Dict[str, Any]]:
    """The manifest of the snapshot at ``path``; None where it has none. EtcdError for one that cannot be understood.

    That of ``x.db`` counts for ``x.db.gz`` too: people compress snapshots after they were taken.
    """
    where = manifest_path(path)
    if path.endswith(PACKED) and not os.path.exists(where):
        where = manifest_path(path.rpartition(".")[0])
    try:
        manifest = strict_json.read_file(where, "the manifest", _WITHOUT_MANIFEST)
    except FileNotFoundError:
        return None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        raise EtcdError(f"the manifest {where} is not one of schema {SCHEMA}.", "update the collection on this host.")
    wrong = strict_json.misfit(manifest, _MANIFEST)
    if wrong:
        raise EtcdError(f"the manifest {where} cannot be understood: {wrong}.", _WITHOUT_MANIFEST)
    return manifest


# What is read of a manifest. Anything may stand there besides: whoever saves a snapshot can add to it.
_WITHOUT_MANIFEST = "move the manifest away, if the snapshot is to be used without it."
_MANIFEST = {
    "sha256": (strict_json.WORD, None),
    "size": (int, None),
    "revision": (int, None),
    "user_keys": (int, None),
    "cluster": (strict_json.WORD, None),
    "cluster_id": (strict_json.WORD, None),
    "etcd_version": (strict_json.WORD, None),
    "taken_at": (strict_json.MOMENT, None),
}


def recorded_revisions(folder: str) -> Dict[str, int]:
    """By cluster, the highest revision in the manifests of ``folder``; also of snapshots that are damaged or gone."""
    found: Dict[str, int] = {}
    with contextlib.suppress(OSError):
        for name in os.listdir(folder):
            if name.endswith(".json") and not name.startswith("."):
                with contextlib.suppress(EtcdError):
                    manifest = read_manifest(os.path.join(folder, name[: -len(".json")])) or {}
                    cluster = manifest.get("cluster") or ""
                    found[cluster] = max(found.get(cluster, 0), manifest.get("revision") or 0)
    return found


def told_by_data(data_dir: str) -> Dict[str, Any]:
    """What the database of a stopped member tells: ``{"revision", "member_ids"}``; 0 and none where it cannot be read.

    What was only in the WAL is not counted: at most some ten thousand writes, far below the margin of a bump.
    """
    told: Dict[str, Any] = {"revision": 0, "members": []}
    with contextlib.suppress(EtcdError):
        told = describe(os.path.join(data_dir, "member", "snap", "db")) if data_dir else told
    return {"revision": told["revision"], "member_ids": [member["id"] for member in told["members"]]}


def manifest_mismatch(manifest: Optional[Mapping[str, Any]], size: int, sha256: str) -> str:
    """Why the manifest is not this file's, in words; empty where it is. An empty ``sha256`` is one that is not known."""
    if manifest is None:
        return ""
    if manifest.get("size") != size:
        return f"its manifest was written for {manifest.get('size')} bytes, and it has {size}."
    if sha256 and manifest.get("sha256") != sha256:
        return "its manifest was written for other content (the SHA-256 differs)."
    return ""


def write_manifest(path: str, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of the snapshot at ``path``: mode 0600, all or nothing."""
    handle, temporary = tempfile.mkstemp(prefix=_PRIVATE, dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(manifest, file, indent=2, sort_keys=True)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, manifest_path(path))
    except BaseException:
        _forget(temporary)
        raise


# Compressed.


@contextlib.contextmanager
def plain(path: str, run: Optional[Run] = None, scratch: str = "") -> Iterator[str]:
    """The path of the plain snapshot: ``path`` itself, or, where that is compressed, a copy that goes with the block.

    The copy is private, in a folder below ``scratch`` or beside the archive. EtcdError where it cannot be made whole.
    """
    if not compression_of(path):
        yield path
        return
    folder = scratch or os.path.dirname(os.path.abspath(path))
    make_folder(folder)
    _clear_stale(folder, time.time())
    private = _private_folder(folder)
    try:
        copy = os.path.join(private, "snapshot.db")
        unpack(path, copy, room(folder), run)
        yield copy
    finally:
        shutil.rmtree(private, ignore_errors=True)


# Catalogue.


def folder_problem(folder: str) -> str:
    """Why a folder's catalogue is empty, in words; empty for a folder that can be read."""
    try:
        os.listdir(folder)
    except OSError as error:
        return f"the folder {folder} cannot be read: {error.strerror}."
    return ""


def catalogue(
    folder: str,
    depth: str = NEWEST,
    now: Optional[float] = None,
    run: Optional[Run] = None,
    scratch: str = "",
) -> List[Dict[str, Any]]:
    """Every file of ``folder`` that is or might have been a snapshot, the youngest first. See ``entry`` for the shape.

    ``depth`` is how many are read to their end: ``newest`` goes down from the newest until one is good, for each etcd cluster
    that has snapshots here; ``all`` and ``none`` do what they say. Hidden files and ``*.json`` are passed over. A folder
    that is missing or unreadable is an empty catalogue; ``folder_problem`` says why. ``now`` is in seconds since the epoch.
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    paths = [os.path.join(folder, name) for name in names if not name.startswith(".") and not name.endswith(".json")]
    entries = [entry(path, False, now) for path in paths if os.path.isfile(path)]
    entries.sort(key=lambda found: found["age"])
    if depth == NONE:
        return entries
    read: Dict[str, Dict[str, Any]] = {}
    for lineage in lineages([found for found in entries if found["ok"]]):
        for found in lineage.newest_first():
            if depth == NEWEST and found["kind"] == DATABASE:
                continue  # it is never the newest good one
            read[found["path"]] = one = entry(found["path"], True, now, run, scratch)
            if depth == NEWEST and one["verified"] and one["ok"]:
                break
    return [read.get(found["path"], found) for found in entries]


def entry(
    path: str, verify: bool = True, now: Optional[float] = None, run: Optional[Run] = None, scratch: str = ""
) -> Dict[str, Any]:
    """One snapshot: its verdict, its manifest and ``describe`` of it. ``age`` is in seconds.

    Without ``verify`` the file is not read to its end: ``ok`` then means only that nothing speaks against it, and
    ``sha256`` is the manifest's word. Of a compressed one, ``size`` and ``sha256`` are those of the plain snapshot, which
    is unpacked into a private folder for the time of the look; not without ``verify``, and ``size`` can be 0 then.
    """
    compression = compression_of(path)
    manifest: Optional[Dict[str, Any]] = None
    told: Dict[str, Any] = {}
    verdict, reason, file = Verdict(False, "", 0, "", ""), "", path
    try:
        manifest = read_manifest(path)
        if compression and not verify:
            verdict = Verdict(True, SNAPSHOT, int((manifest or {}).get("size") or 0), "", "")
        else:
            with plain(path, run, scratch) as file:
                verdict = _verdict(file, verify)
                told = {**describe(file), "trailer": trailer(file)} if verdict.ok else {}
                told.update(kubernetes_in(file) if verdict.ok and verify else {})
    except EtcdError as error:
        reason = f"{error.message} {error.next_step}".strip()
    except OSError as error:
        reason = f"{path} cannot be read: {error.strerror}."
    reason = verdict.reason.replace(file, path) if verdict.reason else reason
    mismatch = manifest_mismatch(manifest, verdict.size, verdict.sha256)
    taken = _taken(path, manifest)
    return {
        **{
            "revision": 0,
            "key_revision": 0,
            "cluster_version": "",
            "storage_version": "",
            "members": [],
            "removed_members": 0,
            "auth_enabled": False,
            "users": None,
            "alarms": [],
            "trailer": "",
            "kubernetes": False,
            "encryption_keys": [],
        },
        **{"compact_revision": 0, "consistent_index": 0, "term": 0},
        **told,
        "path": path,
        "real_path": os.path.realpath(path),
        "name": os.path.basename(path),
        "ok": verdict.ok and not (reason or mismatch),
        "verified": verify and verdict.ok and verdict.kind == SNAPSHOT,
        "reason": reason or (f"{path}: {mismatch}" if mismatch else ""),
        "kind": verdict.kind,
        "size": verdict.size,
        "sha256": verdict.sha256 or (manifest or {}).get("sha256", ""),
        "compression": compression,
        "packed_size": _size_or_zero(path) if compression else 0,
        "taken_at": rfc3339(taken),
        "age": max(0, int((time.time() if now is None else now) - taken)),
        "manifest": manifest,
    }


def look(path: str, run: Optional[Run] = None, scratch: str = "") -> List[Dict[str, Any]]:
    """The snapshot at ``path``, or those of the folder: what ``catalogue`` returns."""
    return (
        [entry(path, True, None, run, scratch)] if os.path.isfile(path) else catalogue(path, NEWEST, None, run, scratch)
    )


def newest_good(entries: List[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """The newest entry that may be restored without being named, by ``snapshot_order``; None where there is none.

    A copied database is never chosen here: it has no hash, and what was only in the WAL is missing from it.
    """
    good = [found for found in entries if found["ok"] and found["kind"] == SNAPSHOT]
    return cast(Optional[Dict[str, Any]], newest(good))


def _verdict(path: str, thorough: bool) -> Verdict:
    if thorough:
        return verify(path)
    size = 0
    try:
        size = _size(path)
        _check_shape(path, size)
    except EtcdError as error:
        return Verdict(False, "", size, "", error.message)
    except OSError as error:
        return Verdict(False, "", size, "", f"{path} cannot be read: {error.strerror}.")
    return Verdict(True, _kind(size), size, "", "")


def _size_or_zero(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _taken(path: str, manifest: Optional[Mapping[str, Any]]) -> float:
    """When the snapshot was taken, in seconds since the epoch: the manifest's word, else the file's time."""
    told = (manifest or {}).get("taken_at")
    if told:
        return float(calendar.timegm(time.strptime(told, "%Y-%m-%dT%H:%M:%SZ")))
    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def rfc3339(moment: float) -> str:
    """Seconds since the epoch as ``2026-11-24T03:16:00Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


# Save.


def make_folder(folder: str) -> None:
    """Create the folder for snapshots, for its owner alone, where it is missing: a snapshot holds every secret of etcd."""
    try:
        if not os.path.isdir(folder):
            os.makedirs(os.path.dirname(os.path.abspath(folder)), exist_ok=True)
            os.mkdir(folder, 0o700)
    except OSError as error:
        raise EtcdError(
            f"the folder {folder} cannot be created: {error.strerror}.", "check the path and its owner."
        ) from error


def default_name(cluster: str, now: float, revision: int) -> str:
    """``<cluster>-<UTC yyyymmddThhmmssZ>-rev<revision>.db``; what is no letter, digit, ``.``, ``_`` or ``-`` becomes ``-``."""
    safe = re.sub(r"[^A-Za-z0-9._-]", "-", cluster).lstrip(".-") or "etcd"
    return f"{safe}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(now))}-rev{revision}.db"


def space_needed(db_size: int) -> int:
    """Bytes that must be free before a snapshot of a database of ``db_size`` is begun: it may grow while it is read."""
    return db_size + db_size // 10 + (1 << 20)


def save(
    run: Run,
    tools: Tools,
    connection: Connection,
    endpoint: str,
    folder: str,
    name: str,
    now: float,
    extra: Optional[Mapping[str, Any]] = None,
) -> Dict[str, Any]:
    """Save a snapshot of ``endpoint`` into ``folder``, verify it, publish it by a rename, and return its manifest.

    ``name`` is the file's name, or empty for ``default_name``. ``now`` is in seconds since the epoch. ``extra`` is what
    the caller knows on top (``cluster``, ``source_host``, ``hashkv``, ``hashkv_revision``, ...) and stands in the
    manifest as it is. The snapshot is made in a private folder inside ``folder``: a run that is killed leaves nothing
    that looks like a snapshot, and the next save clears it away after a day. EtcdError, with nothing published, where
    anything is wrong.
    """
    etcdctl = tools.etcdctl
    if not etcdctl:
        raise EtcdError("etcdctl is missing, so no snapshot can be saved.", "install etcdctl, or set bin_dir.")
    _check_name(folder, name)
    _clear_stale(folder, now)
    source = _source(run, etcdctl, connection, endpoint)
    _check_space(folder, int(source["db_size"]))
    private = _private_folder(folder)
    try:
        draft = os.path.join(private, "snapshot.db")
        patient = _patient(connection, endpoint, int(source["db_size"]))
        run_checked(
            run,
            snapshot_save(etcdctl, patient, draft),
            f"see the log of the etcd behind {endpoint}, and check user, password and disk.",
        )
        manifest = {**_manifest(run, tools, etcdctl, patient, draft, source, now), **(extra or {})}
        manifest["file"] = name or default_name(str(manifest.get("cluster", "")), now, manifest["revision"])
        _publish(draft, os.path.join(folder, manifest["file"]), manifest)
    except OSError as error:
        raise EtcdError(
            f"the snapshot could not be written to {folder}: {error.strerror}.", "check the disk."
        ) from error
    finally:
        shutil.rmtree(private, ignore_errors=True)
    return manifest


def _source(run: Run, etcdctl: Tool, connection: Connection, endpoint: str) -> Dict[str, Any]:
    """Who is behind ``endpoint``: cluster and member ID (hex), its version, and the size of its database in bytes."""
    command = endpoint_status(etcdctl, replace(connection, endpoints=[endpoint]))
    next_step = f"see that the member behind {endpoint} runs, and check user, password and TLS files."
    answers = parse_json(run_checked(run, command, next_step), command)
    try:
        status = answers[0]["Status"]  # type: ignore[index]
        return {
            "cluster_id": hex_id(int(status["header"]["cluster_id"])),
            "member_id": hex_id(int(status["header"]["member_id"])),
            "etcd_version": str(status["version"]),
            "db_size": int(status["dbSize"]),
        }
    except (TypeError, KeyError, IndexError, ValueError) as error:
        raise EtcdError(f"the status of {endpoint} is not what etcd prints.", next_step) from error


def _patient(connection: Connection, endpoint: str, db_size: int) -> Connection:
    """A connection to one endpoint that waits as long as its snapshot can take.

    etcdctl has no time limit for ``snapshot save`` until ``--command-timeout`` is given; then it cuts the transfer off.
    """
    seconds = max(connection.command_timeout, 60 + db_size // _SLOWEST)
    return replace(connection, endpoints=[endpoint], command_timeout=seconds)


def _manifest(
    run: Run,
    tools: Tools,
    etcdctl: Tool,
    connection: Connection,
    draft: str,
    source: Mapping[str, Any],
    now: float,
) -> Dict[str, Any]:
    """What is to be said of the saved file, once it is known to be whole."""
    endpoint = connection.endpoints[0]
    status = _status(run, tools, draft)
    verdict = verify(draft)  # after etcd's own look, so that these are the bytes that are published
    if not verdict.ok or verdict.kind != SNAPSHOT:
        reason = verdict.reason or "it has no hash at its end."
        raise EtcdError(f"the snapshot of {endpoint} is not whole: {reason}", "save it again; check disk and network.")
    told = describe(draft)
    revision = max(told["revision"], int(status.get("revision", 0)))
    return {
        "schema": SCHEMA,
        "sha256": verdict.sha256,
        "size": verdict.size,
        "revision": revision,
        "keys": status.get("totalKey"),
        "user_keys": _user_keys(run, etcdctl, connection, revision),
        "hash": status.get("hash"),
        "cluster_id": source["cluster_id"],
        "member_id": source["member_id"],
        "members": [
            {key: value for key, value in member.items() if key != "client_urls"} for member in told["members"]
        ],
        "etcd_version": source["etcd_version"],
        "cluster_version": told["cluster_version"],
        "alarms": told["alarms"],
        "tool": {"name": "etcdctl", "version": str(etcdctl.version)},
        "source_endpoint": endpoint,
        "taken_at": rfc3339(now),
    }


def _status(run: Run, tools: Tools, draft: str) -> Dict[str, Any]:
    """etcd's word on hash, keys and revision; empty on a host of 3.6 or later without etcdutl, whose backup still counts."""
    try:
        restore_tool(tools)
    except EtcdError:
        return {}
    command = snapshot_status(tools, draft)
    status = parse_json(run_checked(run, command, "save it again; check disk and network."), command)
    if not isinstance(status, dict):
        raise EtcdError(f"{in_words(command)} did not print the status of a snapshot.")
    return status


def _user_keys(run: Run, etcdctl: Tool, connection: Connection, revision: int) -> Optional[int]:
    """How many keys a client sees at ``revision``; None where that cannot be told, which is no reason to refuse a backup.

    The member that gave the snapshot is asked. ``totalKey`` of ``snapshot status`` is another number: before 3.6 it counts
    revisions and tombstones, and since then one more in every store whose revision a restore has raised, for which etcdutl
    writes a record of a key without a name (3.6.16: snapshot/v3_snapshot.go, unsafeBumpBucketsRevision).
    """
    command = count_keys(etcdctl, replace(connection, command_timeout=5), revision, serializable=True)
    result = run(command.argv, command.env)
    answer = parse_json(result.out, command) if result.rc == 0 else None
    return int(answer.get("count", 0)) if isinstance(answer, dict) else None


def _publish(draft: str, path: str, manifest: Mapping[str, Any]) -> None:
    """Make the draft durable and visible, with its manifest; both or neither."""
    os.chmod(draft, 0o600)
    _sync(draft)
    _check_name(os.path.dirname(path), os.path.basename(path))
    os.rename(draft, path)
    try:
        write_manifest(path, manifest)
        _sync(os.path.dirname(path))
    except BaseException:
        _forget(path)
        _forget(manifest_path(path))
        raise


def _check_name(folder: str, name: str) -> None:
    bad = name and (name != os.path.basename(name) or name.startswith(".") or name.endswith((".part", ".json")))
    if bad:
        raise EtcdError(f"{name!r} cannot be a snapshot's name.", "give a plain file name, such as before-upgrade.db.")
    if name and os.path.lexists(os.path.join(folder, name)):
        raise EtcdError(
            f"{os.path.join(folder, name)} exists, and a snapshot is never overwritten.", "choose another name."
        )


def _check_space(folder: str, db_size: int) -> None:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise EtcdError(f"the folder {folder} cannot be used: {error.strerror}.", "create it.") from error
    if free < space_needed(db_size):
        raise EtcdError(
            f"{folder} has {free} bytes free, and a snapshot of {db_size} bytes needs {space_needed(db_size)}.",
            "free some disk, prune old snapshots, or choose another folder.",
        )


def _private_folder(folder: str) -> str:
    try:
        return tempfile.mkdtemp(prefix=_PRIVATE, dir=folder)
    except OSError as error:
        raise EtcdError(
            f"nothing can be written to {folder}: {error.strerror}.", "check its owner and mode."
        ) from error


def _clear_stale(folder: str, now: float) -> None:
    """Remove what killed saves left, once it is a day old: a younger one may be under way."""
    try:
        leftovers = [found for found in os.scandir(folder) if found.name.startswith(_PRIVATE)]
        stale = [found for found in leftovers if found.stat(follow_symlinks=False).st_mtime < now - _DAY]
    except OSError:
        return
    for found in stale:
        if found.is_dir(follow_symlinks=False):
            shutil.rmtree(found.path, ignore_errors=True)
        else:
            _forget(found.path)


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _forget(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
