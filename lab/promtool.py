# SPDX-License-Identifier: GPL-3.0-or-later
"""Find promtool, or take it out of its Debian package without installing anything; prints its path."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from etcd_binaries import NotHere, Unavailable, locked, unpacked

# A package of its own since Debian 13; before, beside the server.
PACKAGES = ("promtool", "prometheus")
CACHE = Path(__file__).resolve().parents[1] / ".cache" / "promtool"


def promtool(cache: Path = CACHE) -> Path:
    """Raises NotHere on a machine that can have none, and Unavailable where it could not be got."""
    found = shutil.which("promtool")
    if found:
        return Path(found)
    cache.mkdir(parents=True, exist_ok=True)
    tool = cache / "promtool"
    with locked(cache / ".lock"):
        if not tool.exists():
            if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
                raise NotHere("no promtool here, and no apt-get and dpkg-deb to get it with")
            _unpack(tool)
    return tool


def _unpack(tool: Path) -> None:
    for package in PACKAGES:
        try:
            with unpacked([package], tool.parent) as root:
                (root / "usr" / "bin" / "promtool").rename(tool)
            return
        except Unavailable as error:
            why = error
    raise why


if __name__ == "__main__":
    try:
        print(promtool())
    except Unavailable as error:
        sys.exit(str(error))
