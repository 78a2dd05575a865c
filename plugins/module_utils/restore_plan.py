# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a restore: everything it will do, host by host, and every reason not to do it.

A pure computation from what the hosts reported to plain dictionaries: no file, no command, no clock. The same input
gives the same output. ``make_plan`` is the way in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from . import commands, settings
from .errors import EtcdError
from .identity import cluster_id, format_initial_cluster, hex_id, member_id
from .journal import FINISHED, PROVEN, STARTED
from .snapshots import DATABASE
from .tools import kept_tools, tools_from_dict
from .versions import Version, parse_version

# etcd preallocates a WAL segment of 64 MiB (server/storage/wal: SegmentSizeBytes); a restore writes the first one.
WAL_SEGMENT = 64 * 1024 * 1024
# On top of the bytes that will be written: bbolt grows its file in steps, and a full disk must not be the end of it.
DISK_MARGIN = 1.1
# etcd's disaster recovery guide bumps by this many revisions: a week of 1,500 writes a second.
BUMP_MARGIN = 1_000_000_000
HIGHEST_REVISION = (1 << 63) - 1  # a revision is an int64

RESTORE, RESUME, ROLLBACK, NOTHING = "restore", "resume", "rollback", "nothing"


@dataclass(frozen=True)
class Options:
    """What the operator asked for.

    ``snapshot`` is ``latest`` or a path; ``controller_snapshots`` is the catalogue on the controller, and
    ``controller_revisions`` the highest revision of each cluster in its manifests. ``spool`` is a folder there for a
    snapshot that must be brought from one host to others, or unpacked; ``spool_free`` are the bytes free for it. ``now`` is
    RFC 3339 in UTC. An empty ``token`` becomes one that names the cluster and the time, with ``nonce`` to make it unique.
    """

    snapshot: str = "latest"
    controller_snapshots: Sequence[Mapping[str, Any]] = ()
    controller_revisions: Mapping[str, int] = field(default_factory=dict)
    spool: str = ""
    spool_free: int = 0
    now: str = ""
    nonce: str = ""
    token: str = ""
    bump_revision: bool = True
    skip_hash_check: bool = False
    exclude: Sequence[str] = ()
    auth_user: str = ""
    again: bool = False
    rollback: bool = False


@dataclass
class Findings:
    """The reasons to refuse and the warnings, gathered so that the operator sees all of them at once."""

    cluster: str
    refusals: List[Dict[str, str]] = field(default_factory=list)
    warnings: List[Dict[str, str]] = field(default_factory=list)

    def refuse(self, cause: str, next_step: str, host: str = "") -> None:
        self.refusals.append({"cluster": self.cluster, "host": host, "cause": cause, "next_step": next_step})

    def warn(self, cause: str, host: str = "") -> None:
        self.warnings.append({"cluster": self.cluster, "host": host, "cause": cause})


def make_plan(hosts: Mapping[str, Mapping[str, Any]], options: Options) -> Dict[str, Any]:
    """Plan every cluster among ``hosts``.

    ``hosts`` maps each inventory name to ``{"cluster": str, "member": member_info's answer or None, "view": cluster_info's
    answer or None, "snapshots": snapshot_info's list or [], "recorded": {cluster: revision}}``; a host that is in the
    group but did not answer, or is not in this run, has no ``member``. Returns ``{"clusters": {name: ...}, "hosts":
    {host: ...}, "refusals": [...], "warnings": [...]}``; where there is a refusal, nothing may be done.
    """
    plans: Dict[str, Any] = {"clusters": {}, "hosts": {}, "refusals": [], "warnings": []}
    for name in sorted({host["cluster"] for host in hosts.values()}):
        findings = Findings(name)
        own = {
            host: hosts[host]
            for host in sorted(hosts)
            if hosts[host]["cluster"] == name and host not in options.exclude
        }
        left_out = {host: facts for host, facts in hosts.items() if facts["cluster"] == name and host not in own}
        cluster, per_host = _plan_cluster(name, own, left_out, options, findings)
        plans["clusters"][name] = cluster
        plans["hosts"].update({} if findings.refusals else per_host)
        plans["refusals"] += findings.refusals
        plans["warnings"] += findings.warnings
    return plans


def confirmation(plan: Mapping[str, Any], confirm: str, confirm_with: str = "") -> str:
    """What the operator must still say before anything is done; empty where it was said, or nothing will be done."""
    names = [name for name, cluster in plan["clusters"].items() if cluster["mode"] != NOTHING]
    wanted = names[0] if len(names) == 1 else confirm_with
    if not names or confirm == wanted:
        return ""
    return (
        f"Nothing was touched. This replaces the data of cluster {', '.join(names)}; to let it happen, run again with"
        f" -e etcd_restore_confirm={wanted}"
    )


def _plan_cluster(
    name: str, hosts: Mapping[str, Any], left_out: Mapping[str, Any], options: Options, findings: Findings
) -> Any:
    _check_presence(hosts, findings)
    present = {host: facts for host, facts in hosts.items() if facts.get("member")}
    journals = {host: facts["member"].get("journal") or {} for host, facts in present.items()}
    if options.rollback:
        return _continue(name, ROLLBACK, journals, findings)
    interrupted = _interrupted(journals)
    if interrupted:
        _check_same_snapshot(interrupted, options, findings)
        if not _is_being_rolled_back(interrupted, journals):
            return _continue(name, RESUME, journals, findings)
        findings.warn(
            "an earlier run has begun to put the old data back, and this one ends that; for the restore itself, run again."
        )
        return _continue(name, ROLLBACK, journals, findings)
    return _new_restore(name, present, left_out, journals, options, findings)


# ---- a restore that was begun before ---------------------------------------------------------------------------------


def _interrupted(journals: Mapping[str, Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """The open journals of a restore that has already stopped something, if there are any."""
    return [journal for journal in journals.values() if journal.get("open") and journal.get("touched")]


def _is_being_rolled_back(interrupted: Sequence[Mapping[str, Any]], journals: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any host has begun, or ended, to roll back a restore that others have not closed."""
    ids = {journal["restore_id"] for journal in interrupted}
    return any(journal.get("back") for journal in journals.values() if journal.get("restore_id") in ids)


def _check_same_snapshot(interrupted: Sequence[Mapping[str, Any]], options: Options, findings: Findings) -> None:
    before = interrupted[0]["plan"]["snapshot"]
    if options.snapshot not in ("latest", before["source_path"], before["path"]):
        findings.refuse(
            f"a restore of {before['source_path']} was interrupted after it had stopped the cluster, and now"
            f" {options.snapshot} is asked for.",
            "run again without etcd_restore_snapshot to complete the first one, or with -e etcd_restore_rollback=true to"
            " take it back.",
        )


def _continue(name: str, mode: str, journals: Mapping[str, Mapping[str, Any]], findings: Findings) -> Any:
    """Go on with, or take back, the newest restore, by the plans that the hosts kept."""
    ids = sorted({journal["restore_id"] for journal in journals.values() if journal.get("touched")})
    if not ids:
        findings.refuse("no restore has changed anything on these hosts, so there is nothing to roll back.", "nothing.")
        return {"cluster": name, "mode": mode}, {}
    restore_id = ids[-1]
    if mode == ROLLBACK and any(journal.get("step") in (STARTED, PROVEN, FINISHED) for journal in journals.values()):
        findings.warn(
            "the restored cluster has served, and with the old data its revisions go back: restart the clients that watch,"
            " such as Kubernetes, after the rollback."
        )
    per_host = {}
    for host, journal in journals.items():
        if journal.get("restore_id") == restore_id:
            per_host[host] = {**journal["plan"], "mode": mode}
        else:
            findings.refuse(
                f"it has no journal of the restore {restore_id}, which other members have begun.",
                "name it in etcd_restore_exclude, complete the restore without it, and add it as a new member afterwards.",
                host,
            )
    any_plan = next(iter(per_host.values()), {})
    return {**any_plan.get("of", {}), "cluster": name, "mode": mode, "restore_id": restore_id}, per_host


def _already_restored(
    journals: Mapping[str, Mapping[str, Any]], sha256: str, view: Mapping[str, Any], options: Options
) -> Optional[Mapping[str, Any]]:
    """The plan of the finished restore of this very snapshot, where the cluster that it made still lives."""
    plans = [journal.get("plan") or {} for journal in journals.values()]
    same = len({plan.get("restore_id") for plan in plans}) == 1 and all(
        journal.get("step") == "finished" for journal in journals.values()
    )
    if options.again or options.token or not plans or not same:
        return None
    of = plans[0]["of"]
    alive = view["cluster_id"] == of["cluster_id"] and view["has_quorum"]
    return of if alive and plans[0]["snapshot"]["sha256"] == sha256 else None


# ---- a new restore ---------------------------------------------------------------------------------------------------


def _new_restore(
    name: str,
    hosts: Mapping[str, Any],
    left_out: Mapping[str, Any],
    journals: Mapping[str, Any],
    options: Options,
    findings: Findings,
) -> Any:
    view = _merge_views(hosts)
    for host, facts in hosts.items():
        _check_host(host, facts["member"], findings)
    _check_identities(hosts, findings)
    _check_strangers(hosts, left_out, view, options, findings)
    _check_left_out(hosts, left_out, view, findings)
    snapshot = _choose_snapshot(name, hosts, options, findings)
    if snapshot is None or findings.refusals:
        return {"cluster": name, "mode": RESTORE, "before": view, "snapshot": snapshot or {}}, {}

    done = _already_restored(journals, snapshot["sha256"], view, options)
    if done:
        ahead = view["revision"] - done["revision"]
        findings.warn(
            f"this snapshot was already restored ({done['restore_id']}), and the cluster has gone on by {ahead} revisions"
            " since; to restore it once more, and lose those, set etcd_restore_again=true."
        )
        return {**done, "cluster": name, "mode": NOTHING, "before": view}, {}

    # Always new ones, also after a run that was killed while staging: what it staged may differ in the bump.
    restore_id = _time(options.now).strftime("%Y%m%dT%H%M%SZ")
    token = options.token or f"{name}-{restore_id}-{options.nonce}"
    seen = _highest_seen(name, {**hosts, **left_out}, snapshot, options)
    bump = _bump(hosts, seen, snapshot, options, findings)
    voters = {facts["member"]["name"]: list(facts["member"]["peer_urls"]) for facts in hosts.values()}
    ids = {member: member_id(urls, token) for member, urls in voters.items()}
    cluster = {
        "cluster": name,
        "mode": RESTORE,
        "restore_id": restore_id,
        "hosts": sorted(hosts),
        "token": token,
        "initial_cluster": format_initial_cluster(voters),
        "cluster_id": hex_id(cluster_id(ids.values())),
        "members": {hex_id(number): member for member, number in sorted(ids.items())},
        "endpoints": sorted({url for facts in hosts.values() for url in facts["member"]["connection"]["endpoints"]}),
        "old_endpoints": _old_endpoints(hosts, left_out, view, snapshot),
        "snapshot": snapshot,
        "seen": seen,
        "bump": bump,
        # etcd's tools add the bump to the revision of the last key, which a compaction can have left behind.
        "revision": int(snapshot["key_revision"]) + bump if bump else int(snapshot["revision"]),
        "user_keys": (snapshot.get("manifest") or {}).get("user_keys"),
        "before": view,
        "loss": _loss(view, snapshot, options.now),
    }
    of = {key: cluster[key] for key in cluster if key not in ("mode", "before")}
    of["before_id"] = view["cluster_id"]
    per_host: Dict[str, Any] = {}
    for host, facts in hosts.items():
        try:
            per_host[host] = _plan_host(host, facts, cluster, of, options)
            _check_disk(host, facts["member"], per_host[host], findings)
        except EtcdError as error:
            findings.refuse(error.message, error.next_step, host)
    cluster["spool"] = _plan_transfer(snapshot, per_host, os.path.join(options.spool, f"{name}-{restore_id}"))
    _check_spool(cluster["spool"], options, findings)
    return cluster, per_host


def _plan_transfer(snapshot: Mapping[str, Any], per_host: Mapping[str, Any], spool: str) -> Dict[str, Any]:
    """Who gets the bytes from where: by way of the controller, and only where they are lacking.

    A compressed snapshot is unpacked on the controller, by the first host's tasks, whichever side it lies on. Returns what
    the controller's spool is used for: ``{"path", "need": bytes, "unpacks": bool}``; an empty path where it is not.
    """
    plain = os.path.join(spool, snapshot["sha256"] + ".db")
    packed = plain + ".packed" if snapshot["compression"] else ""
    lacking = [own for own in per_host.values() if own["snapshot"]["transfer"]]
    fetches = bool(lacking and snapshot["on"])
    for number, (host, own) in enumerate(sorted(per_host.items())):
        first = bool(lacking and packed and number == 0)
        own["snapshot"]["fetch_from"] = snapshot["path"]
        own["snapshot"]["fetch_to"] = (packed or plain) if fetches and host == snapshot["on"] else ""
        own["snapshot"]["fetch_size"] = snapshot["packed_size"] or snapshot["size"]
        own["snapshot"]["unpack_from"] = (packed if fetches else snapshot["path"]) if first else ""
        own["snapshot"]["spool"] = plain if first or own["snapshot"]["fetch_to"] else ""
        in_spool = plain if fetches or packed else snapshot["path"]
        own["snapshot"]["copy_from"] = in_spool if own in lacking else ""
    need = snapshot["packed_size"] if fetches and packed else 0
    need += snapshot["size"] if fetches or (lacking and packed) else 0
    return {"path": spool if need else "", "need": int(need * DISK_MARGIN), "unpacks": bool(lacking and packed)}


def _check_spool(spool: Mapping[str, Any], options: Options, findings: Findings) -> None:
    if spool["need"] > options.spool_free:
        findings.refuse(
            f"the snapshot needs {_mib(spool['need'])} in {spool['path']} on the controller, which has"
            f" {_mib(options.spool_free)} free.",
            "make room there, or name a folder with more in etcd_restore_spool.",
        )


def _highest_seen(name: str, hosts: Mapping[str, Any], snapshot: Mapping[str, Any], options: Options) -> int:
    """The highest revision of this cluster that is recorded anywhere, also on hosts that are left out.

    By members that answer, databases of those that do not, manifests, snapshots, and the journals of earlier restores.
    """
    seen = [int(snapshot["revision"])]
    seen += [int(entry["revision"]) for entry in options.controller_snapshots if _said_of(entry) == name]
    seen.append(int(options.controller_revisions.get(name, 0)))
    for facts in hosts.values():
        seen.append(int((facts.get("view") or {}).get("revision") or 0))
        seen.append(int((facts.get("recorded") or {}).get(name, 0)))
        seen += [int(entry["revision"]) for entry in facts.get("snapshots") or ()]
        member = facts.get("member") or {}
        seen.append(int((member.get("data") or {}).get("revision") or 0))
        seen.append(int((member.get("journal") or {}).get("highest_revision") or 0))
    return max(seen)


def _bump(
    hosts: Mapping[str, Any], seen: int, snapshot: Mapping[str, Any], options: Options, findings: Findings
) -> int:
    """By how many revisions to raise the restored store: above all that was ever seen, so that watchers never go back."""
    if not options.bump_revision:
        return 0
    if not all(commands.can_bump(tools_from_dict(facts["member"]["tools"])) for facts in hosts.values()):
        findings.warn(
            "the tools on these hosts cannot raise the revision (etcdctl 3.4.27, etcdutl 3.5.10 or later can): revisions go"
            " back, so clients that watch, such as Kubernetes, must be restarted after the restore."
        )
        return 0
    if seen + BUMP_MARGIN > HIGHEST_REVISION:
        findings.refuse(
            f"the highest revision on record is {seen}, and no revision can be {BUMP_MARGIN:,} above it.",
            "find the manifest or member that says so; to restore with revisions that go back, set"
            " etcd_restore_bump_revision=false and restart the clients that watch.",
        )
    return seen - int(snapshot["key_revision"]) + BUMP_MARGIN


def _plan_host(
    host: str, facts: Mapping[str, Any], cluster: Mapping[str, Any], of: Mapping[str, Any], options: Options
) -> Dict[str, Any]:
    member = facts["member"]
    swaps = _swaps(member, cluster["restore_id"], member.get("aside_dir") or "")
    snapshot = _snapshot_on_host(facts, cluster["snapshot"], swaps)
    restore = commands.snapshot_restore(
        kept_tools(tools_from_dict(member["tools"]), member["state_dir"]),
        snapshot["path"],
        name=member["name"],
        initial_cluster=cluster["initial_cluster"],
        token=cluster["token"],
        peer_urls=member["peer_urls"],
        data_dir=swaps[0]["staged"],
        wal_dir=_staged_wal(member, swaps),
        bump_revision=cluster["bump"],
        skip_hash_check=options.skip_hash_check and cluster["snapshot"]["kind"] == DATABASE,
    )
    wanted = {
        "initial-cluster": cluster["initial_cluster"],
        "initial-cluster-token": cluster["token"],
        "initial-cluster-state": _first_state(member["service"]),
    }
    leads = cluster["before"].get("leader_name") == member["name"]
    return {
        "mode": RESTORE,
        "host": host,
        "reports": host == min(cluster["hosts"]),
        "restore_id": cluster["restore_id"],
        "of": of,
        "member": {
            key: member[key] for key in ("name", "peer_urls", "tools", "service", "state_dir", "connection", "data_dir")
        },
        "was_running": bool(member["running"]),
        "was_to_run": bool(member["running"]) or _is_kept_running(member["service"]),
        "slow": bool(member.get("aside_dir")),
        "leads": leads,
        "others": _peers_of(member["name"], cluster["initial_cluster"]),
        "snapshot": snapshot,
        "restore": {"argv": restore.argv, "env": restore.env},
        "swaps": swaps,
        "owner": _owner(member),
        "config": [edit.as_dict() for edit in settings.plan_edits(member, wanted)],
    }


def _first_state(service: Mapping[str, Any]) -> str:
    """The ``initial-cluster-state`` of the first start. With restored data etcd does not look at it.

    ``new`` until the cluster has proven itself, but not in a static pod: the kubelet restarts it at each change of its
    manifest, so that a later one would be a second outage.
    """
    return "existing" if service["manager"] == "static_pod" else "new"


def _is_kept_running(service: Mapping[str, Any]) -> bool:
    """Whether a kubelet goes on starting it, although it does not run at this moment."""
    return service["manager"] == "static_pod" and service["state"] in ("running", "failed")


def _swaps(member: Mapping[str, Any], restore_id: str, aside_dir: str) -> List[Dict[str, Any]]:
    """What trades places at the cutover, within one file system each, so that it is a rename whatever the size.

    A directory is renamed as a whole; of a mount point only the contents can be, so their new and old places lie inside.
    The old data stays ``near``, unless the operator named ``aside_dir`` on another file system: then it goes on to there.
    """
    swaps = [_swap(_live(member, "data"), member["data"], restore_id, aside_dir)]
    if member["wal_dir"] and not _inside(member["wal_dir"], member["data_dir"]):
        swaps.append(_swap(_live(member, "wal"), member["wal"], restore_id, aside_dir))
    return swaps


def _live(member: Mapping[str, Any], which: str) -> str:
    """The directory itself: what is staged beside a symbolic link to it would lie on another file system."""
    return member[which].get("real_path") or member[f"{which}_dir"]


def _swap(live: str, facts: Mapping[str, Any], restore_id: str, aside_dir: str) -> Dict[str, Any]:
    live = live.rstrip("/")
    beside = os.path.join(live, ".") if facts["is_mount"] else live + "."
    near = f"{beside}before-{restore_id}"
    # The whole path in its name: a data and a WAL directory may have the same last part.
    elsewhere = os.path.join(aside_dir, f"{live.strip('/').replace('/', '-')}.before-{restore_id}")
    return {
        "kind": "contents" if facts["is_mount"] else "directory",
        "live": live,
        "staged": f"{beside}restore-{restore_id}",
        "near": near,
        "aside": elsewhere if aside_dir else near,
        "existed": bool(facts["exists"]),
        "size": int(facts.get("size") or 0),
    }


def _staged_wal(member: Mapping[str, Any], swaps: Sequence[Mapping[str, Any]]) -> str:
    """Where the restore writes the WAL: only named where it is not the data directory's own ``member/wal``."""
    wal, data = member["wal_dir"], member["data_dir"].rstrip("/")
    if len(swaps) > 1:
        return swaps[1]["staged"]
    if not wal or os.path.normpath(wal) == os.path.join(data, "member", "wal"):
        return ""
    return os.path.join(swaps[0]["staged"], os.path.relpath(wal, data))


def _snapshot_on_host(
    facts: Mapping[str, Any], snapshot: Mapping[str, Any], swaps: Sequence[Mapping[str, Any]]
) -> Dict[str, Any]:
    """Where this host reads the snapshot: its own copy when it has the very bytes, else one that is brought to it."""
    same_everywhere = ("sha256", "trailer", "size", "revision", "kind")
    common = {"source_path": snapshot["path"], **{key: snapshot[key] for key in same_everywhere}}
    moved = [swap["live"] for swap in swaps] if facts["member"].get("aside_dir") else []  # away before it is restored
    for entry in facts.get("snapshots", ()):
        read = entry["verified"] or entry["kind"] == DATABASE
        same = entry["ok"] and read and entry["sha256"] == snapshot["sha256"] and not entry["compression"]
        if same and not any(_inside(entry["real_path"], folder) for folder in moved):
            return {**common, "path": entry["path"], "transfer": False}
    folder = facts["member"].get("aside_dir") or facts["member"]["state_dir"]  # the one that has room
    brought = os.path.join(folder, "snapshots", snapshot["sha256"][:16] + ".db")
    return {**common, "path": brought, "transfer": True}


def _owner(member: Mapping[str, Any]) -> Dict[str, Any]:
    """Who owns the new data: the old data's owner, or where it is gone the user that the service runs as."""
    data = member["data"]
    if data["exists"] and data["has_member"]:
        return {"user": data["owner"], "group": data["group"], "mode": data["mode"]}
    user = member["service"].get("user") or ""
    return {"user": user or data.get("owner"), "group": user or data.get("group"), "mode": "0700"}


def _peers_of(name: str, initial_cluster: str) -> List[str]:
    return [entry.partition("=")[2] for entry in initial_cluster.split(",") if entry.partition("=")[0] != name]


def _loss(view: Mapping[str, Any], snapshot: Mapping[str, Any], now: str) -> Dict[str, Any]:
    """What the restore gives up: seconds since the snapshot, and revisions where a member still tells its own."""
    seconds = None
    if snapshot.get("taken_at"):
        seconds = max(0, int((_time(now) - _time(snapshot["taken_at"])).total_seconds()))
    revisions = int(view["revision"]) - int(snapshot["revision"]) if view["revision"] else None
    return {"seconds": seconds, "revisions": revisions}


# ---- the snapshot ----------------------------------------------------------------------------------------------------


def _choose_snapshot(
    name: str, hosts: Mapping[str, Any], options: Options, findings: Findings
) -> Optional[Dict[str, Any]]:
    candidates = [{**entry, "on": ""} for entry in options.controller_snapshots]
    candidates += [{**entry, "on": host} for host, facts in hosts.items() for entry in facts.get("snapshots", ())]
    if options.snapshot == "latest":
        chosen = _newest(name, hosts, candidates)
        if chosen is None:
            bad = "".join(f" {entry['reason']}" for entry in candidates if not entry["ok"])
            findings.refuse(
                f"no usable snapshot of this cluster was found in etcd_backup_dir on the hosts or the controller.{bad}",
                "name one: -e etcd_restore_snapshot=/path/to/snapshot.db (on the controller or on a member).",
            )
            return None
    else:
        named = [entry for entry in candidates if entry["path"] == options.snapshot]
        if not named:
            findings.refuse(
                f"{options.snapshot} is neither on the controller nor on a member.", "check the path and run again."
            )
            return None
        _check_not_live(options.snapshot, hosts, findings)
        different = {entry["sha256"]: entry["on"] or "the controller" for entry in reversed(named) if entry["ok"]}
        if len(different) > 1:
            findings.refuse(
                f"{options.snapshot} is not the same file on {' and '.join(sorted(different.values()))}.",
                "copy the one that you mean to a name of its own, on the controller or on a member, and name that.",
            )
        chosen = next((entry for entry in named if entry["ok"]), named[0])
    _check_snapshot(chosen, hosts, options, findings)
    return chosen


def _newest(name: str, hosts: Mapping[str, Any], candidates: Sequence[Mapping[str, Any]]) -> Optional[Dict[str, Any]]:
    urls = {url for facts in hosts.values() for url in facts["member"]["peer_urls"]}
    own = [entry for entry in candidates if entry["ok"] and entry["verified"] and _is_of(entry, name, urls)]
    return dict(max(own, key=lambda entry: entry.get("taken_at") or "")) if own else None


def _is_of(entry: Mapping[str, Any], name: str, peer_urls: Any) -> bool:
    """Whether a snapshot is of this cluster: its manifest says so, or a member in it has one of these peer URLs."""
    said = _said_of(entry)
    if said:
        return said == name
    return any(url in peer_urls for member in entry.get("members", ()) for url in member.get("peer_urls", ()))


def _said_of(entry: Mapping[str, Any]) -> str:
    return (entry.get("manifest") or {}).get("cluster") or ""


def _check_snapshot(
    snapshot: Mapping[str, Any], hosts: Mapping[str, Any], options: Options, findings: Findings
) -> None:
    where = f"{snapshot['path']} on {snapshot['on'] or 'the controller'}"
    copied = snapshot.get("kind") == DATABASE
    if copied and not options.skip_hash_check:
        findings.refuse(
            f"{where} is a copied database and not a snapshot: it carries no hash that could prove it whole.",
            "if it was copied from a stopped member and nothing better is left, set etcd_restore_skip_hash_check=true.",
        )
    elif not snapshot["ok"] and not copied:
        findings.refuse(f"{where} cannot be used: {snapshot['reason']}", "choose another snapshot.")
    if not snapshot["ok"]:
        return
    if copied:
        findings.warn(
            f"{where} is a copied database: nothing vouches for its content, and what was only in the WAL of the member that"
            " it was copied from is not in it and will be lost."
        )
    written_by = snapshot.get("cluster_version") or (snapshot.get("manifest") or {}).get("etcd_version")
    for host, facts in hosts.items():
        if written_by:
            _check_snapshot_version(host, facts["member"], parse_version(written_by), where, findings)
    if snapshot.get("auth_enabled") and not options.auth_user:
        by_certificate = all(facts["member"]["connection"]["cert"] for facts in hosts.values())
        cause = f"authentication is on in {where}, and without a user the restored cluster could not be proven"
        if by_certificate:
            findings.warn(
                f"{cause}, unless the client certificate's name is one: set etcd_auth_user and etcd_auth_password."
            )
        else:
            findings.refuse(f"{cause}.", "set etcd_auth_user (with the root role) and etcd_auth_password.")
    peer_urls = {url for facts in hosts.values() for url in facts["member"]["peer_urls"]}
    if snapshot.get("members") and not _is_of({"members": snapshot["members"]}, "", peer_urls):
        names = ", ".join(sorted(member["name"] for member in snapshot["members"]))
        findings.warn(f"{where} was taken from a cluster with other members ({names}): a clone, or the wrong snapshot?")


def _check_not_live(path: str, hosts: Mapping[str, Any], findings: Findings) -> None:
    """The database of a running member changes while it is read: what is copied from it is torn."""
    for host, facts in hosts.items():
        found = [entry for entry in facts.get("snapshots") or () if entry["path"] == path]
        live = facts["member"]["running"] and _live(facts["member"], "data")
        if live and any(_inside(entry["real_path"], live) for entry in found):
            findings.refuse(
                f"{path} is the live database of a running member: what is read from it now can be torn.",
                "take a snapshot with backup.yml; or, where that cannot be, stop the member and copy it then.",
                host,
            )


def _check_snapshot_version(
    host: str, member: Mapping[str, Any], written_by: Version, where: str, findings: Findings
) -> None:
    tools = tools_from_dict(member["tools"])
    try:
        restorer = commands.restore_tool(tools)
    except EtcdError:
        return  # said already, by _check_host
    for tool in filter(None, (tools.etcd, restorer)):
        if tool.version[:2] < written_by[:2]:
            findings.refuse(
                f"{where} was written by etcd {written_by.line}, and {tool.path} is {tool.version}: an older etcd must not"
                " open it.",
                f"install etcd {written_by.line} on this host, or choose a snapshot of etcd {tool.version.line} or older.",
                host,
            )
            return


# ---- reasons to refuse -----------------------------------------------------------------------------------------------


def _check_presence(hosts: Mapping[str, Any], findings: Findings) -> None:
    for host, facts in hosts.items():
        if facts.get("member"):
            continue
        why = (
            "it cannot be reached or looked at" if facts.get("in_run", True) else "it is not part of this run (--limit)"
        )
        findings.refuse(
            f"{why}, but it is a member of this cluster: a restore without it would leave an old member behind.",
            "run for the whole group, or, if this host is lost for good, name it in etcd_restore_exclude.",
            host,
        )
    if not hosts:
        findings.refuse("every host is excluded.", "leave at least one host in.")


def _check_host(host: str, member: Mapping[str, Any], findings: Findings) -> None:
    tools = tools_from_dict(member["tools"])
    if not member["found"] and not tools.etcd:
        findings.refuse(
            "no etcd was found here: no process, no service, no configuration and no executable.",
            "install etcd on this host, or take it out of the group; where etcd lies elsewhere, set etcd_bin_dir.",
            host,
        )
        return
    if not tools.etcd:
        cause = "the etcd executable was not found." + _why_missing(member, "etcd")
        findings.refuse(cause, "set etcd_bin_dir to the folder that holds it.", host)
    try:
        commands.restore_tool(tools)
        if not tools.etcdctl:
            cause = "etcdctl was not found, and without it nothing can be proven." + _why_missing(member, "etcdctl")
            findings.refuse(cause, "set etcd_bin_dir.", host)
    except EtcdError as error:
        findings.refuse(error.message + _why_missing(member, "etcdutl"), error.next_step, host)
    for key, variable in (("name", "etcd_name"), ("peer_urls", "etcd_peer_urls"), ("data_dir", "etcd_data_dir")):
        if not member[key]:
            findings.refuse(f"its {key.replace('_', ' ')} could not be read from the host.", f"set {variable}.", host)
    if not member["connection"]["endpoints"]:
        findings.refuse("its client URL could not be read from the host.", "set etcd_client_urls.", host)
    if member["data_dir"] and not member["data"]["is_etcd"]:
        holds = ", ".join(member["data"]["entries"][:5])
        findings.refuse(
            f"{member['data_dir']} is not a data directory of etcd: it holds {holds} and no member folder.",
            "correct etcd_data_dir; nothing that is not etcd's will be moved.",
            host,
        )
    for mount in member["data"].get("inner_mounts", ()):
        findings.refuse(
            f"{mount} is a file system of its own inside the data directory, and cannot change places with it.",
            "mount it at the data directory itself, or keep the WAL elsewhere (--wal-dir).",
            host,
        )
    service = member["service"]
    if service.get("kubelet") is False:
        findings.refuse(
            f"the kubelet does not run here, and only it stops and starts the static pod of {service['manifest']}.",
            "start it (systemctl start kubelet); if it ends again, 'journalctl -u kubelet' says why.",
            host,
        )
    if service["manager"] == "command" and not (service["start_command"] and service["stop_command"]):
        findings.refuse(
            "its service manager is 'command', but a command to start or to stop it is missing.",
            "set etcd_start_command and etcd_stop_command.",
            host,
        )
    if tools.etcd and Version(3, 5, 0) <= tools.etcd.version <= Version(3, 5, 2):
        findings.warn(f"etcd {tools.etcd.version} can corrupt data under load: upgrade to the newest 3.5 soon.", host)


def _why_missing(member: Mapping[str, Any], tool: str) -> str:
    """Where tools are looked for in an image too, and not only in folders, it matters what stood in the way."""
    why = (member.get("tools_missing") or {}).get(tool)
    return f" Looked for: {why}." if why and member["service"].get("image") else ""


def _check_identities(hosts: Mapping[str, Any], findings: Findings) -> None:
    """No two hosts may be one member: two with one name or one peer URL would overwrite each other."""
    for key, words, variable in (("name", "name", "etcd_name"), ("peer_urls", "peer URL", "etcd_peer_urls")):
        owners: Dict[str, str] = {}
        for host, facts in hosts.items():
            values = facts["member"][key] if key == "peer_urls" else [facts["member"][key]]
            for value in filter(None, values):
                if value in owners:
                    findings.refuse(
                        f"it has the same {words} as {owners[value]}: {value}.",
                        f"give each member its own, in its configuration or by {variable}.",
                        host,
                    )
                owners.setdefault(value, host)
    lines = {
        tools.etcd.version.line
        for tools in (tools_from_dict(f["member"]["tools"]) for f in hosts.values())
        if tools.etcd
    }
    if len(lines) > 1:
        findings.warn(
            f"the members run several versions of etcd ({', '.join(sorted(lines))}): finish that upgrade first."
        )


def _check_strangers(
    hosts: Mapping[str, Any],
    left_out: Mapping[str, Any],
    view: Mapping[str, Any],
    options: Options,
    findings: Findings,
) -> None:
    """A member that the cluster knows and the inventory does not would go on with the old data."""
    known = {facts["member"]["name"] for facts in [*hosts.values(), *left_out.values()] if facts.get("member")}
    known |= set(options.exclude)
    urls = {url for facts in hosts.values() for url in facts["member"]["peer_urls"]}
    for member in view["members"]:
        stranger = member["name"] not in known and not urls.intersection(member.get("peer_urls", ()))
        if stranger and member.get("peer_urls"):
            findings.refuse(
                f"the running cluster also has the member {member['name'] or member['id']} at"
                f" {', '.join(member['peer_urls'])}, which is no host of this group.",
                "add its host to the group, or, if it is to go, stop it and name it in etcd_restore_exclude.",
            )
    if len(view["cluster_ids"]) > 1:
        ids = ", ".join(view["cluster_ids"])
        if _are_apart(hosts):
            findings.refuse(
                f"these hosts belong to different clusters ({ids}), and would be made one.",
                "set etcd_cluster in the variables of each cluster's group, or run for one of them: -e target=GROUP.",
            )
        else:
            findings.warn(f"these hosts answer as different clusters: {ids}.")
    _check_agreement(hosts, findings)


def _check_agreement(hosts: Mapping[str, Any], findings: Findings) -> None:
    """A member that lost its data and whose configuration says ``new`` and names nobody else starts a cluster of its own.

    With the old token it even has the old ID; only the members that it knows tell the two apart (kubeadm's first member).
    """
    lists = {host: _member_names(facts["view"]) for host, facts in hosts.items() if facts.get("view")}
    lists = {host: names for host, names in lists.items() if names}
    if len(set(lists.values())) > 1:
        told = "; ".join(f"{host} knows {', '.join(names)}" for host, names in sorted(lists.items()))
        findings.warn(
            f"the members that run do not agree on who is in the cluster: {told}. One that has lost its data may have"
            " started a cluster of its own, so what is said here of a quorum may be of that one."
        )


def _member_names(view: Mapping[str, Any]) -> Tuple[str, ...]:
    return tuple(sorted(member["name"] or member["id"] for member in view["members"]))


def _check_left_out(
    hosts: Mapping[str, Any], left_out: Mapping[str, Any], view: Mapping[str, Any], findings: Findings
) -> None:
    """A member that is left out and runs would go on serving the old data beside the restored cluster."""
    running = {
        facts["member"]["name"]: ", ".join(facts["member"]["client_urls"])
        for facts in left_out.values()
        if (facts.get("member") or {}).get("running")
    }
    running.update({m["name"]: m["endpoint"] for m in _not_among(hosts, view["members"]) if m.get("version")})
    for name, where in sorted(running.items()):
        findings.refuse(
            f"the old member {name} is left out, but it still runs and answers at {where}: clients would go on to read old"
            " data from it.",
            "stop it, and see to it that it stays stopped; or take it out of etcd_restore_exclude.",
        )


def _old_endpoints(
    hosts: Mapping[str, Any], left_out: Mapping[str, Any], view: Mapping[str, Any], snapshot: Mapping[str, Any]
) -> List[str]:
    """Client URLs of old members that the restored cluster has not: when all is done, none of them may answer.

    A snapshot of a cluster without any of these hosts is a clone's, and its members are not ours to judge.
    """
    old = list(_not_among(hosts, view["members"]))
    past = list(snapshot.get("members", ()))
    others = list(_not_among(hosts, past))
    old += others if len(others) < len(past) else []
    old += [facts["member"] for facts in left_out.values() if facts.get("member")]
    new = {url for facts in hosts.values() for url in facts["member"]["connection"]["endpoints"]}
    return sorted({url for member in old for url in member.get("client_urls") or ()} - new)


def _not_among(hosts: Mapping[str, Any], members: Sequence[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """Those of ``members`` that are none of ``hosts``, by their peer URLs, or where those are not known by their client URLs."""
    ours = {url for facts in hosts.values() for url in facts["member"]["peer_urls"]}
    ours |= {url for facts in hosts.values() for url in facts["member"]["connection"]["endpoints"]}
    return [one for one in members if not ours.intersection(one.get("peer_urls") or one.get("client_urls") or ())]


def _are_apart(hosts: Mapping[str, Any]) -> bool:
    """Whether there is a host whose configuration knows none of the others, nor they it."""
    for host, facts in hosts.items():
        others = [other for name, other in hosts.items() if name != host]
        if others and not any(_knows(facts, other) or _knows(facts=other, other=facts) for other in others):
            return True
    return False


def _knows(facts: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    known = facts["member"]["initial_cluster"]
    return not known or any(url in known for url in other["member"]["peer_urls"])


def _check_disk(host: str, member: Mapping[str, Any], plan: Dict[str, Any], findings: Findings) -> None:
    """Room for what will be written, on each file system; ``plan["disk"]`` gets the sums."""
    disks = {disk["device"]: disk for disk in reversed(member["disk"])}
    data = member["data"]["device"]
    wal = member["wal"].get("device") or data
    size, old = int(plan["snapshot"]["size"]), sum(swap["size"] for swap in plan["swaps"])
    need = dict.fromkeys(disks, 0)
    freed = dict(need)
    need[data] = size
    need[wal] = need.get(wal, 0) + WAL_SEGMENT
    if plan["slow"]:
        aside = _device_of(member["aside_dir"], member, data)
        if aside in (data, wal):
            findings.refuse(
                f"etcd_restore_aside {member['aside_dir']} is on the same file system as the data, and would save nothing.",
                "name a folder on another file system, or leave it out where there is room for old and new data.",
                host,
            )
        need[aside] = need.get(aside, 0) + old + size  # a rollback moves the restored data there
        for swap, device in zip(plan["swaps"], (data, wal)):
            freed[device] = freed.get(device, 0) + swap["size"]
    if plan["snapshot"]["transfer"]:
        brought = _device_of(plan["snapshot"]["path"], member, data)
        need[brought] = need.get(brought, 0) + size
    plan["disk"] = []
    for device, disk in disks.items():
        wanted = int(need[device] * DISK_MARGIN)
        if not wanted:
            continue
        plan["disk"].append({"path": disk["path"], "need": wanted, "free": disk["free"], "freed": freed[device]})
        if wanted > disk["free"] + freed[device]:
            findings.refuse(
                f"the file system of {disk['path']} has {_mib(disk['free'])} free, and {_for_what(plan)} {_mib(wanted)}.",
                "make room on it; the old data directory itself must stay where it is."
                if plan["slow"]
                else "make room on it, or, if that cannot be, name a folder with room on another file system in"
                " etcd_restore_aside: the old data is then moved there while the cluster is down.",
                host,
            )


def _for_what(plan: Mapping[str, Any]) -> str:
    return (
        "what is moved and restored there needs" if plan["slow"] else "staging the restored data beside the old needs"
    )


def _device_of(path: str, member: Mapping[str, Any], otherwise: int) -> int:
    """The device of the folder among those looked at that ``path`` lies in, the longest of them."""
    found = [disk for disk in member["disk"] if path == disk["path"] or _inside(path, disk["path"])]
    return max(found, key=lambda disk: len(disk["path"]))["device"] if found else otherwise


# ---- small things ----------------------------------------------------------------------------------------------------


def _merge_views(hosts: Mapping[str, Any]) -> Dict[str, Any]:
    """One view of the old cluster from what each host saw of it: the one with a leader and most members, and the extremes."""
    views = [facts["view"] for facts in hosts.values() if facts.get("view")]
    best = max(
        views,
        key=lambda view: (bool(view["has_quorum"]), len(view["members"]), bool(view["cluster_id"])),
        default={"cluster_id": "", "members": [], "leader": "", "leader_name": "", "has_quorum": False},
    )
    return {
        **{key: best.get(key) for key in ("cluster_id", "members", "leader", "leader_name", "has_quorum")},
        "cluster_ids": sorted({view["cluster_id"] for view in views if view["cluster_id"]}),
        "revision": max((int(view["revision"] or 0) for view in views), default=0),
        "running": sorted(host for host, facts in hosts.items() if facts["member"]["running"]),
    }


def _inside(path: str, folder: str) -> bool:
    return os.path.normpath(path).startswith(os.path.normpath(folder) + "/")


def _time(text: str) -> datetime:
    return datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.0f} MiB"
