# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of YAML against PyYAML, which is of the family of etcd's own: it reads the same, or refuses."""

from __future__ import annotations

import json
import os
import random
import time

import pytest
import yaml
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import formats
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import yaml_lines as _yaml_lines
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.settings.mutations import mutated

NOTHING = ("", "~", "null", "Null", "NULL")
SEED = int(os.environ.get("FUZZ_SEED", "11"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "3000"))

DOCUMENTS = [
    "name: m1\ndata-dir: /var/lib/etcd  # here\ninitial-cluster: >-\n  m1=http://a:2380,\n  m2=http://b:2380\n\nx: y\n",
    "a: |\n  one\n   two\n\n  three\n\nb: >\n  x\n  y\n\n   z\n  w\nc: |+\n  k\n\nd: |2-\n   q\n",
    "a: &one {b: c, 'd e': [f, \"g\\n\", {h: i}]}\nj: *one\nk: [*one, l]\n",
    'a: "one\n  two\n\n  three\\\n  four"\nb: \'it\'\'s\n  long\'\nc: word\n  goes\n\n  on\nd:\n  below\ne:\n  "quoted"\n',
    "spec:\n  containers:\n  - command:\n    - etcd\n    - --n=c\n    - '--x=y: z'\n    image: a:b\n  - {name: c}\n  v: []\n",
    "---\nclient-transport-security:\n  cert-file: /a\n  client-cert-auth: true\n? \nlog-outputs: [stderr]\n...\nafter: all\n",
    '{\n  "name": "m1", "n": 1e3,\n  "list": [ "a" , "b" ],"url":"http://a:1",\n  "deep": {"x": {"y": null}}\n}\n',
    "- a\n", "a: !!str 012\nb: ! x\nc: !!int\nd: 'x' \n", "a :  b\n'c' : d\n\"e\": f\nhttp://x: y\n-x: -y\n",
]  # fmt: skip
PIECES = [
    " ", "  ", "\n", "\t", ":", ": ", "- ", "#", " #", "'", '"', "\\", "\\\n", "{", "}", "[", "]", ",", "&a ", "*a", "|", ">-\n",
    "|+\n", "---\n", "...\n", "!!str ", "?", "? ", "x", "\r\n", "\n\n", "~", "%", "@", "-", "''", "\\x41", "\\s", "\n  ", "é",
]  # fmt: skip


def plain(node):
    """What PyYAML's BaseLoader would say: every scalar as text, and nothing as ''."""
    if isinstance(node, _yaml_lines.Map):
        return {key: plain(value) for key, value in node.nodes().items()}
    if isinstance(node, _yaml_lines.Sequence):
        return [plain(item) for item in node.items]
    return "" if node.value in NOTHING else node.value


def theirs(text):
    """The first document by PyYAML, in the same words; an exception where it is none."""
    return _without_nulls(next(yaml.load_all(text, yaml.BaseLoader), None) or {})


def _without_nulls(value):
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return "" if value in NOTHING else value


def test_what_is_read_is_read_as_pyyaml_reads_it():
    dice, read = random.Random(SEED), 0
    for number in range(ROUNDS):
        text = mutated(dice.choice(DOCUMENTS), dice, PIECES)
        try:
            ours = plain(_yaml_lines.parse(text))
        except EtcdError:
            continue
        read += 1
        said = f"seed {SEED}, round {number}: {text!r}"
        try:
            expected = theirs(text)
        except yaml.YAMLError as error:
            if "\\t" in str(error):  # between brackets etcd's own reader takes a tab for a blank
                continue
            pytest.fail(f"{said}: read as {ours}, and PyYAML refuses it: {error}")
        if "<<" not in text:
            assert ours == expected, said
    assert read > ROUNDS / 6, "nearly nothing was read, so nearly nothing was compared"


@pytest.mark.parametrize("text", DOCUMENTS)
def test_the_documents_themselves(text):
    if text == "- a\n" or "? \n" in text:
        with pytest.raises(EtcdError):
            _yaml_lines.parse(text)
    else:
        assert plain(_yaml_lines.parse(text)) == theirs(text)


@pytest.mark.parametrize(
    "text",
    [
        "a" + " " * 200_000 + "b",
        "a" + " \t" * 100_000 + ": b\n",
        "a: '" + " \n" * 100_000 + "'\n",
        'a: "' + " \n" * 100_000 + '"\n',
        "a: >\n" + " \n" * 100_000,
        "[" * 3_000,
        '{"a":' * 3_000,
        "".join(" " * depth + "a:\n" for depth in range(1_000)),
        "- " * 3_000,
        "a: " + "[" * 3_000,
        "x: '" + "''" * 200_000,
        "a: " + "b " * 200_000 + "#",
        "a: {" + " " * 200_000 + ":",
        "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9) if n else 'x'}]" for n in range(30)),
        "a" * (2 << 20),
    ],
    ids=range(15),
)
def test_a_file_made_to_be_expensive_costs_little(text):
    began = time.process_time()
    try:
        formats.read("yaml", text)
    except EtcdError as error:
        assert error.next_step
    assert time.process_time() - began < 2


def test_etcd_takes_keys_in_any_case_and_the_last_in_order():
    """Seen with etcd 3.5 and 3.7: the keys are sorted on their way, so that a small letter goes before a capital one."""
    assert formats.read("yaml", "Name: m1\nINITIAL-cluster-token: t\n") == {"name": "m1", "initial-cluster-token": "t"}
    for text in ("Name: m2\nname: m1\n", "name: m1\nName: m2\n"):
        assert formats.read("yaml", text) == {"name": "m1"}
        assert formats.read("yaml", formats.edit("yaml", text, {"name": "m3"})) == {"name": "m3"}
    assert formats.edit("yaml", "Initial-Cluster: a\n", {"initial-cluster": "b"}) == "Initial-Cluster: b\n"
    text = "Client-Transport-Security:\n  Cert-File: /a\n"
    assert formats.read("yaml", text) == {"cert-file": "/a"}
    assert formats.edit("yaml", text, {"cert-file": "/b"}) == text.replace("/a", "/b")


@pytest.mark.parametrize(
    ("text", "edited"),
    [
        ("name: a\ninitial-cluster: >-\n  a=http://x:1,\n  b=http://y:1\nlog: x\n", "name: a\ninitial-cluster: 'm=x'\nlog: x\n"),
        ("initial-cluster: |\n  x", "initial-cluster: 'm=x'"),
        ("initial-cluster: a,\n  b\nc: d\n", "initial-cluster: m=x\nc: d\n"),
        ('initial-cluster: "a,\n  b" # c\n', 'initial-cluster: "m=x" # c\n'),
        ("initial-cluster:\n  'a'\nc: d\n", "initial-cluster:\n  'm=x'\nc: d\n"),
        ('{"initial-cluster": "a", "name": "x"}\n', '{"initial-cluster": "m=x", "name": "x"}\n'),
        ("{initial-cluster: a, name: x}\n", '{initial-cluster: "m=x", name: x}\n'),
        ("initial-cluster: a\nname: b\ninitial-cluster: c\n", "initial-cluster: a\nname: b\ninitial-cluster: m=x\n"),
        ("name: m\ninitial-cluster: a\n...\nrest\n", "name: m\ninitial-cluster: m=x\n...\nrest\n"),
        ("x: &x {initial-cluster: a}\n<<: *x\n", "x: &x {initial-cluster: a}\n<<: *x\ninitial-cluster: 'm=x'\n"),
    ],
)  # fmt: skip
def test_a_value_in_any_style_is_set_where_it_stands(text, edited):
    assert formats.edit("yaml", text, {"initial-cluster": "m=x"}) == edited
    assert formats.edit("yaml", edited, {"initial-cluster": "m=x"}) == edited


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("initial-cluster: &a x\nname: *a\n", "without changing what the rest of the file means"),
        ("name: &a x\ninitial-cluster: *a\n", "line 2: initial-cluster is no plain value"),
        ("initial-cluster: !!str x\n", "line 1: initial-cluster is no plain value"),
        ('{"name": "x"}\n', "in braces, as in JSON, and initial-cluster is not among them"),
    ],
)
def test_what_can_be_read_and_not_set_is_refused_when_it_is_to_be_set(text, why):
    assert formats.read("yaml", text)
    with pytest.raises(EtcdError, match=why):
        formats.edit("yaml", text, {"initial-cluster": "m=x"})


def test_json_is_read_as_json():
    value = {"name": "m1", "initial-cluster": "a=http://x:1,b=http://y:1", "snapshot-count": 10_000, "quota": [1, "b"]}
    for indent in (None, "\t", 4):
        assert formats.read("yaml", json.dumps(value, indent=indent)) == {
            **value,
            "snapshot-count": "10000",
            "quota": "1,b",
        }


@pytest.mark.parametrize(
    ("written", "number"),
    [("1_000", "1000"), ("0x10", "16"), ("0o17", "15"), ("017", "15"), ("1e4", "10000"), ("-1_0", "-10"), ("5s", "5s")],
)
def test_numbers_as_etcd_gets_them(written, number):
    assert formats.read("yaml", f"snapshot-count: {written}\nname: '{written}'\n") == {
        "snapshot-count": number,
        "name": written,
    }
