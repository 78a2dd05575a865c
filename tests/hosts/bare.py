# SPDX-License-Identifier: GPL-3.0-or-later
"""Run make's targets of this checkout as on a Debian that was installed a minute ago: python3, pip, git, make and no more.

bare.py bookworm demo "test-integration PYTEST_OPTIONS='-k key_by_key'"

The file system is made once and stays in .cache/images; each run unpacks it anew, with a copy of the files that git knows.
Of this machine only the ways to the package managers are seen in it. In the end nothing may have been written but in the
checkout and by Debian's own packages.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Iterator, Sequence

from images import CACHE, CHECKOUT, ImageError, bootstrap, image_tag, obtain, say

PACKAGES = "git,make,python3,python3-pip"
SUITES = ("bookworm", "trixie")
RUN_SECONDS = 3000
# The machine's own ways to packages, names and certificates.
WAYS = ("etc/resolv.conf", "etc/hosts", "etc/pip.conf", "etc/ssl/certs/ca-certificates.crt", "etc/apt/apt.conf")
WAYS_BY_VARIABLE = ("PIP_FIND_LINKS", "PIP_CERT", "SSL_CERT_FILE")
VARIABLES = (
    *("PIP_", "GOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "SSL_CERT", "ETCD_RELEASE"),
    *("http_", "https_", "HTTP_", "HTTPS_", "no_proxy", "NO_PROXY", "PYTEST_OPTIONS"),
)
# Debian's packages write there while they are installed; and what is no file of anybody.
NOT_OURS = ("checkout", "proc", "dev", "sys", "usr", "etc", "var/lib", "var/cache", "var/log", "run")


class BareError(Exception):
    """It did not go as it must; the text says why."""


def archive_of(suite: str) -> Path:
    name = f"bare-{suite}"
    archive = CACHE / f"{name}-{image_tag(name, suite, PACKAGES).rpartition(':')[2]}.tar"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not archive.exists():
            bootstrap(name, suite, PACKAGES, "rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/locale/*", archive)
    return archive


@contextmanager
def root_of(suite: str) -> Iterator[Path]:
    root = CHECKOUT / ".cache" / "bare" / suite
    archive = archive_of(suite)
    remove(root)
    root.mkdir(parents=True)
    run(["tar", "-C", root, "-xf", archive])
    unpack_checkout(root / "checkout")
    show_ways(root)
    with ExitStack() as stack:
        for kind, source in (("proc", "proc"), ("sysfs", "sys")):
            run(["mount", "-t", kind, source, root / source])
            stack.callback(run, ["umount", "--lazy", root / source])
        run(["mount", "--rbind", "/dev", root / "dev"])
        run(["mount", "--make-rslave", root / "dev"])
        stack.callback(run, ["umount", "--recursive", "--lazy", root / "dev"])
        yield root
    remove(root)


def remove(root: Path) -> None:
    """Never through a mount that an earlier run has left."""
    for where in ("proc", "sys", "dev"):
        if os.path.ismount(root / where):
            run(["umount", "--recursive", "--lazy", root / where])
    if root.exists():
        run(["rm", "-rf", "--one-file-system", root])


def unpack_checkout(folder: Path) -> None:
    folder.mkdir()
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.split(b"\0")
    names = [name for name in listed if name and os.path.lexists(CHECKOUT / os.fsdecode(name))]
    for name in names:
        to = folder / os.fsdecode(name)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(CHECKOUT / os.fsdecode(name), to, follow_symlinks=False)
    run(["git", "init", "--quiet", folder])
    run(["git", "-C", folder, "add", "--all"])


def show_ways(root: Path) -> None:
    named = [os.environ[name].strip("/") for name in WAYS_BY_VARIABLE if os.environ.get(name, "").startswith("/")]
    # Of apt's settings only those of how it fetches: others run this machine's programs.
    fetching = [
        str(path)[1:]
        for path in sorted(Path("/etc/apt/apt.conf.d").glob("*"))
        if "Acquire" in path.read_text(errors="replace") and "Invoke" not in path.read_text(errors="replace")
    ]
    for name in (*WAYS, *named, *fetching):
        source, to = Path("/") / name, root / name
        if not source.exists():
            continue
        to.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, to, symlinks=True, dirs_exist_ok=True)
        else:
            to.unlink(missing_ok=True)
            shutil.copy2(source, to)


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name.startswith(VARIABLES)}
    # Not CI: as a user has it.
    return {**kept, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}


def run(argv: Sequence[str | Path]) -> None:
    done = subprocess.run([*map(str, argv)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise BareError(f"{' '.join(map(str, argv))} exited {done.returncode}: {done.stdout.strip()}")


def share_etcd(root: Path) -> None:
    """What was built here is taken along, so as not to take minutes anew; what Debian has is not."""
    for line in ("3.5", "3.6", "3.7"):
        shutil.copytree(obtain(line), root / "checkout" / ".cache" / "etcd" / line)


def make(root: Path, target: str) -> None:
    began = time.monotonic()
    argv = ["chroot", str(root), "make", "--no-print-directory", "-C", "/checkout", *shlex.split(target)]
    done = subprocess.run(argv, env=environment(), timeout=RUN_SECONDS, check=False)
    if done.returncode:
        raise BareError(f"make {target} exited {done.returncode}")
    say(f"make {target}: {time.monotonic() - began:.0f} s")


def strangers(root: Path, since: Path) -> list[str]:
    """What was written outside the checkout after the file `since` was made."""
    pruned = [word for name in NOT_OURS for word in ("-path", str(root / name), "-prune", "-o")]
    argv = ["find", str(root), *pruned, "-newer", str(since), "!", "-type", "d", "-print"]
    return subprocess.run(argv, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=SUITES)
    parser.add_argument("targets", nargs="+", help="of make, such as demo, each with its variables")
    parser.add_argument("--with-etcd", action="store_true", help="with the etcd that this checkout has built already")
    wanted = parser.parse_args(argv)
    try:
        with root_of(wanted.suite) as root:
            if wanted.with_etcd:
                share_etcd(root)
            since = root / "checkout" / ".since"
            since.touch()
            for target in wanted.targets:
                make(root, target)
            written = strangers(root, since)
            if written:
                raise BareError("written outside the checkout:\n" + "\n".join(written[:40]))
    except (BareError, ImageError, OSError, subprocess.SubprocessError) as error:
        print(f"bare: {wanted.suite}: {error}", file=sys.stderr)
        return 1
    print(
        f"bare: {wanted.suite}: {', '.join(wanted.targets)} passed in a bare Debian, nothing written outside the checkout"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
