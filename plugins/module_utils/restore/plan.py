# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The plan of a restore: everything it will do, host by host, and every reason not to do it.

A pure computation from what the hosts reported to plain dictionaries: no file, no command, no clock. The same input
gives the same output. ``make_plan`` is the way in.
"""

from __future__ import annotations

import hashlib
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..core.errors import EtcdError
from ..core.job import NOTHING, ROLLBACK, Findings, Planned, plan_each
from ..core.text import in_mib, moment
from ..etcd import commands
from ..etcd.database import HIGHEST_REVISION
from ..etcd.identity import cluster_id, format_initial_cluster, hex_id, member_id
from ..host.settings import edits as settings
from ..host.tools import kept_tools, tools_from_dict
from ..snapshot.verify import DATABASE
from .answers import check_answers, what_is_wrong
from .checks import (
    check_cluster,
    check_disk,
    check_hosts,
    check_kubernetes,
    check_presence,
    check_service,
    old_endpoints,
    unknown_excluded,
)
from .choice import choose_snapshot
from .configuration import check_start
from .terms import DISK_MARGIN, Options, is_inside, live, said_of
from .verdict import RESTART

# etcd's disaster recovery guide bumps by this many revisions: a week of 1,500 writes a second.
BUMP_MARGIN = 1_000_000_000
# What the proof writes and deletes; no client has written that.
OWN_REVISIONS = 2

RESTORE, RESUME = "restore", "resume"


def make_plan(hosts: Mapping[str, Mapping[str, Any]], options: Options) -> Dict[str, Any]:
    """Plan every cluster among ``hosts``.

    ``hosts`` maps each inventory name to ``{"cluster": str, "member": member_info's answer or None, "view": cluster_info's
    answer or None, "snapshots": snapshot_info's list or [], "recorded": {cluster: revision}}``; a host that is in the
    group but did not answer, or is not in this run, has no ``member``, and says ``why`` ("cannot be reached: ...").
    Returns ``{"clusters": {name: ...}, "hosts": {host: ...}, "refusals": [...], "warnings": [...]}``; where there is a
    refusal, nothing may be done.
    """
    # Who is known is told by all answers; one that cannot be understood is a refusal of its own.
    unknown = unknown_excluded(hosts, options) if not any(map(what_is_wrong, hosts.values())) else []

    def plan_one(name: str, findings: Findings) -> Planned:
        for excluded in unknown:
            findings.refuse(
                f"etcd_restore_exclude names {excluded}, which is no host of the inventory's groups and no member that anybody"
                " here knows.",
                "correct the name: it is the host's in the inventory, or the member's in the cluster.",
            )
        for folder in options.unwritable:
            findings.warn(f"no report of this run can be written to {folder} on the controller: set etcd_report_dir.")
        own = {
            host: hosts[host]
            for host in sorted(hosts)
            if hosts[host]["cluster"] == name and host not in options.exclude
        }
        left_out = {host: facts for host, facts in hosts.items() if facts["cluster"] == name and host not in own}
        return _plan_cluster(name, own, left_out, options, findings)

    return plan_each((host["cluster"] for host in hosts.values()), plan_one)


def _plan_cluster(
    name: str, hosts: Mapping[str, Any], left_out: Mapping[str, Any], options: Options, findings: Findings
) -> Any:
    if not check_answers({**hosts, **left_out}, findings):
        return {"cluster": name, "mode": ROLLBACK if options.rollback else RESTORE}, {}
    check_presence(hosts, findings)
    present = {host: facts for host, facts in hosts.items() if facts.get("member")}
    journals = {host: facts["member"].get("journal") or {} for host, facts in present.items()}
    unreadable = {host: journal for host, journal in journals.items() if journal.get("problem")}
    for host, journal in unreadable.items():
        findings.refuse(journal["problem"], journal["next_step"], host)
    strayed = _check_elsewhere(name, present, findings)
    if unreadable or strayed:
        return {"cluster": name, "mode": ROLLBACK if options.rollback else RESTORE}, {}
    if options.rollback:
        return _continue(name, ROLLBACK, present, findings)
    interrupted = _interrupted(journals)
    if interrupted:
        _check_same_snapshot(interrupted, options, findings)
        if not _is_being_rolled_back(interrupted, journals):
            return _continue(name, RESUME, present, findings)
        findings.warn(
            "an earlier run has begun to put the old data back, and this one ends that; for the restore itself, run again."
        )
        return _continue(name, ROLLBACK, present, findings)
    return _new_restore(name, present, left_out, journals, options, findings, complete=len(present) == len(hosts))


# ---- a restore that was begun before ---------------------------------------------------------------------------------


def _interrupted(journals: Mapping[str, Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    """The open journals of a restore that has already stopped something on any host, if there are any."""
    begun = {journal["restore_id"] for journal in journals.values() if journal.get("touched")}
    waiting = [journal for journal in journals.values() if journal.get("open") and journal["restore_id"] in begun]
    if any(journal.get("touched") for journal in waiting):
        return waiting
    # What was only staged, where all that was touched is back already, holds nothing that its snapshot does not.
    over = {journal["restore_id"] for journal in journals.values() if journal.get("touched") and journal.get("back")}
    return [journal for journal in waiting if journal["restore_id"] not in over]


def _is_being_rolled_back(interrupted: Sequence[Mapping[str, Any]], journals: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether any host has begun, or ended, to roll back a restore that others have not closed."""
    ids = {journal["restore_id"] for journal in interrupted}
    return any(journal.get("back") for journal in journals.values() if journal.get("restore_id") in ids)


def _check_elsewhere(name: str, hosts: Mapping[str, Any], findings: Findings) -> bool:
    """Whether a restore of this cluster waits for its end in another data directory than the member's of today."""
    found = False
    for host, facts in hosts.items():
        for other in facts["member"]["interrupted_elsewhere"]:
            if other["cluster"] == name:
                found = True
                findings.refuse(
                    f"the restore {other['restore_id']} of this cluster was interrupted here, and its data directory was"
                    f" {other['data_dir']}; now it is {facts['member']['data_dir'] or 'not known'}.",
                    f"put {other['data_dir']} back into its configuration, or set etcd_data_dir, and run again to end that"
                    " restore first.",
                    host,
                )
    return found


def _check_same_snapshot(interrupted: Sequence[Mapping[str, Any]], options: Options, findings: Findings) -> None:
    before = interrupted[0]["plan"]["snapshot"]
    if options.snapshot not in ("latest", before["source_path"], before["path"]):
        findings.refuse(
            f"a restore of {before['source_path']} was interrupted after it had stopped the cluster, and now"
            f" {options.snapshot} is asked for.",
            "run again without etcd_restore_snapshot to complete the first one, or with -e etcd_restore_rollback=true to"
            " take it back.",
        )


def _continue(name: str, mode: str, hosts: Mapping[str, Mapping[str, Any]], findings: Findings) -> Any:
    """Go on with, or take back, the newest restore, by the plans that the hosts kept."""
    journals = {host: facts["member"].get("journal") or {} for host, facts in hosts.items()}
    ids = _newest(journals)
    if not ids:
        findings.refuse("no restore has changed anything on these hosts, so there is nothing to roll back.", "nothing.")
        return {"cluster": name, "mode": mode}, {}
    if len(ids) > 1:
        findings.refuse(
            f"the hosts do not agree which restore is the newest: {_who_has(ids, journals)}.",
            "name the hosts of all but one of them in etcd_restore_exclude.",
        )
        return {"cluster": name, "mode": mode}, {}
    restore_id = ids[0]
    own = {host: journal for host, journal in journals.items() if journal.get("restore_id") == restore_id}
    if mode == ROLLBACK and any(journal["started"] for journal in own.values()):
        findings.warn(
            "the restored cluster has served, and with the old data its revisions go back. What was written to it is kept beside"
            f" the old data, and is not in it. After the rollback, {RESTART}"
        )
    per_host: Dict[str, Any] = {}
    # Clients go by what an earlier run has proven: from then on only the operator takes it back.
    settled = any(journal["proven"] for journal in own.values())
    names = {journal["plan"]["member"]["name"] for journal in own.values()}
    for host, journal in journals.items():
        if host in own:
            check_service(host, hosts[host]["member"], findings)
            of = journal["plan"]["of"]
            of = {**of, "without": sorted(set(of["members"].values()) - names)} if mode == RESUME else of
            per_host[host] = {
                **_corrected(journal["plan"], hosts[host]["member"]),
                "of": of,
                "mode": mode,
                "settled": settled,
                "reports": host == min(own),
            }
        else:
            findings.refuse(
                f"it has no journal of the restore {restore_id}, which other members have begun.",
                "name it in etcd_restore_exclude, complete the restore without it, and add it as a new member afterwards.",
                host,
            )
    any_plan = next(iter(per_host.values()), {})
    return {**any_plan.get("of", {}), "cluster": name, "mode": mode, "restore_id": restore_id}, per_host


def _corrected(plan: Mapping[str, Any], member: Mapping[str, Any]) -> Mapping[str, Any]:
    """The kept plan, with the service that is named now or that runs the member now: the one of then may be the cause."""
    if not (member["running"] or member["service"].get("named")):
        return plan
    return {**plan, "member": {**plan["member"], "service": member["service"]}}


def _newest(journals: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """The restores that are the newest on some host, and on no host older than another: one, where the hosts agree.

    No clock is asked. A host that was left out of the last restore has an older one as its newest.
    """
    touched = [journal for journal in journals.values() if journal.get("touched")]
    older = {restore_id for journal in touched for restore_id in journal["earlier"]}
    return sorted({journal["restore_id"] for journal in touched} - older)


def _who_has(ids: Sequence[str], journals: Mapping[str, Mapping[str, Any]]) -> str:
    having = {each: [host for host, journal in journals.items() if journal.get("restore_id") == each] for each in ids}
    return "; ".join(f"{each} on {', '.join(hosts)}" for each, hosts in having.items())


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
    complete: bool,
) -> Any:
    view = _merge_views(hosts)
    check_hosts(hosts, findings)
    if not complete:
        # Nothing else can be judged rightly: a member that is missing here would pass for a stranger, and so would its backup.
        return {"cluster": name, "mode": RESTORE, "before": view, "snapshot": {}}, {}
    check_cluster(hosts, left_out, view, options, findings)
    snapshot = choose_snapshot(name, hosts, options, findings)
    if snapshot is None or findings.refusals:
        return {"cluster": name, "mode": RESTORE, "before": view, "snapshot": snapshot or {}}, {}

    check_kubernetes(hosts, snapshot, findings)
    done = _already_restored(journals, snapshot["sha256"], view, options)
    if done:
        ahead = _written_since(done, view)
        findings.warn(
            f"this snapshot was already restored ({done['restore_id']}), and the cluster has gone on by {ahead} revisions"
            " since; to restore it once more, and lose those, set etcd_restore_again=true."
        )
        return {**done, "cluster": name, "mode": NOTHING, "before": view}, {}

    # Always new ones, also after a run that was killed while staging: what it staged may differ in the bump.
    restore_id = _restore_id(name, options)
    token = options.token or f"{name}-{restore_id}"
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
        "old_endpoints": old_endpoints(hosts, left_out, view, snapshot),
        "snapshot": snapshot,
        "seen": seen,
        "bump": bump,
        # etcd's tools add the bump to the revision of the last key, which a compaction can have left behind.
        "revision": int(snapshot["key_revision"]) + bump if bump else int(snapshot["revision"]),
        "own_revisions": OWN_REVISIONS,
        "user_keys": (snapshot.get("manifest") or {}).get("user_keys"),
        "before": view,
        "loss": _loss(view, snapshot, journals, options.now),
    }
    of = {key: cluster[key] for key in cluster if key not in ("mode", "before")}
    of["before_id"] = view["cluster_id"]
    per_host: Dict[str, Any] = {}
    for host, facts in hosts.items():
        try:
            per_host[host] = _plan_host(host, facts, cluster, of, options)
            check_start(host, facts["member"], int(snapshot["size"]), findings)
            check_disk(host, facts["member"], per_host[host], findings)
        except EtcdError as error:
            findings.refuse(error.message, error.next_step, host)
    cluster["spool"] = _plan_transfer(snapshot, per_host, os.path.join(options.spool, f"{name}-{restore_id}"))
    _check_spool(cluster["spool"], options, findings)
    return cluster, per_host


def _restore_id(name: str, options: Options) -> str:
    """For people the time; what makes it one of its kind, also among clusters of one run on one host, is what follows."""
    own = hashlib.sha256(f"{name} {options.nonce}".encode()).hexdigest()[:8]
    return f"{moment(options.now):%Y%m%dT%H%M%SZ}-{own}"


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
            f"the snapshot needs {in_mib(spool['need'])} in {spool['path']} on the controller, which has"
            f" {in_mib(options.spool_free)} free.",
            "make room there, or name a folder with more in etcd_restore_spool.",
        )


def _highest_seen(name: str, hosts: Mapping[str, Any], snapshot: Mapping[str, Any], options: Options) -> int:
    """The highest revision of this cluster that is recorded anywhere, also on hosts that are left out.

    By members that answer, databases of those that do not, manifests, snapshots, and the journals of earlier restores.
    """
    seen = [int(snapshot["revision"])]
    seen += [int(entry["revision"]) for entry in options.controller_snapshots if said_of(entry) == name]
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
        "controllers": member["kubernetes"]["pods"],
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
    """Whether a kubelet, or a systemd that waits between two tries, goes on starting it, although it does not run now."""
    by_kubelet = service["manager"] == "static_pod" and service["state"] in ("running", "failed")
    return by_kubelet or bool(service.get("restarting"))


def _swaps(member: Mapping[str, Any], restore_id: str, aside_dir: str) -> List[Dict[str, Any]]:
    """What trades places at the cutover, within one file system each, so that it is a rename whatever the size.

    A directory is renamed as a whole; of a mount point only the contents can be, so their new and old places lie inside.
    The old data stays ``near``, unless the operator named ``aside_dir`` on another file system: then it goes on to there.
    """
    swaps = [_swap(live(member, "data"), member["data"], restore_id, aside_dir)]
    if member["wal_dir"] and not is_inside(member["wal_dir"], member["data_dir"]):
        swaps.append(_swap(live(member, "wal"), member["wal"], restore_id, aside_dir))
    return swaps


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
    for entry in facts.get("snapshots") or ():
        read = entry["verified"] or entry["kind"] == DATABASE
        same = entry["ok"] and read and entry["sha256"] == snapshot["sha256"] and not entry["compression"]
        if same and not any(is_inside(entry["real_path"], folder) for folder in moved):
            return {**common, "path": entry["path"], "transfer": False}
    folder = facts["member"].get("aside_dir") or facts["member"]["state_dir"]  # the one that has room
    brought = os.path.join(folder, "snapshots", snapshot["sha256"][:16] + ".db")
    return {**common, "path": brought, "transfer": True}


def _owner(member: Mapping[str, Any]) -> Dict[str, Any]:
    """Who owns the new data: whom the service runs as, else the owner of the old data.

    The unit's user goes first: etcd cannot write what a hand-made copy has left to root. An unprivileged user that systemd
    makes up at the start (DynamicUser) has no name before; what lies in its state folder is given to it by systemd, where
    that folder is not its already.
    """
    data, service = member["data"], member["service"]
    user, group = service.get("user") or "", service.get("group") or ""
    mode = data["mode"] if data["exists"] and data["has_member"] else "0700"
    if user not in ("", "root") and not service["dynamic_user"]:
        return {"user": user, "group": group or user, "mode": mode}
    if data["exists"]:
        return {"user": data["owner"], "group": data["group"], "mode": mode}
    owner, its_group = data["parent_owner"] if service["dynamic_user"] else (user or None, user or None)
    return {"user": owner, "group": its_group, "mode": mode}


def _peers_of(name: str, initial_cluster: str) -> List[str]:
    return [entry.partition("=")[2] for entry in initial_cluster.split(",") if entry.partition("=")[0] != name]


def _loss(
    view: Mapping[str, Any], snapshot: Mapping[str, Any], journals: Mapping[str, Any], now: str
) -> Dict[str, Any]:
    """What the restore gives up: seconds since the snapshot, and revisions where a member still tells its own.

    ``revisions`` is None where they cannot be counted, and ``unknown`` says why.
    """
    seconds = max(0, int((moment(now) - moment(snapshot["taken_at"])).total_seconds()))
    revisions = _lost_revisions(view, snapshot, journals) if view["revision"] else None
    unknown = (
        "cannot be told: a restore has raised the revision in between" if view["revision"] else "no member can tell"
    )
    return {"seconds": seconds, "revisions": revisions, "unknown": unknown if revisions is None else ""}


def _lost_revisions(view: Mapping[str, Any], snapshot: Mapping[str, Any], journals: Mapping[str, Any]) -> Optional[int]:
    """How many revisions were written since the snapshot, without those by which a restore in between has raised them."""
    now, then = int(view["revision"]), int(snapshot["revision"])
    lost = now - then
    for journal in journals.values():
        of = (journal.get("plan") or {}).get("of") or {}
        if of.get("cluster_id") and of["cluster_id"] == view["cluster_id"] and then < of["revision"]:
            # Those since that restore, and those that the snapshot of that restore was ahead of this one.
            lost = _written_since(of, view) + max(0, int(of["snapshot"]["revision"]) - then)
    return lost if abs(lost) < BUMP_MARGIN // 2 else None  # nobody has written so many


def _written_since(of: Mapping[str, Any], view: Mapping[str, Any]) -> int:
    """How many revisions clients have written since that restore: its proof has written too, but for those of old."""
    return max(0, int(view["revision"]) - int(of["revision"]) - int(of.get("own_revisions") or 0))


# ---- small things ----------------------------------------------------------------------------------------------------


def _merge_views(hosts: Mapping[str, Any]) -> Dict[str, Any]:
    """One view of the old cluster from what each host saw of it: the one with a leader and most members, and the extremes."""
    views = [facts["view"] for facts in hosts.values() if facts.get("view")]
    best = max(
        views,
        key=lambda view: (bool(view["has_quorum"]), len(view["members"]), bool(view["cluster_id"])),
        default={"cluster_id": "", "members": [], "leader": "", "leader_name": "", "has_quorum": False},
    )
    unknown = not best["has_quorum"] and any(view["quorum_unknown"] for view in views)
    return {
        **{key: best.get(key) for key in ("cluster_id", "members", "leader", "leader_name", "has_quorum")},
        "quorum_unknown": unknown,
        "cluster_ids": sorted({view["cluster_id"] for view in views if view["cluster_id"]}),
        "revision": max((int(view["revision"] or 0) for view in views), default=0),
        "running": sorted(host for host, facts in hosts.items() if facts["member"]["running"]),
    }
