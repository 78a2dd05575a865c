# SPDX-License-Identifier: GPL-3.0-or-later
"""The one log: what is appended is read, in order, once, from any revision; gaps, bounds, one writer, readers elsewhere."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Event, KeyValue
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import segment_format as form
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_format import Head, Lease, Record
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_reader import NotCovered, Reader, entries
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_writing import Full
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import (
    AWAY,
    BACK,
    FIRST,
    OTHER_KEYS,
    RESTORED,
    Log,
    Taken,
)

CLUSTER, OTHER = 0xCDF818194E3A8C32, 0x0102030405060708


def put(key: bytes, revision: int, value: bytes = b"v", lease: int = 0) -> Event:
    return Event(False, KeyValue(key, revision, revision, 1, value, lease))


def deleted(key: bytes, revision: int) -> Event:
    return Event(True, KeyValue(key, 0, revision, 0, b""), KeyValue(key, 3, revision - 1, 2, b"was", 7))


def written(log: Log, revisions, cluster: int = CLUSTER):
    found = []
    for revision in revisions:
        events = [put(b"/k/%d" % revision, revision, b"x" * (revision % 50)), deleted(b"/gone", revision)]
        log.append(cluster, revision, 1000.0 + revision, events)
        found.append(Record(revision, 1000.0 + revision, events))
    return found


def taken(reader: Reader):
    with reader:
        return list(iter(lambda: reader.take(0), None))


def any_event(draw: random.Random) -> Event:
    def kv() -> KeyValue:
        numbers = [draw.randrange(1 << 62) for _part in range(3)]
        return KeyValue(draw.randbytes(draw.choice([1, 5, 300])), *numbers, draw.randbytes(draw.choice([0, 1, 900])), 7)

    return Event(draw.random() < 0.5, kv(), kv() if draw.random() < 0.5 else None)


def test_every_event_comes_back_as_it_was_with_its_revision_time_and_previous_state():
    draw = random.Random(1)
    if not hasattr(draw, "randbytes"):  # Python 3.8
        draw.randbytes = lambda count: bytes(draw.randrange(256) for _byte in range(count))
    for number in range(200):
        record = Record(draw.randrange(1 << 63), draw.random() * 2e9, [any_event(draw) for _event in range(number % 9)])
        assert form.record_of(form.events(record)) == record
        assert form.revision_of(form.events(record)) == record[:2]


def test_the_values_beside_events_come_back_too():
    for left_out in ((), (b"",), (b"/a/x", b"/a/yy")):
        head = Head(7, CLUSTER, 12, 1.5, False, b"/a", b"/b", "why \xe9", left_out)
        assert form.head_of(form.head(head)) == head
    assert form.lease_of(form.lease(Lease(-5, 60, 2.5))) == Lease(-5, 60, 2.5)
    close = form.Close(9, 2.5, 3, b"h" * 32)
    assert form.close_of(form.close(close)) == close
    assert form.FRAME_SIZE + len(form.close(close)) == form.CLOSE_SIZE


@pytest.mark.parametrize("segment_bytes", [1, 500, 1 << 20])
def test_it_is_read_from_any_revision_whatever_segments_it_lies_in(tmp_path, segment_bytes):
    with Log(str(tmp_path / "log"), segment_bytes=segment_bytes) as log:
        log.begin(CLUSTER, 10, 5.0)
        records = written(log, range(11, 60, 2))
        for after in range(10, 62):
            assert taken(log.read(after)) == [one for one in records if one.revision > after]
            assert log.covers(after) == (after <= 59)
        assert (log.cluster, log.revision) == (CLUSTER, 59)
        assert not log.covers(9)
        with pytest.raises(NotCovered, match="after revision 10.*does not have all that happened after revision 9"):
            log.read(9)
    names = sorted(path.name for path in (tmp_path / "log").glob("*.log"))
    assert len(names) == {1: 25, 500: 9, 1 << 20: 1}[segment_bytes]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "log").iterdir())
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o700


@pytest.mark.parametrize("kept", [True, False])
def test_the_next_writer_goes_on_where_the_last_one_ended(tmp_path, kept):
    folder, records = str(tmp_path / "log"), []
    for first in (11, 21, 31):
        with Log(folder, kept=kept, segment_bytes=700) as log:
            assert log.begin(CLUSTER, first - 1, 1.0) == (first != 11)
            assert log.revision == first - 1 and not log.cut
            records += written(log, range(first, first + 10))
    with Log(folder, kept=kept) as log:
        assert taken(log.read(10)) == records
    assert [one for one in entries(folder) if isinstance(one, Record)] == records


def test_what_is_there_already_is_not_added_again_and_progress_moves_on(tmp_path):
    with Log(str(tmp_path)) as log:
        log.begin(CLUSTER, 10, 1.0)
        records = written(log, range(11, 15))
        assert log.begin(CLUSTER, 14, 2.0)
        written(log, range(13, 15))  # the watch was opened again, a little earlier
        log.append(CLUSTER, 20, 3.0, [])
        assert log.revision == 20
        assert taken(log.read(10)) == [*records, Record(20, 3.0, [])]


def test_a_gap_is_recorded_and_nobody_reads_over_it(tmp_path):
    with Log(str(tmp_path)) as log:
        assert not log.begin(CLUSTER, 10, 1.0)
        written(log, range(11, 15))
        assert not log.begin(CLUSTER, 20, 2.0)
        written(log, range(21, 25))
        for wanted, at in ((OTHER, 3), (OTHER, 2)):
            log.begin(wanted, at, 3.0, anew="restored to an earlier state" if at == 2 else "")
            written(log, range(at + 1, at + 5), OTHER)
        assert [log.covers(one) for one in (1, 2, 6, 7, 12, 22)] == [False, True, True, False, False, False]
        reader = Reader(str(tmp_path), 2)
        assert [one.revision for one in taken(reader)] == [3, 4, 5, 6]
        with pytest.raises(NotCovered, match="restored to an earlier state"):
            log.read(1)
    heads = [one for one in entries(str(tmp_path)) if isinstance(one, Head)]
    assert [(one.cluster, one.after, one.goes_on, one.why) for one in heads] == [
        (CLUSTER, 10, False, FIRST),
        (CLUSTER, 20, False, AWAY),
        (OTHER, 3, False, RESTORED),
        (OTHER, 2, False, "restored to an earlier state"),
    ]


def test_a_reader_that_comes_to_a_gap_is_told_and_gets_nothing_from_behind_it(tmp_path):
    with Log(str(tmp_path)) as log:
        log.begin(CLUSTER, 10, 1.0)
        written(log, range(11, 13))
        with log.read(10) as reader:
            assert [reader.take(0).revision, reader.take(0).revision, reader.take(0)] == [11, 12, None]
            log.begin(CLUSTER, 15, 2.0)
            written(log, range(16, 18))
            with pytest.raises(NotCovered, match=AWAY):
                reader.take(0)


def test_what_was_not_announced_comes_after_a_gap(tmp_path):
    for first in (11, 21):
        with Log(str(tmp_path)) as log:
            written(log, range(first, first + 3))
            assert not log.covers(first - 2) and log.covers(first - 1)
    assert [one.why for one in entries(str(tmp_path)) if isinstance(one, Head)] == [FIRST, AWAY]


def test_another_range_begins_anew(tmp_path):
    with Log(str(tmp_path), b"/a", b"/b") as log:
        log.begin(CLUSTER, 10, 1.0)
    for left_out in ((), (b"/a/x", b"/a/b"), (b"/a/b", b"/a/x"), (b"/a/b",)):
        with Log(str(tmp_path), b"/a", b"/c", left_out=left_out) as log:
            assert log.begin(CLUSTER, 10, 1.0) == (left_out == (b"/a/b", b"/a/x"))
    assert [(one.end, one.left_out, one.why) for one in entries(str(tmp_path))] == [
        (b"/b", (), FIRST),
        (b"/c", (), OTHER_KEYS),
        (b"/c", (b"/a/b", b"/a/x"), OTHER_KEYS),
        (b"/c", (b"/a/b",), OTHER_KEYS),
    ]


def test_a_source_whose_revision_went_back_begins_anew(tmp_path):
    """It was restored, with the cluster ID that it had: what it does from now on has revisions that the log has already."""
    with Log(str(tmp_path)) as log:
        log.begin(CLUSTER, 10, 1.0)
        written(log, range(11, 20))
        assert not log.begin(CLUSTER, 12, 2.0)
        records = written(log, range(13, 16))
        assert taken(log.read(12)) == records
        with pytest.raises(NotCovered, match=BACK):
            log.read(11)


def test_a_kept_log_whose_source_is_idle_still_forgets_by_age(tmp_path):
    now = [1000.0]
    with Log(str(tmp_path), kept=True, max_age=100.0, clock=lambda: now[0]) as log:
        log.begin(CLUSTER, 10, 1000.0)
        written(log, [11])
        while now[0] < 2000:
            now[0] += 2
            log.append(CLUSTER, 11, now[0], [])  # progress
            log.forget_up_to(11)
            oldest = next(one for one in entries(str(tmp_path)) if isinstance(one, Head))
            assert oldest.wall >= now[0] - 112
        assert log.covers(11) and not log.covers(10)


def test_a_spool_forgets_what_is_applied_and_what_is_not_stays(tmp_path):
    with Log(str(tmp_path), segment_bytes=1) as log:
        log.begin(CLUSTER, 10, 1.0)
        written(log, range(11, 31))
        assert log.forget_up_to(10) == 0
        assert log.forget_up_to(20) == 10
        assert not log.covers(19) and log.covers(20)
        assert [one.revision for one in taken(log.read(20))] == list(range(21, 31))
        with pytest.raises(NotCovered, match="what was before is forgotten"):
            log.read(19)
        assert log.forget_up_to(99) == 9  # the one that is written stays
        assert log.size == sum(path.stat().st_size for path in tmp_path.glob("*.log"))
    with Log(str(tmp_path), segment_bytes=1) as log:
        assert log.begin(CLUSTER, 30, 1.0) and log.revision == 30


def test_what_a_reader_has_not_read_and_is_forgotten_is_told(tmp_path):
    with Log(str(tmp_path), segment_bytes=1) as log:
        log.begin(CLUSTER, 10, 1.0)
        written(log, range(11, 15))
        with log.read(10) as reader:
            assert reader.take(0).revision == 11
            log.forget_up_to(13)
            with pytest.raises(NotCovered, match="forgotten"):
                reader.take(0)


def test_what_is_kept_goes_by_age_and_size_and_never_before_it_is_applied(tmp_path):
    now = [1100.0]
    with Log(str(tmp_path), kept=True, max_age=50.0, segment_bytes=1, clock=lambda: now[0]) as log:
        log.begin(CLUSTER, 10, 1.0)
        written(log, range(11, 41))  # read at 1011 to 1040
        assert log.forget_up_to(15) == 5  # all are too old by now, and no more are applied
        now[0] = 1080.0
        assert log.forget_up_to(99) == 14  # up to 29, read at 1029
    with Log(str(tmp_path), kept=True, max_bytes=1, segment_bytes=1) as log:
        assert log.begin(CLUSTER, 40, 1.0)
        assert log.forget_up_to(35) == 6
        assert log.covers(35) and not log.covers(34)
    with Log(str(tmp_path), kept=True, max_bytes=1 << 20, max_age=1e12, segment_bytes=1) as log:
        assert log.forget_up_to(99) == 0


def test_there_is_one_writer(tmp_path):
    with Log(str(tmp_path)), pytest.raises(Taken, match="another process writes the log"):
        Log(str(tmp_path))
    Log(str(tmp_path)).close()


def test_a_reader_follows_its_writer_and_ends_with_it(tmp_path):
    found = []
    log = Log(str(tmp_path), segment_bytes=300)
    log.begin(CLUSTER, 10, 1.0)
    reader = log.read(10)
    follower = threading.Thread(target=lambda: found.extend(reader))
    follower.start()
    records = written(log, range(11, 400))
    log.close()
    follower.join(30)
    assert not follower.is_alive() and found == records
    assert reader.take(None) is None
    with pytest.raises(EtcdError, match="closed"):
        log.append(CLUSTER, 400, 1.0, [])


READ = """
import sys
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_reader import Reader
with Reader(sys.argv[1], 10) as reader:
    for revision in range(11, 111):
        assert reader.take(60).revision == revision
print("all")
"""


def elsewhere(program: str, *arguments: str) -> subprocess.Popen:
    root = next(one for one in Path(__file__).parents if (one / "galaxy.yml").exists())
    environment = {**os.environ, "PYTHONPATH": str(root / ".collections")}
    return subprocess.Popen(
        [sys.executable, "-c", program, *arguments], env=environment, stdout=subprocess.PIPE, text=True
    )


def test_a_reader_in_another_process_follows_too(tmp_path):
    with Log(str(tmp_path), segment_bytes=900) as log:
        log.begin(CLUSTER, 10, 1.0)
        written(log, range(11, 30))
        with elsewhere(READ, str(tmp_path)) as process:
            written(log, range(30, 111))
            assert process.communicate()[0] == "all\n" and process.returncode == 0


def test_the_times_to_live_of_leases_are_in_it_and_no_record_of_events(tmp_path):
    with Log(str(tmp_path)) as log:
        log.begin(CLUSTER, 10, 1.0)
        log.lease(Lease(77, 3600, 2.0))
        records = written(log, range(11, 13))
        assert taken(log.read(10)) == records
    assert [one for one in entries(str(tmp_path)) if isinstance(one, Lease)] == [Lease(77, 3600, 2.0)]


@pytest.mark.parametrize("at_most", [0, 1, 20, 70])
def test_a_full_disk_is_told_and_nothing_that_was_appended_is_lost(tmp_path, monkeypatch, at_most):
    really, full = os.pwrite, [False]

    def pwrite(descriptor, data, offset):
        if not full[0]:
            return really(descriptor, data, offset)
        if at_most:
            really(descriptor, bytes(data)[:at_most], offset)
        raise OSError(28, "No space left on device")

    with Log(str(tmp_path), kept=True, segment_bytes=600) as log:
        log.begin(CLUSTER, 10, 1.0)
        records = []
        monkeypatch.setattr(os, "pwrite", pwrite)
        for revision in range(11, 40):
            full[0] = True
            with pytest.raises(Full, match="the disk of the log is full"):
                written(log, [revision])
            assert taken(Reader(str(tmp_path), 10)) == records
            full[0] = False
            records += written(log, [revision])
            log.sync()
        assert taken(log.read(10)) == records
    assert [one for one in entries(str(tmp_path)) if isinstance(one, Record)] == records
    assert len(list(tmp_path.glob("*.log"))) > 3


def no_space(*_all):
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("kept", [False, True])
def test_a_disk_that_is_full_when_a_gap_begins_does_not_hide_the_gap(tmp_path, monkeypatch, kept):
    with Log(str(tmp_path), kept=kept) as log:
        log.begin(CLUSTER, 10, 1.0)
        written(log, range(11, 13))
        with monkeypatch.context() as patched:
            patched.setattr(os, "pwrite", no_space)
            with pytest.raises(Full):
                log.begin(CLUSTER, 20, 2.0)
        written(log, range(21, 23))
        assert not log.covers(12) and log.covers(20)


@pytest.mark.parametrize("kept", [False, True])
def test_what_is_not_applied_is_bounded_too_and_nothing_of_it_goes(tmp_path, kept):
    with Log(str(tmp_path), kept=kept, max_bytes=3000, segment_bytes=300) as log:
        log.begin(CLUSTER, 10, 1.0)
        records = []
        with pytest.raises(Full, match="not applied yet"):
            for revision in range(11, 400):
                records += written(log, [revision])
        assert 3000 < log.size < 4000
        assert log.forget_up_to(10) == 0
        with pytest.raises(Full):
            written(log, range(records[-1].revision + 1, 400))
        with log.read(10) as reader:
            assert [reader.take(0) for _record in records] == records
            log.forget_up_to(records[-1].revision)
            records = written(log, range(records[-1].revision + 1, records[-1].revision + 9))
            assert [reader.take(0) for _record in records] == records
        assert log.size < 4000  # what is kept of before has gone for it


@pytest.mark.parametrize("cluster, after", [(CLUSTER, 1000), (CLUSTER, 5), (OTHER, 5)])
def test_what_was_before_a_gap_goes_when_it_is_applied_or_of_a_history_that_is_no_more(tmp_path, cluster, after):
    with Log(str(tmp_path), max_bytes=1000, segment_bytes=300) as log:
        log.begin(CLUSTER, 10, 1.0)
        with pytest.raises(Full):
            written(log, range(11, 400))
        log.begin(cluster, after, 2.0)
        if after == 1000:
            assert log.forget_up_to(10) == 0
        log.forget_up_to(after)
        assert len(list(tmp_path.glob("*.log"))) == 1
        written(log, range(after + 1, after + 5), cluster)
        assert log.covers(after)


@pytest.mark.parametrize(
    "total, free, fits", [(1000, 51, True), (1000, 49, False), (1 << 40, 3, True), (1 << 40, 1, False)]
)
def test_a_disk_is_never_filled_by_the_log(tmp_path, monkeypatch, total, free, fits):
    """A member of the destination may live on it. A twentieth of a small disk stays free, 2 GiB of a large one."""
    size = 1 << 30 if total > 1000 else 1
    with Log(str(tmp_path)) as log:
        log.begin(CLUSTER, 10, 1.0)
        disk = SimpleNamespace(f_frsize=size, f_blocks=total // size, f_bavail=free)
        monkeypatch.setattr(os, "statvfs", lambda _folder: disk)
        if fits:
            written(log, [11])
        else:
            with pytest.raises(Full, match="stay free"):
                written(log, [11])
        assert log.revision == (11 if fits else 10)


def test_a_disk_that_loses_what_it_took_is_not_written_any_more(tmp_path, monkeypatch):
    def fsync(_descriptor):
        raise OSError(5, "Input/output error")

    log = Log(str(tmp_path), kept=True)
    log.begin(CLUSTER, 10, 1.0)
    written(log, [11])
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(EtcdError, match="Input/output error"):
            log.sync()
    for again in (log.sync, lambda: written(log, [12]), log.close):
        with pytest.raises(EtcdError, match="is not written any more: it could not be brought to the disk"):
            again()
    Log(str(tmp_path)).close()
