# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""``quorum-etcd mirror``: run a mirror's engine, say how mirrors are, and compare one with its source."""

from __future__ import annotations

import argparse
import os
import signal
import threading
import time
from typing import Callable, Dict, List

from ..core.errors import EtcdError
from ..core.threads import Beside
from ..core.values import to_plain
from ..etcd.commands import Run
from ..mirror import status as told
from ..mirror import verified
from ..mirror.settings import FOLDER, MirrorSettings, connection_of, load, path_of
from .command import FINE, STALE, UNSUCCESSFUL, Answer, Command
from .mirror_cutover import Units, refuse_the_classic
from .mirror_health import BAD, OK, MirrorHealth, health_in_words, judge, of_the_classic, unreadable
from .mirror_metrics import publish_mirror
from .mirror_units import TAKEN_OVER, mirrors_of, unit_of
from .screen import Screen
from .settings import Settings

TOLD_EVERY = 10.0  # seconds between two writings of the metrics
_DOINGS = {
    "run": "mirror, as the service does",
    "status": "say how it is",
    "verify": "compare it with its source, key by key, while both are written to",
    "cutover": "let it become the cluster that clients write to, or with --back the old one again",
}


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "doing", choices=list(_DOINGS), help="; ".join(f"{name}: {told}" for name, told in _DOINGS.items())
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", default="", help="of the mirror; of status: each when left out"
    )
    parser.add_argument("--once", action="store_true", help="run: until it has caught up")
    parser.add_argument("--back", action="store_true", help="cutover: clients return to the cluster that was left")
    parser.add_argument(
        "--confirm", default="", metavar="NAME", help="cutover: do it; without, only what would be done is shown"
    )
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="LOSS",
        help="cutover: that keys lose their leases (leases), that what came to the old cluster late is undone (late), or that the"
        " source is lost with what the mirror lacks (source)",
    )
    parser.add_argument(
        "--settle",
        default="5",
        metavar="SECONDS",
        help="cutover: how long nobody may write before it (default: %(default)s)",
    )


def _mirror(_settings: Settings, given: argparse.Namespace, run: Run) -> Answer:
    if given.doing == "status" and not given.config:
        found = [one for one in healths_here(run, time.time()) if given.name in ("", one.mirror)]
        if found or not given.name:
            return _answer(found)
    path = given.config or path_of(given.name)
    if given.doing == "cutover":
        refuse_the_classic(given.name, path)
        return _cutover(load(path), given, run)
    settings = load(path)
    if given.doing == "run":
        return _engine(settings, given.once, given.json)
    return _verify(settings) if given.doing == "verify" else _answer([health_of(settings, time.time())])


def _engine(settings: MirrorSettings, once: bool, json: bool) -> Answer:
    """Until SIGTERM or SIGINT, which let what is under way come to its end."""
    from ..mirror.applying import Overtaken  # of a status they are not loaded
    from ..mirror.engine import run

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    screen = Screen()
    say = _quiet if json else screen.say
    with screen, _Telling(settings, say):
        try:
            outcome = run(settings, once, say, stop, shows=screen.shows)
        except Overtaken as error:
            data = {"result": "overtaken", "cause": error.message, "next_step": error.next_step}
            return Answer(TAKEN_OVER, data, [f"OVERTAKEN: {error}"])
    return Answer(
        FINE, {"result": outcome.how, "revision": outcome.revision, "events": outcome.events}, [outcome.words]
    )


def _cutover(settings: MirrorSettings, given: argparse.Namespace, run: Run) -> Answer:
    from ..mirror.cutover import cut_over  # of a status they are not loaded
    from ..mirror.cutover_terms import terms_of
    from ..mirror.cutover_words import in_words, told

    terms = terms_of(settings.name, given.back, given.confirm, given.accept, given.settle)
    done = cut_over(settings, terms, Units(run, settings), _quiet if given.json else Screen().say)
    return Answer(
        UNSUCCESSFUL if done.late.changes or done.problem else FINE, told(settings, done), in_words(settings, done)
    )


def _quiet(_line: str) -> None:
    """All of the output is one answer."""


class _Telling:
    """For the block, a monitor is told every few seconds; and once more when it ends."""

    def __init__(self, settings: MirrorSettings, say: Callable[[str], None]) -> None:
        self._settings, self._say, self._over, self._problem = settings, say, threading.Event(), ""

    def __enter__(self) -> None:
        self._thread = Beside(self._tell)

    def __exit__(self, *_exc: object) -> None:
        self._over.set()
        self._thread.result()

    def _tell(self) -> None:
        while not self._over.wait(TOLD_EVERY):
            self._publish()
        self._publish()

    def _publish(self) -> None:
        """What cannot be told is said once, and is no reason to end."""
        try:
            problem = publish(self._settings)
        except EtcdError as error:
            problem = str(error)
        if problem and problem != self._problem:
            self._say(problem)
        self._problem = problem


def _answer(healths: List[MirrorHealth]) -> Answer:
    """The worst of them is the exit code."""
    states = {health.state for health in healths}
    code = UNSUCCESSFUL if states & set(BAD) else STALE if states - {OK} else FINE
    text = [line for health in healths for line in health_in_words(health)]
    data: Dict[str, object] = {"mirrors": to_plain(healths)}
    return Answer(code, data, text or ["there is no mirror on this host"])


def settings_here(folder: str = FOLDER) -> List[str]:
    """The paths of the settings of this host's mirrors. EtcdError for whoever may not know them."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise EtcdError(f"{folder} cannot be read: {error.strerror}.", "run it as root.") from error
    return [os.path.join(folder, name) for name in names if name.endswith(".json")]


def healths_here(run: Run, now: float, root: str = "/") -> List[MirrorHealth]:
    """Of each mirror of this host, those by etcd's own tool too; what cannot be understood is said of its mirror."""
    found = {}
    for name in mirrors_of(root):
        active = not run(["systemctl", "is-active", "--quiet", unit_of(name)], {}).rc
        found[name] = of_the_classic(name, active)
    for path in settings_here(os.path.join(root, FOLDER.lstrip("/"))):
        name = os.path.basename(path)[: -len(".json")]
        try:
            found[name] = health_of(load(path), now)
        except EtcdError as error:
            found[name] = unreadable(name, str(error))
    return [found[name] for name in sorted(found)]


def health_of(settings: MirrorSettings, now: float) -> MirrorHealth:
    """EtcdError for what was written down and cannot be understood."""
    return judge(settings, told.last(settings.folder), verified.last(settings.folder), now)


def publish(settings: MirrorSettings) -> str:
    """Tell a monitor; why that could not be done, empty where it was."""
    return publish_mirror(settings, told.last(settings.folder), verified.last(settings.folder))


def _verify(settings: MirrorSettings) -> Answer:
    from ..etcd.client import Client  # of a status it is not loaded
    from ..mirror.verify import followers_first, verify_mirror

    connections = []
    for connection in (connection_of(settings.source), connection_of(settings.destination)):
        with Client(connection) as client:
            connections.append(followers_first(connection, client.status()))
    with Screen() as screen, Client(connections[0]) as source, Client(connections[1]) as destination:
        found = verify_mirror(settings, source, destination, screen.tell)
    try:
        verified.write(settings.folder, found)
    except OSError as error:
        raise EtcdError(
            f"what was found could not be written to {settings.folder}: {error.strerror}.", "run it as root."
        ) from error
    problem = publish(settings)
    text = in_words(found) + ([problem] if problem else [])
    return Answer(FINE if found.equal else UNSUCCESSFUL, {**to_plain(found), "equal": found.equal}, text)


def in_words(found: verified.Verified) -> List[str]:
    keys = f"{found.source_keys:,} keys at revision {found.applied_revision:,}, in {found.seconds:.1f} s"
    if found.equal:
        unsettled = f"; of {found.unsettled:,} it could not be told, as they changed" if found.unsettled else ""
        return [f"mirror {found.mirror} is equal to its source: {keys}{unsettled}"]
    counts = f"{found.missing:,} are missing, {found.extra:,} are too many, {found.other:,} have another value"
    lines = [f"mirror {found.mirror} DIFFERS from its source: {counts}, of {keys}"]
    lines += [f"  {one.how:8}  {one.key}" for one in found.differing]
    more = found.differences - len(found.differing)
    return lines + ([f"  and {more:,} more"] if more > 0 else [])


MIRROR = Command(
    "mirror",
    "run a mirror's engine, say how mirrors are, compare one with its source, or let it take that one's place",
    "What a mirror is to do\nstands in /etc/quorum-etcd/mirror; mirror.yml writes it.",
    _options,
    _mirror,
    of_backups=False,
)
