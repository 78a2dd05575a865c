# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a monitor is told of a mirror, as a file for node_exporter. ``docs/alerts.yml`` has rules for it."""

from __future__ import annotations

import os
from typing import List, Optional

from ..core.text import epoch
from ..mirror.settings import MirrorSettings
from ..mirror.state import FOLLOW, SCAN
from ..mirror.status import FAILED, HELD, MENDING, STARTING, STOPPED, MirrorStatus
from ..mirror.verified import Verified
from .metrics import Metric, expose, exposition
from .mirror_health import patience_of

PHASES = (STARTING, MENDING, SCAN, HELD, FOLLOW, STOPPED, FAILED)


def mirror_metrics_path(folder: str, name: str) -> str:
    return os.path.join(folder, f"quorum-etcd-mirror-{name}.prom") if folder else ""


def publish_mirror(settings: MirrorSettings, status: Optional[MirrorStatus], verified: Optional[Verified]) -> str:
    """Write the file where there is a folder for it. Returns why it could not be written: that is no reason to stop."""
    path = mirror_metrics_path(settings.metrics_dir, settings.name)
    return expose(path, lambda: exposition(metrics_of(settings, status, verified)))


def metrics_of(settings: MirrorSettings, status: Optional[MirrorStatus], verified: Optional[Verified]) -> List[Metric]:
    labels = {"mirror": settings.name}

    def one(name: str, words: str, value: float) -> Metric:
        return Metric(f"etcd_mirror_{name}", words, [(labels, value)])

    found = [
        one(
            "status_timestamp_seconds",
            "When the engine of the mirror last said how it is; 0 for never.",
            epoch(status.time) if status and status.time else 0,
        ),
        one("status_max_age_seconds", "How long ago that may be.", patience_of(settings)),
        one("delay_seconds", "How long changes are held back on purpose (etcd_mirror_delay).", settings.delay),
        one("max_lag_seconds", "How far behind it may be besides (etcd_mirror_max_lag).", settings.max_lag),
        one(
            "verified_timestamp_seconds",
            "When it was last compared with its source; 0 for never.",
            epoch(verified.time) if verified else 0,
        ),
        one("verified_max_age_seconds", "How long ago that may be; 0 for any time.", settings.verified_age),
    ]
    if status:
        states = [({**labels, "phase": name}, float(status.phase == name)) for name in PHASES]
        found += [
            Metric("etcd_mirror_phase", "What the engine does: 1 for the one phase that it is in.", states),
            one("lag_revisions", "Revisions of the source that the mirror lacks.", status.lag_revisions),
            one(
                "lag_seconds",
                "How long the oldest change that it lacks has been known; 0 for none.",
                status.lag_seconds,
            ),
            one("waiting", "1 while the engine waits for something to get well.", float(bool(status.last_error))),
            one("keys_done", "Keys that the present comparison or mending has done.", status.keys_done),
            one("keys_to_do", "Keys that it has to do in all.", status.keys_total),
            one("applied_events", "Changes that were applied since the engine began.", status.applied_events),
            one("applied_revision", "The revision of the source that it is at.", status.applied_revision),
            one("source_revision", "The revision of the source.", status.source_revision),
            one("log_size_bytes", "What the log of changes takes.", status.log_bytes),
        ]
    if status and status.keys >= 0:
        found.append(one("keys", "Keys that the mirror has, as the destination was last asked.", status.keys))
    if verified:
        found += [
            one("verified_keys", "Keys of the source at the last comparison.", verified.source_keys),
            one("verified_differing_keys", "Keys that differed then.", verified.differences),
            one("verified_duration_seconds", "How long it took.", verified.seconds),
        ]
    return found
