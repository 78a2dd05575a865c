# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The exact argv and environment of every command, for every line of etcd."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import commands as c
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version

V34, V35, V36, V37 = Version(3, 4, 23), Version(3, 5, 35), Version(3, 6, 16), Version(3, 7, 3)
EVERY = (V34, V35, V36, V37)

PLAIN = c.Connection(endpoints=["http://a:2379", "http://b:2379"])
SECURE = c.Connection(
    endpoints=["https://a:2379"],
    cacert="/pki/ca.crt",
    cert="/pki/client.crt",
    key="/pki/client.key",
    user="root",
    password="geheim",
    command_timeout=30,
    dial_timeout=3,
)
ONE = c.Connection(endpoints=["http://a:2379"])

FLAGS = {
    "PLAIN": "--endpoints=http://a:2379,http://b:2379 --dial-timeout=2s --command-timeout=5s",
    "ONE": "--endpoints=http://a:2379 --dial-timeout=2s --command-timeout=5s",
    "SECURE": "--endpoints=https://a:2379 --dial-timeout=3s --command-timeout=30s"
    " --cacert=/pki/ca.crt --cert=/pki/client.crt --key=/pki/client.key",
}
API = {"ETCDCTL_API": "3"}
GO = {"GOGC": "400", "GOMEMLIMIT": "512MiB"}
AUTH = {"ETCDCTL_API": "3", "ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": "geheim"}


def ctl(version):
    return c.Tool("/ctl", version)


def host(version, utl=None):
    """A host with the tools that its etcd came with, or with these very versions of etcdctl and etcdutl."""
    utl = utl or (version if version >= (3, 5, 0) else None)
    return c.Tools(c.Tool("/etcd", version), ctl(version), c.Tool("/utl", utl) if utl else None)


def restore(tools, **more):
    words = {"name": "m0", "initial_cluster": "m0=http://a:2380", "token": "t", "data_dir": "/d"}
    return c.snapshot_restore(tools, "/s.db", peer_urls=["http://a:2380", "http://b:2380"], **{**words, **more})


RESTORE = (
    "snapshot restore /s.db --name=m0 --initial-cluster=m0=http://a:2380 --initial-cluster-token=t"
    " --initial-advertise-peer-urls=http://a:2380,http://b:2380 --data-dir=/d"
)
# No address of a network among what it listens on.
THROWAWAY = (
    "--name=throwaway --data-dir=data --listen-client-urls=unix://client:1 --advertise-client-urls=unix://client:1"
    " --listen-peer-urls=unix://peer:1 --initial-advertise-peer-urls=http://127.0.0.1:1"
    " --initial-cluster=throwaway=http://127.0.0.1:1 --heartbeat-interval=20 --election-timeout=200"
    " --quota-backend-bytes=7 --logger=zap --log-level=error --log-outputs=stderr"
)
BUMP = " --bump-revision=1000 --mark-compacted"

# For each command: the versions for which it holds, how it is made, its argv, its environment.
TABLE = [
    # versions        made by                                             argv                               environment
    (EVERY, lambda v: c.etcd_version("/etcd"), "/etcd --version", {}),
    (EVERY, lambda v: c.etcd_with("/etcd", "/etc/etcd.yml"), "/etcd --config-file=/etc/etcd.yml", {}),
    (EVERY, lambda v: c.tool_version("/ctl"), "/ctl version", API),
    (EVERY, lambda v: c.endpoint_status(ctl(v), PLAIN), "/ctl {PLAIN} endpoint status -w json", API),
    (EVERY, lambda v: c.endpoint_status(ctl(v), SECURE), "/ctl {SECURE} endpoint status -w json", AUTH),
    (EVERY, lambda v: c.endpoint_hashkv(ctl(v), PLAIN, 7), "/ctl {PLAIN} endpoint hashkv --rev=7 -w json", API),
    (EVERY, lambda v: c.endpoint_hashkv(ctl(v), SECURE, 0), "/ctl {SECURE} endpoint hashkv --rev=0 -w json", AUTH),
    (EVERY, lambda v: c.member_list(ctl(v), PLAIN), "/ctl {PLAIN} member list -w json", API),
    (EVERY, lambda v: c.member_list(ctl(v), SECURE), "/ctl {SECURE} member list -w json", AUTH),
    ((V34,), lambda v: c.member_list(ctl(v), PLAIN, quorum=False), "/ctl {PLAIN} member list -w json", API),
    (
        (V36, V37),
        lambda v: c.member_list(ctl(v), PLAIN, quorum=False),
        "/ctl {PLAIN} member list --consistency=s -w json",
        API,
    ),
    (EVERY, lambda v: c.alarm_list(ctl(v), PLAIN), "/ctl {PLAIN} alarm list -w json", API),
    (EVERY, lambda v: c.alarm_list(ctl(v), SECURE), "/ctl {SECURE} alarm list -w json", AUTH),
    (
        EVERY,
        lambda v: c.count_keys(ctl(v), SECURE, 7),
        "/ctl {SECURE} get  --prefix --keys-only --limit=1 --rev=7 -w json",
        AUTH,
    ),
    (EVERY, lambda v: c.put(ctl(v), SECURE, "k", "v"), "/ctl {SECURE} put k v -w json", AUTH),
    (EVERY, lambda v: c.delete(ctl(v), SECURE, "k"), "/ctl {SECURE} del k -w json", AUTH),
    (EVERY, lambda v: c.get_below(ctl(v), SECURE, "a/"), "/ctl {SECURE} get a/ --prefix -w json", AUTH),
    (EVERY, lambda v: c.delete_below(ctl(v), SECURE, "a/"), "/ctl {SECURE} del a/ --prefix -w json", AUTH),
    (EVERY, lambda v: c.make_mirror(ctl(v), PLAIN, ONE), "/ctl {PLAIN} make-mirror http://a:2379", API),
    (
        EVERY,
        lambda v: c.make_mirror(ctl(v), SECURE, ONE, "a/", "", 7),
        "/ctl {SECURE} make-mirror --prefix=a/ --no-dest-prefix --rev=7 http://a:2379",
        AUTH,
    ),
    (
        EVERY,
        lambda v: c.make_mirror(ctl(v), PLAIN, SECURE, "a/", "b/"),
        "/ctl {PLAIN} make-mirror --prefix=a/ --dest-prefix=b/ --dest-cacert=/pki/ca.crt --dest-cert=/pki/client.crt"
        " --dest-key=/pki/client.key --dest-insecure-transport=false --dest-user=root https://a:2379",
        API,
    ),
    (EVERY, lambda v: c.endpoint_health(ctl(v), PLAIN), "/ctl {PLAIN} endpoint health -w json", API),
    (EVERY, lambda v: c.endpoint_health(ctl(v), SECURE), "/ctl {SECURE} endpoint health -w json", AUTH),
    (
        EVERY,
        lambda v: c.member_add(ctl(v), PLAIN, "m4", ["http://d:2380", "http://e:2380"], learner=True),
        "/ctl {PLAIN} member add m4 --peer-urls=http://d:2380,http://e:2380 --learner -w json",
        API,
    ),
    (
        EVERY,
        lambda v: c.member_add(ctl(v), SECURE, "m4", ["https://d:2380"], learner=False),
        "/ctl {SECURE} member add m4 --peer-urls=https://d:2380 -w json",
        AUTH,
    ),
    (EVERY, lambda v: c.member_remove(ctl(v), SECURE, "a2"), "/ctl {SECURE} member remove a2 -w json", AUTH),
    (EVERY, lambda v: c.member_promote(ctl(v), SECURE, "a2"), "/ctl {SECURE} member promote a2 -w json", AUTH),
    (
        EVERY,
        lambda v: c.member_update(ctl(v), SECURE, "a2", ["https://d:2380", "https://e:2380"]),
        "/ctl {SECURE} member update a2 --peer-urls=https://d:2380,https://e:2380 -w json",
        AUTH,
    ),
    (EVERY, lambda v: c.move_leader(ctl(v), PLAIN, "a2"), "/ctl {PLAIN} move-leader a2", API),
    (EVERY, lambda v: c.move_leader(ctl(v), SECURE, "a2"), "/ctl {SECURE} move-leader a2", AUTH),
    (EVERY, lambda v: c.snapshot_save(ctl(v), ONE, "/s.db"), "/ctl {ONE} snapshot save /s.db", {**API, **GO}),
    (EVERY, lambda v: c.snapshot_save(ctl(v), SECURE, "/s.db"), "/ctl {SECURE} snapshot save /s.db", {**AUTH, **GO}),
    ((V34,), lambda v: c.snapshot_status(host(v), "/s.db"), "/ctl snapshot status /s.db -w json", {**API, **GO}),
    (
        (V35, V36, V37),
        lambda v: c.snapshot_status(host(v), "/s.db"),
        "/utl snapshot status /s.db -w json",
        {**API, **GO},
    ),
    ((V34,), lambda v: restore(host(v)), "/ctl " + RESTORE, API),
    ((V35, V36, V37), lambda v: restore(host(v)), "/utl " + RESTORE, API),
    (EVERY[1:], lambda v: restore(host(v), bump_revision=1000), "/utl " + RESTORE + BUMP, API),
    (EVERY[1:], lambda v: restore(host(v), wal_dir="/w"), "/utl " + RESTORE + " --wal-dir=/w", API),
    (EVERY[1:], lambda v: restore(host(v), skip_hash_check=True), "/utl " + RESTORE + " --skip-hash-check=true", API),
    ((V34,), lambda v: restore(host(v, utl=V35)), "/utl " + RESTORE, API),
    (EVERY, lambda v: c.throwaway(c.Tool("/etcd", v), "data", 7), "/etcd " + THROWAWAY, {"GOMAXPROCS": "1"}),
]


@pytest.mark.parametrize(
    "version, make, argv, env",
    [(version, make, argv, env) for versions, make, argv, env in TABLE for version in versions],
    ids=[f"{version} {argv[:60]}" for versions, _make, argv, _env in TABLE for version in versions],
)
def test_the_very_words_of_a_command(version, make, argv, env):
    command = make(version)
    assert command.argv == argv.format(**FLAGS).split(" ")
    assert command.env == env
    assert not any("geheim" in word for word in command.argv)


def test_every_command_is_in_the_table():
    helpers = {
        "asks_version",
        "etcd_version",
        "restore_tool",
        "run_checked",
        "parse_json",
        "in_words",
        "can_bump",
        "can_bump_revision",
        "misleading",
    }
    helpers |= {"etcdctl_restores", "lists_members_without_quorum", "misleading", "dataclass", "field", "replace"}
    functions = {
        name for name, thing in vars(c).items() if callable(thing) and name[0].islower() and name not in helpers
    }
    used = {name for _versions, make, _argv, _env in TABLE for name in (*make.__code__.co_names,)}
    assert functions - used <= {"snapshot_restore"}  # made by ``restore`` above


def test_etcd_3_5_has_no_member_list_without_a_quorum():
    assert c.member_list(ctl(V35), PLAIN, quorum=False) is None


# (etcdctl, etcdutl or none) -> which one restores, and whether it can bump the revision.
RESTORERS = [
    (Version(3, 4, 23), None, "/ctl", False),
    (Version(3, 4, 26), None, "/ctl", False),
    (Version(3, 4, 27), None, "/ctl", True),
    (Version(3, 5, 9), None, "/ctl", False),
    (Version(3, 5, 10), None, "/ctl", True),
    (Version(3, 5, 9), Version(3, 5, 9), "/utl", False),
    (Version(3, 5, 10), Version(3, 5, 10), "/utl", True),
    (Version(3, 4, 23), Version(3, 5, 35), "/utl", True),
    (V36, V36, "/utl", True),
    (V37, V37, "/utl", True),
]


@pytest.mark.parametrize("etcdctl, etcdutl, path, bumps", RESTORERS)
def test_which_tool_restores_and_whether_it_bumps(etcdctl, etcdutl, path, bumps):
    tools = c.Tools(None, ctl(etcdctl), c.Tool("/utl", etcdutl) if etcdutl else None)
    assert c.restore_tool(tools).path == path
    assert c.can_bump(tools) is bumps


@pytest.mark.parametrize("tools", [c.Tools(), c.Tools(None, ctl(V36), None), c.Tools(c.Tool("/etcd", V36))])
def test_a_host_without_a_restorer_is_told_what_to_install(tools):
    for make in (c.restore_tool, c.can_bump, restore, lambda tools: c.snapshot_status(tools, "/s.db")):
        with pytest.raises(EtcdError) as caught:
            make(tools)
        assert "install" in caught.value.next_step


def test_a_save_takes_exactly_one_endpoint():
    for endpoints in ([], ["http://a:2379", "http://b:2379"]):
        with pytest.raises(EtcdError, match="one endpoint"):
            c.snapshot_save(ctl(V36), c.Connection(endpoints=endpoints), "/s.db")


def test_a_failed_command_says_its_exit_code_and_its_last_words():
    with pytest.raises(EtcdError, match="/ctl alarm list failed with exit code 5: Error: no disk"):
        c.run_checked(lambda argv, env: c.Result(5, "", "warning\nError: no disk\n"), c.alarm_list(ctl(V36), PLAIN))
    assert c.run_checked(lambda argv, env: c.Result(0, "fine", ""), c.alarm_list(ctl(V36), PLAIN)) == "fine"


def test_what_is_no_json_is_an_error():
    with pytest.raises(EtcdError, match="did not print JSON"):
        c.parse_json("NAME: etcdctl", c.alarm_list(ctl(V36), PLAIN))


def test_what_must_not_reach_a_command():
    """Seen: a profile that sets ETCDCTL_ENDPOINTS made each answer of etcdctl an error, since it is given as a flag too."""
    bad = ["ETCDCTL_ENDPOINTS", "ETCDCTL_API", "ETCDCTL_USER", "ETCDUTL_X", "GRPC_GO_LOG_SEVERITY_LEVEL", "GODEBUG"]
    bad += ["http_proxy", "HTTPS_PROXY", "No_Proxy", "all_proxy"]
    good = ["PATH", "HOME", "LC_ALL", "ETCD_NAME", "ETCDCTL", "MY_ETCDCTL_ENDPOINTS", "FTP_PROXY", "GOMAXPROCS"]
    assert c.misleading([*good, *bad]) == bad
