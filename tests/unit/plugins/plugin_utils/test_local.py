# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller itself: what is free where a folder will be made, and its own commands."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import free_bytes, run


def test_free_bytes_of_a_folder_that_is_not_there_yet(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert free_bytes(str(tmp_path / "a" / "b")) > 0
    assert free_bytes("a/b") > 0


def test_a_command_and_one_that_is_missing():
    assert run(["sh", "-c", "echo $WORD; exit 3"], {"WORD": "hello"}) == (3, "hello\n", "")
    with pytest.raises(FileNotFoundError):
        run(["/no/such/program"], {})


def test_the_environment_of_the_run_does_not_speak_to_a_command(monkeypatch):
    monkeypatch.setenv("ETCDCTL_ENDPOINTS", "x")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    shown = run(["env"], {"ETCDCTL_PASSWORD": "geheim"}).out.splitlines()
    assert "ETCDCTL_PASSWORD=geheim" in shown
    assert not [line for line in shown if line.startswith(("ETCDCTL_ENDPOINTS", "HTTPS_PROXY"))]
