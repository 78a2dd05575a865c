# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an engine sees before it writes anything, and how it takes the mirror over: the values that the governor decides by."""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, NamedTuple, Optional, Protocol, Union

from ..core.errors import EtcdError
from ..core.text import printable
from ..etcd.messages import Header, KeyValue, prefix_range
from ..etcd.refusals import Compacted, Denied
from ..etcd.versions import parse_version, tells_progress
from ..etcd.wire import Status
from . import governor
from .governor import MEND, Decision, Kept, Source, Target, seed_of
from .names import STATE_STEM, probe
from .patience import Anew, Patience
from .ranges import Reads, Side, spans_without
from .segments import Log
from .settings import MirrorSettings, Seed
from .state import FOLLOW, HANDED, State, begun, decoded, state_key, stored


class Seen(NamedTuple):
    """``log_goes_on``: what came after the log is there and near, so that it can be read without a gap whatever else is done."""

    state: Optional[State]
    source: Source
    kept: Kept
    target: Target
    log_goes_on: bool

    def taken_over(self, settings: MirrorSettings, decision: Decision, epoch: str, value: Optional[bytes]) -> State:
        """The state with which an engine takes the mirror over, made of what is there now. Anew where that is another one."""
        now = _own(settings, stored(settings, value), self.source.cluster, self.target.cluster)
        if now is not None and now.phase == HANDED:
            raise Anew("the destination was handed over meanwhile.")
        if decision.action != FOLLOW and not decision.held:
            state = self.begun(settings, epoch, now)
            seed = settings.seed if decision.action == MEND else None
            return replace(state, revision=seed.revision) if seed else state
        if now is None or (now.phase, now.round) != (FOLLOW, self.state and self.state.round):
            raise Anew("another engine has compared both sides meanwhile.")
        return self.reached(replace(now, epoch=epoch, destination=f"{self.target.cluster:x}"))

    def begun(self, settings: MirrorSettings, epoch: str, before: Optional[State]) -> State:
        """The state with which a comparison begins with the source as it was seen."""
        state = begun(settings, epoch, self.source.cluster, self.source.revision, before)
        return self.reached(replace(state, destination=f"{self.target.cluster:x}"))

    def reached(self, state: State, term: int = 0) -> State:
        """The same with the term and the raft index that the source has reached: each revision is an entry at least."""
        source = self.source
        raft_index = source.raft_index and source.raft_index + max(0, state.revision - source.revision)
        return state.knowing(max(term, source.term), raft_index)


def _own(settings: MirrorSettings, state: Optional[State], source: int, target: int) -> Optional[State]:
    seeded = seed_of(settings, source, target) is not None
    return None if state is None or state.was_brought(source, target, seeded) else state


class Looks(Reads, Protocol):
    def raft_index(self, key: bytes) -> int: ...

    def status(self) -> Dict[str, Union[Status, EtcdError]]: ...


class Looking:
    """``source`` and ``target`` are clients that have seen nothing yet."""

    def __init__(self, settings: MirrorSettings, source: Looks, target: Reads, log: Log, patience: Patience) -> None:
        self._settings, self._source, self._target = settings, source, target
        self._log, self._patience = log, patience
        self._probe = probe(settings.source_prefix)

    def newest(self) -> int:
        """The source's revision, as all its members together have it."""
        return self._source.page(self._probe).header.revision

    def tells_progress(self) -> bool:
        """Whether each member of the source can be believed when it is asked how far its watches are."""
        found = [one for one in self._source.status().values() if not isinstance(one, EtcdError)]
        return bool(found) and all(tells_progress(parse_version(one.version)) for one in found)

    def look(self, value: Optional[bytes]) -> Seen:
        """``value`` is that of the state's key. EtcdError for a state that is none, or a source that has another's keys."""
        found = stored(self._settings, value)
        raft_index = self._patience.until_done(self._raft_index)  # before the revision: it was reached when that was
        header: Header = self._patience.until_done(lambda: self._source.page(self._probe)).header
        self._refuse_others()
        target = self._patience.until_done(lambda: self._target.page(state_key(self._settings))).header
        state = _own(self._settings, found, header.cluster_id, target.cluster_id)
        seed = seed_of(self._settings, header.cluster_id, target.cluster_id) if state is None else None
        kept = self._kept_since(seed, header) if seed else self._kept(state, header)
        known = seed.revision if seed else self._known(state, kept, header.cluster_id)
        compacted = 0 < known <= header.revision and self._is_compacted(known)
        has_keys = state is None and self._count(self._target, self._settings.target_prefix) > 0
        keys = self._count(self._source, self._settings.source_prefix) if state is None else 0
        source = Source(header.cluster_id, header.revision, compacted, header.raft_term, raft_index, keys)
        return Seen(state, source, kept, Target(target.cluster_id, has_keys), self._log_goes_on(header))

    def _known(self, state: Optional[State], kept: Kept, source: int) -> int:
        """Behind which revision of the source it would be followed; 0 where it will not be."""
        if state is None or state.phase != FOLLOW or state.cluster != f"{source:x}":
            return 0
        return max(kept.revision, state.revision)

    def _raft_index(self) -> int:
        try:
            return self._source.raft_index(self._probe)
        except Denied:
            return 0

    def _log_goes_on(self, header: Header) -> bool:
        revision = self._log.revision
        near = self._log.cluster == header.cluster_id and 0 <= header.revision - revision <= governor.NEAR
        return near and bool(revision) and not self._is_compacted(revision)

    def _kept(self, state: Optional[State], header: Header) -> Kept:
        return self._kept_after(state.revision, header) if state else Kept()

    def _kept_after(self, revision: int, header: Header) -> Kept:
        covers = self._log.cluster == header.cluster_id and self._log.covers(revision)
        return Kept(True, self._log.revision) if covers else Kept()

    def _kept_since(self, seed: Seed, header: Header) -> Kept:
        """That of an engine which mirrored the source before. No state tells by its term that the source was restored since, by
        hand and with its token, so that the log is of another history: what it has last must be what the source had.
        """
        kept = self._kept_after(seed.revision, header)
        if kept.revision <= seed.revision or kept.revision > header.revision:
            return kept  # it adds nothing, or tells by itself that the source was restored
        put = self._last_put(seed.revision)
        return kept if put and self._is_in_the_source(put) else Kept()

    def _is_in_the_source(self, put: KeyValue) -> bool:
        try:
            kvs = self._patience.until_done(lambda: self._source.page(put.key, revision=put.mod_revision)).kvs
        except Compacted:
            return False
        return [(kv.mod_revision, kv.value) for kv in kvs] == [(put.mod_revision, put.value)]

    def _last_put(self, after: int) -> Optional[KeyValue]:
        """What the log has of the last key that was put behind the revision."""
        last: Optional[KeyValue] = None
        with self._log.read(after) as reader:
            record = reader.take()
            while record is not None:
                puts = [event.kv for event in record.events if not event.deleted]
                last = puts[-1] if puts else last
                record = reader.take()
        return last

    def _is_compacted(self, revision: int) -> bool:
        """Whether a watch from the next revision on is refused: it is where this one cannot be read."""
        try:
            self._patience.until_done(lambda: self._source.page(self._probe, revision=revision))
        except Compacted:
            return True
        return False

    def _refuse_others(self) -> None:
        """Below the stem of states nothing is mirrored: so nothing else may lie there."""
        stem = self._settings.source_prefix + STATE_STEM
        page = self._patience.until_done(lambda: self._source.page(stem, prefix_range(stem)[1], limit=1000))
        for kv in page.kvs:
            try:
                decoded(kv.value)
            except ValueError as error:
                key = printable(kv.key.decode("utf-8", "backslashreplace"))
                raise EtcdError(
                    f"The source has the key {key}, which is no state of a mirror: keys of such names are not mirrored.",
                    "give it another name, or choose a prefix that it does not have.",
                ) from error

    def _count(self, client: Reads, prefix: bytes) -> int:
        side = Side(client, prefix, beside=False)
        return self._patience.until_done(lambda: side.count(spans_without([STATE_STEM]), 0))
