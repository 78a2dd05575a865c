# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What lies on the controller goes to the host with the module: certificates and keys, and an archive where it is needed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.binaries import sha256_for
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.wanted import tls_on_host
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Ticker
from ansible_collections.quorum.etcd.plugins.plugin_utils.wire import bound_silence


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True
    TRANSFERS_FILES = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if key not in ("archive", "tls_files")}
        try:
            arguments["tls_files"] = self._tls_files(arguments)
            bound_silence(self._connection)
            with Ticker(task_vars or {}, "preparing the host"):
                done = self._module(arguments, task_vars)
                if done.get("wants") == "archive" and arguments.get("install_from") == "file":
                    archive = self._archive(arguments, str(done["arch"]))
                    if not self._task.check_mode:
                        done = self._module({**arguments, "archive": self._sent(archive)}, task_vars)
        except EtcdError as error:
            raise AnsibleActionFail(f"Nothing was touched. {error}") from error
        return {**result, **done}

    def _module(self, arguments: Mapping[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        return self._execute_module(
            module_name=self._task.resolved_action or self._task.action,
            module_args=dict(arguments),
            task_vars=task_vars or {},
        )

    def _tls_files(self, arguments: Mapping[str, Any]) -> str:
        """The contents by their paths on the host: in an argument that no host logs, and that the module's answer has not."""
        given = arguments.get("tls") or {}
        if arguments.get("tls_on_hosts") in (True, "true", "True", "yes") or not any(given.values()):
            return ""
        paths = tls_on_host(given, str(arguments.get("config_file") or "/etc/etcd/etcd.yml"), on_hosts=False)
        sources = {
            paths[name]: given.get(name) or given.get(name.replace("peer_", "")) for name in paths if paths[name]
        }
        return json.dumps({path: base64.b64encode(self._read(source)).decode() for path, source in sources.items()})

    def _read(self, source: Any) -> bytes:
        """A file of the controller, where Ansible looks for files; opened where a vault has closed it."""
        try:
            found = self._find_needle("files", str(source))
            with open(self._loader.get_real_file(found), "rb") as stream:
                return stream.read()
        except (AnsibleError, OSError) as error:
            raise EtcdError(
                f"{source} is not on the controller, or cannot be read there.",
                "correct etcd_tls_ca, etcd_tls_cert and etcd_tls_key; or set etcd_tls_on_hosts where the files are on the hosts.",
            ) from error

    def _archive(self, arguments: Mapping[str, Any], arch: str) -> str:
        """The archive on the controller, by its path; EtcdError where it is not the one that was named."""
        source = str(arguments.get("archive_file") or "").replace("{arch}", arch)
        try:
            found = self._find_needle("files", source) if source else ""
            with open(found, "rb") as stream:
                digest = hashlib.sha256()
                for block in iter(lambda: stream.read(1 << 20), b""):
                    digest.update(block)
        except (AnsibleError, OSError) as error:
            raise EtcdError(
                f"the archive {source or '(none is named)'} is not on the controller, or cannot be read there.",
                "set etcd_archive_file to its path.",
            ) from error
        wanted = sha256_for(arguments.get("archive_sha256") or {}, arch)
        if digest.hexdigest() != wanted:
            raise EtcdError(
                f"{found} has the SHA-256 {digest.hexdigest()}, and not {wanted}.",
                "compare it with the release's own SHA256SUMS, and correct etcd_archive_file or etcd_archive_sha256.",
            )
        return str(found)

    def _sent(self, archive: str) -> str:
        """Its path in the task's own folder on the host, which goes with the task."""
        folder = self._connection._shell.tmpdir or self._make_tmp_path()
        return str(self._transfer_file(archive, os.path.join(folder, "archive")))
