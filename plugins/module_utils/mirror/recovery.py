# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A recovery as it is asked for, by a mirror's settings: from the mirror's log, or from the mirror itself, which is behind."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, Dict, List, NamedTuple, Optional

from ..core.errors import EtcdError
from ..core.how_far import Told
from ..core.text import counted, rfc3339
from ..etcd.client import Client
from .history import log_folder, readable
from .log_place import Keys, Place, place_at
from .moments import moment
from .names import names_of, probe
from .recovering import TOLD, Etcd, Outcome, Plan, do, plan_from_log, plan_from_mirror
from .settings import MirrorSettings, connection_of
from .state import FOLLOW, HANDED, state_key, stored
from .status import last

_SHOWN = 20  # keys in words


@dataclass(frozen=True)
class Wish:
    """Which keys (one of the three) are to be again as they were ``at`` a time, at a ``revision``, or as the mirror has them.

    ``partly``: keys of which nobody knows what they were are left as they are, and the others brought back.
    """

    key: Optional[bytes] = None
    prefix: Optional[bytes] = None
    everything: bool = False
    at: str = ""
    revision: int = 0
    from_mirror: bool = False
    partly: bool = False

    def keys(self, mirrored: bytes) -> Keys:
        """``mirrored`` is the prefix of all keys that the mirror has."""
        if [self.key is not None, self.prefix is not None, self.everything].count(True) != 1:
            raise EtcdError("which keys is not said, or more than once.", "name one key, one prefix, or everything.")
        if self.key == b"" or self.prefix == b"":
            raise EtcdError("the key or prefix is empty.", "say that it is everything, if it is.")
        return Keys(self.key, True) if self.key is not None else Keys(mirrored if self.prefix is None else self.prefix)


class Recovery(NamedTuple):
    """``outcome`` is None for one that was only looked at."""

    name: str
    keys: Keys
    plan: Plan
    from_mirror: bool
    outcome: Optional[Outcome]


def recover(settings: MirrorSettings, wish: Wish, confirmed: bool, now: float, progress: Told) -> Recovery:
    """Look what it takes, and do it where it is confirmed. EtcdError, before anything is touched, where it cannot be.
    ``progress`` gets how far either is.
    """
    keys = wish.keys(settings.source_prefix)
    if [bool(wish.at), bool(wish.revision), wish.from_mirror].count(True) != 1:
        raise EtcdError(
            "how the keys are to be is not said, or more than once.",
            "give a time, a revision, or say: from the mirror.",
        )
    status = last(settings.folder)
    if status is not None and status.phase == HANDED:
        raise _left(status.applied_revision)
    with Client(connection_of(settings.source)) as source:
        if wish.from_mirror:
            with Client(connection_of(settings.destination)) as mirror:
                plan = _from_mirror(settings, source, mirror, keys, progress)
                outcome = do(source, plan, progress) if confirmed else None
        else:
            plan = _from_log(settings, source, keys, wish, now, progress)
            outcome = do(source, plan, progress) if confirmed else None
    return Recovery(settings.name, keys, plan, wish.from_mirror, outcome)


def _left(revision: int) -> EtcdError:
    return EtcdError(
        f"clients have left the source at its revision {revision:,}, and what is brought back there is not where they are.",
        "see what was changed (quorum-etcd log show), and put it right in the destination; or go back (mirror_cutover.yml).",
    )


def _from_log(settings: MirrorSettings, source: Etcd, keys: Keys, wish: Wish, now: float, progress: Told) -> Plan:
    folder = log_folder(settings.folder)
    cluster = source.page(probe(settings.source_prefix)).header.cluster_id
    at = moment(wish.at, now) if wish.at else None
    place = place_at(folder, cluster, keys, at, wish.revision, now)
    return plan_from_log(source, folder, place, keys, names_of(settings).left_out, wish.partly, told=progress)


def _from_mirror(settings: MirrorSettings, source: Etcd, mirror: Etcd, keys: Keys, progress: Told) -> Plan:
    """The mirror's state and its keys are read at one revision of its own."""
    page = mirror.page(state_key(settings))
    state = stored(settings, page.kvs[0].value if page.kvs else None)
    if state is None:
        raise EtcdError(
            f"the destination has no state of the mirror {settings.name}.", "see quorum-etcd mirror status."
        )
    cluster = source.page(probe(settings.source_prefix)).header.cluster_id
    if state.phase == HANDED:
        raise _left(state.revision)
    if state.phase != FOLLOW:
        raise EtcdError(
            "the mirror is being compared with its source, and is not as the source was at any time.",
            "wait until it follows again, or bring the keys back from the log.",
        )
    if state.cluster != f"{cluster:x}":
        raise EtcdError(
            f"the mirror is one of cluster {state.cluster}, and the source is cluster {cluster:x} now.",
            "bring the keys back from a snapshot.",
        )
    names = names_of(settings)
    place = Place(cluster, state.revision, 0.0)
    both, held = (names.source, names.target), page.header.revision
    return plan_from_mirror(source, mirror, place, keys, both, names.left_out, held, progress)


# ---- as data and in words ------------------------------------------------------------------------------------------------


def told(recovery: Recovery) -> Dict[str, Any]:
    plan, outcome = recovery.plan, recovery.outcome
    difference = plan.difference
    return {
        "result": "done" if outcome else "looked",
        "name": recovery.name,
        "keys": str(recovery.keys),
        "revision": plan.place.revision,
        "at": rfc3339(plan.place.wall) if plan.place.wall else "",
        "source_revision": plan.source_revision,
        "created": difference.created,
        "changed": difference.changed,
        "deleted": difference.deleted,
        "differing": [
            {"what": what, "key": readable(key), "key_base64": base64.b64encode(key).decode()}
            for what, key in difference.keys
        ],
        "unknown": [readable(key) for key in plan.left[:TOLD]],
        "done": outcome.done if outcome else 0,
        "meanwhile": [readable(key) for key in outcome.meanwhile[:TOLD]] if outcome else [],
        "leases_ended": outcome.ended if outcome else 0,
    }


def in_words(recovery: Recovery) -> List[str]:
    plan, outcome = recovery.plan, recovery.outcome
    difference = plan.difference
    when = f", read at {rfc3339(plan.place.wall)}" if plan.place.wall else ""
    whence = "the mirror" if recovery.from_mirror else "the log"
    lines = [
        f"{recovery.keys}, as of revision {plan.place.revision:,}{when}, from {whence};"
        f" the source is at {plan.source_revision:,}",
        f"  {difference.created:,} to create, {difference.changed:,} to change, {difference.deleted:,} to delete",
        *[f"    {what:6} {readable(key)}" for what, key in difference.keys[:_SHOWN]],
    ]
    if difference.total > _SHOWN:
        lines.append(f"    and {difference.total - _SHOWN:,} more")
    lines += [f"  left as it is, since nobody knows what it was: {readable(key)}" for key in plan.left[:_SHOWN]]
    if outcome is None:
        done = f"  nothing was touched: confirm with the mirror's name, {recovery.name}" if difference.total else ""
        return [*lines, *([done] if done else ["  nothing to do: it is as it was"])]
    lines.append(f"  {counted(outcome.done, 'key')} brought back")
    if outcome.ended:
        lines.append(f"  without their leases, of which {outcome.ended:,} had ended")
    lines += [
        f"  NOT brought back, since it was changed meanwhile: {readable(key)}" for key in outcome.meanwhile[:_SHOWN]
    ]
    if len(outcome.meanwhile) > _SHOWN:
        lines.append(f"  and {len(outcome.meanwhile) - _SHOWN:,} more")
    return lines
