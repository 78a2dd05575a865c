# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What runs on a host: the process that is its member, the unit that it belongs to, and the files that these lead to."""

from __future__ import annotations

import contextlib
import os
import pwd
from dataclasses import replace
from typing import Callable, List, Optional, Sequence, Set

from ..core.errors import EtcdError
from ..core.journals import open_plans
from ..etcd.commands import Run
from .data import folder_facts, user_name
from .mounts import on_host
from .options import Options
from .owners import owner_of
from .pods import etcd_manifest, is_static_pod
from .processes import Host, Process, config_file, descends_from, etcd_processes, given_to, seen_by, uses
from .settings.edits import parked_manifest
from .settings.pod import host_path
from .settings.sources import Sources, Unit, file_sources, look_at_unit, pod_sources, take_yaml, unit_sources
from .trust import weakness

DEFAULT_UNIT = "etcd"


class Running:
    """The member's process, its unit and its files. ``options`` are the operator's, complete; the manifest is the one found."""

    def __init__(self, options: Options, run: Run, host: Host) -> None:
        self.run = run
        self.host = host
        running = etcd_processes(host)
        manager, state_dir = options.service_manager, options.state_dir
        manifest = options.manifest
        if manager in ("", "static_pod"):
            manifest = etcd_manifest(host, manifest, state_dir)
        self.options = options = replace(options, manifest=manifest)
        self.parked = parked_manifest(manifest, state_dir)
        is_pod = not manager and is_static_pod(host, run, manifest, state_dir, running)
        self.manager = manager or ("static_pod" if is_pod else "systemd")
        self._take_unit(options.service_name or self._unit_of_restore() or DEFAULT_UNIT)
        _demand_rights(host, running)
        self.process = self._choose([process for process in running if self._counts(process)])
        self._take_unit_of_process(running)
        self._add_running_file()

    def _sources(self) -> Sources:
        """The files that the service manager, or the option ``config_file``, leads to."""
        path = self.options.config_file
        if self.manager == "static_pod":
            return pod_sources(self.host, self.options.manifest, self.parked)
        if self.manager == "systemd" and self.unit.exists:
            found = unit_sources(self.host, self.unit)
            if not path or found.yaml_path == path or path in found.environment_files:
                return found
        return file_sources(self.host, path) if path else Sources()

    def _add_running_file(self) -> None:
        """A configuration file that only the process tells of."""
        path = config_file(self.process) if self.process else ""
        if self.process and path and not self.sources.yaml_path:
            own = self.on_host(path) or path
            seen = seen_by(self.host, self.process, path)
            take_yaml(self.host, self.sources, own, seen if seen != path else own)
            if seen != path and own == path:  # it exists in the container only
                self.sources.yaml = {
                    name: found._replace(format="process", path="") for name, found in self.sources.yaml.items()
                }

    def _take_unit(self, name: str) -> None:
        self.unit = look_at_unit(self.host, self.run, name) if self.manager == "systemd" else Unit(name)
        self.sources = self._sources()

    def _unit_of_restore(self) -> str:
        """The unit that a restore has stopped which is not done yet: no process tells it any more."""
        plans = open_plans(self.host.path(self.options.state_dir), self.options.data_dir)
        services = [(plan.get("member") or {}).get("service") or {} for plan in plans]
        names = {service.get("name", "") for service in services if service.get("manager") == self.manager}
        return names.pop() if len(names) == 1 else ""  # of several clusters' members nobody knows which is meant

    # ---- which process -------------------------------------------------------------------------

    def _counts(self, process: Process) -> bool:
        """Whether it could be the member: anybody may call a process etcd, and name the member's data as its own.

        The named unit's own process is; else it is root's, of the unit's user or of the owner of the data, and what it runs
        and reads is nobody else's to change.
        """
        if self.unit.pid and descends_from(self.host, process, self.unit.pid):
            return True
        return process.uid in self._users() and not self._weakness_of(process)

    def _users(self) -> Set[int]:
        users = {0, os.geteuid()}
        with contextlib.suppress(KeyError):
            users.add(pwd.getpwnam(self.unit.user).pw_uid)
        data = self.options.data_dir or self._data_dir_of_files()
        owner = folder_facts(self.host, data).owner if data else None
        return users if owner is None else users | {owner}

    def _weakness_of(self, process: Process) -> str:
        paths = [process.inside + process.exe if process.exe else "", process.inside + config_file(process)]
        there = (self.host.path(path) for path in paths if os.path.isfile(self.host.path(path)))
        return next(filter(None, (weakness(path, (process.uid,)) for path in there)), "")

    def _take_unit_of_process(self, running: Sequence[Process]) -> None:
        """The unit that the member really belongs to, whatever its name, unless one was asked for.

        Where only an idle unit is known, such as a package's own, the one etcd that runs as a unit is the member.
        """
        if self.manager != "systemd" or self.options.service_name:
            return
        options = self.options
        is_free = not (options.data_dir or options.config_file or options.name) and self._is_idle()
        candidates = [self.process] if self.process else list(running) if is_free else []
        if len(candidates) != 1 or self._is_of_unit(candidates[0]):
            return
        owner = owner_of(self.host, candidates[0].pid)
        if owner.kind != "unit":
            return
        before = self.unit, self.sources
        self._take_unit(owner.name)
        is_etcds = "etcd" in owner.name or self.unit.pid == candidates[0].pid or "etcd" in self.sources.exec_start
        if is_etcds and self._is_of_unit(candidates[0]) and self._is_users(candidates[0]):
            self.process = candidates[0]
        else:
            self.unit, self.sources = before

    def _is_of_unit(self, process: Process) -> bool:
        return bool(self.unit.pid) and descends_from(self.host, process, self.unit.pid)

    def _is_users(self, process: Process) -> bool:
        """Whether root has it run: a unit that starts whatever somebody wishes (cron) does so as another user than its own."""
        return process.uid in self._users()

    def _is_idle(self) -> bool:
        """Whether the unit neither runs nor is to, or never had any data."""
        if self.unit.state in ("running", "failed"):
            return False
        data = self._data_dir_of_files()
        return self.unit.enabled is not True or not (data and self.host.exists(os.path.join(data, "member")))

    def _choose(self, processes: Sequence[Process]) -> Optional[Process]:
        if self.manager == "systemd" and self.unit.pid:
            ours = [process for process in processes if descends_from(self.host, process, self.unit.pid)]
            if ours:
                return ours[0]
        for test in self._marks():
            return self._only(list(filter(test, processes)))
        return self._only(list(processes))

    def _marks(self) -> List[Callable[[Process], bool]]:
        """How to know our process, the surest way first; none where nothing is known of the member."""
        path, name = self.options.config_file, self.options.name
        if self.options.data_dir or not path:
            own = self.options.data_dir or self._data_dir_of_files()
            if own:
                return [lambda process: uses(self.host, process, own)]
        if path:
            own = self._data_dir_of_files()
            return [lambda process: self._started_with(process, path) or bool(own and uses(self.host, process, own))]
        return [lambda process: self._is_named(process, name)] if name else []

    def _data_dir_of_files(self) -> str:
        found = self.sources.effective().get("data-dir")
        path = found.value if found else ""
        return host_path(path, self.sources.volumes) if path.startswith("/") else ""

    def _started_with(self, process: Process, path: str) -> bool:
        own = config_file(process)
        return bool(own) and (own == os.path.normpath(path) or self.host.same(own, path))

    def _is_named(self, process: Process, name: str) -> bool:
        try:
            given = given_to(self.host, process)
        except EtcdError:
            return False
        return (given["name"].value if "name" in given else "default") == name

    def _only(self, processes: Sequence[Process]) -> Optional[Process]:
        if len(processes) <= 1:
            return processes[0] if processes else None
        pids = ", ".join(str(process.pid) for process in processes)
        raise EtcdError(
            f"{len(processes)} etcd processes run on this host (pids {pids}), and nothing tells which one is meant.",
            "set etcd_config_file or etcd_data_dir to what the wanted member has.",
        )

    def on_host(self, path: str) -> Optional[str]:
        """The host's path of one of the member's; None where it is in a container's own file system."""
        if not path:
            return path
        guess = host_path(path, self.sources.volumes)
        if self.process:
            return on_host(self.host, self.process, path, guess)
        is_covered = guess != path or any(path == volume.inside for volume in self.sources.volumes)
        return guess if (is_covered or not self.sources.contained) and (guess.startswith("/") or not guess) else None


def _demand_rights(host: Host, running: Sequence[Process]) -> None:
    """What runs here must be open to whoever looks: what cannot be read would pass for what is not there."""
    hidden = [str(process.pid) for process in running if not process.exe]
    if hidden and host.root == "/" and os.geteuid() != 0:
        raise EtcdError(
            f"etcd runs here (pid {', '.join(hidden)}), and {user_name(os.geteuid())} may not see how.",
            "become root: 'become: true' in the play, or ansible-playbook --become.",
        )
