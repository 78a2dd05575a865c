# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the hosts of a play have registered, for an action that judges all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.quorum.etcd.plugins.module_utils.report.status import Seen


def answers_of(
    task_vars: Mapping[str, Any], names: Sequence[str], hosts: Sequence[str] | None = None
) -> dict[str, list[Mapping[str, Any]]]:
    """By host, of the play where no others are named, what it registered under each of these names; empty where a task was
    skipped, was not run or has no name."""
    if hosts is None:
        hosts = task_vars.get("ansible_play_hosts_all", ())
    return {host: [_answer(task_vars["hostvars"][host], name) for name in names] for host in hosts}


def seen_of(
    task_vars: Mapping[str, Any], look: str, view: str = "", backups: str = "", mirrors: str = ""
) -> dict[str, Seen]:
    return {host: Seen(*answers) for host, answers in answers_of(task_vars, (look, view, backups, mirrors)).items()}


def _answer(registered: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = (registered.get(name) if name else None) or {}
    return {} if found.get("skipped") else found
