# SPDX-License-Identifier: GPL-3.0-or-later
"""The action that writes the reports: what it makes of its options, in check mode too, and what it must not fail for."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from unittest.mock import MagicMock

import pytest
from ansible import context
from ansible.errors import AnsibleActionFail
from ansible.utils.context_objects import CLIArgs
from ansible_collections.quorum.etcd.plugins.action.job_report import ActionModule

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def recorded(name="restored"):
    return json.loads((FIXTURES / f"report-{name}.json").read_text())


def run(check_mode=False, registered=None, **options):
    """``registered``: what each host of the play has registered, by name."""
    options = {"job": "restore", "clusters": {"m1": "etcd"}, **options}
    task = MagicMock(args=options, check_mode=check_mode, async_val=0, diff=False)
    action = ActionModule(task, MagicMock(), MagicMock(check_mode=check_mode), MagicMock(), MagicMock(), MagicMock())
    action._load_name = "job_report"  # the loader's work
    hostvars = registered or {}
    return action.run(task_vars={"ansible_play_hosts_all": list(hostvars), "hostvars": hostvars})


def restored(**changes):
    """The options of a run that restored, and what its hosts registered."""
    given = recorded()
    hosts = {host: {"proven": {"journal": entries}} for host, entries in given["journals"].items()}
    planned = {"plan": given["plan"], "text": given["text"], "refusal": "", "unconfirmed": "", **changes}
    return {"plan": planned, "phases": ["absent", "proven"], "registered": hosts}


@pytest.fixture
def command_line(monkeypatch):
    def started_as(**given):
        monkeypatch.setattr(context, "CLIARGS", CLIArgs(given))

    return started_as


def test_a_restore_is_reported_in_two_private_files(tmp_path, command_line):
    command_line(
        args=("restore.yml",), inventory=(str(Path.cwd() / "prod"),), extra_vars=("etcd_auth_password=hunter2",)
    )
    folder = tmp_path / "reports"
    done = run(folder=str(folder), **restored())
    name = folder / "etcd-20261124T150008Z-restored"
    assert done == {
        "changed": False,
        "reports": [{"cluster": "etcd", "outcome": "restored", "html": f"{name}.html", "json": f"{name}.json"}],
        "text": done["text"],
        "stats": done["stats"],
    }
    (stats,) = done["stats"]
    assert {key: stats[key] for key in ("cluster", "outcome", "snapshot")} == {
        "cluster": "etcd",
        "outcome": "restored",
        "snapshot": "/srv/lab/backups/etcd-20261124T145959Z-rev16.db",
    }
    assert stats["loss"] == stats["report"]["loss"] and json.dumps(stats)
    assert done["text"][0] == "Cluster etcd is restored from the backup of 2026-11-24 14:59:59 UTC, and proven."
    assert done["text"][1] == "Next:" and done["text"][-1] == f"Report: {name}.html"
    assert "     ansible-playbook backup.yml -i prod" in done["text"], "with the command that does it"
    assert not any("sudo rm" in line for line in done["text"]), "what must not be done today stands in the report alone"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    report = json.loads(Path(f"{name}.json").read_text())
    assert report["outcome"] == "restored" and not report["check"]
    text = Path(f"{name}.html").read_text()
    assert "ansible-playbook backup.yml -i prod" in text
    assert "hunter2" not in text + json.dumps(report)


def test_check_mode_writes_a_report_too(tmp_path):
    given = restored()
    done = run(folder=str(tmp_path), check_mode=True, plan=given["plan"])
    assert [report["outcome"] for report in done["reports"]] == ["check"] and done["changed"] is False
    assert len(list(tmp_path.iterdir())) == 2
    real = run(folder=str(tmp_path), **given)
    assert (
        len({path for report in (*done["reports"], *real["reports"]) for path in (report["html"], report["json"])}) == 4
    )


def test_what_was_said_goes_before_the_mode_of_the_task(tmp_path):
    done = run(folder=str(tmp_path), check_mode=True, check=False, **restored(refusal="no"))
    assert done["reports"][0]["outcome"] == "refused"
    assert run(folder=str(tmp_path), check_mode=True, check=False, **restored())["reports"][0]["outcome"] == "restored"


def test_each_cluster_has_its_own(tmp_path):
    given = restored()
    given["plan"]["plan"]["clusters"]["other"] = {"cluster": "other", "mode": "nothing"}
    done = run(folder=str(tmp_path), **given)
    assert [(report["cluster"], report["outcome"]) for report in done["reports"]] == [
        ("etcd", "restored"),
        ("other", "nothing"),
    ]
    assert sum(line.startswith("Report: ") for line in done["text"]) == 2


def test_at_most_fifty_are_kept(tmp_path):
    for number in range(60):
        old = tmp_path / f"etcd-20250101T0000{number:02d}Z-restored.html"
        old.write_text("")
        os.utime(old, (number, number))
    run(folder=str(tmp_path), **restored())
    assert len({path.stem for path in tmp_path.iterdir()}) == 50
    assert (tmp_path / "etcd-20261124T150008Z-restored.html").exists()


def test_a_folder_that_cannot_be_written_to_is_no_failure(tmp_path):
    (tmp_path / "file").write_text("")
    done = run(folder=str(tmp_path / "file" / "reports"), **restored())
    assert done["reports"] == [] and not done.get("failed")
    assert "No report could be written" in done["text"][-1] and "etcd_report_dir" in done["text"][-1]
    assert "Next:" in done["text"], "what to do next is said all the same"


def test_a_run_without_a_plan_is_reported_too(tmp_path):
    failed = {"look": {"failed": True, "msg": "no Python here"}}
    options = {"clusters": {"m1": "etcd", "m2": "etcd"}, "looks": ["look"], "registered": {"m1": failed, "m2": {}}}
    done = run(folder=str(tmp_path), **options)
    assert [(report["cluster"], report["outcome"]) for report in done["reports"]] == [("etcd", "failed")]
    report = json.loads(Path(done["reports"][0]["json"]).read_text())
    assert report["reasons"] == [{"host": "m1", "text": "no Python here"}]
    no_plan = run(folder=str(tmp_path), **{**options, "registered": {}}, plan={"failed": True, "msg": "it is odd"})
    assert json.loads(Path(no_plan["reports"][0]["json"]).read_text())["reasons"] == [{"host": "", "text": "it is odd"}]


def test_a_report_that_cannot_be_made_is_no_failure(tmp_path):
    given = restored()
    del given["plan"]["plan"]["hosts"]
    done = run(folder=str(tmp_path), **given)
    assert done["reports"] == [] and not done.get("failed") and list(tmp_path.iterdir()) == []
    assert "No report could be made: KeyError: 'hosts'" in done["text"][0]


def test_a_misspelt_option_is_refused(tmp_path):
    with pytest.raises(AnsibleActionFail, match="jurnals"):
        run(folder=str(tmp_path), jurnals={}, **restored())
