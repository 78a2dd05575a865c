#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: member_info
short_description: Read which etcd member a host has
version_added: 0.1.0
description:
  - Reads what a host really runs, from the running process, the systemd unit with its drop-ins and environment files,
    etcd's own configuration file, or the manifest of a static pod as kubeadm writes it.
  - A host without etcd, or with a stopped one, is a normal answer and no failure.
  - Options that are given go before what is read.
author:
  - The quorum.etcd authors (@quorum-etcd)
extends_documentation_fragment:
  - quorum.etcd.connection
  - quorum.etcd.member
options:
  ask_cluster:
    description: Also ask the cluster through this member how it is; RV(view).
    type: bool
    default: false
  snapshots:
    description: Also look for snapshots in this folder, or at this one; RV(snapshots).
    type: path
    default: ""
  signers:
    description: Who may have signed the snapshots, as in M(quorum.etcd.snapshot_info).
    type: str
    default: ""
  backups:
    description: Also read the manifests of this folder; RV(recorded).
    type: path
    default: ""
  kit:
    description: Also tell what a recovery kit has of this member; RV(kit). Passwords in it are masked, and it has no key.
    type: bool
    default: false
attributes:
  check_mode:
    description: Can run in check mode; it never changes anything.
    support: full
  diff_mode:
    description: Returns what changed, or would change, in diff mode.
    support: none
seealso:
  - module: quorum.etcd.member_config
"""

EXAMPLES = r"""
- name: Read what this host runs
  quorum.etcd.member_info:
  register: etcd

- name: Read one of several members on a host
  quorum.etcd.member_info:
    config_file: /srv/etcd/m1/etcd.conf.yml
    service_manager: command
    start_command: sh /srv/etcd/m1/etcd.sh start
    stop_command: sh /srv/etcd/m1/etcd.sh stop
"""

RETURN = r"""
member:
  description:
    - The member. Every key is always there; what is not known is empty or null.
    - V(settings) says where each setting is written. Its V(format) is V(process) where the running process has the setting
      and no file is known that sets it.
    - V(journal) sums up the newest restore on this host; it is empty where there was none.
    - V(tools_missing) says of each tool that was not found, or that does not run, why.
    - A static pod's tools are found in its running container; where none runs, in its image, if containerd has it. Paths of
      the latter are those of the copies that M(quorum.etcd.restore) makes when it stages.
    - V(kubernetes) has the controllers of a Kubernetes that are static pods of this host (V(pods)), whether the kubelet runs
      that could stop them, the names of controllers that have a process here (V(running)), and the names of the keys in the
      API server's encryption configuration (V(keys), null where there is none).
    - V(service.image) and V(service.kubelet) are known of a static pod only.
    - V(settings) has V(within) where a variable that is none of etcd's own, such as C(ETCD_OPTS), holds the setting.
      V(service.obscure) says why what starts etcd could not be read.
    - Paths are the host's, also those of a member in a container or in a unit with mounts of its own. V(data.contained) is
      the member's own name of a data directory that is in its container only.
    - V(service.start_timeout) are the seconds that systemd gives it to start, null where it has no limit.
    - V(missing_files) are certificates and keys that the settings of a member which does not run name, and that are not there.
    - V(unsettable) says why settings that a restore writes cannot be set where they are written; it is found by setting them
      in memory. V(shadowed) are settings that are there as a flag and as a variable, which etcd ends at.
  type: dict
  returned: success
  sample:
    found: true
    running: true
    pid: 412
    service:
      manager: systemd
      name: etcd
      named: false
      owner: {kind: unit, name: etcd.service}
      masked: false
      transient: false
      restarting: false
      halted: false
      manifest: ""
      image: ""
      kubelet: null
      start_command: ""
      stop_command: ""
      status_command: ""
      state: running
      enabled: true
      user: etcd
      group: ""
      dynamic_user: false
      notifies: true
      start_timeout: 90
      obscure: ""
      dropin: /etc/systemd/system/etcd.service.d/zz-quorum-etcd.conf
      exec_start: /usr/bin/etcd $DAEMON_ARGS
      made_from: ""
    name: m1
    peer_urls: ["https://192.0.2.11:2380"]
    client_urls: ["https://192.0.2.11:2379"]
    listen_peer_urls: ["https://192.0.2.11:2380"]
    listen_client_urls: ["https://192.0.2.11:2379", "http://127.0.0.1:2379"]
    data_dir: /var/lib/etcd/default
    wal_dir: ""
    data:
      exists: true
      real_path: /var/lib/etcd/default
      size: 64020480
      inner_mounts: []
      member_ids: []
      empty: false
      is_etcd: true
      has_member: true
      entries: [member]
      foreign: []
      contained: ""
      parent_owner: [0, 0]
      is_mount: false
      owner: 104
      group: 110
      owner_name: etcd
      group_name: etcd
      mode: "0700"
      db_size: 20480
      revision: 0
      device: 2049
      parent_is_writable: true
    wal:
      exists: false
      is_mount: false
      owner: null
      group: null
      mode: ""
      device: null
    disk:
      - path: /var/lib/etcd/default
        device: 2049
        noexec: false
        free: 52613349376
        total: 84416856064
      - path: /var/lib/quorum-etcd
        device: 2049
        noexec: false
        free: 52613349376
        total: 84416856064
    initial_cluster: m1=https://192.0.2.11:2380,m2=https://192.0.2.12:2380,m3=https://192.0.2.13:2380
    initial_cluster_state: existing
    initial_cluster_token: shop
    snapshot_count: ""
    quota_backend_bytes: "8589934592"
    tls:
      client:
        cacert: /etc/etcd/ca.crt
        cert: /etc/etcd/server.crt
        key: /etc/etcd/server.key
        client_cert_auth: true
      peer:
        cacert: /etc/etcd/ca.crt
        cert: /etc/etcd/peer.crt
        key: /etc/etcd/peer.key
        client_cert_auth: true
    tools:
      etcd:
        path: /usr/bin/etcd
        version: 3.5.16
      etcdctl:
        path: /usr/bin/etcdctl
        version: 3.5.16
      etcdutl: null
    tools_missing:
      etcdutl: no etcdutl in /usr/bin, /usr/local/bin, /opt/etcd, /opt/bin
    config:
      format: env
      path: /etc/default/etcd
    settings:
      name:
        value: m1
        kind: variable
        format: env
        path: /etc/default/etcd
    kubernetes:
      pods: []
      kubelet: false
      running: []
      keys: null
    state_dir: /var/lib/quorum-etcd
    aside_dir: ""
    log: ""
    connection:
      endpoints: ["https://192.0.2.11:2379"]
      cacert: /etc/etcd/ca.crt
      cert: /etc/etcd/server.crt
      key: /etc/etcd/server.key
      bin_dir: /usr/bin
    journal: {}
    interrupted_elsewhere: []
    newest_job: null
    strangers: ""
    missing_files: {}
    packet_filter: nft
    systemd: true
    unsettable: []
    shadowed: {}
view:
  description:
    - The cluster as this member sees it, as M(quorum.etcd.cluster_info) returns it; null where it was not asked.
    - RV(ignore:view.opens) are the URLs where a member that runs listens, in case its client URLs cannot be reached.
  type: dict
  returned: success
  sample:
    cluster_id: a9b7a22aeb5c8521
    has_quorum: true
    opens: []
snapshots:
  description: The snapshots, as M(quorum.etcd.snapshot_info) returns them; empty where nothing was looked for.
  type: list
  elements: dict
  returned: success
  sample:
    - path: /var/backups/etcd/prod-20261124T034557Z-rev2.db
      ok: true
recorded:
  description: By cluster, the highest revision in the manifests of O(backups), also of snapshots that are damaged or gone.
  type: dict
  returned: success
  sample: {prod: 4711}
kit:
  description:
    - The member's configuration files with their passwords masked, its settings, and fingerprints and dates of its certificates,
      packed into one word, for O(quorum.etcd.snapshot#module:members) and O(quorum.etcd.agent#module:members).
    - It is empty where it was not asked for, or no member was found.
  type: str
  returned: success
  sample: ""
"""

import os
from dataclasses import replace
from typing import Any, Dict, List, Optional

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.quorum.etcd.plugins.module_utils import glue
from ansible_collections.quorum.etcd.plugins.module_utils.backup.kit_part import packed, part_of
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.asking import reach
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.cluster import observe
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Run
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.quorum import DOWN
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.view import ClusterView
from ansible_collections.quorum.etcd.plugins.module_utils.host.discovery import discover
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import MemberFacts
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import tools_of
from ansible_collections.quorum.etcd.plugins.module_utils.restore.steps import told
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.catalogue import look
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.entry import Snapshot
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import recorded_revisions


def work(module: AnsibleModule) -> Dict[str, Any]:
    run = glue.runner(module)
    found = discover(module.params, run)
    member = replace(found, **told(found.state_dir, found.data_dir))
    return {
        "changed": False,
        "member": to_plain(member),
        "view": to_plain(_view(module.params, member, run)) if module.params["ask_cluster"] else None,
        "snapshots": to_plain(_snapshots(module.params, run)),
        "recorded": recorded_revisions(module.params["backups"]) if module.params["backups"] else {},
        "kit": _kit(module.params, member, run) if module.params["kit"] and member.found else "",
    }


def _kit(params: Dict[str, Any], member: MemberFacts, run: Run) -> str:
    """With what only ``discover`` knows: etcd's version and defaults, and where the data of a container are."""
    version = member.tools.etcd.version if member.tools.etcd else ""
    found = {name: getattr(member, name) for name in ("name", "peer_urls", "data_dir", "wal_dir")}
    return packed(replace(part_of(run, params), version=version, **found))


def _snapshots(params: Dict[str, Any], run: Run) -> List[Snapshot]:
    return look(params["snapshots"], run, signers=params["signers"]) if params["snapshots"] else []


def _view(params: Dict[str, Any], member: MemberFacts, run: Run) -> Optional[ClusterView]:
    tools = tools_of(member.tools)
    found = {name: getattr(member.connection, name) for name in ("endpoints", "cacert", "cert", "key")}
    # The tools of a pod that does not run are still in its image.
    if not tools.etcdctl or not os.path.exists(tools.etcdctl.path) or not found["endpoints"]:
        return None
    # Not the hashes: they cost a reading of all data.
    view = observe(run, tools, replace(glue.connection(params), **found), hash_check=False)
    silent = member.running and not any(answer.state != DOWN for answer in view.endpoints)
    return replace(view, opens=[url for url in member.listen_client_urls if not reach(url, 2)] if silent else [])


def main() -> None:
    options = {
        **glue.CONNECTION_OPTIONS,
        **glue.MEMBER_OPTIONS,
        "ask_cluster": {"type": "bool", "default": False},
        "snapshots": {"type": "path", "default": ""},
        "signers": {"type": "str", "default": ""},
        "backups": {"type": "path", "default": ""},
        "kit": {"type": "bool", "default": False},
    }
    glue.answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
