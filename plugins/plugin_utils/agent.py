# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the agent begins: its command line, with a way to run commands that needs no Ansible. Python 3.8 or later."""

from __future__ import annotations

import os
import signal
import sys

from ..module_utils.agent import cli
from .local import run


def main(version: str) -> None:
    """End with the exit code of the command. Being told to end is an exception: what is half done is cleared away then."""
    os.umask(0o077)
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(128 + signal.SIGTERM))
    try:
        sys.exit(cli.main(sys.argv[1:], run, version, print))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
