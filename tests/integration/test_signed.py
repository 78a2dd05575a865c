# SPDX-License-Identifier: GPL-3.0-or-later
"""Signed snapshots on real members: who has access to the folder can exchange, rename and take away, and is caught."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import build
from client import dump, seed
from conftest import BACKUP, CONFIRM, RESTORE, Play, holds, play
from lab import Lab


class Bed:
    """A lab, two keys, and what its plays are given."""

    def __init__(self, lab: Lab, home: Path) -> None:
        self.lab, self.home = lab, home
        self.ops, self.other = self._key("ops"), self._key("other")
        self.signers = f'ops@prod namespaces="quorum-etcd-snapshot" {Path(f"{self.ops}.pub").read_text()}'

    def _key(self, name: str) -> Path:
        path = self.home / name
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
        return path

    def _play(self, playbook: Path, *words: str, **variables: str) -> Play:
        given = json.dumps({"etcd_backup_signers": self.signers, **variables})
        return play(playbook, "-i", self.lab.inventory, "-e", given, *words)

    def save(self, key: str) -> Path:
        before = set(self.lab.backup_dir.glob("*.db*"))
        # Not even with -vvv is the key shown.
        done = self._play(BACKUP, "-vvv", etcd_backup_signing_key=key)
        assert done.rc == 0, done.output
        assert "PRIVATE" not in done.output and self.ops.read_text().splitlines()[1] not in done.output
        new = set(self.lab.backup_dir.glob("*.db*")) - before
        (path,) = [path for path in new if Path(f"{path}.json.sig").exists()]
        assert new == {path, Path(f"{path}.json"), Path(f"{path}.json.sig")} and path.suffix == ".zst"
        return path

    def restore(self, *words: str, **variables: str) -> Play:
        return self._play(RESTORE, *CONFIRM, *words, **variables)

    def agent(self, *words: str) -> tuple[int, dict]:
        program, config = self.home / "quorum-etcd", self.home / "agent.json"
        program.write_bytes(build())
        given = {
            "cluster": "etcd",
            "endpoints": self.lab.endpoints,
            "here": self.lab.endpoints[:1],
            "signers": self.signers,
        }
        given.update(folder=str(self.lab.backup_dir), state_dir=str(self.home / "state"), bin_dir=str(self.lab.bin_dir))
        config.write_text(json.dumps({**given, "signing_key": str(self.ops), "every_member": True}))
        argv = [sys.executable, str(program), *words, "--config", str(config), "--json"]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
        return done.returncode, json.loads(done.stdout)


def test_what_somebody_has_exchanged_renamed_or_signed_himself_is_refused_and_the_genuine_is_restored(
    lab: Lab, tmp_path: Path
) -> None:
    bed = Bed(lab, tmp_path)
    client = lab.members[0].client
    seed(client, 200)
    old = bed.save(str(bed.ops))
    client.put(b"later", b"1")
    expected = dump(client)
    new = bed.save(bed.ops.read_text())  # the key itself, as from vault
    client.put(b"lost", b"1")
    code, told = bed.agent("list")
    assert code == 0 and {one["signed_by"] for one in told["snapshots"]} == {"ops@prod"}, told
    assert bed.agent("backup")[1]["result"] == "saved", "something was written"
    (newest,) = set(lab.backup_dir.glob("*.json.sig")) - {Path(f"{path}.json.sig") for path in (old, new)}
    newest_snapshot = Path(str(newest)[: -len(".json.sig")])
    assert bed.agent("backup")[1]["result"] == "unchanged", "the newest is signed, read and good"

    # Somebody with access to the folder puts other data in the place of the newest, with a manifest that fits it.
    genuine = {end: Path(f"{newest_snapshot}{end}").read_bytes() for end in ("", ".json", ".json.sig")}
    told = json.loads(Path(f"{old}.json").read_text())
    fitting = {key: told[key] for key in ("sha256", "size", "packed") if key in told}
    forged = {**json.loads(genuine[".json"]), **fitting}
    shutil.copy(old, newest_snapshot)
    Path(f"{newest_snapshot}.json").write_text(json.dumps(forged))
    refused = bed.restore(etcd_restore_snapshot=str(newest_snapshot))
    assert refused.rc != 0 and "was altered after it was signed" in refused.text, refused.output
    assert client.get(b"lost"), "nothing was touched"
    code, told = bed.agent("list")
    bad = [one for one in told["snapshots"] if not one["ok"]]
    assert code == 1 and [one["path"] for one in bad] == [str(newest_snapshot)] and "was altered" in bad[0]["reason"]

    # He signs it, with a key of his own.
    Path(f"{newest_snapshot}.json.sig").unlink()
    argv = ["ssh-keygen", "-Y", "sign", "-q", "-f", bed.other, "-n", "quorum-etcd-snapshot", f"{newest_snapshot}.json"]
    subprocess.run(argv, check=True)
    refused = bed.restore(etcd_restore_snapshot=str(newest_snapshot))
    assert refused.rc != 0 and "which is not among etcd_backup_signers" in refused.text, refused.output
    # He puts the old one there, with all that is beside it.
    for end in genuine:
        shutil.copy(f"{old}{end}", f"{newest_snapshot}{end}")
    refused = bed.restore(etcd_restore_snapshot=str(newest_snapshot))
    assert refused.rc != 0 and f"was signed as {old.name}, and has another name now" in refused.text, refused.output
    code, told = bed.agent("backup")
    assert (code, told["result"]) == (0, "saved"), "what is not believed is not the newest"
    Path(told["path"]).unlink()

    # latest passes over it.
    done = bed.restore()
    assert done.rc == 0, done.output
    assert f"{new} (on" in done.text and "verified, signed by ops@prod" in done.text, done.output
    assert holds(lab, expected)

    wrong = bed._play(BACKUP)
    assert wrong.rc != 0 and "there is no key to sign those that are saved here" in wrong.text, wrong.output
    wrong = bed._play(BACKUP, etcd_backup_signing_key=str(bed.other))
    assert wrong.rc != 0 and "which is not among etcd_backup_signers" in wrong.text, wrong.output
