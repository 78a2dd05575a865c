# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of every module that puts a recovery kit beside the snapshots that it saves."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  kit:
    description:
      - Put a recovery kit beside each snapshot, C(<name>.kit.tar.gz) - the member list, versions, the configuration files of the
        members with passwords masked, fingerprints and expiry dates of certificates, names of a Kubernetes' encryption keys.
      - Of the other members it has what O(members) tell.
      - Its SHA-256 stands in the manifest.
    type: bool
    default: true
  kit_pki:
    description:
      - Put the PKI of the host's member into the kit, encrypted for O(kit_recipient). It is refused without that, since kits lie
        in a folder that is not encrypted.
    type: bool
    default: false
  kit_recipient:
    description: The certificate (PEM) of who alone can open the PKI in kits, by C(openssl cms -decrypt).
    type: str
    default: ""
  member:
    description: Options of M(quorum.etcd.member_info) by which the member of this host is known, for the kit.
    type: dict
    default: {}
  host:
    description: This host's inventory name, which it has in O(members) and in the kit. When empty, it is the host's own name.
    type: str
    default: ""
  members:
    description:
      - By inventory name, RV(quorum.etcd.member_info#module:kit) of each host of the cluster, for the kit.
      - It is empty for a host that was not looked at.
    type: dict
    default: {}
"""
