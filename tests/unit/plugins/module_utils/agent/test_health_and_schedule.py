# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the agent runs, in the words of systemd and of cron, and whether a monitor should be content."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.health import (
    BAD,
    NOT_PROVEN,
    OK,
    TOO_OLD,
    health_here,
    judge,
)
from ansible_collections.quorum.etcd.plugins.module_utils.agent.schedule import (
    cron_lines,
    drill_unit,
    service_unit,
    timer_unit,
)
from ansible_collections.quorum.etcd.plugins.module_utils.backup.proofs import PROVEN, Drill
from ansible_collections.quorum.etcd.plugins.module_utils.backup.records import (
    BACKUPS,
    FAILED,
    NOT_ITS_TURN,
    SAVED,
    UNCHANGED,
    Attempt,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339

NOW = 1795492000.0  # 2026-11-24T03:46:40Z
AT = Attempt("2026-11-24T03:16:40Z", "m1", "etcd", "/b", SAVED, path="/b/new.db", revision=7)


# When.


def test_the_timer_makes_up_for_what_was_missed():
    lines = timer_unit("etcd", "*:0/30", 120).splitlines()
    assert {"OnCalendar=*:0/30", "RandomizedDelaySec=120", "Persistent=true"} < set(lines)


def test_the_service_may_write_to_two_folders():
    text = service_unit("etcd", ["/var/backups/etcd", "/srv/with space"], ["/etc/etcd/ca.crt"])
    assert 'ReadWritePaths="/var/backups/etcd" "/srv/with space"\n' in text and "PrivateTmp=yes\n" in text
    assert "ExecStart=/usr/local/bin/quorum-etcd backup --wait 3600\n" in text and "@" not in text


def test_a_folder_that_is_not_there_keeps_no_run_from_its_beginning():
    text = service_unit("etcd", ["/b"], [], ["/var/lib/node exporter"])
    assert 'ReadWritePaths="/b" "-/var/lib/node exporter"\n' in text


def test_a_drill_goes_last_and_has_its_bounds_and_only_reads_the_snapshots():
    text = drill_unit("etcd", 2048, ["/var/lib/quorum-etcd"], ["/var/backups/etcd"], ["/m"])
    lines = set(text.splitlines())
    assert {"Nice=19", "IOSchedulingClass=idle", "CPUQuota=100%", "MemoryMax=2304M", "OOMScoreAdjust=1000"} < lines
    assert "ExecStart=/usr/local/bin/quorum-etcd drill --wait 3600" in lines and "@" not in text
    assert 'ReadWritePaths="/var/lib/quorum-etcd" "-/m"' in lines and "PrivateTmp=yes" in lines
    assert "PrivateTmp=no\n" in drill_unit("etcd", 1, ["/s"], ["/tmp/check"])
    timer = timer_unit("etcd", "daily", 14400, "Drill of the backups").splitlines()
    assert {"OnCalendar=daily", "RandomizedDelaySec=14400", "Persistent=true"} < set(timer)


def test_cron_drills_too():
    assert "drill" not in cron_lines("hourly", 60)
    last = cron_lines("hourly", 60, "daily").splitlines()[-1]
    assert last == "0 0 * * * root nice -n 19 /usr/local/bin/quorum-etcd drill --wait 3600 --delay 14400 >/dev/null"
    with pytest.raises(EtcdError, match="no schedule of cron"):
        cron_lines("hourly", 60, "02:30")


def test_what_is_in_tmp_is_still_seen():
    assert "PrivateTmp=no\n" in service_unit("etcd", ["/tmp/backups"], [])
    assert "PrivateTmp=no\n" in service_unit("etcd", ["/b"], ["/var/tmp/ca.crt"])


def test_a_name_is_a_name_and_no_specifier():
    text = service_unit('50%d "etcd"\\', ["/srv/100%"], [])
    assert 'cluster 50%%d \\"etcd\\"\\\\\n' in text and 'ReadWritePaths="/srv/100%%"' in text


@pytest.mark.parametrize(
    "schedule, fields",
    [
        ("*:0/30", "*/30 * * * *"),
        ("*:0/5:00", "*/5 * * * *"),
        ("hourly", "0 * * * *"),
        ("daily", "0 0 * * *"),
        ("15 2,14 * * mon-fri", "15 2,14 * * mon-fri"),
    ],
)
def test_schedules_of_cron(schedule, fields):
    text = cron_lines(schedule, 60)
    assert text.endswith(f"\n{fields} root /usr/local/bin/quorum-etcd backup --wait 3600 --delay 60 >/dev/null\n")


@pytest.mark.parametrize(
    "schedule", ["02:30", "*:0/0", "*:0/90", "each full moon", "* * * *", "* * * * * rm", "@reboot", ""]
)
def test_what_cron_does_not_know_is_refused_there(schedule):
    with pytest.raises(EtcdError, match="no schedule of cron") as refused:
        cron_lines(schedule, 60)
    assert "five fields" in refused.value.next_step


def test_five_fields_are_refused_where_there_is_systemd():
    with pytest.raises(EtcdError, match="is a schedule of cron, and this host has systemd"):
        timer_unit("etcd", "*/30 * * * *", 60)


# Whether a monitor is content.


def judged(*attempts, max_age=7200, exists=True):
    return judge("etcd", "/b", attempts, max_age, NOW, lambda *_which: exists)


def test_a_run_that_saved_or_had_nothing_to_save_or_no_turn_is_well():
    for result in (SAVED, UNCHANGED, NOT_ITS_TURN):
        status = judged(replace(AT, result=result))
        assert (status.state, status.age) == (OK, 1800), result


def test_it_says_what_it_cannot_know_of_others():
    status = judged(replace(AT, result=NOT_ITS_TURN, path="", cause="it is the turn of m2, at http://b:2379"))
    assert "whether the agent of that host runs, this one does not know" in status.why and status.newest is None


def test_a_failed_one_is_told_with_its_cause_and_the_next_step_and_the_newest_that_there_is():
    failed = replace(
        AT, at="2026-11-24T03:46:00Z", result=FAILED, path="", cause="the disk is full.", next_step="free some."
    )
    status = judged(failed, AT)
    assert (status.state, status.newest) == (BAD, AT)
    assert "the last good one was 30 min ago: the disk is full. free some." in status.why
    assert "there has been no good one" in judged(failed).why
    assert judged(AT, failed).state == OK, "what was mended is mended"


def test_a_snapshot_that_could_be_saved_though_old_ones_could_not_be_removed_is_not_the_newest_good_one():
    assert judged(replace(AT, result=FAILED, path="/b/newer.db"), AT).newest == AT


def test_too_long_ago_never_and_gone():
    assert judged(AT, max_age=1799).state == TOO_OLD
    assert judged().state == TOO_OLD and "no run has been recorded" in judged().why and judged().age == -1
    gone = judged(AT, exists=False)
    assert gone.state == BAD and "/b/new.db, of the run at 2026-11-24T03:16:40Z, is gone" in gone.why


def test_a_clock_that_was_set_back_is_no_age():
    assert judged(replace(AT, at="2026-11-25T00:00:00Z")).age == 0


# Whether a backup is proven.

DRILL = Drill("2026-11-24T03:00:00Z", "m1", "etcd", PROVEN, PROVEN, path="/b/new.db", taken_at="2026-11-24T02:00:00Z")
DAY = 86400


def proof(*drills, days=7, later=0, exists=True, first=AT):
    at = replace(AT, at=rfc3339(NOW + later))
    return judge("etcd", "/b", [at, first], 7200, NOW + later, lambda *_which: exists, drills, days)


def test_a_proof_grows_old():
    fresh = proof(DRILL)
    assert (fresh.state, fresh.proven, fresh.proven_age, fresh.verified_age) == (OK, DRILL, 2800, 0)
    assert proof(DRILL, later=7 * DAY - 2800).state == OK
    stale = proof(DRILL, later=7 * DAY)
    assert stale.state == NOT_PROVEN and "for 7 d 46 min 40 s, and 7 days are allowed" in stale.why
    assert proof(DRILL, later=7 * DAY, days=30).state == OK and proof(DRILL, later=70 * DAY, days=0).state == OK


def test_one_that_was_never_made_is_waited_for_as_long():
    assert proof().state == OK and proof().proven_age == -1
    assert proof(later=7 * DAY - 1800).state == OK
    never = proof(later=7 * DAY)
    assert never.state == NOT_PROVEN and "no backup was ever proven" in never.why and "quorum-etcd drill" in never.why
    assert proof(later=9 * DAY, days=30).state == NOT_PROVEN, "the records of backups do not reach back further"


def test_a_host_that_makes_no_backups_has_nothing_to_prove():
    other = replace(AT, result=NOT_ITS_TURN, path="", cause="it is the turn of m2")
    status = judge("etcd", "/b", [replace(other, at=rfc3339(NOW)), other], 7200, NOW + 60, lambda *_which: True, (), 1)
    assert status.state == OK and status.verified_age == -1


def test_a_drill_that_failed_counts_until_it_is_settled():
    damaged = replace(DRILL, result="failed", cause="it is damaged.", next_step="see.", damaged=True)
    failed = proof(damaged, DRILL)
    assert (
        failed.state == BAD
        and "the drill of /b/new.db failed, at 2026-11-24T03:00:00Z: it is damaged. see." in failed.why
    )
    other = replace(DRILL, path="/b/other.db")
    assert proof(other, damaged).state == BAD, "another one says nothing of it"
    assert proof(DRILL, damaged).state == OK, "it was put right"
    assert proof(damaged, exists=True).state == BAD and judged(AT, exists=False).state == BAD
    gone = judge(
        "etcd", "/b", [replace(AT, path="/b/x.db")], 7200, NOW, lambda _source, path: path == "/b/x.db", [damaged], 7
    )
    assert gone.state == OK, "it was removed"

    unable = replace(damaged, damaged=False, cause="the disk is full.")
    assert proof(unable, other).state == BAD and proof(other, unable).state == OK, "the host can do drills again"
    killed = replace(unable, path="", cause="it was killed.")
    assert "the drill of a snapshot failed" in proof(killed).why


def offsite(*drills, there=("new.db", "old.db")):
    """The state where these snapshots lie in the store s3, and all that is local."""
    saved = replace(AT, at=rfc3339(NOW))

    def exists(source, path):
        return source == "local" or (source == "s3" and path in there)

    return judge("etcd", "/b", [saved], 7200, NOW, exists, drills, 7)


FETCHED = replace(DRILL, path="new.db", source="s3")
ROTTEN = replace(FETCHED, result="failed", cause="it is damaged.", damaged=True)


def test_what_is_damaged_off_site_is_not_settled_by_anything_else():
    others = [DRILL, replace(FETCHED, source="nas"), replace(FETCHED, path="old.db"), replace(DRILL, path="new.db")]
    for other in others:
        found = offsite(other, ROTTEN)
        assert found.state == BAD and "the drill of new.db of the store s3 failed" in found.why, other
    assert (
        "run quorum-etcd drill --offsite new.db; once it is deleted there, run quorum-etcd list --offsite." in found.why
    )
    assert offsite(FETCHED, ROTTEN).state == OK, "it was put right"
    assert offsite(DRILL, ROTTEN, there=["old.db"]).state == OK, "its store has it no more"
    assert offsite(replace(ROTTEN, source="nas")).state == OK, "it is no store of this host any more"


def test_a_store_that_could_not_be_reached_is_settled_by_a_drill_from_there():
    away = replace(ROTTEN, damaged=False, cause="the store s3 does not answer.")
    assert offsite(DRILL, away).state == BAD and offsite(replace(FETCHED, source="nas"), away).state == BAD
    assert offsite(replace(FETCHED, path="old.db"), away).state == OK
    assert offsite(DRILL, away, there=["old.db"]).state == OK, "so it was reached, to tell that"
    full = replace(DRILL, result="failed", cause="the disk is full.")
    assert offsite(FETCHED, full).state == OK, "the host can do drills again"


def test_daily_proofs_of_older_backups_are_proofs():
    """As where a host that has lost its turn has once proven a younger one of another host, off-site."""
    young = replace(FETCHED, at=rfc3339(NOW - 8 * DAY), taken_at=rfc3339(NOW - 9 * DAY))
    daily = replace(DRILL, at=rfc3339(NOW - 3600), taken_at=rfc3339(NOW - 20 * DAY))
    found = offsite(daily, young)
    assert (found.state, found.proven, found.proven_age) == (OK, young, 8 * DAY)
    assert (found.last_proof, found.last_proof_age) == (daily, 3600)
    late = offsite(replace(daily, at=rfc3339(NOW - 7 * DAY - 60)), young)
    assert late.state == NOT_PROVEN and "for 7 d 1 min, and 7 days are allowed" in late.why


def test_what_the_agent_of_a_host_would_say_is_known_to_whoever_looks_at_the_host(tmp_path):
    path, state_dir = tmp_path / "agent.json", str(tmp_path / "state")
    assert health_here("etcd", NOW, str(path)) is None, "a host without an agent"
    given = {"endpoints": ["http://a:2379"], "folder": "/b", "every_member": True, "state_dir": state_dir}
    path.write_text(json.dumps({**given, "cluster": "etcd"}))
    path.chmod(0o600)
    assert health_here("other", NOW, str(path)) is None
    assert health_here("etcd", NOW, str(path)).state == TOO_OLD
    BACKUPS.add(state_dir, replace(AT, result=UNCHANGED, path=""))
    assert [health_here("etcd", NOW + late, str(path)).state for late in (0, 7200)] == [OK, TOO_OLD]
    path.write_text("{")
    broken = health_here("etcd", NOW, str(path))
    assert broken.state == BAD and str(path) in broken.why
