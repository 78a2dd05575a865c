# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A mirror's files on a host: made, left alone where they are right, and removed again; nothing without consent."""

from __future__ import annotations

import json
import os
import stat
import time
import zipfile

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_install import Installation, in_words, paths_of
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_modules import folder_of, missing, unpack
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_units import COUNTED_PATH, mirrors_of
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_wanted import wanted_mirror
from ansible_collections.quorum.etcd.plugins.module_utils.agent.schedule import PROGRAM
from ansible_collections.quorum.etcd.plugins.module_utils.agent.settings import PATH as AGENT_PATH
from ansible_collections.quorum.etcd.plugins.module_utils.agent.systemd import is_at_work
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339, seconds_of
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result, Tool
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Seed, seed_in
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.status import MirrorStatus

SIDE = {"group": "", "endpoints": [], "cacert": "", "cert": "", "key": "", "user": "", "password": ""}
GIVEN = {
    "name": "dr",
    "engine": "quorum",
    "source": {**SIDE, "group": "etcd", "endpoints": ["http://a:2379"], "user": "root"},
    "destination": {
        **SIDE,
        "group": "etcd_dr",
        "endpoints": ["https://c:2379"],
        "cacert": "/pki/ca.crt",
        "user": "root",
    },
    "prefix": "app/",
    "destination_prefix": None,
    "exclude": [],
    "leases": "drop",
    "on_restore": "refuse",
    "delay": "0",
    "interval": "0",
    "keep_log": False,
    "log_max_age": "7d",
    "log_max_bytes": 1000,
    "max_lag": "60",
    "verified_age": "6h",
    "verify": "hourly",
    "revision": 0,
    "overwrite": True,
    "state_dir": "",
    "metrics_dir": "none",
    "bin_dir": "",
    "command_timeout": 5,
    "wheels": [],
}
EXTRA = {
    "source": {"password": "geheim-1", "cert": "CERT", "key": "KEY\n"},
    "destination": {"password": "geheim-2"},
}
VERIFY, VERIFY_TIMER = (f"/etc/systemd/system/quorum-etcd-mirror-verify@dr.{kind}" for kind in ("service", "timer"))
UNIT, TIMER = "/etc/systemd/system/quorum-etcd-mirror@dr.service", "/etc/systemd/system/quorum-etcd-mirror@dr.timer"
FOLDER = "/etc/quorum-etcd/mirror"


class Systemd:
    def __init__(self):
        self.asked, self.wrong = [], set()

    def __call__(self, argv, env):
        self.asked.append(" ".join(argv))
        return Result(1, "", "it says no") if self.wrong & set(argv) else Result(0, "", "")


class Bed:
    def __init__(self, root):
        self.root, self.run = root, Systemd()
        (root / "run/systemd/system").mkdir(parents=True)
        self.mirrors = Installation(self.run, str(root))

    def path(self, path):
        return self.root / path.lstrip("/")

    def there(self):
        return {f"/{one.relative_to(self.root)}" for one in self.root.rglob("*") if one.is_file()}


@pytest.fixture
def bed(tmp_path):
    return Bed(tmp_path)


def wanted(began_with=None, **given):
    return wanted_mirror(
        {**GIVEN, **given}, EXTRA, "/usr/bin/python3", lambda: Tool("/ctl", Version(3, 6, 16)), began_with
    )


def test_it_is_set_up_once_and_nobody_else_reads_its_secrets(bed):
    changes = bed.mirrors.install(wanted(), pretend=False)
    secret = {
        f"{FOLDER}/dr.{name}"
        for name in ("json", "source.password", "source.cert", "source.key", "destination.password")
    }
    assert bed.there() == secret | {PROGRAM, UNIT, VERIFY, VERIFY_TIMER}
    assert {change["after_header"] for change in changes} == bed.there()
    assert {stat.S_IMODE(bed.path(path).stat().st_mode) for path in secret} == {0o600}
    assert stat.S_IMODE(bed.path(FOLDER).stat().st_mode) == 0o700
    assert stat.S_IMODE(bed.path("/var/lib/quorum-etcd/mirror/dr").stat().st_mode) == 0o700
    settings = json.loads(bed.path(f"{FOLDER}/dr.json").read_text())
    assert settings["source"]["key"] == f"{FOLDER}/dr.source.key" and settings["destination"]["cacert"] == "/pki/ca.crt"
    assert bed.path(f"{FOLDER}/dr.source.password").read_text() == "geheim-1\n"
    shown = repr(changes) + bed.path(UNIT).read_text() + repr(bed.run.asked)
    assert "geheim" not in shown and "KEY" not in shown
    assert "systemctl restart quorum-etcd-mirror@dr.service" in bed.run.asked

    bed.run.asked.clear()
    assert bed.mirrors.install(wanted(), pretend=False) == []
    assert not [one for one in bed.run.asked if "restart" in one]
    bed.run.wrong.add("is-active")
    assert bed.mirrors.install(wanted(), pretend=False)[0]["after"] == "running\n", "it had stopped"


def test_it_becomes_a_timer_and_goes_away_again(bed):
    bed.mirrors.install(wanted(), pretend=False)
    bed.mirrors.install(wanted(interval="15m", delay="0"), pretend=False)
    assert "OnUnitInactiveSec=900" in bed.path(TIMER).read_text() and "--once" in bed.path(UNIT).read_text()
    assert "systemctl restart quorum-etcd-mirror@dr.timer" in bed.run.asked
    assert (
        "mirror verify dr" in bed.path(VERIFY).read_text() and "OnCalendar=hourly" in bed.path(VERIFY_TIMER).read_text()
    )
    bed.mirrors.install(wanted(interval="15m", verify="never"), pretend=False)
    assert not {VERIFY, VERIFY_TIMER} & bed.there()
    bed.mirrors.install(wanted(), pretend=False)
    assert TIMER not in bed.there()
    assert "systemctl disable --now --quiet quorum-etcd-mirror@dr.timer" in bed.run.asked

    kept = bed.path("/var/lib/quorum-etcd/mirror/dr/status.json")
    kept.write_text("{}")
    assert {one["before_header"] for one in bed.mirrors.remove("dr", pretend=True)} >= {UNIT, PROGRAM}
    assert UNIT in bed.there()
    bed.mirrors.remove("dr", pretend=False)
    assert bed.there() == {"/var/lib/quorum-etcd/mirror/dr/status.json"}
    assert bed.mirrors.remove("dr", pretend=False) == []


def test_what_there_is_of_it_is_stopped_until_it_is_set_up_again(bed):
    assert (bed.mirrors.stop("dr", pretend=False), bed.mirrors.is_here("dr"), bed.run.asked) == ([], False, [])
    bed.mirrors.install(wanted(interval="15m"), pretend=False)
    bed.run.asked.clear()
    units = [os.path.basename(path) for path in (VERIFY_TIMER, VERIFY, TIMER, UNIT)]
    assert [one["after_header"] for one in bed.mirrors.stop("dr", pretend=True)] == units
    assert not [one for one in bed.run.asked if "stop" in one]
    bed.mirrors.stop("dr", pretend=False)
    assert [one for one in bed.run.asked if "stop" in one] == [f"systemctl stop {unit}" for unit in units]
    bed.run.wrong.add("is-active")
    assert (bed.mirrors.stop("dr", pretend=False), bed.mirrors.is_here("dr")) == ([], True)
    begun = bed.mirrors.install(wanted(interval="15m"), pretend=False)
    assert {one["before_header"] for one in begun} == {os.path.basename(TIMER), os.path.basename(VERIFY_TIMER)}


@pytest.mark.parametrize(
    "said, rc, at_work", [("active", 0, True), ("activating", 3, True), ("inactive", 3, False), ("failed", 3, False)]
)
def test_a_service_that_is_about_to_begin_again_is_at_work(said, rc, at_work):
    assert is_at_work(lambda _argv, _env: Result(rc, f"{said}\n", ""), "a.service") == at_work


def test_what_others_need_stays(bed):
    bed.mirrors.install(wanted(), pretend=False)
    bed.mirrors.install(wanted(name="dr.source"), pretend=False)
    assert mirrors_of(str(bed.root)) == ["dr", "dr.source"]
    bed.mirrors.remove("dr", pretend=False)
    assert PROGRAM in bed.there() and bed.there() >= {path for path in paths_of("dr.source") if ".json" in path}
    bed.path(AGENT_PATH).write_text("{}")
    bed.mirrors.remove("dr.source", pretend=False)
    assert PROGRAM in bed.there(), "the backups' agent is the same program"


def test_the_classic(bed):
    bed.mirrors.install(wanted(engine="etcdctl"), pretend=False)
    secret = {f"{FOLDER}/dr.{name}" for name in ("environment", "source.cert", "source.key", "destination.password")}
    assert bed.there() == secret | {COUNTED_PATH, UNIT}
    assert 'ETCDCTL_PASSWORD="geheim-1"' in bed.path(f"{FOLDER}/dr.environment").read_text()
    unit = bed.path(UNIT).read_text()
    assert "geheim" not in unit and f"StandardInput=file:{FOLDER}/dr.destination.password" in unit
    bed.mirrors.install(wanted(), pretend=False)
    assert f"{FOLDER}/dr.environment" not in bed.there(), "what the other engine needed is gone"


@pytest.mark.parametrize(
    ("given", "cause"),
    [
        ({"leases": "dropp"}, "leases is dropp"),
        ({"exclude": ["b/"]}, "not below the prefix"),
        ({"source": SIDE}, "the source has no endpoints"),
        ({"delay": "soon"}, "'soon' is no length of time"),
        ({"engine": "etcdctl", "overwrite": False}, "does not look first"),
        ({"engine": "etcdctl", "delay": "5m"}, "make-mirror knows nothing like etcd_mirror_delay"),
        ({"engine": "etcdctl", "leases": "keep"}, "make-mirror knows nothing like etcd_mirror_leases"),
    ],
)
def test_what_could_not_work_is_refused(bed, given, cause):
    with pytest.raises(EtcdError, match=cause):
        bed.mirrors.install(wanted(**given), pretend=True)
    assert bed.there() == set()


def test_a_host_without_systemd_is_refused(tmp_path):
    with pytest.raises(EtcdError, match="no systemd"):
        Installation(Systemd(), str(tmp_path)).install(wanted(), pretend=True)


def test_the_plan_in_words():
    text = "\n".join(in_words(wanted(exclude=["app/tmp/"], delay="30m"), {"from": " (etcd 3.6.16)"}))
    assert "the keys below 'app/' of http://a:2379 (etcd 3.6.16)" in text and "'app/tmp/'" in text
    assert "1800 s behind on purpose" in text and "What etcd_dr has there and the source has not is deleted" in text
    assert "was deleted while the mirror did not run stays" in "\n".join(in_words(wanted(engine="etcdctl"), {}))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("30m", 1800), ("15 min", 900), ("2h", 7200), ("7d", 604800)]
)
def test_lengths_of_time(text, seconds):
    assert seconds_of(text) == seconds


def test_wheels_are_unpacked_once_and_named_by_what_is_in_them(tmp_path):
    wheel, broken = tmp_path / "grpcio-1-py3-none-any.whl", tmp_path / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("grpc/__init__.py", "__version__ = '1'\n")
    broken.write_text("no zip")
    folder = folder_of([str(wheel)])
    assert folder_of([]) == "" and folder.startswith("/usr/local/lib/quorum-etcd/python-")
    assert folder != folder_of([str(wheel), str(broken)])
    assert wanted(wheels=[str(wheel)]).settings.modules == folder
    assert wanted(wheels=[str(wheel)], engine="etcdctl").settings.modules == "", "etcd's own tool needs none"
    own = str(tmp_path / "lib" / "python-x")
    for _time in range(2):
        unpack([str(wheel)], own)
    assert (tmp_path / "lib/python-x/grpc/__init__.py").exists()
    assert stat.S_IMODE((tmp_path / "lib/python-x").stat().st_mode) == 0o700, "whatever modes its files have"
    with pytest.raises(EtcdError, match="x.whl is no wheel"):
        unpack([str(broken)], str(tmp_path / "lib" / "python-y"))
    assert [one.name for one in (tmp_path / "lib").iterdir()] == ["python-x"], "nothing half done is left"


def test_why_grpcio_cannot_be_loaded():
    said = "Traceback\nModuleNotFoundError: No module named 'grpc'\n"
    assert missing(lambda argv, env: Result(1, "", said), "/py") == "ModuleNotFoundError: No module named 'grpc'"
    assert missing(lambda argv, env: Result(0, "1.51", ""), "/py", "/lib") == ""


@pytest.mark.parametrize(("phase", "found"), [("scan", True), ("follow", True), ("starting", False)])
def test_what_an_engine_says_first_is_waited_for(bed, phase, found):
    told = MirrorStatus("dr", phase, "it is near", rfc3339(time.time() + 1), rfc3339(0))
    state = bed.path("/var/lib/quorum-etcd/mirror/dr")
    state.mkdir(parents=True)
    (state / "status.json").write_text(json.dumps(to_plain(told)))
    assert bed.mirrors.first_words(wanted().settings, patience=0.1) == (told if found else None)


def test_an_engine_that_does_not_go_on_is_told_by_the_run_that_begins_it(bed):
    state = bed.path("/var/lib/quorum-etcd/mirror/dr")
    state.mkdir(parents=True)
    why = "The destination has keys of others. Next: empty it."
    for when, is_new in ((time.time() - 100, False), (time.time() + 1, True)):
        told = MirrorStatus("dr", "failed", why, rfc3339(when), rfc3339(0))
        (state / "status.json").write_text(json.dumps(to_plain(told)))
        if not is_new:
            assert bed.mirrors.first_words(wanted().settings, patience=0.1) is None, "that was another run"
            continue
        with pytest.raises(EtcdError, match="does not go on: The destination has keys of others") as failed:
            bed.mirrors.first_words(wanted().settings, patience=0.1)
        assert failed.value.next_step == "empty it."


def test_what_a_monitor_was_told_goes_with_the_mirror(bed):
    folder = bed.path("/var/lib/node")
    folder.mkdir(parents=True)
    bed.mirrors.install(wanted(metrics_dir="/var/lib/node"), pretend=False)
    told, others = folder / "quorum-etcd-mirror-dr.prom", folder / "quorum-etcd.prom"
    told.write_text("")
    others.write_text("")
    bed.mirrors.remove("dr", pretend=False)
    assert others.exists() and not told.exists()


def test_the_snapshot_that_it_begins_with_is_among_the_settings():
    seed = {"source": "abc", "destination": "0def", "revision": 7, "restored_to": 7, "term": 2, "raft_index": 11}
    settings = wanted(seed=seed).settings
    assert settings.seed == Seed("abc", "0def", 7, 7, 2, 11)
    assert from_plain(MirrorSettings, json.loads(json.dumps(to_plain(settings)))) == settings
    assert wanted(seed=None).settings.seed is None


def test_what_it_began_with_stays_known_to_the_runs_after(tmp_path):
    seed = Seed("abc", "0def", 7, 7, 2, 11)
    path = tmp_path / "dr.json"
    assert seed_in(str(path)) is None
    path.write_text(json.dumps(to_plain(wanted(began_with=seed, seed=None).settings)))
    path.chmod(0o600)
    assert seed_in(str(path)) == seed
