# SPDX-License-Identifier: GPL-3.0-or-later
"""A real API server whose manifest names the members: it comes to name those of now, and serves again before the run goes on."""

from __future__ import annotations

import json
import re
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from conftest import CHECKOUT, play
from hosts import Member
from kubeadm_hosts import KubeadmHosts

CLIENTS = CHECKOUT / "playbooks" / "clients.yml"
API_SERVER = "/etc/kubernetes/manifests/kube-apiserver.yaml"
SECONDS = 240
pytestmark = [pytest.mark.xdist_group("kubeadm"), pytest.mark.long]


def is_ready(member: Member) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(f"https://{member.address}:6443/readyz", timeout=5, context=context) as answer:
            return answer.status == 200
    except (OSError, urllib.error.HTTPError):
        return False


def started_with(hosts: KubeadmHosts, member: Member) -> str:
    """The endpoints of the API server that runs."""
    script = "for pid in $(pidof kube-apiserver); do tr '\\0' '\\n' </proc/$pid/cmdline; done"
    found = re.findall(r"^--etcd-servers=(.*)$", hosts.run(member, ["sh", "-c", script]), re.MULTILINE)
    return found[0] if len(found) == 1 else ""


def wait_until_ready(hosts: KubeadmHosts, member: Member, endpoints: str) -> None:
    until = time.monotonic() + SECONDS
    while not (started_with(hosts, member) == endpoints and is_ready(member)):
        assert time.monotonic() < until, hosts.run(member, ["sh", "-c", "tail -n 40 /var/log/pods/*/kube-apiserver/*"])
        time.sleep(0.5)


def test_it_names_the_members_of_now_and_is_ready(tmp_path: Path) -> None:
    with KubeadmHosts(tmp_path / "hosts") as hosts:
        first, _second, third = hosts.members
        hosts.start_control_plane(first)
        wait_until_ready(hosts, first, "https://127.0.0.1:2379")
        (gone,) = [entry for entry in hosts.client(first).member_list() if entry.name == third.name]
        hosts.run(third, ["mv", "/etc/kubernetes/manifests/etcd.yaml", "/root/etcd.yaml"])
        hosts.client(first).call("cluster/member/remove", {"ID": str(gone.id)})
        asked = ["-i", hosts.inventory, "-e", json.dumps({"etcd_clients_gone": list(gone.client_urls)})]

        # Beside a stacked etcd it asks its own host's member, and needs nothing.
        stacked = hosts.read(first, API_SERVER)
        done = play(CLIENTS, *asked)
        assert done.rc == 0 and hosts.read(first, API_SERVER) == stacked, done.output
        assert done.recap(first.host)["changed"] == 0 and "right, https://127.0.0.1:2379" in done.text

        # Where it names the members, as beside an external one, those of now; and it serves when the run has ended.
        urls = [member.client_url for member in hosts.members]
        external = stacked.replace("--etcd-servers=https://127.0.0.1:2379", f"--etcd-servers={','.join(urls)}")
        hosts.put(first, [(API_SERVER[1:], external, 0o600)])
        wait_until_ready(hosts, first, ",".join(urls))
        done = play(CLIENTS, *asked)
        assert done.rc == 0 and "the API server restarts with it" in done.text, done.output
        assert hosts.read(first, API_SERVER) == external.replace(f",{third.client_url}", "")
        assert started_with(hosts, first) == ",".join(urls[:2]) and is_ready(first)
        again = play(CLIENTS, *asked)
        assert again.rc == 0 and again.recap(first.host)["changed"] == 0, again.output
