# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What goes wrong with which version of etcd: one table for all jobs. What a version *can* do is in ``versions``.

Each row was read in etcd's issues, change logs or sources. A row says when it matters, and what it means for a job that does
that: it refuses the job, it is a warning, or this collection keeps out of its way by itself (``HANDLED``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ..core.errors import EtcdError
from ..core.job import Findings
from .versions import Version, parse_version

# When a hazard matters: on such a version at any time, or while this is done. ``UPGRADE`` is from such a version; ``STATUS``
# is what is only said where somebody asks how a cluster is.
ALWAYS, STATUS = "always", "status"
MEMBERSHIP, PROMOTION, START = "a change of the membership", "a promotion", "a start"
DEFRAGMENTATION, UPGRADE, MIRROR = "a defragmentation", "an upgrade", "a mirror"
RESTORE, MIGRATION, AUTHENTICATION = "a restore", "a migration from v2", "authentication"

REFUSES, WARNS, HANDLED = "refuses", "warns", "handled"

# Those that a job asks for by name.
ADDITION_NEEDS_ALL, INCONSISTENT_DATA = "addition-needs-all", "inconsistent-data"

_LINES = ("3.4", "3.5", "3.6", "3.7")


class Patches(NamedTuple):
    """The patch versions of a line that have a hazard: from ``first`` up to and without ``cured``, None for none yet."""

    line: str
    first: int = 0
    cured: Optional[int] = None

    def has(self, version: Version) -> bool:
        below = self.cured is None or version.patch < self.cured
        return version.line == self.line and version.patch >= self.first and below


@dataclass(frozen=True)
class Hazard:
    """``what`` goes on from the words ``etcd 3.5.1``; ``do`` is what to do about it, which curing comes on top of.

    ``issue`` is whose number; empty where a change log has it alone.
    """

    id: str
    what: str
    issue: str
    patches: Sequence[Patches]
    during: Sequence[str]
    do: str
    effect: str = WARNS

    def has(self, version: Version) -> bool:
        return any(patches.has(version) for patches in self.patches)

    def matters(self, during: Iterable[str]) -> bool:
        return ALWAYS in self.during or bool(set(during) & set(self.during))

    def cure(self, version: Version) -> str:
        """The first version of the same line without it; empty where there is none, or it is none of this version's."""
        cured = [patches.cured for patches in self.patches if patches.has(version)]
        return f"{version.line}.{cured[0]}" if cured and cured[0] is not None else ""

    def cause(self, version: Version) -> str:
        return f"etcd {version} {self.what}{f' ({self.issue})' if self.issue else ''}."

    def next_step(self, version: Version) -> str:
        cure = self.cure(version)
        return " ".join(
            part for part in (self.do, f"Upgrade to {cure} or later, which cures it." if cure else "") if part
        )


def _all(*but: Patches) -> Sequence[Patches]:
    """Every line, whole, but for those that are given."""
    own = {patches.line: patches for patches in but}
    return [own.get(line, Patches(line)) for line in _LINES]


HAZARDS: Sequence[Hazard] = (
    Hazard(
        INCONSISTENT_DATA,
        "can corrupt data under load: members come to differ, and no alarm is raised",
        "etcd #13766",
        [Patches("3.5", 0, 3)],
        [ALWAYS],
        "Compare the members' hashes, and do not kill a member under load.",
    ),
    Hazard(
        "defragmented-while-it-receives",
        "corrupts its data where it is defragmented while it receives a snapshot from the leader",
        "etcd #20271",
        [Patches("3.4", 0, 38), Patches("3.5", 0, 23), Patches("3.6", 0, 5)],
        [DEFRAGMENTATION, MEMBERSHIP],
        "Let nothing defragment a member that is new or catches up.",
    ),
    Hazard(
        "promotion-not-stored",
        "does not write a promotion to its database, so that the voter is a learner again under 3.6",
        "etcd #19557",
        [Patches("3.5", 1, 20)],
        [PROMOTION, UPGRADE],
        "Before an upgrade to 3.6 compare the member list with what the database holds.",
    ),
    Hazard(
        "promotion-lost-by-snapshot",
        "hands a promotion that is not in its database on, in the snapshots that it sends",
        "etcd #20793",
        [Patches("3.5", 1, 25)],
        [PROMOTION, UPGRADE],
        "Before an upgrade to 3.6 compare the member list with what the database holds.",
    ),
    Hazard(
        "removed-come-back",
        "keeps removed members in its database, and they come back under 3.6",
        "etcd #20967",
        [Patches("3.5", 0, 27)],
        [MEMBERSHIP, UPGRADE],
        "Before an upgrade to 3.6 compare the member list with what the database holds.",
    ),
    Hazard(
        "restored-with-old-members",
        "has an etcdctl that restores a snapshot with its old members in the database, and they come back under 3.6",
        "etcd #20967",
        [Patches("3.4")],
        [UPGRADE],
        "Restore with etcdutl 3.5 or later where the host has it; upgrade inside 3.5 first.",
    ),
    Hazard(
        "start-replays-promotion",
        "does not start where its log has a promotion in it, so that a new member, or one that restarts, stays down",
        "etcd #20387",
        [Patches("3.6", 0, 4)],
        [PROMOTION],
        "",
        REFUSES,
    ),
    Hazard(
        "promotion-asked-of-a-follower",
        "refuses a promotion that a follower is asked for while authentication is on",
        "etcd #20874, #21494",
        [Patches("3.4"), Patches("3.5", 0, 28), Patches("3.6", 0, 6)],
        [PROMOTION],
        "Ask the leader.",
        HANDLED,
    ),
    Hazard(
        "updated-learner",
        "forgets that a learner is one when its peer URLs are updated, and it can never be promoted",
        "etcd #21694",
        [Patches("3.4"), Patches("3.5", 0, 31), Patches("3.6", 0, 12)],
        [MEMBERSHIP],
        "Never update a learner: remove it, and add it with the right URLs.",
        HANDLED,
    ),
    Hazard(
        "forced-new-cluster-keeps-learners",
        "keeps learners where it is started with --force-new-cluster",
        "etcd #20896",
        [Patches("3.5", 0, 25), Patches("3.6", 0, 6)],
        [RESTORE],
        "Count the voters afterwards.",
        HANDLED,
    ),
    Hazard(
        "fresh-learner-dies",
        "can panic (tocommit) or remove itself as a fresh learner",
        "etcd #21178, #21610",
        _all(),
        [MEMBERSHIP],
        "Remove it, set its data aside and add it again, a few times at most.",
        HANDLED,
    ),
    Hazard(
        "removal-lost",
        "can lose a removal where the survivor restarts within seconds",
        "k3s #12908",
        _all(),
        [MEMBERSHIP],
        "Read the member list again before the next change.",
        HANDLED,
    ),
    Hazard(
        ADDITION_NEEDS_ALL,
        "refuses to add a member, also a learner, while any voter is down or has been for less than 5 s",
        "etcd #21640",
        [Patches("3.4"), Patches("3.5", 0, 30), Patches("3.6", 0, 11)],
        [MEMBERSHIP],
        "Remove the dead member first, and wait until the others are healthy.",
        HANDLED,
    ),
    Hazard(
        "cluster-flag-with-authentication",
        "has an etcdctl whose --cluster fails while authentication is on",
        "etcd #21516",
        [Patches("3.4", 0, 43), Patches("3.5", 0, 29), Patches("3.6", 0, 10)],
        [AUTHENTICATION],
        "Name the endpoints.",
        HANDLED,
    ),
    Hazard(
        "default-quota-reads-0",
        "says in its status that its quota is 0 bytes where it is the default of 2 GiB",
        "etcd #20790",
        [Patches("3.6", 0, 6)],
        [STATUS],
        "Read the metric etcd_server_quota_backend_bytes.",
    ),
    Hazard(
        "no-more-fixes",
        "is of a line that ended with 3.4.45: nothing is fixed in it any more",
        "",
        [Patches("3.4")],
        [STATUS],
        "Plan the upgrade to 3.5.",
    ),
    Hazard(
        "3.6-wants-a-late-3.5",
        "must not be upgraded to 3.6: that wants a member list in the database that only a late 3.5 has put right",
        "etcd #20967",
        [Patches("3.5", 0, 32)],
        [UPGRADE],
        "",
        REFUSES,
    ),
    Hazard(
        "3.7-wants-a-late-3.6",
        "must not be upgraded to 3.7",
        "",
        [Patches("3.6", 0, 11)],
        [UPGRADE],
        "",
        REFUSES,
    ),
    Hazard(
        "settings-lost",
        "has settings that the next line does not know any more: a flag stops the start, a key in YAML is ignored without a"
        " word, a variable is only warned about",
        "",
        [Patches("3.5"), Patches("3.6")],
        [UPGRADE],
        "Compare the effective settings before and after.",
    ),
    Hazard(
        "short-log",
        "compacts its log after 10,000 entries by default: a member that was away for 5,000 to 15,000 writes is sent a whole"
        " snapshot",
        "",
        [Patches("3.6"), Patches("3.7")],
        [UPGRADE],
        "Set snapshot-count by the rate of writes and the time of a restart.",
    ),
    Hazard(
        "progress-is-wrong",
        "answers a request for progress with a revision whose events it has not sent yet",
        "",
        [Patches("3.4", 0, 25), Patches("3.5", 0, 8)],
        [MIRROR],
        "Take no progress for a checkpoint, only events.",
        HANDLED,
    ),
    Hazard(
        "no-progress-of-a-quiet-watch",
        "does not answer a request for progress where a watch is quiet",
        "",
        [Patches("3.4", 0, 31), Patches("3.5", 0, 13)],
        [MIRROR],
        "Take no progress for a checkpoint, only events.",
        HANDLED,
    ),
    Hazard(
        "catching-up-blocks-writes",
        "blocks writes most of the time while a watch catches up from far behind",
        "etcd #22264",
        _all(),
        [MIRROR],
        "Follow only what is near, and compare key by key beyond that.",
        HANDLED,
    ),
    Hazard(
        "make-mirror-writes-elsewhere",
        "has a make-mirror that writes to the wrong keys with --rev and without --dest-prefix",
        "etcd #22421",
        [Patches("3.6"), Patches("3.7")],
        [MIRROR],
        "Do not use make-mirror --rev.",
        HANDLED,
    ),
    Hazard(
        "v2-data-missing-on-later-members",
        "has an etcdctl migrate whose data members lack that are added later, until there is a snapshot",
        "etcd #8804",
        [Patches("3.4")],
        [MIGRATION],
        "Migrate one member, and restore its snapshot to all.",
    ),
)


def hazards_of(version: Version, during: Sequence[str] = ()) -> List[Hazard]:
    """The hazards of a version that matter always or during one of these; all that it has where nothing is named."""
    return [hazard for hazard in HAZARDS if hazard.has(version) and (not during or hazard.matters(during))]


def met_by(hazard_id: str, versions: Iterable[str]) -> Optional[Tuple[str, str]]:
    """Cause and next step of this hazard with the first of the versions that has it; None where none has.

    ``versions`` are as members tell them, empty where one does not.
    """
    hazard = next(hazard for hazard in HAZARDS if hazard.id == hazard_id)
    found = next((version for version in map(parse_version, filter(None, versions)) if hazard.has(version)), None)
    return (hazard.cause(found), hazard.next_step(found)) if found else None


def judge(version: Version, during: Sequence[str], findings: Findings, host: str = "") -> None:
    """Refuse what the hazards of this version refuse, and warn of the others; what is handled is not spoken of."""
    for hazard in hazards_of(version, during):
        if hazard.effect == REFUSES:
            findings.refuse(hazard.cause(version), hazard.next_step(version), host)
        elif hazard.effect == WARNS:
            findings.warn(f"{hazard.cause(version)} {hazard.next_step(version)}", host)


@dataclass(frozen=True)
class Met:
    """A hazard of the version that these members run, in words."""

    id: str
    version: str
    members: Sequence[str]
    cause: str
    next_step: str
    issue: str
    during: Sequence[str]


def met(members: Iterable[Dict[str, Any]]) -> List[Met]:
    """What is worth saying of a cluster's members (``name`` and ``version``, empty where unknown) at any time.

    That is what an upgrade inside the line cures, and what is always so. What cannot be cured is said by the job that meets it.
    """
    by_version: Dict[Version, List[str]] = {}
    for member in members:
        try:
            by_version.setdefault(parse_version(str(member["version"])), []).append(str(member["name"]))
        except EtcdError:
            continue
    found = []
    for version, names in sorted(by_version.items()):
        for hazard in hazards_of(version):
            if hazard.effect != HANDLED and (hazard.cure(version) or hazard.matters([STATUS])):
                words = (hazard.cause(version), hazard.next_step(version))
                found.append(Met(hazard.id, str(version), sorted(names), *words, hazard.issue, list(hazard.during)))
    return found
