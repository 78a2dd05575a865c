# SPDX-License-Identifier: GPL-3.0-or-later
"""Find or make etcd, etcdctl and etcdutl of a wanted line, and print the folder they lie in.

Nothing is installed on the machine: what is made goes into a cache folder, complete or not at all.
The providers are tried in this order: the PATH, a build by Go from pinned modules, the release archive with
a pinned SHA-256, the Debian packages (downloaded and unpacked only).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import http.client
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Sequence

HERE = Path(__file__).resolve().parent
DEFAULT_CACHE = HERE.parent / ".cache" / "etcd"
DEFAULT_LINE = "3.6"
TOOLS = ("etcd", "etcdctl", "etcdutl")
PROVIDERS = ("path", "go", "release", "apt")

GO_MODULES = HERE / "go"
GO_PACKAGES = ("go.etcd.io/etcd/server/v3", "go.etcd.io/etcd/etcdctl/v3", "go.etcd.io/etcd/etcdutl/v3")
BUILD_SECONDS = 1200
DOWNLOAD_SECONDS = 30  # without a byte, not in all

RELEASE_BASE_URL = "https://github.com/etcd-io/etcd/releases/download"
RELEASES = {  # line -> version, {architecture: SHA-256 of etcd-v<version>-linux-<architecture>.tar.gz}
    "3.7": (
        "3.7.1",
        {
            "amd64": "e8cd3fa8064c98137c5dbd78b76f969417ace84efb83c481041d7a52ffdd8fb9",
            "arm64": "d7e25e08f694b6ed7792fc7b7a891fe2c3f3d3dccfe2f3bfdb1547b0eb75b6da",
        },
    ),
    "3.6": (
        "3.6.14",
        {
            "amd64": "ffe840ff9295808e88cce2794a18a5ac87f12a5203c8314d0bf6aa119b41bac5",
            "arm64": "fa1b80565ee6fc2df1ae6f57a508b221f3ecc7d591c317c581cd8281b0842b3e",
        },
    ),
    "3.5": (
        "3.5.33",
        {
            "amd64": "5025b5b24d81a9616b6e284ccd439b9a3df055ef8fdcdc142af3ec8f6a3b3c95",
            "arm64": "0764c5c0acef155f4bfa0487791cc5776adef66315bf16ec0653883bfd463a90",
        },
    ),
}


# Lines that nobody builds any more: only this suite of Debian has them, and any machine with apt can ask Debian for it.
DEBIAN_SUITES = {"3.4": "bookworm"}
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unavailable(Exception):
    """A provider cannot deliver; the text says why."""


class NotHere(Unavailable):
    """A line that this machine cannot have at all."""


class Machine(NamedTuple):
    """What the machine offers, as far as the choice of a provider depends on it."""

    path_version: str | None  # version of the complete set of tools on the PATH
    go_lines: tuple[str, ...]  # lines that the Go toolchain here can build; empty without Go
    architecture: str | None  # amd64 or arm64; None on any other
    apt: bool


class Option(NamedTuple):
    provider: str
    obstacle: str  # empty: worth a try


def decide(machine: Machine, line: str | None, forced: str | None = None) -> list[Option]:
    """The providers in the order to try them, each with the obstacle that rules it out, if any.

    `line` is None when the caller has no wish: then whatever stands on the PATH will do.
    """
    obstacles = {
        "path": _path_obstacle(machine.path_version, line),
        "go": _go_obstacle(machine.go_lines, line or DEFAULT_LINE),
        "release": _release_obstacle(machine.architecture, line or DEFAULT_LINE),
        "apt": "" if machine.apt else "no apt-get and dpkg-deb here",
    }
    return [Option(name, obstacles[name]) for name in PROVIDERS if forced in (None, name)]


def _path_obstacle(version: str | None, line: str | None) -> str:
    if version is None:
        return "the PATH has no complete set of tools"
    if line is not None and line_of(version) != line:
        return f"the PATH has {version}"
    return ""


def _go_obstacle(go_lines: tuple[str, ...], line: str) -> str:
    if not go_lines:
        return "no Go here"
    return "" if line in go_lines else f"no Go module for {line}"


def _release_obstacle(architecture: str | None, line: str) -> str:
    if line not in RELEASES:
        return f"no archive is pinned for {line}"
    return "" if architecture else "no archive is pinned for this architecture"


def line_of(version: str) -> str:
    """The minor line of a version: 3.6 for 3.6.16."""
    return ".".join(version.split(".")[:2])


def needed_tools(version: str) -> tuple[str, ...]:
    """From 3.6, etcdctl no longer restores: etcdutl must be there."""
    return TOOLS if tuple(int(n) for n in line_of(version).split(".")) >= (3, 6) else TOOLS[:2]


def version_of(etcd: str | Path) -> str | None:
    """What the program says of itself, None if it does not run."""
    try:
        out = subprocess.run([str(etcd), "--version"], capture_output=True, text=True, timeout=20, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"etcd Version: (\d+\.\d+\.\d+)", out)
    return found.group(1) if found else None


def inspect_machine() -> Machine:
    modules = sorted(path.name for path in GO_MODULES.iterdir()) if GO_MODULES.is_dir() else []
    return Machine(
        path_version=_path_version(),
        go_lines=tuple(modules) if shutil.which("go") else (),
        architecture={"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine()),
        apt=bool(shutil.which("apt-get") and shutil.which("dpkg-deb")),
    )


def _path_version() -> str | None:
    etcd = shutil.which("etcd")
    version = version_of(etcd) if etcd else None
    return version if version and all(map(shutil.which, needed_tools(version))) else None


def from_path(line: str, folder: Path) -> None:
    for tool in TOOLS:
        found = shutil.which(tool)
        if found:
            (folder / tool).symlink_to(found)


def from_go(line: str, folder: Path) -> None:
    env = {**os.environ, "CGO_ENABLED": "0"}
    argv = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", f"{folder}/", *GO_PACKAGES]
    _run(argv, cwd=GO_MODULES / line, env=env, seconds=BUILD_SECONDS)
    (folder / "server").rename(folder / "etcd")


def from_release(line: str, folder: Path) -> None:
    version, hashes = RELEASES[line]
    machine = inspect_machine()
    name = f"etcd-v{version}-linux-{machine.architecture}"
    base = os.environ.get("ETCD_RELEASE_BASE_URL", RELEASE_BASE_URL).rstrip("/")
    with tempfile.TemporaryFile() as archive:
        fetch_verified(f"{base}/v{version}/{name}.tar.gz", hashes[machine.architecture], archive)
        _unpack_tools(archive, name, folder)


def fetch_verified(url: str, sha256: str, into: object) -> None:
    """Download to an open binary file and rewind it. Raises Unavailable if it fails or the hash differs."""
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=DOWNLOAD_SECONDS) as answer:
            for block in iter(lambda: answer.read(1 << 20), b""):
                digest.update(block)
                into.write(block)
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(f"{url}: {getattr(error, 'reason', error)}") from error
    if digest.hexdigest() != sha256:
        raise Unavailable(f"{url}: its SHA-256 is {digest.hexdigest()}, pinned is {sha256}; nothing was unpacked")
    into.seek(0)


def _unpack_tools(archive: object, name: str, folder: Path) -> None:
    # Only the three files by their exact names: no path out of an archive is ever followed.
    with tarfile.open(fileobj=archive, mode="r:gz") as tar:
        for tool in TOOLS:
            member = tar.extractfile(f"{name}/{tool}")
            with (folder / tool).open("wb") as out:
                shutil.copyfileobj(member, out)
            (folder / tool).chmod(0o755)


def from_apt(line: str, folder: Path) -> None:
    with unpacked(("etcd-server", "etcd-client"), folder.parent, DEBIAN_SUITES.get(line)) as root:
        for tool in TOOLS:
            found = root / "usr" / "bin" / tool
            if found.exists():
                found.rename(folder / tool)


@contextmanager
def unpacked(packages: Sequence[str], beside: Path, suite: str | None = None) -> Iterator[Path]:
    """A folder below ``beside`` with these Debian packages downloaded and unpacked, for the block; nothing is installed.

    ``suite``: from another suite of Debian than the machine's own. Raises Unavailable.
    """
    with tempfile.TemporaryDirectory(dir=beside, prefix=".apt-") as temp:
        work = Path(temp)
        for part in ("lists/partial", "archives/partial", "packages"):
            (work / part).mkdir(parents=True)
        sources = []
        if suite:
            (work / "sources.list").write_text(debian_sources(_apt_sites(work), suite))
            sources = ["-o", f"Dir::Etc::SourceList={work}/sources.list", "-o", "Dir::Etc::SourceParts=-"]
        # apt keeps its state in the temporary folder: no root is needed and the machine's own lists stay as they are.
        private = [
            *sources,
            *("-o", f"Dir::State::Lists={work}/lists", "-o", f"Dir::Cache={work}"),
            *("-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20"),
        ]
        _run(["apt-get", "-q", *private, "update"], cwd=work, seconds=300)
        _run(["apt-get", "-q", *private, "download", *packages], cwd=work / "packages", seconds=300)
        for package in (work / "packages").glob("*.deb"):
            _run(["dpkg-deb", "-x", str(package), str(work / "root")], cwd=work, seconds=60)
        yield work / "root"


def _apt_sites(work: Path) -> str:
    """Where this machine gets its packages from: lines of an address, a suite and a component."""
    argv = ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE) $(COMPONENT)", "Created-By: Packages"]
    return _run(argv, cwd=work, seconds=60)


def debian_sources(sites: str, suite: str) -> str:
    """A list of sources for another suite of Debian, at the same addresses as the machine's own."""
    found = [line.split() for line in sites.splitlines()]
    # Updates and security have addresses, or suites, of their own.
    mirrors = {words[0] for words in found if len(words) == 3 and words[2] == "main" and "-" not in words[1]}
    if not mirrors:
        raise Unavailable(f"apt knows no address of Debian's packages, where {suite} could be")
    return "".join(f"deb [signed-by={KEYRING}] {mirror} {suite} main\n" for mirror in sorted(mirrors))


MAKERS: dict[str, Callable[[str, Path], None]] = {
    "path": from_path,
    "go": from_go,
    "release": from_release,
    "apt": from_apt,
}


def _run(argv: list[str], *, cwd: Path, seconds: float, env: dict[str, str] | None = None) -> str:
    try:
        done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{argv[0]}: {error}") from error
    if done.returncode:
        last_words = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise Unavailable(f"{' '.join(argv[:2])} exited {done.returncode}: {last_words}")
    return done.stdout


def obtain(line: str | None = None, cache: Path = DEFAULT_CACHE, provider: str | None = None) -> Path:
    """The folder with the tools; see decide() for the order. Says on stderr what was taken and why.

    Raises Unavailable when no provider delivers, with the reason of each.
    """
    cache = Path(cache).absolute()
    cache.mkdir(parents=True, exist_ok=True)
    with locked(cache / ".lock"):
        machine = inspect_machine()
        for folder in _cached(machine, line, cache, provider):
            if folder.is_dir() and not _unfit(folder, line):
                return folder.resolve()
        return _make(machine, line, cache, provider)


def _cached(machine: Machine, line: str | None, cache: Path, provider: str | None) -> list[Path]:
    """Where an earlier run may have left what is wanted."""
    if provider:
        return [cache / f"{line or 'any'}-{provider}"]
    if line:
        return [cache / line]
    if machine.path_version:
        return [cache / f"path-{machine.path_version}"]
    return [cache / DEFAULT_LINE, cache / "default"]


def _make(machine: Machine, line: str | None, cache: Path, forced: str | None) -> Path:
    reasons = []
    for option in decide(machine, line, forced):
        try:
            if option.obstacle:
                raise Unavailable(option.obstacle)
            folder = _attempt(option.provider, line, cache, forced)
        except Unavailable as error:
            reasons.append(f"{option.provider}: {error}")
            continue
        because = f" ({'; '.join(reasons)})" if reasons else ""
        _say(f"took etcd {version_of(folder / 'etcd')} by '{option.provider}'{because}: {folder}")
        return folder
    kind = NotHere if line in DEBIAN_SUITES and not forced else Unavailable
    raise kind(f"no etcd {line or DEFAULT_LINE}: " + "; ".join(reasons))


def _attempt(provider: str, line: str | None, cache: Path, forced: str | None) -> Path:
    """Let one provider work in a temporary folder and publish it by a rename: complete or not at all."""
    if provider != "path":
        _say(f"getting etcd {line or DEFAULT_LINE} by '{provider}', which can take minutes")
    with tempfile.TemporaryDirectory(dir=cache, prefix=".making-") as temp:
        made = Path(temp) / "tools"
        made.mkdir()
        MAKERS[provider](line or DEFAULT_LINE, made)
        obstacle = _unfit(made, line)
        if obstacle:
            raise Unavailable(obstacle)
        target = cache / _name(provider, line, version_of(made / "etcd"), forced)
        shutil.rmtree(target, ignore_errors=True)  # only ever one that is unfit
        made.rename(target)
    if not (line or forced or provider == "path"):
        _point(cache / "default", target.name)  # the next run without a wish finds it at once
    return target


def _name(provider: str, line: str | None, version: str, forced: str | None) -> str:
    if forced:
        return f"{line or 'any'}-{forced}"
    return f"path-{version}" if provider == "path" and not line else line_of(version)


def _point(link: Path, target: str) -> None:
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def _unfit(folder: Path, line: str | None) -> str:
    version = version_of(folder / "etcd")
    if version is None:
        return "its etcd does not run here"
    if line is not None and line_of(version) != line:
        return f"it offers {version}"
    missing = [tool for tool in needed_tools(version) if not (folder / tool).exists()]
    return f"it lacks {', '.join(missing)}" if missing else ""


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Two labs that start at once make the same binaries only once."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"etcd_binaries: {text}", file=sys.stderr, flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", help=f"minor line, such as 3.7 (default: the PATH's, else {DEFAULT_LINE})")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="default: .cache/etcd of the checkout")
    parser.add_argument("--provider", choices=PROVIDERS, help="this provider only")
    wanted = parser.parse_args(argv)
    try:
        print(obtain(wanted.line, wanted.cache, wanted.provider))
    except Unavailable as error:
        _say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
