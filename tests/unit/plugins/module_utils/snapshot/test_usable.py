# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a snapshot from which a cluster would come back that nobody can write to."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.database import alarms_of
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.usable import concerns

GIB = 1 << 30
# AlarmMember of the member 8e9e05c52164694d, as etcd writes it as a key.
MEMBER = bytes.fromhex("08cdd291a1d2b8c1cf8e01")


class Database:
    def __init__(self, keys):
        self._keys = keys

    def items(self, bucket, head):
        assert bucket == b"alarm"
        return iter([(key, b"") for key in self._keys])


@pytest.mark.parametrize(
    ("keys", "alarms"),
    [
        ([], []),
        ([MEMBER + b"\x10\x01"], ["NOSPACE"]),
        ([MEMBER + b"\x10\x02", MEMBER + b"\x10\x01", b"\x08\x01\x10\x01"], ["CORRUPT", "NOSPACE"]),
        ([b"", b"\x10", MEMBER], []),
    ],
)
def test_the_alarms_in_a_database_are_told_by_their_kind(keys, alarms):
    assert alarms_of(Database(keys)) == alarms


def set_to(**values):
    return {"etcd1": {name.replace("_", "-"): value for name, value in values.items()}}


@pytest.mark.parametrize(
    ("size", "quota", "refused"),
    [
        (GIB, "", False),
        (GIB, "0", False),
        (3 * GIB, "", True),
        (3 * GIB, "0", True),
        (3 * GIB, "-1", False),
        (3 * GIB, "8589934592", False),
        (GIB, str(GIB), True),
        (GIB, "0x40000001", False),
    ],
)
def test_a_quota_that_the_snapshot_fills_stops_a_restore(size, quota, refused):
    found = concerns([], size, set_to(quota_backend_bytes=quota))
    assert [(concern.host, concern.stops) for concern in found] == ([("etcd1", True)] if refused else [])
    assert all(f"quota-backend-bytes to {size + size // 4}" in concern.next_step for concern in found)


def test_keys_of_v2_are_said_to_be_lost_unless_they_are_in_the_store_of_v3():
    (found,) = concerns([], 1, set_to(enable_v2="true"))
    assert not found.stops and "a restore loses them" in found.in_words and found.in_words.startswith("etcd1: ")
    assert concerns([], 1, set_to(enable_v2="false")) == []
    assert concerns([], 1, set_to(enable_v2="true", experimental_enable_v2v3="/v2")) == []


@pytest.mark.parametrize("alarm", ["NOSPACE", "CORRUPT"])
def test_an_alarm_is_said_with_what_to_do_after_the_restore(alarm):
    (found,) = concerns([alarm], 1, set_to())
    assert not found.stops and not found.host and "alarm disarm" in found.in_words
