# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host without etcd becomes one with a member that has yet to be started; a host that has one is not touched.

Everything is looked at, and refused, before anything is changed; a run that was killed is simply run again.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Optional, Tuple

from ...core.errors import EtcdError
from ...etcd.commands import Run, Tool
from ...etcd.versions import Version, parse_version
from ..data import NOT_DATA, data_facts
from ..facts import MemberFacts
from ..made import File, Files, text_file
from ..processes import Host
from ..settings.formats import read
from ..tools import look_for_tools
from .asked import complaint, in_its_types
from .binaries import Opened, Programs
from .configuration import alone, differences, settings_of, text_of
from .pairs import check_pairs
from .unit import unit_text
from .wanted import SYSTEM_FOLDERS, Server

ARCHIVE, PACKAGE = "archive", "package"  # what a host can lack that must be brought to it first
INITIAL = ("initial-cluster", "initial-cluster-state", "initial-cluster-token")


@dataclass(frozen=True)
class Source:
    """Where the programs come from. ``kind`` is ``none``, ``package``, ``archive`` or ``file``.

    ``sha256`` is the archive's, for this host's architecture; ``archive`` opens it, None where it is not here yet.
    """

    kind: str
    sha256: str = ""
    archive: Optional[Opened] = None


@dataclass(frozen=True)
class Prepared:
    """``there``: the host has a member, which was not touched; ``said`` is what the operator should know of it.

    ``wants`` is what must be brought to the host before more can be done. ``changes`` are diffs.
    """

    changes: List[Dict[str, str]] = field(default_factory=list)
    there: bool = False
    said: List[str] = field(default_factory=list)
    wants: str = ""
    version: str = ""


class Preparation:
    """``tls_files`` are the contents of those files that are to be put on the host, by their paths there.

    ``root`` is another folder than ``/`` in tests only.
    """

    def __init__(
        self, server: Server, source: Source, tls_files: Mapping[str, bytes], run: Run, root: str = "/"
    ) -> None:
        self._server, self._source, self._tls_files, self._run = server, source, tls_files, run
        self._files, self._host, self._root = Files(root), Host(root), root
        self._programs = Programs(source.sha256, server.bin_dir, root) if source.sha256 else None

    def prepare(self, member: MemberFacts, pretend: bool) -> Prepared:
        """Make the host as it should be, or with ``pretend`` say what would change. ``member`` is what it has now."""
        if self._has_member(member):
            return Prepared(there=True, said=self._said_of(member))
        self._check_folders()
        self._check_tls()
        if self._programs:
            self._programs.wrong_links()  # refuses what is another's
            if not self._programs.are_unpacked():
                if pretend or self._source.archive is None:
                    return Prepared(self._changes([]), wants=ARCHIVE)
                self._programs.unpack(self._source.archive)
        etcd = self._etcd()
        if etcd is None:
            return Prepared(self._changes([]), wants=PACKAGE)
        files = self._files_of(etcd)
        changes = self._changes(files)
        if changes and not pretend:
            self._make(files)
        return Prepared(changes, version=str(etcd.version))

    # ---- what is there ---------------------------------------------------------------------------------------------

    def _has_member(self, member: MemberFacts) -> bool:
        wanted = data_facts(self._host, self._server.data_dir, self._server.wal_dir)
        return member.running or member.data.has_member or wanted.has_member

    def _said_of(self, member: MemberFacts) -> List[str]:
        """What an operator should know of a member that is here."""
        server, tool = self._server, member.tools.etcd
        if member.data_dir != server.data_dir or not self._files.has(server.config_file) or tool is None:
            where = f" with its data in {member.data_dir}" if member.data_dir else ""
            return [
                f"a member is here already{where}, which install.yml has not made: nothing was touched. If it is the one that a"
                " package has started by itself: systemctl disable --now etcd, move its data away, and run again."
            ]
        version = parse_version(tool.version)
        wanted = settings_of(self._typed(tool.path), version, alone(server))
        differ = differences(read("yaml", self._files.text(server.config_file)), wanted)
        if not differ:
            return []
        return [
            f"a member is here already, and nothing of it was touched. Not as it is wanted now: {'; '.join(differ)}. To roll it"
            " out: quorum.etcd.member_config on each host, then restart one member after the other."
        ]

    def _check_folders(self) -> None:
        """EtcdError where something lies already in what is to be etcd's alone."""
        for variable, path in (("etcd_data_dir", self._server.data_dir), ("etcd_wal_dir", self._server.wal_dir)):
            found = [name for name in (self._host.list(path) if path else []) if not name.startswith(NOT_DATA)]
            if found:
                raise EtcdError(
                    f"{path} is to be etcd's alone, and there is {', '.join(found[:5])} in it.",
                    f"move that away, or set {variable} to another folder.",
                )

    def _check_tls(self) -> None:
        paths = self._server.tls
        pairs = [(paths.ca, paths.cert, paths.key), (paths.peer_ca, paths.peer_cert, paths.peer_key)]
        missing = [path for path in dict.fromkeys(sum(pairs, ())) if path and not self._has_tls(path)]
        if missing:
            raise EtcdError(
                f"{', '.join(missing)} is not there.",
                "put it there, or let it come from the controller (etcd_tls_on_hosts=false).",
            )
        check_pairs([tuple(self._tls_content(path) for path in pair) for pair in pairs if pair[0]])

    def _has_tls(self, path: str) -> bool:
        return path in self._tls_files or self._files.has(path)

    def _tls_content(self, path: str) -> Tuple[str, bytes]:
        if path in self._tls_files:
            return path, self._tls_files[path]
        with open(self._files.at(path), "rb") as stream:
            return path, stream.read()

    def _etcd(self) -> Optional[Tool]:
        """The etcd that is to run: out of the archive, which is not linked yet, or where the site has it."""
        folder = self._programs.folder if self._programs else self._server.bin_dir
        found, missing = look_for_tools(self._run, self._files.at(folder), root="/")
        tool = found.etcd
        if tool and os.path.dirname(tool.path) == self._files.at(folder):
            return tool
        if self._source.kind == PACKAGE and not self._files.has(self._server.etcd):
            return None
        why = f"it is in {os.path.dirname(tool.path)}" if tool else missing["etcd"]
        raise EtcdError(
            f"there is no etcd in {folder} that can be used: {why}.",
            "put etcd, etcdctl and etcdutl there, set etcd_bin_dir to where they are, or set etcd_install_from.",
        )

    # ---- what is to be ---------------------------------------------------------------------------------------------

    def _typed(self, etcd: str) -> Server:
        """With the operator's settings as this etcd takes them; EtcdError for one that it would pass over."""
        return replace(self._server, settings=in_its_types(self._run, etcd, self._server.settings))

    def _files_of(self, etcd: Tool) -> List[File]:
        """Every file of the member. EtcdError where this etcd would not take its settings."""
        server = self._typed(etcd.path)
        text = text_of(self._settings(server, etcd.version))
        why = complaint(self._run, etcd.path, text)
        if why:
            raise EtcdError(f"etcd {etcd.version} does not take this configuration: {why}.", "correct etcd_settings.")
        files = [text_file(server.config_file, text, 0o644), text_file(server.unit_path, unit_text(server), 0o644)]
        keys = {server.tls.key, server.tls.peer_key}
        for path, content in self._tls_files.items():
            files.append(File(path, content, 0o600 if path in keys else 0o644, owner=self._ids()))
        return files

    def _settings(self, server: Server, version: Version) -> Dict[str, str]:
        """What a file of ours says of the cluster stays: who adds the member has written it."""
        found = settings_of(server, version, alone(server))
        text = self._files.text(server.config_file)
        now = read("yaml", text) if text else {}
        if now.get("name") == server.name and now.get("initial-advertise-peer-urls") == ",".join(server.peer_urls):
            found.update({name: now[name] for name in INITIAL if now.get(name)})
        return found

    def _folders(self) -> Dict[str, int]:
        """The folders of etcd's user, with their modes."""
        found: Dict[str, int] = {}
        for path in (self._server.data_dir, self._server.wal_dir):
            above = os.path.dirname(path)
            if path and above not in SYSTEM_FOLDERS:
                found[above] = 0o700
        found[self._server.data_dir] = 0o700
        return found

    def _changes(self, files: List[File]) -> List[Dict[str, str]]:
        """What is not as it should be; with no ``files`` those that the version decides are left out."""
        server, found = self._server, []
        if not self._user_is_there():
            found.append(_made(f"user {server.user}", "(a user of the system)\n"))
        if self._programs and (not self._programs.are_unpacked() or self._programs.wrong_links()):
            links = "".join(f"{path} -> {target}\n" for path, target in self._programs.links().items())
            found.append(_made(f"{self._programs.folder}", links))
        found += [
            _made(path, f"(a folder of {server.user}, {mode:04o})\n")
            for path, mode in self._folders().items()
            if not self._is_folder(path, mode)
        ]
        if not files:
            found.append(_made(server.unit_path, unit_text(server)))
            found.append(
                _made(server.config_file, "(etcd's settings, under the names of the version that is installed)\n")
            )
        found += [self._files.diff(file) for file in files if not self._files.is_as(file)]
        return found

    def _is_folder(self, path: str, mode: int) -> bool:
        try:
            status = os.lstat(self._files.at(path))
        except OSError:
            return False
        owner = (status.st_uid, status.st_gid)
        return stat.S_ISDIR(status.st_mode) and owner == self._ids() and stat.S_IMODE(status.st_mode) == mode

    # ---- making it so ----------------------------------------------------------------------------------------------

    def _make(self, files: List[File]) -> None:
        self._make_user()
        files = [replace(file, owner=self._ids()) if file.owner else file for file in files]
        for path, mode in self._folders().items():
            self._make_folder(path, mode)
        due = [file for file in files if not self._files.is_as(file)]
        # The unit goes before the package's as soon as it is there; the links come last: without them nothing starts.
        for file in due:
            self._files.write(file)
        if any(file.path == self._server.unit_path for file in due):
            self._systemctl("daemon-reload")
        # Enabled when it is started: a host that boots before would start a member that nobody has added.
        self._systemctl("disable", "--quiet", f"{self._server.unit}.service")
        if self._programs:
            self._programs.link()

    def _ids(self) -> Tuple[int, int]:
        """User and group; of nobody while the user is not there yet."""
        try:
            entry = pwd.getpwnam(self._server.user)
            return entry.pw_uid, entry.pw_gid
        except KeyError:
            return -1, -1

    def _user_is_there(self) -> bool:
        with contextlib.suppress(KeyError):
            return bool(pwd.getpwnam(self._server.user) and grp.getgrnam(self._server.user))
        return False

    def _make_user(self) -> None:
        if self._user_is_there():
            return
        home = os.path.dirname(self._server.data_dir)
        argv = ["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home]
        self._must([*argv, "--shell", "/usr/sbin/nologin", self._server.user])

    def _make_folder(self, path: str, mode: int) -> None:
        if self._is_folder(path, mode):
            return
        full = self._files.at(path)
        os.makedirs(full, mode=mode, exist_ok=True)
        handle = os.open(full, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fchown(handle, *self._ids())
            os.fchmod(handle, mode)
        finally:
            os.close(handle)

    def _systemctl(self, *words: str) -> None:
        self._must(["systemctl", *words])

    def _must(self, argv: List[str]) -> None:
        try:
            result = self._run(argv, {})
        except OSError as error:
            raise EtcdError(f"{argv[0]} cannot be run: {error.strerror}.", "install it, and run again.") from error
        if result.rc:
            said = (result.err or result.out).strip()
            raise EtcdError(
                f"'{' '.join(argv)}' failed with exit code {result.rc}: {said}", "mend that, and run again."
            )


def _made(what: str, text: str) -> Dict[str, str]:
    return {"before_header": what, "before": "", "after_header": what, "after": text}
