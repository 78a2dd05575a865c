# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's files on a host: made, left alone where they are right, and removed again; nothing where it could not work."""

from __future__ import annotations

import io
import json
import marshal
import stat
import zipfile
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.compiled import compiled, zipped
from ansible_collections.quorum.etcd.plugins.module_utils.agent.install import EVERY_PATH, Installation, Wanted
from ansible_collections.quorum.etcd.plugins.module_utils.agent.other_members import PATH as MEMBERS_PATH
from ansible_collections.quorum.etcd.plugins.module_utils.agent.other_members import Known, Seen, known_in
from ansible_collections.quorum.etcd.plugins.module_utils.agent.schedule import (
    CRON_PATH,
    DRILL_SERVICE_PATH,
    DRILL_TIMER_PATH,
    PROGRAM,
    SERVICE_PATH,
    TIMER_PATH,
)
from ansible_collections.quorum.etcd.plugins.module_utils.agent.settings import PASSWORD_PATH, PATH, Settings, load
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import (
    BACKUPS,
    FAILED,
    SAVED,
    UPLOADS,
    Attempt,
    Upload,
)
from ansible_collections.quorum.etcd.plugins.module_utils.backup.wanted_stores import wanted_stores
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result


class Systemd:
    """Says yes to everything but to what ``wrong`` names, and remembers what it was asked."""

    def __init__(self):
        self.asked, self.wrong, self.on_start = [], set(), None

    def __call__(self, argv, env):
        self.asked.append(" ".join(argv))
        if argv[:2] == ["systemctl", "start"] and self.on_start:
            self.on_start()
        return Result(1, "", "it says no") if self.wrong & set(argv) else Result(0, "", "")


class Bed:
    def __init__(self, root):
        self.root, self.run = root, Systemd()
        settings = Settings("etcd", ("http://a:2379",), "/var/backups/etcd", ("http://a:2379",), keep=10)
        settings = replace(settings, user="root", password_file=PASSWORD_PATH, state_dir=str(root / "state"))
        self.wanted = Wanted(settings, "it is a secret", "*:0/30", 120, b"#!/usr/bin/python3\nPK")

    @property
    def agent(self):
        return Installation(self.run, str(self.root))

    def path(self, path):
        return self.root / path.lstrip("/")

    def there(self):
        return [path for path in EVERY_PATH if self.path(path).exists()]


@pytest.fixture
def bed(tmp_path):
    (tmp_path / "run/systemd/system").mkdir(parents=True)
    return Bed(tmp_path)


@pytest.fixture
def cron(tmp_path):
    (tmp_path / "etc/cron.d").mkdir(parents=True)
    return Bed(tmp_path)


def test_it_is_installed_once(bed):
    changes = bed.agent.install(bed.wanted, pretend=False)
    assert {change["after_header"] for change in changes} == {PROGRAM, PATH, PASSWORD_PATH, SERVICE_PATH, TIMER_PATH}
    modes = {path: stat.S_IMODE(bed.path(path).stat().st_mode) for path in bed.there()}
    assert modes == {PROGRAM: 0o755, PATH: 0o600, PASSWORD_PATH: 0o600, SERVICE_PATH: 0o644, TIMER_PATH: 0o644}
    assert json.loads(bed.path(PATH).read_text())["here"] == ["http://a:2379"]
    assert "it is a secret" not in bed.path(PATH).read_text() + repr(changes)
    assert stat.S_IMODE(bed.path("/var/backups/etcd").stat().st_mode) == 0o700
    assert [word for word in bed.run.asked if word.startswith("systemctl")] == [
        "systemctl daemon-reload",
        "systemctl enable --quiet quorum-etcd-backup.timer",
        "systemctl restart quorum-etcd-backup.timer",
    ]
    assert bed.agent.install(bed.wanted, pretend=False) == []


def test_only_what_is_not_right_is_made_anew(bed):
    bed.agent.install(bed.wanted, pretend=False)
    bed.path(PASSWORD_PATH).chmod(0o644)
    (change,) = bed.agent.install(bed.wanted, pretend=False)
    assert change["after_header"] == PASSWORD_PATH
    (change,) = bed.agent.install(replace(bed.wanted, schedule="hourly"), pretend=False)
    assert "OnCalendar=*:0/30" in change["before"] and "OnCalendar=hourly" in change["after"]
    without = replace(bed.wanted, settings=replace(bed.wanted.settings, user="", password_file=""), schedule="hourly")
    assert [change["after_header"] for change in bed.agent.install(without, pretend=False)] == [PATH, PASSWORD_PATH]
    assert not bed.path(PASSWORD_PATH).exists()


def test_the_program_is_made_anew_where_it_does_something_else(bed):
    """Bytecode is part of it, and of that not how it is written, but what it does."""
    sources = {"__main__.py": b"print({'a', 'b', 'c'} & {'a'})\n", "one.py": b"ONE = 1\n"}
    line = b"#!/usr/bin/python3\n"
    bed.wanted = replace(bed.wanted, program=line + compiled(zipped(sources), PROGRAM))
    bed.agent.install(bed.wanted, pretend=False)
    assert bed.agent.install(bed.wanted, pretend=False) == []

    with zipfile.ZipFile(io.BytesIO(bed.wanted.program)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    head, code = files["one.pyc"][:16], marshal.loads(files["one.pyc"][16:])
    bed.path(PROGRAM).write_bytes(line + zipped({**files, "one.pyc": head + marshal.dumps(code, 2)}))
    assert bed.path(PROGRAM).read_bytes() != bed.wanted.program
    assert bed.agent.install(bed.wanted, pretend=False) == []

    other = marshal.dumps(compile(b"ONE = 2\n", f"{PROGRAM}/one.py", "exec"))
    bed.path(PROGRAM).write_bytes(line + zipped({**files, "one.pyc": head + other}))
    (change,) = bed.agent.install(bed.wanted, pretend=False)
    assert change["after_header"] == PROGRAM and bed.path(PROGRAM).read_bytes() == bed.wanted.program


def test_what_it_knows_of_other_hosts_is_roots_alone_shown_to_nobody_and_goes_again(bed):
    settings = replace(bed.wanted.settings, members_file=MEMBERS_PATH)
    known = replace(bed.wanted, settings=settings, others=Known({"h2": Seen("2026-11-24T03:45:57Z", "cGFydA==")}))
    changes = bed.agent.install(known, pretend=False)
    assert MEMBERS_PATH in {change["after_header"] for change in changes} and "cGFydA" not in str(changes)
    assert known_in(str(bed.path(MEMBERS_PATH))) == known.others
    assert stat.S_IMODE(bed.path(MEMBERS_PATH).stat().st_mode) == 0o600
    assert bed.agent.install(known, pretend=False) == []
    assert [change["after_header"] for change in bed.agent.install(bed.wanted, pretend=False)] == [PATH, MEMBERS_PATH]
    assert not bed.path(MEMBERS_PATH).exists()


def test_a_timer_that_was_stopped_is_begun_again(bed):
    bed.agent.install(bed.wanted, pretend=False)
    bed.run.wrong = {"is-active"}
    (change,) = bed.agent.install(bed.wanted, pretend=True)
    assert (change["before"], change["after"]) == ("stopped\n", "running\n")
    bed.run.asked.clear()
    bed.agent.install(bed.wanted, pretend=False)
    assert "systemctl restart quorum-etcd-backup.timer" in bed.run.asked


def test_to_pretend_is_to_touch_nothing(bed):
    assert len(bed.agent.install(bed.wanted, pretend=True)) == 5
    assert bed.there() == [] and not bed.path("/var/backups/etcd").exists()
    bed.agent.install(bed.wanted, pretend=False)
    bed.run.asked.clear()
    assert len(bed.agent.remove(pretend=True)) == 5
    assert len(bed.there()) == 5 and bed.run.asked == []


def test_drills_have_a_timer_of_their_own_that_can_go_again(bed):
    drills = replace(bed.wanted, drill_schedule="daily")
    changes = bed.agent.install(drills, pretend=False)
    assert {DRILL_TIMER_PATH, DRILL_SERVICE_PATH} < {change["after_header"] for change in changes}
    assert "systemctl restart quorum-etcd-drill.timer" in bed.run.asked
    assert bed.agent.install(drills, pretend=False) == []
    bed.run.asked.clear()
    assert len(bed.agent.install(bed.wanted, pretend=False)) == 2
    assert bed.run.asked[:3] != [] and "systemctl disable --now --quiet quorum-etcd-drill.timer" in bed.run.asked
    assert "systemctl stop quorum-etcd-drill.service" in bed.run.asked and not bed.path(DRILL_TIMER_PATH).exists()
    bed.agent.install(drills, pretend=False)
    bed.run.asked.clear()
    assert len(bed.agent.remove(pretend=False)) == 7 and bed.there() == []
    assert {f"systemctl disable --now --quiet quorum-etcd-{one}.timer" for one in ("backup", "drill")} < set(
        bed.run.asked
    )
    bed.run.wrong = {"each full moon"}
    assert "systemd does not understand" in refused(bed, replace(drills, drill_schedule="each full moon"))


def test_it_goes_away_as_a_whole_and_the_snapshots_stay(bed):
    bed.agent.install(bed.wanted, pretend=False)
    bed.path("/var/backups/etcd/one.db").write_text("a snapshot")
    bed.run.asked.clear()
    assert len(bed.agent.remove(pretend=False)) == 5 and bed.there() == []
    assert bed.run.asked[0] == "systemctl disable --now --quiet quorum-etcd-backup.timer"
    assert bed.path("/var/backups/etcd/one.db").exists()
    bed.run.asked.clear()
    assert bed.agent.remove(pretend=False) == [] and bed.run.asked == []


def test_what_it_has_told_a_monitor_goes_with_it(bed):
    told = replace(bed.wanted, settings=replace(bed.wanted.settings, metrics_dir="/srv/metrics"))
    bed.agent.install(told, pretend=False)
    assert stat.S_IMODE(bed.path("/srv/metrics").stat().st_mode) == 0o755
    assert '"-/srv/metrics"' in bed.path(SERVICE_PATH).read_text()
    file = bed.path("/srv/metrics/quorum-etcd.prom")
    file.write_text("etcd_backup_snapshots 1\n")
    assert bed.agent.install(told, pretend=False) == [] and file.exists()
    elsewhere = replace(bed.wanted, settings=replace(bed.wanted.settings, metrics_dir="/srv/other"))
    changes = bed.agent.install(elsewhere, pretend=False)
    assert "/srv/metrics/quorum-etcd.prom" in {change["after_header"] for change in changes} and not file.exists()
    bed.path("/srv/other/quorum-etcd.prom").write_text("etcd_backup_snapshots 1\n")
    bed.path("/srv/other/others.prom").write_text("others 1\n")
    assert "/srv/other/quorum-etcd.prom" in {change["after_header"] for change in bed.agent.remove(pretend=False)}
    assert [path.name for path in bed.path("/srv/other").iterdir()] == ["others.prom"]


def test_without_systemd_it_is_cron(cron):
    cron.agent.install(cron.wanted, pretend=False)
    assert set(cron.there()) == {PROGRAM, PATH, PASSWORD_PATH, CRON_PATH}
    assert "*/30 * * * * root" in cron.path(CRON_PATH).read_text() and cron.run.asked == []


def refused(bed, wanted):
    with pytest.raises(EtcdError) as error:
        bed.agent.install(wanted, pretend=False)
    assert bed.there() == [] and error.value.next_step
    return error.value.message


def test_what_could_not_work_is_refused_before_anything_is_touched(bed, tmp_path):
    assert "is a schedule of cron" in refused(bed, replace(bed.wanted, schedule="*/30 * * * *"))
    assert "does not say how many" in refused(bed, replace(bed.wanted, settings=replace(bed.wanted.settings, keep=0)))
    bed.run.wrong = {"systemd-analyze"}
    assert "systemd does not understand the schedule" in refused(bed, replace(bed.wanted, schedule="each full moon"))
    assert "neither systemd nor cron" in refused(Bed(tmp_path / "bare"), bed.wanted)


def test_one_host_has_one_agent(bed):
    bed.agent.install(bed.wanted, pretend=False)
    other = replace(bed.wanted, settings=replace(bed.wanted.settings, cluster="shop"))
    with pytest.raises(EtcdError, match="makes the backups of cluster etcd, and can have but one"):
        bed.agent.install(other, pretend=False)
    bed.path(PATH).write_text("{ spoilt")
    assert bed.agent.install(bed.wanted, pretend=False), "what cannot be read is nobody's"


def test_it_works_once_so_that_what_is_wrong_is_seen_now(bed):
    settings, state = bed.wanted.settings, bed.wanted.settings.state_dir
    good = Attempt("2026-11-24T03:16:40Z", "m1", "etcd", "/b", SAVED)
    bed.run.on_start = lambda: BACKUPS.add(state, good)
    assert bed.agent.first_run(settings, again=True) == good
    bed.run.asked.clear()
    assert bed.agent.first_run(settings, again=False) is None and bed.run.asked == []

    bed.run.on_start = lambda: BACKUPS.add(
        state, replace(good, result=FAILED, cause="no quorum.", next_step="start one.")
    )
    with pytest.raises(EtcdError, match="its first run failed: no quorum") as error:
        bed.agent.first_run(settings, again=True)
    assert error.value.next_step == "start one."
    bed.run.on_start = lambda: BACKUPS.add(state, good)
    assert bed.agent.first_run(settings, again=False) == good, "the last one had failed"

    bed.run.on_start, bed.run.wrong = None, {"start"}
    with pytest.raises(EtcdError, match="systemctl start .* failed with exit code 1: it says no"):
        bed.agent.first_run(settings, again=True)


S3 = {"name": "s3", "remote": "offsite:bucket", "rclone_config": "[offsite]\ntype = s3\n", "password": "of the crypt"}


def with_stores(bed, *given):
    stores = wanted_stores(given)
    secrets = {path: text for store in stores for path, text in store.files.items()}
    settings = replace(bed.wanted.settings, offsite=tuple(store.settings for store in stores))
    return replace(bed.wanted, settings=settings, secrets=secrets)


def test_the_stores_secrets_are_in_files_of_roots_alone_and_go_with_their_store(bed):
    wanted = with_stores(bed, {"name": "nfs", "folder": "/mnt/backup"}, S3)
    changes = bed.agent.install(wanted, pretend=False)
    config, password = "/etc/quorum-etcd/offsite/s3.conf", "/etc/quorum-etcd/offsite/s3.password"
    assert {config, password} < {change["after_header"] for change in changes}
    assert "type = s3" not in repr(changes) and "of the crypt" not in repr(changes)
    for path in (config, password):
        assert stat.S_IMODE(bed.path(path).stat().st_mode) == 0o600
    settings = bed.path(PATH).read_text()
    assert "type = s3" not in settings and "of the crypt" not in settings
    assert load(str(bed.path(PATH))).offsite == wanted.settings.offsite
    assert 'ReadWritePaths="/var/backups/etcd"' in bed.path(SERVICE_PATH).read_text()
    assert '"-/mnt/backup"' in bed.path(SERVICE_PATH).read_text()
    assert bed.agent.install(wanted, pretend=False) == []

    (change,) = bed.agent.install(replace(wanted, secrets={**wanted.secrets, password: "another\n"}), pretend=True)
    assert change["after_header"] == password and "another" not in repr(change)
    without = with_stores(bed, {"name": "nfs", "folder": "/mnt/backup"})
    assert {change["after_header"] for change in bed.agent.install(without, pretend=False)} == {PATH, config, password}
    assert not bed.path(config).exists() and not bed.path(password).exists()
    bed.agent.install(wanted, pretend=False)
    bed.agent.remove(pretend=False)
    assert not bed.path(config).exists() and not bed.path(password).exists()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (FileNotFoundError(), "this host has none"),
        (Result(0, "rclone v1.45\n- os/arch: linux/amd64", ""), "rclone v1.45"),
    ],
)
def test_without_rclone_it_is_refused_with_what_to_do_and_nothing_is_touched(bed, answer, why):
    def run(argv, env):
        if argv[0] != "rclone":
            return Result(0, "", "")
        if isinstance(answer, Exception):
            raise answer
        return answer

    bed.run = run
    with pytest.raises(EtcdError, match=why) as refused:
        bed.agent.install(with_stores(bed, S3), pretend=False)
    assert "the store s3 needs rclone" in refused.value.message and "rclone" in refused.value.next_step
    assert bed.there() == []
    assert bed.agent.install(with_stores(bed, S3), pretend=True), "in check mode nobody has installed it yet"


def test_a_configuration_of_rclones_that_others_can_write_is_not_believed(bed):
    path = bed.path("/srv/rclone.conf")
    path.parent.mkdir()
    path.write_text("[offsite]\n")
    path.chmod(0o666)
    with pytest.raises(EtcdError, match="is not believed: .* can be written by others"):
        bed.agent.install(with_stores(bed, {**S3, "rclone_config": "/srv/rclone.conf"}), pretend=False)
    assert bed.there() == []


def test_a_store_that_nothing_could_be_shipped_to_is_told_and_tried_again(bed, monkeypatch):
    wanted = with_stores(bed, {"name": "nfs", "folder": "/mnt/backup"})
    state = wanted.settings.state_dir
    at = "2026-11-28T10:00:00Z"

    def runs(result, cause=""):
        def on_start():
            BACKUPS.add(state, Attempt(at, "h", "etcd", "/var/backups/etcd", SAVED))
            UPLOADS.add(state, Upload(at, "h", "etcd", "nfs", result, cause, "mount it."))

        bed.run.on_start = on_start

    runs(FAILED, "the folder /mnt/backup of the store nfs is not there.")
    with pytest.raises(EtcdError, match="could not ship to the store nfs: the folder") as refused:
        bed.agent.first_run(wanted.settings, True)
    assert refused.value.next_step == "mount it."
    runs("shipped")
    assert bed.agent.first_run(wanted.settings, False).result == SAVED
    bed.run.on_start = None
    assert bed.agent.first_run(wanted.settings, False) is None


def test_a_store_that_this_host_does_not_reach_is_told(bed, tmp_path):
    wanted = with_stores(bed, {"name": "nfs", "folder": str(tmp_path / "gone")})
    with pytest.raises(
        EtcdError, match="the agent is set up, and from this host the folder .*gone of the store nfs is not there"
    ):
        bed.agent.reach(wanted.settings)
    (tmp_path / "gone").mkdir()
    bed.agent.reach(with_stores(bed, {"name": "nfs", "folder": str(tmp_path / "gone"), "mounted": False}).settings)
