# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients name the members that the cluster really has: on a member's host and on others, and each reads its file again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Iterator

import pytest
from conftest import CHECKOUT, Play, play
from lab import Lab, Member
from membership import remove

CLIENTS = CHECKOUT / "playbooks" / "clients.yml"
# It tells that it was run; without a shell the blank and the dollar are nothing else.
RELOAD = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"


class Ground:
    """A lab of four, of which the clients know the first three. A host ``app`` is in no cluster, another is in another's."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.log, self.flannel, self.patroni = folder / "reloads", folder / "flanneld", folder / "patroni.yml"
        self.inventory = folder / "clients.json"
        self.name()

    def name(self, **flannel: object) -> None:
        """The clients in the inventory; flannel's is another where that is said."""
        folder = self.folder
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "ansible_become": False}
        patroni = {"path": str(self.patroni), "setting": "etcd3.hosts", "reload": self.reload("patroni $HOME")}
        usual = {"pattern": '^FLANNELD_ETCD_ENDPOINTS="(.*)"$', "reload": self.reload("flannel")}
        flannel = {"path": str(self.flannel), **(flannel or usual)}
        app = {**local, "etcd_state_dir": str(folder / "app-state"), "etcd_clients": [patroni]}
        others = {**local, "etcd_cluster": "another", "etcd_clients": [{**patroni, "reload": ["false"]}]}
        content = {
            "etcd_clients": {"hosts": {"app": app, "others": others}},
            "etcd": {"hosts": {self.lab.members[0].host: {"etcd_clients": [flannel]}}},
        }
        self.inventory.write_text(json.dumps(content))

    def reload(self, word: str) -> list[str]:
        return [sys.executable, "-c", RELOAD, str(self.log), word]

    def write(self, *members: Member) -> None:
        addresses = [member.client_url.partition("//")[2] for member in members]
        self.flannel.write_text(f'# ours\nFLANNELD_ETCD_ENDPOINTS="{",".join(f"http://{one}" for one in addresses)}"\n')
        lines = "".join(f"  - {one}\n" for one in addresses)
        self.patroni.write_text(f"scope: pg\netcd3:\n  hosts:\n{lines}  protocol: http\npassword: hunter2\n")
        self.log.unlink(missing_ok=True)

    def texts(self) -> tuple[str, str]:
        return self.flannel.read_text(), self.patroni.read_text()

    def play(self, *arguments: str) -> Play:
        return play(CLIENTS, "-i", self.lab.inventory, "-i", self.inventory, *arguments)

    def reloads(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    folder = tmp_path_factory.mktemp("clients")
    with Lab(folder / "lab", members=4) as lab:
        remove(lab, lab.members[0], "m3")
        yield Ground(lab, folder)


def gone(member: Member) -> tuple[str, str]:
    return "-e", json.dumps({"etcd_clients_gone": [member.client_url]})


def test_they_come_to_name_the_members_and_are_reloaded_once(ground: Ground) -> None:
    one, two, three, four = ground.lab.members
    ground.write(one, two, three)
    before = ground.texts()
    shown = ground.play(*gone(three), "--check", "--diff")
    assert shown.rc == 0 and ground.texts() == before and ground.reloads() == [], shown.output
    assert f"+{four.client_url}" in shown.output and f"-{three.client_url}" in shown.output
    assert "hunter2" not in shown.output
    done = ground.play(*gone(three))
    assert done.rc == 0, done.output
    port, newcomer = (member.client_url.rpartition(":")[2] for member in (three, four))
    assert ground.texts() == tuple(text.replace(f":{port}", f":{newcomer}") for text in before)
    assert ground.reloads() == ["flannel", "patroni $HOME"]
    assert done.recap("app")["changed"] == 1 and done.recap("m1")["changed"] == 1 and done.recap("m2")["changed"] == 0
    copies = list((ground.folder / "app-state" / "config").iterdir())
    assert [copy.read_text() for copy in copies] == [before[1]]
    again = ground.play(*gone(three))
    assert again.rc == 0 and again.recap("app")["changed"] == 0 and len(ground.reloads()) == 2, again.output
    assert f"right, {four.client_url}" not in again.text and "app: " in again.output


def test_what_nobody_knows_to_be_gone_stays_and_is_told(ground: Ground) -> None:
    one, two, three, _four = ground.lab.members
    ground.write(one, two, three)
    done = ground.play()
    assert done.rc == 0, done.output
    address = three.client_url.partition("//")[2]
    assert all(address in text for text in ground.texts())
    assert all(ground.lab.members[3].client_url.partition("//")[2] in text for text in ground.texts())


def test_a_place_that_is_not_exactly_one_list_is_refused_before_anything(ground: Ground) -> None:
    ground.write(*ground.lab.members[:3])
    before = ground.texts()
    ground.name(pattern='(127[^,"]*)')
    done = ground.play(*gone(ground.lab.members[2]))
    ground.name()
    assert done.rc != 0 and "Nothing was touched." in done.text, done.output
    assert f"{ground.flannel}: its pattern '(127[^,\"]*)' fits 3 times." in done.text.replace("''", "'")
    assert ground.texts() == before and ground.reloads() == []


def test_a_failed_reload_stops_the_next_host_and_is_made_good_by_the_next_run(ground: Ground) -> None:
    one, two, three, four = ground.lab.members
    ground.write(one, two, three)
    before = ground.texts()
    busy = ground.folder / "busy"
    busy.touch()
    code = "import os, sys; sys.exit('busy' if os.path.exists(sys.argv[1]) else 0)"
    ground.name(setting="FLANNELD_ETCD_ENDPOINTS", reload=[sys.executable, "-c", code, str(busy)])
    failed = ground.play(*gone(three))
    assert failed.rc != 0 and "failed with exit code 1: busy" in failed.text, failed.output
    assert "its reload is tried once more" in failed.text
    assert four.client_url in ground.texts()[0] and ground.texts()[1] == before[1]
    assert "app" not in failed.output.rpartition("Let the clients name them")[2].partition("PLAY RECAP")[0]
    busy.unlink()
    again = ground.play(*gone(three))
    assert again.rc == 0 and "an earlier run did not get to the end" in again.text, again.output
    assert four.client_url.partition("//")[2] in ground.texts()[1]
    ground.name()
