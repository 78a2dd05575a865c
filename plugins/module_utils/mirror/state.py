# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a mirror is: one key in the destination, written in the same transaction as the data that it tells of.

Every transaction of an engine compares the whole value of that key. An engine that takes over puts a new ``epoch`` into it, after
which nothing that the one before still sends can land.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import Optional, Tuple

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.text import printable
from ..core.values import TEXT, Misfit, from_plain, to_plain
from .names import STATE_STEM
from .settings import MirrorSettings

VERSION = 1
SCAN, FOLLOW, HANDED, TAKEN = "scan", "follow", "handed over", "taken back"


@dataclass(frozen=True)
class State:
    """``epoch`` is that of the engine that may write, ``cluster`` the source's ID, in hexadecimal.

    In the phase ``scan`` the destination is being compared with the source, and is as good as unknown; ``revision`` is the one
    at which that began, and ``round`` tells one comparison from the next. In the phase ``follow`` the destination is the source
    as it was at ``revision``, with the first ``index`` events of the next revision that has any; but before ``until`` it also has
    some of what happened later, since a comparison could not be made at one revision. In the phase ``handed over`` it was that at
    ``revision`` when it was given to clients, and no engine writes it any more; in the phase ``taken back`` no engine has begun
    to compare it since.

    ``term`` and ``raft_index`` are the source's, at least, when it had that revision: both only rise in one history, and begin
    anew, near zero, where a cluster is restored. 0 where nobody could tell, and where an older engine wrote it.

    ``destination`` is the ID of the cluster that it was written for: a snapshot brings it to others. Empty of an older engine.

    ``prefix``, ``exclude`` and ``leases`` are what is mirrored: where the settings say something else, its content is unknown.
    """

    version: int
    epoch: str
    cluster: str
    phase: str
    revision: int
    index: int = 0
    round: int = 0
    until: int = 0
    prefix: str = field(default="", metadata=TEXT)
    exclude: Tuple[str, ...] = field(default=(), metadata=TEXT)
    leases: str = ""
    term: int = 0
    raft_index: int = 0
    destination: str = ""

    def encode(self) -> bytes:
        return json.dumps(to_plain(self), sort_keys=True, separators=(",", ":")).encode()

    @property
    def is_exact(self) -> bool:
        """Whether the destination is the source as it was at ``revision``, and nothing else."""
        return self.phase == FOLLOW and not self.index and self.revision >= self.until

    def knowing(self, term: int, raft_index: int) -> State:
        """The same, with what else the source is known to have reached."""
        return replace(self, term=max(self.term, term), raft_index=max(self.raft_index, raft_index))

    def is_of_others(self, source: int, destination: int) -> bool:
        """Whether it tells of none of these clusters. Each of them may have been restored since; or it was brought along."""
        return self.cluster != f"{source:x}" and self.destination != f"{destination:x}"

    def was_brought(self, source: int, destination: int, seeded: bool) -> bool:
        """Whether a snapshot of the source has brought it to the destination, of which it says nothing then. That was written for
        what is the source now: another mirror's destination, or this one's before a cutover. ``seeded``: the destination is
        known to have begun with such a snapshot, whatever the source was called when that was written.
        """
        return self.is_of_others(source, destination) and (seeded or self.destination == f"{source:x}")

    def at(self, revision: int, index: int = 0) -> State:
        return replace(self, phase=FOLLOW, revision=revision, index=index)


def state_key(settings: MirrorSettings) -> bytes:
    return settings.target_prefix + STATE_STEM + settings.name.encode()


def state_key_in_words(settings: MirrorSettings) -> str:
    return printable(state_key(settings).decode("utf-8", "backslashreplace"))


def decoded(value: bytes) -> State:
    """The state in a key's value. ValueError, with why in words, for what no engine has written, or a newer one."""
    try:
        state = from_plain(State, strict_json.parse(value.decode("utf-8"), strict_json.LARGEST_FILE))
    except UnicodeDecodeError:
        raise ValueError("it is no UTF-8") from None
    if state.version != VERSION:
        raise Misfit(f"it is of version {state.version}, and this engine knows {VERSION}")
    if state.phase not in (SCAN, FOLLOW, HANDED, TAKEN):
        raise Misfit(f"its phase is {state.phase}")
    if not re.fullmatch("[0-9a-f]{1,16}", state.cluster):
        raise Misfit("its cluster is no ID in hexadecimal")
    if min(state.revision, state.index, state.term, state.raft_index) < 0:
        raise Misfit("it has a negative number")
    return state


def understood(settings: MirrorSettings, value: bytes) -> State:
    """The state in the destination's key of this mirror. EtcdError, with the next step, for what is none."""
    try:
        return decoded(value)
    except ValueError as error:
        key = state_key_in_words(settings)
        raise EtcdError(
            f"What the destination has in {key} is no state of a mirror that this engine knows: {error}.",
            "use the version of the engine that wrote it, or delete that key if nobody needs it.",
        ) from error


def stored(settings: MirrorSettings, value: Optional[bytes]) -> Optional[State]:
    """The same of a key that may not be there."""
    return understood(settings, value) if value is not None else None


def begun(settings: MirrorSettings, epoch: str, cluster: int, revision: int, before: Optional[State]) -> State:
    """The state with which a comparison begins at a revision of the source."""
    return State(
        version=VERSION,
        epoch=epoch,
        cluster=f"{cluster:x}",
        phase=SCAN,
        revision=revision,
        round=before.round + 1 if before else 1,
        prefix=settings.prefix,
        exclude=tuple(sorted(settings.exclude)),
        leases=settings.leases,
    )


def mirrors_the_same(state: State, settings: MirrorSettings) -> bool:
    """Whether what the state tells of is what the settings want."""
    wanted = (settings.prefix, tuple(sorted(settings.exclude)), settings.leases)
    return (state.prefix, state.exclude, state.leases) == wanted
