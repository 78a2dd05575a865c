# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover: the mirror becomes the cluster that clients write to; and the way back.

Handed over is one value of the mirror's state in the destination, which every engine reads before it writes anything: from then
on none does. Before that the mirror must have all that the source has, and the source must have stood still. On the way back,
what was written since is mirrored the other way round, by the same engine. Each run begins with what it finds, so one that was
killed is run again.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace
from typing import Any, Callable, Collection, Dict, List, NamedTuple, Optional, Protocol, Sequence, Tuple

from ..core.errors import EtcdError
from ..core.text import counted, seconds_of
from ..etcd.client import Client
from ..etcd.messages import Compare, Delete
from ..etcd.refusals import Denied
from .applying import Applying
from .engine import run
from .history import readable
from .names import Names, names_of, probe
from .patience import ONCE_PATIENCE, Patience
from .settings import DROP, RESYNC, MirrorSettings, connection_of
from .state import FOLLOW, HANDED, SCAN, State, state_key, stored
from .status import Board, last
from .verified import Verified
from .verify import verify_mirror
from .written import Written, written

LEASES, LATE = "leases", "late"  # losses that can be accepted
SETTLE = 5.0  # seconds in which nobody may write
BACK = "back"  # the folder of the engine that mirrors the other way round
LOOKED, HANDED_OVER, TAKEN_BACK, ALREADY = "looked", "handed over", "taken back", "already"


class Terms(NamedTuple):
    """``confirmed``: it is to be done, and not only looked. ``accept`` are of the losses above; ``settle`` is in seconds."""

    back: bool = False
    confirmed: bool = False
    accept: Collection[str] = ()
    settle: float = SETTLE


def terms_of(name: str, back: bool, confirm: str, accept: Sequence[str], settle: str) -> Terms:
    """As they are given to the command, or the module. EtcdError for what is wrong in them."""
    if confirm not in ("", name):
        raise EtcdError(f"{confirm} is not the mirror's name.", f"confirm with {name}, or leave it out.")
    wrong = [one for one in accept if one not in (LEASES, LATE)]
    if wrong:
        raise EtcdError(f"{wrong[0]!r} is nothing that can be accepted.", f"accept {LEASES} or {LATE}.")
    try:
        return Terms(back, bool(confirm), tuple(accept), seconds_of(settle))
    except ValueError as error:
        raise EtcdError(f"{settle!r} is no length of time.", "give it in seconds, or as 10s or 1m.") from error


class Engine(Protocol):
    """What runs the mirror on this host: its service or timer."""

    def stop(self) -> None: ...

    def start(self) -> None:
        """Now, and after a boot."""

    def disable(self) -> None: ...


class Sight(NamedTuple):
    """``at`` is the destination's revision when the state was written there. ``leases``: those that live in the cluster that is
    left, -1 where nobody may know.
    """

    state: Optional[State]
    at: int
    source: int
    destination: int
    cluster: str
    leases: int


class Cutover(NamedTuple):
    """``result`` is one of the words above, ``revision`` that of the cluster that is left; ``late`` came there after it."""

    result: str
    back: bool
    sight: Sight
    revision: int
    verified: Optional[Verified] = None
    late: Written = Written(0, ())


def cut_over(settings: MirrorSettings, terms: Terms, engine: Engine, say: Callable[[str], None]) -> Cutover:
    """Look, and do it where that is confirmed. EtcdError with the next step where it cannot be; then all is as it was before."""
    sight = look(settings, terms.back)
    refuse(settings, sight, terms)
    revision = sight.state.revision if sight.state else 0
    if is_done(sight, terms.back):
        if terms.confirmed:
            _leave(settings, terms, engine, revision)
        return Cutover(ALREADY, terms.back, sight, revision)
    if not terms.confirmed:
        return Cutover(LOOKED, terms.back, sight, revision)
    engine.stop()
    try:
        done = (_taken_back if terms.back else _handed_over)(settings, sight, terms, say)
    except BaseException:
        if not terms.back:  # what was handed over before stays so
            engine.start()
        raise
    _leave(settings, terms, engine, done.revision)
    return done


def _leave(settings: MirrorSettings, terms: Terms, engine: Engine, revision: int) -> None:
    """This host as it is to be from now on, with the status that stays for whoever asks how the mirror is."""
    if not terms.back:
        engine.disable()
        why = f"it was handed over at revision {revision:,} of its source: clients use the destination"
        _tell(settings, HANDED, why, applied_revision=revision, source_revision=revision)
        return
    told = last(settings.folder)
    if told is not None and told.phase == HANDED:
        _tell(settings, SCAN, "it was taken back, and its engine is to see how it is")
    engine.start()


# ---- what is seen, and whether it may be ---------------------------------------------------------------------------------


def look(settings: MirrorSettings, back: bool) -> Sight:
    """EtcdError where either cluster cannot be asked."""
    key = state_key(settings)
    with Client(connection_of(settings.source)) as source, Client(connection_of(settings.destination)) as target:
        header, page = source.page(probe(settings.source_prefix)).header, target.page(key)
        leases = _leases(target if back else source)
    state = stored(settings, page.kvs[0].value if page.kvs else None)
    at = page.kvs[0].mod_revision if page.kvs else 0
    return Sight(state, at, header.revision, page.header.revision, f"{header.cluster_id:x}", leases)


def _leases(client: Client) -> int:
    try:
        return len(client.leases())
    except Denied:
        return -1


def is_done(sight: Sight, back: bool) -> bool:
    """A mirror that is being compared is one that was taken back before its engine was through with that."""
    handed = sight.state is not None and sight.state.phase == HANDED
    return handed != back


def refuse(settings: MirrorSettings, sight: Sight, terms: Terms) -> None:
    """EtcdError for what must not be, before anything is touched."""
    state = sight.state
    if state is None:
        raise EtcdError("The destination has no state of this mirror.", "run mirror.yml, and wait until it follows.")
    if is_done(sight, terms.back):
        return
    if state.cluster != sight.cluster:
        raise EtcdError(
            f"The mirror was made of cluster {state.cluster}, and the source is {sight.cluster} now: it was restored, or these"
            " are other endpoints.",
            "make sure which cluster is the right one, and mirror that first.",
        )
    if state.phase == SCAN:
        raise EtcdError(
            "The mirror is being compared with its source, and does not have all of it yet.",
            f"wait until quorum-etcd mirror status {settings.name} says that it follows.",
        )
    if settings.leases == DROP and sight.leases and LEASES not in terms.accept:
        leases = "may have leases" if sight.leases < 0 else f"has {counted(sight.leases, 'lease')}"
        raise EtcdError(
            f"The cluster that is left {leases}, and this mirror drops them: keys that are to go by themselves would stay.",
            "set etcd_mirror_leases to keep and wait until it follows again; or, if they may stay, accept 'leases'.",
        )


# ---- there -----------------------------------------------------------------------------------------------------------------


def _handed_over(settings: MirrorSettings, sight: Sight, terms: Terms, say: Callable[[str], None]) -> Cutover:
    def hand_over(left: Client, applying: Applying, state: State) -> None:
        _forget(reversed_settings(settings), left)  # of a way back that was killed at its end
        applying.advance([], replace(state, phase=HANDED))
        say(f"Handed over at revision {state.revision:,} of the source.")

    return Cutover(HANDED_OVER, False, sight, *_left(settings, terms, say, hand_over))


def _left(
    settings: MirrorSettings,
    terms: Terms,
    say: Callable[[str], None],
    hand_over: Callable[[Client, Applying, State], None],
) -> Tuple[int, Verified, Written]:
    """Leave the source of a mirror: when both sides are equal and nobody writes, ``hand_over``. Returns the source's revision
    at which that was, what was compared, and what came to the source after it. EtcdError where it cannot be.
    """
    verified = _equal(settings, terms, say)
    with Client(connection_of(settings.source)) as source, Client(connection_of(settings.destination)) as target:
        applying = _applying(settings, target)
        state = stored(settings, applying.read())
        if state is None or not state.is_exact:
            raise EtcdError("Another engine writes this mirror.", "stop it, and run this again.")
        _refuse_writers(_since(source, names_of(settings), state.revision), "both were equal")
        hand_over(source, applying, state)
        return state.revision, verified, _since(source, names_of(settings), state.revision)


def _equal(settings: MirrorSettings, terms: Terms, say: Callable[[str], None]) -> Verified:
    """Let the mirror catch up, see that the source stands still, and that both sides are equal. EtcdError where they are not."""
    # What is held back on purpose is applied now.
    outcome = run(replace(settings, delay=0, interval=0), True, say, threading.Event())
    say(f"The mirror has {outcome.words}")
    with Client(connection_of(settings.source)) as source, Client(connection_of(settings.destination)) as target:
        time.sleep(terms.settle)
        _refuse_writers(_since(source, names_of(settings), outcome.revision), f"{terms.settle:g} s")
        verified = verify_mirror(settings, source, target, rest=0.0)
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
    """A mirror of the destination to the source, which may overwrite what that has."""
    target = settings.target_prefix.decode()
    return replace(
        settings,
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
    handed_at = sight.state.revision if sight.state else 0
    if sight.destination == sight.at:
        say("Nothing was written to the destination since it was handed over.")
        _put_back(settings, FOLLOW)
        return Cutover(TAKEN_BACK, True, sight, handed_at)
    other = reversed_settings(settings)
    if LATE not in terms.accept:
        _refuse_late(settings, other, handed_at)

    def hand_back(_left: Client, _applying: Applying, _state: State) -> None:
        _put_back(settings, SCAN)
        say("Taken back: the mirror is one again, and is compared with its source.")

    left = _left(other, terms, say, hand_back)
    with Client(connection_of(settings.source)) as old:
        _forget(other, old)
    return Cutover(TAKEN_BACK, True, sight, *left)


def _refuse_late(settings: MirrorSettings, other: MirrorSettings, handed_at: int) -> None:
    """What was written to the old cluster after all would be undone, since it becomes what the new one is.

    A run that was ended before has written there too: up to its own state, or until its comparison is through.
    """
    with Client(connection_of(settings.source)) as old:
        kvs = old.page(state_key(other)).kvs
        begun = stored(other, kvs[0].value if kvs else None)
        if begun is not None and begun.phase == SCAN:
            return
        lost = _since(old, names_of(settings), kvs[0].mod_revision if kvs else handed_at)
    if lost.changes:
        raise EtcdError(
            f"Both clusters were written to since the mirror was handed over: the old one has {counted(lost.changes, 'change')},"
            f" of {lost.in_words}, which going back would undo.",
            "keep by hand what is needed of them, and accept 'late'.",
        )


def _put_back(settings: MirrorSettings, phase: str) -> None:
    """The destination is a mirror again: one that follows from where it was handed over, or one that is to be compared."""
    with Client(connection_of(settings.destination)) as target:
        applying = _applying(settings, target)
        state = stored(settings, applying.read())
        if state is None or state.phase != HANDED:
            raise EtcdError("Somebody else has taken the mirror back meanwhile.", "run this again.")
        applying.advance([], replace(state, phase=phase))


def _forget(settings: MirrorSettings, client: Client) -> None:
    """The state of a mirror that was only needed for a moment."""
    key = state_key(settings)
    for kv in client.page(key).kvs:
        client.commit([Compare(key, kv.value)], [Delete(key)])


# ---- doors ---------------------------------------------------------------------------------------------------------------------


def _applying(settings: MirrorSettings, client: Client) -> Applying:
    return Applying(client, state_key(settings), Patience(threading.Event(), _quiet, _quiet, ONCE_PATIENCE))


def _quiet(_words: str) -> None:
    """What is tried again for a few seconds need not be told."""


def _tell(settings: MirrorSettings, phase: str, why: str, **revisions: int) -> None:
    board = Board(settings.name, settings.folder)
    board.set(**revisions)
    board.begin(phase, why)
    board.write()


# ---- words ---------------------------------------------------------------------------------------------------------------------


def sides(settings: MirrorSettings, back: bool) -> Tuple[Sequence[str], Sequence[str]]:
    """The endpoints of the cluster that is left, and of that which clients are to use."""
    both = settings.source.endpoints, settings.destination.endpoints
    return (both[1], both[0]) if back else both


def told(settings: MirrorSettings, done: Cutover) -> Dict[str, Any]:
    left, taken = sides(settings, done.back)
    return {
        "left": list(left),
        "taken": list(taken),
        "result": done.result,
        "back": done.back,
        "revision": done.revision,
        "source_revision": done.sight.source,
        "destination_revision": done.sight.destination,
        "leases": done.sight.leases,
        "keys": done.verified.source_keys if done.verified else -1,
        "late": done.late.changes,
        "late_keys": [readable(key) for key in done.late.keys],
    }


def in_words(settings: MirrorSettings, done: Cutover) -> List[str]:
    """The plan, or what became of it."""
    if done.result == LOOKED:
        return _plan(settings, done)
    if done.result == ALREADY:
        how = "is a mirror, and was not handed over" if done.back else f"was handed over at revision {done.revision:,}"
        return [f"mirror {settings.name}: nothing to do, the destination {how}"]
    keys = f", {counted(done.verified.source_keys, 'key')} compared and equal" if done.verified else ""
    what = "taken back" if done.back else "HANDED OVER"
    lines = [f"mirror {settings.name}: {what} at revision {done.revision:,}{keys}"]
    if done.late.changes:
        left = "new" if done.back else "old"
        lines.append(
            f"  BUT {counted(done.late.changes, 'change')} came to the {left} cluster after that, of {done.late.in_words}:"
            " stop who writes there, and look at these keys"
        )
    return lines


def _plan(settings: MirrorSettings, done: Cutover) -> List[str]:
    keys = f"keys below {settings.prefix!r}" if settings.prefix else "all keys"
    left, taken = (", ".join(endpoints) for endpoints in sides(settings, done.back))
    way = "back to the old cluster" if done.back else "to the mirror"
    lines = [f"mirror {settings.name}: {way}, {keys}", f"  from  {left}", f"  to    {taken}"]
    if done.back and done.sight.destination == done.sight.at:
        lines.append("  Nothing was written since: the mirror only follows again.")
    elif done.back:
        lines.append(
            "  What was written since the handover is mirrored to the old cluster, which may lose what it alone has."
        )
    else:
        behind = done.sight.source - done.revision
        lines.append(
            f"  The mirror is {counted(behind, 'revision')} behind; it catches up, and both are compared key by key."
        )
        lines.append("  Then no engine writes the destination any more.")
    lines.append("  It is refused while somebody writes to the cluster that is left.")
    lines.append(
        f"  Revisions are each cluster's own ({done.sight.source:,} and {done.sight.destination:,}): clients that remember one,"
        " such as Kubernetes' API servers and controllers, have to be started anew."
    )
    lines.append(
        "  Keys that had a lease have none there. Users and roles are not mirrored."
        if settings.leases == DROP
        else "  Leases go on with the time that they have left: who renews them must be there before. Users and roles are not"
        " mirrored."
    )
    return [*lines, f"  nothing was touched: confirm with the mirror's name, {settings.name}"]
