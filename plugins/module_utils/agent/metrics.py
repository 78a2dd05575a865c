# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a monitor is told: a file for the textfile collector of Prometheus' node_exporter, written anew after each run.

Its content is a function of what the runs have recorded and of the disk. ``docs/alerts.yml`` has rules for it.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, Union

from ..backup.proofs import DRILLS, PROVEN, Drill, last_proof
from ..backup.records import (
    BACKUPS,
    FAILED,
    NOT_ITS_TURN,
    PRUNED,
    PRUNES,
    SAVED,
    SHIPPED,
    UNCHANGED,
    UP_TO_DATE,
    UPLOADS,
    Attempt,
    Pruning,
    Upload,
)
from ..core.durable import alone, put
from ..core.text import epoch
from ..snapshot.save import space_needed
from ..snapshot.scratch import forget, leftovers
from .health import Exists, exists_by, unproven, unsettled
from .settings import Settings

FILE = "quorum-etcd.prom"
_HALF = ".quorum-etcd-"  # begins the name of what is being written: node_exporter looks for *.prom
AUTO, NONE = "auto", "none"
# Where packages and roles let node_exporter look: Debian, then what those for other systems have in common.
WELL_KNOWN = (
    "/var/lib/prometheus/node-exporter",
    "/var/lib/node_exporter/textfile_collector",
    "/var/lib/node_exporter",
)
BACKUP_RESULTS = (SAVED, UNCHANGED, NOT_ITS_TURN, FAILED)
PRUNE_RESULTS = (PRUNED, FAILED)
UPLOAD_RESULTS = (SHIPPED, UP_TO_DATE, FAILED)
DRILL_RESULTS = (PROVEN, FAILED)

Labels = Dict[str, str]


class Metric(NamedTuple):
    """A gauge: its words, and its values by their labels."""

    name: str
    words: str
    values: Sequence[Tuple[Labels, float]]


class Disk(NamedTuple):
    """Bytes of the file system that a folder lies on."""

    size: int
    free: int


def folder_of(given: str, root: str = "/") -> str:
    """The folder for the file: the given one, the first well-known one that is there for ``auto``, empty for none."""
    if given == AUTO:
        return next((path for path in WELL_KNOWN if os.path.isdir(os.path.join(root, path[1:]))), "")
    return "" if given == NONE else given


def metrics_path(folder: str) -> str:
    return os.path.join(folder, FILE) if folder else ""


def publish(settings: Settings) -> str:
    """Write the file where there is a folder for it. Returns why it could not be written: that is no reason to fail."""
    return expose(metrics_path(settings.metrics_dir), lambda: collected(settings))


def expose(path: str, text: Callable[[], str]) -> str:
    """The same for any such file; without a path there is nothing to do. ``text`` is made while nobody else writes there."""
    if not path:
        return ""
    folder = os.path.dirname(path)
    try:
        with alone(folder):
            for left in leftovers(folder, _HALF):
                forget(left)
            put(path, text().encode(), _HALF, prepare=lambda descriptor: os.fchmod(descriptor, 0o644))
    except OSError as error:
        return f"the metrics could not be written to {path}: {error.strerror}."
    return ""


def collected(settings: Settings) -> str:
    """The file's content, from what is recorded on this host."""
    state_dir, cluster = settings.state_dir, settings.cluster
    try:
        usage = shutil.disk_usage(settings.folder)
        disk: Optional[Disk] = Disk(usage.total, usage.free)
    except OSError:
        disk = None
    backups, prunes = BACKUPS.last(state_dir, cluster), PRUNES.last(state_dir, cluster)
    stores = settings.store_names
    return exposition(
        [
            *_of_backups(cluster, backups, settings.max_age),
            *_of_prunes(cluster, _that_count(prunes, backups)),
            *_of_uploads(cluster, [one for one in UPLOADS.last(state_dir, cluster) if one.store in stores]),
            *_of_drills(
                cluster, DRILLS.last(state_dir, cluster), backups, settings.proof_age, exists_by(state_dir, stores)
            ),
            *_of_disk(cluster, disk, backups),
        ]
    )


def _of_backups(cluster: str, attempts: Sequence[Attempt], max_age: int) -> List[Metric]:
    good = next((one for one in attempts if one.is_good and one.path), None)
    found = [
        *_of_last("etcd_backup", "backup", {"cluster": cluster}, attempts[:1], BACKUP_RESULTS),
        Metric(
            "etcd_backup_last_success_timestamp_seconds",
            "When the last backup of this host began that was saved or, as nothing was written, read again and found whole;"
            " 0 for never.",
            [({"cluster": cluster}, epoch(good.at) if good else 0)],
        ),
        Metric(
            "etcd_backup_max_age_seconds",
            "How long ago the last good backup may be (etcd_backup_max_age).",
            [({"cluster": cluster}, max_age)],
        ),
    ]
    if good:
        found += _of_snapshot(cluster, good)
    return found


def _of_snapshot(cluster: str, good: Attempt) -> List[Metric]:
    labels = {"cluster": cluster}
    size, revision = "etcd_backup_snapshot_size_bytes", "etcd_backup_snapshot_revision"
    return [
        Metric(size, "The size of the newest snapshot of this host.", [(labels, good.size)]),
        Metric(revision, "The revision of the newest snapshot of this host.", [(labels, good.revision)]),
    ]


def _that_count(prunes: Sequence[Pruning], attempts: Sequence[Attempt]) -> Sequence[Pruning]:
    """Without those that failed before a run whose turn it was not: none follows that could be well, and nothing is saved."""
    last = attempts[0] if attempts else None
    if last is None or last.result != NOT_ITS_TURN:
        return prunes
    return [one for one in prunes if one.result != FAILED or one.at > last.at]


def _of_prunes(cluster: str, prunes: Sequence[Pruning]) -> List[Metric]:
    labels = {"cluster": cluster}
    found = _of_last("etcd_backup_prune", "removal of old snapshots", labels, prunes[:1], PRUNE_RESULTS)
    for last in [one for one in prunes[:1] if one.result == PRUNED]:
        removed, kept = "etcd_backup_prune_removed_bytes", "etcd_backup_snapshots"
        found.append(Metric(removed, "What the last removal of old snapshots gave free.", [(labels, last.size)]))
        found.append(Metric(kept, "Snapshots of the cluster that it kept.", [(labels, last.kept)]))
    return found


def _of_uploads(cluster: str, uploads: Sequence[Upload]) -> List[Metric]:
    """Of each store by itself: what it is to have now, and when it had it last."""
    found = []
    for store in sorted({one.store for one in uploads}):
        labels, own = {"cluster": cluster, "store": store}, [one for one in uploads if one.store == store]
        last, good = own[0], next((one for one in own if one.is_good), None)
        held = next((one for one in own if one.newest_at), None)
        prefix = "etcd_backup_upload"
        found += _of_last(prefix, "upload to the store", labels, [last], UPLOAD_RESULTS)
        found += [
            Metric(
                f"{prefix}_last_success_timestamp_seconds",
                "When this host last found that the store has all that it is to have; 0 for never.",
                [(labels, epoch(good.at) if good else 0)],
            ),
            Metric(f"{prefix}_last_size_bytes", "What the last upload sent to the store.", [(labels, last.size)]),
            Metric(f"{prefix}_waiting", "Snapshots that still wait for the store.", [(labels, last.waiting)]),
            Metric(f"{prefix}_snapshots", "Snapshots that the store holds whole.", [(labels, last.whole)]),
        ]
        if held:
            taken, revision = f"{prefix}_newest_timestamp_seconds", f"{prefix}_newest_revision"
            found.append(
                Metric(taken, "When the newest one was taken that it holds.", [(labels, epoch(held.newest_at))])
            )
            found.append(Metric(revision, "The revision of that one.", [(labels, _revision_in(held.newest))]))
    return _together(found)


def _revision_in(name: str) -> int:
    """Of a snapshot's name, which this software has chosen."""
    found = re.search(r"-rev(\d+)\.", name)
    return int(found.group(1)) if found else 0


def _of_drills(
    cluster: str, drills: Sequence[Drill], attempts: Sequence[Attempt], proof_age: int, exists: Exists
) -> List[Metric]:
    labels, prefix = {"cluster": cluster}, "etcd_backup_drill"
    found = _of_last(prefix, "drill", labels, drills[:1], DRILL_RESULTS)
    proof, waited = last_proof(drills), unproven(drills, attempts, proof_age)
    if waited:
        name = "etcd_backup_not_proven_since_timestamp_seconds"
        words = "When a drill of this host last proved a backup, or, where none ever did, when it had the first one."
        found.append(Metric(name, words, [(labels, epoch(waited.since))]))
        allowed = "How long that may last (etcd_backup_proof_age)."
        found.append(Metric("etcd_backup_proof_age_seconds", allowed, [(labels, waited.days * 86400)]))
    for last in drills[:1]:
        failed = "1 where a drill failed, and it was not settled since: quorum-etcd status says which one."
        size, revision = "The size of the backup of the last drill.", "The revision of the backup of the last drill."
        found += [
            Metric(f"{prefix}_failed", failed, [(labels, float(unsettled(drills, exists) is not None))]),
            Metric(f"{prefix}_last_size_bytes", size, [(labels, last.size)]),
            Metric(f"{prefix}_last_revision", revision, [(labels, last.revision)]),
        ]
    if proof:
        took = "How long the restore of the last proof took, until a client was served."
        found.append(Metric(f"{prefix}_restore_duration_seconds", took, [(labels, proof.restore_seconds)]))
    return found


def _together(metrics: Sequence[Metric]) -> List[Metric]:
    """Those of one name as one."""
    found: Dict[str, Metric] = {}
    for one in metrics:
        before = found.get(one.name)
        found[one.name] = one._replace(values=[*before.values, *one.values]) if before else one
    return list(found.values())


def _of_disk(cluster: str, disk: Optional[Disk], attempts: Sequence[Attempt]) -> List[Metric]:
    labels = {"cluster": cluster}
    newest = next((one.size for one in attempts if one.size), 0)
    found = []
    if disk:
        free, size = "etcd_backup_folder_free_bytes", "etcd_backup_folder_size_bytes"
        found.append(Metric(free, "What is free on the disk of the folder of snapshots.", [(labels, disk.free)]))
        found.append(Metric(size, "The size of the disk of the folder of snapshots.", [(labels, disk.size)]))
    if newest:
        needed = "etcd_backup_space_needed_bytes"
        found.append(Metric(needed, "What must be free for the next snapshot.", [(labels, space_needed(newest))]))
    return found


def _of_last(
    prefix: str,
    what: str,
    labels: Labels,
    last: Sequence[Union[Attempt, Pruning, Upload, Drill]],
    results: Iterable[str],
) -> List[Metric]:
    """What every kind of run is told by; nothing where there was none."""
    found = []
    for run in last:
        began, took, result = (
            f"{prefix}_last_{name}" for name in ("run_timestamp_seconds", "duration_seconds", "result")
        )
        states = [({**labels, "result": name}, float(run.result == name)) for name in results]
        found += [
            Metric(began, f"When the last {what} of this host began.", [(labels, epoch(run.at))]),
            Metric(took, f"How long the last {what} of this host took.", [(labels, run.seconds)]),
            Metric(result, f"What became of the last {what} of this host: 1 for the one result that it had.", states),
        ]
    return found


def exposition(metrics: Sequence[Metric]) -> str:
    """The text of Prometheus' exposition format; values of one name stand together."""
    lines = []
    for metric in metrics:
        lines.append(f"# HELP {metric.name} {_escaped(metric.words, quoted=False)}")
        lines.append(f"# TYPE {metric.name} gauge")
        for labels, value in metric.values:
            said = ",".join(f'{name}="{_escaped(text, quoted=True)}"' for name, text in labels.items())
            lines.append(f"{metric.name}{{{said}}} {_number(value)}")
    return "".join(f"{line}\n" for line in lines)


def _escaped(text: str, quoted: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quoted else text


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
