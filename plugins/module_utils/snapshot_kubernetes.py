# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a snapshot says of a Kubernetes whose objects it holds."""

from __future__ import annotations

import mmap
import re
from itertools import islice
from typing import Any, Dict, List

from .bolt import Bolt

# Where an API server keeps its objects: --etcd-prefix, by upstream's default and OpenShift's.
PREFIXES = (b"/registry/", b"/kubernetes.io/")
FIRST_RECORDS = 200  # of a snapshot, that are looked at for such a prefix: an API server writes its own objects first
# k8s:enc:aescbc:v1:<key>:, and k8s:enc:kms:v2:<plugin>: (apiserver/pkg/server/options/encryptionconfig).
_ENCRYPTED = re.compile(rb"k8s:enc:(aescbc|aesgcm|secretbox|kms):v[12]:([A-Za-z0-9][A-Za-z0-9._-]{0,251}):")


def kubernetes_in(path: str) -> Dict[str, Any]:
    """What a snapshot says of Kubernetes: ``{"kubernetes": bool, "encryption_keys": ["key1 (aescbc)", ...]}``.

    The keys are the names that stand before encrypted values anywhere in the file, also before older versions of them: a
    restore that has them all can read everything. EtcdError where the file is malformed.
    """
    with Bolt(path) as bolt:
        records = islice(bolt.items(b"key"), FIRST_RECORDS)
        is_kubernetes = any(prefix in record[:128] for _revision, record in records for prefix in PREFIXES)
    return {"kubernetes": is_kubernetes, "encryption_keys": _keys_in(path) if is_kubernetes else []}


def _keys_in(path: str) -> List[str]:
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        found = {(match.group(2), match.group(1)) for match in _ENCRYPTED.finditer(content)}
    return sorted(f"{name.decode()} ({provider.decode()})" for name, provider in found)
