# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a host has etcd, etcdctl and etcdutl, and which versions they are."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import Dict, Iterator, List, Mapping, Optional, Tuple

from ..core.errors import EtcdError
from ..core.threads import side_by_side
from ..etcd.commands import Run, Tool, Tools, etcd_version, tool_version
from ..etcd.versions import Version, parse_version
from .facts import ToolFact, ToolFacts
from .processes import Host
from .trust import weakness

NAMES = ("etcd", "etcdctl", "etcdutl")
FOLDERS = ("/usr/local/bin", "/usr/bin", "/opt/etcd", "/opt/bin")
_ELF = b"\x7fELF"  # how a program begins that is no script
# containerd's own client. The kubelet's images are in the namespace k8s.io.
CTR = ("ctr", "/usr/local/bin/ctr", "/usr/bin/ctr")


def find_tools(run: Run, bin_dir: str = "") -> Tools:
    """The executables of this host; see ``look_for_tools``."""
    return look_for_tools(run, bin_dir)[0]


def look_for_tools(
    run: Run, bin_dir: str = "", running_exe: str = "", root: str = "/", more: Tuple[str, ...] = ()
) -> Tuple[Tools, Dict[str, str]]:
    """The first of each that runs, and why each missing one is missing.

    Looked for in ``bin_dir``, the folder of the running etcd, the PATH, the usual folders, and last in ``more``. Where the
    folder of the running etcd is below ``/proc/<pid>/root`` it is the one of a container, whose tools are of one version.
    """
    host = Host(root)
    path = [folder for folder in os.environ.get("PATH", "").split(":") if folder] if root == "/" else []
    own = os.path.dirname(running_exe)
    folders = [bin_dir, own, *path, *FOLDERS, *more]

    def look(name: str) -> Tuple[Optional[Tool], str]:
        candidates = [f"{folder.rstrip('/')}/{name}" for folder in dict.fromkeys(folders) if folder]
        return _first_that_runs(run, host, name, candidates, bin_dir)

    found = dict(zip(NAMES, side_by_side(look, NAMES)))
    missing = {name: reason for name, (tool, reason) in found.items() if not tool}
    return Tools(**{name: tool for name, (tool, _reason) in found.items()}), missing


def _first_that_runs(
    run: Run, host: Host, name: str, candidates: List[str], bin_dir: str
) -> Tuple[Optional[Tool], str]:
    reason = f"no {name} in {', '.join(os.path.dirname(path) for path in candidates)}"
    tried = False
    for path in candidates:
        full = host.path(path)
        if not os.path.isfile(full):
            continue
        is_named = bool(bin_dir) and name != "etcd" and os.path.dirname(path) == bin_dir.rstrip("/")
        untouched = _why_not_to_run(full, is_named)
        tool, why = (None, f"{path} is not run: {untouched}") if untouched else _ask(run, name, path, full)
        if tool:
            return tool, ""
        if not tried:  # the first one is the one that was meant
            reason, tried = why, True
    return None, reason


def _why_not_to_run(path: str, is_named: bool) -> str:
    """Why it is not even asked for its version. A script may do anything: only one in the folder that the operator named.

    As root only what nobody but root can have put there.
    """
    weak = weakness(path)
    if weak:
        return f"{weak}, and what root runs must be root's alone (chown root:root, chmod go-w)"
    try:
        with open(path, "rb") as stream:
            is_program = stream.read(len(_ELF)) == _ELF
    except OSError as error:
        return error.strerror or str(error)
    return "" if is_program or is_named else "it is a script, or no program at all"


def _ask(run: Run, name: str, path: str, full: str) -> Tuple[Optional[Tool], str]:
    command = etcd_version(full) if name == "etcd" else tool_version(full)
    try:
        result = run(command.argv, command.env)
        if result.rc == 0:
            return Tool(full, parse_version(result.out)), ""
        why = f"exit code {result.rc}: {(result.err or result.out).strip()[:200]}"
    except (OSError, EtcdError) as error:
        why = str(error)
    return None, f"{path} does not run: {why}"


def facts_of(tools: Tools) -> ToolFacts:
    found = ((name, getattr(tools, name)) for name in NAMES)
    return ToolFacts(**{name: ToolFact(tool.path, str(tool.version)) if tool else None for name, tool in found})


def tools_of(facts: ToolFacts) -> Tools:
    """EtcdError where a version is none."""
    found = {name: getattr(facts, name) for name in NAMES}
    return Tools(**{name: Tool(tool.path, parse_version(tool.version)) for name, tool in found.items() if tool})


# ---- tools that a host has only in a container or its image ----------------------------------------------------------


def kept_path(state_dir: str, name: str, version: Version) -> str:
    """Where the copy of a tool is that a host has only inside a container: by its version, so that none is ever stale."""
    return os.path.join(state_dir, "bin", str(version), name)


def kept_folders(host: Host, state_dir: str) -> Tuple[str, ...]:
    """The folders of copies that earlier restores made, the newest version first."""
    folder = os.path.join(state_dir, "bin")
    names = sorted(host.list(folder), key=_version_of_folder, reverse=True)
    return tuple(os.path.join(folder, name) for name in names)


def _version_of_folder(name: str) -> Tuple[int, ...]:
    try:
        return tuple(parse_version(name))
    except EtcdError:
        return ()


def kept_tools(tools: Tools, state_dir: str) -> Tools:
    """The same tools, by the copies that ``keep_tools`` makes: what is only in a running container vanishes when it stops."""
    kept = {}
    for name in NAMES:
        tool = getattr(tools, name)
        kept[name] = Tool(kept_path(state_dir, name, tool.version), tool.version) if _is_contained(tool) else tool
    return Tools(**kept)


def keep_tools(tools: Tools, state_dir: str, run: Run, image: str) -> None:
    """Make the copies that ``kept_tools`` names and that are not there yet, from the running container or from its image."""
    kept = kept_tools(tools, state_dir)
    wanted = {}
    for name in NAMES:
        source, copy = getattr(tools, name), getattr(kept, name)
        if copy and copy.path == kept_path(state_dir, name, copy.version) and not os.path.exists(copy.path):
            wanted[name] = (source.path, copy)
    for name, (source, copy) in list(wanted.items()):
        if os.path.isfile(source):  # a pod that fails over and over may be gone by now
            _copy(source, copy.path)
            del wanted[name]
    if wanted:
        _copy_from_image(wanted, run, image)


def _copy_from_image(wanted: Mapping[str, Tuple[str, Tool]], run: Run, image: str) -> None:
    with opened_image(run, image) as root:
        found = look_for_tools(run, root=root)[0]
        for name, (_source, copy) in wanted.items():
            tool = getattr(found, name)
            if tool is None or tool.version != copy.version:
                there = f"{name} {tool.version}" if tool else f"no {name}"
                raise EtcdError(
                    f"the image {image} was to have {name} {copy.version}, and has {there}.",
                    "run again for a new plan.",
                )
            _copy(tool.path, copy.path)


def _copy(source: str, target: str) -> None:
    os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
    shutil.copyfile(source, target + ".tmp")
    os.chmod(target + ".tmp", 0o755)
    os.rename(target + ".tmp", target)


def _is_contained(tool: Optional[Tool]) -> bool:
    return tool is not None and tool.path.startswith("/proc/")


def look_in_image(run: Run, image: str, state_dir: str) -> Tuple[Tools, Dict[str, str]]:
    """The tools in the image of a container that does not run, by the paths of the copies that ``keep_tools`` will make."""
    try:
        with opened_image(run, image) as root:
            tools, missing = look_for_tools(run, root=root)
    except EtcdError as error:
        return Tools(), dict.fromkeys(NAMES, error.message)
    found = {name: getattr(tools, name) for name in NAMES}
    kept = {
        name: Tool(kept_path(state_dir, name, tool.version), tool.version) if tool else None
        for name, tool in found.items()
    }
    return Tools(**kept), {name: f"{why} in the image {image}" for name, why in missing.items()}


@contextmanager
def opened_image(run: Run, image: str) -> Iterator[str]:
    """A folder with the files of an image that containerd has, mounted only for reading, for as long as the context lasts."""
    folder = tempfile.mkdtemp(prefix="quorum-etcd-image-")
    try:
        ctr = _mount(run, image, folder)
        try:
            yield folder
        finally:
            run([ctr, "-n", "k8s.io", "images", "unmount", "--rm", folder], {})
    finally:
        os.rmdir(folder)


def _mount(run: Run, image: str, folder: str) -> str:
    """Mount the image; returns the client that did."""
    why = f"none of {', '.join(CTR)} is there to open it with"
    for ctr in CTR:
        try:
            result = run([ctr, "-n", "k8s.io", "images", "mount", image, folder], {})
        except OSError:
            continue
        if result.rc == 0:
            return ctr
        why = f"{ctr}: {(result.err or result.out).strip()[-300:]}"
        break
    raise EtcdError(
        f"the image {image} of etcd's pod could not be opened ({why})",
        "install etcd's tools on this host, in /usr/local/bin, or set etcd_bin_dir.",
    )
