# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Keys that sign snapshots, made by the real ssh-keygen."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple


class Key(NamedTuple):
    path: str
    public: str

    def signer(self, name, options=""):
        """The line that lets this key sign."""
        return f"{name} {options + ' ' if options else ''}{self.public}\n"


def make(path, kind="ed25519", passphrase=""):
    argv = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-C", "a comment", "-f", str(path)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)
    return Key(str(path), Path(f"{path}.pub").read_text(encoding="utf-8").strip())
