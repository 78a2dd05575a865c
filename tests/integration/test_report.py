# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of real runs: one for each cluster and each outcome, private, true, and no reason for a run to fail."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
import yaml
from beds import LabBed
from client import Gap, Writer, seed
from conftest import BACKUP, CONFIRM, RESTORE, Play, play, seeded
from ground import Ground
from killing import Point, killed_at
from lab import Lab

WRITER_SECONDS = 0.25  # a request of the writer that hangs when the quorum comes back is asked again after this


class Reports:
    """The folder of reports, and what each run has added to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._seen: set[Path] = set()

    def of(self, rc: int, *arguments: str | Path) -> tuple[Play, dict[str, dict[str, Any]]]:
        """Run the restore, which has to exit with ``rc``; returns it and its reports by cluster."""
        done = play(RESTORE, "-e", f"etcd_report_dir={self.folder}", *arguments)
        assert done.rc == rc, done.output
        made = set(self.folder.glob("*.json")) - self._seen
        self._seen |= made
        for path in made:
            page = path.with_suffix(".html")
            assert page.read_text().startswith("<!DOCTYPE html>") and str(page) in done.output
            assert [one.stat().st_mode & 0o777 for one in (self.folder, path, page)] == [0o700, 0o600, 0o600]
        reports = [json.loads(path.read_text()) for path in made]
        return done, {report["cluster"]: report for report in reports}


@pytest.fixture
def reports(tmp_path: Path) -> Reports:
    return Reports(tmp_path / "reports")


def filled(lab: Lab) -> None:
    """A backup, and one write after it."""
    seeded(lab, 300)
    lab.members[0].client.put(b"after the backup", b"1")


def wall(time_: str) -> float:
    return datetime.strptime(time_, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=timezone.utc).timestamp()


def assert_within_bounds(outage: dict[str, Any], gap: Gap) -> None:
    """What a client saw lies between the report's bounds, in its length and on the clock."""
    slack = WRITER_SECONDS + 0.1
    assert 0 < outage["at_least"] <= gap.seconds <= outage["at_most"] + slack, (outage, gap)
    shift = time.time() - time.monotonic()
    began, ended = gap.start + shift, gap.end + shift
    # The last write that got through was no later than the inner start, the first new one no earlier than the inner end.
    assert wall(outage["start"]) - slack <= began <= wall(outage["sure_start"]), (outage, began)
    assert wall(outage["sure_end"]) <= ended <= wall(outage["end"]) + slack, (outage, ended)


def test_each_outcome_of_one_cluster(lab: Lab, reports: Reports, tmp_path: Path) -> None:
    filled(lab)
    inventory = ("-i", lab.inventory)
    _done, found = reports.of(0, *inventory, "--check", "--diff")
    assert found["etcd"]["outcome"] == "check" and found["etcd"]["hosts"]["m1"]["moved"] and found["etcd"]["plan"]

    _done, found = reports.of(2, *inventory)
    assert found["etcd"]["outcome"] == "unconfirmed"
    assert found["etcd"]["next_steps"][0]["commands"][0]["command"].endswith("-e etcd_restore_confirm=etcd")

    snapshot = next(lab.backup_dir.glob("*.db"))
    (tmp_path / "cut.db").write_bytes(snapshot.read_bytes()[:-512])
    _done, found = reports.of(2, *inventory, *CONFIRM, "-e", f"etcd_restore_snapshot={tmp_path / 'cut.db'}")
    assert found["etcd"]["outcome"] == "refused" and "cut.db" in found["etcd"]["refusals"][0]["cause"]

    began = time.monotonic()
    with Writer(lab.endpoints, timeout=WRITER_SECONDS) as writer:
        _done, found = reports.of(0, *inventory, *CONFIRM)
        writer.wait_for_write()
        gap = writer.longest_gap(began)
    report = found["etcd"]
    assert report["outcome"] == "restored" and report["unfinished"] == [] and report["reasons"] == []
    assert all(check["ok"] for check in report["proof"]) and "keys" in {check["what"] for check in report["proof"]}
    assert [phase["phase"] for phase in report["hosts"]["m2"]["phases"]] == [
        "stage",
        "stop",
        "cutover",
        "prove",
        "finish",
    ]
    assert report["loss"]["revisions"] >= 1 and report["loss"]["seconds"] >= 1
    assert all(Path(path).is_dir() for host in report["hosts"].values() for path in host["kept"])
    assert_within_bounds(report["outage"], gap)

    _done, found = reports.of(0, *inventory, *CONFIRM)
    assert found["etcd"]["outcome"] == "nothing"

    done, found = reports.of(0, *inventory, *CONFIRM, "-e", "etcd_restore_rollback=true")
    report = found["etcd"]
    assert (report["outcome"], report["mode"]) == ("rolled-back", "rollback"), done.output
    assert all(Path(path).is_dir() for host in report["hosts"].values() for path in host["kept"])

    done = play(RESTORE, *inventory, "--check", "-e", "etcd_report_dir=/dev/null/reports")
    assert done.rc == 0 and "No report could be written to /dev/null/reports" in done.text


def test_a_restore_that_fails_tells_where_and_why(lab: Lab, reports: Reports) -> None:
    filled(lab)
    # Two start the old data, and refuse whatever a restore has put in its place: there is no quorum that could stay.
    refuse = 'start() {\n    if ls "$here" | grep -q "data.before-"; then echo "no such luck" >&2; exit 1; fi\n'
    for member in lab.members[1:]:
        script = member.dir / "etcd.sh"
        script.write_text(script.read_text().replace("start() {", refuse, 1))
    _done, found = reports.of(2, "-i", lab.inventory, *CONFIRM, "-e", "etcd_restore_prove_timeout=15")
    report = found["etcd"]
    assert report["outcome"] == "rolled-back" and report["touched"] and report["proof"] == []
    assert "m2" in {item["host"] for item in report["reasons"]}, report["reasons"]
    assert any("no such luck" in item["text"] for item in report["reasons"]), report["reasons"]
    assert report["outage"]["start"] and report["outage"]["at_most"] is None


@pytest.mark.parametrize("step", ["stopping", "proven"])
def test_a_restore_that_was_killed_and_run_again(lab: Lab, reports: Reports, step: str) -> None:
    ground = Ground(LabBed(lab)).begin()
    killed_at(ground, Point(step, member=0))
    ground.end()
    _done, found = reports.of(0, "-i", lab.inventory, *CONFIRM)
    report = found["etcd"]
    assert (report["outcome"], report["mode"]) == ("restored", "resume"), report["headline"]
    assert len(report["proof"]) >= 5 and report["loss"]["revisions"] is not None
    assert all(host["phases"][0]["phase"] == "stage" for host in report["hosts"].values()), "the killed run's too"


def own_group(lab: Lab, host: str) -> dict[str, Any]:
    """A lab of one member as a group of an inventory with several clusters."""
    group = yaml.safe_load(lab.inventory.read_text().replace("{{ inventory_dir }}", str(lab.dir)))["etcd"]
    return {"hosts": {host: {"etcd_name": "m1"}}, "vars": {**group["vars"], "etcd_cluster": host[0]}}


def test_each_cluster_of_a_run_has_its_own(tmp_path: Path, reports: Reports) -> None:
    """One is destroyed and restored, the other refuses to be: both are told what became of them."""
    with Lab(tmp_path / "a", members=1) as a, Lab(tmp_path / "b", members=1) as b:
        for lab in (a, b):
            seed(lab.members[0].client, 100)
        both = {"children": {"a": own_group(a, "a1"), "b": own_group(b, "b1")}}
        inventory = tmp_path / "inventory.yml"
        inventory.write_text(json.dumps({"both": both}))
        saved = play(BACKUP, "-i", inventory, "-e", "target=both")
        assert saved.rc == 0, saved.output
        target = ("-i", inventory, "-e", "target=both", "-e", "etcd_restore_confirm=both")
        done, found = reports.of(0, *target, "--check")
        assert {name: report["outcome"] for name, report in found.items()} == {"a": "check", "b": "check"}, done.output

        script = b.members[0].dir / "etcd.sh"
        refuse = 'start() {\n    if ls "$here" | grep -q "data.before-"; then exit 1; fi\n'
        script.write_text(script.read_text().replace("start() {", refuse, 1))
        done, found = reports.of(2, *target, "-e", "etcd_restore_prove_timeout=10")
        assert {name: report["outcome"] for name, report in found.items()} == {"a": "restored", "b": "rolled-back"}
        assert list(found["a"]["hosts"]) == ["a1"] and found["a"]["reasons"] == []
        assert [item["host"] for item in found["b"]["reasons"]] == ["b1"]


def test_a_host_that_cannot_be_looked_at(lab: Lab, reports: Reports) -> None:
    filled(lab)
    inventory = lab.dir / "odd.yml"
    odd = "m3: {ansible_python_interpreter: /no/python, etcd_name: m3"
    inventory.write_text(lab.inventory.read_text().replace("m3: {etcd_name: m3", odd))
    _done, found = reports.of(2, "-i", inventory, *CONFIRM)
    report = found["etcd"]
    assert report["outcome"] == "refused" and report["refusals"][0]["host"] == "m3"
    assert report["reasons"][0]["host"] == "m3" and "/no/python" in report["reasons"][0]["text"]


def test_a_run_that_never_came_to_a_plan(lab: Lab, reports: Reports) -> None:
    _done, found = reports.of(2, "-i", lab.inventory, *CONFIRM, "-e", "ansible_python_interpreter=/no/python")
    report = found["etcd"]
    assert report["outcome"] == "failed" and report["headline"].startswith("Nothing was touched")
    assert [item["host"] for item in report["reasons"]] == ["m1", "m2", "m3"]
    assert all("/no/python" in item["text"] for item in report["reasons"])
