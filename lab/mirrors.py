# SPDX-License-Identifier: GPL-3.0-or-later
"""A mirror's engine as a process, as its service runs it: for tests and benchmarks."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

CHECKOUT = Path(__file__).resolve().parents[1]
MOST_MEMORY = "most-memory"
START_SECONDS = 60
END_SECONDS = 60
LOOK = 0.1  # seconds
OVERTAKEN = 4  # the exit code of an engine whose mirror another one has taken over


class EngineError(Exception):
    """The engine has not done what it was to; the text has its last lines."""


class Engine:
    """A mirror between two clusters, by the URLs of their members. ``settings`` are those of ``mirror/settings.py``.

    In ``folder``: ``NAME.json``, engine.log, and state/ with its log and status.
    """

    def __init__(
        self, folder: Path, source: Sequence[str], destination: Sequence[str], name: str = "dr", **settings: Any
    ) -> None:
        self.folder, self.name = folder, name
        self.state_dir = folder / "state"
        self.process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.state_dir.mkdir(exist_ok=True)
        self.settings_file = folder / f"{name}.json"
        given = {
            "name": name,
            "source": {"endpoints": list(source)},
            "destination": {"endpoints": list(destination)},
            "state_dir": str(self.state_dir),
        }
        self.settings_file.write_text(json.dumps({**given, **settings}))
        self.settings_file.chmod(0o600)

    @property
    def log(self) -> str:
        path = self.folder / "engine.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def begin(self, *options: str, prepare: Callable[[], None] | None = None) -> subprocess.Popen[bytes]:
        """Start it; ``prepare`` is called in the new process before. What an earlier one has written down is gone."""
        (self.state_dir / "status.json").unlink(missing_ok=True)
        argv = [sys.executable, str(Path(__file__).resolve()), str(self.settings_file), *options]
        with (self.folder / "engine.log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, cwd=CHECKOUT, preexec_fn=prepare)
        return self.process

    @contextmanager
    def running(self, prepare: Callable[[], None] | None = None) -> Iterator[Engine]:
        self.begin(prepare=prepare)
        try:
            yield self
        finally:
            self.end()

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Its exit code; it is killed where it does not go."""
        process = self.process
        assert process is not None
        if process.poll() is None:
            process.send_signal(number)
        try:
            return process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise EngineError(f"the engine did not end within {END_SECONDS} s:\n{self.log[-3000:]}") from None

    def once(self, seconds: float) -> None:
        """Until it has caught up. EngineError where it fails, or is not through in so many seconds."""
        process = self.begin("--once")
        late = threading.Timer(seconds, process.kill)
        late.start()
        try:
            process.wait()
        finally:
            late.cancel()
        if process.returncode:
            raise EngineError(f"the engine ended with {process.returncode}:\n{self.log[-3000:]}")

    @property
    def most_memory(self) -> int:
        """Bytes, of the last run that came to its end."""
        return int((self.folder / MOST_MEMORY).read_text())

    def status(self) -> dict[str, Any]:
        """What it has written down last; empty before."""
        try:
            return json.loads((self.state_dir / "status.json").read_text())
        except FileNotFoundError:
            return {}

    def wait_for(self, wanted: Callable[[dict[str, Any]], object], what: str, seconds: float = START_SECONDS) -> None:
        """Until its status is so."""
        until = time.monotonic() + seconds
        while not wanted(self.status()):
            if time.monotonic() > until:
                raise EngineError(f"{what}: not after {seconds:g} s\n{self.status()}\n{self.log[-3000:]}")
            if self.process is not None and self.process.poll() is not None:
                raise EngineError(f"{what}: the engine ended with {self.process.returncode}\n{self.log[-3000:]}")
            time.sleep(LOOK)

    def wait_until_it_follows(self) -> None:
        self.wait_for(lambda status: status.get("phase") == "follow", "it follows")


def main(argv: Sequence[str]) -> int:
    """The process: as ``quorum-etcd mirror run``, for settings that lie anywhere."""
    sys.path[0:0] = [str(CHECKOUT / ".collections")]
    from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
    from ansible_collections.quorum.etcd.plugins.module_utils.mirror.applying import Overtaken
    from ansible_collections.quorum.etcd.plugins.module_utils.mirror.engine import run
    from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import load

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_signal: stop.set())
    try:
        outcome = run(load(argv[0]), "--once" in argv[1:], lambda line: print(line, flush=True), stop)
    except EtcdError as error:
        print(error, flush=True)
        return OVERTAKEN if isinstance(error, Overtaken) else 1
    print(outcome.words)
    (Path(argv[0]).parent / MOST_MEMORY).write_text(str(_most_memory()))
    return 0


def _most_memory() -> int:
    """Bytes that this process had at the most: what getrusage tells has its parent's in it, as that was when it forked."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
