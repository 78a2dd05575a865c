# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What certificates a member has: fingerprints, and what openssl says of them. Keys are never opened."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import tempfile
from typing import Dict, List, Mapping, Sequence

from ..core import strict_json
from ..core.errors import EtcdError
from ..etcd.commands import Run
from ..snapshot.kit import Certificate

_MOST = 20  # certificates of a file: a bundle of all public CAs is nobody's for etcd
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----\s*(.*?)\s*-----END CERTIFICATE-----", re.DOTALL)
_ASKED = ("-noout", "-subject", "-issuer", "-startdate", "-enddate", "-nameopt", "RFC2253")
_FIELDS = {"subject": "subject", "issuer": "issuer", "notBefore": "not_before", "notAfter": "not_after"}


def certificates_in(run: Run, root: str, uses: Mapping[str, Sequence[str]], notes: List[str]) -> List[Certificate]:
    """The certificates in these files, by which settings they are used; ``notes`` gets what could not be had."""
    found: List[Certificate] = []
    for path, settings in sorted(uses.items()):
        full = path if root == "/" else os.path.join(root, path.lstrip("/"))
        try:
            text = strict_json.read_bytes(full, "the certificate").decode("ascii", "replace")
        except FileNotFoundError:
            notes.append(f"{path} is named in the configuration, and is not there")
            continue
        except EtcdError as error:
            notes.append(error.message)
            continue
        blocks = _PEM.findall(text)
        if not blocks:
            notes.append(f"{path} holds no certificate in PEM")
        for block in blocks[:_MOST]:
            found.append(Certificate(path, list(settings), **_described(run, block, notes)))
    return found


def _described(run: Run, block: str, notes: List[str]) -> Dict[str, str]:
    try:
        told = {"sha256": hashlib.sha256(base64.b64decode(block)).hexdigest()}
    except (binascii.Error, ValueError):
        return {}
    told.update(_by_openssl(run, block, notes))
    return told


def _by_openssl(run: Run, block: str, notes: List[str]) -> Dict[str, str]:
    missing = "there is no openssl on this host, so subjects and expiry dates are not told"
    if missing in notes:
        return {}
    try:
        with tempfile.TemporaryDirectory(prefix="quorum-etcd-") as folder:
            path = os.path.join(folder, "certificate.pem")
            with open(path, "w", encoding="ascii") as file:
                file.write(f"-----BEGIN CERTIFICATE-----\n{block}\n-----END CERTIFICATE-----\n")
            try:
                result = run(["openssl", "x509", "-in", path, *_ASKED], {})
            except FileNotFoundError:
                notes.append(missing)
                return {}
    except OSError as error:
        notes.append(f"openssl could not be asked of a certificate: {error.strerror}")
        return {}
    lines = (line.partition("=") for line in result.out.splitlines())
    return {_FIELDS[name.strip()]: value.strip() for name, equals, value in lines if equals and name.strip() in _FIELDS}
