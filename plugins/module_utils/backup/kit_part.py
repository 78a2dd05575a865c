# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a recovery kit has of one host: its member, its configuration files without their secrets, its certificates.

Each host makes its own, so that nothing leaves it that is not masked. Packed it is one word, in which a play brings it to the
others: nothing in it can be taken for a template, and no byte of a file changes on the way.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import stat
import zlib
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, Optional, Tuple

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.values import TEXT, from_plain, to_plain
from ..etcd.commands import Run
from ..host.recorded import OwnMember, own_member
from ..snapshot.kit import Certificate
from .certificates import certificates_in
from .masking import masked, masked_plain

_LARGEST_FILE, _MOST_FILES = 256 << 10, 64  # bytes of a configuration file, and files
LARGEST_PACKED = 96 << 10  # characters: those of ten hosts fit into one file that an agent reads
_LARGEST_PLAIN = 16 << 20  # bytes of what is unpacked: another host has packed it


@dataclass(frozen=True)
class Part:
    """``files`` are contents by path, read as Latin-1, which has a character for each byte. ``tls_files`` are by setting.

    ``notes`` say what could not be had. ``seen_at`` is since when a play has seen it so, empty for what is seen just now.
    """

    name: str = ""
    peer_urls: List[str] = field(default_factory=list)
    data_dir: str = field(default="", metadata=TEXT)
    wal_dir: str = field(default="", metadata=TEXT)
    unit: str = field(default="", metadata=TEXT)
    image: str = field(default="", metadata=TEXT)
    version: str = field(default="", metadata=TEXT)
    tls_files: Dict[str, str] = field(default_factory=dict, metadata=TEXT)
    settings: Dict[str, Any] = field(default_factory=dict)
    files: Dict[str, str] = field(default_factory=dict, metadata=TEXT)
    certificates: List[Certificate] = field(default_factory=list)
    encryption_keys: Optional[List[str]] = None
    notes: List[str] = field(default_factory=list, metadata=TEXT)
    seen_at: str = ""


def part_of(run: Run, member: Mapping[str, Any], root: str = "/") -> Part:
    """This host's own; ``member`` are the options of ``discover`` that say which member that is."""
    try:
        own = own_member(member, run, root)
    except (EtcdError, OSError) as error:
        return Part(notes=[f"the member of {socket.gethostname()} could not be looked at: {error}"])
    notes: List[str] = []
    files = _files(own, root, notes)
    return Part(
        name=own.name,
        peer_urls=own.peer_urls,
        data_dir=own.data_dir,
        wal_dir=own.wal_dir,
        unit=own.unit,
        image=own.image,
        tls_files=own.tls.by_setting(),
        settings=masked_plain(to_plain(own.settings)),
        files=files,
        certificates=certificates_in(run, root, _uses(own.tls.by_setting()), notes),
        encryption_keys=own.encryption_keys,
        notes=notes,
    )


def packed(part: Part) -> str:
    """As one word, which can always be unpacked. The largest files are left out of one that would be too long.

    What a host says of itself may have any bytes: the kit has a question mark for what is no Unicode.
    """
    word = _fitting(part)
    try:
        unpacked(word, socket.gethostname())
    except EtcdError as error:
        return _word(Part(notes=[error.message]))
    return word


def _fitting(part: Part) -> str:
    word = _word(part)
    while len(word) > LARGEST_PACKED and part.files:
        largest = max(part.files, key=lambda path: len(part.files[path]))
        files = {path: content for path, content in part.files.items() if path != largest}
        part = replace(part, files=files, notes=[*part.notes, f"{largest} is left out, as the files are too large"])
        word = _word(part)
    return word


def unpacked(word: object, host: str) -> Part:
    """EtcdError, which names the host, where it is no packed part; an older version has told something else than a word."""
    unpacking = zlib.decompressobj()
    try:
        if not isinstance(word, str):
            raise ValueError("it is not a word")
        plain = unpacking.decompress(base64.b64decode(word, validate=True), _LARGEST_PLAIN)
        if not unpacking.eof:
            raise ValueError("it is cut off, or too large")
        return from_plain(Part, strict_json.parse(plain.decode()))
    except (ValueError, zlib.error) as why:
        raise EtcdError(
            f"what was seen of {host} for the recovery kit cannot be understood: {why}.",
            "give what member_info has told.",
        ) from why


def understood(words: Mapping[str, object]) -> Tuple[Dict[str, Part], Dict[str, str]]:
    """The parts by host, and why others cannot be understood: one host is no reason to have no kit. Of an empty word neither."""
    parts: Dict[str, Part] = {}
    notes: Dict[str, str] = {}
    for host, word in words.items():
        try:
            if word:
                parts[host] = unpacked(word, host)
        except EtcdError as error:
            notes[host] = error.message
    return parts, notes


def at(root: str, path: str) -> str:
    return path if root == "/" else os.path.join(root, path.lstrip("/"))


def _word(part: Part) -> str:
    plain = json.dumps(to_plain(part), sort_keys=True, ensure_ascii=False).encode("utf-8", "replace")
    return base64.b64encode(zlib.compress(plain)).decode()


def _uses(tls_files: Mapping[str, str]) -> Dict[str, List[str]]:
    """By file the settings that name it; files of certificates, and never of keys."""
    uses: Dict[str, List[str]] = {}
    for setting, path in tls_files.items():
        if not setting.endswith("key-file"):
            uses.setdefault(path, []).append(setting)
    return uses


def _files(own: OwnMember, root: str, notes: List[str]) -> Dict[str, str]:
    """The configuration files of this host's member, without their secrets."""
    found: Dict[str, str] = {}
    for path in own.files[:_MOST_FILES]:
        try:
            with open(at(root, path), encoding="utf-8", errors="surrogateescape", newline="") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    continue
                text = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            notes.append(f"{path} could not be read: {error.strerror}")
            continue
        if len(text) > _LARGEST_FILE:
            notes.append(f"{path} has more than {_LARGEST_FILE} bytes, and is left out")
        else:
            found[path] = masked(text).encode("utf-8", "surrogateescape").decode("latin-1")
    if len(own.files) > _MOST_FILES:
        notes.append(f"of {len(own.files)} files the first {_MOST_FILES} are here")
    return found
