# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the hosts answered, held against what the plan reads of it, before it reads anything.

An answer is made on its host, by whoever is root there, and a journal in it may be of another version. One that is not what
it should be is that host's reason to refuse, and neither a plan nor a traceback. A key that the plan begins to read is added
here; the fuzzer of the answers finds it where it is not.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping

from ..core.errors import EtcdError
from ..core.job import Findings
from ..core.strict_json import ANY, MOMENT, NULL, WORD, misfit
from ..host.tools import tools_from_dict

_WORDS = [WORD]
_OPTIONAL_WORD = (WORD, None)
_POD = {"name": WORD, "manifest": WORD, "parked": WORD}
_TOOL = ({"path": WORD, "version": WORD}, None)
_OWNER = (int, WORD, None)
_TOOLS = {"etcd": _TOOL, "etcdctl": _TOOL, "etcdutl": _TOOL}
_CONNECTION = {"endpoints": _WORDS, "cacert": WORD, "cert": WORD, "key": WORD}
_SERVICE = {
    "manager": WORD,
    "name": WORD,
    "manifest": WORD,
    "start_command": str,
    "stop_command": str,
    "status_command": str,
    "state": WORD,
    "image": _OPTIONAL_WORD,
    "kubelet": (bool, None),
    "obscure": (str, None),
    "restarting": (bool, None),
    "halted": (bool, None),
    "dropin": (str, None),
    "exec_start": (str, None),
}
_DIRECTORY = {"is_mount": bool, "exists": bool, "device": (int, NULL), "real_path": _OPTIONAL_WORD, "size": (int, None)}
_DATA = {
    **_DIRECTORY,
    "is_etcd": bool,
    "has_member": bool,
    "entries": [str],
    "foreign": [str],
    "inner_mounts": (_WORDS, None),
    "owner": _OWNER,
    "group": _OWNER,
    "parent_owner": ([_OWNER], None),
    "mode": WORD,
    "revision": int,
    "member_ids": _WORDS,
}
_SETTING = {
    "value": str,
    "path": str,
    "format": WORD,
    "within": (str, None),
}

SNAPSHOT = {
    "path": WORD,
    "real_path": WORD,
    "ok": bool,
    "verified": bool,
    "reason": str,
    "kind": WORD,
    "size": int,
    "sha256": WORD,
    "trailer": WORD,
    "compression": WORD,
    "packed_size": int,
    "taken_at": MOMENT,
    "revision": int,
    "key_revision": int,
    "cluster_version": (str, None),
    "members": [{"id": WORD, "name": WORD, "peer_urls": _WORDS, "client_urls": (_WORDS, None)}],
    "auth_enabled": (bool, None),
    "users": (ANY, None),
    "alarms": (_WORDS, None),
    "kubernetes": bool,
    "encryption_keys": _WORDS,
    "manifest": (
        {
            "cluster": _OPTIONAL_WORD,
            "cluster_id": _OPTIONAL_WORD,
            "etcd_version": _OPTIONAL_WORD,
            "taken_at": _OPTIONAL_WORD,
            "user_keys": (int, None),
            "revision": (int, None),
        },
        None,
    ),
}
# The plan of an earlier run, which the host has kept: what a run that goes on with it reads.
_OF = {
    "cluster": WORD,
    "cluster_id": WORD,
    "restore_id": WORD,
    "token": WORD,
    "initial_cluster": WORD,
    "members": {str: WORD},
    "revision": int,
    "own_revisions": (int, None),
    "bump": int,
    "snapshot": {**SNAPSHOT, "on": WORD, "kubernetes": (bool, None), "encryption_keys": (_WORDS, None)},
    "loss": {"seconds": (int, None), "revisions": (int, None), "unknown": (str, None)},
}
_SWAP = {"kind": WORD, "live": WORD, "staged": WORD, "aside": WORD, "near": WORD, "existed": bool, "size": int}
_PLAN = {
    "restore_id": WORD,
    "of": _OF,
    "member": {"name": WORD, "state_dir": WORD, "service": _SERVICE},
    "snapshot": {"path": WORD, "source_path": WORD, "sha256": WORD, "size": int, "transfer": bool},
    "restore": {"argv": _WORDS, "env": {str: str}},
    "swaps": [_SWAP],
    "config": [{"path": WORD, "before": {str: str}, "after": {str: str}}],
    "disk": [{"path": WORD, "need": int, "free": int, "freed": int}],
    "controllers": ([_POD], None),
    "leads": bool,
    "slow": bool,
    "was_to_run": bool,
}
_JOURNAL = {
    "restore_id": WORD,
    "earlier": _WORDS,
    "step": WORD,
    "open": bool,
    "touched": bool,
    "back": (bool, None),
    "plan": _PLAN,
    "highest_revision": (int, None),
}
_UNREADABLE = {"problem": str, "next_step": str}
_NO_JOURNAL = {"restore_id": None, "problem": None, "highest_revision": (int, None), "plan": None, "open": None}

MEMBER = {
    "found": bool,
    "running": bool,
    "name": WORD,
    "peer_urls": _WORDS,
    "client_urls": _WORDS,
    "data_dir": WORD,
    "wal_dir": WORD,
    "aside_dir": _OPTIONAL_WORD,
    "state_dir": WORD,
    "initial_cluster": str,
    "quota_backend_bytes": _OPTIONAL_WORD,
    "snapshot_count": _OPTIONAL_WORD,
    "service": {
        **_SERVICE,
        "enabled": (bool, WORD, None),
        "user": _OPTIONAL_WORD,
        "group": _OPTIONAL_WORD,
        "dynamic_user": bool,
        "notifies": bool,
        "start_timeout": (float, NULL),
    },
    "data": _DATA,
    "wal": {**_DIRECTORY, "exists": bool},
    "disk": [{"path": WORD, "device": int, "free": int, "noexec": (bool, None)}],
    "tools": _TOOLS,
    "tools_missing": ({str: str}, None),
    "kubernetes": {"pods": [_POD], "kubelet": bool, "running": _WORDS, "keys": (_WORDS, NULL)},
    "connection": _CONNECTION,
    "config": {"format": WORD, "path": WORD},
    "settings": {str: _SETTING},
    "shadowed": {str: {"flag": str, "variable": str}},
    "unsettable": [{str: str}],
    "interrupted_elsewhere": [{"restore_id": WORD, "cluster": WORD, "data_dir": WORD}],
    "journal": (_JOURNAL, _UNREADABLE, _NO_JOURNAL),
}
_SEEN_MEMBER = {
    "id": WORD,
    "name": WORD,
    "peer_urls": (_WORDS, None),
    "client_urls": (_WORDS, None),
    "endpoint": _OPTIONAL_WORD,
    "state": WORD,
    "version": _OPTIONAL_WORD,
    "errors": [str],
}
_ENDPOINT = {
    "endpoint": WORD,
    "state": WORD,
    "error": str,
    "refusal": str,
    "next_step": str,
    "member_id": WORD,
}
VIEW = {
    "cluster_id": WORD,
    "cluster_ids": _WORDS,
    "members": [_SEEN_MEMBER],
    "members_complete": bool,
    "endpoints": [_ENDPOINT],
    "opens": _WORDS,
    "leader": WORD,
    "leader_name": WORD,
    "has_quorum": bool,
    "quorum_unknown": bool,
    "revision": (int, NULL),
}
_FACTS = {
    "member": (MEMBER, None),
    "view": (VIEW, None),
    "snapshots": ([SNAPSHOT], None),
    "recorded": ({str: int}, None),
}


def check_answers(hosts: Mapping[str, Mapping[str, Any]], findings: Findings) -> bool:
    """Whether everything that the hosts answered is what the plan expects; each that is not is a refusal of its own."""
    wrong = {host: what_is_wrong(facts) for host, facts in hosts.items()}
    for host, why in wrong.items():
        if why:
            findings.refuse(
                f"what it answered cannot be understood: {why}.",
                "see that nothing but this run answers for it (set_fact, variables named look_*), and what is in its"
                " state folder and its backups; run with -vvv to see the whole answer.",
                host,
            )
    return not any(wrong.values())


def what_is_wrong(facts: Mapping[str, Any]) -> str:
    """Where and how what a host answered is not what is expected, in words; empty where it is."""
    facts = _without_empty(facts)
    why = misfit(facts, _FACTS)
    try:
        tools_from_dict(facts["member"]["tools"] if facts["member"] and not why else {})
    except EtcdError as error:
        why = error.message.rstrip(".")
    return why


def _without_empty(facts: Mapping[str, Any]) -> Dict[str, Any]:
    """A host that was not looked at answers nothing: its parts are empty, whatever their kind."""
    return {key: facts.get(key) or None for key in _FACTS}
