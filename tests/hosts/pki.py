# SPDX-License-Identifier: GPL-3.0-or-later
"""A small certificate authority for mutual TLS between test hosts."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path
from typing import Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

LIFE = datetime.timedelta(days=30)


class Authority:
    """`folder` gets ca.crt and a client's certificate, client.crt and client.key.

    The client has no common name: with one, etcd's JSON gateway refuses every request once authentication is on.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self._certificate = (
            _builder("etcd-ca", "etcd-ca", self._key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.ca = _pem(self._certificate)
        (folder / "ca.crt").write_bytes(self.ca)
        certificate, key = self.issue("", [ExtendedKeyUsageOID.CLIENT_AUTH])
        (folder / "client.crt").write_bytes(certificate)
        (folder / "client.key").touch(mode=0o600)
        (folder / "client.key").write_bytes(key)

    def member(self, host: str, addresses: Sequence[str]) -> tuple[bytes, bytes]:
        """Certificate and key of a member: it serves with them, and is a client of its peers and of itself."""
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        return self.issue(host, both, ["localhost", host], ["127.0.0.1", "::1", *addresses])

    def issue(
        self,
        name: str,
        usages: Sequence[x509.ObjectIdentifier],
        hosts: Sequence[str] = (),
        addresses: Sequence[str] = (),
    ) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, "etcd-ca", key).add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        others = [x509.DNSName(host) for host in hosts]
        others += [x509.IPAddress(ipaddress.ip_address(address)) for address in dict.fromkeys(addresses)]
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        # Python's own TLS wants to know which key has signed.
        signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(signed_by, critical=False)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return _pem(builder.sign(self._key, hashes.SHA256())), private


def _builder(name: str, issuer: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _name(common_name: str) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "test hosts")]
    return x509.Name(parts + [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else parts)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
