# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The PKI in a recovery kit, where it is asked for: encrypted for one who is not here, whose certificate is all that it needs.

A kit lies beside the snapshots and in every store, so what is secret in it must be so by itself. By hand:
``openssl cms -decrypt -inform PEM -in kit/pki.tar.cms -inkey KEY -binary | tar x``.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from typing import Callable, Dict, List, Mapping

from ..core.errors import EtcdError
from ..etcd.commands import Run

_LARGEST, _MOST = 256 << 10, 100  # bytes of a file, and files
_ENDS = (".crt", ".pem", ".key", ".cer")
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.+?-----END CERTIFICATE-----", re.DOTALL)
_MADE = (
    "openssl req -x509 -newkey rsa:4096 -days 3650 -subj /CN=recovery -keyout recovery.key -out recovery.crt, and keep the key"
    " elsewhere."
)


def check_pki(wanted: bool, recipient: str) -> None:
    """EtcdError where the PKI is to go into kits and nobody is named who alone can open it."""
    if not wanted:
        return
    if not recipient.strip():
        raise EtcdError(
            "etcd_backup_kit_pki is refused: kits lie beside the snapshots, in a folder that is not encrypted.",
            f"give etcd_backup_kit_recipient, the certificate of who can open them ({_MADE}); or leave it false, and keep the"
            " PKI in a place of its own.",
        )
    if not _CERTIFICATE.search(recipient) or "PRIVATE KEY" in recipient:
        raise EtcdError(
            "etcd_backup_kit_recipient is no certificate in PEM, or holds a private key too.", f"make one: {_MADE}"
        )


def pki_files(named: Mapping[str, str], at: Callable[[str], str]) -> Dict[str, bytes]:
    """The files of a member's PKI, by their paths: those that its settings name, and what lies beside its keys.

    kubeadm has the CA's own key there. ``at`` gives the path where this process finds a file of the host. OSError where one
    cannot be read.
    """
    paths = dict.fromkeys(named.values())
    for setting, path in named.items():
        folder = os.path.dirname(path)
        if setting.endswith("key-file") and os.path.isdir(at(folder)):
            beside = [name for name in sorted(os.listdir(at(folder))) if name.endswith(_ENDS)]
            paths.update(dict.fromkeys(os.path.join(folder, name) for name in beside))
    found: Dict[str, bytes] = {}
    for path in sorted(paths)[:_MOST]:
        if not os.path.isfile(at(path)):
            continue  # the kit says already that it is not there
        with open(at(path), "rb") as file:
            content = file.read(_LARGEST + 1) if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
        if content and len(content) <= _LARGEST:
            found[path] = content
    return found


def encrypted(run: Run, plain: bytes, recipient: str) -> bytes:
    """``plain`` as a CMS envelope (PEM) that the key of the certificate ``recipient`` opens; EtcdError where there is none."""
    names = ("plain", "recipient.crt", "sealed")
    with tempfile.TemporaryDirectory(prefix="quorum-etcd-") as folder:
        source, certificate, sealed = (os.path.join(folder, name) for name in names)
        for path, content in ((source, plain), (certificate, recipient.strip().encode() + b"\n")):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        argv = [
            "openssl",
            "cms",
            "-encrypt",
            "-binary",
            "-aes-256-cbc",
            "-outform",
            "PEM",
            "-in",
            source,
            "-out",
            sealed,
        ]
        try:
            result = run([*argv, certificate], {})
        except FileNotFoundError as error:
            raise EtcdError("there is no openssl here to encrypt the PKI with.", "install openssl.") from error
        if result.rc or not os.path.exists(sealed):
            said: List[str] = result.err.strip().splitlines()
            raise EtcdError(
                f"the PKI could not be encrypted for etcd_backup_kit_recipient: {said[-1] if said else 'openssl failed'}.",
                f"give another certificate: {_MADE}",
            )
        with open(sealed, "rb") as file:
            return file.read()
