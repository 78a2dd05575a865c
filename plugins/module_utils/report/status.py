# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How the clusters of a run are, in words: for a terminal, and in one sentence for whoever is to be woken."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Sequence

from ..core.errors import has_failed
from ..core.text import listed
from ..core.values import to_plain
from ..etcd.hazards import ALWAYS, STATUS, met
from ..etcd.quorum import DOWN
from .backups import ages_in_words, newest_on


class Seen(NamedTuple):
    """What a host's tasks were answered; empty where one did not run. They are answers of ``member_info``, ``cluster_info``,
    ``snapshot_info`` and ``mirror_info``, or what Ansible has in the place of one that failed."""

    look: Mapping[str, Any]
    view: Mapping[str, Any]
    backups: Mapping[str, Any]
    mirrors: Mapping[str, Any] = MappingProxyType({})


Engines = Mapping[str, Mapping[str, Any]]
NO_ENGINES: Engines = MappingProxyType({})


def status_in_words(clusters: Mapping[str, str], seen: Mapping[str, Seen], engines: Engines = NO_ENGINES) -> List[str]:
    """Each cluster as its speaker saw it, the hosts that could not be looked at, and their backups.

    ``clusters`` has the cluster of each host; a host that is not in ``seen`` is no part of the run. ``engines`` has what other
    hosts were answered by ``mirror_info``: an engine runs beside the cluster that is written to.
    """
    lines: List[str] = []
    for cluster in sorted(set(clusters.values())):
        hosts = _of(cluster, clusters)
        views = [seen[host].view for host in hosts if host in seen and seen[host].view.get("text")]
        lines += [f"Cluster {cluster}"] if len(set(clusters.values())) > 1 else []
        lines += views[0]["text"] if views else []
        lines += [_hazard(one) for one in _met(cluster, clusters, seen)]
        lines += [f"  {host}: {why}" for host, why in unseen(hosts, seen).items()]
        lines += ages_in_words({host: seen[host].backups for host in hosts if host in seen})
        for host in hosts:
            said = [seen[host].backups, seen[host].mirrors] if host in seen else []
            lines += [f"  {host}: {line}" for answer in said for line in answer.get("text", ())]
    others = [f"  {host}: {line}" for host, answer in engines.items() for line in _told(answer)]
    return lines + (["Mirrors, by the hosts of their engines", *others] if others else [])


def _told(answer: Mapping[str, Any]) -> Sequence[str]:
    if has_failed(answer):
        return ["the mirrors could not be looked at"]  # why is the problem
    return answer.get("text", ())


def problem(clusters: Mapping[str, str], seen: Mapping[str, Seen], engines: Engines = NO_ENGINES) -> str:
    """In one sentence for each cluster why not all is well, and in one for the mirrors of ``engines``; empty where every host was
    seen, and every cluster with the backups of its agents and every mirror is well."""
    found = []
    for cluster in sorted(set(clusters.values())):
        hosts = _of(cluster, clusters)
        causes = [_not_healthy([seen[host].view for host in hosts if host in seen])]
        # One that is left out on purpose is no problem of the cluster's; a member that is down shows without it.
        causes += [f"{host} {why}" for host, why in unseen(hosts, seen).items() if host in seen]
        causes += [_agent(host, seen[host].backups) for host in hosts if host in seen]
        causes += [cause for host in hosts if host in seen for cause in _mirrors(host, seen[host].mirrors)]
        causes = [cause for cause in causes if cause]
        if causes:
            found.append(f"cluster {cluster} is not well: {'; '.join(causes)}")
    others = [cause for host, answer in engines.items() for cause in _mirrors(host, answer)]
    found += ["; ".join(others)] if others else []
    return ". ".join(found)


def _agent(host: str, answer: Mapping[str, Any]) -> str:
    """What is wrong with the backups that the host's agent makes; a host without one has none to be late."""
    told = answer.get("agent") or {"state": "ok"}
    return "" if told["state"] == "ok" else f"the backups of {host}: {told['state']}: {told['why']}".rstrip(".")


def _mirrors(host: str, answer: Mapping[str, Any]) -> List[str]:
    """What is wrong with the mirrors whose engines run on the host."""
    if has_failed(answer):
        return [f"the mirrors of {host} could not be looked at: {answer.get('msg')}"]
    wrong = [one for one in answer.get("mirrors") or () if one["state"] != "ok"]
    return [f"the mirror {one['mirror']} of {host} is {one['state']}: {one['why']}" for one in wrong]


def hazards(clusters: Mapping[str, str], seen: Mapping[str, Seen]) -> Dict[str, List[Dict[str, Any]]]:
    """By cluster, the known hazards of the versions that its members run; see ``etcd/hazards.py``. They are no problem yet."""
    return {cluster: _met(cluster, clusters, seen) for cluster in sorted(set(clusters.values()))}


def _met(cluster: str, clusters: Mapping[str, str], seen: Mapping[str, Seen]) -> List[Dict[str, Any]]:
    views = [seen[host].view for host in _of(cluster, clusters) if host in seen and "cluster" in seen[host].view]
    return [to_plain(one) for one in met(views[0]["cluster"].get("members") or ())] if views else []


def _hazard(one: Mapping[str, Any]) -> str:
    when = listed([word for word in one["during"] if word not in (ALWAYS, STATUS)])
    return f"  HAZARD  {', '.join(one['members'])}: {f'for {when}: ' if when else ''}{one['cause']} {one['next_step']}"


def _not_healthy(views: List[Mapping[str, Any]]) -> str:
    """Why a cluster is not healthy, from what its hosts were answered about it; empty where it is."""
    healths = [view["cluster"]["health"] for view in views if "cluster" in view]
    if healths:
        verb = "" if healths[0] == "cannot be asked" else "is "
        return f"it {verb}{healths[0]}" if healths[0] != "healthy" else ""
    failed = [str(view.get("msg")) for view in views if has_failed(view)]
    return f"it could not be asked: {failed[0]}" if failed else "it could not be asked"


def nothing_runs(clusters: Mapping[str, str], seen: Mapping[str, Seen]) -> Dict[str, str]:
    """By cluster, where no member of it runs as far as can be seen: that, with the next step; no entry for the others.

    A host that could not be looked at may run the best of members, so it is named with why, and nobody is told to restore.
    """
    found = {}
    for cluster in sorted(set(clusters.values())):
        hosts = _of(cluster, clusters)
        hidden = unseen(hosts, seen)
        looked_at = [host for host in hosts if host not in hidden]
        if any(_runs(seen[host].look) for host in looked_at):
            continue
        if not hidden:
            found[cluster] = (
                f"No member of cluster {cluster} runs, so there is nothing to take a snapshot from."
                " Next: start the members, or restore the newest snapshot with restore.yml."
            )
            continue
        others = f", and no member runs on {', '.join(looked_at)}" if looked_at else ""
        found[cluster] = (
            f"Whether a member of cluster {cluster} runs could not be seen{others}:"
            f" {'; '.join(f'{host} {why}' for host, why in hidden.items())}."
            " Next: make these hosts reachable (see with 'ansible -m ping', and with status.yml), and run again."
        )
    return found


def _runs(look: Mapping[str, Any]) -> bool:
    """Whether a member runs here, or somebody answers at its endpoints: one that only cannot be asked does run."""
    endpoints = (look.get("view") or {}).get("endpoints") or ()
    return bool((look.get("member") or {}).get("running")) or any(one["state"] != DOWN for one in endpoints)


def unseen(hosts: Iterable[str], seen: Mapping[str, Seen]) -> Dict[str, str]:
    """The hosts that say nothing of themselves, with why."""
    found = {}
    for host in hosts:
        if host not in seen or not seen[host].look:
            found[host] = "is not part of this run (--limit)"
        elif has_failed(seen[host].look):
            what = "cannot be reached" if seen[host].look.get("unreachable") else "could not be looked at"
            found[host] = f"{what}: {' '.join(str(seen[host].look.get('msg') or 'no reason given').split())}"
    return found


def _of(cluster: str, clusters: Mapping[str, str]) -> List[str]:
    return sorted(host for host, of in clusters.items() if of == cluster)


def newest_backups(clusters: Mapping[str, str], seen: Mapping[str, Seen]) -> Dict[str, str]:
    """By cluster the host that has the newest snapshot of it; empty where none has any."""
    names = sorted(set(clusters.values()))
    return {
        name: newest_on(name, {host: seen[host].backups for host in _of(name, clusters) if host in seen})
        for name in names
    }
