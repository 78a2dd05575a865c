# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The readers of units and environment files against systemd's own: they read the same, or refuse.

``systemd-analyze verify`` shows how it reads a unit, and the generator of environment.d how it reads an environment file;
neither needs a running systemd. Another seed and more rounds: ``FUZZ_SEED=12 FUZZ_ROUNDS=5000 pytest ...``.
"""

from __future__ import annotations

import os
import random
import re
import shlex
import shutil
import socket
import subprocess

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.processes import Host
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import env_file as _settings_env
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import formats
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings import unit as _settings_unit
from ansible_collections.quorum.etcd.plugins.module_utils.host.settings.sources import Unit, _Specifiers, unit_sources
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.settings.mutations import mutated

SEED = int(os.environ.get("FUZZ_SEED", "11"))
ROUNDS = int(os.environ.get("FUZZ_ROUNDS", "200"))
GENERATOR = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator"
CONTROL = re.compile(r"[\x00-\x1f]")  # systemd shows these in ways of its own

ENVIRONMENTS = [
    'ETCD_NAME="m1"\nETCD_DATA_DIR=/var/lib/etcd\n# comment\nETCD_X=a b  \n',
    "A='it''s'\nB=\"q\\\"r\\\\s\"  # c\n; c\nC=x\\\n  y\nD=e\n",
    "TOKEN=x # comment\nE= y\nF =z\n H=i\nnothing here\n",
    'A=a\\ b\\sc\nD=a"b"c\'d\'\nE=a b \\\n \n==\nTOK #B=" c\nX=1"\n',
]
UNITS = [
    '[Unit]\nDescription=x\n[Service]\nEnvironment="A=1 2" B=x C=\nEnvironment=D=e\nExecStart=/bin/true --name m1 \\\n  # c\n'
    "  --data-dir=/d \"a b\" 'c d'\nEnvironmentFile=-/etc/x\n",
    '[Service]\nExecStart=/bin/false\nExecStart=\nExecStart=/bin/true -a "q\\"r" \'s\' $X ${Y} $$Z a$b\nEnvironment=A=1\n'
    "Environment=\nEnvironment=B=2 \\\n C=3\n",
    '[Service]\nExecStart=/bin/true a\\x41b\\sc x%%y "--z=a b"c\n; comment\nEnvironment="A=it\'s" \'B="q"\' C=a\\sb\n[Install]\n',
]
PIECES = [
    " ", "  ", "\n", "\\", "\\\n", "'", '"', "#", ";", "=", "x", "A=b", "\\\\", "\\x41", "\\s", "\\\n# c\n", "%%", "$$", "é",
    "\\'", "\\q", 'B="', "Environment=", "ExecStart=/bin/true ", "[Service]\n", "\r\n",
]  # fmt: skip

# make's own place for temporary files is none of a system manager's, whose %T and %V it would be.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "TEMP", "TMP")}


# ---- environment files -----------------------------------------------------------------------------------------------


def environment_by_systemd(folder, text):
    home = folder / "environment.d"
    home.mkdir(exist_ok=True)
    (home / "zz.conf").write_bytes(text.encode())
    shown = subprocess.run(
        [GENERATOR], env={"XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}, stdout=subprocess.PIPE, check=True
    )
    return dict(word.partition("=")[::2] for word in shlex.split(shown.stdout.decode()))


def is_told_apart(text, values):
    """Whether the generator shows what an ``EnvironmentFile=`` would set: it expands variables, and passes over empty ones.

    A comment that ends in a backslash goes on before systemd 254, and does not from then on.
    """
    odd = "$" in text or re.search(r"=[ \t]*(?:\r?\n|\Z)|[#;][^\n]*\\\r?\n", text)
    return not odd and all(value and not CONTROL.search(value) for value in values.values())


@pytest.mark.skipif(not os.path.exists(GENERATOR), reason="this host has no systemd to ask")
def test_environment_files_are_read_as_systemd_reads_them(tmp_path):
    dice, compared = random.Random(SEED), 0
    others = environment_by_systemd(tmp_path, "")
    for number in range(ROUNDS):
        text = mutated(dice.choice(ENVIRONMENTS), dice, PIECES)
        try:
            ours, _exports = _settings_env.by_systemd(text)
        except EtcdError:
            continue
        if is_told_apart(text, ours):
            compared += 1
            theirs = {
                name: value for name, value in environment_by_systemd(tmp_path, text).items() if name not in others
            }
            assert ours == theirs, f"seed {SEED}, round {number}: {text!r}"
    assert compared > ROUNDS / 4


def test_export_is_a_shells_word_and_none_of_systemds():
    text = "export ETCD_NAME=a\nETCD_DATA_DIR=/d\n"
    assert _settings_env.variables(text) == {"ETCD_NAME": "a", "ETCD_DATA_DIR": "/d"}
    assert _settings_env.by_systemd(text) == ({"ETCD_DATA_DIR": "/d"}, True)


def test_a_comment_behind_a_value_is_a_part_of_it_for_systemd():
    assert formats.read("env", "ETCD_INITIAL_CLUSTER_TOKEN=x # comment\n") == {"initial-cluster-token": "x # comment"}


# ---- units -----------------------------------------------------------------------------------------------------------


def units_by_systemd(folder, texts):
    """``[(variables, words of the last command) or None]``, as systemd shows what it has read."""
    folder.mkdir()
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"u{number}.service")
        paths[-1].write_bytes(text.encode())
    shown = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *map(str, paths)],
        env={**ENVIRONMENT, "SYSTEMD_LOG_LEVEL": "debug", "SYSTEMD_LOG_TARGET": "console", "SYSTEMD_UNIT_PATH": f"{folder}:"},
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    shutil.rmtree(folder)
    found, current = [None] * len(texts), None
    for line in shown.stdout.decode(errors="replace").splitlines():
        title = re.match(r"\s*-> Unit (?:u(\d+)\.service)?", line)
        if title:
            current = int(title.group(1)) if title.group(1) else None
            if current is not None:
                found[current] = ({}, [])
        elif current is not None and line.strip().startswith("Environment: "):
            name, _equals, value = line.lstrip()[len("Environment: ") :].partition("=")
            found[current][0][name] = value
        elif current is not None and line.strip().startswith("Command Line: "):
            words = shlex.split(line.lstrip()[len("Command Line: ") :])
            found[current][1][:] = [word.replace("\\$", "$").replace("\\`", "`") for word in words]
    return found


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this host has no systemd to ask")
def test_units_are_read_as_systemd_reads_them(tmp_path):
    dice, compared = random.Random(SEED), 0
    texts = [mutated(dice.choice(UNITS), dice, PIECES) for _round in range(ROUNDS)]
    for text, theirs in zip(texts, units_by_systemd(tmp_path / "units", texts)):
        try:
            unit = _settings_unit.parse(text)
        except EtcdError:
            continue
        words = [word.source.replace("%%", "%") for word in unit.exec_start.words] if unit.exec_start else []
        ours = (_settings_unit.variables(unit), words)
        if theirs is None or re.search("%(?!%)", text.replace("%%", "")):
            continue  # not shown, or a specifier
        if not any(CONTROL.search(value) for value in [*ours[0].values(), *words]):
            compared += 1
            assert ours == theirs, f"seed {SEED}: {text!r}"
    assert compared > ROUNDS / 4


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this host has no systemd to ask")
def test_specifiers_mean_what_they_mean_to_systemd(tmp_path):
    letters = "nNpPjJfHlvuUgGhtSELCTVmiI"
    text = "[Service]\nUser=etcd\nExecStart=/bin/true\n" + "".join(
        f"Environment=x{letter}=%{letter}\n" for letter in letters
    )
    values = units_by_systemd(tmp_path / "units", [text])[0][0]
    resolve = _Specifiers(Host(), Unit("u0", user="etcd"))
    assert {letter: resolve(f"%{letter}") for letter in letters} == {letter: values[f"x{letter}"] for letter in letters}


def test_a_specifier_of_a_running_systemd_is_not_guessed(tmp_path):
    unit = tmp_path / "etc/systemd/system/etcd@a-b.service"
    unit.parent.mkdir(parents=True)
    unit.write_text(
        "[Service]\nEnvironment=ETCD_NAME=%I-%H-100%%i ETCD_WAL_DIR=%d/wal\nExecStart=etcd --data-dir=%d/x --cors=%%n\n"
    )
    found = unit_sources(
        Host(str(tmp_path)), Unit("etcd@a-b", files=["/etc/systemd/system/etcd@a-b.service"])
    ).effective()
    values = {name: place.value for name, place in found.items()}
    assert values == {"name": f"a/b-{socket.gethostname()}-100%i", "wal-dir": "", "data-dir": "", "cors": "%n"}
