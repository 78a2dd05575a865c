# SPDX-License-Identifier: GPL-3.0-or-later
"""What a mirror takes, beside etcd's own make-mirror and beside the least that it could take, in turns on one machine.

sync     the first copy: ``quorum-etcd mirror run --once``, from its start to its end; ``etcdctl make-mirror``, its keys a second;
         and the limit, 8 writers that put the same keys into the destination in batches as full as etcd takes them, made before
delayed  the same with the destination behind a proxy that makes a round trip 20 ms long
lag      of each of 1,000 writes a second: from its sending to the source until a watch of the destination shows it
cost     what a write of the source takes while it is followed; while nobody follows it; and while nobody does, but the
         destination is written to at the same pace, by a process on this same machine, as a mirror's is
seed     a mirror of a whole cluster of one member: from a snapshot, restored, until the engine has caught up, a gigabyte of the
         source's database; and the first copy of the same by comparison
memory   of the engine after its first copy of so many keys

Nothing here judges: it reports ratios, and how busy the machine was besides.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Callable, Iterator, NamedTuple, Sequence

# The test bed, as pyproject.toml makes it known to pytest: for this and all that it imports.
sys.path += [str(Path(__file__).resolve().parents[1] / folder) for folder in ("lab", ".collections")]

from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import prefix_range
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.watching import Watch
from lab import CHECKOUT, Lab, LabError
from mirror_load import Paced, full_batches, middle, percentile, write
from mirrors import Engine, EngineError
from seeded import begin_with_snapshot

CACHE = CHECKOUT / ".cache" / "benchmarks"
LINE = "3.6"
ONE_WAY = 0.010  # seconds; a round trip is twice that
MAKE_MIRROR_SECONDS = 20  # its pace does not change, so it need not come to its end
BESIDE_SECONDS = 60  # what is written beside goes on for longer than what is measured, and is ended with it
LOOK = 0.1  # seconds between two looks at how many keys are there
SYNC_SECONDS = 1800


class Wanted(NamedTuple):
    keys: int
    value: int
    rounds: int
    members: int
    memory: Sequence[int]


class Bed:
    """A source and a destination, and what is done to them. Each copy goes below a prefix of its own."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self.folder, self.wanted = folder, wanted
        self.source = Lab(folder / "source", members=wanted.members, line=LINE)
        self.destination = Lab(folder / "destination", members=wanted.members, line=LINE)
        self._stack, self._copies, self.seeded = ExitStack(), 0, False

    def __enter__(self) -> Bed:
        self._stack.enter_context(self.source)
        self._stack.enter_context(self.destination)
        self._client = self._stack.enter_context(Client(Connection(self.destination.endpoints)))
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def seed(self, prefix: str, keys: int, value: int) -> None:
        write(self.source.endpoints, list(full_batches(prefix, keys, value)))

    def new_prefix(self) -> str:
        """As long as the source's, so that keys are equally long."""
        self._copies += 1
        return f"c{self._copies:03d}/"

    def count(self, prefix: str) -> int:
        key, end = prefix_range(prefix.encode())
        return self._client.page(key, end, count_only=True).total

    def engine(self, prefix: str, copy: str, destination: Sequence[str] = ()) -> Engine:
        return Engine(
            self.folder / copy.strip("/"),
            self.source.endpoints,
            destination or self.destination.endpoints,
            prefix=prefix,
            destination_prefix=copy,
        )


# ---- the first copy ---------------------------------------------------------------------------------------------------


def limit(bed: Bed, urls: Sequence[str]) -> float:
    """Keys a second."""
    requests = list(full_batches(bed.new_prefix(), bed.wanted.keys, bed.wanted.value))
    return bed.wanted.keys / write(urls, requests)


def collection(bed: Bed, urls: Sequence[str]) -> float:
    copy = bed.new_prefix()
    engine = bed.engine("base/", copy, urls)
    began = time.monotonic()
    engine.once(SYNC_SECONDS)
    seconds = time.monotonic() - began
    copied = bed.count(copy)
    if copied < bed.wanted.keys:
        raise EtcdError(f"The engine has ended with {copied} of {bed.wanted.keys} keys.")
    return bed.wanted.keys / seconds


def make_mirror(bed: Bed, urls: Sequence[str]) -> float:
    copy = bed.new_prefix()
    argv = [str(bed.source.bin_dir / "etcdctl"), "make-mirror", "--prefix", "base/", "--dest-prefix", copy]
    argv += ["--endpoints", ",".join(bed.source.endpoints), urls[0].partition("://")[2]]
    environment = {**os.environ, "ETCDCTL_API": "3"}
    with (bed.folder / "make-mirror.log").open("ab") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env=environment)
        try:
            return _pace(lambda: bed.count(copy), bed.wanted.keys)
        finally:
            process.terminate()
            process.wait()


def _pace(count: Callable[[], int], keys: int) -> float:
    """Keys a second between the first look that sees one and the last."""
    first, until = None, time.monotonic() + MAKE_MIRROR_SECONDS
    while True:
        now, copied = time.monotonic(), count()
        if copied and first is None:
            first, until = (now, copied), now + MAKE_MIRROR_SECONDS
        if first and (copied >= keys or now > until):
            return (copied - first[1]) / (now - first[0]) if now > first[0] else 0.0
        if first is None and now > until:
            raise EtcdError("make-mirror has copied nothing.", "see make-mirror.log.")
        time.sleep(LOOK)


WAYS = {"limit": limit, "collection": collection, "make-mirror": make_mirror}


def sync(bed: Bed, what: str, urls: Sequence[str]) -> None:
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(bed.wanted.rounds):
        for name in turned(list(WAYS), number):
            found[name].append(WAYS[name](bed, urls))
            say(f"{what}, round {number + 1}: {name} {found[name][-1]:,.0f} keys/s")
    of_limit = [least / own for least, own in zip(found["limit"], found["collection"])]
    of_make_mirror = [own / other for own, other in zip(found["collection"], found["make-mirror"])]
    paces = ", ".join(f"{name} {middle(values):,.0f}" for name, values in found.items())
    report(
        f"{what}, {bed.wanted.keys:,} keys of {bed.wanted.value:,} bytes: {paces} keys/s; the collection takes"
        f" {middle(of_limit):.2f}x the limit's time ({spread(of_limit)}) and is {middle(of_make_mirror):.1f}x as quick as"
        f" make-mirror ({spread(of_make_mirror)})"
    )


def turned(values: list[str], number: int) -> list[str]:
    """Each of them is the first in its turn."""
    first = number % len(values)
    return values[first:] + values[:first]


@contextmanager
def far(bed: Bed) -> Iterator[list[str]]:
    """The destination's endpoints by a long way, each through a process of its own."""
    with ExitStack() as stack:
        ports = []
        for url in bed.destination.endpoints:
            argv = [sys.executable, str(CHECKOUT / "lab" / "proxy.py"), url.partition("://")[2]]
            process = subprocess.Popen(
                [*argv, "--delay", str(ONE_WAY * 1000)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            stack.callback(process.wait)
            stack.callback(process.stdin.close)
            ports.append(int(process.stdout.readline()))
        yield [f"http://127.0.0.1:{port}" for port in ports]


# ---- while it follows -------------------------------------------------------------------------------------------------


@contextmanager
def following(bed: Bed, prefix: str) -> Iterator[tuple[Engine, str]]:
    copy = bed.new_prefix()
    engine = bed.engine(prefix, copy)
    with engine.running():
        engine.wait_until_it_follows()
        yield engine, copy


def lag(bed: Bed, per_second: float, seconds: float) -> None:
    with following(bed, "lag/") as (_engine, copy):
        load = Paced(bed.source.endpoints, "lag/", per_second, seconds, bed.wanted.value)
        seen: dict[bytes, float] = {}
        with Client(Connection(bed.destination.endpoints)) as client:
            header = client.page(b"x").header
            with client.watch(*prefix_range(copy.encode()), header.revision + 1) as watch:
                watcher = threading.Thread(target=_note, args=(watch, copy.encode(), b"lag/", seen))
                watcher.start()
                load.run()
                until = time.monotonic() + 30
                while load.sent.keys() - seen.keys() and time.monotonic() < until:
                    time.sleep(LOOK)
            watcher.join()
    late = [seen[key] - sent for key, sent in load.sent.items() if key in seen]
    lost = len(load.sent) - len(late)
    shares = ", ".join(f"p{share:g} {percentile(late, share / 100) * 1000:.0f} ms" for share in (50, 90, 99, 99.9))
    report(
        f"lag at {len(load.sent) / seconds:,.0f} writes/s for {seconds:g} s: {shares}, at most {max(late) * 1000:.0f} ms;"
        f" a write itself took {percentile(load.took, 0.5) * 1000:.1f} ms (p50), {percentile(load.took, 0.99) * 1000:.1f} ms"
        f" (p99); {load.failed} failed, {lost} were not seen"
    )


def _note(watch: Watch, copy: bytes, prefix: bytes, seen: dict[bytes, float]) -> None:
    """When each key below ``copy`` was seen first, the mirror's state among them."""
    for watched in watch:
        now = time.monotonic()
        for event in watched.events:
            seen.setdefault(prefix + event.kv.key[len(copy) :], now)


def cost(bed: Bed, rounds: int, per_second: float, seconds: float) -> None:
    """Rounds of all three, of which each is the first in its turn. Seconds of the middle write of each."""
    found: dict[str, list[float]] = {"alone": [], "beside": [], "followed": []}
    for number in range(rounds):
        for name in turned(list(found), number):
            with ExitStack() as stack:
                if name == "followed":
                    stack.enter_context(following(bed, "cost/"))
                if name == "beside":
                    stack.enter_context(written_beside(bed, per_second, seconds))
                load = Paced(bed.source.endpoints, "cost/", per_second, seconds, bed.wanted.value).run()
            found[name].append(percentile(load.took, 0.5))
        say(
            f"cost, round {number + 1}: "
            + ", ".join(f"{name} {took[-1] * 1000:.2f} ms" for name, took in found.items())
        )
    paces = ", ".join(f"{name} {middle(took) * 1000:.2f} ms" for name, took in found.items())
    ratios = [
        f"{middle(values):.2f}x {other} ({spread(values)})"
        for other in ("alone", "beside")
        for values in [[one / least for one, least in zip(found["followed"], found[other])]]
    ]
    report(
        f"a write of the source at {per_second:g}/s: {paces}; followed it takes {' and '.join(ratios)}, in {rounds} rounds"
    )


@contextmanager
def written_beside(bed: Bed, per_second: float, seconds: float) -> Iterator[None]:
    argv = [sys.executable, str(CHECKOUT / "benchmarks" / "mirror_load.py"), *bed.destination.endpoints]
    argv += ["--prefix", bed.new_prefix(), "--pace", str(per_second), "--seconds", str(seconds + BESIDE_SECONDS)]
    process = subprocess.Popen([*argv, "--value", str(bed.wanted.value)], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()  # it writes
        yield
    finally:
        process.terminate()
        process.communicate()


def seed(bed: Bed) -> None:
    """Each destination is another one, and so is the source: a mirror of a whole cluster takes all of it."""
    wanted, took = bed.wanted, dict[str, list[float]](snapshot=[], comparison=[])
    with Lab(bed.folder / "whole", members=1, line=LINE) as source:
        write(source.endpoints, list(full_batches("base/", wanted.keys, wanted.value)))
        gigabytes = (source.members[0].data_dir / "member" / "snap" / "db").stat().st_size / 1e9
        for number in range(wanted.rounds):
            for what in turned(list(took), number):
                took[what].append(_begun(bed.folder / f"{what}-{number}", source, what == "snapshot", wanted.keys))
    report(
        f"seed: {wanted.keys:,} keys of {wanted.value:,} bytes, {gigabytes:.2f} GB. Seconds a GB: from a snapshot"
        f" {middle(took['snapshot']) / gigabytes:.1f}, by comparison {middle(took['comparison']) / gigabytes:.1f}"
        f" ({spread([one / other for one, other in zip(took['comparison'], took['snapshot'])])} times as long)"
    )


def _begun(folder: Path, source: Lab, by_snapshot: bool, keys: int) -> float:
    """Seconds until a new mirror has everything. EtcdError where it has not, or did what was not to be measured."""
    with Lab(folder / "destination", members=1, line=LINE) as destination:
        began = time.monotonic()
        known = {"seed": begin_with_snapshot(source, destination, folder)} if by_snapshot else {}
        engine = Engine(folder, source.endpoints, destination.endpoints, overwrite=True, **known)
        engine.once(SYNC_SECONDS)
        seconds = time.monotonic() - began
        with Client(Connection(destination.endpoints)) as client:
            copied = client.page(*prefix_range(b"base/"), count_only=True).total
    if copied != keys or ("Compared" in engine.log) == by_snapshot:
        raise EtcdError(f"The mirror has {copied} of {keys} keys: {engine.log[-1000:]}")
    return seconds


def memory(bed: Bed, keys: int) -> None:
    prefix = f"m{keys}/"
    bed.seed(prefix, keys, 100)
    copy = bed.new_prefix()
    engine = bed.engine(prefix, copy)
    began = time.monotonic()
    engine.once(SYNC_SECONDS)
    seconds = time.monotonic() - began
    if bed.count(copy) < keys:
        raise EtcdError(f"The engine has ended without all of {keys} keys.")
    report(
        f"memory: {engine.most_memory / (1 << 20):.0f} MiB at the most for the first copy of {keys:,} keys of"
        f" 100 bytes, in {seconds:.0f} s"
    )


# ---- words --------------------------------------------------------------------------------------------------------------


def spread(values: Sequence[float]) -> str:
    return f"{min(values):.2f} to {max(values):.2f}"


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


def report(text: str) -> None:
    print(f"{text} [load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores]", flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=list(CASES), metavar="CASE")
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--value", type=int, default=1000, help="bytes")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--members", type=int, default=3, help="of each side")
    parser.add_argument("--memory", type=int, nargs="*", default=[100_000, 1_000_000], help="keys")
    given = parser.parse_args(argv)
    wanted = Wanted(given.keys, given.value, given.rounds, given.members, given.memory)
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        with TemporaryDirectory(dir=CACHE) as folder, Bed(Path(folder), wanted) as bed:
            for case in given.cases:
                CASES[case](bed)
    except (EngineError, EtcdError, LabError, OSError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    return 0


def _near(bed: Bed) -> None:
    _seed_once(bed)
    sync(bed, "loopback", bed.destination.endpoints)


def _far(bed: Bed) -> None:
    _seed_once(bed)
    with far(bed) as urls:
        sync(bed, f"{ONE_WAY * 2000:g} ms of round trip", urls)


def _seed_once(bed: Bed) -> None:
    if not bed.seeded:
        bed.seed("base/", bed.wanted.keys, bed.wanted.value)
        bed.seeded = True


def _memory(bed: Bed) -> None:
    for keys in bed.wanted.memory:
        memory(bed, keys)


CASES = {
    "sync": _near,
    "delayed": _far,
    "lag": lambda bed: lag(bed, 1000, 20),
    "cost": lambda bed: cost(bed, 2 * bed.wanted.rounds, 200, 5),
    "seed": seed,
    "memory": _memory,
}


if __name__ == "__main__":
    sys.exit(main())
