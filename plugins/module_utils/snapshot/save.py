# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a new snapshot is saved: into a private folder, verified, and published with its manifest by a rename."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import replace
from typing import Any, Dict, Mapping, Optional

from ..core.errors import EtcdError
from ..core.text import rfc3339
from ..core.values import to_plain
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
from ..etcd.database import describe
from ..etcd.identity import hex_id
from .manifest import SCHEMA, manifest_path, write_manifest
from .scratch import clear_stale, forget, private_folder
from .verify import SNAPSHOT, verify

_SLOWEST = 4 << 20  # bytes a second that a snapshot is expected to come with at least, for the time limit of a save


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
    clear_stale(folder, now)
    source = _source(run, etcdctl, connection, endpoint)
    _check_space(folder, int(source["db_size"]))
    try:
        with private_folder(folder) as private:
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
    revision = max(told.revision, int(status.get("revision", 0)))
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
            {key: value for key, value in to_plain(member).items() if key != "client_urls"} for member in told.members
        ],
        "etcd_version": source["etcd_version"],
        "cluster_version": told.cluster_version,
        "alarms": told.alarms,
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
        forget(path)
        forget(manifest_path(path))
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


def _sync(path: str) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
