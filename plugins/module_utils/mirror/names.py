# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which keys a mirror has, and how they are called in the destination."""

from __future__ import annotations

from typing import NamedTuple, Optional, Tuple

from .settings import MirrorSettings

# Below the prefix of a destination lies the state of its mirror, and of others; a source may be the destination of another.
STATE_STEM = b"quorum.etcd/mirror/"


class Names(NamedTuple):
    """``source`` and ``target`` are the prefixes; ``left_out`` are prefixes of source keys that are not mirrored."""

    source: bytes
    target: bytes
    left_out: Tuple[bytes, ...]

    def in_target(self, key: bytes) -> Optional[bytes]:
        """What a key of the source is called in the destination; None for one that is not mirrored."""
        if not key.startswith(self.source) or key.startswith(self.left_out):
            return None
        return self.target + key[len(self.source) :]

    def left_out_names(self) -> Tuple[bytes, ...]:
        """The same without the prefix: what is left out on both sides."""
        return tuple(one[len(self.source) :] for one in self.left_out)


def names_of(settings: MirrorSettings) -> Names:
    source = settings.source_prefix
    left_out = (source + STATE_STEM, *(one.encode() for one in settings.exclude))
    return Names(source, settings.target_prefix, left_out)


def probe(prefix: bytes) -> bytes:
    """A key that whoever may read the prefix may read too. It is asked for where only the answer's header is wanted: a single
    one, since etcd counts each range to its end.
    """
    return prefix + STATE_STEM


def overlap(one: bytes, other: bytes) -> bool:
    """Whether keys can have both prefixes."""
    return one.startswith(other) or other.startswith(one)
