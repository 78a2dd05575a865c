# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A job that changes a cluster, as the machinery on the controller takes it: what is asked, the plan, and the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from .claim import ThisRun
from .job import Words, plain_plan_in_words
from .reporting import ReportOf


@dataclass(frozen=True)
class Asked:
    """What the operator asks of a job: its own ``options``, as its spec has made them. ``now`` is RFC 3339 in UTC,
    ``unwritable`` are folders of the controller that the run would write a report to, and cannot, and ``run`` is who asks.
    """

    options: Mapping[str, Any]
    now: str = ""
    unwritable: Sequence[str] = ()
    run: ThisRun = ThisRun()


@dataclass(frozen=True)
class Job:
    """A job as the machinery takes it, on the controller. Its phases on a host are a ``HostJob``.

    ``options`` is the spec of what is asked, in Ansible's form. ``plan`` makes the plan of all clusters from what each
    host has told: ``{host: {"cluster", "why": it has told nothing, "member", "view", ...}}``; ``in_words`` says it, where
    the job has words of its own for that.
    """

    options: Mapping[str, Mapping[str, Any]]
    plan: Callable[[Mapping[str, Mapping[str, Any]], Asked], Dict[str, Any]]
    report: ReportOf
    in_words: Optional[Callable[[Mapping[str, Any]], List[str]]] = None

    @property
    def words(self) -> Words:
        return self.report.words

    def plan_in_words(self, plan: Mapping[str, Any]) -> List[str]:
        return self.in_words(plan) if self.in_words else plain_plan_in_words(plan, self.words)
