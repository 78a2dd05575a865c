# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A stream of bytes to and from a command on a host, beside Ansible's own connection.

Ansible's shared connection compresses (``-C`` in its default ``ssh_args``) and holds what it transfers in memory: right
for modules, wrong for gigabytes. A wire is an ssh of its own with the same settings and neither of the two.
"""

from __future__ import annotations

import shlex
import socket
import subprocess
from contextlib import contextmanager
from typing import IO, Any, Callable, Iterator, cast

MARK = b"quorum-etcd "  # begins the line after which the stream is ours: sudo and login scripts may print before it
CHUNK = 1 << 20
UNREACHABLE = 255  # ssh's own exit code
# A host that is gone says nothing, and neither does ssh by itself, for two hours. What the user has set comes before this.
SILENCE = "-o ServerAliveInterval=5 -o ServerAliveCountMax=4"


class WireError(Exception):
    """The command on the host failed; the text is what it said. ``unreachable`` where ssh itself did."""

    def __init__(self, text: str, unreachable: bool = False) -> None:
        super().__init__(text)
        self.unreachable = unreachable


def bound_silence(connection: Any) -> None:
    """Let ssh give up a host from which nothing has come for 20 seconds: others of its cluster may be waiting, stopped.

    A connection that is shared is bound by who opened it; so the first task of a play asks for this too.
    """
    if connection.transport != "ssh":
        return
    given = connection.get_option("ssh_extra_args") or ""
    if SILENCE not in given:
        connection.set_option("ssh_extra_args", f"{given} {SILENCE}".strip())


class Wire:
    """Runs shell commands on the host of an Ansible connection, with its ``become``."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._become = connection.become

    @classmethod
    def of(cls, connection: Any) -> Wire | None:
        """None where there is no quick way: another kind of connection, a password for ssh, or another become than sudo."""
        if connection.become is not None and connection.become.name not in ("sudo", "ansible.builtin.sudo"):
            return None
        if connection.transport == "local":
            return cls(connection)
        if connection.transport != "ssh" or any(_option(connection, name) for name in _INTERACTIVE):
            return None
        bound_silence(connection)
        return cls(connection)

    def open(self, command: str) -> Stream:
        """Start ``command``, a line of POSIX shell that prints a line which starts with MARK before anything of its own."""
        password = ""
        if self._become is None:
            command = f"/bin/sh -c {shlex.quote(command)}"
        else:
            command = self._become.build_become_command(command, self._connection._shell)
            password = self._become.get_option("become_pass") or ""
        return Stream([*self._shell(), command], password)

    def _shell(self) -> list[str]:
        if self._connection.transport == "local":
            return ["/bin/sh", "-c"]
        option = self._connection.get_option
        quick = [
            "Compression=no",
            "ControlMaster=no",
            "ControlPath=none",
            "BatchMode=yes",
        ]  # ssh takes the first it sees
        argv = [option("ssh_executable"), "-T", *_options(quick)]
        argv += [word for word in shlex.split(option("ssh_args") or "") if word != "-C"]
        if option("host_key_checking") is False:
            argv += _options(["StrictHostKeyChecking=no"])
        given = {"Port": option("port"), "IdentityFile": option("private_key_file"), "User": option("remote_user")}
        given["ConnectTimeout"] = option("timeout")
        argv += _options([f'{name}="{value}"' for name, value in given.items() if value])
        for name in ("ssh_common_args", "ssh_extra_args"):
            argv += shlex.split(option(name) or "")
        return [argv[0], *_quick_ciphers([*argv, option("host")]), *argv[1:], option("host")]


_INTERACTIVE = ("password", "private_key", "pkcs11_provider")


def _option(connection: Any, name: str) -> Any:
    """An option that older releases of ansible-core may not know."""
    try:
        return connection.get_option(name)
    except KeyError:
        return None


def _quick_ciphers(argv: list[str]) -> list[str]:
    """The ciphers that this ssh may use with this host, those first that processors do in hardware.

    OpenSSH 10 puts AES-GCM first too; before, ChaCha20 came first, with which two hosts took half as long again here.
    """
    told = subprocess.run([argv[0], "-G", *argv[1:]], capture_output=True, text=True, check=False).stdout  # noqa: S603
    ciphers = next((line.split()[1].split(",") for line in told.splitlines() if line.startswith("ciphers ")), [])
    return _options([f"Ciphers={','.join(sorted(ciphers, key=lambda name: '-gcm' not in name))}"] if ciphers else [])


def _options(given: list[str]) -> list[str]:
    return [word for one in given for word in ("-o", one)]


class Stream:
    """A running command: what goes to it and what comes from it. A context manager, which ends it."""

    def __init__(self, argv: list[str], password: str) -> None:
        # A socket and not a pipe: a file goes into it without a detour through this process.
        self._input, its_end = socket.socketpair()
        with its_end:
            self._process = subprocess.Popen(  # noqa: S603
                argv, stdin=its_end.fileno(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
            )
        self.output: IO[bytes] = cast(IO[bytes], self._process.stdout)
        if password:
            self.write(password.encode() + b"\n")

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._input.close()
        self._process.kill()
        self._process.communicate()

    def begin(self) -> str:
        """Wait for the line with the mark; returns the rest of that line."""
        for line in self.output:
            _before, mark, word = line.partition(MARK)
            if mark:
                return word.decode().strip()
        self.end()
        raise WireError("it said nothing")

    def write(self, words: bytes) -> None:
        with self._telling_why():
            self._input.sendall(words)

    def send(self, file: IO[bytes], moved: Callable[[int], None]) -> None:
        """Send a whole file; ``moved`` is told after each chunk how many bytes have gone so far."""
        done = 0
        with self._telling_why():
            while sent := self._input.sendfile(file, done, CHUNK):
                done += sent
                moved(done)

    def receive(self, file: IO[bytes], moved: Callable[[int], None]) -> int:
        """Write all that comes to a file, and tell as ``send`` does; returns the number of bytes."""
        done = 0
        while chunk := self.output.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
            moved(done)
        return done

    @contextmanager
    def _telling_why(self) -> Iterator[None]:
        try:
            yield
        except ConnectionError as error:
            self.end()
            raise WireError("it ended before it had read everything") from error

    def end(self) -> bytes:
        """Close its input and wait; returns the rest of its output. WireError where it failed."""
        self._input.close()
        rest, said = self._process.communicate()
        if self._process.returncode:
            words = said.decode(errors="replace").strip().splitlines()
            raise WireError(words[-1] if words else "no message", self._process.returncode == UNREACHABLE)
        return rest
