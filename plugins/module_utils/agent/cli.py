# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of the agent ``quorum-etcd``: what each command does, says, and ends with."""

from __future__ import annotations

import argparse
import json
import random
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence

from ..backup.lock import Busy, locked
from ..backup.prune import Counted, look, prune
from ..backup.records import FAILED, last_attempts
from ..backup.retention import decide, policy_of
from ..backup.run import back_up
from ..core.errors import EtcdError
from ..core.text import printable
from ..core.values import to_plain
from ..etcd.cluster import observe
from ..etcd.commands import Run, Tools
from ..host.processes import Host
from ..host.tools import kept_folders, look_for_tools
from ..snapshot.catalogue import ALL, catalogue, folder_problem
from ..snapshot.entry import Snapshot
from .health import BAD, TOO_OLD, judge
from .settings import PATH, Settings, connection_of, job_of, load
from .words import attempt_in_words, decisions_in_words, list_in_words, status_in_words

FINE, UNSUCCESSFUL, REFUSED, STALE = 0, 1, 2, 3
EPILOG = f"""\
exit codes, for monitors:
  {FINE}  all is well; of backup also: nothing was written since the last one, or it is another member's turn
  {UNSUCCESSFUL}  it failed: no snapshot could be saved, the last run failed (status), one is not usable (list --verify)
  {REFUSED}  nothing was done: a wrong option or configuration, or another run is at work in the folder
  {STALE}  status: the last good run is longer ago than max_age allows, or there has been none

With --json each command prints one JSON object, also where it fails.
"""


class Answer(NamedTuple):
    code: int
    data: Dict[str, Any]
    text: List[str]


def main(argv: Sequence[str], run: Run, version: str, say: Callable[[str], object]) -> int:
    """Do what the command line says; returns the exit code. ``run`` runs a command, ``say`` prints a line."""
    given = _parser(version).parse_args(list(argv))
    answer = _answer(given, run)
    for line in [json.dumps(answer.data, sort_keys=True)] if given.json else answer.text:
        say(printable(line))
    return answer.code


def _answer(given: argparse.Namespace, run: Run) -> Answer:
    try:
        settings = load(given.config)
    except EtcdError as error:
        return _without_success(REFUSED, "refused", error)
    try:
        return _COMMANDS[given.command](settings, given, run)
    except Busy as error:
        return _without_success(REFUSED, "refused", error)
    except EtcdError as error:
        return _without_success(UNSUCCESSFUL, FAILED, error)


def _without_success(code: int, result: str, error: EtcdError) -> Answer:
    data = {"result": result, "cause": error.message, "next_step": error.next_step}
    text = [f"{result.upper()}: {error.message}", *([f"  Next: {error.next_step}"] if error.next_step else [])]
    return Answer(code, data, text)


def _parser(version: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quorum-etcd",
        description="Backups of an etcd cluster, each verified, made and kept by themselves.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"quorum-etcd {version}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", default=PATH, metavar="FILE", help=f"the configuration (default: {PATH})")
    common.add_argument("--json", action="store_true", help="print one JSON object instead of words")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.required = True

    def command(name: str, words: str, more: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            parents=[common],
            help=words,
            description=f"{words[0].upper()}{words[1:]}. {more}",
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    backup = command(
        "backup",
        "save one verified snapshot, if it is this host's turn and something was written, and remove old ones",
        "What\nbecame of it is recorded in backups.jsonl of the state folder.",
    )
    backup.add_argument("--force", action="store_true", help="save one although nothing was written since the last one")
    backup.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="wait for another run (default: refuse)"
    )
    backup.add_argument(
        "--delay", type=float, default=0.0, metavar="SECONDS", help="begin after a random time, for cron"
    )
    listing = command(
        "list",
        "list the snapshots of the folder, and why each is kept",
        "It asks no cluster, and\nreads the newest one to its end.",
    )
    listing.add_argument("--verify", action="store_true", help="read each one to its end")
    pruning = command("prune", "remove the snapshots that no rule keeps", "The cluster is asked for its ID.")
    pruning.add_argument("--dry-run", action="store_true", help="only say what would be removed")
    pruning.add_argument(
        "--cluster-id",
        default="",
        metavar="ID",
        help="count those of this etcd cluster, such as this one before a restore",
    )
    command(
        "status", "say how the backups of this host are", "It reads what the last runs recorded, and asks no cluster."
    )
    return parser


def _backup(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    if given.delay > 0:
        time.sleep(random.uniform(0, given.delay))  # noqa: S311
    tools, to = _tools(run, settings), connection_of(settings)
    attempt = back_up(run, tools, to, job_of(settings, given.wait), given.force)
    code = UNSUCCESSFUL if attempt.result == FAILED else FINE
    return Answer(code, to_plain(attempt), attempt_in_words(attempt))


def _list(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    problem = folder_problem(settings.folder)
    if problem:
        raise EtcdError(problem, "run quorum-etcd backup first, or check its owner and mode.")
    now, keep = time.time(), policy_of(settings.keep)
    known = [
        attempt.cluster_id for attempt in last_attempts(settings.state_dir, settings.cluster) if attempt.cluster_id
    ]
    counted = Counted(settings.cluster, known[0] if known else "", keep)
    entries = catalogue(settings.folder, ALL, now, run) if given.verify else look(settings.folder, counted, now)
    decisions = decide(entries, keep, counted.cluster, counted.cluster_id, now)
    rows = [{**_told(one.entry), "verdict": one.verdict, "why": one.why} for one in decisions]
    damaged = given.verify and not all(row["ok"] for row in rows)
    data = {"folder": settings.folder, "cluster": settings.cluster, "snapshots": rows}
    return Answer(UNSUCCESSFUL if damaged else FINE, data, list_in_words(settings.folder, rows))


def _told(found: Snapshot) -> Dict[str, Any]:
    """What ``list`` says of a snapshot."""
    told = (
        "name",
        "path",
        "ok",
        "verified",
        "reason",
        "size",
        "revision",
        "taken_at",
        "sha256",
        "compression",
        "manifest",
    )
    plain = to_plain(found)
    return {name: plain[name] for name in told}


def _prune(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    cluster_id = given.cluster_id or _cluster_id(settings, run)
    counted = Counted(settings.cluster, cluster_id, policy_of(settings.keep))
    with locked(settings.folder):
        decisions = prune(settings.folder, counted, time.time(), pretend=given.dry_run)
    told = [{"name": one.entry.name, "verdict": one.verdict, "why": one.why} for one in decisions]
    data = {"folder": settings.folder, "cluster_id": cluster_id, "dry_run": given.dry_run, "snapshots": told}
    return Answer(FINE, data, decisions_in_words(decisions, given.dry_run))


def _status(settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    attempts = last_attempts(settings.state_dir, settings.cluster)
    status = judge(settings.cluster, settings.folder, attempts, settings.max_age, time.time())
    return Answer(
        {BAD: UNSUCCESSFUL, TOO_OLD: STALE}.get(status.state, FINE), to_plain(status), status_in_words(status)
    )


def _cluster_id(settings: Settings, run: Run) -> str:
    view = observe(run, _tools(run, settings), connection_of(settings), hash_check=False)
    if len(view.cluster_ids) != 1:
        raise EtcdError(
            f"which etcd cluster this is, cannot be told: {view.summary}",
            "start it, or give its ID with --cluster-id.",
        )
    return view.cluster_id


def _tools(run: Run, settings: Settings) -> Tools:
    more = kept_folders(Host("/"), settings.state_dir)
    return look_for_tools(run, settings.bin_dir, more=more)[0]


_COMMANDS: Dict[str, Callable[[Settings, argparse.Namespace, Run], Answer]] = {
    "backup": _backup,
    "list": _list,
    "prune": _prune,
    "status": _status,
}
