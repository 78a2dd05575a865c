# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a member that runs cannot be asked, from what etcdctl 3.4 to 3.7 really printed."""

from __future__ import annotations

import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import unaskable
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection

URL = "https://127.0.0.1:2379"
DEADLINE = "rpc error: code = DeadlineExceeded desc = latest balancer error: "
TIMED_OUT = f"Failed to get the status of endpoint {URL} (context deadline exceeded)"
PASSWORD = "etcdserver: authentication failed, invalid user ID or password"


def printed(error, last=TIMED_OUT, target="etcd-endpoints://0x174e4bb321e0/127.0.0.1:2379"):
    """What etcdctl printed: a warning of its own, the log line of the attempt, and the last line."""
    warning = {"level": "warn", "msg": "unrecognized environment variable", "environment-variable": "ETCDCTL_API=3"}
    attempt = {"level": "warn", "msg": "retrying of unary invoker failed", "target": target, "error": error}
    return "\n".join([json.dumps(warning), json.dumps(attempt), last])


@pytest.mark.parametrize(
    "error, last, words, does",
    [
        (
            f"rpc error: code = InvalidArgument desc = {PASSWORD}",
            f"Error: {PASSWORD}",
            PASSWORD,
            "refuses the password",
        ),
        (
            "rpc error: code = InvalidArgument desc = etcdserver: user name is empty",
            f"Failed to get the status of endpoint {URL} (etcdserver: user name is empty)",
            "etcdserver: user name is empty",
            "wants a user and a password",
        ),
        (
            "rpc error: code = PermissionDenied desc = etcdserver: permission denied",
            "Error: etcdserver: permission denied",
            "etcdserver: permission denied",
            "refuses the user",
        ),
        (
            DEADLINE
            + 'connection error: desc = "error reading server preface: remote error: tls: expired certificate"',
            TIMED_OUT,
            "error reading server preface: remote error: tls: expired certificate",
            "refuses the client certificate",
        ),
        (
            DEADLINE + 'connection error: desc = "error reading server preface: remote error: tls: bad certificate"',
            TIMED_OUT,
            "error reading server preface: remote error: tls: bad certificate",
            "refuses the client certificate",
        ),
        (
            DEADLINE + 'connection error: desc = "transport: authentication handshake failed: tls: failed to verify'
            ' certificate: x509: certificate signed by unknown authority"',
            TIMED_OUT,
            "authentication handshake failed: tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "has a certificate that is not trusted",
        ),
        (
            DEADLINE
            + 'connection error: desc = "transport: authentication handshake failed: x509: certificate has expired'
            ' or is not yet valid: current time 2026-11-28T08:40:57Z is after 2026-11-27T08:37:53Z"',
            TIMED_OUT,
            "authentication handshake failed: x509: certificate has expired or is not yet valid: current time"
            " 2026-11-28T08:40:57Z is after 2026-11-27T08:37:53Z",
            "has a certificate that is not trusted",
        ),
        (
            DEADLINE + 'connection error: desc = "error reading server preface: EOF"',
            TIMED_OUT,
            "error reading server preface: EOF",
            "is asked by the wrong scheme",
        ),
        (
            DEADLINE + 'connection error: desc = "transport: authentication handshake failed: EOF"',
            TIMED_OUT,
            "authentication handshake failed: EOF",
            "is asked by the wrong scheme",
        ),
        (
            DEADLINE
            + 'connection error: desc = "transport: Error while dialing: dial tcp: lookup no-such.example.invalid on'
            ' 10.255.255.53:53: no such host"',
            TIMED_OUT,
            "Error while dialing: dial tcp: lookup no-such.example.invalid on 10.255.255.53:53: no such host",
            "has a name that does not resolve",
        ),
        # A member that hangs, or one without a quorum to let a user log in: it refuses nothing.
        (
            "rpc error: code = DeadlineExceeded desc = context deadline exceeded while waiting for connections to become ready",
            TIMED_OUT,
            "context deadline exceeded",
            "",
        ),
        # What 3.4, and sometimes each of the others, sees of a TLS connection that the member has ended.
        (DEADLINE + "connection closed", TIMED_OUT, "connection closed", ""),
        (
            DEADLINE + "write tcp 127.0.0.1:48394->127.0.0.1:2379: write: broken pipe",
            TIMED_OUT,
            "write tcp 127.0.0.1:48394->127.0.0.1:2379: write: broken pipe",
            "",
        ),
    ],
)
@pytest.mark.parametrize(
    "target",
    ["etcd-endpoints://0x174e4bb321e0/127.0.0.1:2379", "passthrough:///https://127.0.0.1:2379"],
    ids=["new", "3.4"],
)
def test_etcdctls_own_words(error, last, words, does, target):
    said = unaskable.own_words(printed(error, last, target), URL)
    assert said == words
    found = unaskable.refusal(said)
    assert found.does == does and bool(found.next_step) is bool(does)


def test_another_endpoints_words_are_not_taken():
    assert unaskable.own_words(printed(DEADLINE + "connection closed", ""), "https://127.0.0.1:23790") == ""


@pytest.mark.parametrize(
    "line, does",
    [
        ("Error: open /no/x.crt: no such file or directory", "has no usable client certificate"),
        ("Error: open /root/x.key: permission denied", "has no usable client certificate"),
        ("Error: tls: private key does not match public key", "has no usable client certificate"),
        ("Error: rpc error: code = Unknown desc = auth: user name is empty", "wants a user and a password"),
        ("Name or service not known", "has a name that does not resolve"),
        ("Temporary failure in name resolution", "has a name that does not resolve"),
        ("Connection refused", ""),
        ("no connection within 2 s", ""),
    ],
)
def test_what_fails_before_any_endpoint_is_asked(line, does):
    assert unaskable.last_words(f'{{"level":"warn"}}\n{line}\n') == line
    assert unaskable.refusal(line).does == does


def test_lines_that_are_no_log_are_no_traceback():
    assert unaskable.own_words("{\n{}\n[]\nnull", URL) == unaskable.last_words("") == ""


def test_a_port_where_nobody_listens_has_no_fault_of_certificates():
    assert unaskable.handshake("https://127.0.0.1:1", Connection()) == ""
    assert unaskable.handshake("http://127.0.0.1:1", Connection()) == ""
    assert unaskable.handshake("unix:///run/etcd.sock", Connection()) == ""
