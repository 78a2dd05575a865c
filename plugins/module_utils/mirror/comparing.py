# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The comparison of an engine, by which the destination becomes the source; and what is applied before one that is held back."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Callable, Iterator, Optional, Set

from ..etcd.client import Client
from ..etcd.messages import Delete, KeyValue
from .applying import Applying
from .batches import Operation, of_a_comparison
from .compare import PART_KEYS, Pinned, differences
from .leases import Leases
from .looking import Looking
from .names import names_of
from .patience import Anew, Patience
from .ranges import Part, Side, Span, spans_without
from .segment_format import Record
from .segment_reader import NotCovered, Reader
from .segments import Log
from .settings import KEEP, MirrorSettings
from .state import State
from .status import Board

QUIET = 5.0  # seconds without anything from a source that cannot tell its progress
_TICK = 0.25


class Comparing:
    """``check`` is asked from time to time, and ends it; ``full`` says whether the log waits for room."""

    def __init__(
        self,
        settings: MirrorSettings,
        source: Client,
        target: Client,
        log: Log,
        looking: Looking,
        applying: Applying,
        leases: Leases,
        board: Board,
        patience: Patience,
        say: Callable[[str], None],
        check: Callable[[], None],
        full: Callable[[], object],
    ) -> None:
        self._names, self._keeps = names_of(settings), settings.leases == KEEP
        self._source, self._target, self._log, self._looking = source, target, log, looking
        self._applying, self._leases, self._board = applying, leases, board
        self._patience, self._say, self._check, self._full = patience, say, check, full

    def compare(self, state: State, held: bool) -> int:
        """Write what differs from the source at the state's revision, or a newer one that this returns, where it is compacted.
        ``held``: what happened after that revision is not written; it is in the log.
        """
        began = time.monotonic()
        left_out = self._names.left_out_names()
        source = Side(self._source, self._names.source, most=PART_KEYS)
        target = Side(self._target, self._names.target, beside=False, most=PART_KEYS)
        pinned = Pinned(source, state.revision, lambda: self._patience.until_done(self._looking.newest))
        total = self._patience.until_done(lambda: source.count(spans_without(left_out), 0))
        self._board.set(keys_total=total, keys_done=0, keys_changed=0)

        def read_source(span: Span) -> Part:
            part = self._patience.until_done(lambda: pinned.part(span))
            if self._keeps:  # all that it has at once, and not key by key
                self._leases.without({kv.lease for _name, kv in part.entries if kv.lease})
            return part

        def read_target(span: Span) -> Part:
            return self._patience.until_done(lambda: target.part(span, 0))

        changed = 0
        before = state.revision if held else None
        changes = differences(
            read_source, read_target, self._names.target, left_out, self._lease_of, self._compared, before
        )
        if held:
            changes = self._without_later(changes, pinned, state.revision)
        for operations in of_a_comparison(changes):
            changed += len(operations)
            self._board.set(keys_changed=changed)
            self._check()
            self._applying.write_soon(operations)
        self._applying.finish()
        done = self._board.status.keys_done
        self._say(f"Compared {done:,} keys in {time.monotonic() - began:.1f} s: {changed:,} were changed or deleted.")
        return pinned.revision

    def _without_later(self, changes: Iterator[Operation], pinned: Pinned, after: int) -> Iterator[Operation]:
        """Without what was deleted after the revision, where the source does not have that any more: it is not due yet."""
        later: Set[Optional[bytes]] = set()
        reached, tells, heard_at = after, self._looking.tells_progress(), time.monotonic()
        with self._log.read(after) as reader:
            for change in changes:
                while isinstance(change, Delete) and reached < pinned.revision:
                    self._check()
                    record = reader.take(_TICK)
                    if record:
                        reached, heard_at = record.revision, time.monotonic()
                        later.update(self._names.in_target(one.kv.key) for one in record.events if one.deleted)
                    elif self._full():  # it waits for what is applied, and nothing is while this is compared
                        raise Anew("the log is full, and what it lacks is needed for the comparison.")
                    elif not tells and time.monotonic() - heard_at > QUIET:
                        break
                if not (isinstance(change, Delete) and change.key in later):
                    yield change

    def _compared(self, done: int) -> None:
        self._check()
        self._board.set(keys_done=done)

    def _lease_of(self, kv: KeyValue) -> int:
        return self._leases.of(kv) if self._keeps else 0


def what_was_before(reader: Reader, after: int, until: int, check: Callable[[], None]) -> Iterator[Record]:
    """What the log has from one revision to another, behind which there is a gap."""
    with suppress(NotCovered):
        while after < until:
            check()
            record = reader.take(_TICK)
            if record:
                after = record.revision
                yield record
