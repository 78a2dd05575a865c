# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The etcd processes of a host, as /proc shows them: their command lines, environments and configuration files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from ..core.errors import EtcdError
from .settings import formats
from .settings.names import flags, is_variable, setting_of

INTERPRETERS = ("bash", "sh", "dash", "ash", "busybox", "zsh", "ksh", "python", "perl")
KUBELETS = ("kubelet", "kubelite")


class Host:
    """The files of a host below ``root``, which is ``/`` but in tests."""

    def __init__(self, root: str = "/") -> None:
        self.root = root

    def path(self, path: str) -> str:
        return path if self.root == "/" else os.path.join(self.root, path.lstrip("/"))

    def exists(self, path: str) -> bool:
        return bool(path) and os.path.exists(self.path(path))

    def read(self, path: str) -> Optional[str]:
        """The text of a file; None where there is none that can be read."""
        try:
            with open(self.path(path), encoding="utf-8", errors="surrogateescape", newline="") as stream:
                return stream.read()
        except OSError:
            return None

    def link(self, path: str) -> str:
        try:
            return os.readlink(self.path(path))
        except OSError:
            return ""

    def list(self, path: str) -> List[str]:
        try:
            return sorted(os.listdir(self.path(path)))
        except OSError:
            return []

    def same(self, one: str, other: str) -> bool:
        """Whether both paths are one file or folder."""
        try:
            return os.path.samefile(self.path(one), self.path(other))
        except OSError:
            return False


class Given(NamedTuple):
    """A setting as the process got it; ``kind`` is ``flag``, ``variable`` or ``file``."""

    value: str
    kind: str


@dataclass(frozen=True)
class Process:
    """One running etcd. ``exe`` and ``cwd`` are paths as the process sees them; '' where they cannot be read."""

    pid: int
    parent: int
    uid: int
    exe: str
    cwd: str
    argv: List[str]
    environ: Dict[str, str]

    @property
    def inside(self) -> str:
        """The process's own root folder, which differs from the host's in a container."""
        return f"/proc/{self.pid}/root"


def etcd_processes(host: Host) -> List[Process]:
    """Every running etcd. Processes may vanish or be unreadable while this looks; those are left out."""
    pids = sorted(int(name) for name in host.list("/proc") if name.isdigit())
    found = (_process(host, pid) for pid in pids)
    return [process for process in found if process]


def runs_kubelet(host: Host) -> bool:
    """Whether a kubelet runs, by itself or inside of a program that is several in one."""
    return any(
        os.path.basename(words[0]) in KUBELETS or words[1:2] == ["kubelet"] for _pid, words in command_lines(host)
    )


def command_lines(host: Host) -> Iterator[Tuple[int, List[str]]]:
    """Every process that has a command line, with its words; the kernel's own threads and zombies have none."""
    for pid in filter(str.isdigit, host.list("/proc")):
        words = (host.read(f"/proc/{pid}/cmdline") or "").split("\0")
        if words != [""]:
            yield int(pid), words


def _process(host: Host, pid: int) -> Optional[Process]:
    folder = f"/proc/{pid}"
    exe = host.link(f"{folder}/exe").replace(" (deleted)", "")
    comm = (host.read(f"{folder}/comm") or "").strip()
    if "etcd" not in (comm, os.path.basename(exe)):
        return None
    argv = (host.read(f"{folder}/cmdline") or "").split("\0")[:-1]
    if not argv:
        return None  # a zombie, or gone
    if os.path.basename(exe).startswith(INTERPRETERS) or argv[1:2] in (["grpc-proxy"], ["gateway"]):
        return None  # a script that is called etcd, or etcd as a proxy: no members
    try:
        uid = os.stat(host.path(folder)).st_uid
    except OSError:
        return None
    pairs = (pair.partition("=") for pair in (host.read(f"{folder}/environ") or "").split("\0") if pair)
    environ = {name: value for name, _equals, value in pairs}
    return Process(pid, parent_of(host, pid), uid, exe, host.link(f"{folder}/cwd"), argv, environ)


def parent_of(host: Host, pid: int) -> int:
    found = _state_and_parent(host, pid)
    return int(found[1]) if len(found) > 1 else 0


def is_halted(host: Host, pid: int) -> bool:
    """Whether a signal or a debugger holds the process still: it heeds nothing, and would not stop when it is told to."""
    return _state_and_parent(host, pid)[:1] in (["T"], ["t"])


def _state_and_parent(host: Host, pid: int) -> List[str]:
    stat = host.read(f"/proc/{pid}/stat") or ""
    return stat.rpartition(")")[2].split()[:2]  # the name may hold blanks and brackets


def descends_from(host: Host, process: Process, pid: int) -> bool:
    """Whether ``process`` is ``pid`` or was started below it, such as by a wrapper script that is the unit's main process."""
    at = process.pid
    for _generation in range(16):
        if at == pid:
            return True
        if at <= 1:
            return False
        at = parent_of(host, at)
    return False


def config_file(process: Process) -> str:
    """The YAML file that the process was given, absolute as the process sees it; '' where there is none."""
    given = flags(process.argv[1:]).get("config-file")
    path = given[0] if given else process.environ.get("ETCD_CONFIG_FILE", "")
    return os.path.normpath(os.path.join(process.cwd or "/", path)) if path else ""


def seen_by(host: Host, process: Process, path: str) -> str:
    """A path of the process's as the host can open it: through the process's root where that is another file system view."""
    through = process.inside + path
    return through if host.exists(through) and not host.same(through, path) else path


def given_to(host: Host, process: Process) -> Dict[str, Given]:
    """What the process was started with. As etcd has it: a configuration file alone, else flags before variables."""
    path = config_file(process)
    if path:
        text = host.read(seen_by(host, process, path))
        if text is None:
            raise EtcdError(f"{path}, the configuration file of process {process.pid}, cannot be read.", "become root.")
        try:
            return {name: Given(value, "file") for name, value in formats.read("yaml", text).items()}
        except EtcdError as error:
            raise EtcdError(f"{path}: {error.message}", error.next_step) from error
    variables = {setting_of(name): value for name, value in process.environ.items() if is_variable(name)}
    found = {name: Given(value, "variable") for name, value in variables.items()}
    found.update({name: Given(value[0], "flag") for name, value in flags(process.argv[1:]).items()})
    return found


def data_dir(host: Host, process: Process, mine: Dict[str, Given]) -> str:
    """Its data directory, absolute as the process sees it, also where that is etcd's default."""
    name = mine["name"].value if "name" in mine and mine["name"].value else "default"
    path = mine["data-dir"].value if "data-dir" in mine and mine["data-dir"].value else f"{name}.etcd"
    return os.path.normpath(os.path.join(process.cwd or "/", path))


def uses(host: Host, process: Process, path: str) -> bool:
    """Whether the process's data directory is ``path`` of the host, by name or, in a container, by the folder itself."""
    try:
        own = data_dir(host, process, given_to(host, process))
    except EtcdError:
        return False  # it is not ours to complain about another's file
    inside = process.inside + own
    if host.exists(inside) and host.exists(path):
        return host.same(inside, path)
    return own == os.path.normpath(path) or host.same(own, path)
