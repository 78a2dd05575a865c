# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of the test hosts, made on this machine from Debian's packages: no image registry is asked.

debian12, debian13     systemd, sshd, python3, sudo, and etcd as Debian installs it (3.4 and 3.5)
filtering              debian13 with nftables and iptables, and with cron
grpcio                 debian13 with what a mirror's engine needs, and upon it the newest etcd of a line
containerd             debian13 with it, for the hosts of kubeadm_image.py
etcd-3.5, -3.6, -3.7   the same without Debian's etcd, with the newest of the line in /usr/local/bin

An image is named by a hash of all that goes into it, so that nothing is made twice. The file systems of the first
two stay in .cache/images: an engine that has lost its images only imports them again.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Sequence

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]
sys.path.append(str(CHECKOUT / "lab"))
from etcd_binaries import Unavailable, obtain  # noqa: E402

CACHE = CHECKOUT / ".cache" / "images"
REPOSITORY = "quorum-etcd-hosts"
UPSTREAM = {"3.5": "debian12", "3.6": "debian13", "3.7": "debian13"}  # line -> what it is put upon
PACKAGES = "systemd,systemd-sysv,dbus,openssh-server,python3,sudo,iproute2,etcd-server,etcd-client"
SUITES = {"debian12": "bookworm", "debian13": "trixie"}
UPON_DEBIAN13 = {"filtering": "nftables iptables cron", "grpcio": "python3-grpcio", "containerd": "containerd"}
MAKE_SECONDS = 900
SYSTEMD = ("/lib/systemd/systemd",)

# What an administrator does to a fresh machine. Runs inside the new file system.
PREPARE = """\
set -eu
useradd --create-home --shell /bin/bash admin
install -d -o admin -g admin -m 700 /home/admin/.ssh
echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin
printf 'PasswordAuthentication no\\n' >/etc/ssh/sshd_config.d/keys-only.conf
# Each host gets keys of its own; etcd starts when it has been configured.
rm -f /etc/ssh/ssh_host_*
systemctl disable etcd
# Nothing here needs them, and they cost time at each boot.
systemctl mask sshd-keygen.service systemd-logind.service getty.target console-getty.service \\
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer e2scrub_all.timer ldconfig.service
mkdir -p /var/log/journal
"""

CLEAN = """\
rm -rf /var/lib/apt/lists/* /var/cache/apt/*.bin /var/cache/apt/archives/*.deb /var/log/bootstrap.log
rm -rf /usr/share/doc/* /usr/share/man/* /usr/share/locale/* /var/lib/etcd/*
"""

INSTALL = """\
set -eu
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
apt-get install -q -y --no-install-recommends @PACKAGES@
"""

# Debian's etcd goes with its user, its unit and its data.
REPLACE = """\
set -eu
dpkg --purge etcd-server etcd-client 2>/dev/null
rm -rf /var/lib/etcd /etc/default/etcd
useradd --system --user-group --home-dir /var/lib/etcd --no-create-home --shell /usr/sbin/nologin etcd
"""


class ImageError(Exception):
    """An image cannot be made; the text says why."""


def image(line: str, distribution: str | None = None) -> str:
    """The name of the image with this line of etcd, made first where it does not exist.

    3.4 is Debian 12's; `distribution` debian13 or filtering with line 3.5 is Debian 13's, without it the newest 3.5.
    """
    if line not in UPSTREAM or distribution:
        return base_image(distribution or "debian12")
    return _upstream(line)


def image_with_grpcio(line: str) -> str:
    return _upstream(line, "grpcio")


def docker(*argv: str, data: bytes | None = None, seconds: float = 120) -> str:
    """Run docker; `data` goes to its standard input. Returns what it printed."""
    try:
        done = subprocess.run(["docker", *argv], input=data, capture_output=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ImageError(f"docker {argv[0]}: {error}; tests/hosts/engine.sh starts an engine") from error
    if done.returncode:
        raise ImageError(f"docker {' '.join(argv[:6])} exited {done.returncode}: {done.stderr.decode().strip()}")
    return done.stdout.decode().strip()


def base_image(name: str) -> str:
    if name in UPON_DEBIAN13:
        base, script = base_image("debian13"), INSTALL.replace("@PACKAGES@", UPON_DEBIAN13[name]) + CLEAN
        return put_upon(base, image_tag(name, base, script), script, [], network="host")
    suite, script = SUITES[name], PREPARE + CLEAN
    tag = image_tag(name, suite, PACKAGES, script)
    with _once(tag) as wanted:
        if wanted:
            archive = CACHE / f"{tag.replace(':', '-').split('/')[1]}.tar"
            if not archive.exists():
                bootstrap(name, suite, PACKAGES, script, archive)
            docker("import", "--change", f'CMD ["{SYSTEMD[0]}"]', str(archive), tag, seconds=MAKE_SECONDS)
    return tag


def bootstrap(name: str, suite: str, packages: str, script: str, archive: Path) -> None:
    """Debian's minbase with these packages, changed by a script that runs inside, as `archive`, which replaces older ones."""
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        raise ImageError(f"{name}: making it needs root and debootstrap; tests/hosts/engine.sh installs the latter")
    say(f"{name}: debootstrap of {suite}, which takes a minute or two")
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".making-") as temp, (CACHE / f"{name}.log").open("wb") as log:
        root, unfinished = f"{temp}/root", f"{temp}/tar"
        for argv, text in (
            (["debootstrap", "--variant=minbase", f"--include={packages}", suite, root], ""),
            (["chroot", root, "sh"], script),
            (["tar", "-C", root, "--one-file-system", "-cf", unfinished, "."], ""),
        ):
            done = subprocess.run(
                argv, input=text.encode(), stdout=log, stderr=subprocess.STDOUT, timeout=MAKE_SECONDS, check=False
            )
            if done.returncode:
                raise ImageError(f"{name}: {argv[0]} exited {done.returncode}; see {log.name}")
        for old in CACHE.glob(f"{name}-*.tar"):
            old.unlink()
        Path(unfinished).rename(archive)


def _upstream(line: str, named: str = "") -> str:
    """``named``: another base than the line's own."""
    base = base_image(named or UPSTREAM[line])
    tools = sorted(obtain(line).iterdir())
    tag = image_tag(f"etcd-{line}{'-' if named else ''}{named}", base, REPLACE, *map(sha256_of, tools))
    return put_upon(base, tag, REPLACE, [(f"usr/local/bin/{tool.name}", tool, 0o755) for tool in tools])


def put_upon(base: str, tag: str, script: str, files: Sequence[tuple[str, Any, int]], network: str = "none") -> str:
    """Make the image `tag` where it does not exist: `base`, changed by a script, with more files; see `packed`."""
    with _once(tag) as wanted:
        if wanted:
            say(f"{tag}: put upon {base}")
            made = docker("create", "--network", network, base, "sh", "-c", script)
            try:
                docker("start", "--attach", made, seconds=MAKE_SECONDS)
                docker("cp", "-", f"{made}:/", data=packed(files), seconds=MAKE_SECONDS)
                docker("commit", "--change", f'CMD ["{SYSTEMD[0]}"]', made, tag, seconds=MAKE_SECONDS)
            finally:
                docker("rm", "--force", made)
    return tag


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def packed(files) -> bytes:
    """A tar archive of (name, bytes or text or path of a file, mode), all of root's."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content, mode in files:
            raw = content.read_bytes() if isinstance(content, Path) else content
            raw = raw.encode() if isinstance(raw, str) else raw
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(raw), mode, int(time.time())
            archive.addfile(entry, io.BytesIO(raw))
    return buffer.getvalue()


def image_tag(name: str, *ingredients: str) -> str:
    return f"{REPOSITORY}/{name}:{hashlib.sha256(repr(ingredients).encode()).hexdigest()[:12]}"


@contextmanager
def _once(tag: str) -> Iterator[bool]:
    """Whether the image must be made. Two that want the same make it once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{tag.split('/')[1].split(':')[0]}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield not docker("images", "--quiet", tag)


def say(text: str) -> None:
    print(f"images: {text}", file=sys.stderr, flush=True)


def main() -> int:
    began = time.monotonic()
    try:
        # Two cores: both file systems at once, then what is put upon them.
        with ThreadPoolExecutor(2) as pool:
            made = [*pool.map(base_image, [*SUITES, *UPON_DEBIAN13]), *pool.map(_upstream, UPSTREAM)]
    except (ImageError, Unavailable, OSError) as error:
        say(str(error))
        return 1
    print("\n".join(made))
    say(f"{len(made)} images, {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
