# SPDX-License-Identifier: GPL-3.0-or-later
"""The controllers of a Kubernetes on a member's host: found by their manifests, taken away and put back, and never lost."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.host import kubernetes
from ansible_collections.quorum.etcd.plugins.module_utils.host.kubernetes import Controllers, kubernetes_facts
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host

FOLDER, STATE = "/etc/kubernetes/manifests", "/var/lib/quorum-etcd"
ETCD = f"{FOLDER}/etcd.yaml"
# As kubeadm 1.34 writes them, cut down to what is looked at.
MANAGER = """\
apiVersion: v1
kind: Pod
metadata:
  labels: {component: kube-controller-manager, tier: control-plane}
  name: kube-controller-manager
spec:
  containers:
  - command:
    - kube-controller-manager
    - --leader-elect=true
    image: registry.k8s.io/kube-controller-manager:v1.34.4
"""
API_SERVER = """\
spec:
  containers:
  - command:
    - kube-apiserver
    - --encryption-provider-config=/etc/kubernetes/enc.yaml
    name: kube-apiserver
"""
ENCRYPTION = """\
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
      - aescbc:
          keys:
            - name: key2
              secret: c2VjcmV0IGlzIHNlY3VyZQ==
            - secret: dGhpcyBpcyBwYXNzd29yZA==
              name: "key1"  # until all are rewritten
      - kms: {apiVersion: v2}
      - identity: {}
"""


class Files:
    def __init__(self, root):
        self.root = root

    def put(self, path, text):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def has(self, path):
        return (self.root / path.lstrip("/")).exists()

    def facts(self):
        return kubernetes_facts(Host(str(self.root)), ETCD, STATE)

    def process(self, pid, *words):
        self.put(f"/proc/{pid}/cmdline", "\0".join(words) + "\0")

    def controllers(self, sleep=lambda _seconds: None):
        return Controllers(self.facts().pods, str(self.root), sleep)


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def test_a_host_without_kubernetes_has_nothing_of_it(files):
    assert to_plain(files.facts()) == {"pods": [], "kubelet": False, "running": [], "keys": None}


def test_controllers_are_known_by_their_command_whatever_their_file_is_called(files):
    files.put(f"{FOLDER}/10-manager.yaml", MANAGER)
    files.put(f"{FOLDER}/s.yaml", 'spec: {containers: [{command: ["/usr/local/bin/kube-scheduler", "--v=2"]}]}')
    files.put(f"{FOLDER}/kube-apiserver.yaml", API_SERVER + "    # beside kube-controller-manager\n")
    files.put(f"{FOLDER}/.s.yaml.tmp", MANAGER)  # which the kubelet does not read
    files.process(7, "/usr/bin/kubelet", "--v=2")
    files.process(8, "kube-controller-manager", "--leader-elect=true")
    found = files.facts()
    assert [(pod.name, pod.manifest) for pod in found.pods] == [
        ("kube-controller-manager", f"{FOLDER}/10-manager.yaml"),
        ("kube-scheduler", f"{FOLDER}/s.yaml"),
    ]
    assert found.pods[0].parked == f"{STATE}/static-pods/10-manager.yaml"
    assert found.kubelet and found.running == ["kube-controller-manager"]


def test_the_names_of_encryption_keys_are_read_and_no_key(files):
    files.put(f"{FOLDER}/kube-apiserver.yaml", API_SERVER)
    assert files.facts().keys is None, "the configuration is not there"
    files.put("/etc/kubernetes/enc.yaml", ENCRYPTION)
    assert files.facts().keys == ["key1", "key2"]


def test_paused_and_resumed_however_often(files):
    files.put(f"{FOLDER}/m.yaml", MANAGER)
    controllers = files.controllers()
    assert controllers.pause() and not controllers.pause()
    assert not files.has(f"{FOLDER}/m.yaml")
    assert [pod.manifest for pod in files.facts().pods] == [f"{FOLDER}/m.yaml"], "parked ones are still known"
    assert controllers.resume() and not controllers.resume()
    assert (files.root / FOLDER[1:] / "m.yaml").read_text() == MANAGER
    assert not files.has(f"{STATE}/static-pods/m.yaml")


def test_a_manifest_that_somebody_has_written_anew_is_left_alone(files):
    files.put(f"{FOLDER}/m.yaml", MANAGER)
    controllers = files.controllers()
    controllers.pause()
    files.put(f"{FOLDER}/m.yaml", MANAGER + "# new\n")
    assert not controllers.resume()
    assert (files.root / FOLDER[1:] / "m.yaml").read_text().endswith("# new\n")
    assert files.has(f"{STATE}/static-pods/m.yaml"), "and nothing is deleted"


def test_the_process_is_waited_for_and_one_that_stays_is_named(files):
    files.put(f"{FOLDER}/m.yaml", MANAGER)
    files.process(42, "kube-controller-manager")
    with pytest.raises(EtcdError, match=r"kube-controller-manager \(pid 42\) still runs"):
        files.controllers().pause()

    waited = []

    def end_soon(seconds):
        waited.append(seconds)
        if len(waited) == 3:
            (files.root / "proc/42/cmdline").unlink()

    controllers = files.controllers(end_soon)
    controllers.resume()
    assert controllers.pause() and len(waited) == 3 and sum(waited) < kubernetes.GONE_SECONDS
