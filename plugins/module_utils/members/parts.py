# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a plan of member_replace gives a host to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Dict, List, Optional

from ..core.values import SPARSE
from ..host.aside import OldFolder, Owner
from ..host.parts import HostPart, OfCluster
from ..host.settings.edits import Edit
from .sequence import Change


@dataclass(frozen=True)
class OfReplace(OfCluster):
    """``gate``: how many entries a learner may lack when it is promoted. ``patience``: seconds in which a newcomer must come
    nearer; ``tries``: how often it is tried. ``expected``: the membership at the end, by name. Client URLs by name, for who
    names them: ``was``, of the members before the first change, and ``clients`` at the end.
    """

    changes: List[Change]
    gate: int
    patience: int
    tries: int
    expected: Dict[str, List[str]]
    was: Dict[str, List[str]] = field(default_factory=dict)
    clients: Dict[str, List[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ReplacePart(HostPart):
    """``config``: what a newcomer's configuration says when it starts; ``settling``: what every member's says at the end.
    ``folders`` make room, for a newcomer or because the host's member leaves, as ``retires`` says; the new data is ``owner``'s.
    ``leaves``: the peer URLs of the one that leaves, which nobody may have when its data is set aside.
    """

    config: List[Edit] = field(default_factory=list)
    settling: List[Edit] = field(default_factory=list)
    folders: List[OldFolder] = field(default_factory=list)
    owner: Optional[Owner] = field(default=None, metadata=SPARSE)
    retires: bool = False
    leaves: List[str] = field(default_factory=list)
