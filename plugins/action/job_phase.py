# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A phase of a job that needs no more of the controller than every job."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.plugin_utils.phases import PhaseAction


class ActionModule(PhaseAction):
    """See the module of the same name for the documentation."""
