# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a mirror is, from what was written down: for people at night, and for monitors."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent import mirror_health as health
from ansible_collections.quorum.etcd.plugins.module_utils.agent.cli import main
from ansible_collections.quorum.etcd.plugins.module_utils.agent.metrics import exposition
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_metrics import metrics_of, publish_mirror
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirroring import healths_here, in_words
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import FOLLOW, SCAN
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.status import (
    FAILED,
    MENDING,
    STARTING,
    STOPPED,
    MirrorStatus,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.verified import Differing, Verified, write

NOW = 1_700_000_000.0
SETTINGS = MirrorSettings("dr", Side(("http://a:2379",)), Side(("http://c:2379",)), max_lag=60)
WELL = MirrorStatus(
    "dr",
    FOLLOW,
    "it is near",
    rfc3339(NOW - 2),
    rfc3339(NOW - 100),
    applied_events=81203,
    keys=40112,
    keys_age=10,
    source_revision=1203441,
    applied_revision=1203441,
)
SAME = Verified("dr", rfc3339(NOW - 1560), 2.5, 1203000, 1202990, 99, 40112, 40112, 0, 0, 0, 0, (), "d" * 64, "d" * 64)
OTHER = replace(SAME, missing=1, other=1, differing=(Differing("app/\\x00", "missing"), Differing("app/b", "other")))
SYNC = replace(SETTINGS, interval=900)


def state(status=WELL, verified=None, settings=SETTINGS):
    return health.judge(settings, status, verified, NOW).state


CASES = [
    (health.OK, WELL, None, SETTINGS),
    (health.OK, WELL, SAME, replace(SETTINGS, verified_age=3600)),
    (health.NEVER_RUN, None, None, SETTINGS),
    (health.BROKEN, replace(WELL, phase=FAILED, why="the source was restored"), None, SETTINGS),
    (health.BROKEN, replace(WELL, phase=FAILED, time=rfc3339(NOW - 9999)), None, SETTINGS),
    (health.SILENT, replace(WELL, time=rfc3339(NOW - 61)), None, SETTINGS),
    (health.SILENT, replace(WELL, phase=STOPPED), None, SETTINGS),
    (health.OK, replace(WELL, phase=STOPPED, time=rfc3339(NOW - 900)), None, SYNC),
    (health.SILENT, replace(WELL, phase=STOPPED, time=rfc3339(NOW - 5401)), None, SYNC),
    (health.WAITING, replace(WELL, last_error="no member of the source answers"), None, SETTINGS),
    (health.DIFFERS, WELL, OTHER, SETTINGS),
    (health.COPYING, replace(WELL, phase=SCAN, keys_done=5, keys_total=10), None, SETTINGS),
    (health.COPYING, replace(WELL, phase=STARTING), None, SETTINGS),
    (health.COPYING, replace(WELL, phase=MENDING), None, SETTINGS),
    (health.BEHIND, replace(WELL, lag_revisions=7, lag_seconds=61), None, SETTINGS),
    (health.OK, replace(WELL, lag_revisions=7, lag_seconds=59), None, SETTINGS),
    (health.OK, replace(WELL, lag_revisions=7, lag_seconds=1800), None, replace(SETTINGS, delay=1800)),
    (health.COPYING, replace(WELL, phase="held back", why="until noon"), None, replace(SETTINGS, delay=1800)),
    (health.BEHIND, replace(WELL, lag_revisions=7, lag_seconds=1861), None, replace(SETTINGS, delay=1800)),
    (health.NOT_VERIFIED, WELL, None, replace(SETTINGS, verified_age=90)),
    (health.OK, WELL, None, replace(SETTINGS, verified_age=3600)),
    (health.NOT_VERIFIED, WELL, SAME, replace(SETTINGS, verified_age=1000)),
]


@pytest.mark.parametrize(("expected", "status", "verified", "settings"), CASES)
def test_what_it_is_called(expected, status, verified, settings):
    assert state(status, verified, settings) == expected


def test_every_state_has_an_exit_code():
    told = {state(*one[1:]) for one in CASES}
    assert told == {*health.BAD, *health.SOON, health.OK} and len(told) == len(health.BAD) + len(health.SOON) + 1


def words(status=WELL, verified=None, settings=SETTINGS):
    return health.health_in_words(health.judge(settings, status, verified, NOW))


def test_the_first_line_is_enough_at_night():
    assert words()[0] == "mirror dr: OK (at revision 1,203,441, nothing behind)"
    copying = replace(WELL, phase=SCAN, keys_done=500, keys_total=40112, keys_changed=3, why="the destination is new")
    assert (
        words(copying)[0] == "mirror dr: COPYING (500 of 40,112 keys are compared, 3 written; the destination is new)"
    )
    mending = replace(WELL, phase=MENDING, leases_total=7, keys_done=500, keys_total=40112, why="it was restored")
    assert words(mending)[0] == "mirror dr: COPYING (Mended: 500 of 40,112 keys; it was restored)"
    behind = replace(WELL, lag_revisions=1200, lag_seconds=95.2)
    assert words(behind)[0] == "mirror dr: BEHIND (it is 1 min 35 s behind, by 1,200 revisions, and 1 min are allowed)"
    assert "2 keys differed at revision 1,202,990: app/\\x00 (missing), app/b (other)" in words(verified=OTHER)[0]


def test_the_rest_says_how_far_it_is():
    assert words(verified=SAME)[1:] == [
        "  lag       0 revisions, 0 s; told 2 s ago",
        f"  engine    follow since {rfc3339(NOW - 100)}, 81,203 changes applied",
        "  keys      40,112 in the mirror, counted 12 s ago",
        "  verified  26 min ago: equal, of 40,112 keys, at revision 1,202,990",
    ]
    assert words()[-1] == "  verified  never"
    assert not [line for line in words(replace(WELL, keys=-1, keys_age=-1)) if "keys " in line], "not counted yet"
    assert "held back by 30 min" in words(settings=replace(SETTINGS, delay=1800))[1]
    assert words(None) == [words(None)[0]] and "journalctl -u quorum-etcd-mirror@dr" in words(None)[0]


def test_a_verification_in_words():
    assert in_words(SAME) == ["mirror dr is equal to its source: 40,112 keys at revision 1,202,990, in 2.5 s"]
    told = in_words(replace(OTHER, missing=9))
    assert told[0].startswith("mirror dr DIFFERS from its source: 9 are missing, 0 are too many, 1 have another value")
    assert told[-1] == "  and 8 more"


def test_a_monitor_is_told_the_same(tmp_path):
    text = exposition(metrics_of(SETTINGS, WELL, OTHER))
    for line in (
        f'etcd_mirror_status_timestamp_seconds{{mirror="dr"}} {int(NOW - 2)}',
        'etcd_mirror_status_max_age_seconds{mirror="dr"} 60',
        'etcd_mirror_phase{mirror="dr",phase="follow"} 1',
        'etcd_mirror_phase{mirror="dr",phase="failed"} 0',
        'etcd_mirror_applied_revision{mirror="dr"} 1203441',
        'etcd_mirror_verified_differing_keys{mirror="dr"} 2',
        'etcd_mirror_keys{mirror="dr"} 40112',
        'etcd_mirror_max_lag_seconds{mirror="dr"} 60',
    ):
        assert line in text.splitlines()
    never = exposition(metrics_of(SETTINGS, None, None))
    assert 'etcd_mirror_status_timestamp_seconds{mirror="dr"} 0' in never and "lag_seconds" not in never.replace(
        "max_lag", ""
    )
    assert "etcd_mirror_keys{" not in exposition(metrics_of(SETTINGS, replace(WELL, keys=-1), None)), "not counted yet"
    assert publish_mirror(SETTINGS, WELL, None) == "", "no folder is given"
    own = replace(SETTINGS, metrics_dir=str(tmp_path))
    assert publish_mirror(own, WELL, None) == ""
    (path,) = tmp_path.iterdir()
    assert path.name == "quorum-etcd-mirror-dr.prom" and path.stat().st_mode & 0o777 == 0o644
    assert "No such file" in publish_mirror(replace(own, metrics_dir=str(tmp_path / "gone")), WELL, None)


class Host:
    def __init__(self, root):
        self.root, self.folder = root, root / "etc/quorum-etcd/mirror"
        (root / "etc/systemd/system").mkdir(parents=True)
        self.folder.mkdir(parents=True)

    def unit(self, name):
        (self.root / f"etc/systemd/system/quorum-etcd-mirror@{name}.service").write_text("")

    def settings(self, name):
        self.unit(name)
        made = replace(SETTINGS, name=name, state_dir=str(self.root / name))
        (self.root / name).mkdir()
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(to_plain(made)))
        path.chmod(0o600)
        return path


def test_all_mirrors_of_a_host_are_told_of(tmp_path):
    host = Host(tmp_path)
    path = host.settings("dr")
    host.unit("old")
    host.settings("broken").write_text("{")
    found = {one.mirror: one for one in healths_here(lambda argv, env: Result(3, "", ""), NOW, str(tmp_path))}
    assert {name: one.state for name, one in found.items()} == {
        "dr": health.NEVER_RUN,
        "old": health.SILENT,
        "broken": health.BROKEN,
    }
    assert "systemctl status quorum-etcd-mirror@old" in found["old"].why
    (running,) = [
        one for one in healths_here(lambda argv, env: Result(0, "", ""), NOW, str(tmp_path)) if one.mirror == "old"
    ]
    assert running.ok and "make-mirror runs" in running.why

    said = []
    assert (
        main(
            ["mirror", "status", "dr", "--config", str(path), "--json"],
            lambda argv, env: Result(0, "", ""),
            "1",
            said.append,
        )
        == 1
    )
    assert json.loads(said[0])["mirrors"][0]["state"] == health.NEVER_RUN


def test_the_command_ends_as_a_monitor_wants_it(tmp_path):
    host = Host(tmp_path)
    path, folder = host.settings("dr"), tmp_path / "dr"
    said = []

    def ends():
        said.clear()
        return main(["mirror", "status", "--config", str(path)], lambda argv, env: Result(0, "", ""), "1", said.append)

    now = time.time()
    (folder / "status.json").write_text(json.dumps(to_plain(replace(WELL, time=rfc3339(now)))))
    assert ends() == 0 and said[0].startswith("mirror dr: OK")
    write(str(folder), replace(OTHER, time=rfc3339(now)))
    assert ends() == 1 and said[0].startswith("mirror dr: DIFFERS")
    write(str(folder), replace(SAME, time=rfc3339(now)))
    copying = replace(WELL, time=rfc3339(now), phase=SCAN)
    (folder / "status.json").write_text(json.dumps(to_plain(copying)))
    assert ends() == 3 and said[0].startswith("mirror dr: COPYING")
    assert main(["mirror", "verify", "no such name"], lambda argv, env: Result(0, "", ""), "1", said.append) == 1
    assert "is no name of a mirror" in said[-2]


def test_who_may_not_know_is_told_so_and_nothing_wrong(monkeypatch):
    def denied(_path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.listdir", denied)
    said = []
    assert main(["mirror", "status"], lambda argv, env: Result(0, "", ""), "1", said.append) == 1
    assert said == ["FAILED: /etc/quorum-etcd/mirror cannot be read: Permission denied.", "  Next: run it as root."]
