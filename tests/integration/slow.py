# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of progress share: a tool that takes its time, and the lines that a run prints, with their times."""

from __future__ import annotations

import re
import subprocess
import time
from itertools import pairwise
from pathlib import Path
from typing import Iterable, NamedTuple, Sequence

from conftest import CHECKOUT, keep, playbook_argv, running_test, user_environment

SILENCE, FLOOD = 20.0, 3.0  # seconds between two lines about a host: no more, and on the average no less
LINE = re.compile(r"(?P<host>\w+): (?P<text>.*), \d+ s so far")
# Restores as etcdutl does, and lets the database that it has made arrive slowly, as on a bad disk.
_SLOW_TOOL = """\
#!/usr/bin/python3
import os, shutil, subprocess, sys, time
real, given = "@REAL@", sys.argv[1:]
option = next((word for word in given if word.startswith("--data-dir=")), "")
if given[:2] != ["snapshot", "restore"]:
    os.execv(real, [real, *given])
folder, made = option.partition("=")[2], option.partition("=")[2] + ".slow"
done = subprocess.run([real, *(word + ".slow" if word == option else word for word in given)])
if done.returncode:
    sys.exit(done.returncode)
os.makedirs(folder + "/member/snap", mode=0o700)
with open(made + "/member/snap/db", "rb") as source, open(folder + "/member/snap/db", "wb") as target:
    while chunk := source.read(1 << 20):
        target.write(chunk)
        target.flush()
        time.sleep(@SECONDS@)
os.unlink(made + "/member/snap/db")
for name in os.listdir(made + "/member/snap"):
    os.rename(made + "/member/snap/" + name, folder + "/member/snap/" + name)
os.rename(made + "/member/wal", folder + "/member/wal")
shutil.rmtree(made)
"""


class Said(NamedTuple):
    """A line about a host, and when it came, in seconds."""

    at: float
    host: str
    text: str


def slow_tool(real: str | Path, seconds: float) -> str:
    """A program that stands for the etcdutl at ``real``; restored data needs ``seconds`` for each megabyte."""
    return _SLOW_TOOL.replace("@REAL@", str(real)).replace("@SECONDS@", str(seconds))


def watched(*arguments: str | Path) -> tuple[int, str, list[Said]]:
    """Run ansible-playbook; its exit code, its output, and what it said of each host's progress when."""
    argv = playbook_argv(*arguments)
    output, said = "", []
    with subprocess.Popen(
        argv, cwd=CHECKOUT, env=user_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as run:
        for line in run.stdout or ():
            output += line
            if found := LINE.fullmatch(line.strip()):
                said.append(Said(time.monotonic(), found["host"], found["text"]))
    keep(running_test(), f"$ {' '.join(argv)}\n{output}\n{said}\n")
    return run.returncode, output, said


def about_each_host(said: Iterable[Said], words: str) -> dict[str, list[Said]]:
    found: dict[str, list[Said]] = {}
    for line in said:
        if words in line.text:
            found.setdefault(line.host, []).append(line)
    return found


def assert_regular(said: Iterable[Said], words: str, hosts: Sequence[str], least: int) -> None:
    """Each host is spoken of every few seconds, as often as ``least`` says in all, and never twice within one moment.

    The bounds are wide: a machine that is busy tells late, and neither silence nor a flood is a matter of a second.
    """
    lines = about_each_host(said, words)
    assert sorted(lines) == sorted(hosts), (words, list(said))
    for own in lines.values():
        assert len(own) >= least, (words, own)
        assert all(later.at - earlier.at < SILENCE for earlier, later in pairwise(own)), (words, own)
        assert len(own) <= 2 + (own[-1].at - own[0].at) / FLOOD, (words, own)


def assert_growing(said: Iterable[Said], words: str) -> None:
    """The shares that are told grow, and never beyond all."""
    for own in about_each_host(said, words).values():
        shares = [int(found.group(1)) for line in own for found in [re.search(r"(\d+) % of", line.text)] if found]
        assert len(set(shares)) >= 2 and shares == sorted(shares) and shares[-1] <= 100, own
