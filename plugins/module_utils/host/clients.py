# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The clients of a cluster on a host: their files name the members of now, and each reads its own again after a change.

Of a change that was interrupted before its client had read the file again there is a note in the state folder, so that the
next run does what is missing, although the file is right by then.
"""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import os
import socket
from dataclasses import dataclass, field, replace
from typing import Dict, Iterable, List, Optional, Sequence, Tuple
from urllib.parse import urlsplit

from ..core.durable import put
from ..core.errors import EtcdError
from ..core.values import TEXT
from ..etcd.commands import Run
from . import endpoint_files
from .api_server import PATTERN, ApiServer, manifests
from .endpoints import Membership, Rewritten, addresses, is_loopback, rewrite
from .processes import Host
from .settings.files import backup_copy, read_file, write_file

_TOLD = 400  # characters of what a command has printed


@dataclass(frozen=True)
class Client:
    """A file in which a list of endpoints stands, where ``pattern`` or ``setting`` says; ``format`` empty: by its name.

    ``reload`` is the command that makes the client read it again, as words; empty where it does so by itself.
    ``api_server``: it is the manifest of Kubernetes' API server, which the kubelet restarts at each change of it.
    """

    path: str = field(metadata=TEXT)
    pattern: str = field(default="", metadata=TEXT)
    setting: str = field(default="", metadata=TEXT)
    format: str = ""
    separator: str = field(default=",", metadata=TEXT)
    reload: List[str] = field(default_factory=list, metadata=TEXT)
    api_server: bool = False

    def span(self, text: str) -> endpoint_files.Span:
        if bool(self.pattern) == bool(self.setting):
            raise EtcdError("it is not said where the endpoints stand in it.", "give it either pattern or setting.")
        if self.pattern:
            return endpoint_files.by_pattern(text, self.pattern, self.separator)
        format = self.format or endpoint_files.format_of(self.path)
        return endpoint_files.by_setting(text, self.setting, format, self.separator)


@dataclass(frozen=True)
class ClientState:
    """A client as it was found, and as it is after a change. ``reloads``: it has yet to read its file again.

    ``problem`` and ``next_step`` say what is wrong with it, empty where nothing is; ``others`` and ``unusable`` are as in
    ``Rewritten``. ``api_server`` is as in ``Client``.
    """

    path: str = field(metadata=TEXT)
    before: List[str] = field(default_factory=list, metadata=TEXT)
    after: List[str] = field(default_factory=list, metadata=TEXT)
    changed: bool = False
    reloads: bool = False
    backup: str = ""
    others: List[str] = field(default_factory=list, metadata=TEXT)
    unusable: List[str] = field(default_factory=list)
    problem: str = field(default="", metadata=TEXT)
    next_step: str = field(default="", metadata=TEXT)
    api_server: bool = False

    def failed(self, error: EtcdError) -> ClientState:
        return replace(self, problem=f"{self.path}: {error.message}", next_step=error.next_step)


def with_api_servers(clients: Sequence[Client], manifest: str, root: str = "/") -> List[Client]:
    """``clients``, and the manifests beside etcd's (or where that would be) of API servers that are told their endpoints."""
    named = {os.path.realpath(client.path) for client in clients}
    found = [
        Client(path, pattern=PATTERN, api_server=True) for path in manifests(Host(root), os.path.dirname(manifest))
    ]
    # One that cannot be read, such as for a variable in it, names no member that anybody could look for.
    return [*clients, *(one for one in found if os.path.realpath(one.path) not in named and not look(one).problem)]


def of_this_host(urls: Iterable[str]) -> List[str]:
    """Those of client URLs whose IP address is one of this host alone: a loopback address of the same port stands for them."""
    return [url for url in urls if _is_here(urlsplit(url).hostname or "")]


def _is_here(host: str) -> bool:
    """Nothing is sent: it is the kernel that chooses the address to speak from, and to itself it speaks from the very same."""
    try:
        address = ipaddress.ip_address(host)
        if address.is_loopback or address.is_unspecified:
            return False
        with socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((host, 1))
            return ipaddress.ip_address(asking.getsockname()[0]) == address
    except (OSError, ValueError):
        return False


def look(client: Client) -> ClientState:
    """Which endpoints the file names; with a problem where that cannot be said: then nothing could be changed in it later."""
    state = ClientState(client.path, api_server=client.api_server)
    try:
        text = read_file(client.path)
        start, end, _joint = client.span(text)
        found = addresses(text[start:end])
    except EtcdError as error:
        return state.failed(error)
    if not found:
        return state.failed(
            EtcdError("the list of endpoints there is empty.", "name the place of another, or fill it.")
        )
    return replace(state, before=found, after=found)


class Settling:
    """The clients of a host, and the members of now. ``state_dir`` keeps copies of the files, and the notes.

    Without ``reloads`` no client is told to read its file again; the notes stay for whoever does it later.
    """

    def __init__(
        self,
        clients: Sequence[Client],
        members: Membership,
        state_dir: str,
        run: Run,
        api_server: Optional[ApiServer] = None,
        reloads: bool = True,
    ) -> None:
        self.clients = clients
        self.members = members
        self.state_dir = state_dir
        self.run = run
        self.api_server = api_server or ApiServer()
        self.reloads = reloads

    def plan(self) -> List[ClientState]:
        """What ``settle`` would do."""
        return [self._plan(client) for client in self.clients]

    def settle(self, stamp: str) -> List[ClientState]:
        """Write what is to change, then let each client read it again: a command that several have in common runs once.

        Where one cannot be settled the others are, but for API servers: of these the next stays as it is.
        """
        states = [self._write(client, stamp) for client in self.clients if not client.api_server]
        files = [client for client in self.clients if not client.api_server]
        states = self._reload(files, states)
        for client in (client for client in self.clients if client.api_server):
            if any(state.api_server and state.problem for state in states):
                break
            states.append(self._restart(client, stamp))
        return states

    def _plan(self, client: Client) -> ClientState:
        state = look(client)
        if state.problem:
            return state
        try:
            done = self._rewritten(client)[1]
        except EtcdError as error:
            return state.failed(error)
        changed = done.before != done.after
        return replace(
            state,
            after=done.after,
            changed=changed,
            reloads=(bool(client.reload) or client.api_server) and (changed or os.path.exists(self._note(client))),
            others=done.others,
            unusable=done.unusable,
        )

    def _rewritten(self, client: Client) -> Tuple[str, Rewritten]:
        """The whole text, and the list in it."""
        text = read_file(client.path)
        start, end, joint = client.span(text)
        done = rewrite(text[start:end], self.members, joint)
        whole = text[:start] + done.text + text[end:]
        start, end, _joint = client.span(whole)
        if addresses(whole[start:end]) != done.after:
            raise EtcdError(
                f"its list cannot become {', '.join(done.after)} without changing what stands around it.",
                "put the addresses in quotes, or change it by hand.",
            )
        return whole, done

    def _write(self, client: Client, stamp: str) -> ClientState:
        """The file is replaced at once, with its owner and mode, and a copy of what it was is kept."""
        state = self._plan(client)
        if state.problem or not state.changed:
            return state
        nothing = replace(state, after=state.before, changed=False, reloads=False)
        try:
            text, _done = self._rewritten(client)
            backup = backup_copy(client.path, os.path.join(self.state_dir, "config"), stamp)
            if state.reloads:
                os.makedirs(os.path.dirname(self._note(client)), mode=0o700, exist_ok=True)
                put(self._note(client), client.path.encode("utf-8", "surrogateescape"))
            write_file(client.path, text)
        except EtcdError as error:
            return nothing.failed(error)
        except OSError as error:
            return nothing.failed(
                EtcdError(f"{error.strerror or error}.", "see that it can be written, and run again.")
            )
        return replace(state, backup=backup)

    def _reload(self, clients: Sequence[Client], states: Sequence[ClientState]) -> List[ClientState]:
        done: Dict[Tuple[str, ...], str] = {}
        told = []
        for client, state in zip(clients, states):
            if self.reloads and state.reloads and not state.problem:
                words = tuple(client.reload)
                if words not in done:
                    done[words] = self._command(client.reload)
                state = self._reloaded(client, state, done[words])
            told.append(state)
        return told

    def _reloaded(self, client: Client, state: ClientState, failure: str) -> ClientState:
        if failure:
            again = "see to it and run again: the file names the members already, and its reload is tried once more."
            return state.failed(EtcdError(failure, again))
        self._forget(client)
        return state

    def _command(self, words: Sequence[str]) -> str:
        """Why it failed; empty where it did not."""
        shown = " ".join(words)
        try:
            result = self.run(list(words), {})
        except OSError as error:
            return f"its reload '{shown}' cannot be run: {error.strerror or error}."
        if result.rc == 0:
            return ""
        said = (result.err.strip() or result.out.strip())[-_TOLD:]
        return f"its reload '{shown}' failed with exit code {result.rc}{': ' if said else '.'}{said}"

    def _restart(self, client: Client, stamp: str) -> ClientState:
        """The manifest of an API server is written, and the pod that the kubelet makes of it is ready."""
        state = self._write(client, stamp)
        if not self.reloads or not state.reloads or state.problem:
            return state
        try:
            self.api_server.wait(read_file(client.path))
        except EtcdError as error:
            kept = f" The manifest as it was is {state.backup}." if state.backup else ""
            return state.failed(EtcdError(f"{error.message}{kept}", error.next_step))
        self._forget(client)
        return state

    def _note(self, client: Client) -> str:
        of = "\0".join([client.path, *client.reload]).encode("utf-8", "surrogateescape")
        return os.path.join(self.state_dir, "clients", hashlib.sha256(of).hexdigest()[:16])

    def _forget(self, client: Client) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._note(client))


def refusal(states: Sequence[ClientState]) -> str:
    """Why clients could not be told of a change of the members, before there is one; empty where they could."""
    wrong = [f"{state.problem} Next: {state.next_step}" for state in states if state.problem]
    return f"A client in etcd_clients could not be told of a change of the members: {' '.join(wrong)}" if wrong else ""


def in_words(state: ClientState) -> List[str]:
    """What is changed in a client, for people: a line, and below it what else to know."""
    if state.problem:
        return [f"{state.problem} Next: {state.next_step}"]
    lines = [f"{state.path}: {_what(state)}"]
    members = [address for address in state.before if address not in state.others]
    strangers = [address for address in state.others if not is_loopback(address)]
    if members and strangers:
        lines.append(
            f"  {', '.join(strangers)} stays there, and is no member's: if it was one's, run clients.yml with"
            f' -e \'{{"etcd_clients_gone": ["https://{strangers[0].rpartition("//")[2]}"]}}\'.'
        )
    if state.unusable:
        lines.append(
            f"  {', '.join(state.unusable)} has no client URL that leads this client to it, so it is not there."
        )
    if state.api_server and state.changed:
        lines.append(
            "  Where kubeadm made it, its upgrades write it again from the ConfigMap kubeadm-config: change the endpoints there"
            " too, with kubectl -n kube-system edit configmap kubeadm-config."
        )
    return lines


def _what(state: ClientState) -> str:
    again = "the API server restarts with it" if state.api_server else "its client reads it again"
    if state.changed:
        change = f"{', '.join(state.before)} -> {', '.join(state.after)}"
        return f"{change}; {again}" if state.reloads else change
    if state.reloads:
        return f"right; an earlier run did not get to the end, so {again}"
    names_members = len(state.others) < len(state.before)
    return f"right, {', '.join(state.before)}" if names_members else "names no member, so nothing is changed"
