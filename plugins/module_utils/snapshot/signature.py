# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Who vouches for a snapshot: the signature over its manifest, made and verified by OpenSSH's ``ssh-keygen -Y``.

The manifest has the SHA-256 of everything, and the name that the snapshot was saved under, so that its signature is one of
all. Who may sign stands in a text as ``ssh-keygen`` reads it (ALLOWED SIGNERS in its manual): a name and a public key a line.
By hand: ``ssh-keygen -Y verify -f signers -I NAME -n quorum-etcd-snapshot -s x.db.json.sig < x.db.json``.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import tempfile
from typing import Iterator, NamedTuple, Optional, Sequence

from ..core import strict_json
from ..core.errors import Damaged, EtcdError
from ..etcd.commands import Result, Run
from .names import signature_path

NAMESPACE = "quorum-etcd-snapshot"  # a signature that was made for anything else is none
_MADE = "install OpenSSH's client (openssh-client on Debian, openssh-clients on Red Hat), 8.2 or later."
_CHOOSE = "choose another snapshot, or see who has written this one."
_OWN = "this-host"  # the name of a signer that nobody has given one
_NEW_KEY = "give one without a passphrase: ssh-keygen -t ed25519 -N '' -f KEY."
# ssh-keygen reads the message from its standard input, and nobody else here has one to give.
_WITH_MESSAGE = 'message=$1; shift; exec ssh-keygen "$@" <"$message"'
_SAYS_NO = 255  # how it ends where it has read all and says no; the shell and a signal end otherwise
# Its words for what this host cannot do, and which says nothing of the signature.
_UNABLE = re.compile(r"allocat|No space|Input/output|Permission denied|[Uu]nable to|read signature file|support")


class Signing(NamedTuple):
    """``key`` is the path of the private key that signs what is saved here, ``signers`` those whose snapshots are believed.

    Both are empty where nothing is signed.
    """

    key: str = ""
    signers: str = ""

    def check(self) -> None:
        """EtcdError where what is saved here would be believed by nobody."""
        if self.signers and not self.key:
            raise EtcdError(
                "etcd_backup_signers asks for signed snapshots, and there is no key to sign those that are saved here.",
                "set etcd_backup_signing_key, or leave etcd_backup_signers to the restore.",
            )


UNSIGNED = Signing()


def sign(run: Run, key: str, file: str) -> str:
    """Sign the bytes of ``file`` with the private key in the file ``key``; the signature's path, beside it. EtcdError where not.

    A signature that was there before is replaced. The key must be its owner's alone, and without a passphrase.
    """
    _check_key(key)
    made = signature_path(file)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(made)
    result = _ssh_keygen(run, ["-Y", "sign", "-q", "-P", "", "-f", key, "-n", NAMESPACE, file])
    if result.rc or not os.path.exists(made):
        if "incorrect passphrase" in result.err:
            raise EtcdError(f"the signing key {key} has a passphrase, and nobody is here to give it.", _NEW_KEY)
        raise EtcdError(f"the signing key {key} cannot sign: {_last(result)}.", _NEW_KEY)
    os.chmod(made, 0o600)
    return made


def believed(run: Run, signing: Signing) -> str:
    """Whose signatures count where something is signed anew: those of the signers, or where none are named the own key's.

    Empty where nothing is signed. What somebody has put into the folder must not get a signature of ours.
    """
    if signing.signers or not signing.key:
        return signing.signers
    _check_key(signing.key)
    result = _ssh_keygen(run, ["-y", "-P", "", "-f", signing.key])
    if result.rc or not result.out.strip():
        raise EtcdError(f"the public part of the signing key {signing.key} cannot be told: {_last(result)}.", _NEW_KEY)
    return f"{_OWN} {result.out.strip()}"


def signer_of(run: Optional[Run], signers: str, content: bytes, signature: Optional[bytes], what: str) -> str:
    """Who of ``signers`` has signed ``content``: the name that stands there before the key.

    Damaged for what was altered since, which its signature shows. EtcdError for what is not signed, or by a key that is not
    among them or not in its time, and for what this host cannot verify: what is signed may be as good as ever. ``what`` begins
    the sentence.
    """
    if signature is None:
        raise EtcdError(
            f"{what} is not signed, and etcd_backup_signers asks for that: it was saved before snapshots were signed here, or"
            " somebody has put it there.",
            "choose one that is signed; or sign its manifest, if you know where it is from.",
        )
    if run is None:
        raise EtcdError(f"who has signed {what}, cannot be told here.", _MADE)
    _check_signers(signers)
    with _laid_out(signers, content, signature) as folder:
        return _Verifying(run, folder, what).name()


def signer_of_file(run: Optional[Run], signers: str, file: str, what: str) -> str:
    """Who of ``signers`` has signed a small file, whose signature lies beside it; as ``signer_of``."""
    content = strict_json.read_bytes(file, "the file")
    return signer_of(run, signers, content, read_signature(file), what)


def read_signature(file: str) -> Optional[bytes]:
    try:
        return strict_json.read_bytes(signature_path(file), "the signature")
    except FileNotFoundError:
        return None


class _Verifying:
    """One signature, its message and the signers, as files in a private folder."""

    def __init__(self, run: Run, folder: str, what: str) -> None:
        self._run, self._what = run, what
        self._signers, self._signature, self._message = (os.path.join(folder, name) for name in _NAMES)

    def name(self) -> str:
        found = _ssh_keygen(self._run, ["-Y", "find-principals", "-s", self._signature, "-f", self._signers])
        names = found.out.split("\n") if found.rc == 0 else []
        for name in filter(None, names):
            said = self._with_message("verify", "-f", self._signers, "-I", name)
            if said.rc == 0:
                return name
            self._check_able(said)
            found = Result(said.rc, found.out, said.err + said.out)
        raise self._refusal(found.err)

    def _refusal(self, said: str) -> EtcdError:
        own = self._with_message("check-novalidate")
        if own.rc:
            self._check_able(own)
            return Damaged(f"{self._what} was altered after it was signed, or its signature was.", _CHOOSE)
        key = re.search(r"with (\S+ key \S+)", own.out)
        by = f"the {key.group(1)}" if key else "a key"
        if "has expired" in said:
            return EtcdError(
                f"{self._what} is signed by {by}, which has expired by etcd_backup_signers (valid-before).",
                "choose a later snapshot; or, if that key was never in other hands, let it be valid for longer there.",
            )
        if "not yet valid" in said:
            return EtcdError(
                f"{self._what} is signed by {by}, which is not yet valid by etcd_backup_signers (valid-after).", _CHOOSE
            )
        if "not permitted for use in signature namespace" in said:
            return EtcdError(
                f"{self._what} is signed by {by}, which etcd_backup_signers has for other things (namespaces).", _CHOOSE
            )
        return EtcdError(f"{self._what} is signed by {by}, which is not among etcd_backup_signers.", _CHOOSE)

    def _check_able(self, said: Result) -> None:
        """EtcdError where ssh-keygen has not come to say no: it was killed, or found no room."""
        if said.rc != _SAYS_NO or _UNABLE.search(said.err):
            why = _last(Result(said.rc, "", said.err.replace("Could not verify signature.", "")))
            raise EtcdError(
                f"whether {self._what} is as it was signed, cannot be told here: {why}.",
                "see whether ssh-keygen works on this host, and is as new as the one that has signed.",
            )

    def _with_message(self, way: str, *more: str) -> Result:
        argv = ["-Y", way, *more, "-n", NAMESPACE, "-s", self._signature]
        return self._run(["sh", "-c", _WITH_MESSAGE, "sh", self._message, *argv], {})


_NAMES = ("signers", "signature", "message")


@contextlib.contextmanager
def _laid_out(signers: str, content: bytes, signature: bytes) -> Iterator[str]:
    """A private folder with copies: what is verified are the very bytes that were read, whoever writes beside the snapshot."""
    try:
        with tempfile.TemporaryDirectory(prefix="quorum-etcd-") as folder:
            for name, held in zip(_NAMES, (signers.encode() + b"\n", signature, content)):
                with open(os.path.join(folder, name), "wb") as file:
                    file.write(held)
            yield folder
    except OSError as error:
        raise EtcdError(
            f"a signature cannot be verified, since nothing can be written to {tempfile.gettempdir()}: {error.strerror}.",
            "make room there.",
        ) from error


def _ssh_keygen(run: Run, words: Sequence[str]) -> Result:
    try:
        result = run(["ssh-keygen", *words], {})
    except FileNotFoundError as error:
        raise EtcdError("there is no ssh-keygen here, which signs snapshots and verifies that.", _MADE) from error
    if result.rc and re.search(r"unknown option|illegal option|[Uu]nsupported operation", result.err):
        raise EtcdError("the ssh-keygen here is too old to sign, or to verify signatures.", _MADE)
    return result


def _check_key(key: str) -> None:
    try:
        status = os.stat(key)
    except OSError as error:
        raise EtcdError(f"the signing key {key} cannot be read: {error.strerror}.", _NEW_KEY) from error
    if not stat.S_ISREG(status.st_mode):
        raise EtcdError(f"the signing key {key} is not a file.", _NEW_KEY)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise EtcdError(
            f"the signing key {key} can be read by others (its mode is {stat.S_IMODE(status.st_mode):04o}).",
            f"make a new one, since that may be known by now; at least: chmod 600 {key}.",
        )


def _check_signers(signers: str) -> None:
    """EtcdError for a text in which nobody is named: what it refuses would be the operator's own."""
    lines = [line.strip() for line in signers.splitlines()]
    if not any(re.match(r"[^#\s]+\s.*\b(ssh|ecdsa|sk)-\S+\s+\S", line) for line in lines):
        raise EtcdError(
            "etcd_backup_signers names no signer.",
            "give a name and a public key a line, such as: backup@prod ssh-ed25519 AAAAC3NzaC1lZDI1...",
        )


def _last(result: Result) -> str:
    lines = (result.err or result.out).strip().splitlines()
    return lines[-1].rstrip(".") if lines else f"ssh-keygen ended with {result.rc}"
