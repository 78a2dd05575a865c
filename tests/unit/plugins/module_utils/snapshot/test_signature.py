# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Signatures by the real ssh-keygen: what is signed is known again, and each way of cheating is refused in its own words."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import Damaged, EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot import catalogue, manifest, signature
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot import keys
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.snapshot.builder import NOW, flipped, put

TAKEN = "2026-11-24T03:00:00Z"


@pytest.fixture(scope="module")
def ops(tmp_path_factory):
    return keys.make(tmp_path_factory.mktemp("ops") / "key")


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    return keys.make(tmp_path_factory.mktemp("other") / "key", "ecdsa")


def signed(folder, name, key, **told):
    path = put(folder, name, taken_at=TAKEN, file=name, **told)
    signature.sign(run, key.path, f"{path}.json")
    return path


def seen(path, signers, how=run):
    return catalogue.entry(str(path), now=NOW, run=how, signers=signers)


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_what_one_of_the_signers_has_signed_is_good(tmp_path, other, kind):
    key = keys.make(tmp_path / "key", kind)
    path = signed(tmp_path, "s.db", key)
    assert stat.S_IMODE(os.stat(f"{path}.json.sig").st_mode) == 0o600
    signers = "# who may\n\n" + other.signer("else@where") + key.signer("ops@prod", 'namespaces="quorum-etcd-snapshot"')
    found = seen(path, signers)
    assert found.ok and found.verified and found.signed_by == "ops@prod" and found.reason == ""
    # By hand, as the documentation says.
    (tmp_path / "signers").write_text(signers)
    argv = ["ssh-keygen", "-Y", "verify", "-f", "signers", "-I", "ops@prod", "-n", signature.NAMESPACE]
    with open(f"{path}.json", "rb") as message:
        subprocess.run([*argv, "-s", "s.db.json.sig"], cwd=tmp_path, stdin=message, check=True)


def test_nothing_is_asked_where_no_signers_are_given(tmp_path, ops):
    def nothing(argv, env):
        raise AssertionError(f"{argv} was run")

    found = seen(signed(tmp_path, "s.db", ops), "", nothing)
    assert found.ok and found.signed_by == ""


def refused(path, signers, words):
    found = seen(path, signers)
    assert not found.ok and found.signed_by == "", found
    assert words in found.reason and str(path) in found.reason, found.reason
    assert catalogue.newest_good(catalogue.look(str(path.parent), run, "", signers)) is None
    return found


def test_what_is_not_signed_is_refused(tmp_path, ops):
    signers = ops.signer("ops@prod")
    path = put(tmp_path, "s.db", taken_at=TAKEN, file="s.db")
    assert refused(path, signers, "is not signed, and etcd_backup_signers asks for that").manifest
    os.unlink(f"{path}.json")
    refused(path, signers, "is not signed: it has no manifest")


def test_what_was_altered_since_is_refused(tmp_path, ops):
    signers = ops.signer("ops@prod")
    path = signed(tmp_path, "s.db", ops)
    whole = (tmp_path / "s.db.json").read_text()
    told = json.loads(whole)
    (tmp_path / "s.db.json").write_text(json.dumps({**told, "revision": 10**9}))
    refused(path, signers, "was altered after it was signed")
    (tmp_path / "s.db.json").write_text(whole + " ")
    refused(path, signers, "was altered after it was signed")
    (tmp_path / "s.db.json").write_text(whole)
    assert seen(path, signers).ok
    signed_by_ops = (tmp_path / "s.db.json.sig").read_text()
    for broken in ("", "junk\n", signed_by_ops[:120], signed_by_ops.replace("A", "B", 3)):
        (tmp_path / "s.db.json.sig").write_text(broken)
        refused(path, signers, "was altered after it was signed, or its signature was")


def test_a_snapshot_that_was_exchanged_is_refused_with_its_manifest_and_without(tmp_path, ops, other):
    signers = ops.signer("ops@prod")
    path = signed(tmp_path, "s.db", ops)
    genuine = path.read_bytes()
    path.write_bytes(flipped(genuine, 30000))
    refused(path, signers, "is damaged")
    put(tmp_path, "s.db", line="3.5", taken_at=TAKEN)
    shutil.copy(tmp_path / "s.db", tmp_path / "evil.db")
    signature_before = (tmp_path / "s.db.json.sig").read_bytes()
    refused(path, signers, "was altered after it was signed")  # with a manifest of its own, and the old signature
    signature.sign(run, other.path, f"{path}.json")
    found = refused(path, signers, "is signed by the ECDSA key SHA256:")
    assert "which is not among etcd_backup_signers" in found.reason
    # The genuine manifest and signature, and other content of the same size.
    signed(tmp_path, "s.db", ops)
    assert (tmp_path / "s.db.json.sig").read_bytes() == signature_before
    path.write_bytes((tmp_path / "evil.db").read_bytes())
    refused(path, signers, "its manifest was written for")


def test_an_older_one_under_the_name_of_a_newer_is_refused(tmp_path, ops):
    old = signed(tmp_path, "etcd-20261124T030000Z-rev44.db", ops)
    for end in ("", ".json", ".json.sig"):
        shutil.move(f"{old}{end}", tmp_path / f"etcd-20261201T030000Z-rev99.db{end}")
    path = tmp_path / "etcd-20261201T030000Z-rev99.db"
    refused(path, ops.signer("ops@prod"), "was signed as etcd-20261124T030000Z-rev44.db, and has another name now")
    assert seen(path, "").ok


def test_a_key_counts_only_in_its_time_and_for_what_it_is(tmp_path, ops):
    path = signed(tmp_path, "s.db", ops)
    refused(path, ops.signer("ops@prod", 'valid-before="20200101Z"'), "which has expired by etcd_backup_signers")
    refused(path, ops.signer("ops@prod", 'valid-after="20990101Z"'), "which is not yet valid by etcd_backup_signers")
    refused(path, ops.signer("ops@prod", 'namespaces="git"'), "has for other things (namespaces)")
    subprocess.run(
        ["ssh-keygen", "-Y", "sign", "-q", "-f", ops.path, "-n", "git", f"{path}.json"],
        input="y\n",
        text=True,
        check=False,
    )
    refused(path, ops.signer("ops@prod"), "was altered after it was signed, or its signature was")


@pytest.mark.parametrize("signers", ["nobody\n", "# ops ssh-ed25519 AAAA\n", "\n", "ssh-ed25519 AAAA", "ops AAAA ssh"])
def test_signers_that_name_nobody_are_a_mistake_of_the_operator(tmp_path, ops, signers):
    found = seen(signed(tmp_path, "s.db", ops), signers)
    assert not found.ok and "etcd_backup_signers names no signer" in found.reason and "ssh-ed25519 AAAA" in found.reason


def test_one_that_was_compressed_since_keeps_its_signature(tmp_path, ops):
    path = signed(tmp_path, "s.db", ops)
    subprocess.run(["gzip", str(path)], check=True)
    found = seen(tmp_path / "s.db.gz", ops.signer("ops@prod"))
    assert found.ok and found.verified and found.signed_by == "ops@prod"


def test_a_signature_that_is_a_pipe_or_endless_keeps_nobody_waiting(tmp_path, ops):
    path = signed(tmp_path, "s.db", ops)
    os.unlink(f"{path}.json.sig")
    os.mkfifo(f"{path}.json.sig")
    found = seen(path, ops.signer("ops@prod"))
    assert not found.ok and "is not a regular file" in found.reason


def test_no_secret_is_in_an_argument(tmp_path, ops):
    calls = []

    def listened(argv, env):
        calls.append(list(argv))
        return run(argv, env)

    path = put(tmp_path, "s.db", taken_at=TAKEN, file="s.db")
    signature.sign(listened, ops.path, f"{path}.json")
    assert seen(path, ops.signer("ops@prod"), listened).ok
    secret = [line for line in Path(ops.path).read_text().splitlines() if "KEY" not in line]
    assert len(calls) == 3 and not any(line in " ".join(call) for call in calls for line in secret)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_others_can_read_signs_nothing(tmp_path, ops, mode):
    key = tmp_path / "key"
    shutil.copy(ops.path, key)
    key.chmod(mode)
    put(tmp_path, "s.db", taken_at=TAKEN)
    with pytest.raises(EtcdError, match="can be read by others .its mode is 06") as error:
        signature.sign(run, str(key), str(tmp_path / "s.db.json"))
    assert f"chmod 600 {key}" in error.value.next_step and not (tmp_path / "s.db.json.sig").exists()


def test_a_key_that_cannot_sign_is_said_with_the_next_step(tmp_path, ops):
    put(tmp_path, "s.db", taken_at=TAKEN)
    file = str(tmp_path / "s.db.json")
    with pytest.raises(EtcdError, match="has a passphrase, and nobody is here to give it"):
        signature.sign(run, keys.make(tmp_path / "locked", passphrase="not in here").path, file)
    with pytest.raises(EtcdError, match="missing cannot be read: No such file"):
        signature.sign(run, str(tmp_path / "missing"), file)
    (tmp_path / "junk").write_text("junk")
    (tmp_path / "junk").chmod(0o600)
    with pytest.raises(EtcdError, match="junk cannot sign: ") as error:
        signature.sign(run, str(tmp_path / "junk"), file)
    assert "ssh-keygen -t ed25519" in error.value.next_step
    # A signature from before is replaced, and nobody is asked whether he wants that.
    signature.sign(run, ops.path, file)
    before = (tmp_path / "s.db.json.sig").read_bytes()
    (tmp_path / "s.db.json").write_text("{}")
    signature.sign(run, ops.path, file)
    assert (tmp_path / "s.db.json.sig").read_bytes() != before


def test_a_host_without_ssh_keygen_or_with_an_old_one_says_what_to_install(tmp_path, ops):
    def missing(argv, env):
        raise FileNotFoundError(2, "No such file or directory", argv[0])

    path = signed(tmp_path, "s.db", ops)
    for how, words in (
        (missing, "there is no ssh-keygen here"),
        (lambda _argv, _env: Result(1, "", "ssh-keygen: unknown option -- Y\nusage: ssh-keygen"), "is too old to sign"),
    ):
        found = seen(path, ops.signer("ops@prod"), how)
        assert not found.ok and words in found.reason and "openssh-client on Debian" in found.reason
        with pytest.raises(EtcdError, match=words):
            signature.sign(how, ops.path, __file__)


def vouched(path, signers, how=run):
    with pytest.raises(EtcdError) as why:
        manifest.signed_by(str(path), manifest.held_manifest(str(path)), signers, how)
    return why.value


def test_only_what_was_altered_or_exchanged_is_damaged(tmp_path, ops, other, monkeypatch):
    """What was saved before there were signers, or cannot be verified here, is as good as ever."""
    signers, path = ops.signer("ops@prod"), signed(tmp_path, "s.db", ops)

    def failing(rc, said):
        return lambda argv, env: (
            Result(rc, "", said) if "check-novalidate" in argv or "verify" in argv else run(argv, env)
        )

    unsigned = put(tmp_path, "old.db", taken_at=TAKEN, file="old.db")
    assert "saved before snapshots were signed" in vouched(unsigned, signers).message
    full = "sshsig_verify_fd: hash_file: memory allocation failed\nCould not verify signature.\n"
    hosts = [vouched(path, signers, failing(rc, said)) for rc, said in ((-9, ""), (127, "sh: not found"), (255, full))]
    assert [one.message.rsplit(": ")[-1] for one in hosts] == [
        "ssh-keygen ended with -9.",
        "not found.",
        "memory allocation failed.",
    ]
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "none"))
    hosts.append(vouched(path, signers))
    monkeypatch.undo()
    wrong = [vouched(path, ""), vouched(path, other.signer("ops@prod")), vouched(unsigned, signers)]
    assert not [one for one in (*hosts, *wrong) if isinstance(one, Damaged)]
    (tmp_path / "s.db.json").write_text((tmp_path / "s.db.json").read_text() + " ")
    assert isinstance(vouched(path, signers), Damaged)
    renamed = signed(tmp_path, "s.db", ops).rename(tmp_path / "newer.db")
    for end in (".json", ".json.sig"):
        (tmp_path / f"s.db{end}").rename(tmp_path / f"newer.db{end}")
    assert isinstance(vouched(renamed, signers), Damaged)


def test_what_is_saved_here_would_be_believed(ops):
    signature.Signing(ops.path, ops.signer("ops")).check()
    signature.Signing().check()
    with pytest.raises(EtcdError, match="no key to sign those that are saved here"):
        signature.Signing("", ops.signer("ops")).check()
