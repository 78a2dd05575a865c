# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""No secret of a configuration file gets into a kit, and what is none stays as it is."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup.masking import MASK, masked, masked_plain

S = "gehe1m"
SECRETS = [
    f"ETCDCTL_PASSWORD={S}",
    f'ETCDCTL_PASSWORD="{S} {S}"',
    f"export ETCD_ROOT_PASSWORD='{S}'",
    f"  ETCDCTL_PASSWORD = {S} {S}",
    f"ETCDCTL_USER=root:{S}",
    f'ETCDCTL_USER="root:{S}"',
    f"ETCDCTL_PASSWORD={S}\\\n{S}\\\n{S}\nETCD_NAME=m1",
    f'Environment="ETCDCTL_PASSWORD={S} {S}" ETCD_NAME=m1',
    f"Environment=ETCD_NAME=m1 DB_SECRET={S}",
    f"Environment='A=b' 'API_KEY={S} x'",
    f"ExecStart=/usr/bin/etcd --name=m1 --experimental-discovery-password={S} --data-dir=/d",
    f"ExecStart=/usr/bin/etcd --discovery-password {S} --data-dir=/d",
    f"ExecStart=/usr/bin/etcd --discovery-password '{S} x' --data-dir=/d",
    f"ExecStartPost=/usr/bin/etcdctl --user root:{S} member list",
    f"ExecStartPost=/usr/bin/etcdctl --user=root:{S} member list",
    f"HTTPS_PROXY=http://user:{S}@proxy.example.org:3128",
    f"discovery-proxy: 'http://user:{S}@proxy:3128/x'",
    f"ExecStartPre=/usr/bin/curl -H 'Authorization: Bearer {S}{S}' https://vault/",
    f"discovery-password: {S}",
    f"experimental-discovery-password: '{S}'  # {S}",
    f"password: |\n  {S}\n\n  {S}\nname: m1",
    f"password: >-\n    {S}\nname: m1",
    f'{{"name": "m1", "password": "{S}", "x": 1}}',
    f"    - name: ETCD_PASSWORD\n      value: {S}\n    - name: ETCD_NAME\n      value: m1",
    f'    - name: "BACKUP_TOKEN"\n      # why\n      value: "{S}"',
    f"    - --etcd-password={S}",
    f'    - "--password={S}"',
    f"    command: [etcd, --discovery-password={S}, --name=m1]",
    f"s3_secret_access_key = {S}",
    f"AWS_SECRET_ACCESS_KEY={S}",
    f"-----BEGIN RSA PRIVATE KEY-----\n{S}\n{S}\n-----END RSA PRIVATE KEY-----\nname: m1",
    f"-----BEGIN PRIVATE KEY-----\n{S}",
    f"PGPASSWORD={S} /usr/bin/x",
    f"X=1 ; PASSWORD={S}; Y=2",
    f"# ETCDCTL_PASSWORD={S}",
    f"  #password: {S}",
    f"PASSWORD={S}\r\nETCD_NAME=m1\r",
]
HARMLESS = [
    "ETCD_INITIAL_CLUSTER_TOKEN=etcd-cluster-1",
    "ExecStart=/usr/bin/etcd --initial-cluster-token=etcd-1 --auth-token=simple --auth-token-ttl 300",
    "initial-cluster-token: 'etcd-1'",
    "auth-token: jwt,pub-key=/etc/etcd/jwt.pub,priv-key=/etc/etcd/jwt.key,sign-method=RS256",
    "ETCD_TRUSTED_CA_FILE=/etc/etcd/pki/ca.crt\nETCD_KEY_FILE=/etc/etcd/pki/server.key",
    "ETCDCTL_PASSWORD_FILE=/etc/etcd/password",
    "        secretName: etcd-certs\n      - name: etcd-secrets-volume-name",
    "EnvironmentFile=-/etc/default/etcd",
    "ETCD_ADVERTISE_CLIENT_URLS=https://10.0.0.1:2379,https://[::1]:2379",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    "ETCDCTL_USER=root",
    "    - name: ETCD_NAME\n      value: m1",
    "",
    "client-transport-security:\n  cert-file: /a\n  key-file: /b\n  client-cert-auth: true\n",
]


@pytest.mark.parametrize("text", SECRETS)
def test_a_secret_is_masked_and_what_stands_around_it_is_not(text):
    shown = masked(text)
    assert S not in shown and MASK in shown, shown
    if "m1" in text:
        assert "m1" in shown, shown


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_stays_to_the_byte(text):
    assert masked(text) == text


def test_plain_values_are_masked_by_their_names_and_shapes():
    given = {
        "discovery-password": {"value": S, "path": "/etc/etcd/etcd.conf", "kind": "flag"},
        "discovery-proxy": {"value": f"http://u:{S}@proxy:1", "path": None},
        "initial-cluster-token": {"value": "etcd-1"},
        "secrets": [S, 1, True],
        "name": "m1",
        "list": [f"--password={S}", {"token": S}],
    }
    shown = masked_plain(given)
    assert S not in str(shown) and shown["discovery-password"] == {
        "value": MASK,
        "path": "/etc/etcd/etcd.conf",
        "kind": "flag",
    }
    assert (shown["name"], shown["initial-cluster-token"], shown["secrets"]) == (
        "m1",
        {"value": "etcd-1"},
        [MASK, 1, True],
    )


def test_all_of_them_in_one_file():
    shown = masked("\n".join(SECRETS[:25] + HARMLESS))
    assert S not in shown and all(line in shown for line in HARMLESS[0].splitlines() + HARMLESS[5].splitlines())
