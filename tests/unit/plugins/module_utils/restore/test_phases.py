# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The phases of a restore on one host follow each other, and what lies where after each."""

from __future__ import annotations

import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.restore import steps
from ansible_collections.quorum.etcd.plugins.module_utils.restore.phases import Restore
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.host import CONFIG, points, to_cutover


def test_staging_leaves_the_old_member_alone(host):
    assert host.restore().stage()
    assert host.db() == "old" and host.service.calls == []
    assert host.config.read_text() == CONFIG
    assert host.restore().stage() is False, "a second time there is nothing to do"


def test_cutover_swaps_by_rename_and_configures_new(host):
    to_cutover(host)
    assert host.db() == "new"
    with open(os.path.join(host.aside, "member", "db")) as old:
        assert old.read() == "old"
    assert "ETCD_INITIAL_CLUSTER_STATE=new" in host.config.read_text()
    assert "ETCD_INITIAL_CLUSTER_TOKEN=fresh" in host.config.read_text()
    assert host.config.read_text().startswith("# mine\n")
    assert host.service.calls == ["stop", "start"]
    assert host.restore().cutover() is False


def test_the_controllers_of_kubernetes_are_away_from_the_stop_to_the_end(host):
    """One that lives through a restore deletes restored objects, whose owners it remembers as gone."""
    restore = host.restore()
    restore.stage()
    assert host.manifest.exists(), "the old cluster still serves"
    host.service.stop = lambda _timeout: pytest.fail("the member stops first") if host.manifest.exists() else None
    restore.stop()
    restore.cutover()
    restore.journal.record(steps.PROVEN, checks=[])
    assert not host.manifest.exists()
    restore.finish()
    assert host.manifest.read_text() == "a controller's"
    assert restore.journal.steps()[-2:] == ["resumed", "finished"]


def test_no_phase_before_its_predecessor(host):
    for phase in ("stop", "cutover", "finish"):
        with pytest.raises(EtcdError, match="is not in its journal"):
            getattr(host.restore(), phase)()
    assert host.db() == "old" and host.service.calls == []


@pytest.mark.parametrize("left", [2, 3, 4])
def test_once_it_goes_back_no_phase_goes_forward(host, monkeypatch, left):
    """Killed in a rollback, old data or none may be in place: to start there as a new cluster would be the end of it."""
    restore = to_cutover(host)
    changes = points(lambda _number: restore.rollback(), monkeypatch)
    for _change in range(left):
        next(changes)
    assert steps.told(str(host.root / "state"), str(host.live))["journal"]["back"] is True
    host.service.calls.clear()
    for phase in ("stage", "stop", "cutover", "finish"):
        with pytest.raises(EtcdError, match="was rolled back, or was about to be"):
            getattr(host.restore(), phase)()
    assert host.service.calls == []
    host.restore().rollback()
    assert host.db() == "old" and host.config.read_text() == CONFIG


def test_a_plan_that_an_earlier_version_has_kept_is_followed(host):
    """It names no controllers, says nothing of an earlier run or of a trailer, and keeps fewer of the member's facts."""
    plan = host.plan()
    del plan["controllers"]
    service = plan["member"]["service"]
    for name in set(service) - {
        "manager",
        "name",
        "manifest",
        "state",
        "start_command",
        "stop_command",
        "status_command",
    }:
        del service[name]
    restore = Restore(plan, host.run, Connection())
    assert restore.stage() and restore.stop() and host.db() == "new" and host.manifest.exists()
    assert restore.rollback() and host.db() == "old"


def test_a_plan_that_is_none_is_refused_before_anything_is_touched(host):
    with pytest.raises(EtcdError, match=r"cannot be understood: swaps\[0\].kind is missing. Next: run restore.yml"):
        host.restore(swaps=[{}])
    assert host.db() == "old" and not (host.root / "state").exists()
