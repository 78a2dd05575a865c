# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a job may believe what was found to start and stop a member."""

from __future__ import annotations

from typing import Callable

from ..core.job import Findings
from .facts import MemberFacts, Service
from .owners import in_words
from .settings.sources import full_name


def check_service(host: str, member: MemberFacts, does: str, way: Callable[[str], str], findings: Findings) -> None:
    """``check_manager``; but what a distribution alone ``does``, whose part this etcd is, is refused with its own ``way``."""
    owner = member.service.owner
    if owner.kind == "distribution":
        findings.refuse(f"its etcd is a part of {owner.name}, which alone {does}.", way(owner.name), host)
    else:
        check_manager(host, member, findings)


def check_manager(host: str, member: MemberFacts, findings: Findings) -> None:
    """Whether what was found to stop and start this member is what really does: "stopped" is believed of nobody else."""
    service, name, owner = member.service, member.service.name, member.service.owner
    if member.strangers:
        findings.refuse(
            f"{member.strangers}, and is not what {name} would stop.",
            "end it there; or, where it is the member, set etcd_service_name to its unit, or etcd_service_manager=command"
            " with etcd_start_command and etcd_stop_command.",
            host,
        )
    if service.manager != "systemd":
        return
    if service.masked:
        findings.refuse(f"its unit {name} is masked, and cannot be started.", f"systemctl unmask {name}.", host)
    elif service.transient:
        findings.refuse(
            f"its unit {name} is a transient one (systemd-run), and vanishes when it is stopped.",
            "start the member by a unit of its own, with a file in /etc/systemd/system.",
            host,
        )
    elif member.running and not _is_its_units(service):
        where = f" ({in_words(owner)})" if owner.kind else ""
        findings.refuse(
            f"its etcd runs, process {member.pid}{where}, and the unit {name} does not own it: {service.state}.",
            f"set etcd_service_name={owner.name}."
            if owner.kind == "unit"
            else "stop it and start it by its unit; or set etcd_service_manager=command with etcd_start_command and"
            " etcd_stop_command.",
            host,
        )
    elif service.enabled is False:
        findings.warn(f"its unit {name} is disabled: it stays down after a reboot.", host)
    if service.made_from and service.exec_start:
        findings.warn(
            f"its unit {name} is made from {service.made_from}, and what is set goes with the whole command into"
            f" {service.dropin}, which hides later changes of that file, such as of its image: afterwards put the settings"
            " into it, and remove the drop-in.",
            host,
        )


def _is_its_units(service: Service) -> bool:
    owner = service.owner
    # A unit may start its etcd in a container, which has a group of its own.
    is_other = owner.kind not in ("", "unit", "container") or (
        owner.kind == "unit" and owner.name != full_name(service.name)
    )
    return service.state == "running" and not is_other
