# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover: the mirror becomes the cluster that clients write to; and the way back.

Handed over is one value of the mirror's state in the destination, which every engine reads before it writes anything: from then
on none does. Before that the mirror must have all that the source has, and the source must have stood still. On the way back,
what was written since is mirrored the other way round, by the same engine. Each run begins with what it finds, so one that was
killed is run again. What fails once that value is put is told with the outcome, and is no reason to say that nothing was done.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import replace
from typing import Callable, Iterator, NamedTuple, Protocol, Tuple

from ..core.durable import alone
from ..core.errors import EtcdError
from ..core.how_far import NowAndThen
from ..core.text import counted
from ..etcd.client import Client
from ..etcd.messages import Compare, Delete
from ..etcd.refusals import Denied, Refused, Unavailable
from .applying import Applying, Overtaken
from .cutover_terms import LATE, Sight, Terms, is_done, refuse
from .cutover_words import ALREADY, HANDED_OVER, LOOKED, TAKEN_BACK, UNKNOWN, Cutover
from .engine import run
from .late import late
from .names import Names, names_of, probe
from .patience import ONCE_PATIENCE, Anew, Patience, Stopping
from .ranges import Side
from .settings import RESYNC, MirrorSettings, connection_of
from .state import FOLLOW, HANDED, SCAN, TAKEN, State, state_key, stored
from .status import Board, last
from .verified import Verified
from .verify import verify_mirror
from .written import Written, written

BACK = "back"  # the folder of the engine that mirrors the other way round, and the end of its mirror's name
_TRIES = 3  # of catching up, since leases that run out delete keys in the meantime


class Engine(Protocol):
    """What runs the mirror on this host: its service or timer."""

    def runs(self) -> bool: ...

    def stop(self) -> None: ...

    def start(self) -> None:
        """Now, and after a boot."""

    def disable(self) -> None: ...


class Running(EtcdError):
    """Another cutover of the mirror is at work on this host."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"A cutover of {name} runs on this host already.",
            "wait until it has ended, and run this again.",
            running=True,
        )


class Unknown(Exception):
    """It was sent that clients are to use the other cluster, and nobody knows whether that has landed."""


class _Left(NamedTuple):
    """At which revision a cluster was left, what was compared before, what came there after it, and what went wrong then."""

    revision: int
    verified: Verified
    late: Written
    problem: str


def cut_over(settings: MirrorSettings, terms: Terms, engine: Engine, say: Callable[[str], None]) -> Cutover:
    """Look, and do it where that is confirmed. EtcdError with the next step where it cannot be; then all is as it was before.

    Running where another one is at work here, whether it is to be done or only looked at.
    """
    with _alone(settings, terms):
        sight = look(settings, terms.back)._replace(runs=engine.runs())
        refuse(settings, sight, terms)
        if is_done(sight, terms.back):
            return _done(settings, sight, terms, engine)
        if not terms.confirmed:
            return Cutover(LOOKED, terms.back, sight, sight.revision)
        engine.stop()
        try:
            done = (_taken_back if terms.back else _handed_over)(settings, sight, terms, say)
        except Unknown as error:
            return Cutover(UNKNOWN, terms.back, sight, sight.revision, problem=f"{error}: run this again.")
        except BaseException:
            if not terms.back:  # what was handed over before stays so
                engine.start()
            raise
        return _settled(settings, done, engine)


@contextlib.contextmanager
def _alone(settings: MirrorSettings, terms: Terms) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            if terms.confirmed:
                os.makedirs(settings.folder, mode=0o755, exist_ok=True)
            stack.enter_context(alone(settings.folder, wait=False))
        except FileNotFoundError:  # nobody has ever been at work here
            pass
        except BlockingIOError:
            raise Running(settings.name) from None
        except OSError as error:
            raise EtcdError(
                f"{settings.folder} cannot be used: {error.strerror}.", "name another state_dir."
            ) from error
        yield


def _done(settings: MirrorSettings, sight: Sight, terms: Terms, engine: Engine) -> Cutover:
    """Of one that is done already: what has come to the cluster that was left, and the rest of what a killed run had to do."""
    done = Cutover(ALREADY, terms.back, sight, sight.revision)
    if not terms.back and not sight.silent and sight.source > sight.revision:
        done = done._replace(late=_late_in_source(settings, sight.revision, sight.at))
    return _settled(settings, done, engine) if terms.confirmed else done


def _settled(settings: MirrorSettings, done: Cutover, engine: Engine) -> Cutover:
    """This host as it is to be from now on, with the status that stays for whoever asks how the mirror is.

    A mirror that was taken back is not begun while its destination has what the old cluster lacks: it would be undone.
    """
    try:
        if done.back and not done.late.changes:
            told = last(settings.folder)
            if told is not None and told.phase == HANDED:
                _tell(settings, SCAN, "it was taken back, and its engine is to see how it is")
            engine.start()
        elif not done.back:
            engine.disable()
            why = f"it was handed over at revision {done.revision:,} of its source: clients use the destination"
            _tell(settings, HANDED, why, applied_revision=done.revision, source_revision=done.revision)
    except (EtcdError, OSError) as error:
        return done._replace(problem=f"{done.problem} The mirror's engine is not as it is to be: {error}".strip())
    return done


def _tell(settings: MirrorSettings, phase: str, why: str, **revisions: int) -> None:
    board = Board(settings.name, settings.folder)
    board.set(**revisions)
    board.begin(phase, why)
    board.write()


# ---- what is seen --------------------------------------------------------------------------------------------------------


def look(settings: MirrorSettings, back: bool) -> Sight:
    """EtcdError where the destination cannot be asked; a source that does not answer is told."""
    with Client(connection_of(settings.source)) as source, Client(connection_of(settings.destination)) as target:
        page = target.page(state_key(settings))
        state = stored(settings, page.kvs[0].value if page.kvs else None)
        at = page.kvs[0].mod_revision if page.kvs else 0
        try:
            header = source.page(probe(settings.source_prefix)).header
        except Unavailable as error:
            heard = last(settings.folder)
            revision = max(heard.source_revision if heard else 0, state.revision if state else 0)
            return Sight(state, at, revision, page.header.revision, "", -1, silent=str(error))
        left = target if back else source
        urls = _urls(left)
        return Sight(state, at, header.revision, page.header.revision, f"{header.cluster_id:x}", _leases(left), urls)


def _leases(client: Client) -> int:
    try:
        return len(client.leases())
    except Denied:
        return -1


def _urls(client: Client) -> Tuple[str, ...]:
    with contextlib.suppress(Denied, Unavailable, Refused):
        return tuple(url for member in client.members() for url in member.client_urls)
    return ()


# ---- there -----------------------------------------------------------------------------------------------------------------


def _handed_over(settings: MirrorSettings, sight: Sight, terms: Terms, say: Callable[[str], None]) -> Cutover:
    if sight.silent:
        return _handed_over_alone(settings, sight, say)

    def hand_over(source: Client, applying: Applying, state: State) -> None:
        _forget(reversed_settings(settings), source)  # of a way back that was killed at its end
        _commit(settings, applying, state, replace(state, phase=HANDED))
        say(f"Handed over at revision {state.revision:,} of the source.")

    left = _left(settings, terms, say, hand_over)
    return Cutover(HANDED_OVER, False, sight, left.revision, left.verified, left.late, left.problem)


def _handed_over_alone(settings: MirrorSettings, sight: Sight, say: Callable[[str], None]) -> Cutover:
    """Its source is lost. From here on no engine undoes what clients write, should the source come back."""
    with Client(connection_of(settings.destination)) as target:
        applying = _applying(settings, target)
        state = stored(settings, applying.read())
        if state is None or state.phase != FOLLOW:
            raise EtcdError("Another engine writes this mirror.", "stop it, and run this again.")
        _commit(settings, applying, state, replace(state, phase=HANDED))
    say(f"Handed over at revision {state.revision:,} of the source, which does not answer.")
    return Cutover(HANDED_OVER, False, sight, state.revision)


def _left(
    settings: MirrorSettings,
    terms: Terms,
    say: Callable[[str], None],
    hand_over: Callable[[Client, Applying, State], None],
) -> _Left:
    """Leave the source of a mirror: when both sides are equal and nobody writes, ``hand_over``. EtcdError where it cannot be."""
    verified = _equal(settings, terms, say)
    with Client(connection_of(settings.source)) as source, Client(connection_of(settings.destination)) as target:
        applying = _applying(settings, target)
        state = stored(settings, applying.read())
        if state is None or not state.is_exact:
            raise EtcdError("Another engine writes this mirror.", "stop it, and run this again.")
        _refuse_writers(_since(source, names_of(settings), state.revision), "both were equal")
        hand_over(source, applying, state)
        return _Left(state.revision, verified, *_after(source, names_of(settings), state.revision))


def _after(left: Client, names: Names, revision: int) -> Tuple[Written, str]:
    """What came to the cluster that is left, and why that could not be said. It is left already: nothing is raised."""
    try:
        return _since(left, names, revision), ""
    except EtcdError as error:
        return Written(-1, ()), f"Nobody can say whether somebody has written to the cluster that was left: {error}"


def _equal(settings: MirrorSettings, terms: Terms, say: Callable[[str], None]) -> Verified:
    """Let the mirror catch up, see that the source stands still, and that both sides are equal. EtcdError where they are not."""
    for left in range(_TRIES)[::-1]:
        # What is held back on purpose is applied now.
        outcome = run(replace(settings, delay=0, interval=0), True, say, threading.Event())
        say(f"The mirror has {outcome.words}")
        with Client(connection_of(settings.source)) as source, Client(connection_of(settings.destination)) as target:
            time.sleep(terms.settle)
            found = _since(source, names_of(settings), outcome.revision)
            if found.changes and left:
                say(f"{counted(found.changes, 'change')} came meanwhile, of {found.in_words}: it catches up once more.")
                continue
            _refuse_writers(found, f"{terms.settle:g} s")
            return _verified(settings, source, target, say)
    raise AssertionError("the last try refuses or returns")


def _verified(settings: MirrorSettings, source: Client, target: Client, say: Callable[[str], None]) -> Verified:
    now_and_then = NowAndThen(say)
    verified = verify_mirror(settings, source, target, lambda far: now_and_then(f"{far.words}."), rest=0.0)
    if not verified.equal or verified.unsettled:
        keys = ", ".join(one.key for one in verified.differing[:5])
        raise EtcdError(
            f"The two clusters are not equal: {counted(verified.differences, 'key')} differ, of {verified.unsettled:,} more it"
            f" cannot be told{': ' if keys else ''}{keys}.",
            "see who else writes to the mirror, let it be compared anew, and run this again.",
        )
    say(f"Both clusters are equal: {counted(verified.source_keys, 'key')}.")
    return verified


def _since(client: Client, names: Names, revision: int) -> Written:
    """What was written below the mirror's prefix after a revision, up to now."""
    now = client.page(probe(names.source)).header.revision
    return written(client, names.source, names.left_out, revision, now)


def _refuse_writers(found: Written, when: str) -> None:
    if found.changes:
        raise EtcdError(
            f"Somebody still writes: {counted(found.changes, 'change')} since {when}, of {found.in_words}.",
            "stop whoever writes these keys (leases that run out delete theirs), and run this again.",
        )


# ---- and back ----------------------------------------------------------------------------------------------------------------


def reversed_settings(settings: MirrorSettings) -> MirrorSettings:
    """A mirror of the destination to the source, which may overwrite what that has. Its name is its own: the source may be
    another mirror's destination."""
    target = settings.target_prefix.decode()
    return replace(
        settings,
        name=f"{settings.name}.{BACK}",
        source=settings.destination,
        destination=settings.source,
        prefix=target,
        destination_prefix=settings.prefix,
        exclude=tuple(target + one[len(settings.prefix) :] for one in settings.exclude),
        on_restore=RESYNC,
        overwrite=True,
        keep_log=False,
        delay=0,
        interval=0,
        metrics_dir="",
        state_dir=os.path.join(settings.folder, BACK),
    )


def _taken_back(settings: MirrorSettings, sight: Sight, terms: Terms, say: Callable[[str], None]) -> Cutover:
    other = reversed_settings(settings)
    if not sight.was_written_since:
        time.sleep(terms.settle)
        with Client(connection_of(settings.destination)) as new:
            if new.page(probe(settings.target_prefix)).header.revision == sight.at:
                say("Nothing was written to the destination since it was handed over.")
                _take_back(settings, new, say)
                return Cutover(TAKEN_BACK, True, sight, sight.at, None, *_after(new, names_of(other), sight.at))
    _judge_late(settings, other, sight, terms)
    left = _left(other, terms, say, lambda new, _old, _state: _take_back(settings, new, say))
    with Client(connection_of(settings.source)) as old, contextlib.suppress(EtcdError):
        _forget(other, old)  # if it stays, the next handover forgets it
    return Cutover(TAKEN_BACK, True, sight, left.revision, left.verified, left.late, left.problem)


def _take_back(settings: MirrorSettings, target: Client, say: Callable[[str], None]) -> None:
    """The destination is a mirror again, which its engine is to compare with the source first."""
    applying = _applying(settings, target)
    state = stored(settings, applying.read())
    if state is None or state.phase not in (HANDED, TAKEN):
        raise EtcdError("Somebody else has taken the mirror back meanwhile.", "run this again.")
    _commit(settings, applying, state, replace(state, phase=TAKEN, epoch=_epoch()))
    say("Taken back: the mirror is one again, and is compared with its source.")


def _judge_late(settings: MirrorSettings, other: MirrorSettings, sight: Sight, terms: Terms) -> None:
    """What was written to the old cluster after all would be undone, since it becomes what the new one is: EtcdError.

    Where that is accepted, both are compared anew, whatever a run that was ended has done.
    """
    with Client(connection_of(settings.source)) as old:
        if LATE in terms.accept:
            _forget(other, old)
            return
        kvs = old.page(state_key(other)).kvs
        begun = stored(other, kvs[0].value if kvs else None)
    # What a run that was ended has written itself is no loss. In the middle of its comparison it cannot be told apart.
    since = kvs[0].mod_revision if begun is not None and begun.phase != SCAN else sight.revision
    found = _late_in_source(settings, since, sight.at)
    if found.changes:
        raise EtcdError(
            f"The old cluster was written to after it was left, and going back would undo that:"
            f" {counted(found.changes, 'key')} there, such as {found.in_words}.",
            "keep by hand what is needed of them, and accept 'late'.",
        )


def _late_in_source(settings: MirrorSettings, since: int, until: int) -> Written:
    names = names_of(settings)
    with Client(connection_of(settings.source)) as source, Client(connection_of(settings.destination)) as target:
        return late(Side(source, names.source), Side(target, names.target), names.left_out_names(), since, until)


def _forget(settings: MirrorSettings, client: Client) -> None:
    """The state of a mirror that was only needed for a moment."""
    key = state_key(settings)
    for kv in client.page(key).kvs:
        client.commit([Compare(key, kv.value)], [Delete(key)])


# ---- the one value ----------------------------------------------------------------------------------------------------


def _commit(settings: MirrorSettings, applying: Applying, now: State, then: State) -> None:
    """Put a state for the one that was read. EtcdError where it is surely not put, Unknown where nobody knows."""
    try:
        applying.advance([], then)
    except Overtaken:
        raise
    except (EtcdError, Anew, Stopping) as error:
        if not _has_landed(settings, now, then, str(error)):
            raise EtcdError(f"It could not be put: {error}", "see to the destination, and run this again.") from error


def _has_landed(settings: MirrorSettings, now: State, then: State, why: str) -> bool:
    """Where it has not, it cannot any more: the state is put anew. Unknown where the destination does not answer."""
    try:
        with Client(connection_of(settings.destination)) as target:
            applying = _applying(settings, target)
            found = stored(settings, applying.read())
            if found == then:
                return True
            if found != now:
                raise Overtaken
            applying.advance([], replace(now, epoch=_epoch()))
            return False
    except (EtcdError, Anew, Stopping) as error:
        raise Unknown(f"the destination was told, and has not answered since ({why})") from error


def _epoch() -> str:
    return os.urandom(8).hex()


def _applying(settings: MirrorSettings, client: Client) -> Applying:
    return Applying(client, state_key(settings), Patience(threading.Event(), _quiet, _quiet, ONCE_PATIENCE))


def _quiet(_words: str) -> None:
    """What is tried again for a few seconds need not be told."""
