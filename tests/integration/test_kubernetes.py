# SPDX-License-Identifier: GPL-3.0-or-later
"""What the plan of a restore says of a Kubernetes whose objects the snapshot holds."""

from __future__ import annotations

from conftest import BACKUP, RESTORE, play
from lab import Lab

SECRETS = "/registry/secrets/default"


def test_its_controllers_and_the_keys_of_its_secrets_are_named(lab: Lab) -> None:
    client = lab.members[0].client
    client.put(b"/registry/pods/default/p", b"k8s\x00 a pod")
    for name, key in (("old", "2025"), ("new", "2026")):
        client.put(f"{SECRETS}/{name}".encode(), f"k8s:enc:aescbc:v1:{key}:".encode() + b"\x8a\x00\xff" * 20)
    assert play(BACKUP, "-i", lab.inventory).rc == 0
    planned = play(RESTORE, "-i", lab.inventory, "--check")
    assert planned.rc == 0, planned.output
    assert "needs keys 2025 (aescbc), 2026 (aescbc) of the API server's encryption configuration" in planned.text
    assert "its kube-controller-manager and kube-scheduler are on none of these hosts: stop them before" in planned.text
