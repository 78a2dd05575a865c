# SPDX-License-Identifier: GPL-3.0-or-later
"""The job templates of awx/ as AWX runs them: by ansible-runner, from a thin project, with the words of a survey."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Iterator

import ansible_runner
import pytest
import yaml
from client import seed
from conftest import CHECKOUT, user_environment
from lab import Lab

AWX = CHECKOUT / "awx"
PASSWORD = "geheim-und-lang"
TEMPLATES = yaml.safe_load((AWX / "templates.yml").read_text())[0]


def answers(name: str, **given: str) -> dict[str, str]:
    """What AWX passes on of a template's survey: each answer as text, the defaults where nobody answers."""
    made = TEMPLATES["vars"]["awx_templates"]
    (questions,) = [one["questions"] for one in made if one["name"] == name]
    known = {"{{ awx_target }}": TEMPLATES["vars"]["awx_target"]}
    asked = [known[one] if isinstance(one, str) else one for one in questions]
    assert set(given) <= {one["variable"] for one in asked}
    return {one["variable"]: str(given.get(one["variable"], one["default"])) for one in asked}


class Controller:
    """A folder for jobs, with the project as AWX checks it out."""

    def __init__(self, folder: Path, lab: Lab) -> None:
        self.folder, self.lab, self._jobs = folder, lab, 0
        shutil.copytree(AWX / "project", folder / "project")

    def put(self, key: str) -> None:
        argv = [self.lab.bin_dir / "etcdctl", f"--endpoints={self.lab.endpoints[0]}", f"--user=root:{PASSWORD}", "put"]
        environment = {**os.environ, "ETCDCTL_API": "3"}
        subprocess.run([*argv, key, "1"], env=environment, check=True, capture_output=True, timeout=60)

    def job(self, playbook: str, **extra: Any) -> ansible_runner.Runner:
        """As AWX does it: what the survey gave lies in a file."""
        self._jobs += 1
        (self.folder / "env").mkdir(exist_ok=True)
        (self.folder / "env" / "extravars").write_text(json.dumps(extra))
        return ansible_runner.run(
            private_data_dir=str(self.folder),
            ident=f"job-{self._jobs}",
            playbook=playbook,
            inventory=str(self.lab.inventory),
            envvars={"ANSIBLE_COLLECTIONS_PATH": str(CHECKOUT / ".collections"), "HOME": user_environment()["HOME"]},
            quiet=True,
        )

    def secrets_told(self, done: ansible_runner.Runner) -> list[str]:
        """Files of a job's artifacts that a password stands in: what AWX shows of it."""
        files = [path for path in Path(done.config.artifact_dir).rglob("*") if path.is_file()]
        return [path.name for path in files if PASSWORD in path.read_text(errors="replace")]


def artifact(done: ansible_runner.Runner) -> dict[str, Any]:
    (ended,) = [event for event in done.events if event["event"] == "playbook_on_stats"]
    return ended["event_data"]["artifact_data"]


def failures(done: ansible_runner.Runner) -> str:
    failed = [event for event in done.events if event["event"] == "runner_on_failed"]
    return json.dumps([event["event_data"]["res"] for event in failed])


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    """Of a cluster with users."""
    folder = tmp_path_factory.mktemp("awx")
    with Lab(folder / "lab") as lab:
        seed(lab.members[0].client, 50)
        for words in (f"user add root:{PASSWORD}", "role add root", "user grant-role root root", "auth enable"):
            argv = [lab.bin_dir / "etcdctl", f"--endpoints={lab.endpoints[0]}", *words.split()]
            subprocess.run(argv, env={**os.environ, "ETCDCTL_API": "3"}, check=True, capture_output=True, timeout=60)
        yield Controller(folder, lab)


def test_a_scheduled_job_makes_one_verified_snapshot(controller: Controller) -> None:
    survey = answers("etcd backup", etcd_backup_dir=str(controller.lab.backup_dir), etcd_backup_keep="1")
    login = {"etcd_auth_user": "root", "etcd_auth_password": PASSWORD}
    taken = []
    for number in range(2):
        controller.put(f"job/{number}")
        done = controller.job("backup.yml", **survey, **login)
        assert (done.rc, done.status) == (0, "successful"), failures(done)
        assert (done.stats["failures"], done.stats["dark"]) == ({}, {})
        assert controller.secrets_told(done) == []
        assert [word for word in done.stats["changed"].values() if word] == [1], "one host, one change"
        kept = artifact(done)["etcd_backup"]["etcd"]
        taken.append(Path(kept["path"]))
        assert set(kept) == {"host", "path", "sha256", "size", "revision"}
        manifest = json.loads(Path(f"{kept['path']}.json").read_text())
        assert [kept[name] for name in ("sha256", "size", "revision")] == [
            manifest[name] for name in ("sha256", "size", "revision")
        ]
    there = sorted(
        path
        for path in controller.lab.backup_dir.iterdir()
        if not path.name.endswith((".json", ".lock", ".kit.tar.gz"))
    )
    assert there == taken[-1:], "the survey's words are a number"
    before = sorted(controller.lab.backup_dir.glob("*.db*"))

    # With a store in the inventory AWX still has the schedule. Where nothing was written nothing is saved again: the job tells of
    # the snapshot that is there, which is shipped.
    store = controller.folder / "store"
    store.mkdir(exist_ok=True)
    stores = [{"name": "nas", "folder": str(store), "mounted": False}]
    done = controller.job("backup.yml", **survey, **login, etcd_backup_offsite=stores)
    assert (done.rc, done.status) == (0, "successful"), failures(done)
    assert artifact(done)["etcd_backup"]["etcd"] == kept and sorted(controller.lab.backup_dir.glob("*.db*")) == before
    told = "".join(event.get("stdout", "") for event in done.events)
    assert "Nothing was written since it was taken" in told and "off-site nas: 1 snapshot shipped" in told
    assert [path.name.split(".")[0] for path in (store / "etcd").glob("*.db.json")] == [taken[-1].name.split(".")[0]]

    # Rules as a survey can give them, and a word that is none.
    survey["etcd_backup_keep"] = '{"last": 1, "daily": 2}'
    done = controller.job("backup.yml", **survey, **login)
    assert done.rc == 0, failures(done)
    survey["etcd_backup_keep"] = "some"
    done = controller.job("backup.yml", **survey, **login)
    assert done.rc != 0 and done.status == "failed" and "does not say how many snapshots are kept" in failures(done)

    # A job that fails says why in its events, and never the password.
    survey["etcd_backup_keep"] = "2"
    done = controller.job("backup.yml", **survey, etcd_auth_user="root", etcd_auth_password=f"{PASSWORD}!")
    assert done.rc != 0 and "invalid user ID or password" in failures(done), failures(done)
    assert controller.secrets_told(done) == []
    (records,) = controller.lab.dir.glob("*/state/backups.jsonl")
    found = [json.loads(line) for line in records.read_text().splitlines() if line]
    assert [one["result"] for one in found] == ["saved", "saved", "unchanged", "unchanged", "failed"]
    assert "invalid user ID or password" in found[-1]["cause"]


def test_a_scheduled_look_says_how_it_is(controller: Controller) -> None:
    done = controller.job("status.yml", **answers("etcd status"), etcd_auth_user="root", etcd_auth_password=PASSWORD)
    assert done.status in ("successful", "failed") and controller.secrets_told(done) == []
    told = "".join(event.get("stdout", "") for event in done.events)
    assert "m1" in told and "m3" in told, told


def test_a_restore_without_its_confirmation_only_shows_the_plan(controller: Controller) -> None:
    login = {"etcd_auth_user": "root", "etcd_auth_password": PASSWORD}
    assert (
        controller.job(
            "backup.yml", **answers("etcd backup", etcd_backup_dir=str(controller.lab.backup_dir)), **login
        ).rc
        == 0
    )
    pids = [member.pid() for member in controller.lab.members]
    done = controller.job("restore.yml", **answers("etcd restore"), **login)
    assert done.rc != 0 and "etcd_restore_confirm" in failures(done), failures(done)
    assert [member.pid() for member in controller.lab.members] == pids and controller.secrets_told(done) == []


def test_where_nobody_is_lost_the_survey_of_members_changes_nothing(controller: Controller) -> None:
    """Its empty answers are none."""
    login = {"etcd_auth_user": "root", "etcd_auth_password": PASSWORD}
    done = controller.job("member_replace.yml", **answers("etcd members", etcd_member_replace_confirm="etcd"), **login)
    assert done.rc == 0, failures(done)
    changed = [event for event in done.events if event["event_data"].get("res", {}).get("changed")]
    assert changed == [] and controller.secrets_told(done) == []


def test_surveys_ask_for_variables_that_there_are() -> None:
    options: set[str] = {"target"}
    for role in ("backup", "disaster_restore", "member_replace", "mirror"):
        specification = yaml.safe_load((CHECKOUT / "roles" / role / "meta" / "argument_specs.yml").read_text())
        options |= set(specification["argument_specs"]["main"]["options"])
    for template in TEMPLATES["vars"]["awx_templates"]:
        asked = answers(template["name"])
        assert set(asked) <= options, template["name"]
        wrapper = yaml.safe_load((AWX / "project" / template["playbook"]).read_text())
        assert wrapper[0]["ansible.builtin.import_playbook"] == f"quorum.etcd.{template['playbook'].partition('.')[0]}"
    rules = [value for name, value in TEMPLATES["vars"].items() if name.endswith("_rrule")]
    assert all(re.fullmatch(r"DTSTART:\d{8}T\d{6}Z RRULE:FREQ=(MINUTELY|HOURLY);INTERVAL=\d+", rule) for rule in rules)
