# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The agent is made on the controller, of the very files that the modules travel with."""

from __future__ import annotations

import base64
import zlib
from typing import Any

from ansible_collections.quorum.etcd.plugins.plugin_utils.offsite import OffsiteAction
from ansible_collections.quorum.etcd.plugins.plugin_utils.zipapp import build


class ActionModule(OffsiteAction):
    """See the module of the same name for the documentation."""

    what = "setting up the agent"

    def more(self) -> dict[str, Any]:
        return {"program": base64.b64encode(zlib.compress(build())).decode()}
