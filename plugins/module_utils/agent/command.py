# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a command of the agent is: its name, its words, its options, and what it does."""

from __future__ import annotations

import argparse
from typing import Any, Callable, Dict, List, NamedTuple

from ..etcd.commands import Run, Tools
from ..host.processes import Host
from ..host.tools import kept_folders, look_for_tools
from .settings import Settings

FINE, UNSUCCESSFUL, REFUSED, STALE = 0, 1, 2, 3


class Answer(NamedTuple):
    """The exit code, what ``--json`` prints, and the same as lines."""

    code: int
    data: Dict[str, Any]
    text: List[str]


class Command(NamedTuple):
    """``words`` say in the list of commands what it does, ``more`` follows them in its own help.

    ``records``: what became of it is recorded, so that a monitor is told anew. ``of_backups``: it goes by the configuration of
    backups, and is given it; else by one of its own, of which ``--config`` may give the path.
    """

    name: str
    words: str
    more: str
    add_options: Callable[[argparse.ArgumentParser], object]
    do: Callable[[Settings, argparse.Namespace, Run], Answer]
    records: bool = False
    of_backups: bool = True


def tools_of(settings: Settings, run: Run) -> Tools:
    """etcd's tools on this host."""
    more = kept_folders(Host("/"), settings.state_dir)
    return look_for_tools(run, settings.bin_dir, more=more)[0]
