# SPDX-License-Identifier: GPL-3.0-or-later
"""What the collection reads of a member's configuration, against etcd itself started with it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.host.mounts import on_host
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host, etcd_processes
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import formats
from etcd_binaries import obtain

URLS = """
listen-peer-urls: http://127.0.0.1:0
listen-client-urls: http://127.0.0.1:0
advertise-client-urls: http://127.0.0.1:1
initial-advertise-peer-urls: http://127.0.0.1:2
"""
CLUSTER = "initial-cluster: m1=http://127.0.0.1:2"
KEYS = ("name", "initial-cluster", "initial-cluster-token", "initial-cluster-state", "snapshot-count")
TEXTS = {
    "letters of either case": f"Name: m1\nINITIAL-Cluster-Token: X\n{CLUSTER}",
    "small letters go before capital ones": f"name: m1\nName: m2\ninitial-cluster-token: a\nInitial-Cluster-Token: b\n{CLUSTER}",
    "the last of equal keys counts": f"name: m2\nname: m1\n{CLUSTER}",
    "a block": "name: m1\ninitial-cluster: >-\n  m1=http://127.0.0.1:2\ninitial-cluster-token: >-\n  a\n  b\n\n  c\n",
    "several lines": f"name: m1\ninitial-cluster-token: a\n  b\n\n  c\n{CLUSTER}",
    "quotes": f"name: 'm1'\ninitial-cluster-token: \"a\\x41\\u00e9\\\n  b\\tc\"\n{CLUSTER}",
    "an anchor": f"x: &x m1\nname: *x\n{CLUSTER}",
    "a merge": f"x: &x {{initial-cluster-token: zz, name: m9}}\n<<: *x\nname: m1\n{CLUSTER}",
    "a tag": "name: !!str 012\ninitial-cluster: 012=http://127.0.0.1:2",
    "numbers": f"name: m1\nsnapshot-count: 0x1_0\n{CLUSTER}",
    "a number with an exponent": f"name: m1\nsnapshot-count: 1e4\n{CLUSTER}",
    "an octal number": f"name: m1\nsnapshot-count: 017\n{CLUSTER}",
    "comments": f"name: m1 # here\ninitial-cluster-token: a#b # there\n{CLUSTER}#c\n",
}
DEFAULTS = {"initial-cluster-token": "etcd-cluster", "initial-cluster-state": "new"}


def as_etcd_reads(text: str, folder: Path) -> dict[str, str]:
    """The settings that etcd tells of when it starts with this file."""
    file = folder / "etcd.yml"
    file.write_text(text)
    process = subprocess.Popen(
        [str(obtain() / "etcd"), "--config-file", str(file)], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    stop = threading.Timer(20, process.kill)
    stop.start()
    said = ""
    try:
        for line in process.stderr:
            said = line
            if "starting an etcd server" in line:
                found = json.loads(line)
                return {key: str(found[key]) for key in KEYS}
    finally:
        process.kill()
        process.wait()
        stop.cancel()
        shutil.rmtree(folder / "data", ignore_errors=True)
    raise AssertionError(f"etcd did not start: {said}")


def test_etcds_own_file_is_read_as_etcd_reads_it(tmp_path: Path) -> None:
    for name, text in TEXTS.items():
        whole = text.rstrip("\n") + f"\ndata-dir: {tmp_path}/data" + URLS
        theirs, ours = as_etcd_reads(whole, tmp_path), formats.read("yaml", whole)
        assert {key: ours.get(key) or DEFAULTS.get(key, theirs[key]) for key in KEYS} == theirs, name
        edited = formats.edit("yaml", whole, {"initial-cluster-token": "set-by-us"})
        assert as_etcd_reads(edited, tmp_path) == {**theirs, "initial-cluster-token": "set-by-us"}, name


def test_json_is_read_as_etcd_reads_it(tmp_path: Path) -> None:
    values = {
        "name": "m1",
        "data-dir": str(tmp_path / "data"),
        "initial-cluster": "m1=http://127.0.0.1:2",
        "snapshot-count": 77,
    }
    values.update(dict(line.split(": ", 1) for line in URLS.strip().splitlines()), **{"initial-cluster-token": "a"})
    text = json.dumps(values, indent="\t")
    theirs, ours = as_etcd_reads(text, tmp_path), formats.read("yaml", text)
    assert {key: ours.get(key, theirs[key]) for key in KEYS} == theirs
    edited = formats.edit("yaml", text, {"initial-cluster-token": "b"})
    assert json.loads(edited) == {**values, "initial-cluster-token": "b"}


@pytest.mark.parametrize("volatile", [False, True], ids=["a folder of the host", "a tmpfs of its own"])
def test_a_member_with_mounts_of_its_own_has_its_data_where_the_host_has_it(tmp_path: Path, volatile: bool) -> None:
    """As ``BindPaths=`` and a container's volume make it: the same path on the host is another folder."""
    if os.geteuid() or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, outside):
        (folder / "member").mkdir(parents=True)
    mount = f"mount -t tmpfs none {inside}" if volatile else f"mount --bind {outside} {inside}"
    urls = [f"--{line.replace(': ', '=')}" for line in URLS.strip().splitlines()]
    start = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$0" "$@"', str(obtain() / "etcd"), f"--data-dir={inside}"]
    process = subprocess.Popen(
        [*start, "--name=m1", f"--{CLUSTER.replace(': ', '=')}", *urls], stderr=subprocess.PIPE, text=True
    )
    try:
        for line in process.stderr:
            if "starting an etcd server" in line:
                break
        found = [one for one in etcd_processes(Host()) if one.pid == process.pid]
        assert on_host(Host(), found[0], str(inside), str(inside)) == (None if volatile else str(outside))
    finally:
        process.kill()
        process.wait()
