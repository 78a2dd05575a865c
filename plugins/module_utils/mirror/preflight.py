# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would not work between these two clusters, told before anything is written: pure, of what ``survey`` has seen."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Sequence, Tuple

from ..core.job import Findings
from ..core.text import duration, listed, printable
from ..etcd.hazards import INCONSISTENT_DATA, met_by
from ..etcd.messages import prefix_range
from ..etcd.versions import Version, parse_version, tells_progress
from ..etcd.wire import Permission
from .governor import NEAR
from .names import overlap
from .settings import MirrorSettings

OLDEST = (3, 4, 0)
SOON = 14 * 86400  # seconds before its end in which a certificate is warned of

Range = Tuple[bytes, bytes]


class Access(NamedTuple):
    """What the mirror's user may do on a side. ``user`` is empty where nobody could be told, or there are no users.

    ``denied``: etcd's own words when what the mirror does was tried, empty where it may. ``all``: nothing is known
    to be forbidden. ``trouble``: what else a transaction met that never does anything.
    """

    user: str = ""
    roles: Sequence[str] = ()
    permissions: Sequence[Permission] = ()
    all: bool = True
    denied: str = ""
    trouble: str = ""


class Looked(NamedTuple):
    """One side as it was seen; ``cluster_id`` is 0 where nobody has answered.

    ``silent``: by endpoint, why it gave no answer; ``certificates``: when each ends, in seconds since the epoch; ``begun``: this
    mirror has been here before; ``shallow``: its history is compacted to less than an engine follows.
    """

    cluster_id: int = 0
    versions: Mapping[str, str] = {}
    silent: Mapping[str, str] = {}
    learners: Sequence[str] = ()
    alarms: Sequence[str] = ()
    access: Access = Access()
    certificates: Mapping[str, float] = {}
    begun: bool = False
    shallow: bool = False


def judge(settings: MirrorSettings, source: Looked, destination: Looked, now: float, findings: Findings) -> None:
    """What is refused and warned of goes into ``findings``, with the side as its host."""
    for side, seen in (("source", source), ("destination", destination)):
        _endpoints(side, seen, findings)
        _versions(side, seen, findings)
        _certificates(side, seen, now, findings)
    _access("source", source.access, settings.source_prefix, False, findings)
    _access("destination", destination.access, settings.target_prefix, True, findings)
    _alarms(source, destination, findings)
    _compaction(settings, source, findings)
    same = source.cluster_id and source.cluster_id == destination.cluster_id
    if same and overlap(settings.source_prefix, settings.target_prefix):
        findings.refuse(
            f"source and destination are the same cluster, {source.cluster_id:x}, and the same keys.",
            "name another destination, or an etcd_mirror_destination_prefix outside the prefix.",
        )


def _endpoints(side: str, seen: Looked, findings: Findings) -> None:
    for endpoint, why in sorted(seen.silent.items()):
        findings.warn(f"{endpoint} does not answer: {why}", side)
    if seen.learners and len(seen.learners) == len(seen.versions):
        findings.refuse(
            f"{listed(sorted(seen.learners))} is a learner, and a learner serves nobody.",
            "name a voter's endpoint, or promote the learner.",
            side,
        )
    elif seen.learners:
        findings.warn(
            f"{listed(sorted(seen.learners))} is a learner, and of no use to the mirror until it is promoted.", side
        )


def _versions(side: str, seen: Looked, findings: Findings) -> None:
    known: List[Tuple[Version, str]] = sorted((parse_version(text), at) for at, text in seen.versions.items())
    for version, endpoint in known:
        if version < OLDEST:
            findings.refuse(f"{endpoint} is etcd {version}, older than 3.4.", "upgrade that cluster first.", side)
        hazard = met_by(INCONSISTENT_DATA, [str(version)])
        if hazard:
            findings.warn(f"{endpoint}: {' '.join(hazard)}", side)
    if side == "source" and known and not tells_progress(known[0][0]):
        findings.warn(
            f"{known[0][1]} is etcd {known[0][0]}, which cannot say how far a quiet watch is: the lag is told late.",
            side,
        )


def _certificates(side: str, seen: Looked, now: float, findings: Findings) -> None:
    for what, end in sorted(seen.certificates.items()):
        left = end - now
        if left <= 0:
            findings.refuse(
                f"{what} has ended {duration(-left)} ago.", "renew it; it is read anew without a restart.", side
            )
        elif left < SOON:
            findings.warn(f"{what} ends in {duration(left)}.", side)


def _access(side: str, access: Access, prefix: bytes, writes: bool, findings: Findings) -> None:
    missing = [] if access.all else lacking(access.permissions, prefix_range(prefix), writes)
    if not access.denied and not missing:
        if access.trouble:
            findings.refuse(access.trouble, "mend the destination first.", side)
        return
    who = f"the user {access.user}" if access.user else "who the mirror logs in as"
    does = "read and write" if writes else "read"
    where = f"below {_shown(prefix)}" if prefix else "of the whole cluster"
    why = access.denied or f"its roles do not reach from {_shown(missing[0][0])} to {_shown(missing[0][1])}"
    kind = "readwrite" if writes else "read"
    role = access.roles[0] if access.roles else "ROLE"
    findings.refuse(
        f"{who} may not {does} all keys {where}: {why.rstrip('.')}.",
        f"etcdctl role grant-permission {role} {kind} --prefix=true {_shown(prefix)}, by root.",
        side,
    )


def _alarms(source: Looked, destination: Looked, findings: Findings) -> None:
    for alarm in sorted(set(destination.alarms)):
        if alarm == "NOSPACE" and destination.begun:
            findings.warn(
                "it is full, and is waited for: compact and defragment it, and disarm the alarm.", "destination"
            )
            continue
        findings.refuse(
            f"it has the alarm {alarm}, with which it takes no writes.",
            "compact and defragment it and disarm the alarm; or restore it, if its data differ.",
            "destination",
        )
    if "CORRUPT" in source.alarms:
        findings.refuse(
            "it has the alarm CORRUPT: its members hold different data.",
            "find and replace the member that is wrong.",
            "source",
        )
    elif source.alarms:
        findings.warn(f"it has the alarm {listed(sorted(set(source.alarms)))}.", "source")


def _compaction(settings: MirrorSettings, source: Looked, findings: Findings) -> None:
    """Only where the engine needs what happened while it was away: else it compares, and misses nothing."""
    if source.shallow and settings.keep_log:
        findings.warn(
            f"its history is compacted to less than {NEAR:,} revisions: what happens while no engine reads for longer than it"
            " goes back will be missing in the log.",
            "source",
        )


def lacking(permissions: Sequence[Permission], wanted: Range, writes: bool) -> List[Range]:
    """The parts of a range that these permissions together do not reach. An end of one zero byte is behind all keys."""
    spans = sorted(
        (one.key, one.end or one.key + b"\0") for one in permissions if one.reads and (one.writes or not writes)
    )
    begin, end = wanted
    begin = b"" if begin == b"\0" else begin  # what etcdctl grants for all keys begins with either
    gaps: List[Range] = []
    for start, stop in spans:
        start = b"" if start == b"\0" else start
        if not _before(begin, end):
            break
        if start > begin:
            if not _before(start, end):
                break
            gaps.append((begin, start))
            begin = start
        if stop == b"\0":
            return gaps
        begin = max(begin, stop)
    return [*gaps, (begin, end)] if _before(begin, end) else gaps


def _before(key: bytes, end: bytes) -> bool:
    return end == b"\0" or key < end


def _shown(key: bytes) -> str:
    """A key as a word for the shell, where it can be one."""
    text = printable(key.decode("utf-8", "backslashreplace"))
    return "'" + text.replace("'", "'\\''") + "'"
