# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is written of a member's settings, and where: the process has the last word on a value, files on its place."""

from __future__ import annotations

import os
from typing import Dict, List

from .facts import ConfigFile, Setting, Shadowed, TlsFiles
from .processes import Given, config_file, given_to
from .running import Running
from .settings.names import SECRET, flags, variable_of
from .settings.sources import FLAG, VARIABLE, Found

_UNKNOWN = ConfigFile("", "")


class Written:
    """The settings of the member that ``running`` has found."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.host, self.process, self.sources, self.manager = (
            running.host,
            running.process,
            running.sources,
            running.manager,
        )
        self.given = given_to(self.host, self.process) if self.process else {}

    def settings(self) -> Dict[str, Setting]:
        """Every setting with the place where it is written."""
        files = self.sources.effective()
        if not self.process:
            found = files
        else:
            found = {name: self._traced(name, given) for name, given in self.given.items()}
            found.update({name: place for name, place in files.items() if name not in found and not self._overruled()})
        return {name: place.setting() for name, place in sorted(found.items()) if name not in SECRET}

    def _overruled(self) -> bool:
        """Whether the process runs by a configuration file while the files known here are others."""
        return self.process is not None and bool(config_file(self.process)) != bool(self.sources.yaml_path)

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

    def config(self) -> ConfigFile:
        """The primary file: where a setting that is nowhere yet belongs."""
        sources = self.sources
        if sources.yaml_path:
            known = not sources.yaml or any(found.path for found in sources.yaml.values())
            return ConfigFile("yaml", sources.yaml_path) if known else _UNKNOWN
        if sources.manifest_path and (sources.flags or self.host.exists(sources.manifest_path)):
            return ConfigFile("static_pod", sources.manifest_path)
        places = self.settings()
        for name in (
            "initial-cluster",
            "initial-cluster-token",
            "initial-cluster-state",
            "initial-advertise-peer-urls",
        ):
            if name in places and places[name].format != "process":
                return ConfigFile(places[name].format, places[name].path)
        if sources.obscure and not self._environment_arrives():
            return _UNKNOWN  # a variable beside such a command could mean nothing
        if sources.environment_files:
            return ConfigFile("env", sources.environment_files[-1])
        return ConfigFile("unit", sources.unit_path) if sources.unit_path else _UNKNOWN

    def _environment_arrives(self) -> bool:
        """Whether variables of the files known here are seen to reach the process, whatever starts it."""
        known = self.sources.variables
        return any(
            given.kind == VARIABLE and name in known and known[name].value == given.value
            for name, given in self.given.items()
        )

    def shadowed(self) -> Dict[str, Shadowed]:
        """Settings that come as a flag and as a variable, and whence; etcd ends at that, but for one that runs with it."""
        sources = self.sources
        both = sources.flags.keys() & sources.variables.keys() if not sources.yaml_path else set()
        if self.process:
            on_its_line = flags(self.process.argv[1:])
            both -= {name for name in both if name in on_its_line and variable_of(name) in self.process.environ}
        return {
            name: Shadowed((found.kind == FLAG and found.path) or sources.unit_path, sources.variables[name].path)
            for name, found in sorted(sources.flags.items())
            if name in both
        }

    def path(self, setting: str) -> str:
        """A path setting as the host sees it; relative to the process's folder, or unknown without one."""
        path = self.value(setting)
        if path and not path.startswith("/"):
            path = os.path.normpath(os.path.join(self.process.cwd, path)) if self.process and self.process.cwd else ""
        return self.running.on_host(path) or path

    def urls(self, setting: str, default: str = "") -> List[str]:
        return [url.strip() for url in (self.value(setting) or default).split(",") if url.strip()]

    def tls(self, prefix: str) -> TlsFiles:
        return TlsFiles(
            cacert=self.path(prefix + "trusted-ca-file"),
            cert=self.path(prefix + "cert-file"),
            key=self.path(prefix + "key-file"),
            client_cert_auth=self.value(prefix + "client-cert-auth").lower() in ("true", "1", "t"),
        )

    def client_files(self, tls: TlsFiles) -> Dict[str, str]:
        """``cacert``, ``cert`` and ``key`` of the host's own clients."""
        environment = self.sources.environment  # kubespray sets ETCDCTL_ variables beside etcd's own
        health = os.path.join(os.path.dirname(tls.cert), "healthcheck-client") if tls.cert else ""
        if health and self.host.exists(health + ".crt") and self.host.exists(health + ".key"):
            cert, key = health + ".crt", health + ".key"
        else:
            cert, key = tls.cert, tls.key
        return {
            "cacert": environment.get("ETCDCTL_CACERT") or tls.cacert,
            "cert": environment.get("ETCDCTL_CERT") or cert,
            "key": environment.get("ETCDCTL_KEY") or key,
        }
