# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The option of every module that reaches off-site stores."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  offsite:
    description: The stores elsewhere, in the order in which they are used.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: The store's name, in messages and in the names of files on the host.
        type: str
        required: true
      folder:
        description: Folder of a mounted file system, such as NFS; in it the cluster gets a folder of its own.
        type: path
      mounted:
        description:
          - Whether O(offsite[].folder) must be on another file system than C(/) and than the local snapshots, so that a mount
            that is missing is noticed, and the host's own disk is not filled; or the path of the mount point that must be there.
        type: raw
        default: true
      remote:
        description: Instead of a folder what rclone calls a remote, and the path in it, such as V(offsite:my-bucket/etcd).
        type: str
      rclone_config:
        description:
          - The text of a configuration of rclone that has the section of O(offsite[].remote), with its credentials; it becomes a
            file of root's alone. Or the path of one on the host.
        type: str
      password:
        description:
          - Encrypt what is stored by rclone's C(crypt), with this password. Without it nobody can read any of it again.
        type: str
      proxy:
        description:
          - Proxy between the hosts and the store, such as V(http://proxy.example.org:3128). No other is used, whatever the
            environment says.
        type: str
      append_only:
        description:
          - Nothing is ever deleted or replaced there, as for credentials that may not, or with object lock. What is old is for
            the store's own life-cycle rules.
        type: bool
        default: false
  offsite_secrets:
    description: The secrets in O(offsite). The action of the module takes them out of there, so that the host logs none.
    type: str
    default: ""
"""

    # Of those that save, and remove what is old.
    KEEP = r"""
options:
  offsite_keep:
    description: How much is kept off-site, as O(keep). Chains go as a whole, and never the newest that is whole.
    type: raw
    default: {days: 31}
"""
