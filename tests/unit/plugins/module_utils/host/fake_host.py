# SPDX-License-Identifier: GPL-3.0-or-later
"""A host's files below a folder, with Debian's unit, a plain one, a configuration file and a static pod's manifest."""

from __future__ import annotations

import os

from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.host import discovery
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import MemberFacts

DEBIAN_UNIT = """\
[Unit]
Description=etcd - highly-available key value store

[Service]
Environment=DAEMON_ARGS=
Environment=ETCD_NAME=%H
Environment=ETCD_DATA_DIR=/var/lib/etcd/default
EnvironmentFile=-/etc/default/%p
Type=notify
User=etcd
ExecStart=/usr/bin/etcd $DAEMON_ARGS
"""
PLAIN_UNIT = """\
[Service]
User=etcd
ExecStart=/usr/local/bin/etcd --name m1 --data-dir=/var/lib/etcd \\
  --initial-cluster ${PEERS} --initial-cluster-token=${ETCD_INITIAL_CLUSTER_TOKEN} \\
  --initial-cluster-state=new
EnvironmentFile=/etc/etcd.env
"""
YAML = """\
name: m1
data-dir: data
initial-cluster: m1=http://127.0.0.1:2380
client-transport-security:
  cert-file: tls/server.crt
"""
MANIFEST = """\
apiVersion: v1
kind: Pod
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://192.0.2.11:2379
    - --cert-file=/pki/server.crt
    - --client-cert-auth=true
    - --data-dir=/inside
    - --initial-advertise-peer-urls=https://192.0.2.11:2380
    - --initial-cluster=cp1=https://192.0.2.11:2380
    - --key-file=/pki/server.key
    - --name=cp1
    - --trusted-ca-file=/pki/ca.crt
    image: registry.k8s.io/etcd:3.6.16-0
    name: etcd
    volumeMounts:
    - mountPath: /inside
      name: data
    - mountPath: /pki
      name: certs
  volumes:
  - hostPath:
      path: /var/lib/etcd
    name: data
  - hostPath:
      path: /etc/kubernetes/pki/etcd
      type: DirectoryOrCreate
    name: certs
"""
KEYS = {
    "found", "running", "pid", "service", "name", "peer_urls", "client_urls", "listen_peer_urls", "listen_client_urls",
    "data_dir", "wal_dir", "data", "wal", "disk", "initial_cluster", "initial_cluster_state", "initial_cluster_token",
    "snapshot_count", "quota_backend_bytes", "tls", "tools", "tools_missing", "config", "settings", "state_dir", "log",
    "connection", "journal", "aside_dir", "kubernetes", "unsettable", "shadowed", "strangers",
    "interrupted_elsewhere", "missing_files", "newest_job", "packet_filter", "systemd",
}  # fmt: skip


class FakeHost:
    """A host's files below a folder."""

    def __init__(self, root):
        self.root = root
        self.show = None
        self.versions = {}

    def put(self, path, text, mode=0o644):
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())
        file.chmod(mode)
        return file

    def tool(self, path, version):
        self.versions[str(self.put(path, "\x7fELF", 0o755))] = version

    def process(self, pid, argv, environ=None, cwd="/", exe="/usr/bin/etcd", parent=1, comm="etcd"):
        folder = f"/proc/{pid}"
        self.put(f"{folder}/cmdline", "".join(word + "\0" for word in argv))
        self.put(f"{folder}/environ", "".join(f"{key}={value}\0" for key, value in (environ or {}).items()))
        self.put(f"{folder}/comm", comm + "\n")
        self.put(f"{folder}/stat", f"{pid} ({comm}) S {parent} 1 1")
        for name, target in (("exe", exe), ("cwd", cwd)):
            os.symlink(target, str(self.root / f"proc/{pid}/{name}"))

    def run(self, argv, env):
        if argv[:2] == ["systemctl", "show"]:
            if self.show is None:
                raise FileNotFoundError(2, "No such file or directory", "systemctl")
            return Result(0, "".join(f"{key}={value}\n" for key, value in self.show.items()), "")
        if argv[0] in self.versions:
            version = self.versions[argv[0]]
            return Result(0, f"etcd Version: {version}\n", "") if version else Result(126, "", "Exec format error")
        raise FileNotFoundError(2, "No such file or directory", argv[0])

    def facts(self, **options):
        """What is found of the member, as a value; ``discover`` has it as it leaves the host."""
        return discovery.discover(options, self.run, str(self.root))

    def discover(self, **options):
        facts = self.facts(**options)
        found = to_plain(facts)
        assert set(found) == KEYS
        assert from_plain(MemberFacts, found) == facts
        return found


def debian(host, env="", **shown):
    host.put("/usr/lib/systemd/system/etcd.service", DEBIAN_UNIT)
    if env is not None:
        host.put("/etc/default/etcd", env)
    host.show = {
        "LoadState": "loaded", "ActiveState": "active", "MainPID": "40", "UnitFileState": "enabled", "User": "etcd",
        "FragmentPath": "/usr/lib/systemd/system/etcd.service", "DropInPaths": "", **shown,
    }  # fmt: skip
