#!/usr/bin/python
# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: show
short_description: Show lines of text as they are
version_added: 0.1.0
description:
  - Prints lines on the controller's terminal, and so in AWX's log, neither quoted nor folded as M(ansible.builtin.debug)
    would, so that a plan can be read and its commands be copied.
author:
  - The quorum.etcd authors (@quorum-etcd)
attributes:
  check_mode:
    description: It prints in check mode too.
    support: full
  diff_mode:
    description: There is nothing that it changes.
    support: none
options:
  lines:
    description: The lines.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Show the plan
  quorum.etcd.show:
    lines: "{{ plan.text }}"
"""

RETURN = r""" # """
