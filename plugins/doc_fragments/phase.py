# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of every module that does one phase of a job on one host."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
description:
  - Every phase can be run again - it does only what is not done yet. Each step is recorded in a journal on the host.
  - The order across hosts is the role's - no host may begin a phase before all hosts have ended the one before.
attributes:
  check_mode:
    description: Nothing is done, and the phase is reported as a change.
    support: full
  diff_mode:
    description: What changes is in the plan, which shows it.
    support: none
options:
  plan:
    description: This host's part of the plan that M(quorum.etcd.job_plan) made.
    type: dict
    required: true
  timeout:
    description: Seconds that a phase may wait for what it wants to see.
    type: int
    default: 120
  peers:
    description:
      - What the cluster's hosts answered to their last phase, by host. Where one failed, this host does not go on alone.
      - Read on the controller.
    type: dict
    default: {}
  reason:
    description: Why a rollback is done, for the journal.
    type: str
    default: ""
notes:
  - For what takes longer than three seconds it prints every few seconds how far it is, whatever the connection is. With more
    than five hosts at once they take turns, a line a second. The host's line is C(progress) in its state folder.
"""
