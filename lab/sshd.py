# SPDX-License-Identifier: GPL-3.0-or-later
"""Find sshd, or take it out of Debian's package: installed, that would let it listen to the world. Prints its folder."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from etcd_binaries import NotHere, Unavailable, locked, unpacked

CACHE = Path(__file__).resolve().parents[1] / ".cache" / "sshd"
PACKAGES = ("openssh-server", "libwrap0")


def sshd(cache: Path = CACHE) -> Path:
    """The folder that ``usr/sbin/sshd`` is in. Raises NotHere on a machine that can have none, else Unavailable."""
    if Path("/usr/sbin/sshd").exists():
        return Path("/")
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / "root"
    with locked(cache / ".lock"):
        if not kept.exists():
            if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
                raise NotHere("no sshd here, and no apt-get and dpkg-deb to get it with")
            with unpacked(PACKAGES, cache) as root:
                root.rename(kept)
    return kept


if __name__ == "__main__":
    try:
        print(sshd())
    except Unavailable as error:
        sys.exit(str(error))
