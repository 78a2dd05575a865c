# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member's configuration names the membership as it is now, although the member runs on: nothing is restarted.

A member that has data reads neither ``initial-cluster`` nor ``initial-cluster-state``, so a stale one does no harm until its
disk is lost: then ``new`` boots a second cluster beside the first, and an old ``initial-cluster`` ends the start with "member
count is unequal". So both are written where they live, after each change of the membership.

A static pod's manifest is the exception, since the kubelet restarts the pod at each change of it. It is left alone while the
member runs. kubeadm does the same: joining a control-plane node it writes the membership into the newcomer's manifest alone, the
manifests of the others keep what they were made with, and an upgrade makes each anew with its own member only and without a
state (``getEtcdCommand`` in ``cmd/kubeadm/app/phases/etcd/local.go``). What is wiped there must be replaced, and not started: who
replaces it writes its manifest. Where a pod reads its settings from a configuration file, that is edited like any other.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Dict, List, Mapping, Sequence

from ..core.errors import EtcdError
from ..core.values import TEXT
from ..etcd.commands import Run
from ..etcd.identity import parse_initial_cluster
from .configuration import DISCOVERY
from .facts import MemberFacts
from .settings.edits import ChangedFile, Edit, apply_edits, plan_edits

CLUSTER, STATE = "initial-cluster", "initial-cluster-state"


@dataclass(frozen=True)
class Settling:
    """What settles a member's configuration: the ``edits`` that ``settle`` makes on its host, also of what is right already.

    ``by_hand`` are warnings: what cannot be edited, each with the exact setting to write and where. ``notes`` say what is
    rightly left as it is.
    """

    edits: List[Edit] = field(default_factory=list)
    by_hand: List[str] = field(default_factory=list, metadata=TEXT)
    notes: List[str] = field(default_factory=list, metadata=TEXT)


@dataclass(frozen=True)
class Settled:
    """What became of the edits: the files that were changed, and warnings as above. Nothing of it fails."""

    files: List[ChangedFile] = field(default_factory=list)
    by_hand: List[str] = field(default_factory=list, metadata=TEXT)


def settle_edits(member: MemberFacts, initial_cluster: str) -> Settling:
    """How the configuration of this host's member comes to name the membership ``initial_cluster``, and ``existing``.

    ``initial_cluster`` is made of the names and peer URLs of the cluster's own member list. A host whose member is not in it
    has nothing to settle. Pure; EtcdError where ``initial_cluster`` is none.
    """
    if not _belongs(member, initial_cluster):
        return Settling()
    if any(member.settings[name].value for name in DISCOVERY if name in member.settings):
        return Settling(by_hand=[_discovers(member, initial_cluster)])
    wanted = {CLUSTER: initial_cluster, STATE: "existing"}
    edits: List[Edit] = []
    by_hand: List[str] = []
    try:
        edits = plan_edits(member, wanted)
    except EtcdError as error:
        # What one setting has no place for, the other may have.
        for setting, value in wanted.items():
            edits += _alone(member, setting, value)
        missing = {name: value for name, value in wanted.items() if not any(name in edit.settings for edit in edits)}
        by_hand = [_by_hand(missing, error)] if _differs(_written(member), missing) else []
    edits = [_with_the_kept(edit, edit.before) for edit in edits]
    if not member.running:
        return Settling(edits, by_hand)
    manifests = [edit for edit in edits if edit.format == "static_pod"]
    notes = [_left(edit) for edit in manifests if edit.before != edit.after]
    return Settling([edit for edit in edits if edit not in manifests], by_hand, notes)


def settle(edits: Sequence[Edit], initial_cluster: str, backup_dir: str, stamp: str, run: Run) -> Settled:
    """Make the edits on this host, each for itself, and restart nothing: at most systemd reads its units again.

    ``initial_cluster`` is the membership that the cluster reports now, which may be another than when the edits were planned.
    What is right already is left alone, and the copies of what is changed go to ``backup_dir``. The membership is right
    whatever happens here, so what cannot be written is a warning.
    """
    files: List[ChangedFile] = []
    by_hand: List[str] = []
    for planned in edits:
        edit = planned.with_value(CLUSTER, initial_cluster)
        try:
            edit = _with_the_kept(edit, edit.report().before)
            if not edit.is_needed():
                continue
            changed = edit.report()
            files.append(replace(changed, backup=_written_to(edit, backup_dir, stamp, run, by_hand)))
        except EtcdError as error:
            by_hand.append(_by_hand(edit.after, error, edit.path))
        except OSError as error:
            by_hand.append(_by_hand(edit.after, EtcdError(f"{error.strerror or error}.", ""), edit.path))
    return Settled(files, by_hand)


def _written_to(edit: Edit, backup_dir: str, stamp: str, run: Run, by_hand: List[str]) -> str:
    """The backup of the file. That systemd did not read its units again, once the file is written, is said alone."""
    try:
        (backup,) = apply_edits([edit], backup_dir, stamp, run)
    except EtcdError as error:
        if edit.is_needed():
            raise
        by_hand.append(f"{edit.path} is written. {error.message} {error.next_step}")
        return ""
    return backup


def _belongs(member: MemberFacts, initial_cluster: str) -> bool:
    """By its peer URLs, which are exact; by its name where no URLs of its own are known."""
    members = parse_initial_cluster(initial_cluster)
    if not member.peer_urls:
        return member.name in members
    return any(set(member.peer_urls) & set(urls) for urls in members.values())


def _alone(member: MemberFacts, setting: str, value: str) -> List[Edit]:
    try:
        return plan_edits(member, {setting: value})
    except EtcdError:
        return []


def _written(member: MemberFacts) -> Dict[str, str]:
    return {name: place.value for name, place in member.settings.items()}


def _differs(before: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return any(not _same(name, before.get(name, ""), value) for name, value in wanted.items())


def _with_the_kept(edit: Edit, now: Mapping[str, str]) -> Edit:
    """What says the same in other words stays as it is written, such as the members in another order."""
    for setting, value in edit.settings.items():
        if now.get(setting) and _same(setting, now[setting], value):
            edit = edit.with_value(setting, now[setting])
    return edit


def _same(setting: str, one: str, other: str) -> bool:
    if setting != CLUSTER or one == other:
        return one == other
    try:
        return parse_initial_cluster(one) == parse_initial_cluster(other)
    except EtcdError:
        return False  # what stands there was never a membership


def _lines(settings: Mapping[str, str]) -> str:
    return " and ".join(f"{name}={value}" for name, value in settings.items())


def _by_hand(settings: Mapping[str, str], error: EtcdError, path: str = "") -> str:
    there = f"in {path}" if path else "where etcd is given its settings"
    cause = error.message if not path or path in error.message else f"{path}: {error.message}"
    return f"{cause} Write {_lines(settings)} {there} by hand; the member need not be restarted."


def _discovers(member: MemberFacts, initial_cluster: str) -> str:
    name = next(name for name in DISCOVERY if name in member.settings and member.settings[name].value)
    return (
        f"{name} is set in {member.settings[name].path or 'the command line of its process'}, and etcd does not start with it"
        f" beside initial-cluster: see that what it leads to names {initial_cluster}."
    )


def _left(edit: Edit) -> str:
    """``edit`` would change the manifest of a pod that runs."""
    trap = edit.before.get(STATE) != "existing" if STATE in edit.after else False
    wiped = (
        " It does not say existing: if the disk of this host is lost, take it out of the kubelet's folder before the host boots."
        if trap
        else ""
    )
    return (
        f"{edit.path} stays as it is, since the kubelet restarts the member at each change of it, and a member with data does not"
        f" read {' and '.join(edit.after)} there; kubeadm leaves it so too.{wiped}"
    )
