# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options that say which etcd member of a host is meant, and override what is read from it."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description: The member's name in etcd. When empty it is read from the host, like everything else here.
    type: str
    default: ""
  peer_urls:
    description: The member's advertised peer URLs.
    type: list
    elements: str
    default: []
  client_urls:
    description: The member's advertised client URLs.
    type: list
    elements: str
    default: []
  data_dir:
    description: The member's data directory.
    type: path
    default: ""
  wal_dir:
    description: The member's WAL directory, where it is not inside the data directory.
    type: path
    default: ""
  config_file:
    description:
      - The file that holds the member's settings, an environment file (C(ETCD_NAME=...)) or etcd's YAML.
      - Needed only where neither the service manager nor the running process tells it.
    type: path
    default: ""
  service_manager:
    description:
      - What starts and stops the member.
      - When empty, it is V(static_pod) where O(manifest) exists, else V(systemd).
    type: str
    choices: ["", systemd, static_pod, command]
    default: ""
  service_name:
    description:
      - Name of the systemd unit.
      - When empty, it is the unit that the running member belongs to, else C(etcd).
    type: str
    default: ""
  manifest:
    description:
      - Path of the static pod's manifest.
      - Where nothing is there, the only file of its folder that starts an etcd is meant.
    type: path
    default: /etc/kubernetes/manifests/etcd.yaml
  start_command:
    description: Command that starts the member, with O(service_manager=command). It must not wait for a quorum.
    type: str
    default: ""
  stop_command:
    description: Command that stops the member and returns when it has stopped, with O(service_manager=command).
    type: str
    default: ""
  status_command:
    description: Command that exits with 0 when the member runs and with another code when it does not.
    type: str
    default: ""
  state_dir:
    description: Folder on the host for the journal of restores and for configuration copies.
    type: path
    default: /var/lib/quorum-etcd
  aside_dir:
    description:
      - Folder on another file system, to which a restore moves the old data where there is no room for old and new data.
      - That is the slow way - the data is moved and restored while the cluster is down.
    type: path
    default: ""
"""
