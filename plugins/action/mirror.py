# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the hosts of both clusters tell is known on the controller alone, and there the engine's program is made."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import listed
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.sides import TLS, Reached, Told, reached
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker
from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import build

# What the role registers on the hosts: the facts of each, and of one of them the contents of its certificates.
FACTS, FILES = "look_facts", "mirror_files"
DOES = {"present": "setting up the mirror", "stopped": "stopping the mirror", "absent": "taking the mirror away"}


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    TRANSFERS_FILES = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        try:
            if arguments.get("state", "present") == "present":
                self._fill(arguments, task_vars or {})
        except EtcdError as error:
            raise AnsibleActionFail(f"Nothing was touched. {error}") from error
        with Ticker(task_vars or {}, DOES[arguments.get("state", "present")]):
            done = self._execute_module(
                module_name=self._task.resolved_action or self._task.action,
                module_args=arguments,
                task_vars=task_vars or {},
            )
        return {**result, **done}

    def _fill(self, arguments: dict[str, Any], task_vars: Mapping[str, Any]) -> None:
        """Add what the hosts tell, the program, and the wheels; secrets in an argument that no host logs."""
        extra: dict[str, Any] = {"versions": {}}
        for word, what in (("from", "source"), ("to", "destination")):
            given = dict(arguments.get(what) or {})
            side = _side(what, given, task_vars)
            given.pop("password", None)
            arguments[what] = {**given, "endpoints": side.endpoints, "user": side.user, **side.paths}
            extra[what] = {**side.texts, **({"password": side.password} if side.user else {})}
            if side.versions:
                extra["versions"][word] = f" (etcd {listed(side.versions)})"
        extra["program"] = base64.b64encode(build()).decode() if arguments.get("engine") != "etcdctl" else ""
        arguments["extra"] = base64.b64encode(zlib.compress(json.dumps(extra).encode())).decode()
        arguments["wheels"] = [self._sent(wheel) for wheel in arguments.get("wheels") or []]

    def _sent(self, wheel: str) -> str:
        """The path of a wheel of the controller on the host, in the task's own folder there."""
        try:
            found = self._find_needle("files", wheel)
        except AnsibleError as error:
            raise EtcdError(
                f"{wheel} is not on the controller, or cannot be read there.",
                "correct etcd_mirror_grpcio_wheels.",
            ) from error
        folder = self._connection._shell.tmpdir or self._make_tmp_path()
        return str(self._transfer_file(found, os.path.join(folder, os.path.basename(found))))


def _side(what: str, given: Mapping[str, Any], task_vars: Mapping[str, Any]) -> Reached:
    group = str(given.get("group") or "")
    hosts = task_vars.get("groups", {}).get(group, [])
    told = [one for one in (_told(host, task_vars["hostvars"][host]) for host in hosts) if one]
    return reached(what, group, told, str(task_vars.get("inventory_hostname")), given)


def _told(host: str, variables: Mapping[str, Any]) -> Told | None:
    """What a host has told in this run; None where it could not be looked at, or has no member."""
    member = (variables.get(FACTS) or {}).get("member") or {}
    if not member.get("found"):
        return None
    connection, tools = member["connection"], member["tools"]
    read = (variables.get(FILES) or {}).get("results") or []
    return Told(
        host=host,
        running=bool(member["running"]),
        endpoints=list(connection["endpoints"]),
        version=str((tools.get("etcd") or {}).get("version") or ""),
        paths={name: str(connection[name]) for name in TLS},
        texts={one["item"]["key"]: base64.b64decode(one["content"]).decode() for one in read if one.get("content")},
        user=str(variables.get("etcd_auth_user") or ""),
        password=str(variables.get("etcd_auth_password") or ""),
    )
