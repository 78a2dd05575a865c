# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the agent asks of systemd when it sets up its services and timers."""

from __future__ import annotations

from typing import Dict, Iterable

from ..core.errors import EtcdError
from ..etcd.commands import Run


def systemctl(run: Run, *words: str) -> None:
    result = run(["systemctl", *words], {})
    if result.rc:
        raise EtcdError(
            f"systemctl {' '.join(words)} failed: {(result.err or result.out).strip()}", "see journalctl -xe."
        )


def runs(run: Run, unit: str) -> bool:
    """Whether it does now, and will after a boot."""
    return not any(run(["systemctl", word, "--quiet", unit], {}).rc for word in ("is-enabled", "is-active"))


def is_at_work(run: Run, unit: str) -> bool:
    """Now, also where it is only about to begin, as a service that is started again, or one that runs once."""
    result = run(["systemctl", "is-active", unit], {})
    return not result.rc or result.out.strip().endswith("ing")


def turned(unit: str, on: bool) -> Dict[str, str]:
    """How it changes, as a diff shows it."""
    before, after = ("stopped\n", "running\n") if on else ("running\n", "stopped\n")
    return {"before_header": unit, "before": before, "after_header": unit, "after": after}


def begin(run: Run, units: Iterable[str]) -> None:
    """Let these run from now on, by the files that are there now."""
    systemctl(run, "daemon-reload")
    for unit in units:
        systemctl(run, "enable", "--quiet", unit)
        systemctl(run, "restart", unit)


def check_calendar(run: Run, schedule: str) -> None:
    """EtcdError where systemd does not understand when something is to be run."""
    try:
        result = run(["systemd-analyze", "calendar", schedule], {})
    except FileNotFoundError:
        return
    if result.rc:
        raise EtcdError(
            f"systemd does not understand the schedule {schedule!r}.",
            "give what OnCalendar= takes, such as *:0/30, hourly or 02:30 (man systemd.time).",
        )
