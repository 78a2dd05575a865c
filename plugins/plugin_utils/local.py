# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The machine that this runs on, as the controller's actions and the agent need it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Dict, Sequence

from ..module_utils.etcd.commands import VERSION_TIMEOUT, Result, asks_version, misleading


def run(argv: Sequence[str], env: Dict[str, str]) -> Result:
    """Run a command here as the modules do on a host; FileNotFoundError where there is no such program."""
    own = {name: value for name, value in os.environ.items() if name not in misleading(os.environ)}
    try:
        done = subprocess.run(  # noqa: S603
            list(argv),
            env={**own, "LC_ALL": "C", **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=VERSION_TIMEOUT if asks_version(argv) else None,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Result(-9, "", f"no answer within {VERSION_TIMEOUT:g} s")
    return Result(done.returncode, done.stdout, done.stderr)


def free_bytes(folder: str) -> int:
    """Bytes free in ``folder``, or where it will be made."""
    return shutil.disk_usage(_nearest(folder)).free


def is_writable(folder: str) -> bool:
    """Whether files can be made in ``folder``, or it itself where it will be."""
    return os.access(_nearest(folder), os.W_OK | os.X_OK) and not os.statvfs(_nearest(folder)).f_flag & os.ST_RDONLY


def _nearest(folder: str) -> str:
    folder = os.path.abspath(folder)
    while not os.path.isdir(folder):
        folder = os.path.dirname(folder)
    return folder
