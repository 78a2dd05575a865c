#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: job_report
short_description: Write the report of a job on the controller
version_added: 0.1.0
description:
  - Writes two files for each cluster of a run, a page for people and JSON for programs, into a folder on the controller.
  - They tell what was done, what every host did and when, whether it is proven, and what to do next; of a restore also from
    where, what was lost, and when and for how long nothing could be written.
  - It also reports a check, a refusal, a run that was not confirmed, and one that failed. Which of these it was, it decides
    from what it is given.
  - The page is one file that needs nothing else, and can be sent to others. It holds addresses and paths, but no
    credential - what may be in it is named field by field.
  - No report replaces another one. Of the reports in the folder the newest 50 are kept; other files there stay.
  - Where the folder cannot be written to, that is a warning and no failure, since the job itself is what counts.
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
  job:
    description: Which job.
    type: str
    choices: [failover_drill, found, member_replace, restore, switch_leader]
    required: true
  folder:
    description: Folder on the controller. It is made with mode 0700 where it is not there, and the files in it with 0600.
    type: path
    default: ~/.local/state/quorum-etcd/reports
  clusters:
    description: Each host's cluster. Where the run failed before a plan was made, the report is about these.
    type: dict
    required: true
  plan:
    description: What M(quorum.etcd.job_plan) returned. Empty where the run did not come so far.
    type: dict
    default: {}
  check:
    description: Whether the run only checks. When not set, whether the task runs in check mode.
    type: bool
  looks:
    description: Names of the variables that the play's hosts registered before the plan; read for the reasons of a failure.
    type: list
    elements: str
    default: []
  phases:
    description:
      - Names of the variables that the play's hosts registered with M(quorum.etcd.transfer) and the job's phases, the oldest
        first. Journals, closing tables and the reasons of a failure are read from them on the controller.
      - Of a host whose last answer has no journal, as it could not be reached, the report says that nothing is known.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
- name: Write the report
  quorum.etcd.job_report:
    job: restore
    clusters: {m1: etcd, m2: etcd, m3: etcd}
    plan: "{{ plan | default({}) }}"
    phases: [staged, stopped, proven, finished, rolled_back]
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
