# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report of a restore in words: the headline, the three facts that everybody asks for, and what to do next."""

from __future__ import annotations

import math
import os
import shlex
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from ..core.invocation import Invocation
from ..core.job import ROLLBACK
from ..core.reporting import (
    BAD,
    CHECK,
    FAILED,
    GOOD,
    NOTHING,
    PLAIN,
    REFUSED,
    ROLLED_BACK,
    UNCONFIRMED,
    Report,
    Row,
    Steps,
    fact,
    on_hosts,
    step,
)
from ..core.text import clock, counted, listed, span
from .proof import UNJUDGED
from .terms import RESTORE, RESUME
from .verdict import RESTART, WRONG

RESTORED = "restored"


def aim(report: Report) -> str:
    """What the run would do, as the end of a sentence."""
    name, mode = report["cluster"], report["mode"]
    if mode == RESUME:
        return f"complete the interrupted restore of cluster {name}"
    if mode == ROLLBACK:
        return f"take back the restore of cluster {name}"
    refused = report["outcome"] == REFUSED and mode == RESTORE
    return f"restore cluster {name}" if refused else f"restore cluster {name} from {_backup(report)}"


def headline(report: Mapping[str, Any]) -> str:
    """One sentence for somebody who reads no other."""
    name, outcome = report["cluster"], report["outcome"]
    if outcome == RESTORED:
        return f"Cluster {name} is restored from {_backup(report)}, and proven."
    if outcome == ROLLED_BACK:
        return _rolled_back(report)
    if outcome == FAILED:
        return _seen(report) + _failed(report)
    return f"There is nothing to do: cluster {name} already runs on {_backup(report)}."


def _rolled_back(report: Mapping[str, Any]) -> str:
    name, restart = report["cluster"], " Restart every client that watches." if report["served"] else ""
    if report["mode"] == ROLLBACK:
        return f"{_seen(report)}The restore of cluster {name} is taken back: its old data is in place again.{restart}"
    if not report["touched"]:
        return f"The restore of cluster {name} failed before any member was stopped: the cluster was not touched."
    return f"{_seen(report)}The restore of cluster {name} failed, and its old data is back in place.{restart}"


def _seen(report: Mapping[str, Any]) -> str:
    """What comes before everything else: that the wrong data was within the reach of clients."""
    return "Clients may have seen and written wrong data. " if report["served"] == WRONG else ""


def _failed(report: Mapping[str, Any]) -> str:
    what = f"The {'rollback' if report['mode'] == ROLLBACK else 'restore'} of cluster {report['cluster']}"
    if report["missing"]:
        return (
            f"Cluster {report['cluster']} is restored and serves, but not in full: {listed(report['missing'])}"
            f" {'is' if len(report['missing']) == 1 else 'are'} missing. It stays so, and another run completes it."
        )
    if report["unfinished"]:
        proven = " is proven, but" if _all_ok(report["proof"]) else ""
        return f"{what}{proven} is not finished on {listed(report['unfinished'])}: it needs another run."
    if report["touched"]:
        return f"{what} failed: some hosts have the restored data and some the old. It needs another run."
    return f"{what} failed before any member was stopped: the cluster was not touched."


def _backup(report: Mapping[str, Any]) -> str:
    snapshot = report["snapshot"]
    if snapshot["taken_at"]:
        return f"the backup of {clock(snapshot['taken_at'])}"
    return f"the snapshot {os.path.basename(snapshot['path'])}" if snapshot["path"] else "a snapshot"


# ---- the three facts -------------------------------------------------------------------------------------------------


def facts_in_words(report: Mapping[str, Any]) -> List[Dict[str, str]]:
    """What was lost, how long nothing could be written, and whether it is proven."""
    return [_lost(report), _writes(report), _proven(report)]


def _lost(report: Mapping[str, Any]) -> Dict[str, str]:
    outcome, mode = report["outcome"], report["mode"]
    if (outcome in (RESTORED, CHECK) or _all_ok(report["proof"]) or report["missing"]) and mode != ROLLBACK:
        value, note = _loss(report["loss"])
        return fact("Would be lost" if outcome == CHECK else "Lost", value, note, GOOD if value == "Nothing" else PLAIN)
    if outcome == CHECK:
        return fact("Would be lost", "Nothing", "What was written after the restore would be kept beside the old data.")
    if outcome == ROLLED_BACK and report["served"]:
        note = "The old data is in place again, and what was written since is not in it. It is kept beside it."
        return fact("Lost", "What was written to the restored cluster", note, BAD)
    if outcome == ROLLED_BACK and report["touched"]:
        note = "The old data is in place again. What the restored cluster held is kept beside it."
        return fact("Lost", "Nothing", note, GOOD)
    if outcome == FAILED and (report["touched"] or report["unfinished"]):
        note = "Nothing was deleted. Another run completes the restore or puts the old data back."
        return fact("Lost", "Still open", note, BAD)
    return fact("Lost", "Nothing", "The data of this cluster was not touched.", GOOD)


def _loss(loss: Mapping[str, Any]) -> Any:
    seconds, revisions = loss["seconds"], loss["revisions"]
    if revisions is not None and revisions < 0:
        return "Nothing", f"The members are {counted(-revisions, 'revision')} behind the snapshot."
    value = f"{span(seconds)} of writes" if seconds is not None else "All since the backup"
    if revisions is None:
        why = loss.get("unknown") or "no member could tell"
        return value, f"Everything written after the backup. How many revisions that is, {why}."
    note = f"{counted(revisions, 'revision')} when the plan was made: what was written after the backup."
    return value if revisions or seconds is None else f"{span(seconds)}, no revision", note


def _writes(report: Mapping[str, Any]) -> Dict[str, str]:
    outcome, outage = report["outcome"], report["outage"]
    title = "Writes were impossible"
    if outcome == CHECK:
        return _writes_in_check(report)
    if outcome in (RESTORED, FAILED) and outage["at_most"] is not None:
        most = span(outage["at_most"], math.ceil)
        if outage["down_before"]:
            note = f"The cluster had no quorum when the run began. From the stop to the proof it took {most}."
            return fact(title, "Longer than this run", note, BAD)
        worth_saying = outage["at_least"] is not None and outage["at_least"] >= 0.1
        least = f"and at least {span(outage['at_least'], math.floor)}: " if worth_saying else ""
        note = f"{least}from the stop that took the quorum away to the election of a leader."
        return fact(title, f"At most {most}", note[0].upper() + note[1:])
    if outage["down_before"]:
        return fact(
            title, "Before the run, and now", "The cluster had no quorum, and this run has not changed that.", BAD
        )
    if outage["start"] and (outcome == ROLLED_BACK or outage["back"] is not None):
        return _writes_to_old_data(outage)
    if report["touched"] or report["unfinished"]:
        since = f"Since {clock(outage['start'])}" if outage["start"] else "Not known"
        return fact(title, since, "Nothing shows that the cluster takes writes again.", BAD)
    return fact(title, "Not at all", "This run stopped no member.", GOOD)


def _writes_to_old_data(outage: Mapping[str, Any]) -> Dict[str, str]:
    """The journals say when the old members were started, and not when they elected a leader."""
    title = "Writes were impossible"
    back = span(outage["back"]) if outage["back"] is not None else ""
    if outage["at_least"] is not None and outage["at_least"] >= 0.1:
        value = f"At least {span(outage['at_least'], math.floor)}"
        started = f"{back} after the stop enough old members had been started; " if back else ""
        return fact(title, value, f"{started}when they elected a leader is not recorded.".capitalize())
    value = f"{back} and an election" if back else "For some time"
    note = "From the stop until enough old members were started; when they elected a leader is not recorded."
    return fact(title, value, note)


def _writes_in_check(report: Mapping[str, Any]) -> Dict[str, str]:
    title = "Writes would be impossible"
    if report["outage"]["down_before"]:
        return fact(title, "They are already", "The cluster has no quorum now.", BAD)
    if report["slow"]:
        note = (
            "From the stop until data is moved and restored and a leader is elected: there is no room to do it before."
        )
        return fact(title, "While data is copied", note, BAD)
    note = "From the stop of the members until the restored ones elect a leader. All data is staged before."
    return fact(title, "While it restarts", note)


def _proven(report: Mapping[str, Any]) -> Dict[str, str]:
    outcome, proof = report["outcome"], report["proof"]
    if outcome == REFUSED:
        count = str(len(report["refusals"])) if report["refusals"] else "Another cluster's"
        return fact("Reasons to refuse", count, "They stand below, each with its next step.", BAD)
    if outcome == UNCONFIRMED:
        return fact("Waiting for", "Your confirmation", "The command stands below.")
    if outcome == CHECK:
        return fact("Proven", "Not yet", "Nothing was restored. What the run would do stands below.")
    if outcome == NOTHING:
        return fact("Proven", "By an earlier run", "The cluster that it made still runs.", GOOD)
    if outcome == ROLLED_BACK:
        return fact("Proven", "No", "Nobody has asked the old cluster since: see whether it serves.")
    if not proof and not (report["touched"] or report["unfinished"]):
        return fact("Restored", "Nothing", "The run failed before it stopped a member.", BAD)
    if not proof:
        return fact("Proven", "No", "The restored cluster has not shown that it is the planned one.", BAD)
    if report["missing"]:
        note = f"The other members are the planned ones, and hold the same data. {listed(report['missing'])} did not answer."
        return fact("Proven", "A quorum", note, BAD)
    passed = sum(bool(check["ok"]) and check["found"] not in UNJUDGED for check in proof)
    note = f"{passed} of {counted(len(proof), 'check')} passed on the running cluster."
    if not any(check["what"] == "keys" for check in proof):
        note += " How many keys the backup had is not known, so they were not counted."
    return fact("Proven", "Yes" if _all_ok(proof) else "No", note, GOOD if _all_ok(proof) else BAD)


def _all_ok(proof: Sequence[Mapping[str, Any]]) -> bool:
    return bool(proof) and all(check["ok"] for check in proof)


# ---- what to do next -------------------------------------------------------------------------------------------------


def next_steps(report: Report, run: Invocation, confirmed: Mapping[str, str]) -> Steps:
    """What a tired person does next, in this order; ``later`` marks what must not be done today."""
    again = run.line(variables=confirmed)
    outcome = report["outcome"]
    if outcome == NOTHING:
        return [
            step(
                "Nothing. To restore the snapshot once more, and lose what was written since:",
                run.line(variables={**confirmed, "etcd_restore_again": "true"}),
            )
        ]
    if outcome == RESTORED:
        return _after_restore(report, run, confirmed)
    look = [step("See whether the cluster serves:", run.line("status", keep=False))]
    look = [step(f"Now, {RESTART}"), *look] if report["served"] else look
    if outcome == ROLLED_BACK and report["mode"] == ROLLBACK:
        return [*look, _backup_now(run), *_remove_later(report)]
    after = [step("When the cause is removed, run the same again:", again)]
    if outcome == FAILED and report["touched"]:
        back = run.line(variables={**confirmed, "etcd_restore_rollback": "true"})
        cost = ", and what was written since is no longer served" if report["missing"] else ""
        after += [step(f"Or put the old data back everywhere{cost}:", back)] if report["mode"] != ROLLBACK else []
    # While it is open which data will stay, none of it is spoken of as something to remove.
    later = _remove_later(report) if outcome == ROLLED_BACK else []
    return [*look, *_find_cause(report), *after, *later]


def _after_restore(report: Mapping[str, Any], run: Invocation, confirmed: Mapping[str, str]) -> Steps:
    found = [step(f"Check the applications that use this cluster: it is as it was at {_taken(report)}.")]
    if not report["bump"]:
        found.append(
            step(
                "Restart every client that watches, such as the API servers of Kubernetes: the revision was not raised, so"
                " they may go on with what they remember."
            )
        )
    wrong = run.line(keep=False, variables={**confirmed, "etcd_restore_rollback": "true"})
    return [
        *found,
        _backup_now(run),
        step(
            "Only if it was the wrong backup, take the restore back; what is written until then is kept aside:", wrong
        ),
        *_remove_later(report),
    ]


def _taken(report: Mapping[str, Any]) -> str:
    taken_at = report["snapshot"]["taken_at"]
    return clock(taken_at) if taken_at else "the time of the backup"


def _backup_now(run: Invocation) -> Dict[str, Any]:
    return step("Take a backup now:", run.line("backup", keep=False))


def _find_cause(report: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Where to look: etcd's log on the hosts that failed, or, where no one is named, on those that are unfinished."""
    named = {item["host"] for item in report["reasons"]}
    silent = [host for host in report["unfinished"] if report["hosts"][host]["last_step"] is None]
    heard = [host for host in report["hosts"] if host not in silent]
    hosts = [host for host in heard if host in named] or [host for host in heard if host in report["unfinished"]]
    hosts = hosts or ([] if silent else heard)
    found = [step(f"Make {listed(silent)} reachable: nothing is known of what happened there.")] if silent else []
    commands: Dict[str, List[str]] = {}
    for host in hosts:
        commands.setdefault(_log_command(report["hosts"][host]), []).append(host)
    if report["touched"] and hosts:
        known = on_hosts(commands)
        found.append(step(f"Look for the cause in etcd's log on {listed(hosts)}{':' if known else '.'}", known))
    return found


def _log_command(host: Mapping[str, Any]) -> str:
    """How to read etcd's log on a host; empty where only whoever wrote its start command can know."""
    since = f" --since {shlex.quote(clock(host['phases'][0]['start']))}" if host["phases"] else ""
    manager, name = host["service"]["manager"], host["service"]["name"]
    if manager == "static_pod":
        return "crictl logs $(crictl ps --all --name etcd --quiet | head -n 1)"
    return f"journalctl -u {shlex.quote(name)}{since}" if manager == "systemd" else ""


def _remove_later(report: Mapping[str, Any]) -> List[Dict[str, Any]]:
    commands: Dict[str, List[str]] = {}
    for host, part in report["hosts"].items():
        for path in part["kept"]:
            commands.setdefault(f"sudo rm -r -- {shlex.quote(path)}", []).append(host)
    if not commands:
        return []
    what = "In some days, when nobody misses anything, make room by hand. Not now: "
    if report["outcome"] == ROLLED_BACK:
        what += "this is what the restored cluster held."
    else:
        what += "this is the old data, and without it the restore cannot be taken back."
    return [step(what, on_hosts(commands), later=True)]


# ---- what it was about -----------------------------------------------------------------------------------------------


def about(report: Report) -> Tuple[str, Sequence[Row]]:
    """The backup and the cluster that was made of it."""
    snapshot, ids = report["snapshot"], report["cluster_id"]
    if not snapshot["path"]:
        return "", ()
    back = report["outcome"] == ROLLED_BACK
    same = back or ids["before"] == ids["after"]
    cluster_id = ids["before"] if same else f"{ids['before'] or 'unknown'} → {ids['after']}"
    done = report["outcome"] in (RESTORED, NOTHING)
    return "What was restored" if done else "The backup", [
        Row("Backup", snapshot["path"], f" on {snapshot['on'] or 'the controller'}"),
        Row("Taken", text=clock(snapshot["taken_at"]) if snapshot["taken_at"] else "at an unknown time"),
        Row("Size", text=f"{snapshot['size']:,} bytes" if snapshot["size"] is not None else ""),
        Row("SHA-256", snapshot["sha256"] or ""),
        Row("Revision", text=_revision(report)),
        Row("Members", text="" if back else ", ".join(sorted(report["members"].values()))),
        Row("Cluster ID", cluster_id if ids["after"] else ""),
        Row("Restore", report["restore_id"] or ""),
    ]


def _revision(report: Mapping[str, Any]) -> str:
    revision = report["snapshot"]["revision"]
    if revision is None:
        return ""
    if not report["bump"] or report["outcome"] == ROLLED_BACK:
        return f"{revision:,}" + (", not raised" if report["bump"] == 0 else "")
    return (
        f"{revision:,}, raised by {report['bump']:,} to {report['revision']:,}, so that watching clients never go back"
    )
