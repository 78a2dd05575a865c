# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a mirror is, from what its engine and its verifications have written down: for a monitor, without asking a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import List, Optional, Tuple

from ..core.text import counted, duration, seconds_since, span
from ..core.values import TEXT
from ..mirror.reporter import far_of
from ..mirror.settings import MirrorSettings
from ..mirror.state import FOLLOW, HANDED, SCAN
from ..mirror.status import FAILED, MENDING, STOPPED, MirrorStatus
from ..mirror.verified import Verified

OK, NEVER_RUN, SILENT, BROKEN, WAITING, DIFFERS, COPYING, BEHIND, NOT_VERIFIED = (
    "ok",
    "never run",
    "silent",
    "failed",
    "waiting",
    "differs",
    "copying",
    "behind",
    "not verified",
)
# What somebody has to look at now, and what is only not as it should be yet.
BAD = (NEVER_RUN, SILENT, BROKEN, WAITING, DIFFERS)
SOON = (COPYING, BEHIND, NOT_VERIFIED)

PERIOD = 60  # seconds within which an engine that runs has written its status, a dozen times
_LONGEST_RUN = 3600  # seconds that a run by a timer may take before it is missed


@dataclass(frozen=True)
class MirrorHealth:
    """``state`` is one of the words above. ``age`` are the seconds since the engine wrote its status, -1 for never;
    ``verified_age`` those since the last verification, of which ``differences`` are the keys that differed; -1 for never.
    ``max_lag``, in seconds, is on top of ``delay``. ``keys`` are those of the mirror in the destination, as they were counted
    ``keys_age`` seconds ago; -1 for never.
    """

    mirror: str
    state: str
    why: str = field(metadata=TEXT)
    age: int
    max_lag: int
    delay: int
    status: Optional[MirrorStatus] = None
    verified: Optional[Verified] = None
    verified_age: int = -1
    differences: int = -1
    keys: int = -1
    keys_age: int = -1

    @property
    def ok(self) -> bool:
        return self.state == OK


def judge(
    settings: MirrorSettings, status: Optional[MirrorStatus], verified: Optional[Verified], now: float
) -> MirrorHealth:
    """``now`` is in seconds since the epoch."""
    state, why = _verdict(settings, status, verified, now)
    age = seconds_since(status.time, now) if status and status.time else -1
    return MirrorHealth(
        settings.name,
        state,
        why,
        age,
        settings.max_lag,
        settings.delay,
        status,
        verified,
        seconds_since(verified.time, now) if verified else -1,
        verified.differences if verified else -1,
        status.keys if status else -1,
        status.keys_age + max(0, age) if status and status.keys >= 0 else -1,
    )


def of_the_classic(name: str, active: bool) -> MirrorHealth:
    """Of etcd's own tool nobody can tell more than whether it runs."""
    service = f"quorum-etcd-mirror@{name}"
    why = (
        "etcd's own make-mirror runs, and does not tell how far it is" if active else f"see systemctl status {service}"
    )
    return MirrorHealth(name, OK if active else SILENT, why, -1, 0, 0)


def unreadable(name: str, why: str) -> MirrorHealth:
    return MirrorHealth(name, BROKEN, why, -1, 0, 0)


def patience_of(settings: MirrorSettings) -> int:
    """Seconds after which a status that was not written anew is missed."""
    return 2 * settings.interval + _LONGEST_RUN if settings.interval else PERIOD


def _verdict(
    settings: MirrorSettings, status: Optional[MirrorStatus], verified: Optional[Verified], now: float
) -> Tuple[str, str]:
    service = f"quorum-etcd-mirror@{settings.name}"
    if status is None or not status.time:
        return NEVER_RUN, f"its engine has not run: see journalctl -u {service}"
    if status.phase == HANDED:
        return OK, status.why
    age = seconds_since(status.time, now)
    if status.phase == FAILED:
        return BROKEN, status.last_error or status.why
    if age > patience_of(settings) or (status.phase == STOPPED and not settings.interval):
        return SILENT, f"its engine has said nothing for {duration(age)}: see systemctl status {service}"
    if status.last_error:
        return WAITING, status.last_error
    if verified and not verified.equal:
        return DIFFERS, _differing(verified)
    if status.phase not in (FOLLOW, STOPPED):
        return COPYING, _copied(status)
    if status.lag_seconds > settings.delay + settings.max_lag:
        behind = f"it is {duration(status.lag_seconds)} behind, by {counted(status.lag_revisions, 'revision')}"
        return BEHIND, f"{behind}, and {duration(settings.delay + settings.max_lag)} are allowed"
    return _unverified(settings, status, verified, now) or (OK, _following(status))


def _unverified(
    settings: MirrorSettings, status: MirrorStatus, verified: Optional[Verified], now: float
) -> Optional[Tuple[str, str]]:
    """One that has only begun to follow need not have been compared yet."""
    since = verified.time if verified else status.since
    age = seconds_since(since, now) if since else 0
    if not settings.verified_age or age <= settings.verified_age:
        return None
    if verified is None:
        return NOT_VERIFIED, f"it was never compared with its source: run quorum-etcd mirror verify {settings.name}"
    allowed = duration(settings.verified_age)
    return NOT_VERIFIED, f"it was last compared with its source {duration(age)} ago, and {allowed} are allowed"


def _differing(verified: Verified) -> str:
    first = ", ".join(f"{one.key} ({one.how})" for one in verified.differing[:3])
    return f"{counted(verified.differences, 'key')} differed at revision {verified.applied_revision:,}: {first}"


def _copied(status: MirrorStatus) -> str:
    far = far_of(status)
    if far and status.phase == MENDING:
        return f"{far.words}; {status.why}".rstrip("; ")
    if status.phase != SCAN:
        return status.why or f"its engine is {status.phase}"
    of = f" of {status.keys_total:,}" if status.keys_total else ""
    return f"{status.keys_done:,}{of} keys are compared, {status.keys_changed:,} written; {status.why}".rstrip("; ")


def _following(status: MirrorStatus) -> str:
    lag = f"{counted(status.lag_revisions, 'revision')} behind, by {span(status.lag_seconds)}"
    return f"at revision {status.applied_revision:,}, {lag if status.lag_revisions else 'nothing behind'}"


def health_in_words(health: MirrorHealth) -> List[str]:
    """The state first: it is read at night."""
    lines = [f"mirror {health.mirror}: {health.state.upper()} ({health.why})"]
    status, verified = health.status, health.verified
    if status:
        delay = f", held back by {duration(health.delay)}" if health.delay else ""
        lines.append(
            f"  lag       {counted(status.lag_revisions, 'revision')}, {span(status.lag_seconds)}{delay};"
            f" told {duration(max(0, health.age))} ago"
        )
        lines.append(
            f"  engine    {status.phase} since {status.since or '?'}, {counted(status.applied_events, 'change')} applied"
        )
        if health.keys >= 0:
            lines.append(f"  keys      {health.keys:,} in the mirror, counted {duration(health.keys_age)} ago")
        lines += [f"  log       {status.log_bytes:,} bytes"] if status.log_bytes else []
    if verified:
        found = "equal" if verified.equal else f"{counted(verified.differences, 'key')} differ"
        unsettled = f", {verified.unsettled:,} could not be told" if verified.unsettled else ""
        lines.append(
            f"  verified  {duration(health.verified_age)} ago: {found}{unsettled}, of {verified.source_keys:,} keys,"
            f" at revision {verified.applied_revision:,}"
        )
        lines += [f"    {one.how:8}  {one.key}" for one in verified.differing[:10]]
    elif status:
        lines.append("  verified  never")
    return lines
