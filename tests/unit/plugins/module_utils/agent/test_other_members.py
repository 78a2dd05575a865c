# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What an agent knows of other hosts: a time changes only with what it is of, and what is not seen again is not forgotten."""

from __future__ import annotations

import base64
import zlib

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.other_members import (
    Known,
    Seen,
    known_in,
    known_now,
    parts_in,
    text_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.agent.saving import job_of
from ansible_collections.quorum.etcd.plugins.module_utils.agent.settings import Settings
from ansible_collections.quorum.etcd.plugins.module_utils.backup.kit_part import Part, packed
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError

EARLIER, NOW = "2026-11-24T03:45:57Z", "2026-11-25T03:45:57Z"
M1, M2, M3 = (packed(Part(name=name)) for name in ("m1", "m2", "m3"))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "members.json"
    path.write_text(text_of(Known({"h1": Seen(EARLIER, M1), "h2": Seen(EARLIER, M2)})))
    path.chmod(0o600)
    return path


def test_at_first_all_is_new(tmp_path):
    known = known_now(str(tmp_path / "none"), {"h1": M1, "h2": ""}, NOW)
    assert known == Known({"h1": Seen(NOW, M1)})


def test_what_is_the_same_keeps_its_time_also_where_it_is_packed_otherwise(file):
    again = base64.b64encode(zlib.compress(zlib.decompress(base64.b64decode(M2)), 0)).decode()
    known = known_now(str(file), {"h1": M1, "h2": again}, NOW)
    assert again != M2 and text_of(known) == file.read_text()


def test_what_is_new_has_a_new_time_what_was_not_looked_at_stays_and_who_has_left_goes(file):
    known = known_now(str(file), {"h1": M3, "h2": "", "h3": M3}, NOW)
    assert known.hosts == {"h1": Seen(NOW, M3), "h2": Seen(EARLIER, M2), "h3": Seen(NOW, M3)}
    assert known_now(str(file), {"h1": M1}, NOW) == Known({"h1": Seen(EARLIER, M1)})


def test_what_nobody_can_believe_or_understand_is_seen_anew(file):
    file.chmod(0o666)
    assert known_now(str(file), {"h1": M1}, NOW) == Known({"h1": Seen(NOW, M1)})
    file.chmod(0o600)
    file.write_text(text_of(Known({"h1": Seen(EARLIER, "junk")})))
    assert known_now(str(file), {"h1": M1}, NOW) == Known({"h1": Seen(NOW, M1)})


@pytest.mark.parametrize("old", ["junk", {"name": "m1"}, 4711, packed(Part(name="m1"))[:-9]])
def test_one_host_that_cannot_be_understood_keeps_no_other_from_being_set_up(file, old):
    known = known_now(str(file), {"h1": old, "h2": M2, "h4": old}, NOW)
    assert (known.hosts["h1"], known.hosts["h2"]) == (Seen(EARLIER, M1), Seen(EARLIER, M2)), "what was known stays"
    file.write_text(text_of(known))
    assert known_now(str(file), {"h1": old, "h2": M2, "h4": old}, "2026-11-26T03:45:57Z") == known
    parts, notes = parts_in(str(file))
    assert notes == [] and parts["h4"].name == ""
    assert "what was seen of h4 for the recovery kit cannot be understood" in parts["h4"].notes[0]


def test_one_host_that_cannot_be_understood_takes_no_other_out_of_the_kit(file):
    file.write_text(text_of(Known({"h1": Seen(EARLIER, "junk"), "h2": Seen(EARLIER, M2)})))
    parts, notes = parts_in(str(file))
    assert parts == {"h2": Part(name="m2", seen_at=EARLIER)} and len(notes) == 1 and "of h1 for" in notes[0]


def test_the_kit_of_an_agent_has_it_with_its_time(file):
    settings = Settings("etcd", ("http://a:2379",), "/b", ("http://a:2379",), host="h0", members_file=str(file))
    asked = job_of(settings).kit
    assert asked.host == "h0" and asked.notes == []
    assert asked.parts == {"h1": Part(name="m1", seen_at=EARLIER), "h2": Part(name="m2", seen_at=EARLIER)}


def test_that_it_cannot_be_had_is_a_note(file):
    file.chmod(0o666)
    parts, notes = parts_in(str(file))
    assert parts == {} and "the list of the other members" in notes[0] and "is not believed" in notes[0]
    file.unlink()
    assert "there is no list of the other members" in parts_in(str(file))[1][0]
    with pytest.raises(EtcdError):
        known_in(str(file))
