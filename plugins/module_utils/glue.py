# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The only file here that knows Ansible: shared options, the runner, and how an EtcdError becomes a module's answer."""

from __future__ import annotations

import base64
import json
import os
import threading
from typing import Any, Callable, Dict, List, Mapping, Sequence

from ansible.module_utils.basic import AnsibleModule

from .core.errors import EtcdError
from .core.host_job import HostJob, Phase
from .etcd.commands import VERSION_TIMEOUT, Connection, Result, Run, asks_version, misleading

# Options of the doc fragment quorum.etcd.connection.
CONNECTION_OPTIONS: Dict[str, Any] = {
    "endpoints": {"type": "list", "elements": "str", "default": []},
    "cacert": {"type": "path", "default": ""},
    "cert": {"type": "path", "default": ""},
    "key": {"type": "path", "default": "", "no_log": False},
    "user": {"type": "str", "default": ""},
    "password": {"type": "str", "default": "", "no_log": True},
    "command_timeout": {"type": "int", "default": 5},
    "bin_dir": {"type": "path", "default": ""},
}

# Options of the doc fragment quorum.etcd.member. An empty string means: read it from the host.
MEMBER_OPTIONS: Dict[str, Any] = {
    "name": {"type": "str", "default": ""},
    "peer_urls": {"type": "list", "elements": "str", "default": []},
    "client_urls": {"type": "list", "elements": "str", "default": []},
    "data_dir": {"type": "path", "default": ""},
    "wal_dir": {"type": "path", "default": ""},
    "config_file": {"type": "path", "default": ""},
    "service_manager": {"type": "str", "choices": ["", "systemd", "static_pod", "command"], "default": ""},
    "service_name": {"type": "str", "default": ""},
    "manifest": {"type": "path", "default": "/etc/kubernetes/manifests/etcd.yaml"},
    "start_command": {"type": "str", "default": ""},
    "stop_command": {"type": "str", "default": ""},
    "status_command": {"type": "str", "default": ""},
    "state_dir": {"type": "path", "default": "/var/lib/quorum-etcd"},
    "aside_dir": {"type": "path", "default": ""},
}

# Options of the doc fragment quorum.etcd.kit.
KIT_OPTIONS: Dict[str, Any] = {
    "kit": {"type": "bool", "default": True},
    "kit_pki": {"type": "bool", "default": False},
    "kit_recipient": {"type": "str", "default": ""},
    "member": {"type": "dict", "default": {}},
    "host": {"type": "str", "default": ""},
    # Masked, but of a size that no host's log is for.
    "members": {"type": "dict", "default": {}, "no_log": True},
}

# Option of the doc fragment quorum.etcd.offsite.
OFFSITE_OPTION: Dict[str, Any] = {
    "offsite": {
        "type": "list",
        "elements": "dict",
        "default": [],
        "options": {
            "name": {"type": "str", "required": True},
            "folder": {"type": "path"},
            "mounted": {"type": "raw", "default": True},
            "remote": {"type": "str"},
            "rclone_config": {"type": "str", "no_log": True},
            "password": {"type": "str", "no_log": True},
            "proxy": {"type": "str"},
            "append_only": {"type": "bool", "default": False},
        },
    },
    # What the actions take out of the list before.
    "offsite_secrets": {"type": "str", "default": "", "no_log": True},
}

# Option of its part quorum.etcd.offsite.keep.
OFFSITE_KEEP_OPTION: Dict[str, Any] = {"offsite_keep": {"type": "raw", "default": {"days": 31}}}

# Options of the doc fragment quorum.etcd.phase; the choices of ``phase`` are the job's.
PHASE_OPTIONS: Dict[str, Any] = {
    "phase": {"type": "str", "required": True},
    "plan": {"type": "dict", "required": True},
    "timeout": {"type": "int", "default": 120},
    "peers": {"type": "dict", "default": {}},
    "reason": {"type": "str", "default": ""},
}


def runner(module: AnsibleModule) -> Run:
    """Run commands as the module does: argv as a list, word for word, English messages, nothing through a shell.

    What the host or the play has in its environment for etcd's tools goes out of this process for good, since
    ``run_command`` can only add to it.
    """
    for name in misleading(list(os.environ)):
        del os.environ[name]

    def run(argv: Sequence[str], env: Dict[str, str]) -> Result:
        guards = []

        def guard(process: Any) -> None:
            _end_late(process)
            if asks_version(argv):
                guards.append(threading.Timer(VERSION_TIMEOUT, process.kill))
                guards[0].daemon = True
                guards[0].start()

        try:
            rc, out, err = module.run_command(
                list(argv),
                environ_update={"LC_ALL": "C", **env},
                handle_exceptions=False,
                expand_user_and_vars=False,
                before_communicate_callback=guard,
            )
        finally:
            for one in guards:
                one.cancel()
        return Result(rc, out, err)

    return run


def _end_late(process: Any) -> None:
    """Let ``run_command`` see the end of a process only when it has looked for its last words since.

    It waits a second for output, and where none came asks whether the process has ended. On a busy host that has spoken and
    ended just between the two: then the command has succeeded and said nothing. (ansible-core 2.16 to 2.21, basic.py.)
    """
    ended, unseen = process.poll, 2  # after the silence, and where all was read

    def poll() -> Any:
        nonlocal unseen
        if unseen and ended() is not None:
            unseen -= 1
            return None
        return ended()

    process.poll = poll


def offsite_stores(params: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """The stores that a module's parameters describe, with their secrets."""
    packed = params["offsite_secrets"]
    secrets: List[Dict[str, str]] = (
        json.loads(base64.b64decode(packed)) if packed else [{} for _store in params["offsite"]]
    )
    return [{**store, **secret} for store, secret in zip(params["offsite"], secrets)]


def connection(params: Dict[str, Any]) -> Connection:
    """The Connection that a module's parameters describe."""
    names = ("endpoints", "cacert", "cert", "key", "user", "password", "command_timeout")
    return Connection(**{name: params[name] for name in names})


def answer(module: AnsibleModule, work: Callable[[AnsibleModule], Dict[str, Any]]) -> None:
    """Do the module's work and leave with its result; an EtcdError becomes one message, never a traceback.

    Whatever the umask of the host's logins is, no file or folder of ours can be written by others.
    """
    os.umask(os.umask(0o022) | 0o022)
    try:
        module.exit_json(**work(module))
    except EtcdError as error:
        module.fail_json(msg=str(error), next_step=error.next_step, **error.context)


def phase_options(phases: Sequence[str]) -> Dict[str, Any]:
    """The argument spec of a module that does one phase of a job on one host."""
    return {**CONNECTION_OPTIONS, **PHASE_OPTIONS, "phase": {**PHASE_OPTIONS["phase"], "choices": list(phases)}}


def phase_of(job: Callable[[Mapping[str, Any], Run, Connection], HostJob]) -> Callable[[AnsibleModule], Dict[str, Any]]:
    """The work of such a module, for ``answer``."""

    def work(module: AnsibleModule) -> Dict[str, Any]:
        plan = module.params["plan"]
        phase = Phase(module.params["phase"], module.params["timeout"], module.params["reason"])
        return job(plan, runner(module), _planned_connection(module.params, plan)).answer(phase, module.check_mode)

    return work


def _planned_connection(params: Mapping[str, Any], plan: Mapping[str, Any]) -> Connection:
    """What the options say, and where they say nothing, what was found on the host when the plan was made."""
    found = plan["member"]["connection"]
    return Connection(
        endpoints=params["endpoints"] or plan["of"]["endpoints"],
        **{name: params[name] or found[name] for name in ("cacert", "cert", "key")},
        **{name: params[name] for name in ("user", "password", "command_timeout")},
    )
