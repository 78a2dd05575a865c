# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent's one file with the bytecode of its host's Python beside each source, so that no start has to compile it.

Python never keeps what it compiles of a zip, and takes bytecode that lies in one. It stays one file of root's: nothing is
unpacked, so there is no cache that could be stale, half written or somebody else's. Each piece of bytecode carries the hash of
its source, and Python compiles the source where that is another, or where the bytecode is of another Python.
"""

from __future__ import annotations

import importlib.util
import io
import marshal
import zipfile
from typing import Dict

_CHECKED = 0b11  # of a .pyc, see PEP 552: valid for the source with this hash, and that is looked at
_CODE = 16  # bytes of a .pyc before its code: magic number, flags, hash


def compiled(program: bytes, path: str) -> bytes:
    """The zip ``program`` with bytecode for the Python that runs this; ``path`` is where it will lie, for its tracebacks."""
    files = _files(program)
    for name in [name for name in files if name.endswith(".py")]:
        files[f"{name}c"] = _bytecode(files[name], f"{path}/{name}")
    return zipped(files)


def zipped(files: Dict[str, bytes]) -> bytes:
    """A zip with the files by their names: the same files make the same bytes, on every machine.

    Names are sorted, times are fixed, and nothing is compressed, since two versions of zlib need not agree.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)  # of 1980-01-01, the first time that a zip can tell
            entry.create_system, entry.external_attr = 3, 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def are_the_same(one: bytes, other: bytes) -> bool:
    """Whether two programs, each with its interpreter's line, do the same: bytecode of one source can be written in two ways."""
    if one == other:
        return True
    try:
        return _contents(one) == _contents(other)
    except Exception:  # zipfile has many for what is damaged
        return False


def _contents(program: bytes) -> object:
    """What ``program`` is but for the ways to write it: its first line, and its files, those of bytecode as their code."""
    line = program[: program.index(b"\n")]
    return line, {name: _meaning(name, content) for name, content in _files(program).items()}


def _meaning(name: str, content: bytes) -> object:
    """A zip has a checksum of each file, so that what is read as code here was once written as such."""
    return (content[:_CODE], marshal.loads(content[_CODE:])) if name.endswith(".pyc") else content  # noqa: S302


def _files(program: bytes) -> Dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(program)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _bytecode(source: bytes, path: str) -> bytes:
    code = compile(source, path, "exec", dont_inherit=True, optimize=0)
    head = importlib.util.MAGIC_NUMBER + _CHECKED.to_bytes(4, "little") + importlib.util.source_hash(source)
    return head + marshal.dumps(code)
