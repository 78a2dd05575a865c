# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent as one file: the same bytes each time, whole, and running under the oldest Python that a host may have."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.cli import COMMANDS
from ansible_collections.quorum.etcd.plugins.module_utils.agent.compiled import compiled
from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import PLUGINS, build, collection_version

OLDEST = Path(__file__).parents[4] / ".cache" / "venv-oldest" / "bin" / "python"
PYTHONS = [python for python in (sys.executable, str(OLDEST)) if Path(python).exists()]


def ran(program, *arguments, python=sys.executable):
    # Not this test's own modules: what is not in the file must be missed.
    environment = {"PATH": "/usr/bin:/bin"}
    argv = [python, "-I", str(program), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, env=environment, cwd="/", check=False)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("agent") / "quorum-etcd"
    path.write_bytes(b"#!/usr/bin/env python3\n" + build())
    return path


def test_the_same_files_make_the_same_bytes(tmp_path):
    """Whatever their times, modes and order are, and whatever else lies there."""
    first = build()
    copy = tmp_path / "plugins"
    shutil.copytree(PLUGINS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for number, path in enumerate(sorted(copy.rglob("*.py"))):
        os.utime(path, (number, number))
        path.chmod(0o600)
    (copy / "module_utils/core/__pycache__").mkdir()
    (copy / "module_utils/core/__pycache__/text.cpython-38.pyc").write_bytes(b"any")
    shutil.copy(PLUGINS.parent / "galaxy.yml", tmp_path)
    assert build(plugins=copy) == first
    (copy / "module_utils/core/text.py").write_text("changed = True\n")
    assert build(plugins=copy) != first


def test_it_holds_what_it_needs_and_nothing_of_ansible():
    with zipfile.ZipFile(BytesIO(build())) as archive:
        names = archive.namelist()
        assert names == sorted(names) and "__main__.py" in names
        assert not [name for name in names if "glue" in name or "/restore/" in name or "/report/" in name]
        assert not [name for name in names if b"import ansible" in archive.read(name)]
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


@pytest.mark.parametrize("python", PYTHONS)
def test_it_runs_by_itself_and_says_the_version_of_the_collection(program, python):
    done = ran(program, "--version", python=python)
    assert (done.returncode, done.stdout) == (0, f"quorum-etcd {collection_version(PLUGINS.parent)}\n"), done.stderr
    helped = ran(program, "backup", "--help", python=python)
    assert helped.returncode == 0 and "exit codes, for monitors" in helped.stdout, helped.stderr
    missing = ran(program, "status", "--config", "/no/such/file", "--json", python=python)
    assert missing.returncode == 2 and '"result": "refused"' in missing.stdout, missing.stderr


def test_a_python_that_is_too_old_is_told_so(tmp_path):
    """It must be said before a line is read that such a Python cannot parse."""
    with zipfile.ZipFile(BytesIO(build())) as archive:
        main = archive.read("__main__.py").decode()
    first = main.index("sys.exit(")
    assert main.index("version_info < (3, 8)") < first < main.index("from quorum_etcd")


def test_of_an_installed_collection_the_manifest_tells_the_version(tmp_path):
    (tmp_path / "MANIFEST.json").write_text('{"collection_info": {"version": "9.8.7"}}')
    assert collection_version(tmp_path) == "9.8.7"


@pytest.mark.parametrize("python", PYTHONS)
def test_with_the_bytecode_of_any_python_it_runs_under_each(program, tmp_path, python):
    """The bytecode is of this Python: another one, as after an upgrade of the host, runs the same sources."""
    path = tmp_path / "quorum-etcd"
    path.write_bytes(b"#!/usr/bin/env python3\n" + compiled(build(), str(path)))
    script = f"import sys; sys.path.insert(0, {str(path)!r}); from quorum_etcd.module_utils.core import text"
    script += "; print(text.__spec__.origin)"
    done = subprocess.run([python, "-I", "-c", script], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip().endswith(".pyc") == (python == sys.executable)
    for arguments in (("--version",), ("--help",), ("status", "--config", "/no/such/file", "--json")):
        one, other = (ran(each, *arguments, python=python) for each in (program, path))
        assert (one.returncode, one.stdout, one.stderr) == (other.returncode, other.stdout, other.stderr)
    assert os.listdir(tmp_path) == ["quorum-etcd"]


# Of the collection, and of Python, what takes long and only another command, or a failure, needs.
OTHERS = {
    "backup": (
        "agent.drilling",
        "agent.keeping",
        "backup.drill",
        "backup.shipping",
        "backup.fetching",
        "etcd.handshake",
    ),
    "status": ("agent.drilling", "agent.saving", "backup.run", "backup.drill", "etcd.cluster", "etcd.handshake"),
}


@pytest.mark.parametrize("command", sorted(OTHERS))
def test_a_run_loads_what_its_command_needs(program, command):
    argv = [sys.executable, "-I", "-X", "importtime", str(program), command, "--help"]
    told = subprocess.run(argv, capture_output=True, text=True, check=True, cwd="/").stderr
    loaded = {line.rpartition("|")[2].strip() for line in told.splitlines()}
    assert "quorum_etcd.module_utils.agent.settings" in loaded
    assert not loaded & {f"quorum_etcd.module_utils.{name}" for name in OTHERS[command]}
    assert not loaded & {"ssl", "logging", "concurrent.futures", "ctypes"}


def test_every_command_is_known_by_its_name(program):
    helped = ran(program, "--help").stdout
    for name in COMMANDS:
        assert name in helped
        assert f"usage: quorum-etcd {name}" in ran(program, name, "--help").stdout, name
    wrong = ran(program, "no-such", "backup")
    assert wrong.returncode == 2 and all(name in wrong.stderr for name in COMMANDS)
