# SPDX-License-Identifier: GPL-3.0-or-later
"""What a monitor is told: the metrics of real runs, as Prometheus' own promtool reads them, and the rules that alert."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from agents import Agent, made_program
from client import seed
from conftest import CHECKOUT
from lab import Lab
from promtool import promtool

RULES, SERIES = CHECKOUT / "docs" / "alerts.yml", CHECKOUT / "tests" / "integration" / "alerts" / "series.yml"
NAME = re.compile(r"\betcd_backup_\w+")


def told(*words: str | Path, given: str = "") -> str:
    """What promtool says, which must be content."""
    argv = [str(promtool()), *map(str, words)]
    done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def values(text: str) -> dict[str, float]:
    """The samples of a textfile, by name and labels."""
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _space, value in (line.rpartition(" ") for line in lines)}


def names(text: str) -> set[str]:
    return {name.partition("{")[0] for name in values(text)}


@pytest.mark.essential  # in every sample of CI: it takes a second, and nobody sees a rule that is silent
def test_the_rules_fire_where_they_must_and_nowhere_else() -> None:
    told("check", "rules", RULES)
    told("test", "rules", SERIES)
    alerts = {rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]}
    cases = [case for test in yaml.safe_load(SERIES.read_text())["tests"] for case in test["alert_rule_test"]]
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == alerts, "each fires somewhere"
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == alerts, "and each keeps silent somewhere"


@pytest.fixture
def agent(tmp_path: Path):
    with Lab(tmp_path / "lab", members=1) as lab:
        seed(lab.members[0].client, 50)
        (tmp_path / "node-exporter").mkdir()
        yield Agent(
            lab,
            lab.members[0],
            made_program(tmp_path),
            tmp_path / "own",
            cluster='a "wild" \\name',
            keep=1,
            metrics_dir=str(tmp_path / "node-exporter"),
        )


def test_what_real_runs_write_is_what_the_rules_read(agent: Agent) -> None:
    folder = agent.config.parent.parent / "node-exporter"
    begun = int(time.time())
    code, saved = agent.run("backup")
    assert code == 0, saved
    (path,) = folder.iterdir()
    text = path.read_text()
    assert path.name == "quorum-etcd.prom" and path.stat().st_mode & 0o777 == 0o644
    assert told("check", "metrics", given=text) == "", "promtool has nothing to say of the names, types and words"

    labels = r'cluster="a \"wild\" \\name"'
    found = values(text)
    assert found[f"etcd_backup_snapshot_size_bytes{{{labels}}}"] == saved["size"]
    assert found[f"etcd_backup_snapshot_revision{{{labels}}}"] == saved["revision"]
    assert begun <= found[f"etcd_backup_last_success_timestamp_seconds{{{labels}}}"] <= time.time()
    assert found[f'etcd_backup_last_result{{{labels},result="saved"}}'] == 1
    assert found[f'etcd_backup_last_result{{{labels},result="failed"}}'] == 0
    assert found[f"etcd_backup_snapshots{{{labels}}}"] == 1
    assert found[f"etcd_backup_folder_free_bytes{{{labels}}}"] <= found[f"etcd_backup_folder_size_bytes{{{labels}}}"]

    code, drilled = agent.run("drill")
    assert code == 0, drilled
    store = agent.config.parent.parent / "store"
    store.mkdir()
    agent.set(offsite=[{"name": "nas", "folder": str(store), "mounted": False}])
    code, shipped = agent.run("ship")
    assert code == 0, shipped
    text = path.read_text()
    found = values(text)
    assert told("check", "metrics", given=text) == ""
    assert found[f'etcd_backup_drill_last_result{{{labels},result="proven"}}'] == 1
    assert found[f'etcd_backup_upload_last_result{{{labels},store="nas",result="shipped"}}'] == 1
    assert found[f'etcd_backup_upload_newest_revision{{{labels},store="nas"}}'] == saved["revision"]
    assert found[f'etcd_backup_upload_last_size_bytes{{{labels},store="nas"}}'] > 0
    assert found[f"etcd_backup_drill_restore_duration_seconds{{{labels}}}"] > 0

    read = {word for file in (RULES, SERIES) for word in NAME.findall(series_and_rules(file))}
    assert read and read <= names(text), "rules and series have the names that are written, and no others"

    # A later one removes the first, and one that fails is told too: as failed, and with the old time of the good one.
    time.sleep(1.1)
    size = Path(saved["path"]).stat().st_size
    again = agent.run("backup", "--force")[1]
    assert again["removed"] == [Path(saved["path"]).name]
    assert values(path.read_text())[f"etcd_backup_prune_removed_bytes{{{labels}}}"] == size
    good = values(path.read_text())[f"etcd_backup_last_success_timestamp_seconds{{{labels}}}"]
    agent.set(endpoints=["http://127.0.0.1:9"])
    assert agent.run("backup")[0] == 1
    found = values(path.read_text())
    assert found[f'etcd_backup_last_result{{{labels},result="failed"}}'] == 1
    assert found[f"etcd_backup_last_success_timestamp_seconds{{{labels}}}"] == good
    assert told("check", "metrics", given=path.read_text()) == ""
    assert [one.name for one in folder.iterdir()] == [path.name]

    # What cannot be told is no reason to fail, and is said.
    agent.set(metrics_dir=str(folder / "gone"))
    agent.set(endpoints=[saved["endpoint"]])
    code, after = agent.run("backup")
    assert code == 0 and "the metrics could not be written to" in after["metrics"]


def series_and_rules(file: Path) -> str:
    """The expressions and the series of a file, without its words for people."""
    found = []
    for group in yaml.safe_load(file.read_text()).get("groups", []):
        found += [rule["expr"] for rule in group["rules"]]
    for test in yaml.safe_load(file.read_text()).get("tests", []):
        found += [one["series"] for one in test["input_series"]]
    return "\n".join(found)
