# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a run was started, as far as it may be shown, so that a report can name the command of the next one."""

from __future__ import annotations

import json
import os
import re
import shlex
from dataclasses import dataclass, field
from typing import Any, Dict, Mapping, Optional, Sequence

from .job import Words

# What may be shown of what a run was given with -e, besides the job's own variables: names that hold no secret.
_SHOWN = (
    *("target", "etcd_backup_dir", "etcd_report_dir"),
    *("etcd_install_from", "etcd_archive_file", "etcd_archive_sha256"),
)


@dataclass(frozen=True)
class Invocation:
    """How the run of the job ``words`` was started; ``invocation`` makes one. An empty ``playbook`` is the job's own."""

    words: Words
    playbook: str = ""
    inventories: Sequence[str] = ("INVENTORY",)
    variables: Mapping[str, Any] = field(default_factory=dict)

    def line(self, other: str = "", keep: bool = True, variables: Optional[Mapping[str, str]] = None) -> str:
        """The command line of the job, or of another one (backup, status).

        ``variables`` are given besides. Of what this run was given it names the group, for the same job what was left out,
        and the rest where ``keep`` says so.
        """
        always = {"target"} if other else {"target", f"{self.words.prefix}exclude"}
        kept = {name: value for name, value in self.variables.items() if keep or name in always}
        words = ["ansible-playbook", self._playbook(other)]
        for inventory in self.inventories:
            words += ["-i", inventory]
        for name, value in {**kept, **(variables or {})}.items():
            words += ["-e", _extra_variable(name, value)]
        return shlex.join(words)

    def _playbook(self, other: str) -> str:
        own = f"{self.words.playbook or self.words.name}.yml"
        folder, name = os.path.split(self.playbook or own)
        if not other:
            return self.playbook or own
        return os.path.join(folder, other + ".yml") if name == own else f"quorum.etcd.{other}"


def invocation(
    words: Words, playbooks: Sequence[str], inventories: Sequence[str], extra_variables: Sequence[str]
) -> Invocation:
    """From what ansible-playbook was started with; of its ``-e`` only what is known to be no secret."""
    variables: Dict[str, Any] = {}
    for text in extra_variables:
        variables.update(_parsed(text))
    own = words.prefix.rstrip("_")  # the job itself, where it is asked for by a variable
    shown = {
        name: value for name, value in variables.items() if name in (*_SHOWN, own) or name.startswith(words.prefix)
    }
    named = playbooks[0] if len(playbooks) == 1 else ""
    return Invocation(words, named, inventories or Invocation.inventories, shown)


def _parsed(text: str) -> Dict[str, Any]:
    """One ``-e``: JSON, or words of the kind name=value; what is neither is left out."""
    try:
        if text.lstrip().startswith("{"):
            return dict(json.loads(text))
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError:
        return {}
    return {name: value for name, equals, value in pairs if equals}


def _extra_variable(name: str, value: Any) -> str:
    plain = isinstance(value, str) and not re.search(r"[\s'\"\\{}]", value)
    return f"{name}={value}" if plain else json.dumps({name: value})
