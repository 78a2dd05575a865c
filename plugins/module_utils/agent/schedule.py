# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""When the agent runs: systemd timers, or lines of cron where there is no systemd. Pure: the texts of the files."""

from __future__ import annotations

import re
from typing import Sequence

from ..core.errors import EtcdError

PROGRAM = "/usr/local/bin/quorum-etcd"
UNIT = "quorum-etcd-backup"
SERVICE_PATH, TIMER_PATH = f"/etc/systemd/system/{UNIT}.service", f"/etc/systemd/system/{UNIT}.timer"
CRON_PATH = f"/etc/cron.d/{UNIT}"
DRILL_UNIT = "quorum-etcd-drill"
DRILL_SERVICE_PATH = f"/etc/systemd/system/{DRILL_UNIT}.service"
DRILL_TIMER_PATH = f"/etc/systemd/system/{DRILL_UNIT}.timer"
EVERY_HALF_HOUR = "*:0/30"
NEVER = "never"
DRILL_DELAY = 14400  # seconds among which the beginning of a drill is drawn
_OWN_MEMORY = 256  # MiB that a drill has besides the memory of the etcd that it starts

_HEAD = "# Written by quorum.etcd; backup.yml writes it anew.\n"
_CRON = re.compile(r"([\d*/,-]+\s+){4}[\d*/,A-Za-z-]+\Z")
_MINUTES = re.compile(r"\*:0/(\d{1,2})(:00)?\Z")
_NAMED = {"hourly": "0 * * * *", "daily": "0 0 * * *", "weekly": "0 0 * * 1", "monthly": "0 0 1 * *"}
# Where a private /tmp would hide what is given.
TEMPORARY = ("/tmp/", "/var/tmp/")  # noqa: S108

# What no service of ours needs.
SANDBOX = """\
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
"""

_SERVICE = """\
[Unit]
Description=@WHAT@ of the etcd cluster @CLUSTER@
Documentation=https://github.com/quorum-etcd/quorum.etcd
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
# A run that somebody has begun by hand is waited for.
ExecStart=@PROGRAM@ @COMMAND@ --wait 3600
# A run that hangs would keep every other one out.
TimeoutStartSec=6h
UMask=0077
@BOUNDS@
# It reads keys and certificates of other users, and writes to these folders; nothing else.
CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER
ReadWritePaths=@FOLDERS@
PrivateTmp=@PRIVATE_TMP@
@SANDBOX@"""

_OF_BACKUP = "Nice=10\nIOSchedulingPriority=7"
# After everybody else, and at most one processor: the etcd of a drill is in no hurry. Where memory is short, it goes first.
_OF_DRILL = """\
Nice=19
CPUWeight=1
CPUQuota=100%
IOSchedulingClass=idle
IOWeight=1
MemoryMax=@MEMORY@M
OOMScoreAdjust=1000
TasksMax=256"""

_TIMER = """\
[Unit]
Description=@WHAT@ of the etcd cluster @CLUSTER@ at its times

[Timer]
OnCalendar=@SCHEDULE@
# All members do not begin at once, and what was missed while the host was off is made up for.
RandomizedDelaySec=@DELAY@
Persistent=true

[Install]
WantedBy=timers.target
"""


def service_unit(cluster: str, folders: Sequence[str], paths: Sequence[str], optional: Sequence[str] = ()) -> str:
    """``folders`` are written to, and so are ``optional`` ones where they are there; ``paths`` are all that it must see."""
    return _service("Backup", "backup", _OF_BACKUP, cluster, folders, paths, optional)


def drill_unit(
    cluster: str, memory: int, folders: Sequence[str], paths: Sequence[str], optional: Sequence[str] = ()
) -> str:
    """``memory`` are the MiB that the etcd of a drill may have. The folder of snapshots is only read."""
    bounds = filled(_OF_DRILL, MEMORY=str(memory + _OWN_MEMORY))
    return _service("Drill of the backups", "drill", bounds, cluster, folders, paths, optional)


def _service(
    what: str,
    command: str,
    bounds: str,
    cluster: str,
    folders: Sequence[str],
    paths: Sequence[str],
    optional: Sequence[str],
) -> str:
    hidden = any(path.startswith(TEMPORARY) for path in (*folders, *paths, *optional))
    written = [*folders, *(f"-{folder}" for folder in optional)]
    return filled(
        _HEAD + _SERVICE,
        SANDBOX=SANDBOX,
        WHAT=what,
        COMMAND=command,
        BOUNDS=bounds,
        CLUSTER=escaped(cluster),
        PROGRAM=PROGRAM,
        FOLDERS=" ".join(f'"{escaped(folder)}"' for folder in written),
        PRIVATE_TMP="no" if hidden else "yes",
    )


def timer_unit(cluster: str, schedule: str, delay: int, what: str = "Backup") -> str:
    """``schedule`` is systemd's OnCalendar, ``delay`` the seconds among which the beginning is drawn, ``what`` what is done."""
    if _CRON.match(schedule):
        raise EtcdError(
            f"{schedule!r} is a schedule of cron, and this host has systemd.",
            "give what OnCalendar= takes, such as *:0/30, hourly or 02:30 (man systemd.time).",
        )
    return filled(_HEAD + _TIMER, WHAT=what, CLUSTER=escaped(cluster), SCHEDULE=schedule, DELAY=str(delay))


def cron_lines(schedule: str, delay: int, drill_schedule: str = NEVER) -> str:
    """The file of cron; what the agent says goes nowhere, since it is recorded, and its errors to root's mail."""
    path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    told = [("", schedule, "backup", delay)]
    if drill_schedule != NEVER:
        told.append(("nice -n 19 ", drill_schedule, "drill", DRILL_DELAY))
    lines = [
        f"{_cron_fields(when)} root {last}{PROGRAM} {command} --wait 3600 --delay {among} >/dev/null\n"
        for last, when, command, among in told
    ]
    return f"{_HEAD}SHELL=/bin/sh\n{path}\n{''.join(lines)}"


def _cron_fields(schedule: str) -> str:
    minutes = _MINUTES.match(schedule)
    if minutes and 0 < int(minutes.group(1)) < 60:
        return f"*/{int(minutes.group(1))} * * * *"
    if schedule in _NAMED:
        return _NAMED[schedule]
    if _CRON.match(schedule):
        return schedule
    raise EtcdError(
        f"{schedule!r} is no schedule of cron, and this host has no systemd.",
        "give the five fields of cron, such as '*/30 * * * *'.",
    )


def escaped(text: str) -> str:
    """Text in a unit, where ``%`` begins a specifier, and quotes and backslashes mean something."""
    return text.replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')


def filled(text: str, **values: str) -> str:
    """The text with its ``@NAME@`` replaced; what is in a value is never a name."""
    return re.sub("@([A-Z_]+)@", lambda found: values[found.group(1)], text)
