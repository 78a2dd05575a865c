# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recovery kit of real-shaped hosts: what is in it, what never is, and that it is the same each time."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import tarfile
from dataclasses import replace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.backup import certificates
from ansible_collections.quorum.etcd.plugins.module_utils.backup import run as run_room
from ansible_collections.quorum.etcd.plugins.module_utils.backup.kit import Asked, make_kit
from ansible_collections.quorum.etcd.plugins.module_utils.backup.kit_part import Part, part_of
from ansible_collections.quorum.etcd.plugins.module_utils.backup.pki import check_pki
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.kit import read_kit
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run as run_here
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.etcd.seen import view_of
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.fake_host import MANIFEST, FakeHost, debian
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.test_save import Etcd, tools

TOOLS = Tools(etcd=Tool("/usr/bin/etcd", Version(3, 6, 16)), etcdctl=Tool("/usr/bin/etcdctl", Version(3, 6, 16)))
ENV = """\
ETCD_NAME=m1
ETCD_DATA_DIR=/var/lib/etcd/default
ETCD_INITIAL_CLUSTER_TOKEN=tok-1
ETCD_ADVERTISE_CLIENT_URLS=https://192.0.2.11:2379
ETCD_INITIAL_ADVERTISE_PEER_URLS=https://192.0.2.11:2380
ETCD_CERT_FILE=/etc/etcd/pki/server.crt
ETCD_KEY_FILE=/etc/etcd/pki/server.key
ETCD_TRUSTED_CA_FILE=/etc/etcd/pki/ca.crt
ETCD_PEER_CERT_FILE=/etc/etcd/pki/gone.crt
ETCDCTL_PASSWORD=gehe1m
"""
ENCRYPTION = "resources:\n- providers:\n  - aescbc:\n      keys:\n      - name: key2026\n        secret: Z2VoZTFt\n"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/O=ops/CN=etcd ca"]
    subprocess.run([*argv, "-keyout", folder / "key", "-out", folder / "crt"], check=True, capture_output=True)
    return (folder / "crt").read_text(), (folder / "key").read_text()


@pytest.fixture
def host(tmp_path, certificate):
    made = FakeHost(tmp_path / "root")
    (tmp_path / "root").mkdir()
    debian(made, ENV)
    made.put("/etc/systemd/system/etcd.service.d/10-limits.conf", "[Service]\nEnvironment=DB_PASSWORD=gehe1m\n")
    made.show["DropInPaths"] = "/etc/systemd/system/etcd.service.d/10-limits.conf"
    for name in ("server.crt", "ca.crt"):
        made.put(f"/etc/etcd/pki/{name}", certificate[0] * (2 if name == "ca.crt" else 1))
    made.put("/etc/etcd/pki/server.key", certificate[1])
    return made


def view(*names):
    seen = [
        {
            "id": f"a{n}",
            "name": name,
            "version": "3.6.16",
            "peer_urls": [f"https://192.0.2.1{n}:2380"],
            "client_urls": [],
        }
        for n, name in enumerate(names, 1)
    ]
    return view_of({"cluster_id": "cafe", "members": seen})


def made_of(of, openssl=True, **asked):
    def run(argv, env):
        if argv[0] == "openssl" and openssl:
            return run_here(argv, env)
        return of.run(argv, env)

    return make_kit(run, TOOLS, view("m1", "m2"), "prod", Asked(root=str(of.root), **asked)).content


def opened_raw(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}


def opened(content):
    return {name: file.decode() for name, file in opened_raw(content).items()}


def test_it_has_the_members_the_files_without_their_secrets_and_the_certificates_without_keys(host, certificate):
    content = made_of(host)
    files = opened(content)
    told = json.loads(files["kit/members.json"])
    assert [one["name"] for one in told["members"]] == ["m1", "m2"] and told["cluster_id"] == "cafe"
    own = told["members"][0]
    assert (own["data_dir"], own["unit"], own["version"]) == ("/var/lib/etcd/default", "etcd", "3.6.16")
    assert own["tls_files"]["key-file"] == "/etc/etcd/pki/server.key" and told["members"][1]["tls_files"] == {}
    assert told["tools"] == {"etcd": "3.6.16", "etcdctl": "3.6.16"}
    assert told["files"] == [
        "/etc/default/etcd",
        "/etc/systemd/system/etcd.service.d/10-limits.conf",
        "/usr/lib/systemd/system/etcd.service",
    ]
    assert files["kit/files/etc/default/etcd"] == ENV.replace("gehe1m", "(masked)")
    assert "m1" in files["kit/settings.json"] and "tok-1" in files["kit/settings.json"]
    by_path = {one["path"]: one for one in told["certificates"]}
    assert len(told["certificates"]) == 3 and set(by_path) == {"/etc/etcd/pki/ca.crt", "/etc/etcd/pki/server.crt"}
    found = by_path["/etc/etcd/pki/server.crt"]
    assert (
        found["uses"] == ["cert-file"] and found["subject"] == "CN=etcd ca,O=ops" and found["not_after"].endswith("GMT")
    )
    printed = subprocess.run(
        ["openssl", "x509", "-noout", "-fingerprint", "-sha256"],
        input=certificate[0],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert printed.strip().partition("=")[2].replace(":", "").lower() == found["sha256"]
    assert told["notes"] == ["/etc/etcd/pki/gone.crt is named in the configuration, and is not there"]
    assert "gehe1m" not in str(files) and "PRIVATE KEY" not in str(files) and certificate[1][100:200] not in str(files)
    readme = files["kit/README"]
    assert "etcd cluster prod" in readme and "restore.yml" in readme and "etcdutl snapshot restore" in readme


def test_the_same_makes_the_same_bytes_and_everything_is_its_owners_alone(host):
    one, two = made_of(host), made_of(host)
    assert one == two and len(one) < 10000
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        for entry in archive:
            assert (entry.mode, entry.uid, entry.mtime, entry.uname) == (0o600, 0, 0, "")
            assert not entry.name.startswith("/") and ".." not in entry.name


def test_where_there_is_no_openssl_it_is_said_and_the_fingerprints_are_there(host):
    told = json.loads(opened(made_of(host, openssl=False))["kit/members.json"])
    assert "there is no openssl on this host, so subjects and expiry dates are not told" in told["notes"]
    assert all(one["sha256"] and not one["subject"] for one in told["certificates"]) and len(told["notes"]) == 2


def test_of_a_static_pod_the_manifest_and_the_names_of_keys_and_never_the_keys(tmp_path, certificate):
    host = FakeHost(tmp_path)
    host.put("/etc/kubernetes/manifests/etcd.yaml", MANIFEST + "# password: gehe1m\n")
    host.put("/etc/kubernetes/pki/etcd/server.crt", certificate[0])
    api = "spec:\n  containers:\n  - command:\n    - kube-apiserver\n    - --encryption-provider-config=/etc/enc.yaml\n"
    host.put("/etc/kubernetes/manifests/kube-apiserver.yaml", api)
    host.put("/etc/enc.yaml", ENCRYPTION)
    files = opened(made_of(host, member={"service_manager": "static_pod"}))
    told = json.loads(files["kit/members.json"])
    assert told["encryption_keys"] == ["key2026"] and "Z2VoZTFt" not in str(files) and "gehe1m" not in str(files)
    assert (
        told["files"] == ["/etc/kubernetes/manifests/etcd.yaml"]
        and "- --name=cp1" in files["kit/files/etc/kubernetes/manifests/etcd.yaml"]
    )
    (own,) = [one for one in told["members"] if one["name"] == "cp1"]
    assert own["image"].startswith("registry.k8s.io/etcd") and own["data_dir"] == "/var/lib/etcd"
    assert own["tls_files"]["cert-file"] == "/etc/kubernetes/pki/etcd/server.crt"


def part(host, **changes):
    return replace(part_of(host.run, {}, str(host.root)), **changes)


def test_a_play_has_seen_all_hosts(host):
    other = part(host, name="m2", files={"/etc/default/etcd": "ETCD_NAME=m2\n\xe9\n"}, notes=["/x could not be read"])
    files = opened_raw(made_of(host, host="host1", parts={"host1": part(host), "host2": other, "host3": Part()}))
    told = json.loads(files["kit/members.json"])
    assert told["host"] == "host1"
    assert [(one["name"], one["host"]) for one in told["members"]] == [("m1", "host1"), ("m2", "host2")]
    assert all(one["data_dir"] and one["seen_at"] == "" for one in told["members"])
    assert files["kit/files/etc/default/etcd"].decode() == ENV.replace("gehe1m", "(masked)")
    assert files["kit/others/host2/etc/default/etcd"] == b"ETCD_NAME=m2\n\xe9\n"
    assert [one["files"] for one in told["members"]] == [told["files"], ["/etc/default/etcd"]]
    by_host = [one["host"] for one in told["certificates"]]
    assert by_host == ["host1"] * 3 + ["host2"] * 3 and "host2: /x could not be read" in told["notes"]
    settings = json.loads(files["kit/settings.json"])
    assert set(settings) == {"host1", "host2"} and settings["host1"]["data-dir"]["path"] == "/etc/default/etcd"


def test_what_was_seen_some_time_ago_has_its_time_and_makes_no_member(host):
    ago = "2026-11-24T03:45:57Z"
    seen = {"host2": part(host, name="m2", seen_at=ago), "host3": part(host, name="was-m3", seen_at=ago)}
    files = opened(made_of(host, host="host1", parts=seen, notes=["the list is old"]))
    told = json.loads(files["kit/members.json"])
    assert [(one["name"], one["host"], one["seen_at"]) for one in told["members"]] == [
        ("m1", "host1", ""),
        ("m2", "host2", ago),
    ]
    assert "the list is old" in told["notes"] and "kit/others/host3/etc/default/etcd" in files


def test_what_hosts_call_themselves_and_their_files_stays_in_the_kit(host):
    evil = Part(name="m2", files={"/../../../root/.bashrc": "x", "../../b": "x", "//c": "x"})
    names = list(opened(made_of(host, parts={"../..": evil, "a/b": evil, "::1": evil})))
    assert [name for name in names if ".." in name or name.startswith("/")] == []
    folders = ["kit/others/%2E%2E%2F%2E%2E/", "kit/others/::1/", "kit/others/a%2Fb/"]
    assert [name for name in names if "/others/" in name] == [
        folder + name for folder in folders for name in ("root/.bashrc", "b", "c")
    ]


def test_a_host_that_cannot_be_looked_at_still_has_a_kit_of_what_the_cluster_tells(tmp_path):
    def broken(argv, env):
        raise EtcdError("several etcd run here.") if argv[0] == "systemctl" else FileNotFoundError(argv[0])

    content = make_kit(broken, TOOLS, view("m1"), "prod", Asked(root=str(tmp_path))).content
    told = json.loads(opened(content)["kit/members.json"])
    assert told["members"][0]["name"] == "m1" and "several etcd run here" in told["notes"][0]


def test_files_are_bounded(host):
    host.put("/etc/default/etcd", ENV + "#" * (300 << 10))
    told = json.loads(opened(made_of(host))["kit/members.json"])
    assert "/etc/default/etcd has more than 262144 bytes, and is left out" in told["notes"]
    assert "/etc/default/etcd" not in told["files"]


def test_what_is_read_again_is_what_its_manifest_says(host, tmp_path):
    content = made_of(host)
    where = tmp_path / "x.kit.tar.gz"
    where.write_bytes(content)
    kit = {"name": "x.kit.tar.gz", "sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    for name in ("x.db", "x.db.zst", "x.db.gz"):
        read = read_kit(str(tmp_path / name), kit)
        assert read and [one.name for one in read.members] == ["m1", "m2"]
    assert read_kit(str(tmp_path / "x.db"), None) is None
    where.write_bytes(content[:-1])
    with pytest.raises(EtcdError, match="is not the one that its snapshot was saved with"):
        read_kit(str(tmp_path / "x.db"), kit)
    where.unlink()
    with pytest.raises(EtcdError, match="cannot be read: No such file"):
        read_kit(str(tmp_path / "x.db"), kit)


@pytest.mark.parametrize("content", [b"", b"junk", b"\x1f\x8b\x08junk"])
def test_what_is_no_kit_is_said(tmp_path, content):
    (tmp_path / "x.kit.tar.gz").write_bytes(content)
    kit = {"sha256": hashlib.sha256(content).hexdigest()}
    with pytest.raises(EtcdError, match="cannot be understood"):
        read_kit(str(tmp_path / "x.db"), kit)


def test_the_pki_goes_into_no_kit_that_others_could_open(certificate):
    check_pki(False, "")
    check_pki(True, certificate[0])
    with pytest.raises(EtcdError, match="in a folder that is not encrypted") as refused:
        check_pki(True, " ")
    assert "give etcd_backup_kit_recipient" in refused.value.next_step
    for wrong in ("ops@prod", certificate[0] + certificate[1]):
        with pytest.raises(EtcdError, match="is no certificate in PEM, or holds a private key too"):
            check_pki(True, wrong)


@pytest.mark.parametrize("kind", [("rsa:3072",), ("ec", "-pkeyopt", "ec_paramgen_curve:P-256")], ids=["rsa", "ec"])
def test_the_pki_is_opened_by_its_recipients_key_alone(host, tmp_path, certificate, kind):
    key, public = tmp_path / "recovery.key", tmp_path / "recovery.crt"
    argv = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        *kind,
        "-nodes",
        "-subj",
        "/CN=recovery",
        "-keyout",
        key,
        "-out",
        public,
    ]
    subprocess.run(argv, check=True, capture_output=True)
    host.put("/etc/etcd/pki/ca.key", "the key of the CA")
    host.put("/etc/etcd/pki/notes.txt", "no part of it")
    content = made_of(host, recipient=public.read_text())
    assert certificate[1] not in str(opened(content)) and "the key of the CA" not in str(opened(content))
    (tmp_path / "sealed").write_text(opened(content)["kit/pki.tar.cms"])
    argv = ["openssl", "cms", "-decrypt", "-inform", "PEM", "-in", tmp_path / "sealed", "-binary"]
    plain = subprocess.run([*argv, "-inkey", key], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(plain)) as archive:
        found = {one.name: archive.extractfile(one).read().decode() for one in archive}
    names = ["ca.crt", "ca.key", "server.crt", "server.key"]
    assert (
        sorted(found) == [f"etc/etcd/pki/{name}" for name in names]
        and found["etc/etcd/pki/server.key"] == certificate[1]
    )
    (tmp_path / "other.key").write_text(certificate[1])
    assert subprocess.run([*argv, "-inkey", tmp_path / "other.key"], capture_output=True, check=False).returncode != 0
    assert "kit/pki.tar.cms" not in opened(made_of(host))


def test_a_pki_that_cannot_be_encrypted_is_a_concern_and_the_kit_is_without_it(host, certificate):
    asked = Asked(root=str(host.root), recipient=certificate[0])
    made = make_kit(host.run, TOOLS, view("m1"), "prod", asked)
    assert "kit/pki.tar.cms" not in opened(made.content) and certificate[1] not in str(opened(made.content))
    (concern,) = made.concerns
    assert "the recovery kit is without the PKI: there is no openssl here to encrypt the PKI with" in concern


def test_nothing_is_said_of_a_tool_that_fails(host):
    def odd(argv, env):
        return Result(1, "", "unable to load certificate") if argv[0] == "openssl" else host.run(argv, env)

    told = json.loads(
        opened(make_kit(odd, TOOLS, view("m1"), "prod", Asked(root=str(host.root))).content)["kit/members.json"]
    )
    assert all(one["sha256"] and one["subject"] == "" for one in told["certificates"])


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), EtcdError("odd."), ValueError("surrogates")])
def test_a_kit_that_cannot_be_made_is_a_concern_and_the_backup_is_made(tmp_path, monkeypatch, error):
    def broken(*_given):
        raise error

    monkeypatch.setattr(run_room, "make_kit", broken)
    etcd, to = Etcd(), Connection(endpoints=["http://other:2379"])
    saved = run_room.take(etcd, tools(), to, view("m1"), "http://a:1", str(tmp_path), "prod", NOW, "s.db", kit=Asked())
    assert sorted(os.listdir(tmp_path)) == ["s.db", "s.db.json"]
    (concern,) = saved.concerns
    assert concern.startswith("there is no recovery kit beside it: ")


def test_where_nothing_can_be_written_for_openssl_the_kit_is_made(host, monkeypatch):
    def full(*_given, **_more):
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(certificates.tempfile, "TemporaryDirectory", full)
    told = json.loads(opened(made_of(host))["kit/members.json"])
    assert any("could not be asked of a certificate: No usable" in note for note in told["notes"]) and all(
        one["sha256"] for one in told["certificates"]
    )


def test_an_older_kit_is_read(tmp_path):
    plain = {"format": 1, "cluster": "prod", "cluster_id": "cafe", "host": "db1", "files": ["/etc/default/etcd"]}
    member = {"name": "m1", "peer_urls": [], "client_urls": [], "tls_files": {}}
    text = json.dumps({**plain, "members": [member], "certificates": [{"path": "/ca.crt", "uses": []}]}).encode()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        entry = tarfile.TarInfo("kit/members.json")
        entry.size = len(text)
        archive.addfile(entry, io.BytesIO(text))
    (tmp_path / "x.kit.tar.gz").write_bytes(packed.getvalue())
    read = read_kit(str(tmp_path / "x.db"), {"sha256": hashlib.sha256(packed.getvalue()).hexdigest()})
    assert read.members[0].files == [] and read.certificates[0].host == ""
