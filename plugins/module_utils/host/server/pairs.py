# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a CA, a certificate and a key can be read and belong together, before etcd is given them."""

from __future__ import annotations

import os
import ssl
import tempfile
from typing import Sequence, Tuple

from ...core.errors import EtcdError

Named = Tuple[str, bytes]  # a path, and what is or will be there


def check_pairs(sets: Sequence[Sequence[Named]]) -> None:
    """Each a CA, a certificate and its key. EtcdError with the path that is wrong."""
    for ca, cert, key in sets:
        with tempfile.TemporaryDirectory(prefix="quorum-etcd-pairs-") as folder:
            names = []
            for name, (_path, content) in zip(("ca", "cert", "key"), (ca, cert, key)):
                names.append(os.path.join(folder, name))
                with open(os.open(names[-1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
                    stream.write(content)
            _check(names, ca[0], cert[0], key[0])


def _check(files: Sequence[str], ca: str, cert: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    def no_passphrase() -> str:
        raise EtcdError(f"the key {key} has a passphrase, which etcd cannot ask for.", "give a key without one.")

    try:
        context.load_verify_locations(files[0])
    except (ssl.SSLError, OSError) as error:
        raise EtcdError(f"{ca} holds no certificate of a CA (PEM).", "correct etcd_tls_ca.") from error
    try:
        context.load_cert_chain(files[1], files[2], no_passphrase)
    except (ssl.SSLError, OSError) as error:
        raise EtcdError(
            f"{cert} and {key} are no certificate and its key (PEM): {getattr(error, 'reason', None) or error}.",
            "correct etcd_tls_cert and etcd_tls_key.",
        ) from error
