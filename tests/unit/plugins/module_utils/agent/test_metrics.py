# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the textfile for node_exporter says of what is recorded, and where it is written."""

from __future__ import annotations

import stat
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.metrics import (
    WELL_KNOWN,
    Metric,
    collected,
    exposition,
    folder_of,
    publish,
)
from ansible_collections.quorum.etcd.plugins.module_utils.agent.settings import Settings
from ansible_collections.quorum.etcd.plugins.module_utils.backup.proofs import DRILLS, PROVEN, Drill
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import (
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
from ansible_collections.quorum.etcd.plugins.module_utils.backup.store_settings import StoreSettings

AT = 1795490200  # 2026-11-24T03:16:40Z
SAVE = Attempt("2026-11-24T03:16:40Z", "m1", "prod", "/b", SAVED, seconds=3.5, path="/b/new.db", size=20512, revision=7)


@pytest.fixture
def settings(tmp_path):
    folders = {name: str(tmp_path / name) for name in ("state", "b", "metrics")}
    for folder in folders.values():
        (tmp_path / folder).mkdir()
    stores = (StoreSettings("s3", remote="s3:etcd"), StoreSettings("nas", folder="/mnt/nas"))
    own = {"state_dir": folders["state"], "metrics_dir": folders["metrics"]}
    return Settings("prod", (), folders["b"], **own, offsite=stores)


def lines(settings, *attempts, prunes=()):
    for attempt in attempts:
        BACKUPS.add(settings.state_dir, attempt)
    for pruning in prunes:
        PRUNES.add(settings.state_dir, pruning)
    return [line for line in collected(settings).splitlines() if not line.startswith("#")]


def test_a_backup_is_told_with_time_size_revision_duration_and_result(settings):
    found = lines(settings, SAVE)
    for name, value in {
        "last_run_timestamp_seconds": AT,
        "last_success_timestamp_seconds": AT,
        "last_duration_seconds": 3.5,
        "snapshot_size_bytes": 20512,
        "snapshot_revision": 7,
        "max_age_seconds": 7200,
        "space_needed_bytes": 20512 + 2051 + (1 << 20),
    }.items():
        assert f'etcd_backup_{name}{{cluster="prod"}} {value}' in found
    results = {line for line in found if line.startswith("etcd_backup_last_result")}
    assert results == {
        f'etcd_backup_last_result{{cluster="prod",result="{result}"}} {int(result == SAVED)}'
        for result in (SAVED, UNCHANGED, NOT_ITS_TURN, FAILED)
    }
    assert 'etcd_backup_folder_free_bytes{cluster="prod"} ' in "\n".join(found)


def test_one_that_failed_or_had_no_turn_is_the_last_run_and_no_success(settings):
    later = replace(SAVE, at="2026-11-24T03:46:40Z", path="", size=0, revision=9)
    for result in (FAILED, NOT_ITS_TURN):
        found = lines(settings, SAVE, replace(later, result=result))
        assert f'etcd_backup_last_run_timestamp_seconds{{cluster="prod"}} {AT + 1800}' in found
        assert f'etcd_backup_last_success_timestamp_seconds{{cluster="prod"}} {AT}' in found
        assert 'etcd_backup_snapshot_revision{cluster="prod"} 7' in found
    # One that was saved, while what is old could not be removed, is no success either: the disk fills.
    assert f'etcd_backup_last_success_timestamp_seconds{{cluster="prod"}} {AT}' in lines(
        settings, replace(later, result=FAILED, path="/b/newer.db")
    )


def test_never_is_long_ago_and_another_cluster_is_another(settings):
    found = lines(settings, replace(SAVE, cluster="shop"), replace(SAVE, result=FAILED, path=""))
    assert 'etcd_backup_last_success_timestamp_seconds{cluster="prod"} 0' in found
    assert not [line for line in found if "shop" in line or "snapshot_size" in line]
    empty = Settings("prod", (), "/no/such/folder", state_dir="/no/such/folder")
    assert lines(empty) == [
        'etcd_backup_last_success_timestamp_seconds{cluster="prod"} 0',
        'etcd_backup_max_age_seconds{cluster="prod"} 7200',
    ]


def test_a_removal_is_told_with_what_it_gave_free(settings):
    pruning = Pruning(
        "2026-11-24T03:16:40Z", "m1", "prod", "/b", PRUNED, seconds=0.2, kept=10, removed=("a.db",), size=99
    )
    found = lines(settings, SAVE, prunes=[pruning])
    for said in (
        f'last_run_timestamp_seconds{{cluster="prod"}} {AT}',
        'last_duration_seconds{cluster="prod"} 0.2',
        'last_result{cluster="prod",result="pruned"} 1',
        'last_result{cluster="prod",result="failed"} 0',
        'removed_bytes{cluster="prod"} 99',
    ):
        assert f"etcd_backup_prune_{said}" in found
    assert 'etcd_backup_snapshots{cluster="prod"} 10' in found
    failed = lines(settings, prunes=[replace(pruning, result=FAILED, kept=0)])
    assert 'etcd_backup_prune_last_result{cluster="prod",result="failed"} 1' in failed
    assert not [line for line in failed if line.startswith("etcd_backup_snapshots")], "it is not known"


def test_a_removal_that_failed_counts_until_a_run_whose_turn_it_is_not(settings):
    """After that none follows that could be well, and nothing is saved there."""
    failed = Pruning("2026-11-24T03:16:40Z", "m1", "prod", "/b", FAILED)
    well = replace(failed, at="2026-11-23T03:16:40Z", result=PRUNED)
    said = 'etcd_backup_prune_last_result{cluster="prod",result="failed"} '
    others = replace(SAVE, at="2026-11-24T03:46:40Z", result=NOT_ITS_TURN)
    assert f"{said}1" in lines(settings, replace(others, result=SAVED), prunes=[well, failed])
    assert f"{said}0" in lines(settings, others)
    assert f"{said}1" in lines(settings, prunes=[replace(failed, at="2026-11-24T04:00:00Z")])


UPLOAD = Upload(
    "2026-11-24T03:16:40Z",
    "m1",
    "prod",
    "s3",
    SHIPPED,
    seconds=2.0,
    size=900,
    newest="prod-20261124T031640Z-rev7.db",
    newest_at="2026-11-24T03:16:40Z",
    whole=3,
)


def uploaded(settings, *uploads):
    for upload in uploads:
        UPLOADS.add(settings.state_dir, upload)
    return lines(settings)


def test_an_upload_is_told_of_each_store_by_itself(settings):
    later = replace(UPLOAD, at="2026-11-24T03:46:40Z")
    nas = replace(
        later, store="nas", result=FAILED, cause="it is away.", newest="", newest_at="", whole=0, size=0, waiting=4
    )
    found = uploaded(
        settings, UPLOAD, replace(UPLOAD, store="nas", result=UP_TO_DATE, size=0), replace(later, size=0), nas
    )
    for said in (
        f'last_run_timestamp_seconds{{cluster="prod",store="s3"}} {AT + 1800}',
        f'last_success_timestamp_seconds{{cluster="prod",store="s3"}} {AT + 1800}',
        f'last_success_timestamp_seconds{{cluster="prod",store="nas"}} {AT}',
        'last_result{cluster="prod",store="nas",result="failed"} 1',
        'last_result{cluster="prod",store="s3",result="shipped"} 1',
        'last_duration_seconds{cluster="prod",store="s3"} 2',
        'last_size_bytes{cluster="prod",store="s3"} 0',
        'waiting{cluster="prod",store="nas"} 4',
        'snapshots{cluster="prod",store="s3"} 3',
        f'newest_timestamp_seconds{{cluster="prod",store="nas"}} {AT}',
        'newest_revision{cluster="prod",store="s3"} 7',
    ):
        assert f"etcd_backup_upload_{said}" in found, said
    heads = [line for line in collected(settings).splitlines() if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads)), "what has one name stands together, below one head"
    assert not [line for line in lines(replace(settings, offsite=settings.offsite[:1])) if "nas" in line], "it is gone"
    never = uploaded(replace(settings, cluster="shop"), replace(nas, cluster="shop"))
    assert 'etcd_backup_upload_last_success_timestamp_seconds{cluster="shop",store="nas"} 0' in never


DRILLED = Drill(
    "2026-11-24T03:46:40Z",
    "m1",
    "prod",
    PROVEN,
    path="/b/new.db",
    size=20512,
    revision=7,
    seconds=9.0,
    restore_seconds=4.5,
    taken_at="2026-11-24T03:16:40Z",
)


def drilled(settings, *drills, proof_age=7):
    for drill in drills:
        DRILLS.add(settings.state_dir, drill)
    return lines(replace(settings, proof_age=proof_age))


def test_a_drill_is_told_and_since_when_nothing_is_proven(settings, tmp_path):
    since, allowed = "etcd_backup_not_proven_since_timestamp_seconds", "etcd_backup_proof_age_seconds"
    assert not [line for line in lines(settings) if "prove" in line or "proof" in line], "there is nothing to prove"
    BACKUPS.add(settings.state_dir, SAVE)
    assert f'{since}{{cluster="prod"}} {AT}' in lines(settings)
    assert f'{allowed}{{cluster="prod"}} {9 * 86400}' in drilled(settings, proof_age=30), "what the records surely hold"
    found = drilled(settings, DRILLED, proof_age=30)
    assert f'{since}{{cluster="prod"}} {AT + 1800}' in found and f'{allowed}{{cluster="prod"}} {30 * 86400}' in found
    for said in (
        f'last_run_timestamp_seconds{{cluster="prod"}} {AT + 1800}',
        'last_result{cluster="prod",result="proven"} 1',
        'last_duration_seconds{cluster="prod"} 9',
        'restore_duration_seconds{cluster="prod"} 4.5',
        'last_size_bytes{cluster="prod"} 20512',
        'last_revision{cluster="prod"} 7',
        'failed{cluster="prod"} 0',
    ):
        assert f"etcd_backup_drill_{said}" in found, said
    assert not [line for line in drilled(settings, proof_age=0) if since in line]

    # The newest fails, and after it an older one is proven: that does not hide it while the damaged one is there.
    bad = tmp_path / "b" / "bad.db"
    bad.write_text("")
    failed = replace(DRILLED, result="failed", path=str(bad), damaged=True)
    assert 'etcd_backup_drill_failed{cluster="prod"} 1' in drilled(settings, failed, DRILLED)
    bad.unlink()
    assert 'etcd_backup_drill_failed{cluster="prod"} 0' in drilled(settings)


def test_a_damaged_one_off_site_is_told_until_its_store_has_it_no_more(settings, tmp_path):
    copy = tmp_path / "state" / "shipping" / "s3" / "bad.db.json"
    copy.parent.mkdir(parents=True)
    copy.write_text("{}")
    failed = replace(DRILLED, result="failed", path="bad.db", source="s3", damaged=True)
    for proof in (DRILLED, replace(DRILLED, source="nas")):
        assert 'etcd_backup_drill_failed{cluster="prod"} 1' in drilled(settings, failed, proof)
    copy.unlink()
    assert 'etcd_backup_drill_failed{cluster="prod"} 0' in drilled(settings)


def test_a_label_says_what_it_is_given():
    text = exposition([Metric("a", "b\\c", [({"cluster": 'q"\\\n', "store": "x"}, 1.5)])])
    assert text == '# HELP a b\\\\c\n# TYPE a gauge\na{cluster="q\\"\\\\\\n",store="x"} 1.5\n'


def test_the_file_is_for_all_to_read_and_whole_or_not_there(settings, tmp_path):
    BACKUPS.add(
        settings.state_dir, replace(SAVE, result=FAILED, cause="the password hunter2 is wrong.", next_step="hunter2")
    )
    assert publish(settings) == ""
    (path,) = (tmp_path / "metrics").iterdir()
    assert path.name == "quorum-etcd.prom" and stat.S_IMODE(path.stat().st_mode) == 0o644
    assert "hunter2" not in path.read_text() and str(tmp_path) not in path.read_text()
    assert publish(replace(settings, metrics_dir="")) == ""
    problem = publish(replace(settings, metrics_dir="/no/such/folder"))
    assert problem == "the metrics could not be written to /no/such/folder/quorum-etcd.prom: No such file or directory."


def test_the_well_known_folder_is_found(tmp_path):
    assert folder_of("auto", str(tmp_path)) == ""
    for path in reversed(WELL_KNOWN):
        (tmp_path / path[1:]).mkdir(parents=True, exist_ok=True)
        assert folder_of("auto", str(tmp_path)) == path
    assert folder_of("none", str(tmp_path)) == ""
    assert folder_of("/srv/metrics", str(tmp_path)) == "/srv/metrics"
