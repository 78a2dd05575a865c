# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The recovery kit beside a snapshot, ``<name>.kit.tar.gz``: what it tells of the members, and how a restore reads it.

Its first file, ``members.json``, is a ``Kit``. The manifest has the kit's SHA-256, so that who has signed that vouches for it.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass, field
from typing import Dict, List, Optional

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.values import TEXT, Misfit, from_plain
from .names import kit_path

FORMAT = 1
FOLDER = "kit"  # in the archive
MEMBERS = f"{FOLDER}/members.json"
OTHERS = f"{FOLDER}/others"  # a folder each for the files of the other hosts
LARGEST = 16 << 20  # bytes of a kit, and of what is read of it


@dataclass(frozen=True)
class Certificate:
    """A certificate in a file; a bundle has several. Subject, issuer and dates are openssl's words, empty where there is none.

    ``host`` is whose file it is; an older kit has those of its own host only, and does not say so.
    """

    path: str = field(metadata=TEXT)
    uses: List[str] = field(default_factory=list)
    sha256: str = ""
    subject: str = field(default="", metadata=TEXT)
    issuer: str = field(default="", metadata=TEXT)
    not_before: str = field(default="", metadata=TEXT)
    not_after: str = field(default="", metadata=TEXT)
    host: str = ""


@dataclass(frozen=True)
class KitMember:
    """A member as it was. What only its own host could tell is empty where that one was not looked at.

    ``tls_files`` are the certificates and keys that its configuration names, by the setting; ``files`` its configuration files in
    the kit. ``seen_at`` is since when a play has seen all that so, empty where it was seen as the kit was made.
    """

    name: str
    peer_urls: List[str]
    client_urls: List[str]
    id: str = ""
    is_learner: bool = False
    version: str = field(default="", metadata=TEXT)
    host: str = ""
    data_dir: str = field(default="", metadata=TEXT)
    wal_dir: str = field(default="", metadata=TEXT)
    unit: str = field(default="", metadata=TEXT)
    image: str = field(default="", metadata=TEXT)
    tls_files: Dict[str, str] = field(default_factory=dict, metadata=TEXT)
    files: List[str] = field(default_factory=list, metadata=TEXT)
    seen_at: str = ""


@dataclass(frozen=True)
class Kit:
    """``host`` is the one that has made it, ``files`` the configuration files of its own; ``notes`` say what could not be had.

    ``encryption_keys`` are names of an API server's keys, None where there is none; ``tools`` the versions of etcd's tools.
    """

    format: int
    cluster: str
    cluster_id: str
    host: str
    members: List[KitMember]
    tools: Dict[str, str] = field(default_factory=dict)
    certificates: List[Certificate] = field(default_factory=list)
    encryption_keys: Optional[List[str]] = None
    files: List[str] = field(default_factory=list, metadata=TEXT)
    notes: List[str] = field(default_factory=list, metadata=TEXT)


def read_kit(path: str, told: object) -> Optional[Kit]:
    """The kit of the snapshot at ``path``; ``told`` is what its manifest has of it, None where there is none.

    EtcdError for one that is gone, is another, or cannot be understood.
    """
    if not isinstance(told, dict):
        return None
    where = kit_path(path)
    try:
        with open(where, "rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise EtcdError(f"the recovery kit {where} cannot be read: {error.strerror}.") from error
    if len(content) > LARGEST or hashlib.sha256(content).hexdigest() != told.get("sha256"):
        raise EtcdError(f"the recovery kit {where} is not the one that its snapshot was saved with.")
    try:
        kit = from_plain(Kit, strict_json.parse_file(_members(content), where, "the recovery kit"))
    except (Misfit, tarfile.TarError, OSError, EOFError) as why:
        raise EtcdError(f"the recovery kit {where} cannot be understood: {why}.") from why
    if kit.format != FORMAT:
        raise EtcdError(f"the recovery kit {where} is of format {kit.format}.", "update the collection.")
    return kit


def _members(content: bytes) -> bytes:
    """The first file, and nothing behind it: a kit may unpack to anything."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|gz") as archive:
        first = archive.next()
        stream = archive.extractfile(first) if first and first.name == MEMBERS and first.size <= LARGEST else None
        if stream is None:
            raise tarfile.TarError(f"it does not begin with {MEMBERS}")
        return stream.read()
