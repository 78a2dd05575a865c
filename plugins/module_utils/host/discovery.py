# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host really runs: its etcd member, where the member's settings live, its data, its tools.

The running process is the truth; files say where a setting is written and what a stopped member would be. Explicit options
go before both. ``discover`` is the way in. A host without etcd, or with a stopped one, is a normal answer.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Set, Tuple
from urllib.parse import urlsplit

from ..core.errors import EtcdError
from ..core.journal import interrupted_elsewhere, open_plans
from ..core.journal import summary as journal_summary
from ..core.trees import OURS
from ..core.values import to_plain
from ..etcd.commands import Run, Tools
from ..etcd.database import told_by_data
from .holders import holders, said_of
from .kubernetes import kubernetes_facts
from .mounts import on_host
from .owners import DISTRIBUTIONS, Owner, owner_of, runs_server
from .pods import etcd_manifest, is_static_pod
from .processes import (
    Given,
    Host,
    Process,
    config_file,
    data_dir,
    descends_from,
    etcd_processes,
    given_to,
    is_halted,
    runs_kubelet,
    seen_by,
    uses,
)
from .settings import edits as settings
from .settings.names import SECRET, flags, variable_of
from .settings.pod import host_path
from .settings.sources import (
    FLAG,
    VARIABLE,
    Found,
    Sources,
    Unit,
    file_sources,
    look_at_unit,
    pod_sources,
    take_yaml,
    unit_sources,
)
from .tools import (
    NAMES,
    kept_folders,
    look_for_tools,
    look_in_image,
    tools_as_dict,
)
from .trust import weakness

DEFAULT_UNIT = "etcd"
DEFAULTS = {
    "name": "", "peer_urls": [], "client_urls": [], "data_dir": "", "wal_dir": "", "config_file": "", "service_manager": "",
    "service_name": "", "manifest": "/etc/kubernetes/manifests/etcd.yaml", "start_command": "", "stop_command": "",
    "status_command": "", "state_dir": "/var/lib/quorum-etcd", "aside_dir": "",
    "bin_dir": "",
    "endpoints": [], "cacert": "", "cert": "", "key": "",
}  # fmt: skip
# Names in a data directory that say nothing about whose it is: a mount point's own, and what a restore stages in one.
_WILDCARDS = ("0.0.0.0", "::")
NOT_DATA = ("lost+found", *OURS)
# etcd's own names there: its data, that of a proxy (to 3.5), and the certificates that it makes itself (auto-tls).
ETCDS_OWN = ("member", "proxy", "fixtures")
LISTED = 20


def discover(options: Mapping[str, Any], run: Run, root: str = "/") -> Dict[str, Any]:
    """Everything about this host's member; the keys are those of ``member_info``'s answer, all always present.

    ``options`` are the module's; missing ones have their defaults. ``root`` is where the host's files are, for tests.
    EtcdError where several etcd run and nothing tells which one is meant, or where a file cannot be understood.
    """
    wanted = {**DEFAULTS, **{key: value for key, value in options.items() if key in DEFAULTS and value is not None}}
    return _Look(wanted, run, Host(root)).result()


class _Look:
    """One look at one host."""

    def __init__(self, options: Mapping[str, Any], run: Run, host: Host) -> None:
        self.run = run
        self.host = host
        running = etcd_processes(host)
        manager, state_dir = options["service_manager"], options["state_dir"]
        manifest = options["manifest"]
        if manager in ("", "static_pod"):
            manifest = etcd_manifest(host, manifest, state_dir)
        self.options = options = {**options, "manifest": manifest}
        self.parked = settings.parked_manifest(manifest, state_dir)
        is_pod = not manager and is_static_pod(host, run, manifest, state_dir, running)
        self.manager = manager or ("static_pod" if is_pod else "systemd")
        self._take_unit(options["service_name"] or self._unit_of_restore() or DEFAULT_UNIT)
        _demand_rights(host, running)
        self.process = self._choose([process for process in running if self._counts(process)])
        self._take_unit_of_process(running)
        self.given = given_to(host, self.process) if self.process else {}
        self._add_running_file()

    def _sources(self) -> Sources:
        """The files that the service manager, or the option ``config_file``, leads to."""
        path = self.options["config_file"]
        if self.manager == "static_pod":
            return pod_sources(self.host, self.options["manifest"], self.parked)
        if self.manager == "systemd" and self.unit.exists:
            found = unit_sources(self.host, self.unit)
            if not path or found.yaml_path == path or path in found.environment_files:
                return found
        return file_sources(self.host, path) if path else Sources()

    def _add_running_file(self) -> None:
        """A configuration file that only the process tells of."""
        path = config_file(self.process) if self.process else ""
        if path and not self.sources.yaml_path:
            own = self._on_host(path) or path
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
        plans = open_plans(self.host.path(self.options["state_dir"]), self.options["data_dir"])
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
        data = self.options["data_dir"] or self._data_dir_of_files()
        owner = _folder_facts(self.host, data)["owner"] if data else None
        return users if owner is None else users | {owner}

    def _weakness_of(self, process: Process) -> str:
        paths = [process.inside + process.exe if process.exe else "", process.inside + config_file(process)]
        there = (self.host.path(path) for path in paths if os.path.isfile(self.host.path(path)))
        return next(filter(None, (weakness(path, (process.uid,)) for path in there)), "")

    def _take_unit_of_process(self, running: Sequence[Process]) -> None:
        """The unit that the member really belongs to, whatever its name, unless one was asked for.

        Where only an idle unit is known, such as a package's own, the one etcd that runs as a unit is the member.
        """
        if self.manager != "systemd" or self.options["service_name"]:
            return
        options = self.options
        is_free = not (options["data_dir"] or options["config_file"] or options["name"]) and self._is_idle()
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
        path, name = self.options["config_file"], self.options["name"]
        if self.options["data_dir"] or not path:
            own = self.options["data_dir"] or self._data_dir_of_files()
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

    # ---- settings ------------------------------------------------------------------------------

    def settings(self) -> Dict[str, Dict[str, str]]:
        """Every setting with the place where it is written."""
        files = self.sources.effective()
        if not self.process:
            found = files
        else:
            found = {name: self._traced(name, given) for name, given in self.given.items()}
            found.update({name: place for name, place in files.items() if name not in found and not self._overruled()})
        return {name: place.as_dict() for name, place in sorted(found.items()) if name not in SECRET}

    def _overruled(self) -> bool:
        """Whether the process runs by a configuration file while the files known here are others."""
        return bool(config_file(self.process)) != bool(self.sources.yaml_path)

    def _traced(self, name: str, given: Given) -> Found:
        """The file that a value of the process comes from; a later edit of the file does not hide it."""
        nowhere = Found(given.value, given.kind, "process", "")
        if given.kind == "file":
            return self.sources.yaml.get(name, nowhere)
        flag, variable = self.sources.flags.get(name), self.sources.variables.get(name)
        if given.kind == FLAG:
            if flag is not None and flag.path:
                return flag
            # A wrapper may turn the variable into this flag, and may not: equal values are the only evidence.
            return variable if variable is not None and variable.value == given.value else nowhere
        if flag is not None and flag.kind == VARIABLE:
            return flag
        if self.manager == "static_pod" and flag is not None:
            return flag
        return variable if variable is not None else nowhere

    def value(self, setting: str, default: str = "") -> str:
        """What the running process has, else what the files say."""
        if setting in self.given:
            return self.given[setting].value
        files = {} if self.process else self.sources.effective()
        return files[setting].value if setting in files else default

    def config(self) -> Dict[str, str]:
        """The primary file: where a setting that is nowhere yet belongs."""
        sources = self.sources
        if sources.yaml_path:
            known = not sources.yaml or any(found.path for found in sources.yaml.values())
            return {"format": "yaml", "path": sources.yaml_path} if known else {"format": "", "path": ""}
        if sources.manifest_path and (sources.flags or self.host.exists(sources.manifest_path)):
            return {"format": "static_pod", "path": sources.manifest_path}
        places = self.settings()
        for name in (
            "initial-cluster",
            "initial-cluster-token",
            "initial-cluster-state",
            "initial-advertise-peer-urls",
        ):
            if name in places and places[name]["format"] != "process":
                return {"format": places[name]["format"], "path": places[name]["path"]}
        if sources.obscure and not self._environment_arrives():
            return {"format": "", "path": ""}  # a variable beside such a command could mean nothing
        if sources.environment_files:
            return {"format": "env", "path": sources.environment_files[-1]}
        return {"format": "unit", "path": sources.unit_path} if sources.unit_path else {"format": "", "path": ""}

    def _environment_arrives(self) -> bool:
        """Whether variables of the files known here are seen to reach the process, whatever starts it."""
        known = self.sources.variables
        return any(
            given.kind == VARIABLE and name in known and known[name].value == given.value
            for name, given in self.given.items()
        )

    # ---- the answer ----------------------------------------------------------------------------

    def result(self) -> Dict[str, Any]:
        options, found = self.options, self._found()
        name = options["name"] or self.value("name", "default" if found else "")
        data = options["data_dir"] or self._data_dir()
        wal = options["wal_dir"] or self._path("wal-dir")
        tls = {"client": self._tls(""), "peer": self._tls("peer-")}
        listen_peer = self._urls("listen-peer-urls", "http://localhost:2380" if found else "")
        listen_client = self._urls("listen-client-urls", "http://localhost:2379" if found else "")
        clients = options["client_urls"] or self._urls("advertise-client-urls") or _reachable(listen_client)
        peers = options["peer_urls"] or self._urls("initial-advertise-peer-urls") or _advertised(listen_peer)
        tools, missing = self._tools()
        member = {
            "found": found,
            "running": self.process is not None,
            "pid": self.process.pid if self.process else None,
            "service": self._service(),
            "name": name,
            "peer_urls": peers,
            "client_urls": clients,
            "listen_peer_urls": listen_peer,
            "listen_client_urls": listen_client,
            "data_dir": data,
            "wal_dir": wal,
            "data": {
                **data_facts(self.host, data, wal),
                **self._told_by(data),
                "contained": "" if data else self._own_data_dir(),
            },
            "wal": wal_facts(self.host, wal),
            "disk": [
                disk_facts(self.host, path) for path in (data, wal, options["state_dir"], options["aside_dir"]) if path
            ],
            "initial_cluster": self.value("initial-cluster"),
            "initial_cluster_state": self.value("initial-cluster-state"),
            "initial_cluster_token": self.value("initial-cluster-token"),
            "snapshot_count": self.value("snapshot-count"),
            "quota_backend_bytes": self.value("quota-backend-bytes"),
            "tls": tls,
            "tools": tools_as_dict(tools),
            "tools_missing": missing,
            "kubernetes": kubernetes_facts(self.host, options["manifest"], options["state_dir"]),
            "config": self.config(),
            "settings": self.settings(),
            "state_dir": options["state_dir"],
            "aside_dir": options["aside_dir"],
            "interrupted_elsewhere": interrupted_elsewhere(self.host.path(options["state_dir"]), data),
            "journal": journal_summary(self.host.path(options["state_dir"]), data),
            "log": next((path for path in self.value("log-outputs").split(",") if path.startswith("/")), ""),
            "connection": self._connection(self._own_urls(clients, listen_client, peers), tls["client"], tools),
            "shadowed": self._shadowed(),
            "strangers": self._strangers(data, wal),
        }
        return {**member, "unsettable": settings.rehearse(member, self.host.read)}

    def _strangers(self, *folders: str) -> str:
        """Who else has the data in use than the member, in words: an etcd that does not count, or one of another name."""
        found = holders([folder for folder in folders if folder and self.host.exists(folder)], self.host)
        own = self.process.pid if self.process else 0
        return said_of([one for one in found if one.pid != own])

    def _shadowed(self) -> Dict[str, Dict[str, str]]:
        """Settings that come as a flag and as a variable, and whence; etcd ends at that, but for one that runs with it."""
        sources = self.sources
        both = sources.flags.keys() & sources.variables.keys() if not sources.yaml_path else set()
        if self.process:
            on_its_line = flags(self.process.argv[1:])
            both -= {name for name in both if name in on_its_line and variable_of(name) in self.process.environ}
        return {
            name: {
                "flag": (found.kind == FLAG and found.path) or sources.unit_path,
                "variable": sources.variables[name].path,
            }
            for name, found in sorted(sources.flags.items())
            if name in both
        }

    def _told_by(self, data: str) -> Dict[str, Any]:
        """What the database of a stopped member says; a running one's is for the cluster to tell."""
        return told_by_data(self.host.path(data) if data and not self.process else "")

    def _found(self) -> bool:
        sources = self.sources
        return bool(self.process or self.unit.exists or sources.effective() or sources.yaml_path)

    def _service(self) -> Dict[str, Any]:
        options = self.options
        user = self.unit.user
        if self.process and self.manager != "static_pod":
            user = user or _user_name(self.process.uid)
        vendor = self.sources.unit_path.startswith(settings.VENDOR_FOLDERS)
        hidden = any(secret in self.sources.exec_start for secret in SECRET)
        return {
            "manager": self.manager,
            "name": self.unit.name,
            "named": bool(options["service_name"] or options["service_manager"]),
            "owner": to_plain(self._owner()),
            "masked": self.unit.masked,
            "transient": self.unit.transient,
            "restarting": self.unit.restarting,
            "halted": bool(self.process) and is_halted(self.host, self.process.pid),
            "manifest": options["manifest"] if self.manager == "static_pod" else "",
            "image": self.sources.image,
            "kubelet": runs_kubelet(self.host) if self.manager == "static_pod" else None,
            "start_command": options["start_command"],
            "stop_command": options["stop_command"],
            "status_command": options["status_command"],
            "state": self._state(),
            "enabled": self.unit.enabled,
            "user": user,
            "group": self.unit.group,
            "dynamic_user": self.unit.dynamic_user,
            "notifies": self.unit.notifies,
            "start_timeout": self.unit.start_timeout,
            "obscure": self.sources.obscure,
            "dropin": self.unit.dropin if self.unit.exists else "",
            "exec_start": self.sources.exec_start if vendor and not hidden else "",
        }

    def _owner(self) -> Owner:
        """Who looks after the running process; where none runs, a distribution that has its etcd inside of itself."""
        if self.process:
            return owner_of(self.host, self.process.pid)
        inside = next((name for name in DISTRIBUTIONS if runs_server(self.host, name)), "") if not self._found() else ""
        return Owner("distribution", inside) if inside else Owner()

    def _state(self) -> str:
        if self.manager == "systemd":
            return self.unit.state
        if self.process:
            return "running"
        if self.manager == "static_pod":
            return (
                "failed"
                if self.host.exists(self.options["manifest"])
                else "stopped"
                if self.host.exists(self.parked)
                else "absent"
            )
        return "stopped" if self.options["start_command"] else "unknown"

    def _data_dir(self) -> str:
        return self._on_host(self._own_data_dir()) or ""

    def _own_data_dir(self) -> str:
        """As the member itself names it, which in a container need be no path of the host's."""
        if self.process:
            return data_dir(self.host, self.process, self.given)
        path = self.value("data-dir")
        return path if path.startswith("/") else ""

    def _on_host(self, path: str) -> Optional[str]:
        """The host's path of one of the member's; None where it is in a container's own file system."""
        if not path:
            return path
        guess = host_path(path, self.sources.volumes)
        if self.process:
            return on_host(self.host, self.process, path, guess)
        is_covered = guess != path or any(path == volume.inside for volume in self.sources.volumes)
        return guess if (is_covered or not self.sources.contained) and (guess.startswith("/") or not guess) else None

    def _path(self, setting: str) -> str:
        """A path setting as the host sees it; relative to the process's folder, or unknown without one."""
        path = self.value(setting)
        if path and not path.startswith("/"):
            path = os.path.normpath(os.path.join(self.process.cwd, path)) if self.process and self.process.cwd else ""
        return self._on_host(path) or path

    def _urls(self, setting: str, default: str = "") -> List[str]:
        return [url.strip() for url in (self.value(setting) or default).split(",") if url.strip()]

    def _tls(self, prefix: str) -> Dict[str, Any]:
        return {
            "cacert": self._path(prefix + "trusted-ca-file"),
            "cert": self._path(prefix + "cert-file"),
            "key": self._path(prefix + "key-file"),
            "client_cert_auth": self.value(prefix + "client-cert-auth").lower() in ("true", "1", "t"),
        }

    def _tools(self) -> Tuple[Tools, Dict[str, str]]:
        exe = self.process.exe if self.process else self.sources.program
        if exe and self.process:
            through = self.process.inside + exe
            inside_only = self.host.exists(through) and not self.host.same(exe, through)
            exe = through if inside_only else exe
        own = (self.run, self.options["bin_dir"], exe, self.host.root)
        kept = kept_folders(self.host, self.options["state_dir"])
        if self.process or not self.sources.image:
            return look_for_tools(*own, kept)
        return self._tools_of_stopped_pod(look_for_tools(*own), look_for_tools(*own, kept))

    def _tools_of_stopped_pod(self, *own: Tuple[Tools, Dict[str, str]]) -> Tuple[Tools, Dict[str, str]]:
        """Its image has the very version that it ran; else the host's own, or the copies that an earlier restore has kept."""
        if self.options["bin_dir"] and not own[0][1]:
            return own[0]
        in_image = look_in_image(self.run, self.sources.image, self.options["state_dir"])
        order = (*own, in_image) if self.options["bin_dir"] else (in_image, *own)
        found = {name: next(filter(None, (getattr(tools, name) for tools, _why in order)), None) for name in NAMES}
        why = {name: f"{own[0][1][name]}; {in_image[1][name]}" for name in NAMES if not found[name]}
        return Tools(**found), why

    def _own_urls(self, clients: List[str], listen: List[str], peers: List[str]) -> List[str]:
        """The client URLs by which all hosts of a cluster can tell this member from the others."""
        alone = "," not in self.value("initial-cluster")
        if alone or self.options["client_urls"]:
            return clients
        return list(dict.fromkeys(_of_its_own(url, listen, peers) for url in clients))

    def _connection(self, clients: List[str], tls: Mapping[str, Any], tools: Tools) -> Dict[str, Any]:
        """How a client on this host reaches the member: what was asked for, else what the host's own clients use."""
        options = self.options
        endpoints = options["endpoints"] or clients
        files = {"cacert": "", "cert": "", "key": ""}
        if any(urlsplit(url).scheme == "https" for url in endpoints):
            files = self._client_files(tls)
        tool = tools.etcdctl or tools.etcdutl or tools.etcd
        return {
            "endpoints": list(endpoints),
            **{key: options[key] or path for key, path in files.items()},
            "bin_dir": options["bin_dir"] or (os.path.dirname(tool.path) if tool else ""),
        }

    def _client_files(self, tls: Mapping[str, Any]) -> Dict[str, str]:
        environment = self.sources.environment  # kubespray sets ETCDCTL_ variables beside etcd's own
        health = os.path.join(os.path.dirname(tls["cert"]), "healthcheck-client") if tls["cert"] else ""
        if health and self.host.exists(health + ".crt") and self.host.exists(health + ".key"):
            cert, key = health + ".crt", health + ".key"
        else:
            cert, key = tls["cert"], tls["key"]
        return {
            "cacert": environment.get("ETCDCTL_CACERT") or tls["cacert"],
            "cert": environment.get("ETCDCTL_CERT") or cert,
            "key": environment.get("ETCDCTL_KEY") or key,
        }


def _demand_rights(host: Host, running: Sequence[Process]) -> None:
    """What runs here must be open to whoever looks: what cannot be read would pass for what is not there."""
    hidden = [str(process.pid) for process in running if not process.exe]
    if hidden and host.root == "/" and os.geteuid() != 0:
        raise EtcdError(
            f"etcd runs here (pid {', '.join(hidden)}), and {_user_name(os.geteuid())} may not see how.",
            "become root: 'become: true' in the play, or ansible-playbook --become.",
        )


# ---- data and disks --------------------------------------------------------------------------------------------------


def data_facts(host: Host, path: str, wal: str = "") -> Dict[str, Any]:
    """What is at the data directory, whose it is, and whether it may be taken for etcd's; ``wal`` may lie inside it."""
    facts = _folder_facts(host, path)
    entries = host.list(path) if path else []
    own = [name for name in entries if not name.startswith(NOT_DATA)]
    etcds = {*ETCDS_OWN, os.path.relpath(wal, path).split("/")[0] if path and wal else "member"}
    parent = os.path.dirname(_nearest(host, path, above=True)) if path else ""
    return {
        **facts,
        "empty": facts["exists"] and not own,
        "is_etcd": "member" in own or not own,
        "has_member": "member" in own,
        "entries": entries[:LISTED],
        "foreign": [name for name in own if name not in etcds][:LISTED],
        "parent_owner": _owner_of(_nearest(host, parent)) if parent else None,
        "owner_name": _user_name(facts["owner"]),
        "group_name": _group_name(facts["group"]),
        "inner_mounts": _inner_mounts(host, path) if path else [],
        "db_size": _size(host.path(os.path.join(path, "member/snap/db"))) if path else 0,
        "device": _device(host, path) if path else None,
        "parent_is_writable": bool(parent) and os.access(host.path(parent), os.W_OK | os.X_OK),
    }


def _owner_of(path: str) -> List[int]:
    """User and group."""
    status = os.stat(path)
    return [status.st_uid, status.st_gid]


def _inner_mounts(host: Host, path: str) -> List[str]:
    """Folders of etcd's inside the data directory that are file systems of their own."""
    inner = (os.path.join(path, name) for name in ("member", "member/snap", "member/wal"))
    return [folder for folder in inner if os.path.ismount(host.path(folder))]


def wal_facts(host: Host, path: str) -> Dict[str, Any]:
    facts = _folder_facts(host, path)
    return {**facts, "device": _device(host, path) if path else None}


def disk_facts(host: Host, path: str) -> Dict[str, Any]:
    """Free and total bytes of the file system that ``path`` is on, or will be."""
    status = os.statvfs(_nearest(host, path))
    size = status.f_frsize
    return {
        "path": path,
        "noexec": bool(status.f_flag & os.ST_NOEXEC),
        "device": _device(host, path),
        "free": status.f_bavail * size,
        "total": status.f_blocks * size,
    }


def _folder_facts(host: Host, path: str) -> Dict[str, Any]:
    try:
        status = os.stat(host.path(path)) if path else None
        if status is not None:
            os.listdir(host.path(path))
    except PermissionError as error:
        raise EtcdError(
            f"{path} may not be looked into by {_user_name(os.geteuid())}, so nobody can say what is in it.",
            "become root: 'become: true' in the play, or ansible-playbook --become.",
        ) from error
    except OSError:
        status = None
    return {
        "exists": status is not None,
        "real_path": os.path.realpath(path) if path and host.root == "/" else path,
        "is_mount": status is not None and os.path.ismount(host.path(path)),
        "owner": status.st_uid if status else None,
        "group": status.st_gid if status else None,
        "mode": f"{status.st_mode & 0o7777:04o}" if status else "",
        "size": _tree_size(host.path(path)) if status else 0,
    }


def _tree_size(path: str) -> int:
    """Bytes of the files below ``path``, but for what a restore has left in it."""
    found = 0
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(NOT_DATA)]
        found += sum(_size(os.path.join(folder, name)) for name in files)
    return found


def _nearest(host: Host, path: str, above: bool = False) -> str:
    """The path itself where it exists, else its nearest parent that does; ``above``: the last that does not, below it."""
    path = path.rstrip("/") or "/"
    below = path
    while path != "/" and not os.path.exists(host.path(path)):
        below, path = path, os.path.dirname(path) or "/"
    return below if above else host.path(path)


def _device(host: Host, path: str) -> int:
    return os.stat(_nearest(host, path)).st_dev


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def _user_name(uid: Optional[int]) -> str:
    try:
        return pwd.getpwuid(uid).pw_name if uid is not None else ""
    except KeyError:
        return ""


def _group_name(gid: Optional[int]) -> str:
    try:
        return grp.getgrgid(gid).gr_name if gid is not None else ""
    except KeyError:
        return ""


# ---- URLs ------------------------------------------------------------------------------------------------------------


def _reachable(listen: Sequence[str]) -> List[str]:
    """Listen URLs as a client on this host can use them: every address becomes the loopback's."""
    return [url.replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:") for url in listen]


def _advertised(listen: Sequence[str]) -> List[str]:
    """etcd's own default where no peer URL is advertised; with a wildcard it guesses an address, and nobody can here."""
    wild = any(urlsplit(url).hostname in _WILDCARDS for url in listen)
    return [] if wild or not listen else ["http://localhost:2380"]


def _of_its_own(url: str, listen: Sequence[str], peers: Sequence[str]) -> str:
    """A client URL that leads every host to itself, by the peer URL's host instead, where the member listens there too."""
    parts, peer = urlsplit(url), urlsplit(peers[0] if peers else "")
    if not _leads_home(parts.hostname) or not peer.hostname or _leads_home(peer.hostname):
        return url
    listens = [urlsplit(one) for one in listen]
    there = [one for one in listens if one.hostname in (*_WILDCARDS, peer.hostname) and one.port == parts.port]
    return f"{parts.scheme}://{peer.netloc.rpartition(':')[0]}:{parts.port}" if there else url


def _leads_home(host: Optional[str]) -> bool:
    return host in (*_WILDCARDS, "localhost", "::1") or (host or "").startswith("127.")
