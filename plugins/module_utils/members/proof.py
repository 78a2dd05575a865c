# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""That a changed membership is the one that was wanted: the list, each member's own answer, equal data, and a write."""

from __future__ import annotations

from dataclasses import replace
from typing import List, Mapping, Sequence

from ..core.check import Check, check
from ..etcd.cluster import observe
from ..etcd.commands import Connection, Run, Tools
from ..etcd.trial import written
from ..etcd.view import ClusterView


def proof(
    run: Run, tools: Tools, connection: Connection, live: ClusterView, expected: Mapping[str, Sequence[str]], key: str
) -> List[Check]:
    """``live``: the cluster as ``proving.look`` sees it. ``expected``: the peer URLs of each member, by name. ``key``: what is
    written, and removed again, once all else is right.
    """
    to = replace(connection, endpoints=[one.endpoint for one in live.members if one.healthy and not one.is_learner])
    view = observe(run, tools, to)
    found = {one.name: ",".join(sorted(one.peer_urls)) for one in view.members}
    wanted = {name: ",".join(sorted(urls)) for name, urls in expected.items()}
    not_well = [one.name or one.id for one in live.members if not (one.started and one.healthy) or one.is_learner]
    seen = [
        check("members", wanted, found),
        check("members that are no voters, or do not serve", [], not_well),
        check("equal hashes at one revision", True, bool(view.hashes_equal)),
    ]
    if not all(one.ok for one in seen):
        return seen
    return [*seen, written(run, tools, to, key, "change of the members")]
