# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The services of mirrors, and their timers. Pure: the texts of the files."""

from __future__ import annotations

import os
from typing import List, Mapping, Sequence

from ..etcd.commands import Command
from ..mirror.settings import NAME
from .schedule import PROGRAM, SANDBOX, TEMPORARY, escaped, filled

_HEAD = "# Written by quorum.etcd; mirror.yml writes it anew.\n"
# Runs a command, and says what the numbers are that it prints; it ends as the command has ended.
COUNTED_PATH = "/usr/local/lib/quorum-etcd/counted"
COUNTED = """\
# Written by quorum.etcd. "sh counted COMMAND..." says what the bare numbers are that make-mirror prints, and ends as it ends.
{ "$@"; echo "ended with $?"; } | {
  while read -r line; do
    case "$line" in
      "ended with "*) exit "${line#ended with }" ;;
      "Destination Password:"*) ;;
      *[!0-9]*) printf '%s\\n' "$line" ;;
      ?*) echo "$line keys so far" ;;
    esac
  done
  exit 1
}
"""

TAKEN_OVER = 4  # the exit code of an engine whose work another one does now: it is not started again

_UNIT = """\
[Unit]
Description=Mirror @NAME@ of an etcd cluster
Documentation=https://github.com/quorum-etcd/quorum.etcd
Wants=network-online.target
After=network-online.target
@LIMIT@
[Service]
@SERVICE@UMask=0077
TimeoutStopSec=30
CapabilityBoundingSet=@CAPABILITIES@
@FOLDERS@PrivateTmp=@PRIVATE_TMP@
@SANDBOX@@INSTALL@"""

# It reads keys and certificates of other users, and writes to folders of its own and of node_exporter's.
_CAPABILITIES = "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH CAP_FOWNER"
# It is never given up; what goes wrong again and again is tried less and less often (by systemd 254 and later).
_NEVER_GIVEN_UP = "StartLimitIntervalSec=0\n"
_AGAIN = """\
Restart=always
RestartSec=5
RestartSteps=6
RestartMaxDelaySec=300
"""
_INSTALL = """
[Install]
WantedBy=multi-user.target
"""
_VERIFY_TIMER = """\
[Unit]
Description=Comparison of the mirror @NAME@ with its source, at its times

[Timer]
OnCalendar=@SCHEDULE@
# Several mirrors do not begin at once.
RandomizedDelaySec=600

[Install]
WantedBy=timers.target
"""
_TIMER = """\
[Unit]
Description=Mirror @NAME@ of an etcd cluster, each @INTERVAL@ s until it has caught up

[Timer]
OnActiveSec=0
OnUnitInactiveSec=@INTERVAL@

[Install]
WantedBy=timers.target
"""


def unit_of(name: str) -> str:
    return f"quorum-etcd-mirror@{name}.service"


def timer_of(name: str) -> str:
    return f"quorum-etcd-mirror@{name}.timer"


def verify_of(name: str) -> str:
    return f"quorum-etcd-mirror-verify@{name}.service"


def verify_timer_of(name: str) -> str:
    return f"quorum-etcd-mirror-verify@{name}.timer"


def enabled_of(name: str, periodic: bool, verifies: bool) -> List[str]:
    """What a boot begins of a mirror: its engine, or the timer that does so, and the timer that compares."""
    return [timer_of(name) if periodic else unit_of(name), *([verify_timer_of(name)] if verifies else [])]


def classic_unit(name: str, command: Command, environment: str, password: str = "", paths: Sequence[str] = ()) -> str:
    """``environment`` is the path of the file with the source's user, ``password`` of that with the destination's password.

    ``paths`` are all files that it must see. Certificates are read where they lie, and not as copies, since etcdctl reads them
    anew for each connection: one that was renewed is used without a restart.
    """
    words = " ".join(_word(one) for one in ("/bin/sh", COUNTED_PATH, *command.argv))
    lines = [f"ExecStart={words}", f"EnvironmentFile={environment}"]
    # Where it asks for the destination's password; as a flag every user of this host could read it.
    lines += [f"StandardInput=file:{password}"] if password else []
    return _unit(name, "\n".join(lines) + "\n" + _AGAIN, "CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH", [], paths)


def engine_unit(name: str, state_dir: str, paths: Sequence[str], metrics_dir: str, periodic: bool) -> str:
    """The service of the agent's own engine.

    It writes to ``state_dir`` and, where it is there, to ``metrics_dir``; ``paths`` are all that it must see.
    ``periodic``: it is run by a timer, until it has caught up.
    """
    command = f"ExecStart={PROGRAM} mirror run {name}"
    lines = [*(["Type=oneshot", f"{command} --once"] if periodic else [command]), "Environment=PYTHONUNBUFFERED=1"]
    again = "" if periodic else f"{_AGAIN}RestartPreventExitStatus={TAKEN_OVER}\n"
    text = "\n".join(lines) + "\n" + again
    return _unit(name, text, _CAPABILITIES, _written(state_dir, metrics_dir), paths, periodic)


def verify_unit(name: str, state_dir: str, paths: Sequence[str], metrics_dir: str) -> str:
    """The service that compares the mirror with its source; see ``engine_unit``."""
    lines = ["Type=oneshot", f"ExecStart={PROGRAM} mirror verify {name}", "Nice=10"]
    return _unit(name, "\n".join(lines) + "\n", _CAPABILITIES, _written(state_dir, metrics_dir), paths, periodic=True)


def verify_timer(name: str, schedule: str) -> str:
    """``schedule`` is systemd's OnCalendar."""
    return filled(_HEAD + _VERIFY_TIMER, NAME=name, SCHEDULE=schedule)


def mirror_timer(name: str, interval: int) -> str:
    """``interval`` are the seconds from the end of a run to the next one; the first is at once, also after a boot."""
    return filled(_HEAD + _TIMER, NAME=name, INTERVAL=str(interval))


def mirrors_of(root: str = "/") -> List[str]:
    """The names of this host's mirrors, by their services."""
    begins, ends = "quorum-etcd-mirror@", ".service"
    try:
        names = sorted(os.listdir(os.path.join(root, "etc/systemd/system")))
    except OSError:
        return []
    found = [one[len(begins) : -len(ends)] for one in names if one.startswith(begins) and one.endswith(ends)]
    return [name for name in found if NAME.match(name)]


def _written(state_dir: str, metrics_dir: str) -> List[str]:
    return [state_dir, *([f"-{metrics_dir}"] if metrics_dir else [])]


def _unit(
    name: str, service: str, capabilities: str, written: Sequence[str], paths: Sequence[str], periodic: bool = False
) -> str:
    hidden = any(path.lstrip("-").startswith(TEMPORARY) for path in (*written, *paths))
    folders = " ".join(f'"{escaped(folder)}"' for folder in written)
    return filled(
        _HEAD + _UNIT,
        LIMIT="" if periodic else _NEVER_GIVEN_UP,
        SERVICE=service,
        CAPABILITIES=capabilities,
        FOLDERS=f"ReadWritePaths={folders}\n" if folders else "",
        PRIVATE_TMP="no" if hidden else "yes",
        SANDBOX=SANDBOX,
        INSTALL="" if periodic else _INSTALL,
        NAME=name,
    )


def _word(text: str) -> str:
    """A word of ExecStart, where a dollar sign begins a variable too."""
    plain = escaped(text).replace("$", "$$")
    return plain if plain == text and text and not set(text) & set(" ';") else f'"{plain}"'


def environment_file(environment: Mapping[str, str]) -> str:
    """As EnvironmentFile= of systemd reads it."""
    lines = []
    for name, value in sorted(environment.items()):
        for character in '\\"$`':
            value = value.replace(character, f"\\{character}")
        lines.append(f'{name}="{value}"\n')
    return "".join(lines)
