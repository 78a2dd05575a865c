# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a verification found, and the file in which the last one of a mirror stands."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Optional, Tuple

from ..core import strict_json
from ..core.durable import put
from ..core.errors import EtcdError
from ..core.text import printable
from ..core.values import MOMENT, Misfit, from_plain, to_plain

FILE = "verified.json"
MISSING, EXTRA, OTHER = "missing", "extra", "other"  # in the mirror; OTHER: another value
_NEXT = "verify the mirror again."
_LONGEST_KEY = 200  # characters; a key may have a megabyte


@dataclass(frozen=True)
class Differing:
    """A key of the source, or where it should be, as people can read it, and how the mirror differs from it."""

    key: str
    how: str


@dataclass(frozen=True)
class Verified:
    """``differing`` are the first of ``missing + extra + other`` keys.

    ``unsettled``: keys of which it could not be told, since what they were at the mirror's revision was compacted away, or
    they changed all the time. ``digest`` and ``mirror_digest``: SHA-256 over the sorted names and values of each side.
    ``rounds``: 1 where each side was read at one revision; one more for each time that a revision was compacted meanwhile.
    The revisions are those of the last round.
    """

    mirror: str
    time: str = field(metadata=MOMENT)
    seconds: float
    source_revision: int
    applied_revision: int
    mirror_revision: int
    source_keys: int
    mirror_keys: int
    missing: int
    extra: int
    other: int
    unsettled: int
    differing: Tuple[Differing, ...]
    digest: str
    mirror_digest: str
    rounds: int = 1

    @property
    def differences(self) -> int:
        return self.missing + self.extra + self.other

    @property
    def equal(self) -> bool:
        """Whether no key differs, as far as it can be told: see ``unsettled``."""
        return not self.differences


def shown(key: bytes) -> str:
    """A key as people can read it, on one line and not longer than one: bytes that are no text as escapes."""
    text = printable(key.decode("utf-8", "backslashreplace"))
    return text if len(text) <= _LONGEST_KEY else f"{text[:_LONGEST_KEY]}... ({len(key):,} bytes)"


def write(state_dir: str, verified: Verified) -> None:
    """Put it in the place of the last one; on the disk when this returns. OSError where it cannot be."""
    put(os.path.join(state_dir, FILE), (json.dumps(to_plain(verified), sort_keys=True) + "\n").encode())


def last(state_dir: str) -> Optional[Verified]:
    """The last one, None where there was none. EtcdError for what cannot be understood."""
    path = os.path.join(state_dir, FILE)
    try:
        return from_plain(Verified, strict_json.read_file(path, "the last verification", _NEXT))
    except FileNotFoundError:
        return None
    except Misfit as error:
        raise EtcdError(f"the last verification {path} cannot be understood: {error}.", _NEXT) from error
