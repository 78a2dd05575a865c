# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the settings that a restore writes can be set, tried in memory before anything is stopped."""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ...core.errors import EtcdError
from ..facts import MemberFacts, Unsettable
from .edits import plan_edits

# What a restore writes, with values that are made as its own will be.
_REHEARSED = {
    "initial-cluster": "m1=https://192.0.2.1:2380,m2=https://[2001:db8::2]:2380,m3=https://m3.example:2380",
    "initial-cluster-token": "etcd-20261124T030000Z-0a1b2c3d",
    "initial-cluster-state": "new",
}


def rehearse(member: MemberFacts, read_text: Callable[[str], Optional[str]]) -> List[Unsettable]:
    """Why the settings that a restore writes cannot be set, found by setting them in memory: before anything is stopped.

    One item for each cause, whatever number of settings it is for; none where all can be set.
    ``read_text`` gives the text of a file of the host's, None where there is none.
    """
    found: Dict[Tuple[str, str], List[str]] = {}
    for setting, value in _REHEARSED.items():
        _rehearse(member, read_text, {setting: value}, found)
    if not found:  # each by itself can be set, and all in one file may get into each other's way
        _rehearse(member, read_text, _REHEARSED, found)
    return [
        Unsettable(cause.replace(_SETTING, _in_words(settings)), step.replace(_SETTING, settings[0]))
        for (cause, step), settings in found.items()
    ]


_SETTING = "\0"  # stands for the name of a setting in words that are the same for several


def _rehearse(
    member: MemberFacts,
    read_text: Callable[[str], Optional[str]],
    wanted: Mapping[str, str],
    found: Dict[Tuple[str, str], List[str]],
) -> None:
    try:
        for each in plan_edits(member, wanted):
            text = read_text(each.path)
            each.edited((read_text(each.parked) if text is None and each.parked else text) or "")
    except EtcdError as error:
        name = re.compile(r"(?<![\w-])" + re.escape(next(iter(wanted))) + r"(?![\w-])")
        said = (name.sub(_SETTING, error.message), name.sub(_SETTING, error.next_step))
        found.setdefault(said, []).extend(wanted)


def _in_words(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
