# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is read while it is written is hashed as what is read afterwards, and is read again where it is another since."""

from __future__ import annotations

import hashlib
import os
import random
import time
from contextlib import contextmanager

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import verify as verifying
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.following import Follower
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.verify import Running, verify
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import LINES, content, flipped


def written(path, data, sizes, waits=0.0):
    """As etcdctl does it: under another name, piece by piece, and then it waits for the disk."""
    with open(f"{path}.part", "wb", buffering=0) as file:
        while data:
            size = next(sizes)
            file.write(data[:size])
            data = data[size:]
            time.sleep(0.0005)
        time.sleep(waits)
    os.rename(f"{path}.part", path)


def nothing(_path):
    """What is seen, where nobody cares."""
    return "seen"


def followed(path, data, seed=1):
    chance = random.Random(seed)
    with Follower(nothing, f"{path}.part", str(path)) as follower:
        written(path, data, iter(lambda: chance.choice([1, 5, 31, 32, 33, 4096, 20000]), None))
    return follower.read


def test_it_is_looked_at_while_the_disk_is_waited_for(tmp_path):
    path, looked = tmp_path / "s.db", []

    def look(there):
        with open(there, "rb") as file:
            looked.append((file.read(), path.exists()))
        return len(looked)

    with Follower(look, f"{path}.part", str(path)) as follower:
        written(path, content(), iter(lambda: 9000, None), waits=0.5)
    assert looked == [(content(), False)] and follower.seen == 1
    assert verify(str(path), follower.read).ok


def test_what_is_read_is_packed_part_after_part_and_to_its_end(tmp_path):
    path, parts = tmp_path / "s.db", []

    @contextmanager
    def pack():
        yield parts.append
        parts.append(b"(the end)")

    with Follower(nothing, f"{path}.part", str(path), pack=pack) as follower:
        written(path, content(), iter(lambda: 9000, None))
    assert b"".join(parts) == content() + b"(the end)"
    assert verify(str(path), follower.read).ok


@pytest.mark.parametrize("error", [EtcdError("no room."), OSError(28, "No space left on device")])
@pytest.mark.parametrize("at", [0, 1])
def test_what_cannot_be_packed_was_not_read_either(tmp_path, error, at):
    """Whoever wants it packed sees by that that it was not."""
    path = tmp_path / "s.db"

    @contextmanager
    def pack():
        yield nothing if at else failing
        raise error

    def failing(_chunk):
        raise error

    with Follower(nothing, f"{path}.part", str(path), pack=pack) as follower:
        written(path, content(), iter(lambda: 9000, None))
    assert follower.read is None and verify(str(path), follower.read).ok


def test_what_cannot_be_looked_at_is_left_to_who_looks_afterwards(tmp_path):
    path, asked = tmp_path / "s.db", []

    def look(there):
        asked.append(there)
        raise EtcdError("no")

    with Follower(look, f"{path}.part", str(path)) as follower:
        written(path, content(), iter(lambda: 9000, None), waits=0.3)
    assert len(asked) == 1 and follower.seen is None and verify(str(path), follower.read).ok


def test_what_goes_on_after_it_was_looked_at_was_not_seen(tmp_path):
    path = tmp_path / "s.db"
    with Follower(nothing, f"{path}.part", str(path)) as follower, open(f"{path}.part", "wb", buffering=0) as file:
        file.write(content())
        time.sleep(0.3)
        file.write(bytes(512))
        time.sleep(0.3)
    assert follower.seen is None


def test_one_that_is_not_whole_is_not_looked_at(tmp_path):
    path = tmp_path / "s.db"
    with Follower(nothing, f"{path}.part", str(path)) as follower:
        written(path, flipped(content(), 9000), iter(lambda: 9000, None), waits=0.3)
    assert follower.seen is None and not verify(str(path), follower.read).ok


@pytest.fixture
def readings(monkeypatch):
    """How often a file was read from end to end."""
    found, real = [], verifying._hashes
    monkeypatch.setattr(verifying, "_hashes", lambda path, size: found.append(path) or real(path, size))
    return found


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_same_verdict_and_one_reading_less(tmp_path, readings, line, seed):
    print(f"seed {seed}")
    path = tmp_path / "s.db"
    read = followed(path, content(line), seed)
    verdict = verify(str(path), read)
    assert verdict.ok and verdict.kind == "snapshot" and not readings
    assert verdict == verify(str(path)) and len(readings) == 1


def test_one_that_is_damaged_on_its_way_is_refused(tmp_path, readings):
    path = tmp_path / "s.db"
    verdict = verify(str(path), followed(path, flipped(content(), 9000)))
    assert not verdict.ok and "SHA-256" in verdict.reason and not readings


@pytest.mark.parametrize("how", ["written", "replaced", "longer"])
def test_one_that_is_another_since_is_read_again(tmp_path, readings, how):
    path = tmp_path / "s.db"
    read = followed(path, content())
    if how == "replaced":
        (tmp_path / "other").write_bytes(flipped(content(), 9000))
        os.rename(tmp_path / "other", path)
    elif how == "written":
        with open(path, "r+b") as file:
            file.seek(9000)
            file.write(b"????")
    else:
        path.write_bytes(content() + bytes(512))
    verdict = verify(str(path), read)
    assert not verdict.ok and readings == [str(path)]


def test_what_never_appears_is_not_waited_for(tmp_path):
    with Follower(nothing, str(tmp_path / "s.db")) as follower:
        pass
    assert follower.read is None
    (tmp_path / "link").symlink_to(tmp_path / "s.db")
    (tmp_path / "s.db").write_bytes(content())
    with Follower(nothing, str(tmp_path / "link")) as follower:
        time.sleep(0.1)
    assert follower.read is None


@pytest.mark.parametrize("seed", range(30))
def test_the_hashes_do_not_depend_on_the_chunks(seed):
    print(f"seed {seed}")
    chance = random.Random(seed)
    data = chance.getrandbits(8 * 3001).to_bytes(3001, "big")[: chance.randrange(3000)]
    data += hashlib.sha256(data).digest()
    running, left = Running(), data
    while left:
        size = chance.randrange(1, 100)
        running.add(left[:size])
        left = left[size:]
    assert running.end() == (True, hashlib.sha256(data).hexdigest())
