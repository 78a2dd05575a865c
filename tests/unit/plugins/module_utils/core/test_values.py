# SPDX-License-Identifier: GPL-3.0-or-later
"""Values and their plain dictionaries: the same comes back, and what does not fit is refused with its place."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import (
    MOMENT,
    REST,
    SPARSE,
    TEXT,
    Misfit,
    from_plain,
    shape_of,
    to_plain,
)


@dataclass(frozen=True)
class Folder:
    path: str
    free: int
    share: float = 0.5


@dataclass(frozen=True)
class Host:
    name: str
    folders: List[Folder]
    by_use: Mapping[str, Folder]
    urls: Tuple[str, ...]
    words: Sequence[str]
    running: bool
    data: Optional[Folder]
    said: str = field(default="", metadata=TEXT)
    lines: List[str] = field(default_factory=list, metadata=TEXT)
    looked_at: str = field(default="2026-11-24T03:16:00Z", metadata=MOMENT)
    answer: Any = None
    extra: Dict[str, int] = field(default_factory=dict)
    owner: Union[int, str, None] = None
    later: Optional[Folder] = field(default=None, metadata=SPARSE)


HOST = Host(
    name="m1",
    folders=[Folder("/a", 1), Folder("/b", 2, 0.25)],
    by_use={"data": Folder("/a", 1)},
    urls=("http://a", "http://b"),
    words=["x"],
    running=True,
    data=None,
    said="two\nlines",
    answer={"any": [1, None]},
)


def plain(**changed):
    return {**to_plain(HOST), **changed}


def test_a_value_becomes_plain_and_comes_back_the_same():
    assert from_plain(Host, to_plain(HOST)) == HOST
    assert plain()["urls"] == ["http://a", "http://b"]
    assert plain()["folders"][1] == {"path": "/b", "free": 2, "share": 0.25}


def test_a_sparse_field_is_left_out_while_it_is_none():
    assert "later" not in plain() and plain()["owner"] is None
    told = from_plain(Host, plain(later={"path": "/c", "free": 1}, owner="etcd"))
    assert told.later == Folder("/c", 1) and told.owner == "etcd" and to_plain(told)["later"]["path"] == "/c"


@dataclass(frozen=True)
class Note:
    text: str
    by: Optional[str] = field(default=None, metadata=SPARSE)
    more: Mapping[str, Any] = field(default_factory=dict, metadata=REST)


@pytest.mark.parametrize(
    "told",
    [
        {"text": "a"},
        {"text": "a", "by": "me", "colour": ["green"]},
        {"text": "a", "by": None, "more": 5},
    ],
)
def test_what_stands_besides_is_kept_where_a_field_says_so(told):
    note = from_plain(Note, told)
    assert to_plain(note) == told and (note.text, note.by) == ("a", told.get("by"))
    assert to_plain(replace(note, by="you")) == {**told, "by": "you"}


def test_what_an_older_version_has_not_written_is_the_default_and_what_a_newer_one_has_is_passed_over():
    old = {key: plain()[key] for key in ("name", "folders", "by_use", "urls", "words", "running", "data")}
    assert from_plain(Host, {**old, "said": None, "colour": "green"}) == Host(
        **{key: getattr(HOST, key) for key in old},
    )


@pytest.mark.parametrize(
    "changed, why",
    [
        ({"name": 5}, "name is 5 and not a word"),
        ({"name": "two\nlines"}, "name is 'two\\\\nlines' and not a word"),
        ({"name": None}, "name is None and not a word"),
        ({"running": "yes"}, "running is 'yes' and not true or false"),
        ({"running": 1}, "running is 1 and not true or false"),
        ({"folders": {}}, "folders is an object and not a list"),
        ({"folders": [{"path": "/a"}]}, r"folders\[0\].free is missing"),
        ({"folders": [{"path": "/a", "free": True}]}, r"folders\[0\].free is True and not a whole number"),
        ({"by_use": {"data": {"path": "/a", "free": 1 << 70}}}, "by_use.data.free is .* and not a whole number"),
        ({"urls": ["a", 5]}, r"urls\[1\] is 5 and not a word"),
        ({"data": []}, "data is a list and not an object"),
        ({"said": 5}, "said is 5 and not text"),
        ({"lines": ["a\nb", 5]}, r"lines\[1\] is 5 and not text"),
        ({"looked_at": "yesterday"}, "looked_at is 'yesterday' and not a time"),
        ({"owner": 1.5}, "owner is 1.5 and not a whole number"),
        ({"owner": "two\nlines"}, "owner is .* and not a whole number"),
        ({"later": {}}, "later.path is missing"),
        ({"extra": {"a": "b"}}, "extra.a is 'b' and not a whole number"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(changed, why):
    with pytest.raises(Misfit, match=why):
        from_plain(Host, plain(**changed))


@pytest.mark.parametrize("other", [None, [], "x", 5])
def test_what_is_no_object_is_no_value(other):
    with pytest.raises(Misfit, match="the plan is .* and not an object"):
        from_plain(Host, other, "the plan")


def test_a_field_of_another_type_is_the_programmers_fault():
    for kind in (set, Union[Folder, Host]):
        with pytest.raises(TypeError, match="no type of a value"):
            shape_of(kind)
