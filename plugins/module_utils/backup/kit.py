# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How a recovery kit is made: what a restore on empty machines needs besides the data, as it was when that was saved.

Of its own host it has what that is now, of the others what a play has seen, and of all members what the cluster tells. No key
and no password gets in. The same input makes the same bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import tarfile
from dataclasses import dataclass, field, replace
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple
from urllib.parse import quote

from ..core.errors import EtcdError
from ..core.values import to_plain
from ..etcd.commands import Run, Tools
from ..etcd.view import ClusterView
from ..snapshot.kit import FOLDER, FORMAT, MEMBERS, OTHERS, Kit, KitMember
from .kit_part import Part, at, part_of
from .masking import masked_plain
from .pki import encrypted, pki_files

_README = """\
What a restore of the etcd cluster @CLUSTER@ on empty machines needs besides the snapshot that this lies beside.

1. Give the new machines the members' names and addresses (members.json), and install etcd in the version that is told there.
2. Put the members' PKI back, from where you keep it: members.json has their paths, fingerprints and expiry
   dates; the keys themselves are not in here, unless pki.tar.cms is: with its recipient's key,
     openssl cms -decrypt -inform PEM -in pki.tar.cms -inkey KEY -binary | tar x
   Certificates for other addresses must be made anew, by the same CA or by a new one.
3. Write the members' configuration, passwords masked: that of @HOST@ is in files/, and that of each other host which
   backup.yml has looked at in others/HOST/, as it was then (seen_at in members.json, where the host's own agent has made
   this). settings.json has the settings of each. initial-cluster, its token and its state are the restore's to write.
4. Restore, with the collection quorum.etcd and an inventory of the new machines:
     ansible-playbook restore.yml -i INVENTORY -e etcd_restore_snapshot=SNAPSHOT -e etcd_restore_confirm=CLUSTER
   or without it, on each machine: zstd -d (or gunzip) the snapshot, then etcdutl snapshot restore SNAPSHOT --name=...
     --initial-cluster=... --initial-cluster-token=NEW --initial-advertise-peer-urls=... --data-dir=...
5. A Kubernetes needs the encryption keys that members.json names before its API server is started.
"""


@dataclass(frozen=True)
class Asked:
    """``member`` are the options of ``discover`` that say which member this host's is; ``host`` is what a play calls this host.

    ``parts`` are what a play has seen, by host, and ``notes`` what could not be had of that. ``recipient`` is the certificate
    (PEM) of who can open the PKI in it; empty: there is none in it. ``root`` is another folder than ``/`` in tests only.
    """

    member: Mapping[str, Any] = field(default_factory=dict)
    host: str = ""
    parts: Mapping[str, Part] = field(default_factory=dict)
    notes: Sequence[str] = ()
    recipient: str = ""
    root: str = "/"


class Made(NamedTuple):
    """The archive, and what of that which was asked for could not be had."""

    content: bytes
    concerns: Tuple[str, ...] = ()


def make_kit(run: Run, tools: Tools, view: ClusterView, cluster: str, asked: Asked) -> Made:
    """The kit. What cannot be had is a note in it, and no reason to have none. Without a PKI, the same makes the same bytes."""
    here, version = asked.host or socket.gethostname(), str(tools.etcd.version) if tools.etcd else ""
    own = asked.parts.get(here) or replace(part_of(run, asked.member, asked.root), version=version)
    others = {host: part for host, part in sorted(asked.parts.items()) if host != here}
    parts, notes = {here: own, **others}, [*own.notes, *asked.notes]
    notes += [f"{host}: {note}" for host, part in others.items() for note in part.notes]
    sealed, concerns = _sealed(run, own, asked, notes)
    kit = Kit(
        format=FORMAT,
        cluster=cluster,
        cluster_id=view.cluster_id,
        host=here,
        members=_members(view, parts),
        tools={name: str(tool.version) for name, tool in vars(tools).items() if tool},
        certificates=[replace(one, host=host) for host, part in parts.items() for one in part.certificates],
        encryption_keys=own.encryption_keys,
        files=sorted(own.files),
        notes=notes,
    )
    content = _archive(
        {
            MEMBERS: _json(to_plain(kit)),
            f"{FOLDER}/README": _README.replace("@CLUSTER@", cluster).replace("@HOST@", here).encode(),
            f"{FOLDER}/settings.json": _json({host: part.settings for host, part in parts.items() if part.name}),
            **_files(f"{FOLDER}/files", own),
            **{name: text for host, part in others.items() for name, text in _files(_folder_of(host), part).items()},
            **sealed,
        }
    )
    return Made(content, concerns)


def _sealed(run: Run, own: Part, asked: Asked, notes: List[str]) -> Tuple[Dict[str, bytes], Tuple[str, ...]]:
    """The PKI of this host's member, encrypted, where it is asked for; and why it is not there."""
    if not asked.recipient:
        return {}, ()
    try:
        files = pki_files(own.tls_files, lambda path: at(asked.root, path))
        if files:
            plain = _tar({path.lstrip("/"): content for path, content in files.items()})
            return {f"{FOLDER}/pki.tar.cms": encrypted(run, plain, asked.recipient)}, ()
        why = "no file of a PKI was found"
    except (EtcdError, OSError) as error:
        why = str(error)
    notes.append(f"the PKI is not in here: {why}")
    return {}, (f"the recovery kit is without the PKI: {why}",)


def _members(view: ClusterView, parts: Mapping[str, Part]) -> List[KitMember]:
    """The cluster's list, with what the hosts told; where the list cannot be had, the hosts' own words.

    What was seen some time ago may be a member no more.
    """
    found = [
        KitMember(one.name, list(one.peer_urls), list(one.client_urls), one.id, one.is_learner, one.version)
        for one in view.members
    ]
    known = {"", *(member.name for member in found)}
    told = [part for part in parts.values() if part.name not in known and not (found and part.seen_at)]
    found += [KitMember(part.name, list(part.peer_urls), []) for part in told]
    return [_with(member, parts) for member in found]


def _with(member: KitMember, parts: Mapping[str, Part]) -> KitMember:
    """The member with what its host told. One that has not begun yet has no name, and no host."""
    host = next((host for host, part in parts.items() if member.name and part.name == member.name), "")
    if not host:
        return member
    part = parts[host]
    return replace(
        member,
        version=member.version or part.version,
        host=host,
        data_dir=part.data_dir,
        wal_dir=part.wal_dir,
        unit=part.unit,
        image=part.image,
        tls_files=part.tls_files,
        files=sorted(part.files),
        seen_at=part.seen_at,
    )


def _files(folder: str, part: Part) -> Dict[str, bytes]:
    """Whatever another host calls its files, they stay in the folder."""
    return {
        f"{folder}{os.path.normpath('/' + path.lstrip('/'))}": content.encode("latin-1", "replace")
        for path, content in part.files.items()
    }


def _folder_of(host: str) -> str:
    return f"{OTHERS}/{quote(host, safe=':').replace('..', '%2E%2E')}"


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
