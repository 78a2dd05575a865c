# SPDX-License-Identifier: GPL-3.0-or-later
"""The image of the kubeadm hosts: systemd, sshd, containerd, kubelet and kubeadm, and no tool of etcd's.

etcd is there as on such hosts: as an image that containerd has yet to import. The kubelet and kubeadm are built by Go
from pinned modules when the first test asks for such a host, once: they stay in .cache/images/kubernetes. So are the API
server and the controller manager, for the one test that asks for them.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Sequence

sys.path.append(str(Path(__file__).resolve().parents[2] / "lab"))
from etcd_binaries import obtain, version_of
from images import CACHE, HERE, ImageError, base_image, image_tag, packed, put_upon, say, sha256_of

MODULE = HERE / "go" / "kubernetes"
BINARIES = CACHE / "kubernetes"
BUILD_SECONDS = 1800
LINE = "3.6"  # what kubeadm of this version takes
HOST_PROGRAMS = ("kubelet", "kubeadm", "pause")
CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager")
PAUSE = "registry.k8s.io/pause:3.10"
IMAGES = "/usr/share/kubeadm-images.tar"  # on the hosts

REMOVE_ETCD = """\
set -eu
dpkg --purge etcd-server etcd-client 2>/dev/null
rm -rf /var/lib/etcd /etc/default/etcd
"""

# The kubelet without an API server, in a container that is no virtual machine: see the file's last lines. The rest is
# kubeadm's own, also that it looks at the manifests every 20 s and else waits to be told of a change.
KUBELET_CONFIG = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: /etc/kubernetes/manifests
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
fileCheckFrequency: 0s
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
failSwapOn: false
failCgroupV1: false
cgroupsPerQOS: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
oomScoreAdj: 0
"""

KUBELET_UNIT = """\
[Unit]
Description=kubelet: The Kubernetes Node Agent
After=containerd.service
Wants=containerd.service

[Service]
# A container has no kernel log of its own.
ExecStartPre=/bin/sh -c "test -e /dev/kmsg || ln -s /dev/null /dev/kmsg"
ExecStart=/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml
Restart=always
StartLimitInterval=0
RestartSec=10

[Install]
WantedBy=multi-user.target
"""

CONTAINERD_CONFIG = f"""\
version = 2
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
restrict_oom_score_adj = true
"""


def kubernetes_version() -> str:
    return re.search(r"k8s\.io/kubernetes (v\S+)", (MODULE / "go.mod").read_text()).group(1)


def etcd_image() -> str:
    """The name of etcd's image, as kubeadm spells it."""
    return f"registry.k8s.io/etcd:{version_of(obtain(LINE) / 'etcd')}-0"


def kubeadm_image() -> str:
    """The name of the image of the hosts, made first where it does not exist."""
    base, binaries, tools = base_image("containerd"), kubernetes_binaries(), obtain(LINE)
    programs = [*(binaries / name for name in ("kubelet", "kubeadm", "pause")), *sorted(tools.iterdir())]
    texts = (REMOVE_ETCD, KUBELET_CONFIG, KUBELET_UNIT, CONTAINERD_CONFIG)
    tag = image_tag("kubeadm", base, *texts, *map(sha256_of, programs))
    etcd = [(f"usr/local/bin/{tool.name}", tool, 0o755) for tool in sorted(tools.iterdir())]
    pause = [("pause", binaries / "pause", 0o755)]
    files = [
        ("usr/bin/kubelet", binaries / "kubelet", 0o755),
        ("usr/bin/kubeadm", binaries / "kubeadm", 0o755),
        ("usr/lib/systemd/system/kubelet.service", KUBELET_UNIT, 0o644),
        ("var/lib/kubelet/config.yaml", KUBELET_CONFIG, 0o644),
        ("etc/containerd/config.toml", CONTAINERD_CONFIG, 0o644),
        (IMAGES[1:], container_images({etcd_image(): (etcd, []), PAUSE: (pause, ["/pause"])}), 0o644),
    ]
    return put_upon(base, tag, REMOVE_ETCD, files)


def container_images(wanted: dict[str, tuple[list, list[str]]]) -> bytes:
    """An archive as `docker save` writes it: images by name, each of one layer of files (see `packed`) and an entrypoint."""
    archive, manifest = [], []
    for number, (name, (files, entrypoint)) in enumerate(wanted.items()):
        layer = packed(files)
        config = {
            "architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Entrypoint": entrypoint, "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
        }
        archive += [(f"{number}.json", json.dumps(config), 0o644), (f"{number}.tar", layer, 0o644)]
        manifest.append({"Config": f"{number}.json", "RepoTags": [name], "Layers": [f"{number}.tar"]})
    return packed([*archive, ("manifest.json", json.dumps(manifest), 0o644)])


def control_plane_images() -> bytes:
    """The archive of the API server's and the controller manager's images, by the names that kubeadm gives them."""
    binaries, version = kubernetes_binaries(CONTROL_PLANE), kubernetes_version()
    programs = {name: [(f"usr/local/bin/{name}", binaries / name, 0o755)] for name in CONTROL_PLANE}
    return container_images({f"registry.k8s.io/{name}:{version}": (files, []) for name, files in programs.items()})


def kubernetes_binaries(programs: Sequence[str] = HOST_PROGRAMS) -> Path:
    """The folder with these programs, built where they are not there."""
    version = kubernetes_version()
    sources = [path for path in sorted(MODULE.rglob("*")) if path.is_file()]
    content = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    folder = BINARIES / f"{version}-{content[:12]}"
    BINARIES.mkdir(parents=True, exist_ok=True)
    with (BINARIES / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        missing = [name for name in programs if not (folder / name).exists()]
        if missing:
            _build(version, folder, missing)
    return folder


def _build(version: str, folder: Path, programs: Sequence[str]) -> None:
    if not shutil.which("go"):
        raise ImageError("Kubernetes is built by Go, and there is none; 'make go' installs one")
    say(f"{', '.join(programs)} {version}: built from their modules, which takes minutes")
    with tempfile.TemporaryDirectory(dir=BINARIES, prefix=".making-") as temp:
        flags = f"-ldflags=-s -w -X k8s.io/component-base/version.gitVersion={version}"
        packages = ["./pause" if name == "pause" else f"k8s.io/kubernetes/cmd/{name}" for name in programs]
        done = subprocess.run(
            ["go", "build", "-trimpath", flags, "-o", f"{temp}/made/", *packages],
            cwd=MODULE,
            env={**os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=BUILD_SECONDS,
            check=False,
        )
        if done.returncode:
            raise ImageError(f"go build exited {done.returncode}: {done.stderr.strip()[-2000:]}")
        for old in BINARIES.glob("v*"):
            if old != folder:
                shutil.rmtree(old)
        folder.mkdir(exist_ok=True)
        for name in programs:
            Path(f"{temp}/made/{name}").rename(folder / name)
