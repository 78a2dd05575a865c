# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where a host has etcd, etcdctl and etcdutl, and which versions they are."""

from __future__ import annotations

import os
import shutil
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ._processes import Host
from .commands import Run, Tool, Tools, etcd_version, tool_version
from .errors import EtcdError
from .versions import parse_version

NAMES = ("etcd", "etcdctl", "etcdutl")
FOLDERS = ("/usr/local/bin", "/usr/bin", "/opt/etcd", "/opt/bin")


def find_tools(
    run: Run, bin_dir: str = "", running_exe: str = "", root: str = "/", more: Tuple[str, ...] = ()
) -> Tools:
    """The executables of this host; see ``look_for_tools``."""
    return look_for_tools(run, bin_dir, running_exe, root, more)[0]


def look_for_tools(
    run: Run, bin_dir: str = "", running_exe: str = "", root: str = "/", more: Tuple[str, ...] = ()
) -> Tuple[Tools, Dict[str, str]]:
    """The first of each that runs, and why each missing one is missing.

    Looked for in ``bin_dir``, the folder of the running etcd, the PATH, the usual folders, and last in ``more``. A folder
    below ``/proc/<pid>/root`` is the one of a container: what the host has itself goes before it, except for etcd.
    """
    host = Host(root)
    path = [folder for folder in os.environ.get("PATH", "").split(":") if folder] if root == "/" else []
    own = os.path.dirname(running_exe)
    contained = own.startswith("/proc/")
    folders = [bin_dir, *([] if contained else [own]), *path, *FOLDERS, *more, *([own] if contained else [])]
    found: Dict[str, Optional[Tool]] = {}
    missing: Dict[str, str] = {}
    for name in NAMES:
        places = [bin_dir, own, *folders] if name == "etcd" else folders
        candidates = [f"{folder.rstrip('/')}/{name}" for folder in dict.fromkeys(places) if folder]
        found[name], reason = _first_that_runs(run, host, name, candidates)
        if found[name] is None:
            missing[name] = reason
    return Tools(**found), missing


def _first_that_runs(run: Run, host: Host, name: str, candidates: List[str]) -> Tuple[Optional[Tool], str]:
    reason = f"no {name} in {', '.join(os.path.dirname(path) for path in candidates)}"
    tried = False
    for path in candidates:
        full = host.path(path)
        if not os.path.isfile(full):
            continue
        command = etcd_version(full) if name == "etcd" else tool_version(full)
        try:
            result = run(command.argv, command.env)
            if result.rc == 0:
                return Tool(full, parse_version(result.out)), ""
            why = f"exit code {result.rc}: {(result.err or result.out).strip()[:200]}"
        except (OSError, EtcdError) as error:
            why = str(error)
        if not tried:  # the first one is the one that was meant
            reason, tried = f"{path} does not run: {why}", True
    return None, reason


def tools_as_dict(tools: Tools) -> Dict[str, Optional[Dict[str, str]]]:
    """``{"etcd": {"path", "version"} or None, "etcdctl": ..., "etcdutl": ...}``"""
    found = ((name, getattr(tools, name)) for name in NAMES)
    return {name: {"path": tool.path, "version": str(tool.version)} if tool else None for name, tool in found}


def tools_from_dict(tools: Mapping[str, Any]) -> Tools:
    return Tools(
        **{name: Tool(tools[name]["path"], parse_version(tools[name]["version"])) for name in NAMES if tools.get(name)}
    )


def kept_folder(state_dir: str) -> str:
    """Where copies of tools are that a host has only inside a container."""
    return os.path.join(state_dir, "bin")


def keep_tools(tools: Tools, state_dir: str) -> Tools:
    """Copy the tools that can only be reached through a running container, since they vanish when it stops."""
    os.makedirs(kept_folder(state_dir), mode=0o755, exist_ok=True)
    for name in NAMES:
        tool = getattr(tools, name)
        if _is_contained(tool):
            target = os.path.join(kept_folder(state_dir), name)
            shutil.copyfile(tool.path, target + ".tmp")
            os.chmod(target + ".tmp", 0o755)
            os.rename(target + ".tmp", target)
    return kept_tools(tools, state_dir)


def kept_tools(tools: Tools, state_dir: str) -> Tools:
    """The same tools, by the copies that ``keep_tools`` made where there are such."""
    kept = {}
    for name in NAMES:
        tool, copy = getattr(tools, name), os.path.join(kept_folder(state_dir), name)
        kept[name] = Tool(copy, tool.version) if _is_contained(tool) and os.path.exists(copy) else tool
    return Tools(**kept)


def _is_contained(tool: Optional[Tool]) -> bool:
    return tool is not None and tool.path.startswith("/proc/")
