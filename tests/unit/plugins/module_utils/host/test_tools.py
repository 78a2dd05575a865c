# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tools that a host has only in a container, or in the image of one that does not run."""

from __future__ import annotations

import os
import shutil

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.host import tools as etcd_tools
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host

IMAGE = "registry.k8s.io/etcd:3.6.16-0"


class Containerd:
    """Images, and tools whose content is their version."""

    def __init__(self, tmp_path, ctr="ctr"):
        self.images, self.ctr, self.mounted, self.calls = tmp_path / "images", ctr, [], []

    def put(self, path, version):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\x7fELF" + version)
        return str(path)

    def image(self, name=IMAGE, version="3.6.16", tools=etcd_tools.NAMES):
        for tool in tools:
            self.put(self.images / name / "usr/local/bin" / tool, version)

    def run(self, argv, env):
        self.calls.append(list(argv))
        if argv[0].endswith("ctr"):
            if argv[0] != self.ctr:
                raise FileNotFoundError(2, "No such file or directory", argv[0])
            return self._ctr(*argv[4:])
        with open(argv[0]) as stream:
            return Result(0, f"etcd Version: {stream.read()[4:]}\n", "")

    def _ctr(self, action, *words):
        folder = words[-1]
        if action == "mount":
            if not (self.images / words[0]).is_dir():
                return Result(1, "", f"ctr: image {words[0]}: not found\n")
            shutil.copytree(self.images / words[0], folder, dirs_exist_ok=True)
            self.mounted.append(folder)
        else:
            assert (action, words[0]) == ("unmount", "--rm")
            self.mounted.remove(folder)
            for name in os.listdir(folder):
                shutil.rmtree(os.path.join(folder, name))
        return Result(0, "", "")


@pytest.fixture
def containerd(tmp_path, monkeypatch):
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(etcd_tools.tempfile, "tempdir", str(tmp_path / "tmp"))
    made = Containerd(tmp_path)
    yield made
    assert made.mounted == []
    assert os.listdir(str(tmp_path / "tmp")) == []


def test_an_image_is_looked_into_and_nothing_of_it_stays(containerd, tmp_path):
    containerd.image()
    tools, missing = etcd_tools.look_in_image(containerd.run, IMAGE, "/state")
    assert tools.etcdutl == Tool("/state/bin/3.6.16/etcdutl", Version(3, 6, 16))
    assert missing == {}
    assert containerd.calls[0][:6] == ["ctr", "-n", "k8s.io", "images", "mount", IMAGE]


def test_an_image_without_etcdutl(containerd):
    containerd.image(tools=("etcd", "etcdctl"))
    tools, missing = etcd_tools.look_in_image(containerd.run, IMAGE, "/state")
    assert tools.etcdutl is None and tools.etcdctl is not None
    assert missing["etcdutl"].endswith(f"in the image {IMAGE}")


def test_the_client_may_be_in_usr_local(containerd):
    containerd.ctr = "/usr/local/bin/ctr"
    containerd.image()
    assert etcd_tools.look_in_image(containerd.run, IMAGE, "/state")[0].etcd


def test_an_image_that_is_not_there_and_a_host_without_containerd(containerd):
    tools, missing = etcd_tools.look_in_image(containerd.run, IMAGE, "/state")
    assert tools == Tools() and "not found" in missing["etcdutl"]
    containerd.ctr = "somewhere else"
    tools, missing = etcd_tools.look_in_image(containerd.run, IMAGE, "/state")
    assert tools == Tools() and "none of ctr, /usr/local/bin/ctr" in missing["etcdutl"]


def test_copies_are_made_from_a_running_container(containerd, tmp_path):
    containerd.put(tmp_path / "etcdutl", "3.6.16")
    inside = f"/proc/self/root{tmp_path}/etcdutl"
    own = Tool(containerd.put(tmp_path / "usr/etcdctl", "3.6.15"), Version(3, 6, 15))
    tools, state = Tools(etcdctl=own, etcdutl=Tool(inside, Version(3, 6, 16))), str(tmp_path / "s")
    etcd_tools.keep_tools(tools, state, containerd.run, IMAGE)
    kept = etcd_tools.kept_tools(tools, state)
    assert kept.etcdctl == own
    assert kept.etcdutl.path == f"{state}/bin/3.6.16/etcdutl"
    assert (tmp_path / "s/bin/3.6.16/etcdutl").read_text() == "\x7fELF3.6.16" and os.access(kept.etcdutl.path, os.X_OK)
    os.unlink(tmp_path / "etcdutl")
    etcd_tools.keep_tools(tools, state, containerd.run, IMAGE)  # they are there already
    assert containerd.calls == []


def test_a_container_that_has_vanished_since_leaves_its_image(containerd, tmp_path):
    containerd.image()
    tools = Tools(etcdutl=Tool("/proc/999999999/root/usr/local/bin/etcdutl", Version(3, 6, 16)))
    etcd_tools.keep_tools(tools, str(tmp_path / "s"), containerd.run, IMAGE)
    assert (tmp_path / "s/bin/3.6.16/etcdutl").read_text() == "\x7fELF3.6.16"


def test_what_was_found_in_an_image_is_copied_from_it(containerd, tmp_path):
    containerd.image()
    state = str(tmp_path / "s")
    containerd.put(tmp_path / "s/bin/3.5.1/etcdutl", "3.5.1")  # of an older restore
    tools, _missing = etcd_tools.look_in_image(containerd.run, IMAGE, state)
    etcd_tools.keep_tools(tools, state, containerd.run, IMAGE)
    assert etcd_tools.kept_folders(Host(), state) == (f"{state}/bin/3.6.16", f"{state}/bin/3.5.1")
    assert sorted(os.listdir(f"{state}/bin/3.6.16")) == sorted(etcd_tools.NAMES)


def test_an_image_that_has_changed_since_the_plan_is_not_taken(containerd, tmp_path):
    containerd.image(version="3.6.17")
    tools = Tools(etcdutl=Tool("/proc/999999999/root/usr/local/bin/etcdutl", Version(3, 6, 16)))
    with pytest.raises(EtcdError, match="was to have etcdutl 3.6.16, and has etcdutl 3.6.17"):
        etcd_tools.keep_tools(tools, str(tmp_path / "s"), containerd.run, IMAGE)
    assert not (tmp_path / "s").exists()
