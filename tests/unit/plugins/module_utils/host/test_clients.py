# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of clients as people have them: what changes in them, who reads them again, and what is refused before."""

from __future__ import annotations

import os
import shutil
import socket

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host.api_server import DENIED, DENIED_SECONDS, ApiServer
from ansible_collections.quorum.etcd.plugins.module_utils.host.clients import (
    Client,
    ClientState,
    Settling,
    look,
    of_this_host,
    with_api_servers,
)
from ansible_collections.quorum.etcd.plugins.module_utils.host.endpoints import Membership

BEFORE = {f"m{number}": [f"https://10.0.0.{number}:2379"] for number in (1, 2, 3)}
NOW = {f"m{number}": [f"https://10.0.0.{number}:2379"] for number in (1, 2, 4)}
MEMBERS = Membership(NOW, BEFORE)
STAMP = "20261128T210000Z"
PATRONI = """\
scope: main
name: pg1
restapi:
  authentication: {username: admin, password: hunter2}
etcd3:
  hosts: 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379  # the site's etcd
  protocol: https
"""
PATRONI_LIST = """\
etcd3:
  hosts:
  - 10.0.0.1:2379
  - "10.0.0.3:2379"
  - 10.0.0.2:2379
  protocol: https
"""
FLANNEL = '# flanneld\nFLANNELD_ETCD_ENDPOINTS="https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379"\nFLANNELD_IFACE=eth0\n'
CALICO = (
    "ETCD_ENDPOINTS=https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379\nETCD_CA_CERT_FILE=/etc/ca.pem\n"
)
COREDNS = """\
.:53 {
    etcd skydns.local {
        path /skydns
        endpoint https://10.0.0.1:2379 https://10.0.0.2:2379 https://10.0.0.3:2379
        tls /pki/a.pem /pki/b.pem /pki/ca.pem
    }
}
"""
TRAEFIK_TOML = """\
[providers.etcd]
  endpoints = ["10.0.0.1:2379", "10.0.0.3:2379", "10.0.0.2:2379"]
  rootKey = "traefik"
"""
TRAEFIK_YAML = """\
providers:
  etcd:
    endpoints: ["10.0.0.3:2379", "10.0.0.1:2379", "10.0.0.2:2379"]
    rootKey: traefik
"""
APISIX = """\
deployment:
  role: traditional
  etcd:
    host:
      - "https://10.0.0.1:2379"
      - "https://10.0.0.2:2379"
      - "https://10.0.0.3:2379"
    prefix: /apisix
"""
JSON = """\
{
  "etcd": {
    "endpoints": [
      "https://10.0.0.3:2379",
      "https://10.0.0.1:2379",
      "https://10.0.0.2:2379"
    ],
    "password": "hunter2"
  }
}
"""
MANIFEST = """\
apiVersion: v1
kind: Pod
metadata:
  name: kube-apiserver
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.0.0.1
    # - --etcd-servers=https://10.9.9.9:2379
    - --etcd-cafile=/etc/kubernetes/pki/etcd/ca.crt
    - --etcd-servers=https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379
    - --secure-port=6443
"""
# A name of the file, its text, how it is named in the inventory.
FILES = {
    "patroni": ("patroni.yml", PATRONI, {"setting": "etcd3.hosts"}),
    "patroni_list": ("patroni.yml", PATRONI_LIST, {"setting": "etcd3.hosts"}),
    "flannel": ("flanneld", FLANNEL, {"setting": "FLANNELD_ETCD_ENDPOINTS"}),
    "calico": ("calico.env", CALICO, {"setting": "ETCD_ENDPOINTS"}),
    "coredns": ("Corefile", COREDNS, {"pattern": r"^ *endpoint (.*)$", "separator": " "}),
    "traefik_toml": ("traefik.toml", TRAEFIK_TOML, {"pattern": r"^ *endpoints = \[(.*)\]"}),
    "traefik_yaml": ("traefik.yml", TRAEFIK_YAML, {"setting": "providers.etcd.endpoints"}),
    "apisix": ("config.yaml", APISIX, {"setting": "deployment.etcd.host"}),
    "json": ("vmware.json", JSON, {"setting": "etcd.endpoints"}),
    "json_conf": ("vmware.conf", JSON, {"setting": "etcd.endpoints", "format": "yaml"}),
    "manifest": ("apiserver.yaml", MANIFEST, {"pattern": r"^ *- --etcd-servers=(\S+)"}),
}


class On:
    """A host's folder, with what was run on it."""

    def __init__(self, folder):
        self.folder, self.state, self.ran = folder, str(folder / "state"), []
        self.result, self.error = Result(0, "", ""), None

    def client(self, name, text, **more):
        path = self.folder / name
        if text is not None:
            path.write_bytes(text.encode())
        return Client(str(path), **more)

    def run(self, argv, env):
        assert env == {}
        self.ran.append(argv)
        if self.error is not None:
            raise self.error
        return self.result

    def settling(self, *clients, members=MEMBERS, **more):
        return Settling(clients, members, self.state, self.run, **more)

    def settle(self, *clients, **more):
        found = self.settling(*clients, **more).settle(STAMP)
        for state in found:
            assert from_plain(ClientState, to_plain(state)) == state
        return found


@pytest.fixture
def on(tmp_path):
    return On(tmp_path)


@pytest.mark.parametrize("kind", FILES)
def test_only_the_gone_members_address_changes(on, kind):
    name, text, place = FILES[kind]
    client = on.client(name, text, reload=["systemctl", "reload", "it"], **place)
    file = on.folder / name
    file.chmod(0o640)
    planned = on.settling(client).plan()
    assert planned[0].changed and planned[0].reloads and file.read_bytes() == text.encode() and on.ran == []
    (state,) = on.settle(client)
    assert state.problem == "" and state.changed
    assert file.read_bytes() == text.replace("10.0.0.3", "10.0.0.4").encode()
    assert file.stat().st_mode & 0o777 == 0o640 and on.ran == [["systemctl", "reload", "it"]]
    with open(state.backup, "rb") as copy:
        assert copy.read() == text.encode()
    stamp = file.stat().st_mtime_ns
    (again,) = on.settle(client)
    assert not (again.changed or again.reloads) and on.ran == [["systemctl", "reload", "it"]]
    assert file.stat().st_mtime_ns == stamp and os.listdir(os.path.join(on.state, "clients")) == []


@pytest.mark.parametrize("kind", FILES)
def test_it_grows_and_shrinks_with_the_cluster_in_its_own_form(on, kind):
    name, text, place = FILES[kind]
    client = on.client(name, text, **place)
    five = {**BEFORE, **{f"m{number}": [f"https://10.0.0.{number}:2379"] for number in (4, 5)}}
    on.settle(client, members=Membership(five, BEFORE))
    (grown,) = [look(client)]
    assert len(grown.before) == 5 and {one.rpartition(":")[0].rpartition("/")[2] for one in grown.before} == {
        f"10.0.0.{number}" for number in (1, 2, 3, 4, 5)
    }
    one = {"m2": BEFORE["m2"]}
    on.settle(client, members=Membership(one, five))
    assert len(look(client).before) == 1
    on.settle(client, members=Membership(BEFORE, one))
    assert len(look(client).before) == 3 and look(client).problem == ""


def test_crlf_and_bytes_that_are_no_text_stay(on):
    raw = b"# caf\xe9\r\nHOSTS='10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379'\r\nX=1\r\n"
    client = on.client("env", None, setting="HOSTS")
    (on.folder / "env").write_bytes(raw)
    on.settle(client)
    assert (on.folder / "env").read_bytes() == raw.replace(b"10.0.0.3", b"10.0.0.4")


def test_an_address_that_the_file_cannot_hold_as_it_is_written_is_a_problem(on):
    client = on.client("p.yml", "hosts:\n- m1:2379\n- m2:2379\n", setting="hosts")
    now = {"m1": ["https://m1:2379"], "m3": ["https://[2001:db8::3]:2379"]}
    (state,) = on.settle(client, members=Membership(now, {"m1": ["https://m1:2379"], "m2": ["https://m2:2379"]}))
    assert not state.changed and (on.folder / "p.yml").read_text() == "hosts:\n- m1:2379\n- m2:2379\n"
    assert state.problem and state.next_step


REFUSED = [
    ({"pattern": "nothing=(.*)"}, "fits nowhere"),
    ({"pattern": r"(\d+:2379)"}, "fits 3 times"),
    ({"pattern": "HOSTS="}, "has 0 groups"),
    ({"pattern": "(H)(O)"}, "has 2 groups"),
    ({"pattern": "(HOSTS"}, "is no regular expression"),
    ({"pattern": "(HOSTS=.*)"}, "something that is no address"),
    ({"pattern": "HOSTS=()"}, "is empty"),
    ({"setting": "HOST"}, "sets the variable HOST nowhere"),
    ({}, "it is not said where the endpoints stand"),
    ({"pattern": "HOSTS=(.*)", "setting": "HOSTS"}, "it is not said where the endpoints stand"),
]


@pytest.mark.parametrize(("place", "words"), REFUSED)
def test_a_place_that_is_not_exactly_one_list_is_refused_before_anything(on, place, words):
    client = on.client("env", "HOSTS=10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379\n", reload=["true"], **place)
    found = look(client)
    assert words in found.problem and found.problem.startswith(client.path) and found.next_step
    assert on.settling(client).plan()[0].problem == found.problem
    on.settle(client)
    assert on.ran == [] and "10.0.0.3" in (on.folder / "env").read_text()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: {c: 10.0.0.1:2379}\n", "it has no a.b."),
        ("a: 1\n", "it has no a.b."),
        ("a:\n  b:\n", "is empty, a block, an alias"),
        ("a:\n  b: |\n    10.0.0.1:2379\n", "is empty, a block, an alias"),
        ("x: &l 10.0.0.1:2379\na:\n  b: *l\n", "is empty, a block, an alias"),
        ("a:\n  b: {c: d}\n", "neither a text nor a list"),
        ("a:\n  b: []\n", "neither a text nor a list"),
        ("a:\n  b:\n  - 10.0.0.1:2379 # one\n  - 10.0.0.2:2379\n", "something that is no address"),
        ("- a\n", "YAML cannot be read"),
    ],
)
def test_yaml_that_is_not_surely_read_is_refused(on, text, words):
    assert words in look(on.client("a.yml", text, setting="a.b")).problem


def test_a_file_that_is_not_there_and_a_variable_that_is_set_twice(on):
    assert "cannot be read: No such file" in look(on.client("none", None, setting="X")).problem
    assert "sets the variable X 2 times" in look(on.client("env", "X=a:1\nX=b:2\n", setting="X")).problem


class TestReload:
    TEXT = "HOSTS=10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379\n"

    def two(self, on, *reloads):
        return [
            on.client(f"env{number}", self.TEXT, setting="HOSTS", reload=list(words))
            for number, words in enumerate(reloads)
        ]

    def test_one_that_two_files_share_runs_once(self, on):
        on.settle(*self.two(on, ["reload", "a b"], ["reload", "a b"], ["reload", "c"], []))
        assert on.ran == [["reload", "a b"], ["reload", "c"]]

    @pytest.mark.parametrize(
        ("result", "error", "words"),
        [
            (Result(3, "", "no such unit\n"), None, "its reload 'reload a' failed with exit code 3: no such unit"),
            (
                None,
                FileNotFoundError(2, "No such file or directory"),
                "its reload 'reload a' cannot be run: No such file",
            ),
        ],
    )
    def test_one_that_failed_is_tried_again_by_the_next_run_although_the_file_is_right(self, on, result, error, words):
        (client,) = self.two(on, ["reload", "a"])
        on.result, on.error = result, error
        (state,) = on.settle(client)
        assert words in state.problem and state.changed and "10.0.0.4" in (on.folder / "env0").read_text()
        on.result, on.error = Result(0, "", ""), None
        (planned,) = on.settling(client).plan()
        assert planned.reloads and not planned.changed
        (state,) = on.settle(client)
        assert state.problem == "" and on.ran == [["reload", "a"]] * 2
        on.settle(client)
        assert len(on.ran) == 2

    def test_one_that_was_never_reached_is_run_by_the_next(self, on, monkeypatch):
        (client,) = self.two(on, ["reload", "a"])

        def killed(argv, env):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            Settling([client], MEMBERS, on.state, killed).settle(STAMP)
        on.settle(client)
        assert on.ran == [["reload", "a"]]

    def test_a_file_that_cannot_be_written_is_told_and_the_others_are_settled(self, on, monkeypatch):
        one, other = self.two(on, ["reload", "a"], ["reload", "b"])
        whole = "ansible_collections.quorum.etcd.plugins.module_utils.host.clients.write_file"
        real = __import__(whole.rpartition(".")[0], fromlist=["write_file"]).write_file

        def only_the_other(path, text):
            if path == one.path:
                raise OSError(30, "Read-only file system", path)
            real(path, text)

        monkeypatch.setattr(whole, only_the_other)
        first, second = on.settle(one, other)
        assert "Read-only file system" in first.problem and not first.changed and not first.reloads
        assert second.changed and second.problem == "" and on.ran == [["reload", "b"]]

    def test_one_that_does_not_run_while_its_file_changes_reads_it_later(self, on):
        (client,) = self.two(on, ["reload", "a"])
        (state,) = on.settle(client, reloads=False)
        assert state.changed and state.reloads and "10.0.0.4" in (on.folder / "env0").read_text() and on.ran == []
        (state,) = on.settle(client, reloads=False)
        assert not state.changed and state.reloads and on.ran == []
        on.settle(client)
        on.settle(client)
        assert on.ran == [["reload", "a"]]


def test_a_file_that_would_go_on_with_another_cluster_is_left_as_it_is(on):
    members = Membership({"t": ["https://10.0.1.1:2379"]}, BEFORE, only=True)
    right = on.client("env0", "HOSTS=10.0.0.1:2379,10.0.0.2:2379\n", setting="HOSTS")
    wrong = on.client("env1", "HOSTS=etcd1.example.org:2379\n", setting="HOSTS")
    one, other = on.settle(right, wrong, members=members)
    assert one.after == ["10.0.1.1:2379"] and one.problem == ""
    assert other.problem.startswith(f"{wrong.path}: it would still name etcd1.example.org:2379") and not other.changed
    assert (on.folder / "env1").read_text() == "HOSTS=etcd1.example.org:2379\n"


def test_which_client_urls_lead_to_this_host_and_to_no_other():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("203.0.113.7", 1))  # nothing is sent
        except OSError:
            pytest.skip("this machine has no address but its loopback")
        here = f"https://{asking.getsockname()[0]}:2379"
    others = [
        "https://203.0.113.7:2379",
        "https://etcd1.example.org:2379",
        "nonsense",
        "http://127.0.0.1:2379",
        "http://0.0.0.0:1",
    ]
    assert of_this_host([*others, here]) == [here]


class TestApiServers:
    """kubeadm's own, in the folder of etcd's manifest."""

    NEW = "https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.4:2379"

    @pytest.fixture
    def host(self, host):
        host.put("/etc/kubernetes/manifests/kube-apiserver.yaml", MANIFEST)
        host.put("/etc/kubernetes/manifests/etcd.yaml", "command: [etcd]\n")
        host.put("/etc/kubernetes/manifests/.kube-apiserver.yaml.swp", MANIFEST)
        return host

    def server(self, host, answers=(), slept=None):
        told = iter(answers)
        slept = [] if slept is None else slept
        return ApiServer(str(host.root), slept.append, lambda words: next(told))

    def found(self, host):
        manifests = str(host.root / "etc/kubernetes/manifests/etcd.yaml")
        return with_api_servers([], manifests)

    def test_it_is_known_by_itself_and_beside_a_stacked_etcd_needs_nothing(self, host, on):
        (client,) = self.found(host)
        assert client.api_server and look(client).problem == ""
        host.put(
            "/etc/kubernetes/manifests/kube-apiserver.yaml",
            MANIFEST.replace("https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379", "https://127.0.0.1:2379"),
        )  # fmt: skip
        (state,) = on.settle(*self.found(host))
        assert not state.changed and not state.reloads

    def test_one_that_the_inventory_names_is_not_settled_twice(self, host):
        named = Client(str(host.root / "etc/kubernetes/manifests/kube-apiserver.yaml"), pattern="etcd-servers=(.*)")
        assert with_api_servers([named], str(host.root / "etc/kubernetes/manifests/etcd.yaml")) == [named]

    def test_it_is_waited_for_until_the_new_one_is_ready(self, host, on):
        old = "https://10.0.0.1:2379,https://10.0.0.2:2379,https://10.0.0.3:2379"
        host.process(50, ["/usr/bin/kubelet", "--config=x"], exe="/usr/bin/kubelet", comm="kubelet")
        host.process(51, ["kube-apiserver", f"--etcd-servers={old}"], exe="/x", comm="kube-apiserver")
        slept = []

        def sleep(seconds):
            slept.append(seconds)
            if len(slept) == 2:  # in the place of the old one
                shutil.rmtree(str(host.root / "proc/51"))
                host.process(52, ["kube-apiserver", f"--etcd-servers={self.NEW}"], exe="/x", comm="kube-apiserver")

        asked = []

        def ask(words):
            asked.append(words["etcd-servers"])
            return "/readyz answers 500" if len(asked) < 3 else ""

        server = ApiServer(str(host.root), sleep, ask)
        (state,) = on.settle(*self.found(host), api_server=server)
        assert state.problem == "" and state.changed and state.api_server and state.reloads
        assert asked == [self.NEW] * 3 and len(slept) == 4
        text = (host.root / "etc/kubernetes/manifests/kube-apiserver.yaml").read_text()
        assert text == MANIFEST.replace("10.0.0.3", "10.0.0.4")

    def test_one_that_does_not_come_back_is_a_problem_and_the_next_run_waits_for_it_again(self, host, on):
        host.process(50, ["/usr/bin/kubelet"], exe="/usr/bin/kubelet", comm="kubelet")
        (state,) = on.settle(*self.found(host), api_server=self.server(host))
        assert "is not ready 300 s after its manifest has changed: the kubelet has not started it" in state.problem
        assert f"The manifest as it was is {state.backup}." in state.problem
        host.process(52, ["kube-apiserver", f"--etcd-servers={self.NEW}"], exe="/x", comm="kube-apiserver")
        (state,) = on.settle(*self.found(host), api_server=self.server(host, ["not yet", ""]))
        assert state.problem == "" and not state.changed

    def test_one_that_lets_nobody_ask_is_believed_only_when_it_goes_on_to_say_so(self, host, on):
        """In its first seconds any API server answers so, before it has read whom it lets."""
        host.process(50, ["/usr/bin/kubelet"], exe="/usr/bin/kubelet", comm="kubelet")
        host.process(52, ["kube-apiserver", f"--etcd-servers={self.NEW}"], exe="/x", comm="kube-apiserver")
        slept = []
        (state,) = on.settle(
            *self.found(host), api_server=self.server(host, [DENIED, DENIED, "500", DENIED, ""], slept)
        )
        assert state.problem == "" and len(slept) == 4
        again = ApiServer(str(host.root), slept.append, lambda words: DENIED)
        again.wait(MANIFEST.replace("10.0.0.3", "10.0.0.4"))
        assert DENIED_SECONDS <= sum(slept[4:]) < DENIED_SECONDS + 1

    def test_one_with_the_old_endpoints_has_ended_before_the_new_one_is_asked(self, host, on):
        host.process(50, ["/usr/bin/kubelet"], exe="/usr/bin/kubelet", comm="kubelet")
        for pid, endpoints in ((51, "https://10.0.0.3:2379"), (52, self.NEW)):
            host.process(pid, ["kube-apiserver", f"--etcd-servers={endpoints}"], exe="/x", comm="kube-apiserver")
        (state,) = on.settle(*self.found(host), api_server=self.server(host))
        assert "the one with the old endpoints has not ended" in state.problem

    def test_without_a_kubelet_there_is_nothing_to_wait_for(self, host, on):
        (state,) = on.settle(*self.found(host), api_server=self.server(host))
        assert state.changed and state.problem == ""


def test_an_error_is_told_with_the_place():
    state = ClientState("/etc/x").failed(EtcdError("bad.", "mend it."))
    assert (state.problem, state.next_step) == ("/etc/x: bad.", "mend it.")
