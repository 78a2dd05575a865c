#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: restore_report
short_description: Write the report of a restore on the controller
version_added: 0.1.0
description:
  - Writes two files for each cluster of a run, a page for people and JSON for programs, into a folder on the controller.
  - They tell what was restored from where, what was lost, when and for how long nothing could be written, what every host
    did and when, whether the restored cluster is proven, and what to do next.
  - It also reports a check, a refusal, a run that was not confirmed, and one that failed. Which of these it was, it decides
    from what it is given.
  - The page is one file that needs nothing else, and can be sent to others. It holds addresses and paths, but no
    credential - what may be in it is named field by field.
  - No report replaces another one. Of the reports in the folder the newest 50 are kept; other files there stay.
  - Where the folder cannot be written to, that is a warning and no failure, since the restore itself is what counts.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: It writes the report in check mode too.
    support: full
  diff_mode:
    description: A report is a new file each time, and is not shown as a change.
    support: none
options:
  folder:
    description: Folder on the controller. It is made with mode 0700 where it is not there, and the files in it with 0600.
    type: path
    default: ~/.local/state/quorum-etcd/reports
  plan:
    description: The plan that M(quorum.etcd.restore_plan) returned.
    type: dict
    required: true
  text:
    description: The plan in words, as M(quorum.etcd.restore_plan) returned it.
    type: list
    elements: str
    default: []
  check:
    description: Whether the run only checks. When not set, whether the task runs in check mode.
    type: bool
  journals:
    description:
      - What M(quorum.etcd.restore) returned last as its journal, by host - an empty list for a host on which nothing was begun.
      - A host that is missing here counts as one of which nothing is known.
    type: dict
    default: {}
  summary:
    description: The closing tables that M(quorum.etcd.restore) returned, one after the other.
    type: list
    elements: str
    default: []
  refusal:
    description: The refusal that M(quorum.etcd.restore_plan) returned.
    type: str
    default: ""
  unconfirmed:
    description: What M(quorum.etcd.restore_plan) still wanted to be said.
    type: str
    default: ""
  reason:
    description: Why the run failed, a line C(host - message) for each failure, with a colon after the host.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Write the report
  quorum.etcd.restore_report:
    plan: "{{ plan.plan }}"
    text: "{{ plan.text }}"
    journals: {m1: "{{ hostvars['m1'].restored.journal }}"}
    refusal: "{{ plan.refusal }}"
    unconfirmed: "{{ plan.unconfirmed }}"
  run_once: true
"""

RETURN = r"""
reports:
  description: The report of each cluster - its cluster, the outcome, and the two files.
  returned: always
  type: list
  elements: dict
  sample:
    - cluster: etcd
      outcome: restored
      html: /home/ops/.local/state/quorum-etcd/reports/etcd-20261124T031500Z-restored.html
      json: /home/ops/.local/state/quorum-etcd/reports/etcd-20261124T031500Z-restored.json
text:
  description: Where the reports are, or why there is none, a line each.
  returned: always
  type: list
  elements: str
  sample: ["Report: /home/ops/.local/state/quorum-etcd/reports/etcd-20261124T031500Z-restored.html"]
"""
