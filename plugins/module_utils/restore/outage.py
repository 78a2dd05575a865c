# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How long a restore kept its cluster from writes, as far as the journals of its hosts tell."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ..core.reporting import Journals, Times, no_outage, times_of
from ..etcd.quorum import quorum_size
from . import steps


def find_outage(
    journals: Journals,
    own: Mapping[str, Mapping[str, Any]],
    before: Mapping[str, Any],
    *,
    to_old_data: bool = False,
    asked_back: bool = False,
) -> Dict[str, Any]:
    """How long the run kept the cluster from writes, as far as the journals tell.

    They say when a member was told to stop and when it had stopped, when the restored data was in its place, and when
    the cluster was first seen to serve; when a leader was elected they do not say. So writes ended between the
    ``stopping`` and the ``stopped`` of the member that took the quorum away, and were possible again between the
    ``swapped`` of the member that made the new quorum (``started`` can be late, as a start command may wait until etcd
    serves) and the first ``serving``. ``to_old_data``: they became possible again with the old data, after its
    ``put_back``. ``asked_back``: what was stopped for that is a restored cluster, at ``rolling_back``.

    ``start`` and ``end`` are the outer ends, ``sure_start`` and ``sure_end`` the inner ones, each by its host's own clock.
    ``at_least`` and ``at_most`` are seconds, see ``_bounds``. ``back``: seconds until enough old members had been started
    again. ``down_before``: the cluster had no quorum already. All others are None where a quorum was never taken away.
    """
    voters = sum(not member.get("is_learner") for member in before.get("members") or ()) or len(own)
    old_quorum, new_quorum = quorum_size(voters), quorum_size(len(own))
    needed, again = new_quorum if asked_back else old_quorum, old_quorum if to_old_data else new_quorum
    running = [host for host in own if asked_back or own[host]["was_running"]]
    had_quorum = None if before.get("quorum_unknown") else before.get("has_quorum")
    if had_quorum is None or asked_back:
        had_quorum = bool(own) and len(running) >= needed
    found = no_outage(down_before=not had_quorum and bool(own or before.get("members")))
    stopped = running if had_quorum else list(own)  # also a member without a quorum is told to stop
    spare = max(0, len(running) - needed) if had_quorum else 0
    unknown = sum(host not in journals for host in stopped)

    begins = times_of(journals, steps.ROLLING_BACK if asked_back else steps.STOPPING, stopped, newest=asked_back)
    gone = times_of(journals, "retired" if asked_back else steps.STOPPED, stopped, newest=asked_back)
    up = times_of(journals, "put_back" if to_old_data else steps.SWAPPED, own, newest=to_old_data)
    serving: Times = {}
    if not (to_old_data or asked_back):
        serving = {**times_of(journals, steps.PROVEN, own), **times_of(journals, steps.SERVING, own)}
    if not begins or len(begins) + unknown <= spare:
        return found
    # A host that told nothing may have been the first to stop, and the first to be up: one less is asked of the others.
    start = _nth(begins.values(), max(1, spare + 1 - unknown))
    found["start"], found["sure_start"] = _text(start), _text(_nth(gone.values(), spare + 1))
    found["sure_end"] = _text(_nth(up.values(), max(1, again - unknown)))
    found["end"] = _text(min(serving.values(), default=None))
    found["at_least"], found["at_most"] = _bounds(begins, gone, up, serving, spare, unknown)
    # Two majorities share a host; and what was stopped twice has run in between, as after a reboot between two runs.
    once = all(sum(entry.step == steps.STOPPING for entry in entries) == 1 for entries in journals.values())
    share_a_host = len(gone) == len(stopped) and len(gone) - spare + again > len(own)
    if unknown or not (once and share_a_host and had_quorum):
        found["at_least"] = None
    old_ones = _nth(times_of(journals, steps.ROLLED_BACK, own, newest=True).values(), again) if to_old_data else None
    found["back"] = round((old_ones - start).total_seconds(), 3) if old_ones and start else None
    return found


def _bounds(begins: Times, gone: Times, up: Times, serving: Times, spare: int, unknown: int) -> List[Optional[float]]:
    """The least and the most seconds, true whatever the hosts' clocks say, since each is a difference on one host.

    ``spare + 1`` hosts or more were told to stop before writes ended. So at least so many of the lengths up to the first
    sight of a quorum are no less than the outage, and the smallest of the ``spare + 1`` largest is a bound. From the other
    side, one of the hosts that took the old quorum away also made the new one: on that host the inner length is no more
    than the outage.
    """
    outer = sorted(((serving[host] - begins[host]).total_seconds() for host in serving if host in begins), reverse=True)
    inner = [(up[host] - gone[host]).total_seconds() for host in up if host in gone]
    most = outer[spare - unknown] if 0 <= spare - unknown < len(outer) else None
    return [round(max(0.0, min(inner)), 3) if inner else None, None if most is None else round(most, 3)]


def _text(time: Optional[datetime]) -> Optional[str]:
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time else None


def _nth(times: Iterable[datetime], number: int) -> Optional[datetime]:
    ordered = sorted(times)
    return ordered[number - 1] if 0 < number <= len(ordered) else None
