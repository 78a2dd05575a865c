# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a recovery kit is made: what a restore on empty machines needs besides the data, as it was when that was saved.

An agent sees its own host only, and of the others what the cluster tells; a play has looked at all of them. No key and no
password gets in. The same input makes the same bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import stat
import tarfile
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ..core.errors import EtcdError
from ..core.values import to_plain
from ..etcd.commands import Run, Tools
from ..etcd.view import ClusterView
from ..host.facts import MemberFacts, Setting, Tls
from ..host.recorded import OwnMember, own_member
from ..snapshot.kit import FOLDER, FORMAT, MEMBERS, Kit, KitMember
from .certificates import certificates_in
from .masking import masked, masked_plain
from .pki import encrypted, pki_files

_LARGEST_FILE, _MOST_FILES = 256 << 10, 64  # bytes of a configuration file, and files
_README = """\
What a restore of the etcd cluster @CLUSTER@ on empty machines needs besides the snapshot that this lies beside.

1. Give the new machines the members' names and addresses (members.json), and install etcd in the version that is told there.
2. Put the members' PKI back, from where you keep it: members.json has their paths, fingerprints and expiry
   dates; the keys themselves are not in here, unless pki.tar.cms is: with its recipient's key,
     openssl cms -decrypt -inform PEM -in pki.tar.cms -inkey KEY -binary | tar x
   Certificates for other addresses must be made anew, by the same CA or by a new one.
3. Write the members' configuration; that of @HOST@ is in files/, passwords masked; settings.json has that of each host that
   was looked at. initial-cluster, its token and its state are the restore's to write.
4. Restore, with the collection quorum.etcd and an inventory of the new machines:
     ansible-playbook restore.yml -i INVENTORY -e etcd_restore_snapshot=SNAPSHOT -e etcd_restore_confirm=CLUSTER
   or without it, on each machine: zstd -d (or gunzip) the snapshot, then etcdutl snapshot restore SNAPSHOT --name=...
     --initial-cluster=... --initial-cluster-token=NEW --initial-advertise-peer-urls=... --data-dir=...
5. A Kubernetes needs the encryption keys that members.json names before its API server is started.
"""


@dataclass(frozen=True)
class Asked:
    """``member`` are the options of ``discover`` that say which member this host's is; ``hosts`` what a play has seen of all.

    ``recipient`` is the certificate (PEM) of who can open the PKI in it; empty: there is none in it. ``root`` is another folder
    than ``/`` in tests only.
    """

    member: Mapping[str, Any] = field(default_factory=dict)
    hosts: Mapping[str, MemberFacts] = field(default_factory=dict)
    recipient: str = ""
    root: str = "/"


class _Source(NamedTuple):
    """What one host told of its member."""

    host: str
    name: str
    peer_urls: Sequence[str]
    data_dir: str
    wal_dir: str
    unit: str
    image: str
    tls: Tls
    settings: Mapping[str, Setting]
    version: str = ""


class Made(NamedTuple):
    """The archive, and what of that which was asked for could not be had."""

    content: bytes
    concerns: Tuple[str, ...] = ()


def make_kit(run: Run, tools: Tools, view: ClusterView, cluster: str, asked: Asked) -> Made:
    """The kit. What cannot be had is a note in it, and no reason to have none. Without a PKI, the same makes the same bytes."""
    notes: List[str] = []
    here, own = socket.gethostname(), None
    try:
        own = own_member(asked.member, run, asked.root)
    except (EtcdError, OSError) as error:
        notes.append(f"the member of {here} could not be looked at: {error}")
    sources = [_of_host(host, facts) for host, facts in sorted(asked.hosts.items()) if facts.found]
    sources += [_of_own(here, own)] if own and own.name and not _is_among(own, sources) else []
    files = _files(own, asked.root, notes) if own else {}
    certificates = certificates_in(run, asked.root, _uses([own.tls] if own else []), notes)
    sealed, concerns = _sealed(run, own, asked, notes)
    kit = Kit(
        format=FORMAT,
        cluster=cluster,
        cluster_id=view.cluster_id,
        host=here,
        members=_members(view, sources),
        tools={name: str(tool.version) for name, tool in vars(tools).items() if tool},
        certificates=certificates,
        encryption_keys=own.encryption_keys if own else None,
        files=sorted(files),
        notes=notes,
    )
    settings = {one.host: {name: to_plain(found) for name, found in one.settings.items()} for one in sources}
    content = _archive(
        {
            MEMBERS: _json(to_plain(kit)),
            f"{FOLDER}/README": _README.replace("@CLUSTER@", cluster).replace("@HOST@", here).encode(),
            f"{FOLDER}/settings.json": _json(settings),
            **{f"{FOLDER}/files{path}": text for path, text in files.items()},
            **sealed,
        }
    )
    return Made(content, concerns)


def _sealed(
    run: Run, own: Optional[OwnMember], asked: Asked, notes: List[str]
) -> Tuple[Dict[str, bytes], Tuple[str, ...]]:
    """The PKI of this host's member, encrypted, where it is asked for; and why it is not there."""
    if not asked.recipient:
        return {}, ()
    try:
        files = pki_files(own.tls.by_setting(), lambda path: _at(asked.root, path)) if own else {}
        if files:
            plain = _tar({path.lstrip("/"): content for path, content in files.items()})
            return {f"{FOLDER}/pki.tar.cms": encrypted(run, plain, asked.recipient)}, ()
        why = "no file of a PKI was found"
    except (EtcdError, OSError) as error:
        why = str(error)
    notes.append(f"the PKI is not in here: {why}")
    return {}, (f"the recovery kit is without the PKI: {why}",)


def _of_own(host: str, own: OwnMember) -> _Source:
    told = (own.data_dir, own.wal_dir, own.unit, own.image, own.tls, own.settings)
    return _Source(host, own.name, own.peer_urls, *told)


def _of_host(host: str, facts: MemberFacts) -> _Source:
    version = facts.tools.etcd.version if facts.tools.etcd else ""
    told = (facts.data_dir, facts.wal_dir, facts.service.name, facts.service.image, facts.tls, facts.settings)
    return _Source(host, facts.name, facts.peer_urls, *told, version)


def _is_among(own: OwnMember, sources: Sequence[_Source]) -> bool:
    return own.name in {one.name for one in sources}


def _members(view: ClusterView, sources: Sequence[_Source]) -> List[KitMember]:
    """The cluster's list, with what the hosts told; where the list cannot be had, the hosts' own words."""
    found = [
        KitMember(one.name, list(one.peer_urls), list(one.client_urls), one.id, one.is_learner, one.version)
        for one in view.members
    ]
    known = {member.name for member in found}
    found += [KitMember(one.name, list(one.peer_urls), []) for one in sources if one.name not in known]
    return [_with(member, next((one for one in sources if one.name == member.name), None)) for member in found]


def _with(member: KitMember, source: Optional[_Source]) -> KitMember:
    if source is None:
        return member
    return replace(
        member,
        version=member.version or source.version,
        host=source.host,
        data_dir=source.data_dir,
        wal_dir=source.wal_dir,
        unit=source.unit,
        image=source.image,
        tls_files=source.tls.by_setting(),
    )


def _uses(all_tls: Sequence[Tls]) -> Dict[str, List[str]]:
    """By file the settings that name it; files of certificates, and never of keys."""
    uses: Dict[str, List[str]] = {}
    for tls in all_tls:
        for setting, path in tls.by_setting().items():
            if not setting.endswith("key-file"):
                uses.setdefault(path, []).append(setting)
    return uses


def _files(own: OwnMember, root: str, notes: List[str]) -> Dict[str, bytes]:
    """The configuration files of this host's member, without their secrets."""
    found: Dict[str, bytes] = {}
    for path in own.files[:_MOST_FILES]:
        try:
            with open(_at(root, path), encoding="utf-8", errors="surrogateescape", newline="") as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    continue
                text = file.read(_LARGEST_FILE + 1)
        except OSError as error:
            notes.append(f"{path} could not be read: {error.strerror}")
            continue
        if len(text) > _LARGEST_FILE:
            notes.append(f"{path} has more than {_LARGEST_FILE} bytes, and is left out")
        else:
            found[path] = masked(text).encode("utf-8", "surrogateescape")
    if len(own.files) > _MOST_FILES:
        notes.append(f"of {len(own.files)} files the first {_MOST_FILES} are here")
    return found


def _at(root: str, path: str) -> str:
    return path if root == "/" else os.path.join(root, path.lstrip("/"))


def _json(plain: Any) -> bytes:
    return (json.dumps(masked_plain(plain), indent=2, sort_keys=True) + "\n").encode()


def _archive(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0, filename="") as stream:
        stream.write(_tar(files))
    return packed.getvalue()


def _tar(files: Mapping[str, bytes]) -> bytes:
    """These files in their order, each its owner's alone; without times or names of users."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o600
            archive.addfile(entry, io.BytesIO(content))
    return plain.getvalue()
