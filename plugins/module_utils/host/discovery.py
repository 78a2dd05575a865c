# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host really runs: its etcd member, where the member's settings live, its data, its tools.

The running process is the truth; files say where a setting is written and what a stopped member would be. Explicit options
go before both. ``discover`` is the way in. A host without etcd, or with a stopped one, is a normal answer.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any, Dict, List, Mapping, Tuple
from urllib.parse import urlsplit

from ..etcd.commands import Run, Tools
from .data import data_facts, disk_facts, folder_facts, user_name
from .facts import ConnectionFacts, MemberFacts, Owner, Service, Tls, TlsFiles
from .filtering import packet_filter
from .holders import holders, said_of
from .kubernetes import kubernetes_facts
from .options import Options, options_of
from .owners import DISTRIBUTIONS, owner_of, runs_server
from .processes import Host, data_dir, is_halted, runs_kubelet
from .put_back import SYSTEMD
from .running import Running
from .settings.edits import VENDOR_FOLDERS
from .settings.names import SECRET
from .settings.rehearsal import rehearse
from .settings.sources import full_name
from .tools import NAMES, facts_of, kept_folders, look_for_tools, look_in_image
from .urls import advertised, of_its_own, reachable
from .written import Written


def discover(params: Mapping[str, Any], run: Run, root: str = "/") -> MemberFacts:
    """Everything about this host's member.

    ``params`` are a module's: see ``Options``. ``root`` is where the host's files are, for tests. EtcdError where several
    etcd run and nothing tells which one is meant, or where a file cannot be understood.
    """
    return _Look(options_of(params), run, Host(root)).result()


class _Look:
    """One look at one host."""

    def __init__(self, options: Options, run: Run, host: Host) -> None:
        running = Running(options, run, host)
        self.run, self.host, self.options = run, host, running.options
        self.manager, self.unit, self.process, self.sources = (
            running.manager,
            running.unit,
            running.process,
            running.sources,
        )
        self.running, self.written = running, Written(running)

    def result(self) -> MemberFacts:
        options, written, found = self.options, self.written, self._found()
        data = options.data_dir or self._data_dir()
        wal = options.wal_dir or written.path("wal-dir")
        tls = Tls(written.tls(""), written.tls("peer-"))
        listen_peer = written.urls("listen-peer-urls", "http://localhost:2380" if found else "")
        listen_client = written.urls("listen-client-urls", "http://localhost:2379" if found else "")
        clients = options.client_urls or written.urls("advertise-client-urls") or reachable(listen_client)
        peers = options.peer_urls or written.urls("initial-advertise-peer-urls") or advertised(listen_peer)
        tools, missing = self._tools()
        member = MemberFacts(
            found=found,
            running=self.process is not None,
            pid=self.process.pid if self.process else None,
            service=self._service(),
            name=options.name or written.value("name", "default" if found else ""),
            peer_urls=peers,
            client_urls=clients,
            listen_peer_urls=listen_peer,
            listen_client_urls=listen_client,
            data_dir=data,
            wal_dir=wal,
            data=data_facts(self.host, data, wal, "" if data else self._own_data_dir(), at_rest=not self.process),
            wal=folder_facts(self.host, wal),
            disk=[disk_facts(self.host, path) for path in (data, wal, options.state_dir, options.aside_dir) if path],
            initial_cluster=written.value("initial-cluster"),
            initial_cluster_state=written.value("initial-cluster-state"),
            initial_cluster_token=written.value("initial-cluster-token"),
            snapshot_count=written.value("snapshot-count"),
            quota_backend_bytes=written.value("quota-backend-bytes"),
            tls=tls,
            tools=facts_of(tools),
            tools_missing=missing,
            kubernetes=kubernetes_facts(self.host, options.manifest, options.state_dir),
            config=written.config(),
            settings=written.settings(),
            state_dir=options.state_dir,
            aside_dir=options.aside_dir,
            log=next((path for path in written.value("log-outputs").split(",") if path.startswith("/")), ""),
            connection=self._connection(self._own_urls(clients, listen_client, peers), tls.client, tools),
            shadowed=written.shadowed(),
            strangers=self._strangers(data, wal),
            missing_files={} if self.process else self._missing_files(tls),
            unsettable=[],
            packet_filter=packet_filter(self.host),
            systemd=self.host.exists(SYSTEMD),
        )
        return replace(member, unsettable=rehearse(member, self.host.read))

    def _missing_files(self, tls: Tls) -> Dict[str, str]:
        return {setting: path for setting, path in tls.by_setting().items() if not self.host.exists(path)}

    def _strangers(self, *folders: str) -> str:
        """Who else has the data in use than the member, in words: an etcd that does not count, or one of another name.

        What the unit itself has started since its processes were looked at, as it does with a member that did not come up, is
        none: who stops the unit stops that too.
        """
        found = holders([folder for folder in folders if folder and self.host.exists(folder)], self.host)
        own = self.process.pid if self.process else 0
        unit = Owner("unit", full_name(self.unit.name))
        return said_of([one for one in found if one.pid != own and not (self.unit.exists and one.owner == unit)])

    def _found(self) -> bool:
        sources = self.sources
        return bool(self.process or self.unit.exists or sources.effective() or sources.yaml_path)

    def _service(self) -> Service:
        options, unit = self.options, self.unit
        is_pod = self.manager == "static_pod"
        runs_as = user_name(self.process.uid) if self.process and not is_pod else ""
        vendor = self.sources.unit_path.startswith(VENDOR_FOLDERS)
        hidden = any(secret in self.sources.exec_start for secret in SECRET)
        return Service(
            manager=self.manager,
            name=unit.name,
            named=bool(options.service_name or options.service_manager),
            owner=self._owner(),
            masked=unit.masked,
            transient=unit.transient,
            restarting=unit.restarting,
            halted=self.process is not None and is_halted(self.host, self.process.pid),
            manifest=options.manifest if is_pod else "",
            image=self.sources.image,
            kubelet=runs_kubelet(self.host) if is_pod else None,
            start_command=options.start_command,
            stop_command=options.stop_command,
            status_command=options.status_command,
            state=self._state(),
            enabled=unit.enabled,
            user=unit.user or runs_as,
            group=unit.group,
            dynamic_user=unit.dynamic_user,
            notifies=unit.notifies,
            start_timeout=unit.start_timeout,
            obscure=self.sources.obscure,
            dropin=unit.dropin if unit.exists else "",
            exec_start=self.sources.exec_start if vendor and not hidden else "",
            made_from=unit.made_from,
        )

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
                if self.host.exists(self.options.manifest)
                else "stopped"
                if self.host.exists(self.running.parked)
                else "absent"
            )
        return "stopped" if self.options.start_command else "unknown"

    def _data_dir(self) -> str:
        return self.running.on_host(self._own_data_dir()) or ""

    def _own_data_dir(self) -> str:
        """As the member itself names it, which in a container need be no path of the host's."""
        if self.process:
            return data_dir(self.host, self.process, self.written.given)
        path = self.written.value("data-dir")
        return path if path.startswith("/") else ""

    def _tools(self) -> Tuple[Tools, Dict[str, str]]:
        exe = self.process.exe if self.process else self.sources.program
        if exe and self.process:
            through = self.process.inside + exe
            inside_only = self.host.exists(through) and not self.host.same(exe, through)
            exe = through if inside_only else exe
        own = (self.run, self.options.bin_dir, exe, self.host.root)
        kept = kept_folders(self.host, self.options.state_dir)
        if self.process or not self.sources.image:
            return look_for_tools(*own, kept)
        return self._tools_of_stopped_pod(look_for_tools(*own), look_for_tools(*own, kept))

    def _tools_of_stopped_pod(self, *own: Tuple[Tools, Dict[str, str]]) -> Tuple[Tools, Dict[str, str]]:
        """Its image has the very version that it ran; else the host's own, or the copies that an earlier restore has kept."""
        if self.options.bin_dir and not own[0][1]:
            return own[0]
        in_image = look_in_image(self.run, self.sources.image, self.options.state_dir)
        order = (*own, in_image) if self.options.bin_dir else (in_image, *own)
        found = {name: next(filter(None, (getattr(tools, name) for tools, _why in order)), None) for name in NAMES}
        why = {name: f"{own[0][1][name]}; {in_image[1][name]}" for name in NAMES if not found[name]}
        return Tools(**found), why

    def _own_urls(self, clients: List[str], listen: List[str], peers: List[str]) -> List[str]:
        """The client URLs by which all hosts of a cluster can tell this member from the others."""
        alone = "," not in self.written.value("initial-cluster")
        if alone or self.options.client_urls:
            return clients
        return list(dict.fromkeys(of_its_own(url, listen, peers) for url in clients))

    def _connection(self, clients: List[str], tls: TlsFiles, tools: Tools) -> ConnectionFacts:
        """How a client on this host reaches the member: what was asked for, else what the host's own clients use."""
        options = self.options
        endpoints = options.endpoints or clients
        is_https = any(urlsplit(url).scheme == "https" for url in endpoints)
        files = self.written.client_files(tls) if is_https else {"cacert": "", "cert": "", "key": ""}
        tool = tools.etcdctl or tools.etcdutl or tools.etcd
        return ConnectionFacts(
            endpoints=list(endpoints),
            cacert=options.cacert or files["cacert"],
            cert=options.cert or files["cert"],
            key=options.key or files["key"],
            bin_dir=options.bin_dir or (os.path.dirname(tool.path) if tool else ""),
        )
