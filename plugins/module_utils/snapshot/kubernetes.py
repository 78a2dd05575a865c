# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a snapshot says of a Kubernetes whose objects it holds."""

from __future__ import annotations

import re
from itertools import islice
from typing import List, NamedTuple, Set, Tuple

from ..core.errors import EtcdError
from ..etcd.bolt import Bolt

# Where an API server keeps its objects: --etcd-prefix, by upstream's default and OpenShift's.
PREFIXES = (b"/registry/", b"/kubernetes.io/")
FIRST_RECORDS = 200  # of a snapshot, that are looked at for such a prefix: an API server writes its own objects first
_HEAD = 128  # bytes of a record, in which its key begins
_CHUNK = 4 << 20
_LONGEST = 300  # bytes that a match of _ENCRYPTED has at most
_MOST_KEYS = 100  # names of encryption keys; a cluster that changes them each month has twelve a year
# k8s:enc:aescbc:v1:<key>:, and k8s:enc:kms:v2:<plugin>: (apiserver/pkg/server/options/encryptionconfig).
_ENCRYPTED = re.compile(rb"k8s:enc:(aescbc|aesgcm|secretbox|kms):v[12]:([A-Za-z0-9][A-Za-z0-9._-]{0,251}):")


class KubernetesTold(NamedTuple):
    """Whether a snapshot is one of a Kubernetes, and the encryption keys that its values name, such as ``key1 (aescbc)``."""

    found: bool
    encryption_keys: List[str]


def kubernetes_in(path: str) -> KubernetesTold:
    """What a snapshot says of Kubernetes.

    The keys are the names that stand before encrypted values anywhere in the file, also before older versions of them: a
    restore that has them all can read everything. EtcdError where the file is malformed.
    """
    with Bolt(path) as bolt:
        records = islice(bolt.items(b"key", _HEAD), FIRST_RECORDS)
        found = any(prefix in record for _revision, record in records for prefix in PREFIXES)
    return KubernetesTold(found, _keys_in(path) if found else [])


def _keys_in(path: str) -> List[str]:
    """Read in pieces that overlap by the longest match: a file that is cut off meanwhile is an error, and not a signal."""
    found: Set[Tuple[bytes, bytes]] = set()
    kept = b""
    with open(path, "rb") as file:
        while len(found) <= _MOST_KEYS:
            chunk = file.read(_CHUNK)
            if not chunk:
                break
            piece = kept + chunk
            found |= {(match.group(2), match.group(1)) for match in _ENCRYPTED.finditer(piece)}
            kept = piece[-_LONGEST:]
    if len(found) > _MOST_KEYS:
        raise EtcdError(f"{path} names more than {_MOST_KEYS} encryption keys.", "use another snapshot.")
    return sorted(f"{name.decode()} ({provider.decode()})" for name, provider in found)
