# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that talks to a running cluster."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  endpoints:
    description:
      - Client URLs of the cluster's members.
    type: list
    elements: str
    default: []
  cacert:
    description: CA bundle, on the host, with which the members' client certificates are verified.
    type: path
    default: ""
  cert:
    description: Client certificate, on the host.
    type: path
    default: ""
  key:
    description: Key of the client certificate, on the host.
    type: path
    default: ""
  user:
    description: User name, where authentication is on.
    type: str
    default: ""
  password:
    description: Password of O(user). It travels in the environment of the commands and never in their arguments.
    type: str
    default: ""
  command_timeout:
    description: Seconds that one C(etcdctl) request may take.
    type: int
    default: 5
  bin_dir:
    description:
      - Folder in which C(etcd), C(etcdctl) and C(etcdutl) are looked for first.
      - When empty, the folder of the running etcd, the PATH and the usual folders are searched.
    type: path
    default: ""
"""
