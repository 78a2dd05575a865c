# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Identities as etcd computes them; the IDs were printed by clusters that really ran."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.identity import (
    cluster_id,
    format_initial_cluster,
    hex_id,
    member_id,
    parse_initial_cluster,
)

# (peer URLs, token tok) of three clusters and what `member list` said, by version of etcd.
REAL = {
    "3.4.23": (
        "http://127.0.0.1:281{}",
        {"50": "8a762b3c52a83885", "51": "76a19c46613183ce", "52": "54ad1361867f299e"},
    ),
    "3.5.35": (
        "http://127.0.0.1:284{}",
        {"50": "3699d5c37bc739e8", "51": "db654bf09a2eb0c7", "52": "6aa4622c6f78c47d"},
    ),
    "3.6.16": (
        "http://127.0.0.1:287{}",
        {"50": "296f6a5ed302c7fe", "51": "7bd13b8bd38bda6a", "52": "e5e21b2bd96e250e"},
    ),
    "3.7.3": ("http://127.0.0.1:290{}", {"50": "f43b221af754abc2", "51": "f89d036dbd916ce7", "52": "7d2fefaf7abe99a0"}),
}
REAL_CLUSTERS = {
    "3.4.23": "a9b7a22aeb5c8521",
    "3.5.35": "7e65dec059d01553",
    "3.6.16": "8a68f0b049e573d1",
    "3.7.3": "d7c532387655e04a",
}


@pytest.mark.parametrize("version", REAL)
def test_the_ids_are_those_of_a_running_etcd(version):
    url, expected = REAL[version]
    ids = {port: member_id([url.format(port)], "tok") for port in expected}
    assert {port: hex_id(number) for port, number in ids.items()} == expected
    assert hex_id(cluster_id(ids.values())) == REAL_CLUSTERS[version]


def test_the_order_of_the_peer_urls_does_not_matter_and_the_token_does():
    urls = ["http://b:2380", "http://a:2380"]
    assert member_id(urls, "one") == member_id(reversed(urls), "one")
    assert member_id(urls, "one") != member_id(urls, "two")


def test_an_id_has_no_leading_zeros():
    assert hex_id(0x0E483793C6BF41C8) == "e483793c6bf41c8"


def test_several_urls_of_one_name_and_ipv6_are_kept_and_sorted():
    members = parse_initial_cluster("b=https://[2001:db8::2]:2380,a=http://y:2380, a=http://x:2380")
    assert members == {"a": ["http://x:2380", "http://y:2380"], "b": ["https://[2001:db8::2]:2380"]}
    assert list(members) == ["a", "b"]
    assert format_initial_cluster(members) == "a=http://x:2380,a=http://y:2380,b=https://[2001:db8::2]:2380"


def test_the_string_is_the_same_from_every_order():
    assert format_initial_cluster({"b": ["http://b:1"], "a": ["http://a:1"]}) == "a=http://a:1,b=http://b:1"


@pytest.mark.parametrize(
    "text, word",
    [
        ("a=http://x:2380,b=http://x:2380", "twice"),
        ("a=http://x:2380,a=http://x:2380", "twice"),
        ("a=http://x", "no host and port"),
        ("a=http://[::1]", "no host and port"),
        ("a=http://x:", "no host and port"),
        ("a=http://:2380", "no host and port"),
        ("a=http://x:99999", "not a URL"),
        ("a=ftp://x:2380", "scheme"),
        ("a=x:2380", "scheme"),
        ("a=http://x:2380/", "path"),
        ("a=", "scheme"),
        ("http://x:2380", "name=URL"),
        ("=http://x:2380", "name=URL"),
    ],
)
def test_what_etcd_would_refuse_is_refused_with_its_place(text, word):
    with pytest.raises(EtcdError) as caught:
        parse_initial_cluster(text)
    assert word in caught.value.message and "initial-cluster" in caught.value.message
    assert caught.value.next_step


def test_a_name_that_would_break_the_string_is_refused():
    with pytest.raises(EtcdError, match="name"):
        format_initial_cluster({"a,b": ["http://x:2380"]})
    with pytest.raises(EtcdError, match="no peer URL"):
        format_initial_cluster({"a": []})
