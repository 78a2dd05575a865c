# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Until when a certificate is valid, and whose it is: the two things of X.509 (RFC 5280) that a client of etcd must know."""

from __future__ import annotations

import base64
import binascii
import re
from typing import List, NamedTuple, Optional, Tuple

from ..core.text import epoch

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\s*(.*?)\s*-----END CERTIFICATE-----", re.DOTALL)
_COMMON_NAME = b"\x55\x04\x03"
_UTC_TIME, _EXPLICIT_VERSION = 0x17, 0xA0

Part = Tuple[int, bytes]  # an ASN.1 tag, and what it holds


class Certificate(NamedTuple):
    """``common_name`` is the user's name where etcd has users; ``not_after`` in seconds since the epoch."""

    common_name: str
    not_after: float


def read_certificate(pem: bytes) -> Optional[Certificate]:
    """The first certificate in the text: a client's own, the others are those above it. None where there is none."""
    found = _PEM.search(pem)
    if not found:
        return None
    try:
        ((_tag, whole),) = _parts(base64.b64decode(found.group(1)))
        fields = _parts(_parts(whole)[0][1])
        if fields[0][0] == _EXPLICIT_VERSION:
            fields = fields[1:]
        _serial, _algorithm, _issuer, validity, subject = fields[:5]
        return Certificate(_common_name(subject[1]), _moment(*_parts(validity[1])[1]))
    except (binascii.Error, ValueError, IndexError):
        return None


def _parts(der: bytes) -> List[Part]:
    """What stands one after the other in these bytes. ValueError or IndexError where they are no DER."""
    found: List[Part] = []
    at = 0
    while at < len(der):
        tag, size = der[at], der[at + 1]
        at += 2
        if size > 0x80:
            width = size & 0x7F
            size = int.from_bytes(der[at : at + width], "big")
            at += width
        if at + size > len(der):
            raise ValueError("it ends too early")
        found.append((tag, der[at : at + size]))
        at += size
    return found


def _common_name(subject: bytes) -> str:
    names = [_parts(one) for _set, names in _parts(subject) for _sequence, one in _parts(names)]
    return next((value.decode("utf-8", "replace") for (_tag, oid), (_kind, value) in names if oid == _COMMON_NAME), "")


def _moment(tag: int, text: bytes) -> float:
    digits = text.decode("ascii")
    if tag == _UTC_TIME:
        digits = ("20" if digits < "5" else "19") + digits
    year, rest = digits[:4], [digits[at : at + 2] for at in range(4, 14, 2)]
    return epoch("{}-{}-{}T{}:{}:{}Z".format(year, *rest))
