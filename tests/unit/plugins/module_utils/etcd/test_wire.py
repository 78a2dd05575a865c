# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The codec, with the very bytes that etcd 3.4.23 and 3.7.3 have answered, and those that they have understood."""

from __future__ import annotations

import random

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import records, wire
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import (
    Committed,
    Compare,
    Delete,
    Event,
    Header,
    KeyValue,
    Page,
    Put,
    Watched,
)
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.records import Malformed

HEADER_34 = "0a1a0897b8c69b9df790bbbe0110fde4ebd08e829f809c0118032002"
HEADER_37 = "0a1808e78986f3baffa7f80b10e6888bb8ea8cd3e71418032002"
AT_3 = Header(13724231379853614103, 11241121082005713533, 3, 2)
AT_3_IN_37 = Header(860363432138999015, 1499501204710016102, 3, 2)
LONG = "78" * 130  # a value whose length takes two bytes
A = KeyValue(b"a", 2, 2, 1, b"1")
B = KeyValue(b"b\xff\0", 2, 2, 1, b"")
C = KeyValue(b"c", 2, 2, 1, b"x" * 130, 77)
KVS = f"120c0a01611002180220012a0131120b0a0362ff001002180220011290010a01631002180220012a8201{LONG}304d2003"
EVENTS = (
    "5a0e120c0a01611002180220012a01315a0d120b0a0362ff001002180220015a93011290010a01631002180220012a8201"
    f"{LONG}304d5a0f120d0a01611002180320022a0200805a09080112050a01631803"
)


def at(text: str) -> bytes:
    return bytes.fromhex(text)


def test_a_page():
    assert records.page(at(HEADER_34 + KVS)) == Page(AT_3, [A, B, C], False, 3)
    assert records.page(at(f"{HEADER_37}120c0a01611002180220012a013118012003")) == Page(AT_3_IN_37, [A], True, 3)
    assert records.page(at(HEADER_34)) == Page(AT_3, [], False, 0)


def test_a_transaction_that_was_done_and_one_that_was_not():
    done = f"{HEADER_34}10011a0612040a0218031a081a060a02180310011a061a040a021803"
    assert wire.committed(at(done)) == Committed(AT_3, True)
    assert wire.committed(at(HEADER_34)) == Committed(AT_3, False)


def test_events_of_a_watch():
    expected = [Event(False, A), Event(False, B), Event(False, C)]
    expected += [Event(False, KeyValue(b"a", 2, 3, 2, b"\0\x80")), Event(True, KeyValue(b"c", 0, 3, 0, b""))]
    answer = records.watch_answer(at(HEADER_34 + EVENTS))
    assert answer == (0, Watched(AT_3, False, False, 0, "", False, expected))


def test_an_event_with_what_the_key_was():
    data = at(f"{HEADER_34}5a1d120d0a01611002180320022a0200801a0c0a01611002180220012a0131")
    assert records.watch_answer(data).watched.events == [Event(False, KeyValue(b"a", 2, 3, 2, b"\0\x80"), A)]


def test_what_else_a_watch_answers():
    created, asked_for = (
        records.watch_answer(at(f"{HEADER_37}1801")),
        records.watch_answer(at(f"{HEADER_37}10{'ff' * 9}01")),
    )
    assert created == (0, Watched(AT_3_IN_37, True, False, 0, "", False, []))
    assert asked_for == (-1, Watched(AT_3_IN_37, False, False, 0, "", False, []))
    compacted = records.watch_answer(at("0a180897b8c69b9df790bbbe0110fde4ebd08e829f809c01200220012803"))
    assert compacted == (0, Watched(AT_3._replace(revision=0), False, True, 3, "", False, []))
    reason = b"etcdserver: permission denied".hex()
    canceled = records.watch_answer(at(f"{HEADER_34}10{'ff' * 9}0118012001321d{reason}3801"))
    assert canceled == (-1, Watched(AT_3, True, True, 0, "etcdserver: permission denied", True, []))


def test_the_status_of_an_old_and_a_new_member():
    old = wire.status(at(f"{HEADER_34}1206332e342e32331880a00120fde4ebd08e829f809c0128083002380848808001"))
    assert old == wire.Status(AT_3, "3.4.23", 20480, AT_3.member_id, 8, 2, 8, [], 16384, False, "", 0)
    new = wire.status(
        at(f"{HEADER_37}1205332e372e331880a00120e6888bb8ea8cd3e7142808300238084880a0015a05332e372e306080808080086a00")
    )
    assert new == wire.Status(
        AT_3_IN_37, "3.7.3", 20480, AT_3_IN_37.member_id, 8, 2, 8, [], 20480, False, "3.7.0", 2 << 30
    )


def test_members_leases_users_and_hashes():
    member = "123f08fde4ebd08e829f809c0112026d311a16687474703a2f2f3132372e302e302e313a32323139392216"
    found = wire.members(at(f"{HEADER_34}{member}687474703a2f2f3132372e302e302e313a3232313938"))
    urls = ["http://127.0.0.1:22199"], ["http://127.0.0.1:22198"]
    assert found == [wire.Member(AT_3.member_id, "m1", *urls, False)]
    assert wire.lease_granted(at(f"{HEADER_34}104d1864")) == 77
    assert wire.lease(at(f"{HEADER_34}104d18632064")) == wire.Lease(77, 99, 100)
    assert wire.lease_keys_request(77) == at("084d1001")
    assert wire.lease_keys(at(f"{HEADER_34}104d186320642a01612a026262")) == [b"a", b"bb"]
    assert wire.lease(at(f"{HEADER_34}104e18{'ff' * 9}01")) == wire.Lease(78, -1, 0)
    assert wire.roles(at(f"{HEADER_34}1201721204726f6f74")) == ["r", "root"]
    assert wire.permissions(at(f"{HEADER_34}120808021201611a0164120312016b120808011201701a0171")) == [
        wire.Permission(True, True, b"a", b"d"),
        wire.Permission(True, False, b"k", b""),
        wire.Permission(False, True, b"p", b"q"),
    ]
    assert (wire.auth_status(at(f"{HEADER_37}1808")), wire.auth_status(at(f"{HEADER_37}10011808"))) == (False, True)
    assert wire.token(at(f"{HEADER_37}12135741756d445074674349535179507a442e3139")) == "WAumDPtgCISQyPzD.19"
    assert wire.key_hash(at(f"{HEADER_34}10d0abf6c90318{'ff' * 9}01")) == wire.KeyHash(AT_3, 960337360, -1)
    assert wire.header(at(HEADER_37)) == AT_3_IN_37
    assert wire.alarms(at(f"{HEADER_34}120408051001")) == [wire.Alarm(5, "NOSPACE")]
    assert wire.alarms(at(HEADER_34)) == []


def test_what_is_asked():
    assert wire.range_request(b"a", b"d", limit=1, revision=2) == at("0a016112016418012002")
    assert wire.range_request(b"a", keys_only=True) == at("0a01614001")
    assert wire.range_request(b"a", serializable=True, count_only=True) == at("0a016138014801")
    asked = wire.txn_request(
        [Compare(b"a", None), Compare(b"b", None)], [Put(b"a", b"1"), Put(b"b\xff\0", b""), Put(b"c", b"x" * 130, 77)]
    )
    puts = f"120812060a0161120131120712050a0362ff00128d01128a010a0163128201{LONG}184d"
    assert asked == at(f"0a051a016120000a051a01622000{puts}")
    asked = wire.txn_request(
        [Compare(b"a", b"1"), Compare(b"b\xff\0", b"")], [Put(b"a", b"\0\x80"), Delete(b"c"), Delete(b"x", b"y")]
    )
    assert wire.txn_request([Compare(b"a", None, mod_revision=300), Compare(b"b", None, mod_revision=0)], []) == at(
        "0a0810021a016130ac020a0710021a01623000"
    )
    ops = "120912070a01611202008012051a030a016312081a060a0178120179"
    assert asked == at(f"0a0810031a01613a01310a0910031a0362ff003a00{ops}")
    assert wire.watch_create_request(b"a", b"d", 2) == at("0a0c0a01611201641802200140" + "01")
    assert wire.watch_create_request(b"a", b"", 2, previous=True) == at("0a0b0a01611802200130014001")
    assert wire.watch_progress_request() == at("1a00")
    assert wire.lease_grant_request(100, 77) == at("0864104d")
    assert wire.authenticate_request("root", "geheim") == at("0a04726f6f74120667656865696d")
    assert wire.member_list_request() == at("0801")


@pytest.mark.parametrize("number", [0, 1, 127, 128, 16383, 16384, 1 << 32, (1 << 63) - 1, -1, -(1 << 63)])
def test_a_number_there_and_back(number):
    found, end = records.varint_at(wire.varint(number), 0)
    assert (wire.signed(found), end) == (number, len(wire.varint(number)))


def test_what_is_not_known_is_passed_over():
    more = "7a0378787880010a8d010102030489010102030405060708"  # fields 15 to 17: bytes, a number, and both fixed widths
    assert records.page(at(HEADER_34 + more + KVS + more)) == Page(AT_3, [A, B, C], False, 3)
    strange = wire._message(
        2, wire._bytes(5, b"1") + at(more) + wire._number(3, 2) + wire._number(2, 2) + at("20010a0161")
    )
    assert records.page(at(HEADER_34) + strange).kvs == [A]
    assert wire.status(at(f"{HEADER_34}{more}1206332e342e3233")).version == "3.4.23"


def test_any_key_values_there_and_back():
    """All sizes at which a length or a number grows by a byte."""
    dice = random.Random(7)
    sizes, numbers = (0, 1, 127, 128, 300, 16383, 16384), (0, 1, 127, 128, 16384, 1 << 21, 1 << 40, (1 << 63) - 1)
    for _round in range(300):
        kvs = []
        for _key in range(dice.randrange(4)):
            create, mod, version = (dice.choice(numbers) for _number in range(3))
            lease = dice.choice((*numbers, -5))
            key, value = some(dice, dice.choice(sizes)), some(dice, dice.choice(sizes))
            kvs.append(KeyValue(key, create, mod, version, value, lease))
        data = at(HEADER_34) + b"".join(wire._message(2, encoded(kv)) for kv in kvs)
        assert records.page(data) == Page(AT_3, kvs, False, 0)
        for end in dice.sample(range(len(data)), 5):
            cut_off(data[:end])


@pytest.mark.parametrize("revision", [1, 127, 128, 16383, 16384, 2097151, 2097152, 1 << 28, (1 << 63) - 1])
def test_a_deletion_whose_revision_is_the_last_that_is_sent(revision):
    """Nothing follows it, so nothing behind it may be looked at."""
    kv = wire._bytes(1, b"c") + wire._number(3, revision)
    data = at(HEADER_34) + wire._message(11, b"\x08\x01" + wire._message(2, kv))
    expected = KeyValue(b"c", 0, revision, 0, b"")
    assert records.watch_answer(data).watched.events == [Event(True, expected)]
    assert records.page(at(HEADER_34) + wire._message(2, kv)).kvs == [expected]
    created = wire._bytes(1, b"c") + wire._number(2, revision)
    assert records.page(at(HEADER_34) + wire._message(2, created)).kvs == [KeyValue(b"c", revision, 0, 0, b"")]


def some(dice: random.Random, size: int) -> bytes:
    return bytes(dice.getrandbits(8) for _byte in range(size))


def encoded(kv: KeyValue) -> bytes:
    numbers = wire._number(2, kv.create_revision) + wire._number(3, kv.mod_revision) + wire._number(4, kv.version)
    return wire._bytes(1, kv.key) + numbers + wire._bytes(5, kv.value) + wire._number(6, kv.lease)


def cut_off(data: bytes) -> None:
    """It ends between two fields, or is refused: never anything else."""
    try:
        found = records.page(data)
    except Malformed:
        return
    assert found.header in (AT_3, Header(0, 0, 0, 0))


@pytest.mark.parametrize(
    "read", [records.page, records.watch_answer, wire.status, wire.members, wire.lease, wire.permissions]
)
def test_what_is_no_message_is_refused(read):
    dice = random.Random(3)
    for _round in range(500):
        data = some(dice, dice.randrange(1, 40))
        try:
            read(data)
        except Malformed:
            continue
    for text in ("0aff", "12050a", "5a7f08", "ff" * 12, "0b", "120a0a01"):
        with pytest.raises(Malformed):
            read(at(text))
