# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import epoch
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.certificate import Certificate, read_certificate


def der(tag: int, *parts: bytes) -> bytes:
    body = b"".join(parts)
    size = bytes([len(body)]) if len(body) < 0x80 else b"\x82" + len(body).to_bytes(2, "big")
    return bytes([tag]) + size + body


def name(*pairs: tuple) -> bytes:
    return der(0x30, *(der(0x31, der(0x30, der(0x06, oid), der(0x0C, text))) for oid, text in pairs))


def pem(end: bytes, subject: bytes, version: bool = True, tag: int = 0x17) -> bytes:
    validity = der(0x30, der(0x17, b"260101000000Z"), der(tag, end))
    first = [der(0xA0, der(0x02, b"\x02"))] if version else []
    rest = [
        der(0x02, b"\x01"),
        der(0x30),
        name((b"\x55\x04\x03", b"the issuer")),
        validity,
        subject,
        der(0x30, bytes(300)),
    ]
    whole = der(0x30, der(0x30, *first, *rest), der(0x30), der(0x03, bytes(70)))
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(whole) + b"-----END CERTIFICATE-----\n"


APP = name((b"\x55\x04\x0a", b"an organisation"), (b"\x55\x04\x03", b"app"))


@pytest.mark.parametrize("version", [True, False])
def test_until_when_and_whose(version):
    text = b"words before\n" + pem(b"281231235959Z", APP, version) + pem(b"300101000000Z", name())
    assert read_certificate(text) == Certificate("app", epoch("2028-12-31T23:59:59Z"))


def test_times_of_another_century():
    assert read_certificate(pem(b"991231235959Z", name())) == Certificate("", epoch("1999-12-31T23:59:59Z"))
    assert read_certificate(pem(b"20501231235959Z", name(), tag=0x18)) == Certificate("", epoch("2050-12-31T23:59:59Z"))


@pytest.mark.parametrize("text", [b"", b"no certificate", pem(b"soon", APP), pem(b"281231235959Z", APP)[:200]])
def test_what_is_none(text):
    assert read_certificate(text) is None


def test_one_that_is_cut_is_none():
    block = b"-----BEGIN CERTIFICATE-----\n%b-----END CERTIFICATE-----\n"
    whole = base64.decodebytes(b"".join(pem(b"281231235959Z", APP).split(b"\n")[1:-2]))
    for end in range(0, len(whole), 7):
        assert read_certificate(block % base64.encodebytes(whole[:end])) is None
