# SPDX-License-Identifier: GPL-3.0-or-later
"""Members that run and cannot be asked, or hold other data: told in etcd's own words, and nothing is taken or touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Iterator, Sequence

import pytest
from client import seed
from conftest import BACKUP, CHECKOUT, CONFIRM, RESTORE, STATUS, Play, play, seeded
from cryptography.x509.oid import ExtendedKeyUsageOID
from lab import Lab

sys.path.insert(0, str(CHECKOUT / "tests" / "hosts"))
import pki  # noqa: E402
from pki import Authority  # noqa: E402

ROOT = ("-e", "etcd_auth_user=root", "-e", "etcd_auth_password=geheim")
WRONG = ("-e", "etcd_auth_user=root", "-e", "etcd_auth_password=wrong")


def etcdctl(lab: Lab, *words: str | Path) -> None:
    argv = [lab.bin_dir / "etcdctl", f"--endpoints={lab.endpoints[0]}", *words]
    subprocess.run(argv, env={**os.environ, "ETCDCTL_API": "3"}, check=True, capture_output=True, timeout=60)


def refused(done: Play, *words: str) -> None:
    assert done.rc != 0, done.output
    for word in words:
        assert word in done.text, f"{word!r} is not in:\n{done.output}"
    assert "WITHOUT quorum" not in done.output and "(not started)" not in done.output, done.output


# ---- authentication --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three members with authentication on, and a backup that has their users root and app, the second without the root role."""
    with Lab(tmp_path_factory.mktemp("guarded") / "lab", line="3.6") as lab:
        seed(lab.members[0].client, 50)
        for words in ("user add root:geheim", "role add root", "user grant-role root root", "user add app:geheim"):
            etcdctl(lab, *words.split())
        etcdctl(lab, "auth", "enable")
        done = play(BACKUP, "-i", lab.inventory, *ROOT)
        assert done.rc == 0, done.output
        yield lab


@pytest.mark.parametrize(
    "given, does, said, cure",
    [
        (WRONG, "refuses the password", "invalid user ID or password", "correct etcd_auth_user and etcd_auth_password"),
        ((), "wants a user and a password", "user name is empty", "set etcd_auth_user (with the root role)"),
    ],
    ids=["wrong", "missing"],
)
def test_a_password_that_is_wrong_or_missing(
    guarded: Lab, given: Sequence[str], does: str, said: str, cure: str
) -> None:
    pids = [member.pid() for member in guarded.members]
    second = f"m2 {guarded.members[1].client_url} runs, {does}"
    refused(play(STATUS, "-i", guarded.inventory, *given), second, said, f"Next: {cure}")
    taken = play(BACKUP, "-i", guarded.inventory, *given)
    refused(taken, "Members run that cannot be asked", said, f"Next: {cure}")
    assert "restore.yml" not in taken.text, "a healthy cluster is not to be restored"
    refused(
        play(RESTORE, "-i", guarded.inventory, *CONFIRM, *given),
        "Nothing was touched.",
        f"m2: its etcd runs and cannot be asked: {guarded.members[1].client_url} {does}: ",
        said,
        f"next: {cure}",
    )
    assert [member.pid() for member in guarded.members] == pids, "a member was stopped"
    assert len(list(guarded.backup_dir.glob("*.json"))) == 1


def test_a_user_that_the_snapshot_does_not_have_or_that_may_not_read(guarded: Lab) -> None:
    """Of the members that run it is known; of the snapshot it was not, and the proof failed after the stop."""
    etcdctl(guarded, "--user=root:geheim", "user", "add", "new:geheim")
    etcdctl(guarded, "--user=root:geheim", "user", "grant-role", "new", "root")
    for user, why in (("new", "new is none of its users"), ("app", "app has not the role root there")):
        given = ("-e", f"etcd_auth_user={user}", "-e", "etcd_auth_password=geheim")
        refused(play(RESTORE, "-i", guarded.inventory, *CONFIRM, *given), "Nothing was touched.", why, "(root)")


# ---- certificates and names ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One member with mutual TLS, whose own certificate is for servers only."""
    folder = tmp_path_factory.mktemp("encrypted")
    authority = Authority(folder / "pki")
    certificate, key = authority.issue("m1", [ExtendedKeyUsageOID.SERVER_AUTH], ["localhost"], ["127.0.0.1"])
    (folder / "server.crt").write_bytes(certificate)
    (folder / "server.key").write_bytes(key)
    lab = Lab(folder / "lab", members=1, line="3.6").write()
    lab.authority = authority
    file = lab.members[0].config_file
    url = lab.members[0].client_url
    secure = {"cert-file": "server.crt", "key-file": "server.key", "trusted-ca-file": "pki/ca.crt"}
    lines = [f'  {name}: "{folder / path}"\n' for name, path in secure.items()]
    tls = "client-transport-security:\n" + "".join(lines) + "  client-cert-auth: true\n"
    file.write_text(file.read_text().replace(url, url.replace("http:", "https:")) + tls)
    lab.start(lab.members[0])
    try:
        time.sleep(2)
        yield lab
    finally:
        lab.down(grace=0)


def certificates(lab: Lab, name: str) -> tuple[str, ...]:
    """Variables that name the client's certificate ``name``, and the right CA."""
    folder = lab.dir.parent
    values = {"cacert": folder / "pki" / "ca.crt", "cert": folder / f"{name}.crt", "key": folder / f"{name}.key"}
    return tuple(word for key, value in values.items() for word in ("-e", f"etcd_{key}={value}"))


def test_a_certificate_that_is_for_servers_only(encrypted: Lab) -> None:
    """It is what the host's own configuration has, so it is what is asked with where nothing else is named."""
    refused(
        play(STATUS, "-i", encrypted.inventory),
        "runs, refuses the client certificate",
        f"{encrypted.dir.parent}/server.crt: unsuitable certificate purpose",
        "(clientAuth)",
    )


def test_certificates_and_names_that_do_not_do(encrypted: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = encrypted.dir.parent
    good = certificates(encrypted, "pki/client")
    well = play(STATUS, "-i", encrypted.inventory, *good)
    assert well.rc == 0 and "is healthy" in well.text, well.output

    monkeypatch.setattr(pki, "LIFE", timedelta(minutes=-30))
    certificate, key = encrypted.authority.issue("", [ExtendedKeyUsageOID.CLIENT_AUTH])
    (folder / "old.crt").write_bytes(certificate)
    (folder / "old.key").write_bytes(key)
    refused(
        play(RESTORE, "-i", encrypted.inventory, "--check", *certificates(encrypted, "old")),
        "m1: its etcd runs and cannot be asked",
        "refuses the client certificate",
        f"{folder}/old.crt: certificate has expired",
    )
    Authority(folder / "foreign")
    mistrusted = (*good, "-e", f"etcd_cacert={folder / 'foreign' / 'ca.crt'}")
    refused(
        play(STATUS, "-i", encrypted.inventory, *mistrusted),
        "runs, has a certificate that is not trusted",
        "x509: certificate signed by unknown authority",
        "etcd_cacert",
    )
    nowhere = (*good, "-e", '{"etcd_client_urls": ["https://no-such-host.invalid:2379"]}')
    refused(play(RESTORE, "-i", encrypted.inventory, "--check", *nowhere), "has a name that does not resolve")


# ---- members that hold other data ------------------------------------------------------------------------------------


def test_no_backup_is_taken_of_members_that_differ(tmp_path: Path) -> None:
    """Restored from two snapshots with one token: healthy, no alarm, and other data on the third."""
    with Lab(tmp_path / "lab", line="3.6") as lab:
        seeded(lab, 50)
        first = next(lab.backup_dir.glob("*.db"))
        second = tmp_path / "second.db"
        for number in range(5):
            etcdctl(lab, "put", f"later/{number}", "x")
        etcdctl(lab, "snapshot", "save", second)
        initial = ",".join(f"{member.name}={member.peer_url}" for member in lab.members)
        for member in lab.members:
            lab.kill(member)
            shutil.rmtree(member.data_dir)
            source = second if member.name == "m3" else first
            flags = [f"--name={member.name}", f"--initial-cluster={initial}", f"--data-dir={member.data_dir}"]
            flags += [f"--initial-advertise-peer-urls={member.peer_url}", "--initial-cluster-token=one"]
            argv = [lab.bin_dir / "etcdutl", "snapshot", "restore", source, *flags]
            subprocess.run(argv, check=True, capture_output=True, timeout=60)
        for member in lab.members:
            lab.start(member)
        lab.wait_ready()
        for number in range(10):  # until the first two have the revision that the third began with
            etcdctl(lab, "put", f"again/{number}", "x")

        shown = play(STATUS, "-i", lab.inventory)
        assert shown.rc != 0 and "do not hold the same data" in shown.text, shown.output
        before = sorted(lab.backup_dir.iterdir())
        refused(play(BACKUP, "-i", lab.inventory), "m3 differs from m1, m2", "etcd_backup_accept_divergence=true")
        assert sorted(lab.backup_dir.iterdir()) == before, "something was saved"
        accepted = play(BACKUP, "-i", lab.inventory, "-e", "etcd_backup_accept_divergence=true")
        assert accepted.rc == 0, accepted.output
        assert lab.members[2].client_url not in accepted.text.split("keys, from", 1)[1].split(",", 1)[0]
