# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A script that puts back what was taken away from a host, and a timer on that host that runs it, whoever dies.

As long as the file ``armed`` lies beside the script, something may be away. The timer is systemd's where systemd runs, and it
can be seen in ``systemctl list-timers``; elsewhere it is a process of its own, without a parent or anything of its maker's
environment. A reboot ends both. So where systemd runs, a unit that the next boot starts runs the script too; elsewhere a reboot
puts back only what it puts back by itself.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import time
from typing import List, Sequence

from ..core.durable import for_all, put
from ..core.errors import EtcdError
from ..core.trees import sync_folder
from ..etcd.commands import Run

SYSTEMD = "/run/systemd/system"  # is there where systemd runs
_UNITS = "/etc/systemd/system"
_UP = 5.0  # seconds in which the process is there
_TRIES = 5
# All that the boot begins by itself is begun before: a member of these is not started twice, and its container engine is there.
_BOOT_UNIT = """\
# Written by a failover drill of quorum.etcd, which removes it. It does nothing where nothing is away.
[Unit]
Description=Put back what a failover drill has taken away from this host
Documentation=https://github.com/quorum-etcd/quorum.etcd
ConditionPathExists={folder}/armed
After=multi-user.target

[Service]
Type=oneshot
WorkingDirectory={folder}
ExecStart=/bin/sh put_back.sh boot
TimeoutStartSec=300
# What a start command leaves running stays.
KillMode=process

[Install]
WantedBy=multi-user.target
"""


def boot_unit_text(folder: str) -> str:
    return _BOOT_UNIT.format(folder=folder.replace("%", "%%"))


def script_text(folder: str, lines: List[str], boot_unit: Sequence[str]) -> str:
    """The script. ``sh put_back.sh WHO SECONDS``: after so many seconds; without both at once, by hand.

    ``boot_unit`` are the files of the unit that the next boot starts, which go with what was armed.
    """
    inside = "\n".join(f"    {line}" for line in lines)
    return f"""\
#!/bin/sh
# Puts back what a failover drill has taken away from this host. It can be run at any time, and does nothing a second time.
PATH=$PATH:/usr/sbin:/sbin
cd {shlex.quote(folder)} || exit 1
left=${{2:-0}}
[ "$left" -eq 0 ] || echo "$$" >timer.pid
while [ "$left" -gt 0 ]; do
    [ -e armed ] || exit 0
    sleep 1
    left=$((left - 1))
done
[ -e armed ] || exit 0
put_back() {{
{inside}
}}
tries={_TRIES}
until put_back; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || exit 1
    sleep 1
done
echo "${{1:-hand}}" >put_back_by
rm -f armed || exit 1
rm -f {shlex.join(boot_unit)}
exit 0
"""


class PutBack:
    """The script and the timer of the drill whose journal lies in ``folder``."""

    def __init__(self, folder: str, run: Run) -> None:
        self._folder, self._run = folder, run
        self._script = os.path.join(folder, "put_back.sh")
        self._armed = os.path.join(folder, "armed")
        self._unit = f"quorum-etcd-drill-{os.path.basename(folder)}"
        boot = f"quorum-etcd-drill-boot-{os.path.basename(folder)}.service"
        # The link is what enables it.
        self._link, self._file = os.path.join(_UNITS, "multi-user.target.wants", boot), os.path.join(_UNITS, boot)

    @property
    def is_armed(self) -> bool:
        return os.path.exists(self._armed)

    def left(self) -> List[str]:
        """What is there of it as long as something may be away."""
        return [path for path in (self._armed, self._link, self._file) if os.path.lexists(path)]

    def arm(self, lines: List[str], seconds: int) -> None:
        """Write the script, and let the host run it after so many seconds, or when it boots.

        EtcdError where that is not sure; nothing is armed.
        """
        put(self._script, script_text(self._folder, lines, (self._link, self._file)).encode())
        put(self._armed, b"")
        try:
            if os.path.isdir(SYSTEMD):
                self._arm_boot()
                self._arm_systemd(seconds)
            else:
                self._arm_process(seconds)
        except BaseException:
            self._unarm()
            raise

    def again(self) -> None:
        """Let ``now`` put back although the timer has: before all was taken away, or while it still was."""
        put(self._armed, b"")

    def now(self) -> str:
        """Put it back, where the timer has not; who has: ``run`` or ``timer``."""
        result = self._run(["sh", self._script, "run"], {})
        if result.rc or self.is_armed:
            said = (result.err or result.out).strip().splitlines() or ["no message"]
            raise EtcdError(
                f"what was taken away could not be put back ({said[-1]}).",
                f"run 'sh {self._script}' on this host, and see what it says.",
            )
        self.disarm()
        with contextlib.suppress(OSError), open(os.path.join(self._folder, "put_back_by"), encoding="utf-8") as file:
            return file.read().strip()
        return ""

    def disarm(self) -> None:
        """The timer does nothing any more: by the file that is gone it would not in any case."""
        self._unarm()
        if os.path.isdir(SYSTEMD):
            with contextlib.suppress(OSError):
                self._run(["systemctl", "stop", f"{self._unit}.timer"], {})

    def _unarm(self) -> None:
        """In this order: a unit that is left does nothing without the file."""
        for path in self.left():
            with contextlib.suppress(FileNotFoundError):  # the timer does the same
                os.unlink(path)
            sync_folder(os.path.dirname(path))

    def _arm_boot(self) -> None:
        """Let the next boot run the script. systemd reads its units anew then: it is not made to now, with all others' edits."""
        wants, name = os.path.dirname(self._link), os.path.basename(self._file)
        try:
            os.makedirs(wants, mode=0o755, exist_ok=True)
            put(self._file, boot_unit_text(self._folder).encode(), prepare=for_all)
            if not os.path.lexists(self._link):
                os.symlink(self._file, self._link)
            for folder in (wants, _UNITS):
                sync_folder(folder)
            shown = self._run(["systemctl", "is-enabled", name], {}).out.strip()
        except OSError as error:
            raise _unsafe("unit for its boot", str(error)) from error
        if shown != "enabled":
            raise _unsafe("unit for its boot", f"{name} is {shown or 'unknown to systemctl'}")

    def _arm_systemd(self, seconds: int) -> None:
        argv = ["systemd-run", f"--unit={self._unit}", f"--on-active={seconds}s", "--timer-property=AccuracySec=100ms"]
        argv += ["--property=KillMode=process"]  # what a start command leaves running stays
        try:
            result = self._run([*argv, "sh", self._script, "timer"], {})
            shown = self._run(["systemctl", "is-active", f"{self._unit}.timer"], {}).out.strip()
        except OSError as error:
            raise _unsafe("timer", str(error)) from error
        if result.rc or shown != "active":
            raise _unsafe("timer", (result.err or result.out).strip() or f"it is {shown}")

    def _arm_process(self, seconds: int) -> None:
        pid_file = os.path.join(self._folder, "timer.pid")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(pid_file)
        _detach(["sh", self._script, "timer", str(seconds)])
        deadline = time.monotonic() + _UP
        while not _lives(pid_file):
            if time.monotonic() > deadline:
                raise _unsafe("timer", "its process does not live")
            time.sleep(0.02)


def _unsafe(what: str, why: str) -> EtcdError:
    return EtcdError(
        f"no {what} can be armed on this host that would put its member back: {why}.",
        f"nothing was taken away; see 'systemctl status', whether {_UNITS} can be written to, and whether a process may"
        " outlive its session, and run again.",
    )


def _lives(pid_file: str) -> bool:
    with contextlib.suppress(OSError, ValueError), open(pid_file, encoding="ascii") as file:
        return os.path.exists(f"/proc/{int(file.read())}")
    return False


def _detach(argv: List[str]) -> None:
    """Run it as nobody's child: in a session of its own, with nothing open and nothing in its environment but a path."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork():
            os._exit(0)
        os.chdir("/")
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        # What else is open here, such as the locks of this host's phases, ends with the exec.
        os.execvpe(argv[0], argv, {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"})
    finally:
        os._exit(1)
