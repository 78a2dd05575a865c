# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""grpcio on the host of a mirror's engine: whether the host's Python has it, and unpacked from wheels where it is brought."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
from typing import Sequence

from ..core.errors import EtcdError
from ..etcd.commands import Run

FOLDER = "/usr/local/lib/quorum-etcd"
PACKAGE = "python3-grpcio"
_ASKED = "import grpc; print(grpc.__version__)"


def folder_of(wheels: Sequence[str]) -> str:
    """Where these wheels are unpacked, named by what is in them; empty for none. OSError where one cannot be read."""
    if not wheels:
        return ""
    digest = hashlib.sha256()
    for path in wheels:
        with open(path, "rb") as stream:
            digest.update(hashlib.sha256(stream.read()).digest())
    return os.path.join(FOLDER, f"python-{digest.hexdigest()[:16]}")


def unpack(wheels: Sequence[str], folder: str) -> None:
    """Unpack wheels, which are zips, where they are not yet, for root alone. EtcdError for one that is none."""
    if os.path.isdir(folder):
        return
    os.makedirs(os.path.dirname(folder), mode=0o755, exist_ok=True)
    private = tempfile.mkdtemp(prefix=".quorum-etcd-", dir=os.path.dirname(folder))
    try:
        for path in wheels:
            try:
                with zipfile.ZipFile(path) as archive:
                    archive.extractall(private)
            except zipfile.BadZipFile as error:
                raise EtcdError(
                    f"{os.path.basename(path)} is no wheel: {error}.", "name wheels of grpcio for the host's Python."
                ) from error
        os.rename(private, folder)
    finally:
        shutil.rmtree(private, ignore_errors=True)


def missing(run: Run, python: str, folder: str = "") -> str:
    """Why this Python cannot load grpcio, in words; empty where it can. ``folder`` has what was unpacked."""
    result = run([python, "-c", _ASKED], {"PYTHONPATH": folder} if folder else {})
    if not result.rc:
        return ""
    said = (result.err or result.out).strip().splitlines()
    return said[-1] if said else f"exit code {result.rc}"


def refuse(python: str, why: str, brought: bool) -> EtcdError:
    next_step = (
        "name wheels for that Python and this machine in etcd_mirror_grpcio_wheels, with what grpcio needs (typing-extensions)."
        if brought
        else f"install {PACKAGE} there by hand, or let etcd_mirror_grpcio_wheels name wheels of it on the controller."
    )
    return EtcdError(f"the engine needs grpcio, and {python} of this host cannot load it: {why}.", next_step)
