# SPDX-License-Identifier: GPL-3.0-or-later
"""JSON of others: what is read, what is refused, and that neither takes long."""

from __future__ import annotations

import itertools
import time

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core import strict_json
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.strict_json import ANY, NULL, WORD, misfit, parse
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import parse_version


def test_what_etcd_prints_is_read_as_it_is():
    text = '{"id": 18446744073709551615, "n": -5, "share": 0.5, "t": "\\u00e4 \\ud83d\\ude00", "l": [null, true, {}]}'
    assert parse(text) == {"id": (1 << 64) - 1, "n": -5, "share": 0.5, "t": "ä 😀", "l": [None, True, {}]}


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "Expecting value"),
        ("[" * 1_000_000, "nested deeper than 32"),
        ("[" * 33 + "]" * 33, "nested deeper than 32"),
        ('{"a":' * 2000 + "1" + "}" * 2000, "nested deeper than 32"),
        ("NaN", "NaN"),
        ('{"a": [-Infinity]}', "-Infinity"),
        ("1e999", "infinite"),
        ("9" * 1_000_000, "1000000 digits"),
        ('["\\ud800"]', "no Unicode"),
        ('{"\\udfff": 1}', "no Unicode"),
        ("1 2", "Extra data"),
    ],
    ids=itertools.count(),
)
def test_what_is_beyond_the_limits_is_said_in_words_and_soon(text, why):
    began = time.process_time()
    with pytest.raises(ValueError, match=why):
        parse(text)
    assert time.process_time() - began < 1
    assert parse("[" * 32 + "]" * 32), "the limit itself is fine"


def test_a_text_that_is_too_long_is_not_begun():
    with pytest.raises(ValueError, match="more than 10 characters"):
        parse("[1, 2, 3, 4]", 10)


@pytest.mark.parametrize(
    "value, shape, why",
    [
        (7, int, ""),
        (True, int, "x is True and not a whole number"),
        (7.0, int, "x is 7.0 and not a whole number"),
        (1 << 64, int, "x is 18446744073709551616 and not a whole number"),
        ("7", int, "x is '7' and not a whole number"),
        (7, float, ""),
        (0.5, float, ""),
        (float("nan"), float, "x is nan and not a number"),
        (float("inf"), float, "x is inf and not a number"),
        (1, bool, "x is 1 and not true or false"),
        ("a\nb", str, ""),
        ("a\nb", WORD, "x is 'a\\nb' and not a word"),
        ("\x1b[2J", WORD, "x is '\\x1b[2J' and not a word"),
        ("a" * 5000, WORD, "x is '" + "a" * 39 + "... and not a word"),
        (None, int, "x is None and not a whole number"),
        (None, (int, None), ""),
        ("", (int, None), "x is '' and not a whole number"),
        ({}, [int], "x is an object and not a list"),
        ([1, [2]], [int], "x[1] is a list and not a whole number"),
        ([], {"a": int}, "x is a list and not an object"),
        ({}, {"a": int}, "x.a is missing"),
        ({}, {"a": (int, None)}, ""),
        ({}, {"a": ANY}, "x.a is missing"),
        ({}, {"a": (int, NULL)}, "x.a is missing"),
        ({"a": None}, {"a": (int, NULL)}, ""),
        ({"a": None, "b": 7}, {"a": ANY}, ""),
        ({"a": {"b": [{"c": 1}]}}, {"a": {"b": [{"c": str}]}}, "x.a.b[0].c is 1 and not text"),
        ({"m1": 1, "m2": "2"}, {str: int}, "x.m2 is '2' and not a whole number"),
        ({7: 1}, {str: int}, "a key of x is 7 and not text"),
    ],
    ids=itertools.count(),
)
def test_a_misfit_is_named_by_its_place(value, shape, why):
    assert misfit(value, shape, "x") == why


def test_a_file_that_is_none_is_named(tmp_path):
    with pytest.raises(FileNotFoundError):
        strict_json.read_file(str(tmp_path / "none"), "the plan")
    (tmp_path / "bad").write_bytes(b"\xff")
    with pytest.raises(EtcdError, match=f"the plan {tmp_path}/bad is not JSON") as raised:
        strict_json.read_file(str(tmp_path / "bad"), "the plan", "move it away.")
    assert raised.value.next_step == "move it away."


@pytest.mark.parametrize(
    "text", ["1" * 1_000_000, "." * 500_000, "3.1234567890", "1234567890.5.1", "", "v", "9" * 50 + ".1"]
)
def test_a_version_of_a_million_digits_is_none(text):
    began = time.process_time()
    with pytest.raises(EtcdError, match="no etcd version can be read") as raised:
        parse_version(text)
    assert time.process_time() - began < 0.5 and len(str(raised.value)) < 200


@pytest.mark.parametrize(
    "text, version",
    [
        ("etcd Version: 3.5.16\nGit SHA: f20bbad", "3.5.16"),
        ("3.6", "3.6.0"),
        ("v3.7.0-rc.1", "3.7.0"),
        ("3.4.23+dfsg-1", "3.4.23"),
    ],
)
def test_a_version_is_read_where_it_stands(text, version):
    assert str(parse_version(text)) == version
