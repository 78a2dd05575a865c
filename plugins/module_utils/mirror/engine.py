# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine of a mirror: from a look at both clusters to a destination that is the source as it was a moment ago."""

from __future__ import annotations

import os
import threading
import time
from typing import Callable, NamedTuple, Optional

from ..core.errors import EtcdError
from ..core.text import counted
from ..etcd.client import Client
from ..etcd.messages import prefix_range
from .names import names_of
from .patience import ONCE_PATIENCE, Anew, Patience, Stopping
from .reporter import Reporter, Shows, nobody_looks
from .segment_reader import NotCovered
from .segments import Log
from .session import CAUGHT_UP, Session
from .settings import MirrorSettings, connection_of
from .status import FAILED, STOPPED, Board
from .survey import preflight

STOPPED_BY_SIGNAL = "stopped"
_PAUSE = 1.0  # seconds before all is looked at again


class Outcome(NamedTuple):
    """How a run ended: ``caught up`` or ``stopped``; the destination is the source as it was at ``revision``."""

    how: str
    revision: int
    events: int

    @property
    def words(self) -> str:
        return f"{self.how} at revision {self.revision:,}, {counted(self.events, 'event')} applied."


def run(
    settings: MirrorSettings,
    once: bool,
    say: Callable[[str], None],
    stop: threading.Event,
    clock: Callable[[], float] = time.time,
    shows: Shows = nobody_looks,
) -> Outcome:
    """Run the mirror until ``stop`` is set, or with ``once`` until it has caught up. ``say`` gets a line of its log at a time,
    ``shows`` how far a comparison is.

    EtcdError where it must not go on: refused before anything is written, or taken over by another engine (``Overtaken``).
    """
    folder = settings.folder
    try:
        os.makedirs(folder, mode=0o755, exist_ok=True)
    except OSError as error:
        raise EtcdError(f"{folder} cannot be made: {error.strerror}.", "name another state_dir.") from error
    board = Board(settings.name, folder, settings.delay, clock)
    with log_of(settings, clock) as log:
        if log.cut:
            say(f"The log was not whole: {log.cut}.")
        reporter = Reporter(board, log, say, shows)
        reporter.start()
        try:
            how = _sessions(settings, once, say, stop, board, log, reporter, clock)
            board.begin(STOPPED, how)
        except EtcdError as error:
            board.begin(FAILED, str(error))
            raise
        finally:
            reporter.close()
    status = board.status
    return Outcome(how, status.applied_revision, status.applied_events)


def log_of(settings: MirrorSettings, clock: Callable[[], float] = time.time) -> Log:
    """The mirror's log, to be written; with no log wanted it is a spool. Taken where another process writes it."""
    key, end = prefix_range(settings.source_prefix)
    return Log(
        os.path.join(settings.folder, "log"),
        key,
        end,
        kept=settings.keep_log,
        max_age=settings.log_max_age,
        max_bytes=settings.log_max_bytes,
        clock=clock,
        left_out=names_of(settings).left_out,
    )


def _sessions(
    settings: MirrorSettings,
    once: bool,
    say: Callable[[str], None],
    stop: threading.Event,
    board: Board,
    log: Log,
    reporter: Reporter,
    clock: Callable[[], float],
) -> str:
    """One session after the other, until one caught up or all is to end. Returns how it ended."""
    is_first = True
    while True:
        over = threading.Event()
        patience = Patience(over, say, board.error, ONCE_PATIENCE if once else None)
        why: Optional[str] = None
        with Client(connection_of(settings.source), say=say) as source, Client(
            connection_of(settings.destination), say=say
        ) as target:
            if is_first:
                preflight(settings, source, target, say, clock())
                is_first = False
            session = Session(settings, once, say, source, target, log, board, patience, over, clock)
            reporter.tend(session, stop)
            try:
                return CAUGHT_UP if session.run() else STOPPED_BY_SIGNAL
            except (Stopping, Anew, NotCovered) as error:
                why = session.lost or str(error)
            except EtcdError:
                if not stop.is_set():  # else it is the end that interrupted something
                    raise
            finally:
                session.close()
                reporter.leave()
        if stop.is_set():
            return STOPPED_BY_SIGNAL
        if session.failed:
            raise session.failed
        say(f"Both clusters are looked at again: {why or 'the session ended'}")
        stop.wait(_PAUSE)
