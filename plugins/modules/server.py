#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: server
short_description: Prepare a host that has no etcd for a member
version_added: 0.1.0
description:
  - Puts etcd's programs, its user, its folders, its configuration, its TLS files and its systemd unit in place. The member is not
    started, and its unit is not enabled; started by mistake it finds no cluster and founds none.
  - The configuration has each setting under the name by which the installed version of etcd knows it (3.4 to 3.7). A setting
    that this version does not know is refused, since etcd passes over such a line without a word.
  - A host that has a member already, running or stopped, is not touched. What is not as it is wanted there is told.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: Says what it would change. Where etcd is not there yet, its settings are not shown, which depend on its version.
    support: full
  diff_mode:
    description: Shows the configuration and the unit; never a key.
    support: full
options:
  name:
    description: The member's name in etcd.
    type: str
    required: true
  peer_urls:
    description: The advertised peer URLs.
    type: list
    elements: str
    required: true
  client_urls:
    description: The advertised client URLs.
    type: list
    elements: str
    required: true
  listen_peer_urls:
    description: Where it listens for peers. When empty, at the addresses of O(peer_urls), and for a name at all addresses.
    type: list
    elements: str
    default: []
  listen_client_urls:
    description: Where it listens for clients. When empty, at the addresses of O(client_urls) and the loopback's.
    type: list
    elements: str
    default: []
  data_dir:
    description: The data directory, C(0700). The folder above becomes etcd's too, so that a restore can keep old data beside new.
    type: path
    default: /var/lib/etcd/data
  wal_dir:
    description: A WAL directory of its own. When empty it is in the data directory.
    type: path
    default: ""
  user:
    description: The user that etcd runs as, made where it is missing, with a group of the same name.
    type: str
    default: etcd
  bin_dir:
    description:
      - Where the programs are found. When empty, C(/usr/bin) for O(install_from=package), else C(/usr/local/bin).
      - Those of an archive lie in C(/usr/local/lib/quorum-etcd), in a folder of each, and here are links to them.
    type: path
    default: ""
  config_file:
    description: etcd's configuration file.
    type: path
    default: /etc/etcd/etcd.yml
  service_name:
    description: The systemd unit.
    type: str
    default: etcd
  settings:
    description: More settings, and others than the defaults, by the names of etcd's flags in this version.
    type: dict
    default: {}
  install_from:
    description:
      - V(archive) downloads a release from O(archive_url), V(file) takes one that lies on the controller.
      - V(package) says that the distribution's packages are installed elsewhere; RV(wants) is V(package) while they are not.
      - V(none) finds etcd in O(bin_dir).
    type: str
    choices: [none, package, archive, file]
    default: none
  archive_url:
    description: Where the release archive is. ``{arch}`` in it becomes amd64, arm64 and so on.
    type: str
    default: ""
  archive_file:
    description: The release archive on the controller. ``{arch}`` as in O(archive_url).
    type: path
    default: ""
  archive_sha256:
    description: The SHA-256 of the archive of each architecture, by the architecture, such as amd64.
    type: dict
    default: {}
  tls:
    description:
      - The files of TLS, by V(ca), V(cert), V(key), and V(peer_ca), V(peer_cert), V(peer_key) where the peers have others.
      - Paths on the controller, unless O(tls_on_hosts). Empty for no TLS.
    type: dict
    default: {}
  tls_on_hosts:
    description: The files of O(tls) are on the host already, with the right owner.
    type: bool
    default: false
  state_dir:
    description: Folder on the host for journals.
    type: path
    default: /var/lib/quorum-etcd
  timeout:
    description: Seconds that the server of O(archive_url) may be silent.
    type: int
    default: 60
  archive:
    description: Used by the action alone, where it has put the archive.
    type: path
    default: ""
  tls_files:
    description: Used by the action alone, the contents of the TLS files.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Prepare a host, with a release from a mirror
  quorum.etcd.server:
    name: m1
    peer_urls: ["https://10.0.0.1:2380"]
    client_urls: ["https://10.0.0.1:2379"]
    install_from: archive
    archive_url: https://mirror.example.org/etcd-v3.6.14-linux-{arch}.tar.gz
    archive_sha256:
      amd64: ffe840ff9295808e88cce2794a18a5ac87f12a5203c8314d0bf6aa119b41bac5
    tls:
      ca: pki/ca.crt
      cert: "pki/{{ inventory_hostname }}.crt"
      key: "pki/{{ inventory_hostname }}.key"
    settings:
      quota-backend-bytes: 8589934592
"""

RETURN = r"""
there:
  description: Whether the host has a member already, which was not touched.
  type: bool
  returned: success
  sample: false
said:
  description: What to know of the member that is there.
  type: list
  elements: str
  returned: success
  sample: []
wants:
  description: What must be brought to the host before more can be done, V(archive) or V(package); empty for nothing.
  type: str
  returned: success
  sample: ""
arch:
  description: The host's architecture, as release archives call it.
  type: str
  returned: success
  sample: amd64
version:
  description: The version of etcd that is installed; empty where none is yet, or there is a member.
  type: str
  returned: success
  sample: 3.6.14
answered:
  description: Those of the URLs at which somebody answers already, where the host has no member.
  type: list
  elements: str
  returned: success
  sample: []
wanted:
  description: The member as it is to be.
  type: dict
  returned: success
  sample: {name: m1, data_dir: /var/lib/etcd/data, unit: etcd}
"""

import base64
import json
import os
from typing import Any, Dict

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import open_url
from ansible_collections.quorum.etcd.plugins.module_utils import glue
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.asking import reach
from ansible_collections.quorum.etcd.plugins.module_utils.host.discovery import discover
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.binaries import architecture, sha256_for
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.preparation import Preparation, Source
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.wanted import Server, server_of, tls_on_host

DEFAULT_UNIT = "etcd"
KNOCK_SECONDS = 2


def work(module: AnsibleModule) -> Dict[str, Any]:
    params, run = module.params, glue.runner(module)
    files = {path: base64.b64decode(text) for path, text in json.loads(params["tls_files"] or "{}").items()}
    server = _server(params)
    member = discover(_known(params, server), run)
    done = Preparation(server, _source(params), files, run).prepare(member, module.check_mode)
    urls = [*server.peer_urls, *server.client_urls]
    return {
        "changed": bool(done.changes),
        "diff": done.changes if module._diff else [],
        "there": done.there,
        "said": done.said,
        "wants": done.wants,
        "arch": architecture(os.uname().machine) if params["install_from"] in ("archive", "file") else "",
        "version": done.version,
        "answered": [] if done.there else [url for url in urls if not reach(url, KNOCK_SECONDS)],
        "wanted": to_plain(server),
    }


def _server(params: Dict[str, Any]) -> Server:
    bin_dir = params["bin_dir"] or ("/usr/bin" if params["install_from"] == "package" else "/usr/local/bin")
    tls = tls_on_host(params["tls"], params["config_file"], params["tls_on_hosts"])
    return server_of({**params, "bin_dir": bin_dir, "tls": tls})


def _known(params: Dict[str, Any], server: Server) -> Dict[str, Any]:
    """How to look at what the host has now: whatever runs there, unless a unit was named."""
    named = {"service_name": server.unit} if server.unit != DEFAULT_UNIT else {}
    return {"state_dir": params["state_dir"], **named}


def _source(params: Dict[str, Any]) -> Source:
    kind = params["install_from"]
    if kind not in ("archive", "file"):
        return Source(kind)
    arch = architecture(os.uname().machine)
    sha256 = sha256_for(params["archive_sha256"], arch)
    if kind == "file":
        path = params["archive"]
        return Source(kind, sha256, (lambda: open(path, "rb")) if path else None)
    url = params["archive_url"].replace("{arch}", arch)
    if not url.startswith(("https://", "http://", "file://")):
        raise EtcdError(
            f"etcd_archive_url is {url!r}, which is no URL.", "set it to where the archive of the release is."
        )

    def download() -> Any:
        try:
            return open_url(url, timeout=params["timeout"])
        except Exception as error:  # of urllib, ssl, http and Ansible's own
            raise EtcdError(
                f"{url} cannot be downloaded: {error}.", "correct etcd_archive_url, or use a mirror."
            ) from error

    return Source(kind, sha256, download)


def main() -> None:
    urls = {"type": "list", "elements": "str"}
    options = {
        "name": {"type": "str", "required": True},
        "peer_urls": {**urls, "required": True},
        "client_urls": {**urls, "required": True},
        "listen_peer_urls": {**urls, "default": []},
        "listen_client_urls": {**urls, "default": []},
        "data_dir": {"type": "path", "default": "/var/lib/etcd/data"},
        "wal_dir": {"type": "path", "default": ""},
        "user": {"type": "str", "default": "etcd"},
        "bin_dir": {"type": "path", "default": ""},
        "config_file": {"type": "path", "default": "/etc/etcd/etcd.yml"},
        "service_name": {"type": "str", "default": DEFAULT_UNIT},
        "settings": {"type": "dict", "default": {}},
        "install_from": {"type": "str", "choices": ["none", "package", "archive", "file"], "default": "none"},
        "archive_url": {"type": "str", "default": ""},
        "archive_file": {"type": "path", "default": ""},
        "archive_sha256": {"type": "dict", "default": {}},
        "tls": {"type": "dict", "default": {}},
        "tls_on_hosts": {"type": "bool", "default": False},
        "state_dir": {"type": "path", "default": "/var/lib/quorum-etcd"},
        "timeout": {"type": "int", "default": 60},
        "archive": {"type": "path", "default": ""},
        "tls_files": {"type": "str", "default": "", "no_log": True},
    }
    glue.answer(AnsibleModule(argument_spec=options, supports_check_mode=True), work)


if __name__ == "__main__":
    main()
