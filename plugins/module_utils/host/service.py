# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Starting and stopping a member: by systemd, by the user's own commands, or by moving a static pod's manifest.

``manager`` returns one of three with the same methods. ``start`` never waits for etcd: with ``Type=notify`` a member is
only "started" when there is a quorum, and there is none before the others have started too. ``stop`` does wait: when it
returns, the process is gone.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
import time
from typing import Callable, Dict, List, Optional, Sequence

from ..core.errors import EtcdError
from ..core.trees import sync_folder
from ..etcd.commands import Result, Run
from .facts import Service
from .processes import Host, etcd_processes, is_halted, uses
from .settings.edits import parked_manifest, reload_units

# Seconds between two looks at a process that is to stop: it takes etcd a few hundredths.
POLL = 0.05
# Seconds that the kubelet needs to be done with a pod whose processes have ended: it looks once a second. A pod of the same
# name that comes earlier, it looks at again only after 10 to 15 s (measured with 1.34: 15.4 s instead of 0.8).
POD_SETTLE = 2.0


def manager(
    service: Service,
    data_dir: str,
    state_dir: str,
    run: Run,
    sleep: Callable[[float], None] = time.sleep,
    root: str = "/",
) -> Manager:
    """What starts and stops the member with this service, data directory and folder of ours."""
    kinds = {"systemd": Systemd, "static_pod": StaticPod, "command": Commands}
    return kinds[service.manager](service, data_dir, state_dir, run, sleep, root)


class Manager:
    """The interface: ``state``, ``stop``, ``start``, ``ascent``, ``at_boot``, ``configuration_changed``.

    ``starts_at_once``: a member that was started has a process from then on, and one that has none a little later has failed.
    """

    starts_at_once = True

    def __init__(
        self, service: Service, data_dir: str, state_dir: str, run: Run, sleep: Callable[[float], None], root: str
    ) -> None:
        self.service = service
        self.data_dir = data_dir
        self.state_dir = state_dir
        self.run = run
        self.sleep = sleep
        self.host = Host(root)

    def state(self) -> str:
        """``running`` (also while it starts or stops), ``stopped``, ``failed``, ``absent`` or ``unknown``."""
        raise NotImplementedError

    def stop(self, timeout: float) -> None:
        """Stop it and wait, at most ``timeout`` seconds, until its process is gone; EtcdError where it is not."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it without waiting until it serves; EtcdError where it cannot even be started."""
        raise NotImplementedError

    def ascent(self) -> str:
        """How far up a member is that was started: ``starting``, ``serving``, ``failing``, or ``unknown`` to its manager."""
        return "unknown"

    def at_boot(self, starts: bool) -> None:
        """Whether the host's boot is to start it. What only its own files decide, such as a static pod, is left as it is."""

    def configuration_changed(self) -> None:
        """Its files were changed behind the back of this object."""

    def pids(self) -> List[int]:
        """The etcd processes that use this member's data directory."""
        if not self.data_dir:
            return []
        return [process.pid for process in etcd_processes(self.host) if uses(self.host, process, self.data_dir)]

    def demand_responsive(self) -> None:
        """EtcdError where a process of the member is held still: to stop the others and wait for it would be an outage."""
        halted = [str(pid) for pid in self.pids() if is_halted(self.host, pid)]
        if halted:
            pids = " ".join(halted)
            raise EtcdError(
                f"its etcd (pid {pids}) is held still by a signal or a debugger, so it cannot be asked to stop.",
                f"nothing was stopped; let it go on with 'kill -CONT {pids}', or end it with 'kill -KILL {pids}', and run"
                " again.",
            )

    def _wait_until_gone(self, alive: Callable[[], bool], timeout: float, what: str) -> None:
        waited = 0.0
        while alive():
            if waited >= timeout:
                pids = ", ".join(str(pid) for pid in self.pids()) or "unknown"
                raise EtcdError(
                    f"{what} did not stop within {timeout:g} s; its process (pid {pids}) still runs.",
                    "see etcd's log on this host, stop it by hand, and run again.",
                )
            self.sleep(POLL)
            waited += POLL

    def _call(self, argv: Sequence[str]) -> Result:
        try:
            return self.run(argv, {})
        except OSError as error:
            return Result(127, "", f"{argv[0]}: {error.strerror or error}")

    def _must(self, argv: Sequence[str], next_step: str) -> None:
        result = self._call(argv)
        if result.rc != 0:
            said = (result.err or result.out).strip() or "no message"
            raise EtcdError(f"'{shlex.join(argv)}' failed with exit code {result.rc}: {said}", next_step)


class Systemd(Manager):
    """A unit."""

    _STATES = {"inactive": "stopped", "failed": "failed"}

    def state(self) -> str:
        shown = self._show()
        if shown.get("LoadState") in ("not-found", "bad-setting", "error") and not int(shown.get("MainPID") or 0):
            return "absent"
        if "ActiveState" not in shown:
            return "unknown"
        # Activating and deactivating count as running: a process is there, or systemd is about to start one again.
        return self._STATES.get(shown["ActiveState"], "running")

    def stop(self, timeout: float) -> None:
        if self.state() == "absent":
            return
        pid = int(self._show().get("MainPID") or 0)
        self._must(
            ["systemctl", "stop", "--no-block", self.service.name], f"see 'systemctl status {self.service.name}'."
        )

        def alive() -> bool:
            return self.state() in ("running", "unknown") or bool(pid and self.host.exists(f"/proc/{pid}"))

        self._wait_until_gone(alive, timeout, f"the unit {self.service.name}")

    def start(self) -> None:
        name = self.service.name
        if self._show().get("NeedDaemonReload") == "yes":
            self.configuration_changed()
        # A unit that failed too often lately is not started again before its counter is reset.
        self._call(["systemctl", "reset-failed", name])
        self._must(
            ["systemctl", "start", "--no-block", name], f"see 'systemctl status {name}' and 'journalctl -u {name}'."
        )

    def ascent(self) -> str:
        shown = self._show()
        if not shown.get("Type", "").startswith("notify"):
            return "unknown"  # active as soon as its process runs; with notify, when etcd itself says that it serves
        if shown.get("ActiveState") == "active":
            return "serving"
        # What ends again and again is not waited for.
        is_failing = shown.get("ActiveState") == "failed" or shown.get("SubState", "").startswith("auto-restart")
        return "failing" if is_failing else "starting"

    def at_boot(self, starts: bool) -> None:
        # Of a unit that is generated, transient or static systemd refuses it: what makes that decides.
        self._call(["systemctl", "--quiet", "enable" if starts else "disable", self.service.name])

    def configuration_changed(self) -> None:
        reload_units(self.run)

    def _show(self) -> Dict[str, str]:
        wanted = "LoadState,ActiveState,SubState,Type,MainPID,NeedDaemonReload"
        result = self._call(["systemctl", "show", f"--property={wanted}", self.service.name])
        return dict(line.split("=", 1) for line in result.out.splitlines() if "=" in line) if result.rc == 0 else {}


class Commands(Manager):
    """The user's own start, stop and status commands, run without a shell."""

    def state(self) -> str:
        command = self._words("status_command", required=False)
        if command:
            return "running" if self._call(command).rc == 0 else "stopped"
        if not self.data_dir:
            return "unknown"
        return "running" if self.pids() else "stopped"

    def stop(self, timeout: float) -> None:
        if self.state() == "stopped" and not self.pids():
            return
        self._must(self._words("stop_command"), "see etcd's log on this host.")
        self._wait_until_gone(lambda: self.state() == "running" or bool(self.pids()), timeout, "the member")

    def start(self) -> None:
        self._must(self._words("start_command"), "see etcd's log on this host.")

    def _words(self, which: str, required: bool = True) -> List[str]:
        """The operator's command as words, with ``~`` and ``$NAME`` as a shell has them; else nothing is expanded anywhere."""
        text = getattr(self.service, which)
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise EtcdError(
                f"the {which} {text!r} is not a command line: {error}.", f"correct etcd_{which}."
            ) from error
        if required and not words:
            raise EtcdError(f"the service manager is 'command', but there is no {which}.", f"set etcd_{which}.")
        return [os.path.expandvars(os.path.expanduser(word)) for word in words]


class StaticPod(Manager):
    """A pod that the kubelet runs for as long as its manifest lies in the manifest folder: when, is the kubelet's to choose.

    It may first fetch the image, and looks at a pod of the same name again only after a while (``POD_SETTLE``).
    """

    starts_at_once = False

    def state(self) -> str:
        if self.pids():
            return "running"
        if self.host.exists(self.service.manifest):
            return "failed"  # the kubelet is to run it, and it does not
        return "stopped" if self.host.exists(self._parked()) else "absent"

    def stop(self, timeout: float) -> None:
        moved = self.host.exists(self.service.manifest)
        if moved:
            self._move(self.service.manifest, self._parked())
        self._wait_until_pod_is_gone(timeout)
        if moved:
            self.sleep(POD_SETTLE)
            self._wait_until_pod_is_gone(timeout)  # a failed one may just have been started again

    def _wait_until_pod_is_gone(self, timeout: float) -> None:
        self._wait_until_gone(lambda: bool(self.pids()), timeout, f"the static pod of {self.service.manifest}")

    def start(self) -> None:
        if self.host.exists(self.service.manifest):
            return
        if not self.host.exists(self._parked()):
            raise EtcdError(
                f"the manifest {self.service.manifest} is not there, and neither is {self._parked()}, where a stopped"
                " member keeps it.",
                "put the manifest back into its folder.",
            )
        self._move(self._parked(), self.service.manifest)

    def _parked(self) -> str:
        return parked_manifest(self.service.manifest, self.state_dir)

    def _move(self, source: str, target: str) -> None:
        os.makedirs(os.path.dirname(self.host.path(target)), mode=0o700, exist_ok=True)
        move_file(self.host.path(source), self.host.path(target))


def in_words(service: Service, state_dir: str, action: str) -> str:
    """What stops or starts the member, for people; ``action`` is ``stop`` or ``start``."""
    if service.manager == "static_pod":
        manifest, parked = service.manifest, parked_manifest(service.manifest, state_dir)
        return by_the_kubelet(manifest, parked) if action == "stop" else by_the_kubelet(parked, manifest)
    if service.manager == "systemd":
        return f"systemctl {action} {service.name}"
    return service.stop_command if action == "stop" else service.start_command


def by_the_kubelet(source: str, to: str, name: str = "") -> str:
    return f"{name + ' ' if name else ''}by the kubelet: {source} -> {to}"


def move_file(source: str, target: str, rename: Optional[Callable[[str, str], None]] = None) -> None:
    """Rename; between file systems: a durable copy under a hidden name, its rename, and only then the removal."""
    try:
        (rename or os.rename)(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        folder, name = os.path.split(target)
        hidden = os.path.join(folder, f".{name}.moving.tmp")
        shutil.copy2(source, hidden)
        status = os.stat(source)
        os.chown(hidden, status.st_uid, status.st_gid)
        with open(hidden, "rb") as stream:
            os.fsync(stream.fileno())
        os.rename(hidden, target)
        os.unlink(source)
    sync_folder(os.path.dirname(source))
    sync_folder(os.path.dirname(target))
