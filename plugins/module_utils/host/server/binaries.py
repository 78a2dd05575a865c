# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's three programs out of an archive of a release, whose SHA-256 must be the one that was named.

What is taken out are the three files by their exact names, and no path of the archive is ever followed. Each archive has a
folder of its own, named by its SHA-256, which is there wholly or not at all; links in ``bin_dir`` say which one counts.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import tarfile
import tempfile
from typing import IO, Any, Callable, ContextManager, Dict, Iterator, List, Mapping

from ...core.errors import EtcdError
from ...core.trees import sync_folder
from ..tools import NAMES

FOLDER = "/usr/local/lib/quorum-etcd"  # which has a folder of each archive
# What release archives call the architectures, by what the kernel does.
ARCHITECTURES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
}
NEEDED = ("etcd", "etcdctl")  # etcdutl is there from 3.5 on
LARGEST = 512 * 1024 * 1024  # bytes of a program
_BLOCK = 1 << 20
_PLACE = re.compile(r"(?:\./)?(?:[^/]+/)?(etcd|etcdctl|etcdutl)\Z")

Opened = Callable[[], ContextManager[IO[bytes]]]


def architecture(machine: str) -> str:
    """What archives call the architecture of this machine, such as ``amd64``."""
    if machine not in ARCHITECTURES:
        raise EtcdError(
            f"etcd has no release for the architecture {machine}.",
            "install it by hand, and set etcd_install_from to none.",
        )
    return ARCHITECTURES[machine]


def sha256_for(sums: Mapping[str, Any], arch: str) -> str:
    """The SHA-256 that the archive of this architecture must have; EtcdError where none is named."""
    found = str(sums.get(arch) or "").strip().lower()
    if not re.fullmatch(r"[0-9a-f]{64}", found):
        said = f"is {found!r}, which is none" if found else "is not given"
        raise EtcdError(
            f"the SHA-256 of the archive for {arch} {said}.",
            f"set etcd_archive_sha256 to {{{arch}: ...}}, as the release's own SHA256SUMS has it.",
        )
    return found


class Programs:
    """The programs of one archive on this host. ``root`` is another folder than ``/`` in tests only."""

    def __init__(self, sha256: str, bin_dir: str, root: str = "/") -> None:
        self.sha256 = sha256
        self._bin_dir = bin_dir
        self._root = root
        self.folder = os.path.join(FOLDER, sha256[:16])

    def _at(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip("/"))

    def are_unpacked(self) -> bool:
        return os.path.isdir(self._at(self.folder))

    def links(self) -> Dict[str, str]:
        """The links that are to be, by their paths; before the archive is there, those that every one has."""
        own = self._at(self.folder)
        names = [
            name
            for name in NAMES
            if (os.path.exists(os.path.join(own, name)) if os.path.isdir(own) else name in NEEDED)
        ]
        return {os.path.join(self._bin_dir, name): os.path.join(self.folder, name) for name in names}

    def wrong_links(self) -> List[str]:
        """The links that are not as they are to be. EtcdError where another's program is in their place."""
        wrong = []
        for path, target in self.links().items():
            full = self._at(path)
            now = os.readlink(full) if os.path.islink(full) else ""
            if os.path.lexists(full) and not now.startswith(f"{FOLDER}/"):
                raise EtcdError(
                    f"{path} is there already, and install.yml has not put it there.",
                    "use it, with etcd_install_from=none; or move it away; or set etcd_bin_dir to another folder.",
                )
            if now != target:
                wrong.append(path)
        return wrong

    def unpack(self, archive: Opened) -> None:
        """Bring the archive's programs here, by a rename at the very end. EtcdError where it is another than was named."""
        parent = self._at(FOLDER)
        os.makedirs(parent, mode=0o755, exist_ok=True)
        with _private(parent) as folder:
            path = os.path.join(folder, "archive")
            _receive(archive, path, self.sha256)
            made = os.path.join(folder, "programs")
            os.mkdir(made, 0o755)
            _take_out(path, made)
            sync_folder(made)
            os.rename(made, self._at(self.folder))
            sync_folder(parent)

    def link(self) -> None:
        """Let this archive's programs be the ones that are found; each link changes at once."""
        os.makedirs(self._at(self._bin_dir), mode=0o755, exist_ok=True)
        for path in self.wrong_links():
            full = self._at(path)
            beside = f"{full}.quorum-etcd-new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(beside)
            os.symlink(self.links()[path], beside)
            os.rename(beside, full)
        sync_folder(self._at(self._bin_dir))


@contextlib.contextmanager
def _private(parent: str) -> Iterator[str]:
    """A folder for its owner alone; what a killed run has left goes first."""
    for name in os.listdir(parent):
        if name.startswith(".new-"):
            shutil.rmtree(os.path.join(parent, name), ignore_errors=True)
    folder = tempfile.mkdtemp(prefix=".new-", dir=parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.rmdir(parent)  # where nothing came of it


def _receive(archive: Opened, path: str, sha256: str) -> None:
    digest = hashlib.sha256()
    with archive() as source, open(path, "xb") as target:
        for block in iter(lambda: source.read(_BLOCK), b""):
            digest.update(block)
            target.write(block)
    if digest.hexdigest() != sha256:
        raise EtcdError(
            f"the archive has the SHA-256 {digest.hexdigest()}, and not {sha256}: it is another file, or was changed on its way.",
            "compare it with the release's own SHA256SUMS; nothing of it was put anywhere.",
        )


def _take_out(path: str, folder: str) -> None:
    """The three programs alone, each from a plain file at the top of the archive or in its one folder."""
    found = set()
    try:
        with tarfile.open(path, mode="r:*") as archive:
            for entry in archive:
                name = _PLACE.match(entry.name)
                if name and entry.isreg() and entry.size <= LARGEST and name.group(1) not in found:
                    found.add(name.group(1))
                    _write_program(archive, entry, os.path.join(folder, name.group(1)))
    except (tarfile.TarError, EOFError, OSError) as error:
        raise EtcdError(
            f"the archive cannot be read: {error}.",
            "give the .tar.gz of a release for Linux, as etcd's project has it.",
        ) from error
    missing = [name for name in NEEDED if name not in found]
    if missing:
        raise EtcdError(
            f"the archive has no {', '.join(missing)}.",
            "give the .tar.gz of a release for Linux, as etcd's project has it.",
        )


def _write_program(archive: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
    source = archive.extractfile(entry)
    if source is None:
        raise AssertionError("a plain file has content")
    with source, open(path, "xb") as target:
        shutil.copyfileobj(source, target, _BLOCK)
        target.flush()
        os.fchmod(target.fileno(), stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
        os.fsync(target.fileno())
