# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A member that is taken away for a while: stopped, killed, or cut off; and the script that puts it back, whoever runs it.

The script is written, and the timer and the boot that will run it are armed (see ``put_back``), before anything is taken away.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
from typing import List

from ..core.durable import for_all, put
from ..core.errors import EtcdError
from ..etcd.commands import Run
from .facts import Service
from .filtering import FOLDERS, NFT, Cut, iptables_rules, nft_rules, shares_network, uncut_lines
from .service import Manager
from .settings.edits import parked_manifest, reload_units
from .settings.sources import full_name

STOP, KILL, CUT = "stop", "kill", "cut"
_STOPS_WITHIN = 60.0  # seconds
# systemd would start a killed process again at once. In /run it is gone with the next boot, and it goes after all others.
_STAY_DOWN = "[Service]\nRestart=no\n"


def stay_down_file(unit: str) -> str:
    return f"/run/systemd/system/{full_name(unit)}.d/zzz-quorum-etcd-drill.conf"


def lines_back(how: str, service: Service, state_dir: str, tool: str) -> List[str]:
    """Lines of a shell script that put back what ``take`` has taken, and do no harm where nothing was; the last one tells."""
    if how == CUT:
        return uncut_lines(tool)
    if service.manager == "systemd":
        unit, path = shlex.quote(service.name), shlex.quote(stay_down_file(service.name))
        undo = [f"rm -f {path}", f"rmdir {shlex.quote(os.path.dirname(stay_down_file(service.name)))} 2>/dev/null"]
        undo += ["systemctl daemon-reload"] if how == KILL else []
        return [
            *(undo if how == KILL else []),
            f"systemctl reset-failed {unit} 2>/dev/null",
            f"systemctl start --no-block {unit}",
        ]
    if service.manager == "static_pod":
        live, parked = service.manifest, parked_manifest(service.manifest, state_dir)
        hidden = os.path.join(os.path.dirname(live), f".{os.path.basename(live)}.moving.tmp")
        one, other, between = map(shlex.quote, (live, parked, hidden))
        copy = f"cp -p {other} {between} && sync {between} && mv {between} {one}"
        # On the disk before the only other one goes: the power may fail just then.
        return [f"[ -e {one} ] || {{ {copy} && sync {shlex.quote(os.path.dirname(live))} && rm -f {other}; }}"]
    running = f"{service.status_command} >/dev/null 2>&1 || " if service.status_command else ""
    return [f"{running}{service.start_command}"]


class Absence:
    """How the member of this host is taken away: ``how`` with ``manager``; ``cut`` where it is cut off, with ``tool``."""

    def __init__(self, how: str, manager: Manager, folder: str, run: Run, cut: Cut, tool: str) -> None:
        self._how, self._manager, self._folder, self._run, self._cut, self._tool = how, manager, folder, run, cut, tool

    def demand_possible(self) -> None:
        """EtcdError where it could not be taken away as it is wanted; nothing is touched."""
        pids = self._manager.pids()
        if not pids:
            raise EtcdError("its etcd does not run.", "run status.yml, and start it.")
        if self._how != CUT:
            self._manager.demand_responsive()
            return
        if not all(shares_network(self._manager.host, pid) for pid in pids):
            raise EtcdError(
                "its etcd has a network of its own (a container), which is not cut from here.",
                "drill it with -e etcd_failover_drill_how=stop or kill.",
            )
        if self._tool == NFT:
            self._must(["nft", "-c", "-f", self._rules_file()])
        else:
            self._must(["iptables", "-w", "-n", "-L", "INPUT"])

    def prepare(self) -> None:
        """What a later ``take`` needs; to be undone by the script already."""
        if self._how == KILL and self._manager.service.manager == "systemd":
            path = stay_down_file(self._manager.service.name)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            put(path, _STAY_DOWN.encode(), prepare=for_all)
            reload_units(self._run)
            shown = self._run(["systemctl", "show", "--property=Restart", self._manager.service.name], {}).out.strip()
            if shown != "Restart=no":
                raise EtcdError(
                    f"systemd would start the unit {self._manager.service.name} again at once ({shown}), although {path} says"
                    " otherwise.",
                    "drill it with -e etcd_failover_drill_how=stop.",
                )

    def take(self) -> None:
        if self._how == CUT:
            rules = [["nft", "-f", self._rules_file()]] if self._tool == NFT else iptables_rules(self._cut)
            for argv in rules:
                self._must(argv)
            return
        if self._how == KILL:
            for pid in self._manager.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        # A kubelet starts what has died again, and a unit that has failed is not what one expects of a member that is stopped
        # by its manager: a pod that was killed is parked as a stopped one is.
        if self._how == STOP or self._manager.service.manager == "static_pod":
            self._manager.stop(_STOPS_WITHIN)

    def is_away(self) -> bool:
        """Whether it has stayed away; of one that is cut off its host cannot tell."""
        return self._how == CUT or not self._manager.pids()

    def left(self) -> List[str]:
        """What ``prepare`` has made, as long as it is there, whoever has."""
        service = self._manager.service
        unit = stay_down_file(service.name) if service.manager == "systemd" else ""
        return [unit] if unit and os.path.exists(unit) else []

    def _rules_file(self) -> str:
        path = os.path.join(self._folder, "cut.nft")
        put(path, nft_rules(self._cut).encode())
        return path

    def _must(self, argv: List[str]) -> None:
        try:
            result = self._run(argv, {"PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), *FOLDERS])})
        except OSError as error:
            raise EtcdError(f"{argv[0]} cannot be run: {error.strerror or error}.", "install nftables.") from error
        if result.rc:
            said = (result.err or result.out).strip() or "no message"
            raise EtcdError(
                f"'{' '.join(argv[:4])}' failed with exit code {result.rc}: {said}",
                "see that this host may filter packets; or drill it with -e etcd_failover_drill_how=stop or kill.",
            )
