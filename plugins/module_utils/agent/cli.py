# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The command line of the agent ``quorum-etcd``: its commands, and what each ends with."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from typing import Callable, List, Sequence, cast

from ..backup.lock import Busy
from ..backup.records import FAILED
from ..core.errors import EtcdError
from ..core.text import printable
from ..etcd.commands import Run
from ..mirror.settings import FOLDER
from .command import FINE, REFUSED, STALE, UNSUCCESSFUL, Answer, Command
from .metrics import publish
from .settings import PATH, Settings, load

EPILOG = f"""\
exit codes, for monitors:
  {FINE}  all is well; of backup also: nothing was written since the last one, or it is another member's turn;
     of drill also: no snapshot of the cluster lies here
  {UNSUCCESSFUL}  it failed: no snapshot could be saved, or shipped to each store; the last run failed (status); one is not
     usable (list --verify, drill)
  {REFUSED}  nothing was done: a wrong option or configuration, or another run is at work in the folder
  {STALE}  status: the last good run is longer ago than max_age allows, or there has been none; or no backup was proven by a
     drill within proof_age

With --json each command prints one JSON object, also where it fails.
"""

# By its name the file of this room that has the command: of a short run most is its start, so that no other is loaded.
COMMANDS = {
    "backup": "saving",
    "ship": "offsite",
    "fetch": "fetching",
    "drill": "drilling",
    "list": "keeping",
    "prune": "keeping",
    "status": "status",
    "log": "history",
    "mirror": "mirroring",
    "recover": "recovering",
}
_NOT_OF_BACKUPS = Settings(cluster="", endpoints=(), folder="")


def main(argv: Sequence[str], run: Run, version: str, say: Callable[[str], object]) -> int:
    """Do what the command line says; returns the exit code. ``run`` runs a command, ``say`` prints a line."""
    commands = [_command(name) for name in _names(argv)]
    given = _parser(version, commands).parse_args(list(argv))
    answer = _answer(next(one for one in commands if one.name == given.command), given, run)
    for line in [json.dumps(answer.data, sort_keys=True)] if given.json else answer.text:
        say(printable(line))
    return answer.code


def _names(argv: Sequence[str]) -> List[str]:
    """The command that comes first, or all of them for whoever has to choose."""
    return [name for name in argv[:1] if name in COMMANDS] or list(COMMANDS)


def _command(name: str) -> Command:
    return cast(Command, getattr(import_module(f".{COMMANDS[name]}", __package__), name.upper()))


def _answer(command: Command, given: argparse.Namespace, run: Run) -> Answer:
    try:
        settings = load(given.config) if command.of_backups else _NOT_OF_BACKUPS
    except EtcdError as error:
        return _without_success(REFUSED, "refused", error)
    answer = _done(command, settings, given, run)
    problem = publish(settings) if command.records else ""
    if not problem:
        return answer
    return answer._replace(data={**answer.data, "metrics": problem}, text=[*answer.text, f"  {problem}"])


def _done(command: Command, settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    try:
        return command.do(settings, given, run)
    except Busy as error:
        return _without_success(REFUSED, "refused", error)
    except EtcdError as error:
        return _without_success(UNSUCCESSFUL, FAILED, error)


def _without_success(code: int, result: str, error: EtcdError) -> Answer:
    data = {"result": result, "cause": error.message, "next_step": error.next_step}
    text = [f"{result.upper()}: {error.message}", *([f"  Next: {error.next_step}"] if error.next_step else [])]
    return Answer(code, data, text)


def _parser(version: str, commands: Sequence[Command]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="quorum-etcd",
        description="Backups of an etcd cluster, each verified, made and kept by themselves; and mirrors of one.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"quorum-etcd {version}")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND")
    parsers.required = True
    for command in commands:
        words = command.words
        made = parsers.add_parser(
            command.name,
            help=words,
            description=f"{words[0].upper()}{words[1:]}. {command.more}",
            epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        path = PATH if command.of_backups else ""
        default = path or f"{FOLDER}/NAME.json"
        made.add_argument("--config", default=path, metavar="FILE", help=f"the configuration (default: {default})")
        made.add_argument("--json", action="store_true", help="print one JSON object instead of words")
        command.add_options(made)
    return parser
