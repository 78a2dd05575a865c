# SPDX-License-Identifier: GPL-3.0-or-later
"""A client's list of endpoints after a change of the members: what changes, and all that must not."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.host.endpoints import Membership, addresses, rewrite


def urls(*numbers, scheme="https"):
    return {f"m{number}": [f"{scheme}://10.0.0.{number}:2379"] for number in numbers}


THREE, REPLACED = urls(1, 2, 3), urls(1, 2, 4)


def after(text, now=REPLACED, before=THREE, own=(), joint=","):
    members = Membership(now, before, list(own))
    assert from_plain(Membership, to_plain(members)) == members
    done = rewrite(text, members, joint)
    again = rewrite(done.text, members, joint)
    assert again.text == done.text and again.after == done.after  # idempotent
    # A later run does not know any more who was there before.
    assert rewrite(done.text, Membership(now, {}, list(own)), joint).text == done.text
    return done


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379",
            "https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.4:2379",
        ),
        ("10.0.0.3:2379, 10.0.0.1:2379, 10.0.0.2:2379", "10.0.0.4:2379, 10.0.0.1:2379, 10.0.0.2:2379"),
        ("'10.0.0.1:2379','10.0.0.3:2379'", "'10.0.0.1:2379','10.0.0.4:2379','10.0.0.2:2379'"),
        (
            ' "https://10.0.0.2:2379/", "https://10.0.0.3:2379/" ',
            ' "https://10.0.0.2:2379/", "https://10.0.0.4:2379/", "https://10.0.0.1:2379/" ',
        ),
        (
            "- https://10.0.0.1:2379\n  - https://10.0.0.3:2379\n  - https://10.0.0.2:2379",
            "- https://10.0.0.1:2379\n  - https://10.0.0.4:2379\n  - https://10.0.0.2:2379",
        ),
        (
            "https://10.0.0.3:2379;https://10.0.0.1:2379;https://10.0.0.2:2379;",
            "https://10.0.0.4:2379;https://10.0.0.1:2379;https://10.0.0.2:2379;",
        ),
    ],
)
def test_a_member_is_replaced_in_its_place_and_the_rest_keeps_its_form(text, expected):
    assert after(text).text == expected


def test_one_that_is_right_is_left_to_the_byte():
    text = " https://10.0.0.4:2379 ,\thttps://10.0.0.1:2379,https://10.0.0.2:2379"
    assert after(text).text == text


def test_members_are_added_behind_the_last_of_them_and_removed_wherever_they_stand():
    text = "https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379,https://lb.example:2379"
    five = urls(1, 2, 3, 4, 5)
    assert after(text, five).text == text.replace(
        ",https://lb", ",https://10.0.0.4:2379,https://10.0.0.5:2379,https://lb"
    )
    assert (
        after(text, urls(3, 4), urls(1, 2, 3, 4)).text
        == "https://10.0.0.4:2379,https://10.0.0.3:2379,https://lb.example:2379"
    )
    assert after(text, urls(2), THREE).text == "https://10.0.0.2:2379,https://lb.example:2379"
    assert after("a.example:1,https://10.0.0.1:2379", urls(2, 3), urls(1, 2, 3)).text == (
        "a.example:1,https://10.0.0.2:2379,https://10.0.0.3:2379"
    )
    last = "https://10.0.0.2:2379,\n https://10.0.0.3:2379"
    assert after(last, urls(1, 2)).text == "https://10.0.0.2:2379,\n https://10.0.0.1:2379"


def test_a_list_of_one_member_stays_one_until_that_member_is_gone():
    assert after("https://10.0.0.1:2379").text == "https://10.0.0.1:2379"
    assert after("https://10.0.0.1:2379", urls(1, 2, 3, 4, 5)).text == "https://10.0.0.1:2379"
    assert after("https://10.0.0.3:2379").text == "https://10.0.0.4:2379,https://10.0.0.1:2379,https://10.0.0.2:2379"
    # Of a cluster of one it was the whole.
    assert rewrite("https://10.0.0.1:2379", Membership(THREE, urls(1))).text.count("https") == 3


def test_what_is_none_of_this_cluster_stays_and_is_told():
    balancer = after("https://etcd.example:2379,https://10.0.0.9:2379")
    assert balancer.text == "https://etcd.example:2379,https://10.0.0.9:2379"
    assert balancer.others == ["https://etcd.example:2379", "https://10.0.0.9:2379"]
    # Nothing is looked for in a piece of an address.
    assert (
        after("https://10.0.0.33:2379,https://10.0.0.3:23790").text == "https://10.0.0.33:2379,https://10.0.0.3:23790"
    )
    assert after("http://127.0.0.1:2379").text == "http://127.0.0.1:2379"
    assert after("").text == "" and after("etcd.example").text == "etcd.example"


def test_the_loopback_of_a_members_own_host_stands_for_it():
    own = ["https://10.0.0.1:2379"]
    text = "https://127.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379"
    assert after(text, own=own).text == text.replace("10.0.0.3", "10.0.0.4")
    assert after("https://localhost:2379", own=own).text == "https://localhost:2379"
    # The member of this very host has gone, and with it what listened there; another port is something else's.
    moved, all_of_them = urls(2, 3, 4), "https://10.0.0.4:2379,https://10.0.0.2:2379,https://10.0.0.3:2379"
    assert after("https://127.0.0.1:2379", moved, THREE, own).text == all_of_them
    assert after("https://127.0.0.1:12379", moved, THREE, own).text == "https://127.0.0.1:12379"


def test_members_of_one_machine_are_told_apart_by_their_ports():
    lab = {f"m{number}": [f"http://127.0.0.1:{number}0"] for number in (1, 2, 3, 4)}
    before = {name: lab[name] for name in ("m1", "m2", "m3")}
    now = {name: lab[name] for name in ("m1", "m2", "m4")}
    assert after("127.0.0.1:10,127.0.0.1:20,127.0.0.1:30", now, before).text == "127.0.0.1:10,127.0.0.1:20,127.0.0.1:40"


def test_a_member_of_the_same_name_at_another_address():
    moved = {**THREE, "m3": ["https://10.0.0.4:2379"]}
    assert after("10.0.0.1:2379,10.0.0.3:2379,10.0.0.2:2379", moved).text == "10.0.0.1:2379,10.0.0.4:2379,10.0.0.2:2379"


def test_the_url_that_a_client_can_use_is_chosen():
    several = {"m1": ["http://10.0.0.1:2379"], "m2": ["http://localhost:2379", "https://m2:2379", "http://m2:2381"]}
    assert after("http://10.0.0.1:2379", several, urls(1, scheme="http")).text == "http://10.0.0.1:2379,http://m2:2381"
    bad = {"m1": ["http://10.0.0.1:2379"], "m2": ["http://0.0.0.0:2379"], "m3": ["http://localhost:2379"]}
    done = after("http://10.0.0.1:2379", bad, urls(1, scheme="http"))
    assert done.text == "http://10.0.0.1:2379" and done.unusable == ["m2", "m3"]
    with pytest.raises(EtcdError, match="would name no member"):
        rewrite("http://10.0.0.1:2379", Membership({"m2": ["http://localhost:2379"]}, urls(1, scheme="http")))


def test_who_is_gone_by_two_names_is_gone_and_what_all_members_advertise_is_nobodys():
    twice = {**THREE, "https://10.0.0.3:2379": ["https://10.0.0.3:2379"]}
    assert (
        after("10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379", before=twice).text
        == "10.0.0.1:2379,10.0.0.2:2379,10.0.0.4:2379"
    )
    same = {name: [*urls_of, "https://localhost:2379"] for name, urls_of in THREE.items()}
    assert after("https://localhost:2379", {**same, "m4": same["m1"]}, same).text == "https://localhost:2379"


class TestNothingButMembers:
    """A client that leaves one cluster for another: nobody knows where it would write with members of both in its list."""

    LEFT = {url: [url] for url in (f"https://10.0.0.{number}:2379" for number in (1, 2, 3))}
    TAKEN = {url: [url] for url in ("https://10.0.1.1:2379", "https://10.0.1.2:2379")}

    def moved(self, text, left=LEFT, **more):
        members = Membership(self.TAKEN, left, only=True, **more)
        assert from_plain(Membership, to_plain(members)) == members
        done = rewrite(text, members)
        assert rewrite(done.text, members).text == done.text
        return done.text

    def test_it_moves_and_stays_where_it_has_moved(self):
        both = ",".join(self.TAKEN)
        assert self.moved(",".join(self.LEFT)) == self.moved("https://10.0.0.2:2379") == self.moved(both) == both
        assert self.moved("https://127.0.0.1:2379", own=["https://10.0.0.1:2379"]) == both

    @pytest.mark.parametrize(
        ("text", "left", "words"),
        [
            (
                "https://etcd1.example.org:2379,etcd2:2379",
                LEFT,
                '["https://etcd1.example.org:2379", "https://etcd2:2379"]',
            ),
            ("https://127.0.0.1:2379", LEFT, '["https://127.0.0.1:2379"]'),
            ("localhost:2379", LEFT, '["https://localhost:2379"]'),
            # The mirror knows one member of three.
            (
                "10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379",
                {"m1": ["https://10.0.0.1:2379"]},
                '["https://10.0.0.2:2379", "https://10.0.0.3:2379"]',
            ),
            ("10.0.1.1:2379,10.0.1.2:2379,etcd:2379", LEFT, '["https://etcd:2379"]'),
        ],
    )
    def test_what_nobody_knows_is_refused_and_named(self, text, left, words):
        with pytest.raises(EtcdError, match="of which nobody knows whose it is") as caught:
            self.moved(text, left)
        assert words in caught.value.next_step and "etcd_clients_stay" in caught.value.next_step

    def test_what_is_told_to_stay_does_but_not_alone_where_a_member_was(self):
        stay = ["https://lb.example.org:2379"]
        assert self.moved("lb.example.org:2379", stay=stay) == "lb.example.org:2379"
        assert self.moved("lb.example.org:2379,10.0.0.1:2379", stay=stay).startswith(
            "lb.example.org:2379,10.0.1.1:2379"
        )
        members = Membership({"t": ["https://localhost:2379"]}, self.LEFT, only=True, stay=stay)
        with pytest.raises(EtcdError, match="would name no member"):
            rewrite("lb.example.org:2379,10.0.0.1:2379", members)


def test_ipv6_in_any_spelling():
    before = {"m1": ["https://[2001:db8::1]:2379"], "m2": ["https://[2001:db8::2]:2379"]}
    now = {"m1": before["m1"], "m3": ["https://[2001:db8::3]:2379"]}
    text = "[2001:DB8:0:0:0:0:0:2]:2379,[2001:db8::1]:2379"
    assert after(text, now, before).text == "[2001:db8::3]:2379,[2001:db8::1]:2379"


def test_the_gap_of_a_list_of_one():
    assert (
        rewrite('"10.0.0.1:2379"', Membership(urls(1, 2), urls(1)), '", "').text == '"10.0.0.1:2379", "10.0.0.2:2379"'
    )


@pytest.mark.parametrize(
    "text",
    [
        "https://$HOST:2379",
        "{{ endpoints }}",
        "https://10.0.0.1:2379  # the first",
        "https://user:hunter2@10.0.0.1:2379",
        "10.0.0.1:2379=x",
        "https://10.0.0.1:2379https://10.0.0.2:2379",
    ],
)
def test_what_is_no_list_of_addresses_is_refused_and_not_shown(text):
    with pytest.raises(EtcdError, match="something that is no address") as refused:
        addresses(text)
    assert "hunter2" not in str(refused.value)
