# SPDX-License-Identifier: GPL-3.0-or-later
"""A real API server and a real controller manager above a restore: its garbage collector deletes nothing that is restored.

The collector remembers which owners are gone and what it has yet to delete for that. After a restore the owners are back,
and so is what they own, with the same UIDs: one that was not stopped in between goes on and deletes it.
"""

from __future__ import annotations

import base64
import json
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import BACKUP, CONFIRM, RESTORE, play
from hosts import Member
from kubeadm_hosts import KubeadmHosts

OBJECTS = 300  # more than the collector can delete before etcd stops
SECONDS = 180
COLLECTS = 60  # seconds: a collector that starts has looked at all objects by then, and one that has lived on too
MAPS = "/api/v1/namespaces/default/configmaps"
pytestmark = [pytest.mark.xdist_group("kubeadm"), pytest.mark.long]


class Api:
    """The API server of a host, with the rights of kubeadm's first administrator."""

    def __init__(self, hosts: KubeadmHosts, member: Member, folder: Path) -> None:
        config = yaml.safe_load(hosts.read(member, "/etc/kubernetes/super-admin.conf"))
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        for name, text in (("ca", cluster["certificate-authority-data"]), ("cert", user["client-certificate-data"])):
            (folder / name).write_bytes(base64.b64decode(text))
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_bytes(base64.b64decode(user["client-key-data"]))
        self.context = ssl.create_default_context(cafile=str(folder / "ca"))
        self.context.load_cert_chain(folder / "cert", folder / "key")
        self.url = f"https://{member.address}:6443"

    def call(self, path: str, body: dict | None = None, method: str = "") -> Any:
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        request.method = method or ("POST" if data else "GET")
        with urllib.request.urlopen(request, timeout=10, context=self.context) as answer:
            return json.loads(answer.read() or b"{}")

    def names(self, kind: str) -> set[str]:
        listed = self.call(f"{MAPS}?labelSelector=kind%3D{kind}")["items"]
        return {item["metadata"]["name"] for item in listed}

    def make(self, kind: str, number: int, owner: dict | None = None) -> dict:
        metadata: dict[str, Any] = {"name": f"{kind}-{number}", "labels": {"kind": kind}}
        if owner:
            of = {"apiVersion": "v1", "kind": "ConfigMap", "name": owner["metadata"]["name"]}
            metadata["ownerReferences"] = [{**of, "uid": owner["metadata"]["uid"]}]
        return self.call(MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def wait_for(what: str, test: Any) -> Any:
    """Until ``test`` is true; an API server that does not answer yet is not."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        try:
            found = test()
        except (OSError, KeyError, urllib.error.HTTPError):
            found = None
        if found:
            return found
        time.sleep(0.5)
    raise AssertionError(f"{what}: not within {SECONDS} s")


def manager_of(hosts: KubeadmHosts, member: Member) -> str:
    """The process of the controller manager; empty where none runs."""
    return hosts.run(member, ["sh", "-c", "pidof kube-controller-manager || true"])


def test_what_was_restored_stays(tmp_path: Path) -> None:
    with KubeadmHosts(tmp_path / "kubernetes") as hosts:
        first = hosts.members[0]
        hosts.start_control_plane(first)
        api = Api(hosts, first, tmp_path)
        wait_for("the API server", lambda: api.call("/api/v1/namespaces/default"))
        owners = [api.make("owner", number) for number in range(OBJECTS)]
        for number, owner in enumerate(owners):
            api.make("owned", number, owner)
        owned = api.names("owned")
        assert len(owned) == OBJECTS
        taken = play(BACKUP, "-i", hosts.inventory)
        assert taken.rc == 0, taken.output

        for owner in owners:
            api.call(f"{MAPS}/{owner['metadata']['name']}?propagationPolicy=Background", {}, "DELETE")
        wait_for("the collector is at work", lambda: api.names("owned") < owned)
        before = manager_of(hosts, first)
        done = play(RESTORE, "-i", hosts.inventory, *CONFIRM)
        assert done.rc == 0, done.output
        wait_for("the API server serves again", lambda: api.names("owner"))
        wait_for("the controller manager is back", lambda: manager_of(hosts, first))
        time.sleep(COLLECTS)
        assert api.names("owner") == {owner["metadata"]["name"] for owner in owners}
        lost = owned - api.names("owned")
        assert not lost, f"{len(lost)} of {OBJECTS} restored objects were deleted"
        assert manager_of(hosts, first) != before
