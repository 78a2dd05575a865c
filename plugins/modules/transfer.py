#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: transfer
short_description: Bring an etcd snapshot from the controller to a host, or from a host to the controller
version_added: 0.1.0
description:
  - Streams the file over a connection of its own, without compression and without holding it in memory, and says every few
    seconds how far it is. That is for ssh with keys and for local connections, with C(sudo) or without becoming.
  - Over every other kind of connection it is done by M(ansible.builtin.copy) and M(ansible.builtin.fetch), which is slower.
  - Only the owner can read what arrives. It gets its name when it is complete. A file of the same size at O(dest) on a host
    is taken for it; M(quorum.etcd.restore) verifies the SHA-256 before it is used.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: Nothing is moved, and a change is reported.
    support: full
  diff_mode:
    description: A snapshot holds every secret of the cluster, and is never shown.
    support: none
options:
  direction:
    description:
      - V(to_host) from the controller to the host, V(from_host) the other way.
      - V(unpack) unpacks a compressed file on the controller to another there.
      - V(forget) removes what V(from_host) brought or V(unpack) made, with its folder.
    type: str
    choices: [to_host, from_host, unpack, forget]
    required: true
  src:
    description: The file, on the controller or on the host.
    type: path
  dest:
    description: Where it goes. The folder is made, for its owner alone, where it is missing.
    type: path
    required: true
  unpack:
    description: How O(src) on the host is packed, where it is to be unpacked there on its way; over a connection of its own only.
    type: str
    choices: ["", zstd, gzip, xz]
    default: ""
  size:
    description: The bytes that arrive at O(dest).
    type: int
"""

EXAMPLES = r"""
- name: Bring the snapshot to the host
  quorum.etcd.transfer:
    direction: to_host
    src: /srv/backups/etcd.db
    dest: /var/lib/quorum-etcd/snapshots/etcd.db
    size: 616000544
"""

RETURN = r""" # """
