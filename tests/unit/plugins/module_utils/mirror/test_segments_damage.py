# SPDX-License-Identifier: GPL-3.0-or-later
"""A log whose writer was killed, at every byte, and a log with flipped bytes: never a record that was not written, never one lost
that could be read, and no damage that is taken for an end. FUZZ_SEED draws others, FUZZ_ROUNDS more of them.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Event, KeyValue
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import segment_format as form
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_files import Damaged, name_of
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_format import Record
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segment_reader import NotCovered, Reader, entries
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import Log

SEED, ROUNDS = int(os.environ.get("FUZZ_SEED", "1")), int(os.environ.get("FUZZ_ROUNDS", "200"))
CLUSTER = 77
ROOT = next(one for one in Path(__file__).parents if (one / "galaxy.yml").exists())
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / ".collections")}


def record(revision: int) -> Record:
    kv = KeyValue(b"/registry/%d" % revision, revision, revision, 1, b"secret" * 3, 5)
    return Record(revision, 1000.0 + revision, [Event(False, kv), Event(True, kv, kv)])


def a_log(folder: Path, revisions, segment_bytes: int = 1 << 20) -> None:
    with Log(str(folder), kept=True, segment_bytes=segment_bytes) as log:
        log.begin(CLUSTER, revisions[0] - 1, 1.0)
        for revision in revisions:
            log.append(CLUSTER, *record(revision))


def records_of(folder: Path):
    return [one for one in entries(str(folder)) if isinstance(one, Record)]


def newest(folder: Path) -> Path:
    return max(folder.glob("*.log"))


def test_a_writer_that_is_killed_at_any_byte_of_a_record_loses_that_record_alone(tmp_path):
    whole = tmp_path / "whole"
    a_log(whole, range(11, 15))
    end = newest(whole).stat().st_size
    last = end - form.FRAME_SIZE - len(form.events(record(14)))
    for cut in range(last, end):
        folder = tmp_path / "cut"
        shutil.copytree(whole, folder)
        os.truncate(newest(folder), cut)
        assert records_of(folder) == [record(one) for one in range(11, 14)]
        with Log(str(folder), kept=True) as log:
            assert log.revision == 13 and bool(log.cut) == (cut != last)
            assert log.begin(CLUSTER, 13, 1.0)
            log.append(CLUSTER, *record(14))
        assert records_of(folder) == [record(one) for one in range(11, 15)]
        assert newest(folder).read_bytes() == newest(whole).read_bytes()
        shutil.rmtree(folder)


@pytest.mark.parametrize("segments", [1, 2])
def test_a_writer_that_is_killed_at_any_byte_of_a_new_segment_loses_nothing(tmp_path, segments):
    whole = tmp_path / "whole"
    a_log(whole, range(11, 14), segment_bytes=1)
    first, second, third = sorted(whole.glob("*.log"))
    for path in (third, second)[: 3 - segments]:
        path.unlink()
    size = newest(whole).stat().st_size - (form.FRAME_SIZE + len(form.events(record(10 + segments))))
    size -= form.CLOSE_SIZE
    for cut in range(size):
        folder = tmp_path / "cut"
        shutil.copytree(whole, folder)
        os.truncate(newest(folder), cut)
        have = [record(11)] if segments == 2 else []
        assert records_of(folder) == have
        with Log(str(folder), kept=True) as log:
            assert log.begin(CLUSTER, 10 + len(have), 1.0) == bool(have)
            log.append(CLUSTER, *record(11 + len(have)))
        assert records_of(folder) == [*have, record(11 + len(have))]
        shutil.rmtree(folder)


def test_a_writer_that_is_killed_at_any_byte_of_a_closing_record_loses_nothing(tmp_path):
    whole = tmp_path / "whole"
    a_log(whole, range(11, 14), segment_bytes=1)
    for path in sorted(whole.glob("*.log"))[1:]:
        path.unlink()
    size = newest(whole).stat().st_size
    for cut in range(size - form.CLOSE_SIZE, size + 1):
        folder = tmp_path / "cut"
        shutil.copytree(whole, folder)
        os.truncate(newest(folder), cut)
        with Log(str(folder), kept=True, segment_bytes=1) as log:
            assert log.begin(CLUSTER, 11, 1.0)
            log.append(CLUSTER, *record(12))
        assert records_of(folder) == [record(11), record(12)]
        shutil.rmtree(folder)


def test_any_flipped_byte_is_told_with_file_and_place_and_no_other_record_is_ever_read(tmp_path):
    whole = tmp_path / "whole"
    a_log(whole, range(11, 17), segment_bytes=450)
    files = sorted(whole.glob("*.log"))
    assert len(files) == 3
    records = records_of(whole)
    last_record = files[-1].stat().st_size - form.FRAME_SIZE - len(form.events(record(16)))
    for number, original in enumerate(files):
        data = original.read_bytes()
        for at in range(len(data)):
            path = whole / original.name
            path.write_bytes(data[:at] + bytes([data[at] ^ (1 << (at % 8))]) + data[at + 1 :])
            read = []
            is_end = number == 2 and at >= last_record
            if is_end:  # what was written last is not told from what was not wholly written
                assert records_of(whole) == records[:-1]
            else:
                with pytest.raises(Damaged, match=f"{original.name}, at byte [0-9,]+: "):
                    read.extend(one for one in entries(str(whole)) if isinstance(one, Record))
                with pytest.raises(Damaged, match=f"{original.name}, at byte [0-9,]+: "), Reader(
                    str(whole), 10
                ) as reader:
                    for expected in [*records, None]:
                        assert reader.take(0) == expected
        original.write_bytes(data)


def test_a_damaged_log_is_not_gone_on_with_and_a_damaged_spool_is_emptied(tmp_path):
    a_log(tmp_path, range(11, 17))
    path = newest(tmp_path)
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match="Next: set the folder aside"):
        Log(str(tmp_path), kept=True)
    assert path.read_bytes() == data
    with Log(str(tmp_path)) as log:
        assert "emptied" in log.cut and log.revision == 0
        assert not log.begin(CLUSTER, 16, 1.0)


def test_a_value_that_looks_like_a_record_is_none(tmp_path):
    """Somebody puts the bytes of this very format into etcd; its writer is killed in the middle of that."""
    forged = form.framed(form.events(record(99)), 0) * 3
    with Log(str(tmp_path), kept=True) as log:
        log.begin(CLUSTER, 10, 1.0)
        log.append(CLUSTER, *record(11))
        log.append(CLUSTER, 12, 5.0, [Event(False, KeyValue(b"k", 12, 12, 1, forged, 0))])
    path = newest(tmp_path)
    os.truncate(path, path.stat().st_size - 1)
    with Log(str(tmp_path), kept=True) as log:
        assert log.revision == 11 and log.cut


def test_a_segment_that_is_missing_in_the_middle_is_told(tmp_path):
    a_log(tmp_path, range(11, 17), segment_bytes=1)
    with Reader(str(tmp_path), 12) as reader:
        (tmp_path / name_of(4)).unlink()
        assert reader.take(0) == record(13)
        with pytest.raises(NotCovered):
            reader.take(0)
    with pytest.raises(NotCovered, match=f"{name_of(4)} is missing"):
        Reader(str(tmp_path), 12)
    with Reader(str(tmp_path), 14) as reader:
        assert reader.take(0) == record(15)
    with pytest.raises(Damaged, match=f"{name_of(5)}, at byte 0: the segment before it is missing"):
        records_of(tmp_path)


def test_random_damage_never_gives_what_was_not_written(tmp_path):
    draw = random.Random(SEED)
    whole = tmp_path / "whole"
    a_log(whole, range(11, 41), segment_bytes=2000)
    records = records_of(whole)
    for number in range(ROUNDS):
        folder = tmp_path / "damaged"
        shutil.copytree(whole, folder)
        path = draw.choice(sorted(folder.glob("*.log")))
        data = bytearray(path.read_bytes())
        for _change in range(draw.choice([1, 1, 3, 20])):
            at = draw.randrange(len(data))
            kind = draw.randrange(4)
            if kind == 0:
                data[at : at + draw.randrange(1, 200)] = b""
            elif kind == 1:
                data[at : at + 64] = bytes(64)
            elif kind == 2:
                data[at:at] = data[draw.randrange(len(data)) :][:100]
            else:
                data[at] = draw.randrange(256)
            if not data:
                break
        path.write_bytes(data)
        read = []
        try:
            for one in entries(str(folder)):
                if isinstance(one, Record):
                    read.append(one)
            is_whole = True
        except Damaged:
            is_whole = False
        assert read == records[: len(read)], f"FUZZ_SEED={SEED} round {number}"
        # Only the newest segment may end early without a word.
        assert not is_whole or path.read_bytes() == (whole / path.name).read_bytes() or path == newest(folder)
        shutil.rmtree(folder)


WRITE = """
import sys, os
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Event, KeyValue
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.segments import Log
log = Log(sys.argv[1], kept=True, segment_bytes=20000)
log.begin(77, max(10, log.revision), 1.0)
while True:
    revision = log.revision + 1
    kv = KeyValue(b"/registry/%d" % revision, revision, revision, 1, b"secret" * 3, 5)
    log.append(77, revision, 1000.0 + revision, [Event(False, kv), Event(True, kv, kv)])
    if revision % 7 == 0:
        log.sync()
        os.write(1, b"%d\\n" % revision)
"""


def test_a_killed_writer_has_lost_nothing_that_it_acknowledged(tmp_path):
    draw, folder = random.Random(SEED), tmp_path / "log"
    for _round in range(8):
        command = [sys.executable, "-c", WRITE, str(folder)]
        with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
            acknowledged = [int(process.stdout.readline()) for _line in range(draw.randrange(1, 60))]
            process.send_signal(signal.SIGKILL)
            acknowledged += [int(one) for one in process.stdout.read().split()]
        records = records_of(folder)
        assert records == [record(one) for one in range(11, 11 + len(records))]
        assert records[-1].revision >= acknowledged[-1]
    with Log(str(folder), kept=True) as log:
        assert log.begin(CLUSTER, records[-1].revision, 1.0)
        log.append(CLUSTER, *record(records[-1].revision + 1))
    assert len(records_of(folder)) == len(records) + 1
