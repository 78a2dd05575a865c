# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What would keep a restored cluster from being used, though all its data is there: said by a backup and by the plan."""

from __future__ import annotations

from typing import List, Mapping, NamedTuple, Sequence

from ..core.text import in_mib
from ..etcd.database import CORRUPT, NOSPACE

DEFAULT_QUOTA = 2 << 30  # bytes (server/storage/quota.go: DefaultQuotaBytes)


class Concern(NamedTuple):
    """``stops``: a restore is of no use before it is seen to. ``host`` is empty for what is the snapshot's own."""

    host: str
    cause: str
    next_step: str
    stops: bool

    @property
    def in_words(self) -> str:
        return f"{self.host + ': ' if self.host else ''}{self.cause} {self.next_step}"


def concerns(alarms: Sequence[str], size: int, settings: Mapping[str, Mapping[str, str]]) -> List[Concern]:
    """Of a snapshot with these alarms and ``size`` bytes, on hosts with these settings: by host, their values by name."""
    found = []
    if NOSPACE in alarms:
        found.append(
            Concern(
                "",
                "a NOSPACE alarm is in the snapshot: a cluster restored from it refuses every write.",
                "After the restore: etcdctl compact, etcdctl defrag on each member, then etcdctl alarm disarm.",
                False,
            )
        )
    if CORRUPT in alarms:
        found.append(
            Concern(
                "",
                "a CORRUPT alarm is in the snapshot: the members' data differed, and a cluster restored from it refuses every"
                " request, so that it cannot be proven.",
                "Rather choose one from before; or, after the restore, etcdctl alarm disarm, and run the same command again.",
                False,
            )
        )
    for host, own in sorted(settings.items()):
        quota = _quota(own.get("quota-backend-bytes", ""))
        if 0 < quota <= size:
            found.append(
                Concern(
                    host,
                    f"its quota-backend-bytes is {quota} ({in_mib(quota)}), and the snapshot has {size} bytes"
                    f" ({in_mib(size)}): the restored member would refuse every write.",
                    f"Set quota-backend-bytes to {size + size // 4} or more in its configuration.",
                    True,
                )
            )
        # With v2v3 the keys of v2 are in the store of v3, and in its snapshots.
        if own.get("enable-v2", "").lower() in ("true", "t", "1") and not own.get("experimental-enable-v2v3"):
            found.append(
                Concern(
                    host,
                    "enable-v2 is set: keys of the API v2 are in no snapshot, and a restore loses them.",
                    "Where there are any, save them by ETCDCTL_API=2 etcdctl backup.",
                    False,
                )
            )
    return found


def _quota(value: str) -> int:
    """Bytes, as etcd reads them: 0 is its default, less is no quota at all. What is no number keeps etcd from its start."""
    try:
        return int(value or "0", 0) or DEFAULT_QUOTA
    except ValueError:
        return -1
