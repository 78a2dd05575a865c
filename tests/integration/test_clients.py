# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients name the members that the cluster really has: on a member's host and on others, and each reads its file again."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Iterator

import pytest
from client import seed
from conftest import CHECKOUT, Play, play
from lab import Lab, Member

CLIENTS, MEMBER_REPLACE = (CHECKOUT / "playbooks" / f"{name}.yml" for name in ("clients", "member_replace"))
# It tells that it was run; without a shell the blank and the dollar are nothing else.
RELOAD = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + '\\n')"


class Ground:
    """A lab of three and a host that is to join. A host ``app`` is in no cluster, another is in another's."""

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

    def play(self, *arguments: str, playbook: Path = CLIENTS) -> Play:
        return play(playbook, "-i", self.lab.inventory, "-i", self.inventory, *arguments)

    def check_replaced(self) -> None:
        """A member is replaced, and every client is told of it: by that run, and where that did not get to all, by the next."""
        lab = self.lab
        one, two, three, four = members_of(lab)
        self.write(one, two, three)
        before, after = self.texts(), self.texts_with(three, four)
        lab.kill(three)
        variables = {"dead": ["m3"], "by": ["m4"], "confirm": "etcd", "backup": False}
        asked = ["-e", json.dumps({f"etcd_member_replace_{name}": value for name, value in variables.items()})]

        shown = self.play(*asked, "--check", "--diff", playbook=MEMBER_REPLACE)
        assert shown.rc == 0 and self.texts() == before and self.reloads() == [], shown.output
        assert f"+{four.client_url}" in shown.output and f"-{three.client_url}" in shown.output
        assert "hunter2" not in shown.output and three.name in {entry.name for entry in one.client.member_list()}

        busy = self.folder / "busy"
        busy.touch()
        code = "import os, sys; sys.exit('busy' if os.path.exists(sys.argv[1]) else 0)"
        self.name(setting="FLANNELD_ETCD_ENDPOINTS", reload=[sys.executable, "-c", code, str(busy)])
        failed = self.play(*asked, playbook=MEMBER_REPLACE)
        assert failed.rc != 0 and "failed with exit code 1: busy" in failed.text, failed.output
        assert "its reload is tried once more" in failed.text and self.texts() == (after[0], before[1])
        assert {entry.name for entry in one.client.member_list()} == {"m1", "m2", "m4"}

        busy.unlink()
        again = self.play(*asked, playbook=MEMBER_REPLACE)
        assert again.rc == 0 and "There is nothing to do" in again.text, again.output
        assert "an earlier run did not get to the end" in again.text and self.texts() == after
        assert self.reloads() == ["patroni $HOME"]
        self.name()

    def texts_with(self, gone: Member, comes: Member) -> tuple[str, str]:
        old, new = (member.client_url.rpartition(":")[2] for member in (gone, comes))
        flannel, patroni = (text.replace(f":{old}", f":{new}") for text in self.texts())
        return flannel, patroni

    def reloads(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    """m4 has taken the place of m3, by a run whose clients were told, but for a reload that failed."""
    folder = tmp_path_factory.mktemp("clients")
    with Lab(folder / "lab", spares=1) as lab:
        seed(lab.members[0].client, 100)
        ground = Ground(lab, folder)
        ground.check_replaced()
        yield ground


def gone(member: Member) -> tuple[str, str]:
    return "-e", json.dumps({"etcd_clients_gone": [member.client_url]})


def members_of(lab: Lab) -> list[Member]:
    return [lab.member(name) for name in ("m1", "m2", "m3", "m4")]


def test_they_come_to_name_the_members_and_are_reloaded_once(ground: Ground) -> None:
    one, two, three, four = members_of(ground.lab)
    ground.write(one, two, three)
    before, after = ground.texts(), ground.texts_with(three, four)
    done = ground.play(*gone(three))
    assert done.rc == 0 and ground.texts() == after, done.output
    assert ground.reloads() == ["flannel", "patroni $HOME"]
    assert done.recap("app")["changed"] == 1 and done.recap("m1")["changed"] == 1 and done.recap("m2")["changed"] == 0
    copies = [copy.read_text() for copy in (ground.folder / "app-state" / "config").iterdir()]
    assert set(copies) == {before[1]}
    again = ground.play(*gone(three))
    assert again.rc == 0 and again.recap("app")["changed"] == 0 and len(ground.reloads()) == 2, again.output
    assert f"right, {four.client_url}" not in again.text and "app: " in again.output


def test_what_nobody_knows_stays_and_is_told(ground: Ground) -> None:
    one, two, _three, four = members_of(ground.lab)
    ground.write(one, two, four)
    ground.flannel.write_text(ground.flannel.read_text().replace("127.0.0.1", "10.9.9.9", 1))
    done = ground.play()
    port = one.client_url.rpartition(":")[2]
    assert done.rc == 0 and f"10.9.9.9:{port} stays there, and is no member's" in done.text, done.output
    assert f"10.9.9.9:{port}" in ground.texts()[0] and one.client_url in ground.texts()[0]


def test_a_place_that_is_not_exactly_one_list_is_refused_before_anything(ground: Ground) -> None:
    ground.write(*members_of(ground.lab)[:3])
    before = ground.texts()
    ground.name(pattern='(127[^,"]*)')
    done = ground.play(*gone(ground.lab.member("m3")))
    replaced = ground.play("-e", "etcd_member_replace_remove=m1", playbook=MEMBER_REPLACE)
    ground.name()
    assert replaced.rc != 0 and "fits 3 times." in replaced.text and "Look and plan" not in replaced.output
    assert done.rc != 0 and "Nothing was touched." in done.text, done.output
    assert f"{ground.flannel}: its pattern '(127[^,\"]*)' fits 3 times." in done.text.replace("''", "'")
    assert ground.texts() == before and ground.reloads() == []
