# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A report in words: the headline, the three facts that everybody asks for, and what to do next."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ..core.text import duration
from ..restore.plan import RESUME, ROLLBACK
from ..restore.proof import UNJUDGED
from ..restore.verdict import RESTART, WRONG

# The outcomes; they are also the last part of a report's file name.
CHECK, REFUSED, UNCONFIRMED, NOTHING = "check", "refused", "unconfirmed", "nothing"
RESTORED, ROLLED_BACK, FAILED = "restored", "rolled-back", "failed"
OUTCOMES = {
    CHECK: "Check only",
    REFUSED: "Refused",
    UNCONFIRMED: "Not confirmed",
    NOTHING: "Nothing to do",
    RESTORED: "Restored",
    ROLLED_BACK: "Rolled back",
    FAILED: "Failed",
}
GOOD, BAD, PLAIN = "good", "bad", "plain"

UNPLANNED = "unplanned"  # the mode of a cluster whose run failed before it had a plan

# What may be shown of what a run was given with -e: names that hold no secret.
_SHOWN = re.compile(r"(target|etcd_backup_dir|etcd_report_dir|etcd_restore_\w+)$")


@dataclass(frozen=True)
class Invocation:
    """How the run was started, as far as it may be shown; ``invocation`` makes one."""

    playbook: str = "restore.yml"
    inventories: Sequence[str] = ("INVENTORY",)
    variables: Mapping[str, Any] = field(default_factory=dict)

    def line(self, job: str = "restore", keep: bool = True, **variables: str) -> str:
        """The command line of ``job`` (restore, backup, status).

        Of what this run was given it names the group, for a restore what was left out, and the rest where ``keep`` says so.
        """
        always = {"target", "etcd_restore_exclude"} if job == "restore" else {"target"}
        given = {name: value for name, value in self.variables.items() if keep or name in always}
        words = ["ansible-playbook", self._playbook(job)]
        for inventory in self.inventories:
            words += ["-i", inventory]
        for name, value in {**given, **variables}.items():
            words += ["-e", _extra_variable(name, value)]
        return shlex.join(words)

    def _playbook(self, job: str) -> str:
        folder, name = os.path.split(self.playbook)
        if job == "restore":
            return self.playbook
        return os.path.join(folder, job + ".yml") if name == "restore.yml" else f"quorum.etcd.{job}"


def invocation(playbooks: Sequence[str], inventories: Sequence[str], extra_variables: Sequence[str]) -> Invocation:
    """From what ansible-playbook was started with; of its ``-e`` only what is known to be no secret."""
    variables: Dict[str, Any] = {}
    for text in extra_variables:
        variables.update(_parsed(text))
    shown = {name: value for name, value in variables.items() if _SHOWN.match(name)}
    default = Invocation()
    return Invocation(
        playbooks[0] if len(playbooks) == 1 else default.playbook, inventories or default.inventories, shown
    )


def _parsed(text: str) -> Dict[str, Any]:
    """One ``-e``: JSON, or words of the kind name=value; what is neither is left out."""
    try:
        if text.lstrip().startswith("{"):
            return dict(json.loads(text))
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError:
        return {}
    return {name: value for name, equals, value in pairs if equals}


def _extra_variable(name: str, value: Any) -> str:
    plain = isinstance(value, str) and not re.search(r"[\s'\"\\{}]", value)
    return f"{name}={value}" if plain else json.dumps({name: value})


def headline(report: Mapping[str, Any]) -> str:
    """One sentence for somebody who reads no other."""
    name, outcome, mode = report["cluster"], report["outcome"], report["mode"]
    if outcome == RESTORED:
        return f"Cluster {name} is restored from {_backup(report)}, and proven."
    if outcome == ROLLED_BACK:
        return _rolled_back(report)
    if outcome == FAILED:
        return _seen(report) + _failed(report)
    if outcome == NOTHING:
        return f"There is nothing to do: cluster {name} already runs on {_backup(report)}."
    what = {
        RESUME: f"complete the interrupted restore of cluster {name}",
        ROLLBACK: f"take back the restore of cluster {name}",
    }.get(mode, f"restore cluster {name} from {_backup(report)}")
    if outcome == REFUSED:
        count = len(report["refusals"])
        why = f"for {_count(count, 'reason')}" if count else "because of another cluster in the same run"
        return f"Nothing was touched: the run refused to {what if mode != 'restore' else f'restore cluster {name}'}, {why}."
    if outcome == UNCONFIRMED:
        return f"Nothing was touched: a confirmation is missing to {what}."
    return f"Nothing was touched: this is how the run would {what}."


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
    if report["mode"] == UNPLANNED:
        return f"Nothing was touched: the run failed before it could plan a restore of cluster {report['cluster']}."
    what = f"The {'rollback' if report['mode'] == ROLLBACK else 'restore'} of cluster {report['cluster']}"
    if report["missing"]:
        return (
            f"Cluster {report['cluster']} is restored and serves, but not in full: {_and(report['missing'])}"
            f" {'is' if len(report['missing']) == 1 else 'are'} missing. It stays so, and another run completes it."
        )
    if report["unfinished"]:
        proven = " is proven, but" if _all_ok(report["proof"]) else ""
        return f"{what}{proven} is not finished on {_and(report['unfinished'])}: it needs another run."
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


def _fact(title: str, value: str, note: str, state: str = PLAIN) -> Dict[str, str]:
    return {"title": title, "value": value, "note": note, "state": state}


def _lost(report: Mapping[str, Any]) -> Dict[str, str]:
    outcome, mode = report["outcome"], report["mode"]
    if (outcome in (RESTORED, CHECK) or _all_ok(report["proof"]) or report["missing"]) and mode != ROLLBACK:
        value, note = _loss(report["loss"])
        return _fact(
            "Would be lost" if outcome == CHECK else "Lost", value, note, GOOD if value == "Nothing" else PLAIN
        )
    if outcome == CHECK:
        return _fact(
            "Would be lost", "Nothing", "What was written after the restore would be kept beside the old data."
        )
    if outcome == ROLLED_BACK and report["served"]:
        note = "The old data is in place again, and what was written since is not in it. It is kept beside it."
        return _fact("Lost", "What was written to the restored cluster", note, BAD)
    if outcome == ROLLED_BACK and report["touched"]:
        note = "The old data is in place again. What the restored cluster held is kept beside it."
        return _fact("Lost", "Nothing", note, GOOD)
    if outcome == FAILED and (report["touched"] or report["unfinished"]):
        note = "Nothing was deleted. Another run completes the restore or puts the old data back."
        return _fact("Lost", "Still open", note, BAD)
    return _fact("Lost", "Nothing", "The data of this cluster was not touched.", GOOD)


def _loss(loss: Mapping[str, Any]) -> Any:
    seconds, revisions = loss["seconds"], loss["revisions"]
    if revisions is not None and revisions < 0:
        return "Nothing", f"The members are {_count(-revisions, 'revision')} behind the snapshot."
    value = f"{span(seconds)} of writes" if seconds is not None else "All since the backup"
    if revisions is None:
        why = loss.get("unknown") or "no member could tell"
        return value, f"Everything written after the backup. How many revisions that is, {why}."
    note = f"{_count(revisions, 'revision')} when the plan was made: what was written after the backup."
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
            return _fact(title, "Longer than this run", note, BAD)
        worth_saying = outage["at_least"] is not None and outage["at_least"] >= 0.1
        least = f"and at least {span(outage['at_least'], math.floor)}: " if worth_saying else ""
        note = f"{least}from the stop that took the quorum away to the election of a leader."
        return _fact(title, f"At most {most}", note[0].upper() + note[1:])
    if outage["down_before"]:
        return _fact(
            title, "Before the run, and now", "The cluster had no quorum, and this run has not changed that.", BAD
        )
    if outage["start"] and (outcome == ROLLED_BACK or outage["back"] is not None):
        return _writes_to_old_data(outage)
    if report["touched"] or report["unfinished"]:
        since = f"Since {clock(outage['start'])}" if outage["start"] else "Not known"
        return _fact(title, since, "Nothing shows that the cluster takes writes again.", BAD)
    return _fact(title, "Not at all", "This run stopped no member.", GOOD)


def _writes_to_old_data(outage: Mapping[str, Any]) -> Dict[str, str]:
    """The journals say when the old members were started, and not when they elected a leader."""
    title = "Writes were impossible"
    back = span(outage["back"]) if outage["back"] is not None else ""
    if outage["at_least"] is not None and outage["at_least"] >= 0.1:
        value = f"At least {span(outage['at_least'], math.floor)}"
        started = f"{back} after the stop enough old members had been started; " if back else ""
        return _fact(title, value, f"{started}when they elected a leader is not recorded.".capitalize())
    value = f"{back} and an election" if back else "For some time"
    note = "From the stop until enough old members were started; when they elected a leader is not recorded."
    return _fact(title, value, note)


def _writes_in_check(report: Mapping[str, Any]) -> Dict[str, str]:
    title = "Writes would be impossible"
    if report["outage"]["down_before"]:
        return _fact(title, "They are already", "The cluster has no quorum now.", BAD)
    if report["slow"]:
        note = (
            "From the stop until data is moved and restored and a leader is elected: there is no room to do it before."
        )
        return _fact(title, "While data is copied", note, BAD)
    note = "From the stop of the members until the restored ones elect a leader. All data is staged before."
    return _fact(title, "While it restarts", note)


def _proven(report: Mapping[str, Any]) -> Dict[str, str]:
    outcome, proof = report["outcome"], report["proof"]
    if outcome == REFUSED:
        count = str(len(report["refusals"])) if report["refusals"] else "Another cluster's"
        return _fact("Reasons to refuse", count, "They stand below, each with its next step.", BAD)
    if outcome == UNCONFIRMED:
        return _fact("Waiting for", "Your confirmation", "The command stands below.")
    if outcome == CHECK:
        return _fact("Proven", "Not yet", "Nothing was restored. What the run would do stands below.")
    if outcome == NOTHING:
        return _fact("Proven", "By an earlier run", "The cluster that it made still runs.", GOOD)
    if outcome == ROLLED_BACK:
        return _fact("Proven", "No", "Nobody has asked the old cluster since: see whether it serves.")
    if not proof and not (report["touched"] or report["unfinished"]):
        return _fact("Restored", "Nothing", "The run failed before it stopped a member.", BAD)
    if not proof:
        return _fact("Proven", "No", "The restored cluster has not shown that it is the planned one.", BAD)
    if report["missing"]:
        note = (
            f"The other members are the planned ones, and hold the same data. {_and(report['missing'])} did not answer."
        )
        return _fact("Proven", "A quorum", note, BAD)
    passed = sum(bool(check["ok"]) and check["found"] not in UNJUDGED for check in proof)
    note = f"{passed} of {_count(len(proof), 'check')} passed on the running cluster."
    if not any(check["what"] == "keys" for check in proof):
        note += " How many keys the backup had is not known, so they were not counted."
    return _fact("Proven", "Yes" if _all_ok(proof) else "No", note, GOOD if _all_ok(proof) else BAD)


def _all_ok(proof: Sequence[Mapping[str, Any]]) -> bool:
    return bool(proof) and all(check["ok"] for check in proof)


# ---- what to do next -------------------------------------------------------------------------------------------------


def next_steps(report: Mapping[str, Any], run: Invocation, unconfirmed: str) -> List[Dict[str, Any]]:
    """What a tired person does next, in this order; ``later`` marks what must not be done today."""
    confirm = re.search(r"-e etcd_restore_confirm=(\S+)$", unconfirmed)
    confirmed = {"etcd_restore_confirm": confirm.group(1) if confirm else report["cluster"]}
    again = run.line(**confirmed)
    outcome = report["outcome"]
    if outcome in (CHECK, UNCONFIRMED):
        return [_step("Read the plan below. If it is what you want, this does it:", again)]
    if outcome == REFUSED:
        own = [_step(_at(item["host"], item["next_step"])) for item in report["refusals"]]
        return [*own, _step("When that is done, look again; this touches nothing:", run.line() + " --check --diff")]
    if outcome == NOTHING:
        return [
            _step(
                "Nothing. To restore the snapshot once more, and lose what was written since:",
                run.line(**confirmed, etcd_restore_again="true"),
            )
        ]
    if outcome == RESTORED:
        return _after_restore(report, run, confirmed)
    if report["mode"] == UNPLANNED:
        return [_step("When the cause is removed, look again; this touches nothing:", run.line() + " --check --diff")]
    look = _step("See whether the cluster serves:", run.line("status", keep=False))
    look = [_step(f"Now, {RESTART}"), look] if report["served"] else [look]
    if outcome == ROLLED_BACK and report["mode"] == ROLLBACK:
        return [*look, _backup_now(run), *_remove_later(report)]
    after = [_step("When the cause is removed, run the same again:", again)]
    if outcome == FAILED and report["touched"]:
        back = run.line(**confirmed, etcd_restore_rollback="true")
        cost = ", and what was written since is no longer served" if report["missing"] else ""
        after += [_step(f"Or put the old data back everywhere{cost}:", back)] if report["mode"] != ROLLBACK else []
    # While it is open which data will stay, none of it is spoken of as something to remove.
    later = _remove_later(report) if outcome == ROLLED_BACK else []
    return [*look, *_find_cause(report), *after, *later]


def _after_restore(report: Mapping[str, Any], run: Invocation, confirmed: Mapping[str, str]) -> List[Dict[str, Any]]:
    found = [_step(f"Check the applications that use this cluster: it is as it was at {_taken(report)}.")]
    if not report["bump"]:
        found.append(
            _step(
                "Restart every client that watches, such as the API servers of Kubernetes: the revision was not raised, so"
                " they may go on with what they remember."
            )
        )
    wrong = run.line(keep=False, **confirmed, etcd_restore_rollback="true")
    return [
        *found,
        _backup_now(run),
        _step(
            "Only if it was the wrong backup, take the restore back; what is written until then is kept aside:", wrong
        ),
        *_remove_later(report),
    ]


def _taken(report: Mapping[str, Any]) -> str:
    taken_at = report["snapshot"]["taken_at"]
    return clock(taken_at) if taken_at else "the time of the backup"


def _backup_now(run: Invocation) -> Dict[str, Any]:
    return _step("Take a backup now:", run.line("backup", keep=False))


def _find_cause(report: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Where to look: etcd's log on the hosts that failed, or, where no one is named, on those that are unfinished."""
    named = {item["host"] for item in report["reasons"]}
    silent = [host for host in report["unfinished"] if report["hosts"][host]["last_step"] is None]
    heard = [host for host in report["hosts"] if host not in silent]
    hosts = [host for host in heard if host in named] or [host for host in heard if host in report["unfinished"]]
    hosts = hosts or ([] if silent else heard)
    found = [_step(f"Make {_and(silent)} reachable: nothing is known of what happened there.")] if silent else []
    commands: Dict[str, List[str]] = {}
    for host in hosts:
        commands.setdefault(_log_command(report["hosts"][host]), []).append(host)
    if report["touched"] and hosts:
        known = _on_hosts(commands)
        found.append(_step(f"Look for the cause in etcd's log on {_and(hosts)}{':' if known else '.'}", known))
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
    return [{**_step(what, _on_hosts(commands)), "later": True}]


def _on_hosts(commands: Mapping[str, Sequence[str]]) -> List[Dict[str, Any]]:
    return [{"on": list(hosts), "command": command} for command, hosts in commands.items() if command]


def _step(what: str, commands: Any = ()) -> Dict[str, Any]:
    listed = [{"on": [], "command": commands}] if isinstance(commands, str) else list(commands)
    return {"what": what, "commands": listed, "later": False}


def closing_lines(report: Mapping[str, Any]) -> List[str]:
    """The end of a run on the terminal: what it came to, and what to do next."""
    lines = [report["headline"], "Next:"]
    for number, step in enumerate((step for step in report["next_steps"] if not step["later"]), 1):
        lines.append(f"  {number}. {step['what']}")
        for command in step["commands"]:
            on = f"on {_and(command['on'])}: " if command["on"] else ""
            lines.append(f"     {on}{command['command']}")
    return lines


# ---- small words -----------------------------------------------------------------------------------------------------


def clock(time: str) -> str:
    """A time of a report as people read it, to the second."""
    return f"{time[:10]} {time[11:19]} UTC"


def span(seconds: Optional[float], rounding: Any = round) -> str:
    """A length of time, to a tenth of a second below a minute; ``rounding`` up for what is at most, down for at least."""
    if seconds is None:
        return "an unknown time"
    if seconds >= 60 or seconds == int(seconds):
        return duration(rounding(seconds))
    # A float such as 0.3 is a little less than three tenths, which no rounding may turn into two.
    tenths = rounding(round(seconds * 10, 6))
    return f"{tenths / 10:.1f} s" if tenths else f"{seconds:.2f} s"


def _at(host: str, text: str) -> str:
    return f"{host}: {text}" if host else text[:1].upper() + text[1:]


def _and(names: Sequence[str]) -> str:
    names = list(names)
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}" if number == 1 else f"{number:,} {word}s"
