# SPDX-License-Identifier: GPL-3.0-or-later
"""A running member's configuration comes to name the membership, wherever it is written, and nothing else in it changes."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import MemberFacts
from ansible_collections.quorum.etcd.plugins.module_utils.host.naming import Settled, Settling, settle, settle_edits
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.fake_host import MANIFEST, debian

OLD = "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380"
NEW = "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m4=http://10.0.0.4:2380"
STAMP = "20261128T210000Z"
# What stands in each kind of place before, and after.
SOURCES = {
    "env": (
        "/etc/default/etcd",
        f"# ours\nETCD_NAME=m1\nETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.0.0.1:2380\nETCD_INITIAL_CLUSTER='{OLD}'\n"
        "ETCD_INITIAL_CLUSTER_STATE=new\n#end\n",
        f"# ours\nETCD_NAME=m1\nETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.0.0.1:2380\nETCD_INITIAL_CLUSTER='{NEW}'\n"
        "ETCD_INITIAL_CLUSTER_STATE=existing\n#end\n",
    ),
    "yaml": (
        "/etc/etcd.yml",
        f'name: m1\ninitial-advertise-peer-urls: http://10.0.0.1:2380\ninitial-cluster: "{OLD}"  # ours\n'
        "initial-cluster-state: new\n",
        f'name: m1\ninitial-advertise-peer-urls: http://10.0.0.1:2380\ninitial-cluster: "{NEW}"  # ours\n'
        "initial-cluster-state: existing\n",
    ),
    "unit": (
        "/etc/systemd/system/etcd.service",
        f"[Service]\nExecStart=/usr/bin/etcd --name m1 --initial-advertise-peer-urls http://10.0.0.1:2380 \\\n"
        f"  --initial-cluster {OLD} --initial-cluster-state=new\nUser=etcd\n",
        f"[Service]\nExecStart=/usr/bin/etcd --name m1 --initial-advertise-peer-urls http://10.0.0.1:2380 \\\n"
        f"  --initial-cluster {NEW} --initial-cluster-state=existing\nUser=etcd\n",
    ),
}


class On:
    """The member of a fake host, and what is run while its configuration is settled."""

    def __init__(self, host, **options):
        self.host, self.options, self.commands, self.reload = host, options, [], Result(0, "", "")

    def member(self, **changes):
        facts = to_plain(self.host.facts(**self.options))
        return from_plain(MemberFacts, {**facts, "running": True, **changes})

    def plan(self, to=NEW, **changes):
        planned = settle_edits(self.member(**changes), to)
        assert from_plain(Settling, to_plain(planned)) == planned  # it travels in a plan
        return planned

    def settle(self, to=NEW, planned_for=NEW, **changes):
        """Plan for the fake host's paths, and settle below its folder."""
        edits = [self.here(edit) for edit in self.plan(planned_for, **changes).edits]
        done = settle(edits, to, str(self.host.root / "backups"), STAMP, self.run)
        assert from_plain(Settled, to_plain(done)) == done
        return done

    def here(self, edit):
        plain = to_plain(edit)
        return from_plain(type(edit), {**plain, "path": self.host.path(plain["path"])})

    def run(self, argv, env):
        self.commands.append(list(argv))
        return self.reload


@pytest.fixture
def on(host):
    def made(kind, **options):
        host.path = lambda path: str(host.root / path.lstrip("/"))
        debian(host, None)
        path, before, _after = SOURCES[kind]
        host.put(path, before)
        if kind == "unit":
            host.show["FragmentPath"] = path
        return On(host, **({"config_file": path} if kind == "yaml" else {}), **options)

    return made


@pytest.mark.parametrize("kind", SOURCES)
def test_it_is_written_where_it_lives_and_nothing_else_changes(on, host, kind):
    path, before, after = SOURCES[kind]
    one = on(kind)
    done = one.settle()
    file = host.root / path.lstrip("/")
    assert done.by_hand == [] and file.read_text() == after
    (changed,) = done.files
    assert changed.after == {"initial-cluster": NEW, "initial-cluster-state": "existing"}
    with open(changed.backup, encoding="utf-8") as copy:
        assert copy.read() == before
    assert one.commands == ([["systemctl", "daemon-reload"]] if kind == "unit" else [])
    stamp = file.stat().st_mtime_ns
    assert one.settle() == Settled() and file.stat().st_mtime_ns == stamp


def test_a_unit_of_a_package_gets_a_dropin(on, host):
    one = on("unit")
    _path, before, after = SOURCES["unit"]
    host.put("/usr/lib/systemd/system/etcd.service", before)
    host.show["FragmentPath"] = "/usr/lib/systemd/system/etcd.service"
    done = one.settle()
    dropin = host.root / "etc/systemd/system/etcd.service.d/zz-quorum-etcd.conf"
    assert [file.path for file in done.files] == [str(dropin)] and done.files[0].backup == ""
    assert f"--initial-cluster {NEW} --initial-cluster-state=existing" in dropin.read_text()
    assert (host.root / "usr/lib/systemd/system/etcd.service").read_text() == before
    host.show["DropInPaths"] = "/etc/systemd/system/etcd.service.d/zz-quorum-etcd.conf"
    assert one.settle() == Settled()


def test_members_in_another_order_are_the_same_membership(on, host):
    one = on("env")
    turned = ",".join(reversed(NEW.split(",")))
    path, before, _after = SOURCES["env"]
    host.put(path, before.replace(OLD, turned).replace("=new", "=existing"))
    assert one.settle() == Settled()
    host.put(path, before.replace(OLD, turned))
    assert [file.after for file in one.settle().files] == [{"initial-cluster-state": "existing"}]
    assert f"'{turned}'" in (host.root / path.lstrip("/")).read_text()


def test_the_membership_of_the_moment_goes_before_the_planned_one(on, host):
    one = on("env")
    later = NEW.replace("m4=http://10.0.0.4", "m5=http://10.0.0.5")
    # Even where the planned one was right already.
    assert [file.after["initial-cluster"] for file in one.settle(to=later, planned_for=OLD).files] == [later]


def test_what_has_no_setting_yet_gets_it(on, host):
    one = on("env")
    host.put("/etc/default/etcd", "ETCD_NAME=m1\nETCD_INITIAL_ADVERTISE_PEER_URLS=http://10.0.0.1:2380\n")
    one.settle()
    text = (host.root / "etc/default/etcd").read_text()
    assert f"ETCD_INITIAL_CLUSTER={NEW}\n" in text and "ETCD_INITIAL_CLUSTER_STATE=existing\n" in text


def test_a_member_that_is_gone_and_a_host_without_one_have_nothing_to_settle(on, host):
    one = on("env")
    assert one.plan("m2=http://10.0.0.2:2380,m4=http://10.0.0.4:2380") == Settling()
    # The name of another: it is the peer URL that tells.
    assert one.plan("m1=http://10.0.0.9:2380") == Settling()
    assert one.plan("other=http://10.0.0.1:2380").edits
    assert one.plan(name="m9", peer_urls=[]) == Settling()
    with pytest.raises(EtcdError, match="not of the form"):
        one.plan("m1")


class TestWhatCannotBeWritten:
    def test_a_command_line_that_no_file_is_known_of_is_said_with_the_exact_settings(self, on):
        one = on("env")
        process = {"kind": "flag", "format": "process", "path": ""}
        settings = {
            "initial-cluster": {"value": OLD, **process},
            "initial-cluster-state": {"value": "new", **process},
        }
        planned = one.plan(settings=settings, config={"format": "", "path": ""})
        assert planned.edits == [] and planned.notes == []
        (words,) = planned.by_hand
        assert "comes from the command line or environment of its process" in words
        assert (
            f"Write initial-cluster={NEW} and initial-cluster-state=existing where etcd is given its settings" in words
        )
        right = {
            "initial-cluster": {"value": NEW, **process},
            "initial-cluster-state": {"value": "existing", **process},
        }
        assert one.plan(settings=right, config={"format": "", "path": ""}) == Settling()

    def test_what_has_a_place_is_written_although_the_other_has_none(self, on):
        one = on("env")
        plain = to_plain(one.member())["settings"]
        settings = {**plain, "initial-cluster": {"value": OLD, "kind": "flag", "format": "process", "path": ""}}
        planned = one.plan(settings=settings)
        assert [edit.after for edit in planned.edits] == [{"initial-cluster-state": "existing"}]
        assert f"Write initial-cluster={NEW} where" in planned.by_hand[0]

    def test_a_file_that_cannot_be_edited_safely(self, on, host):
        one = on("env")
        path, before, _after = SOURCES["env"]
        text = before.replace(f"'{OLD}'", f"{OLD} # ours")
        host.put(path, text)
        done = one.settle()
        file = host.root / path.lstrip("/")
        assert done.files == [] and file.read_text() == text
        assert "a comment follows the value" in done.by_hand[0]
        assert f"Write initial-cluster={NEW} and initial-cluster-state=existing in {file} by hand" in done.by_hand[0]

    def test_a_folder_that_cannot_be_written_to(self, on, host, monkeypatch):
        one = on("env")
        monkeypatch.setattr(
            "ansible_collections.quorum.etcd.plugins.module_utils.host.settings.edits.write_file", read_only
        )
        done = one.settle()
        assert done.files == [] and "Read-only file system" in done.by_hand[0] and NEW in done.by_hand[0]

    def test_a_systemd_that_does_not_read_it_again_is_said_alone(self, on, host):
        one = on("unit")
        one.reload = Result(1, "", "Connection timed out")
        done = one.settle()
        assert len(done.files) == 1 and (host.root / SOURCES["unit"][0].lstrip("/")).read_text() == SOURCES["unit"][2]
        assert "is written. systemctl daemon-reload failed" in done.by_hand[0] and NEW not in done.by_hand[0]

    def test_where_discovery_finds_the_members_initial_cluster_would_end_the_next_start(self, on, host):
        one = on("env")
        path, before, _after = SOURCES["env"]
        host.put(path, before + "ETCD_DISCOVERY_SRV=example.org\n")
        planned = one.plan()
        assert planned.edits == [] and NEW in planned.by_hand[0]
        assert planned.by_hand[0].startswith("discovery-srv is set in /etc/default/etcd, and etcd does not start")


def read_only(path, _text):
    raise OSError(30, "Read-only file system", path)


class TestStaticPod:
    OLD = "cp1=https://192.0.2.11:2380"
    NEW = "cp1=https://192.0.2.11:2380,cp2=https://192.0.2.12:2380"
    PATH = "/etc/kubernetes/manifests/etcd.yaml"

    @pytest.fixture
    def pod(self, host):
        host.put(self.PATH, MANIFEST)
        host.path = lambda path: str(host.root / path.lstrip("/"))
        return On(host)

    def test_the_manifest_of_one_that_runs_is_left_and_the_trap_is_said(self, pod):
        planned = pod.plan(self.NEW)
        assert planned.edits == [] and planned.by_hand == []
        (note,) = planned.notes
        assert note.startswith(
            f"{self.PATH} stays as it is, since the kubelet restarts the member at each change of it"
        )
        assert "It does not say existing" in note

    def test_one_that_says_existing_is_no_trap(self, pod, host):
        existing = "    - --initial-cluster-state=existing\n    - --key-file"
        host.put(self.PATH, MANIFEST.replace("    - --key-file", existing))
        (note,) = pod.plan(self.NEW).notes
        assert "existing" not in note
        assert pod.plan(self.OLD) == Settling()

    def test_one_that_does_not_run_is_written(self, pod, host):
        pod.settle(self.NEW, self.NEW, running=False)
        text = (host.root / self.PATH.lstrip("/")).read_text()
        expected = MANIFEST.replace(
            f"--initial-cluster={self.OLD}\n",
            f"--initial-cluster={self.NEW}\n    - --initial-cluster-state=existing\n",
        )
        assert text == expected

    def test_a_configuration_file_of_a_pod_is_no_manifest(self, pod, host):
        command = MANIFEST[MANIFEST.index("    - --adv") : MANIFEST.index("    image:")]
        host.put(self.PATH, MANIFEST.replace(command, "    - --config-file=/pki/etcd.yml\n"))
        file = host.put(
            "/etc/kubernetes/pki/etcd/etcd.yml",
            f"name: cp1\ninitial-advertise-peer-urls: https://192.0.2.11:2380\ninitial-cluster: {self.OLD}\n",
        )
        assert pod.plan(self.NEW).notes == []
        assert len(pod.settle(self.NEW, self.NEW).files) == 1
        assert f"initial-cluster: {self.NEW}\ninitial-cluster-state: " in file.read_text()
