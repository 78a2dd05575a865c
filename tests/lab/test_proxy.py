# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy of the lab is a worse network, and what comes through it is what was sent."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from proxy import Proxy

CHECKOUT = Path(__file__).resolve().parents[2]
SILENT = 0.3  # seconds in which nothing comes


@pytest.fixture
def echo():
    """host:port of a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_accept, args=(listener,), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket) -> None:
    while True:
        try:
            taken, _address = listener.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(taken,), daemon=True).start()


def _answer(taken: socket.socket) -> None:
    with taken:
        try:
            while chunk := taken.recv(1 << 16):
                taken.sendall(chunk)
        except OSError:
            pass


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=30)


def asked(taken: socket.socket, text: bytes) -> bytes:
    taken.sendall(text)
    return received(taken, len(text))


def received(taken: socket.socket, size: int) -> bytes:
    answer = b""
    while len(answer) < size:
        chunk = taken.recv(1 << 16)
        if not chunk:
            break
        answer += chunk
    return answer


def silent(taken: socket.socket) -> bool:
    taken.settimeout(SILENT)
    try:
        return not taken.recv(1)
    except TimeoutError:
        return True
    finally:
        taken.settimeout(30)


def test_much_comes_through_as_it_was_sent(echo):
    sent = os.urandom(20 << 20)
    with Proxy(echo, delay=0.005) as proxy, connect(proxy) as taken:
        sender = threading.Thread(target=lambda: (taken.sendall(sent), taken.shutdown(socket.SHUT_WR)))
        sender.start()
        got = received(taken, len(sent) + 1)  # to its end
        sender.join()
    assert hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()


def test_nothing_comes_before_its_time(echo):
    """Each direction is delayed."""
    with Proxy(echo, delay=0.1) as proxy, connect(proxy) as taken:
        began = time.monotonic()
        assert asked(taken, b"x") == b"x"
        assert time.monotonic() - began >= 0.2
        proxy.delay = 0
        assert asked(taken, b"y") == b"y"


def test_a_delay_is_no_narrow_way(echo):
    """A hundred parts one after the other are on the way together: they take one delay and not a hundred."""
    with Proxy(echo, delay=0.2) as proxy, connect(proxy) as taken:
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.monotonic()
        for _part in range(100):
            taken.sendall(b"x" * 1000)
            time.sleep(0.001)
        assert len(received(taken, 100_000)) == 100_000
        assert time.monotonic() - began < 100 * 0.2


def test_a_partition_is_silent_and_what_was_sent_arrives_when_it_heals(echo):
    with Proxy(echo) as proxy, connect(proxy) as taken:
        assert asked(taken, b"x") == b"x"
        proxy.blackhole()
        taken.sendall(b"y")
        with connect(proxy) as late:
            late.sendall(b"z")
            assert silent(taken) and silent(late)
            proxy.heal()
            assert received(taken, 1) == b"y" and received(late, 1) == b"z"


def test_connections_are_cut_and_new_ones_refused_until_it_heals(echo):
    with Proxy(echo) as proxy, connect(proxy) as taken:
        assert asked(taken, b"x") == b"x" and proxy.connections == 1
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            taken.recv(1)
        with pytest.raises(ConnectionRefusedError):
            connect(proxy)
        port = proxy.port
        proxy.heal()
        with connect(proxy) as again:
            assert proxy.port == port and asked(again, b"y") == b"y"


def test_connections_are_reset_and_new_ones_served(echo):
    with Proxy(echo) as proxy, connect(proxy) as taken:
        assert asked(taken, b"x") == b"x"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            taken.recv(1)
        with connect(proxy) as again:
            assert asked(again, b"y") == b"y" and proxy.accepted == 2


def test_nobody_behind_it_is_a_reset():
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with Proxy(f"127.0.0.1:{port}") as proxy, connect(proxy) as taken, pytest.raises(ConnectionResetError):
        if taken.recv(1) == b"":
            raise ConnectionResetError


def test_it_is_a_program_that_ends_with_whoever_started_it(echo):
    argv = [sys.executable, str(CHECKOUT / "lab" / "proxy.py"), echo, "--delay", "1"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=30) as taken:
            assert asked(taken, b"x") == b"x"
        process.stdin.close()
        assert process.wait(30) == 0
