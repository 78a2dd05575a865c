# SPDX-License-Identifier: GPL-3.0-or-later
"""Build versitygw, a server program for S3, by Go from its pinned module; prints its path."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from etcd_binaries import NotHere, Unavailable, locked

MODULE = Path(__file__).resolve().parent / "s3"
PACKAGE = "github.com/versity/versitygw/cmd/versitygw"
CACHE = Path(__file__).resolve().parents[1] / ".cache" / "s3"
BUILD_SECONDS = 1200


def s3_server(cache: Path = CACHE) -> Path:
    """Raises NotHere where there is no Go, and Unavailable where it could not be built."""
    # Another version is another file: what an earlier checkout has built is not taken for it.
    program = cache / hashlib.sha256((MODULE / "go.sum").read_bytes()).hexdigest()[:16] / "versitygw"
    program.parent.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".lock"):
        if not program.exists():
            _build(program)
    return program


def _build(program: Path) -> None:
    if not shutil.which("go"):
        raise NotHere("no Go here to build versitygw with: make go")
    draft = program.with_suffix(".new")
    argv = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(draft), PACKAGE]
    env = {**os.environ, "CGO_ENABLED": "0"}
    try:
        done = subprocess.run(
            argv, cwd=MODULE, env=env, capture_output=True, text=True, timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise Unavailable(str(error)) from error
    if done.returncode:
        raise Unavailable(" ".join(done.stderr.strip().splitlines()[-3:]))
    draft.rename(program)


if __name__ == "__main__":
    try:
        print(s3_server())
    except Unavailable as error:
        sys.exit(str(error))
