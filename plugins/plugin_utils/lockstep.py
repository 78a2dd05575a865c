# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether the play keeps its hosts in step: one plan for all of them, and a barrier between two phases."""

from __future__ import annotations

from typing import Any

# By the last part of their names; mitogen's goes task by task too.
IN_STEP = ("linear", "debug", "mitogen_linear")


def out_of_step(task: Any) -> str:
    """Why the play of this task does not, in words, with the next step; empty where it does."""
    play = getattr(task._parent, "_play", None)
    strategy = str(getattr(play, "strategy", None) or "linear")
    if strategy.rpartition(".")[2] not in IN_STEP:
        return (
            f"the play's strategy is {strategy}, by which no host waits for another: each would make a plan of its own, and"
            " start while others still run. Next: take strategy out of the play, or ANSIBLE_STRATEGY out of the environment"
            " and strategy out of ansible.cfg."
        )
    if any(str(part) not in ("", "0") for part in getattr(play, "serial", None) or ()):
        return "the play has serial, and a cluster is restored on all its hosts at once. Next: take serial out of the play."
    return ""
