# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a host tells of itself for the kits of others: masked, in one word that nothing on its way can change."""

from __future__ import annotations

import base64
import random
import re
import zlib

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.kit_part import (
    LARGEST_PACKED,
    Part,
    packed,
    part_of,
    understood,
    unpacked,
)
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.fake_host import FakeHost, debian

ENV = "ETCD_NAME=m1\nETCDCTL_PASSWORD=gehe1m\n# {{ lookup('pipe', 'id') }} {% raw %}\r\n"


@pytest.fixture
def host(tmp_path):
    made = FakeHost(tmp_path)
    debian(made, ENV)
    with open(made.root / "etc/default/etcd", "ab") as file:
        file.write(b"# caf\xe9\n")
    return made


def test_it_travels_as_one_word_and_no_byte_of_a_file_is_another(host):
    part = part_of(host.run, {}, str(host.root))
    word = packed(part)
    assert re.fullmatch(r"[A-Za-z0-9+/=]+", word) and unpacked(word, "m1") == part
    assert part.name == "m1" and part.settings["name"]["path"] == "/etc/default/etcd"
    assert (
        part.files["/etc/default/etcd"].encode("latin-1") == ENV.replace("gehe1m", "(masked)").encode() + b"# caf\xe9\n"
    )
    assert b"gehe1m" not in zlib.decompress(base64.b64decode(word))
    assert packed(part_of(host.run, {}, str(host.root))) == word


def test_an_etcd_without_a_name_has_its_default(tmp_path):
    host = FakeHost(tmp_path)
    debian(host)
    host.put("/usr/lib/systemd/system/etcd.service", "[Service]\nExecStart=/usr/bin/etcd\n")
    assert part_of(host.run, {}, str(host.root)).name == "default"
    assert part_of(FakeHost(tmp_path / "none").run, {}, str(tmp_path / "none")).name == ""


def test_of_what_is_too_large_the_largest_files_stay_behind():
    noise = "".join(map(chr, random.Random(1).choices(range(256), k=200_000)))
    files = {"/large": noise, "/larger": noise + "x", "/small": "ETCD_NAME=m1\n"}
    word = packed(Part(name="m1", files=files))
    assert len(word) <= LARGEST_PACKED
    part = unpacked(word, "m1")
    assert part.files == {"/small": "ETCD_NAME=m1\n"}
    assert part.notes == [f"{path} is left out, as the files are too large" for path in ("/larger", "/large")]


@pytest.mark.parametrize(
    ("part", "back"),
    [
        (
            Part(name="m\udce9", data_dir="/caf\udce9", settings={"name": {"value": "\udcff"}}),
            Part(name="m?", data_dir="/caf?", settings={"name": {"value": "?"}}),
        ),
        (
            Part(name="m1", files={"/caf\udce9": "caf\xe9"}, notes=["\udce9 is away"]),
            Part(name="m1", files={"/caf?": "caf\xe9"}, notes=["? is away"]),
        ),
    ],
)
def test_what_is_no_unicode_keeps_nobody_from_unpacking_it(part, back):
    assert unpacked(packed(part), "m1") == back


@pytest.mark.parametrize("part", [Part(name="m\n1"), Part(name="m1", settings={"x": float("nan")})])
def test_what_nobody_could_unpack_is_a_note_of_its_host(part):
    (note,) = unpacked(packed(part), "m1").notes
    assert "cannot be understood" in note


@pytest.mark.parametrize("word", [{"name": "m1"}, ["m1"], 4711, True])
def test_what_an_older_version_has_told_is_a_note(word):
    parts, notes = understood({"m1": word, "m2": packed(Part(name="m2")), "m3": ""})
    assert parts == {"m2": Part(name="m2")} and set(notes) == {"m1"} and "it is not a word" in notes["m1"]


def _word(plain):
    return base64.b64encode(zlib.compress(plain)).decode()


@pytest.mark.parametrize(
    "word, why",
    [
        ("{{ 1 }}", "base64"),
        ("aGVsbG8=", "incorrect header"),
        (_word(b"{}")[:-8], "cut off"),
        (_word(b" " * (17 << 20)), "too large"),
        (_word(b"\xff"), "utf-8"),
        (_word(b"[]"), "it is a list"),
        (_word(b'{"files": {"/etc/x": 1}}'), "files"),
        (_word(b'{"name": "a\\nb"}'), "name"),
    ],
)
def test_what_is_no_part_is_refused(word, why):
    with pytest.raises(EtcdError, match=f"what was seen of m2 for the recovery kit cannot be understood: .*{why}"):
        unpacked(word, "m2")
