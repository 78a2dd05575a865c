# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent with bytecode in it: Python takes it where it is the source's and its own, and the source in every other case."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent import compiled as room
from ansible_collections.quorum.etcd.plugins.module_utils.agent.compiled import are_the_same, compiled, zipped

LINE = b"#!/usr/bin/python3\n"
LIBRARY = b'''"""Words."""
NAMES = ["one", "two", 3.0]


def known(word, among=frozenset(("a", "b", "c"))):
    return word in {"etcd", "member", "leader"} or word in among


def broken():
    raise RuntimeError("here")
'''
MAIN = b"""\
import library
from package import part

print(library.known("etcd"), part.VALUE)
for module in (library, part):
    print(module.__spec__.origin.rpartition(".")[2])
"""
FILES = {
    "__main__.py": MAIN,
    "library.py": LIBRARY,
    "package/__init__.py": b"",
    "package/part.py": b"VALUE = 1\n",
    "notes.txt": b"no source",
}
PLAIN = zipped(FILES)


def files_of(program):
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def ran(path, *options):
    done = subprocess.run(
        [sys.executable, "-I", *options, str(path)], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program"
    path.write_bytes(LINE + compiled(PLAIN, str(path)))
    return path


def changed(path, **files):
    path.write_bytes(LINE + zipped({**files_of(path.read_bytes()), **files}))
    return path


def test_what_was_compiled_is_what_runs(tmp_path, program):
    plain = tmp_path / "plain"
    plain.write_bytes(LINE + PLAIN)
    assert ran(plain) == ["True", "1", "py", "py"]
    assert ran(program) == ["True", "1", "pyc", "pyc"]
    assert sorted(os.listdir(tmp_path)) == ["plain", "program"]


def test_the_sources_are_as_they_were():
    files = files_of(compiled(PLAIN, "/p"))
    assert {name: content for name, content in files.items() if not name.endswith(".pyc")} == FILES
    assert {name for name in files if name.endswith(".pyc")} == {f"{name}c" for name in FILES if name.endswith(".py")}
    assert list(files) == sorted(files)


def test_the_bytecode_of_another_source_is_not_run(program):
    """As after somebody has mended the program by hand; of the same length, and of the same time."""
    changed(program, **{"package/part.py": b"VALUE = 2\n"})
    assert ran(program) == ["True", "2", "pyc", "py"]


@pytest.mark.parametrize("magic", [b"\x00\x00\x0d\x0a", b"", b"\x61\x0d\x0d"])
def test_the_bytecode_of_another_python_is_not_run(program, magic):
    """As after the host's Python was upgraded, or put back: what follows cannot be read by this one."""
    foreign = {f"{name}c": magic + b"\x03\0\0\0" + b"?" * 40 for name in FILES if name.endswith(".py")}
    changed(program, **(foreign if magic else dict.fromkeys(foreign, b"")))
    assert ran(program) == ["True", "1", "py", "py"]


def test_it_names_the_lines_of_its_source_where_it_fails(program):
    files = {**FILES, "__main__.py": b"import library\n\nlibrary.broken()\n"}
    program.write_bytes(LINE + compiled(zipped(files), str(program)))
    done = subprocess.run([sys.executable, "-I", str(program)], capture_output=True, text=True, check=False, cwd="/")
    assert f'File "{program}/__main__.py", line 3, in <module>' in done.stderr
    assert f'File "{program}/library.py", line 10, in broken' in done.stderr


def test_two_are_the_same_although_they_were_compiled_by_two_processes():
    script = f"import sys; sys.path.insert(0, {os.path.dirname(room.__file__)!r}); import compiled as one\n"
    script += f"sys.stdout.buffer.write(one.compiled({PLAIN!r}, '/p'))"
    made = set()
    for seed in range(4):
        argv, environment = [sys.executable, "-c", script], {**os.environ, "PYTHONHASHSEED": str(seed)}
        made.add(subprocess.run(argv, capture_output=True, check=True, env=environment).stdout)
    own = compiled(PLAIN, "/p")
    assert all(are_the_same(LINE + own, LINE + other) for other in made)


def test_what_differs_in_anything_is_another():
    good = LINE + compiled(PLAIN, "/p")
    files = files_of(good)
    others = {
        name: LINE + zipped({**files, name: content})
        for name, content in {
            "library.py": LIBRARY + b"\n",
            "library.pyc": files["library.pyc"].replace(b"etcd", b"etcc"),
            "package/part.pyc": files["package/part.pyc"][:4] + b"\x01" + files["package/part.pyc"][5:],
            "package/__init__.pyc": b"",
            "new.py": b"",
        }.items()
    }
    assert all(other != good for other in others.values())
    assert [name for name, other in others.items() if are_the_same(good, other)] == []
    without = {name: one for name, one in files.items() if name != "library.pyc"}
    assert not are_the_same(good, LINE + zipped(without))
    assert not are_the_same(good, LINE + PLAIN)
    assert not are_the_same(good, good[len(LINE) :])
    assert not are_the_same(good, good.replace(b"python3\n", b"python9\n", 1))


def test_what_was_damaged_anywhere_is_another():
    good = LINE + compiled(PLAIN, "/p")
    assert not are_the_same(good, b"") and not are_the_same(good, good[:-1]) and not are_the_same(good, b"#!\n")
    for place in range(0, len(good), 7):
        damaged = bytearray(good)
        damaged[place] ^= 0x10
        again = are_the_same(good, bytes(damaged))
        # A zip has bytes that mean nothing: what is in it is the same then.
        assert not again or files_of(bytes(damaged)) == files_of(good), place


def test_the_agent_itself_is_compiled_whole(tmp_path):
    """Every source of the real one, by this Python."""
    plugins = Path(room.__file__).parents[2]
    sources = {
        f"quorum_etcd/{path.relative_to(plugins)}": path.read_bytes()
        for path in (plugins / "module_utils" / "agent").glob("*.py")
    }
    files = files_of(compiled(zipped(sources), "/p"))
    assert len(files) == 2 * len(sources) and len(sources) > 10
