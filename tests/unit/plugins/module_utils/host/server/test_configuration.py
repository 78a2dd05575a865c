# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Each setting under the name that a version knows; what is no setting of the operator's is refused."""

from __future__ import annotations

import pytest
import yaml
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.asked import complaint, in_its_types, types_of
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.configuration import (
    Bootstrap,
    alone,
    differences,
    settings_of,
    text_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.wanted import tls_on_host
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.server.bare import Etcd, params, server

LINES = {"3.4": Version(3, 4, 23), "3.5": Version(3, 5, 16), "3.6": Version(3, 6, 0), "3.7": Version(3, 7, 3)}
TLS = {
    "ca": "/p/ca.crt",
    "cert": "/p/s.crt",
    "key": "/p/s.key",
    "peer_ca": "/p/ca.crt",
    "peer_cert": "/p/p.crt",
    "peer_key": "/p/p.key",
}


def written(version, bootstrap=None, **changed):
    made = server(**changed)
    return yaml.safe_load(text_of(settings_of(made, version, bootstrap or alone(made))))


@pytest.mark.parametrize("line", LINES)
def test_what_every_version_has(line):
    found = written(LINES[line])
    assert found["name"] == "m1" and found["data-dir"] == "/var/lib/etcd/data" and "wal-dir" not in found
    assert found["listen-peer-urls"] == found["initial-advertise-peer-urls"] == "http://10.0.0.1:2380"
    assert found["listen-client-urls"] == "http://10.0.0.1:2379,http://127.0.0.1:2379"
    assert found["snapshot-count"] == 100000 and found["quota-backend-bytes"] == 2147483648
    assert found["strict-reconfig-check"] is found["pre-vote"] is found["enable-grpc-gateway"] is True
    assert found["initial-cluster"] == "m1=http://10.0.0.1:2380" and found["initial-cluster-state"] == "existing"


@pytest.mark.parametrize(
    ("version", "checks"),
    [
        (Version(3, 4, 45), {"experimental-initial-corrupt-check": True}),
        (Version(3, 5, 4), {"experimental-initial-corrupt-check": True}),
        (
            Version(3, 5, 5),
            {"experimental-initial-corrupt-check": True, "experimental-compact-hash-check-enabled": True},
        ),
        (Version(3, 6, 0), {"feature-gates": "InitialCorruptCheck=true,CompactHashCheck=true"}),
        (Version(3, 7, 3), {"feature-gates": "InitialCorruptCheck=true,CompactHashCheck=true"}),
    ],
)
def test_the_checks_for_corruption_have_the_names_of_the_version(version, checks):
    found = written(version)
    assert {
        name: value for name, value in found.items() if name.startswith("experimental") or "gates" in name
    } == checks
    assert found.get("logger") == ("zap" if version.line == "3.4" else None)


def test_the_operators_settings_go_before_and_gates_come_together():
    given = {
        "snapshot-count": 5000,
        "feature-gates": "CompactHashCheck=false,SetMemberLocalAddr=true",
        "cipher-suites": ["A", "B"],
    }
    found = written(LINES["3.6"], settings=given)
    assert found["snapshot-count"] == 5000 and found["cipher-suites"] == ["A", "B"]
    assert found["feature-gates"] == "InitialCorruptCheck=true,CompactHashCheck=false,SetMemberLocalAddr=true"


def test_tls_stands_in_its_sections():
    urls = {"peer_urls": ["https://m1.example.org:2380"], "client_urls": ["https://[fd00::1]:2379"]}
    found = written(LINES["3.7"], tls=TLS, **urls)
    assert found["client-transport-security"] == {
        "trusted-ca-file": "/p/ca.crt", "cert-file": "/p/s.crt", "key-file": "/p/s.key", "client-cert-auth": True,
    }  # fmt: skip
    assert found["peer-transport-security"]["cert-file"] == "/p/p.crt"
    # A name is no address to listen at.
    assert found["listen-peer-urls"] == "https://0.0.0.0:2380"
    assert found["listen-client-urls"] == "https://[fd00::1]:2379,https://127.0.0.1:2379"


def test_a_cluster_that_is_founded():
    found = written(LINES["3.5"], Bootstrap("m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380", "new", "0123"))
    assert (found["initial-cluster-state"], found["initial-cluster-token"]) == ("new", "0123")


def test_where_the_files_of_tls_go():
    shared = tls_on_host({"ca": "a", "cert": "b", "key": "c"}, "/etc/etcd/etcd.yml", False)
    assert shared["key"] == shared["peer_key"] == "/etc/etcd/pki/server.key"
    own = tls_on_host(
        {"ca": "a", "cert": "b", "key": "c", "peer_cert": "d", "peer_key": "e"}, "/etc/etcd/etcd.yml", False
    )
    assert (own["peer_ca"], own["peer_cert"], own["peer_key"]) == (
        "/etc/etcd/pki/ca.crt",
        "/etc/etcd/pki/peer.crt",
        "/etc/etcd/pki/peer.key",
    )
    assert tls_on_host({"ca": "/a", "cert": "/b", "key": "/c"}, "", True)["peer_key"] == "/c"
    with pytest.raises(EtcdError, match="no file peer-ca of TLS"):
        tls_on_host({"peer-ca": "a"}, "", False)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"name": "m 1"}, "cannot be the name of a member"),
        ({"peer_urls": []}, "etcd_peer_urls is empty"),
        ({"peer_urls": ["http://10.0.0.1"]}, "is no URL of a member"),
        ({"peer_urls": ["http://10.0.0.1:99999"]}, "is no URL of a member"),
        ({"peer_urls": ["https://10.0.0.1:2380"]}, "there is no certificate"),
        ({"client_urls": ["http://0.0.0.0:2379"]}, "leads nobody to this host"),
        ({"listen_peer_urls": ["http://m1:2380"]}, "etcd listens at addresses alone"),
        ({"data_dir": "/var/lib"}, "etcd_data_dir cannot be"),
        ({"data_dir": "/srv/a b"}, "etcd_data_dir cannot be"),
        ({"wal_dir": "/srv"}, "etcd_wal_dir cannot be"),
        ({"wal_dir": "/srv/wal"}, "must own the folder above etcd_wal_dir"),
        ({"user": "root"}, "not run as the user 'root'"),
        ({"tls": {"cert": "/a", "key": "/b"}}, "missing: ca"),
        ({"settings": {"data-dir": "/x"}}, "data-dir is no free setting"),
        ({"settings": {"initial-cluster-state": "new"}}, "decides which cluster"),
        ({"settings": {"force-new-cluster": True}}, "decides which cluster"),
        ({"settings": {"discovery-password": "geheim"}}, "decides which cluster"),
        ({"settings": {"Snapshot": 1}}, "is not the name of a setting"),
    ],
)
def test_what_cannot_be_meant_is_refused(changed, words):
    if "tls" in changed:
        changed = {
            **changed,
            **{
                name: [url.replace("http:", "https:") for url in params()[name]]
                for name in ("peer_urls", "client_urls")
            },
        }
    with pytest.raises(EtcdError, match=words) as refused:
        server(**changed)
    assert refused.value.next_step


def test_etcd_is_asked_what_it_knows():
    etcd = Etcd()
    assert types_of(etcd, "/x/etcd", ["name", "max-txn-ops", "wal-dir", "no-such", "cert-file"]) == {
        "name": "string", "max-txn-ops": "uint", "wal-dir": "string", "no-such": "", "cert-file": "string",
    }  # fmt: skip
    assert in_its_types(etcd, "/x/etcd", {"corrupt-check-time": "1h30m", "log-level": "5s"}) == {
        "corrupt-check-time": "5400000000000", "log-level": "5s",
    }  # fmt: skip
    with pytest.raises(EtcdError, match="does not know the setting no-such"):
        in_its_types(etcd, "/x/etcd", {"no-such": "1", "max-txn-ops": "1"})


def test_etcd_says_what_it_would_not_take():
    etcd = Etcd()
    assert complaint(etcd, "/x/etcd", "name: m1\nmax-txn-ops: 3\nwal-dir: /x\n") == ""
    assert complaint(etcd, "/x/etcd", "name: m1\nmax-txn-ops: many\n") == "max-txn-ops is to be of type uint"


def test_what_differs_on_a_member_that_is_there():
    now = {"name": "m1", "snapshot-count": "10000", "initial-cluster-state": "existing"}
    wanted = {"name": "m1", "snapshot-count": "100000", "pre-vote": "true", "initial-cluster-state": "new"}
    assert differences(now, wanted) == ["snapshot-count: 10000, wanted is 100000", "pre-vote: (unset), wanted is true"]
