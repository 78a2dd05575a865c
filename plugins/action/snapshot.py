# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The stores' secrets go to the host so that it logs none of them."""

from __future__ import annotations

from ansible_collections.quorum.etcd.plugins.plugin_utils.offsite import OffsiteAction


class ActionModule(OffsiteAction):
    """See the module of the same name for the documentation."""

    what = "backing up"
