# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts as kubeadm makes them: etcd in a static pod of the kubelet, mutual TLS, and none of etcd's tools on the host.

kubeadm itself writes certificates and manifests, and members join one by one, so that the first manifest knows only
itself and starts a `new` cluster, and each later one knows those before it. Only the API server is not there: what
kubeadm asks of it at a join, the list of members, is put into the manifest here.

The second host has its data directory on a mount point, and the third the state of the restores on another file system.
"""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any, Sequence

from client import GatewayError
from hosts import Hosts, HostsError, Member, keep_secret
from images import docker, packed
from kubeadm_image import CONTROL_PLANE, IMAGES, control_plane_images, etcd_image, kubeadm_image, kubernetes_version

PKI = "/etc/kubernetes/pki/etcd"
MANIFEST = "/etc/kubernetes/manifests/etcd.yaml"
OUT_OF_THE_WAY = "/root/etcd.yaml"
POD_SECONDS = 60
VOLUMES = {1: ["/var/lib/etcd"], 2: ["/var/lib/quorum-etcd"]}  # by the number of the host

KUBEADM_CONFIG = """\
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
localAPIEndpoint: {{advertiseAddress: {address}}}
nodeRegistration: {{name: {name}, criSocket: unix:///run/containerd/containerd.sock}}
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: {version}
etcd: {{local: {{dataDir: /var/lib/etcd, imageTag: {etcd}}}}}
# There is one of it; one that cannot renew its lease during an outage would end by itself, and remember nothing. It is as
# slow as with many objects.
controllerManager:
  extraArgs:
  - {{name: leader-elect, value: "false"}}
  - {{name: kube-api-qps, value: "5"}}
  - {{name: kube-api-burst, value: "10"}}
"""

INSTALL = f"""\
set -eu
until systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded'; do sleep 0.1; done
ctr -n k8s.io images import {IMAGES} >/dev/null
systemctl --quiet enable --now kubelet
"""
CERTIFICATES = ("etcd-server", "etcd-peer", "etcd-healthcheck-client")


class KubeadmHosts(Hosts):
    """See `Hosts`; the members are named as their hosts."""

    def __init__(self, folder: str | Path, host_names: Sequence[str] = ("cp-1", "cp-2", "cp-3")) -> None:
        super().__init__(folder, line="3.6", tls=True, owner="root", config="static_pod", host_names=host_names)

    def _member_name(self, _number: int, host: str) -> str:
        return host

    def _config_file(self) -> str:
        return MANIFEST

    # ---- come --------------------------------------------------------------------------------------------------------

    def _image(self) -> str:
        return kubeadm_image()

    def _make_hosts(self, chosen: str) -> None:
        self.on_each(lambda member: self._make_host(member, chosen, self._kubeadm_files(member)))
        first, *others = self.members
        self._kubeadm(first, "certs", "etcd-ca")
        authority = {f"ca.{kind}": self.read(first, f"{PKI}/ca.{kind}") for kind in ("crt", "key")}
        for member in others:
            self.put(member, [(f"{PKI[1:]}/{name}", text, 0o600) for name, text in authority.items()])
        self.on_each(self._certify)
        self._keep_client_files(first)
        self._start_first(first)
        for number, member in enumerate(others, start=1):
            self._join(member, self.members[:number])

    def _kubeadm_files(self, member: Member) -> list[tuple[str, Any, int]]:
        config = KUBEADM_CONFIG.format(
            address=member.address, name=member.name, version=kubernetes_version(), etcd=etcd_image().rpartition(":")[2]
        )
        return [*self._ssh_files(member), ("root/kubeadm.yaml", config, 0o600)]

    def _options(self, member: Member) -> list[str]:
        volumes = ["/var/lib/containerd", *VOLUMES.get(self.members.index(member), [])]
        return ["--security-opt", "systempaths=unconfined", *(word for path in volumes for word in ("--volume", path))]

    def _install(self, member: Member) -> None:
        docker("exec", member.container, "sh", "-c", INSTALL)

    def _kubeadm(self, member: Member, *phase: str) -> None:
        self.run(member, ["kubeadm", "init", "phase", *phase, "--config", "/root/kubeadm.yaml"])

    def _certify(self, member: Member) -> None:
        for name in CERTIFICATES:
            self._kubeadm(member, "certs", name)

    def _keep_client_files(self, member: Member) -> None:
        """What a client outside the hosts needs."""
        for name in ("ca.crt", "client.crt", "client.key"):
            text = self.read(member, f"{PKI}/{name.replace('client', 'healthcheck-client')}")
            keep_secret(self.dir / "pki" / name, text)

    def write_manifest(self, member: Member) -> None:
        """As kubeadm does for the first member: the member alone, and a cluster that is new."""
        self._kubeadm(member, "etcd", "local")

    def _start_first(self, member: Member) -> None:
        self.write_manifest(member)
        self._wait_for([member])

    def _join(self, member: Member, known: Sequence[Member]) -> None:
        """As `kubeadm join` does: the cluster hears of the member, then its manifest is written."""
        self._announce(member, known[0])
        self.write_manifest(member)
        written = self.read(member, MANIFEST)
        self.run(member, ["rm", MANIFEST])
        members = ",".join(f"{one.name}={one.peer_url}" for one in [*known, member])
        lines = f"\\g<1>--initial-cluster={members}\n\\g<1>--initial-cluster-state=existing\n"
        text, count = re.subn(r"^(\s*- )--initial-cluster=.*\n", lines, written, flags=re.MULTILINE)
        if count != 1:
            raise HostsError(f"{member.host}: kubeadm wrote another manifest than is known here:\n{written}")
        self.put(member, [(MANIFEST[1:], text, 0o600)])
        self._wait_for([member])

    def _announce(self, member: Member, known: Member) -> None:
        """etcd takes no member before those that it has have been connected for some seconds."""
        until = time.monotonic() + POD_SECONDS
        while True:
            try:
                self.client(known).call("cluster/member/add", {"peerURLs": [member.peer_url]})
                return
            except GatewayError as error:
                if "unhealthy" not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.2)

    def _wait_for(self, members: Sequence[Member]) -> None:
        until = time.monotonic() + POD_SECONDS
        for member in members:
            while not self._serves(member):
                if time.monotonic() > until:
                    raise HostsError(
                        f"{member.host} does not serve after {POD_SECONDS} s:\n{self._journal(member, 40)}"
                    )
                time.sleep(0.1)

    # ---- the control plane of Kubernetes, on one host ----

    def start_control_plane(self, member: Member) -> None:
        """The API server and the controller manager in static pods, as kubeadm writes them."""
        self.put(member, [("root/control-plane.tar", control_plane_images(), 0o644)])
        self.run(member, ["ctr", "-n", "k8s.io", "images", "import", "/root/control-plane.tar"])
        self._kubeadm(member, "certs", "all")
        for name in ("admin", "super-admin", "controller-manager"):
            self._kubeadm(member, "kubeconfig", name)
        for name in CONTROL_PLANE:
            self._kubeadm(member, "control-plane", name.replace("kube-", ""))

    def stop_control_plane(self, member: Member) -> None:
        self.run(member, ["rm", "-f", *(f"{Path(MANIFEST).parent}/{name}.yaml" for name in CONTROL_PLANE)])

    # ---- use ---------------------------------------------------------------------------------------------------------

    def read(self, member: Member, path: str) -> str:
        """A file's text, to the byte."""
        return base64.b64decode(self.run(member, ["base64", path])).decode()

    def put(self, member: Member, files: list[tuple[str, Any, int]]) -> None:
        """Write files: (path without the first slash, content, mode)."""
        docker("cp", "-", f"{member.container}:/", data=packed(files))

    def stop(self, member: Member) -> None:
        """The manifest goes out of its folder; returns when the kubelet has stopped the pod."""
        self.run(member, ["mv", MANIFEST, OUT_OF_THE_WAY])
        self.wait_gone(member)

    def start(self, member: Member) -> None:
        self.run(member, ["mv", OUT_OF_THE_WAY, MANIFEST])

    def kill(self, member: Member) -> None:
        """SIGKILL for etcd, which the kubelet will start again."""
        self.run(member, ["sh", "-c", "kill -9 $(pidof etcd)"])

    def lose_data(self, member: Member) -> None:
        """A dead disk under a running pod: the data is gone, and etcd with it; the kubelet goes on starting it."""
        self.run(member, ["find", member.data_dir, "-mindepth", "1", "-delete"])
        self.kill(member)

    def wait_gone(self, member: Member) -> None:
        """Until no etcd runs at this moment; the kubelet may be about to start it again."""
        self.run(member, ["sh", "-c", "while pidof etcd >/dev/null; do sleep 0.05; done"])

    def pod_log(self, member: Member) -> str:
        return self._try(member, ["sh", "-c", "tail -n 400 /var/log/pods/*/etcd/*.log"])

    def logs(self, folder: str | Path) -> Path:
        folder = super().logs(folder)
        for member in self.members:
            (folder / f"{member.host}.etcd.log").write_text(self.pod_log(member))
        return folder
