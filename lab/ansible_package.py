# SPDX-License-Identifier: GPL-3.0-or-later
"""Collections that an example of ours uses, out of the package ``ansible`` of PyPI: no Galaxy is asked.

ansible_package.py community.crypto   prints the folder for ANSIBLE_COLLECTIONS_PATH

The package is some 50 MB, and only the collection that is asked for is kept, in .cache/collections.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from etcd_binaries import locked

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "collections"
PACKAGE = "ansible==12.3.0"  # the one of the pinned ansible-core
DOWNLOAD_SECONDS = 600


def obtain_collection(name: str, cache: Path = CACHE) -> Path:
    """The folder that has ``ansible_collections/<namespace>/<name>``."""
    namespace, own = name.split(".")
    home = cache / PACKAGE.replace("==", "-")
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".lock"):
        if not (home / "ansible_collections" / namespace / own).is_dir():
            _unpack(f"ansible_collections/{namespace}/{own}/", home)
    return home


def _unpack(prefix: str, home: Path) -> None:
    """Complete or not at all: what is under way has another name."""
    with tempfile.TemporaryDirectory(dir=home.parent, prefix=".making-") as temp:
        argv = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
            "--dest",
            temp,
            PACKAGE,
        ]
        subprocess.run(argv, check=True, timeout=DOWNLOAD_SECONDS, stdout=subprocess.DEVNULL)
        (wheel,) = Path(temp).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(prefix)]
            archive.extractall(f"{temp}/made", names)
        target = home / prefix
        target.parent.mkdir(parents=True, exist_ok=True)
        (Path(temp) / "made" / prefix).rename(target)


if __name__ == "__main__":
    print(obtain_collection(sys.argv[1]))
