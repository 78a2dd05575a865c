# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover on the host of the mirror's engine: with its service stopped, and not begun again by a boot or a timer."""

from __future__ import annotations

import os
from typing import List

from ..core.errors import EtcdError
from ..etcd.commands import Run
from ..mirror.settings import MirrorSettings
from ..mirror.state import HANDED
from ..mirror.status import last
from .mirror_metrics import mirror_metrics_path
from .mirror_units import enabled_of, mirrors_of, timer_of, unit_of, verify_of, verify_timer_of
from .systemd import systemctl


class Units:
    """The mirror's service or timer, and the timer that compares it; those of them that are there.

    ``root`` is another folder than ``/`` in tests only.
    """

    def __init__(self, run: Run, settings: MirrorSettings, root: str = "/") -> None:
        self._run, self._settings = run, settings
        self._folder = os.path.join(root, "etc/systemd/system")

    def runs(self) -> bool:
        """Now; a timer's engine between its times does not."""
        unit = self._there(unit_of(self._settings.name))
        return any(not self._run(["systemctl", "is-active", "--quiet", one], {}).rc for one in unit)

    def stop(self) -> None:
        name = self._settings.name
        for unit in self._there(timer_of(name), verify_timer_of(name), unit_of(name), verify_of(name)):
            systemctl(self._run, "stop", unit)

    def start(self) -> None:
        for unit in self._begin():
            systemctl(self._run, "enable", "--now", "--quiet", unit)

    def disable(self) -> None:
        """With what a monitor was told, which would else grow old."""
        self.stop()
        for unit in self._begin():
            systemctl(self._run, "disable", "--quiet", unit)
        path = mirror_metrics_path(self._settings.metrics_dir, self._settings.name)
        if path and os.path.lexists(path):
            os.unlink(path)

    def _begin(self) -> List[str]:
        return self._there(*enabled_of(self._settings.name, bool(self._settings.interval), verifies=True))

    def _there(self, *units: str) -> List[str]:
        return [unit for unit in units if os.path.exists(os.path.join(self._folder, unit))]


def refuse_the_classic(name: str, settings_path: str, root: str = "/") -> None:
    if not os.path.exists(settings_path) and name in mirrors_of(root):
        raise EtcdError(
            f"The mirror {name} is one by etcd's own make-mirror, and nobody knows how far it is.",
            "let this collection's engine take it over (etcd_mirror_engine: quorum), and wait until it follows.",
        )


def refuse_handed_over(settings: MirrorSettings, settings_path: str) -> None:
    """Nothing is to begin an engine again that may not write any more. One that was taken away may be made anew."""
    status = last(settings.folder) if os.path.exists(settings_path) else None
    if status is not None and status.phase == HANDED:
        raise EtcdError(
            f"The mirror {settings.name} is none any more: {status.why}.",
            "to go back, run mirror_cutover.yml with etcd_mirror_cutover_back; else take it away with etcd_mirror_state: absent.",
        )
