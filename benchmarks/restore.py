# SPDX-License-Identifier: GPL-3.0-or-later
"""Compare three restores of one cluster on three hosts over SSH: the machine's limit, a plain playbook, this collection.

limit        scp to all hosts at once, `etcdutl snapshot restore`, stop, rename, start: no check, no flush, no proof
plain        plain.yml: the twelve tasks that people write
collection   playbooks/restore.yml

A client writes all the time; its longest time without an acknowledged write is the outage. The old cluster has the size of
the snapshot. The ways take turns, round by round; the figures are medians. Nothing here judges: it reports. All figures,
with each task's times and the journals of the hosts, are left in .cache/benchmarks/results.json.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, NamedTuple, Sequence

# The test bed, as pyproject.toml makes it known to pytest: for this and all that it imports.
sys.path += [str(Path(__file__).resolve().parents[1] / folder) for folder in ("lab", "tests/hosts")]

from client import GatewayError
from databases import CACHE, LINE, SETTINGS, VALUE, Database, DatabaseError, database
from growth import growth
from hosts import Hosts, HostsError
from ways import Run, clean, collection, limit, mend, plain, put_there, stopped_seconds, take_away

Way = Callable[[Hosts, Database, bool], Run]
WAYS: dict[str, Way] = {"limit": limit, "plain": plain, "collection": collection}
FAILURES = (DatabaseError, GatewayError, subprocess.CalledProcessError)
CASES = "0.06 0.6 4 4:64000 0.6:there"
ONCE_ABOVE = 1.0  # GB: the plain playbook takes minutes there, and is run only once


class Case(NamedTuple):
    size: float  # GB
    value: int = VALUE  # bytes
    there: bool = False  # the snapshot is on every host already

    @property
    def label(self) -> str:
        return (
            f"{self.size:g} GB"
            + (f" of {self.value:,}" if self.value != VALUE else "")
            + (" there" if self.there else "")
        )


def case(text: str) -> Case:
    """``SIZE[:VALUE][:there]``, such as 0.6, 4:64000 or 0.6:there."""
    size, *more = text.split(":")
    values = [int(word) for word in more if word != "there"]
    return Case(float(size), *values, there="there" in more)


def measure(case: Case, rounds: int, ways: Sequence[str]) -> dict[str, list[Run]]:
    """Every way, round by round, on hosts of this case's own."""
    source = database(case.size, case.value)
    found: dict[str, list[Run]] = {way: [] for way in ways if not (way == "plain" and case.there)}
    with TemporaryDirectory(dir=CACHE) as folder, Hosts(folder, line=LINE, settings=SETTINGS) as hosts:
        if case.there:
            put_there(hosts, source)
        first = limit(hosts, source, case.there)  # so that the old cluster is as large as the new one
        say(
            f"{case.label}, limit from an empty cluster: {first.seconds:.1f} s in all, {first.outage:.2f} s without a write"
        )
        for number in range(rounds):
            for way, runs in found.items():
                if way == "plain" and number and case.size > ONCE_ABOVE:
                    continue
                clean(hosts)
                try:
                    runs.append(WAYS[way](hosts, source, case.there))
                except FAILURES as error:
                    # That is a finding, and not the end: the next way finds hosts that serve.
                    say(f"{case.label}, {way}: FAILED. {error}")
                    mend(hosts, source, case.there)
                    continue
                say(f"{case.label}, {way}: {runs[-1].seconds:.1f} s in all, {runs[-1].outage:.2f} s without a write")
        take_away(hosts)
    return found


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", file=sys.stderr, flush=True)


# ---- the table ---------------------------------------------------------------------------------------------------------


def table(results: dict[str, dict[str, list[Run]]]) -> list[str]:
    """Seconds, and what they are in terms of the limit."""
    lines = [
        f"{'':18}{'the whole restore':^46}{'without a write':^46}",
        f"{'database':18}{'limit':>10}{'plain':>18}{'collection':>18}{'limit':>10}{'plain':>18}{'collection':>18}",
    ]
    for label, found in results.items():
        cells = [f"{label:18}"]
        for what in ("seconds", "outage"):
            base = median(found, "limit", what)
            for way, width in zip(WAYS, (10, 18, 18)):
                cells.append(f"{_cell(median(found, way, what), base if way != 'limit' else None):>{width}}")
        lines.append("".join(cells).rstrip())
    return lines


def _cell(value: float | None, base: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f} s" + (f" = {value / base:.1f}x" if base else "")


def median(found: dict[str, list[Run]], way: str, what: str) -> float | None:
    values = [getattr(run, what) for run in found.get(way, ())]
    return statistics.median(values) if values else None


def parts(results: dict[str, dict[str, list[Run]]]) -> list[str]:
    """What of the time without a write is this collection's: that must not grow with the database."""
    return [
        f"{label:18}collection, from the first stop to the last start: "
        f"{statistics.median(stopped_seconds(run.journals) for run in found['collection']):.2f} s"
        for label, found in results.items()
        if found.get("collection")
    ]


def tasks(results: dict[str, dict[str, list[Run]]]) -> list[str]:
    lines = []
    for label, found in results.items():
        for way in ("plain", "collection"):
            runs = found.get(way)
            if runs:
                lines.append(f"{label:18}{way:12}{runs[-1].tasks:3} tasks per host, {runs[-1].remote} of them on it")
    return lines


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cases = f"SIZE[:VALUE][:there], in GB and bytes, `there`: the snapshot is on every host (default: {CASES})"
    parser.add_argument("--cases", type=case, nargs="*", metavar="CASE", help=cases)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--ways", nargs="*", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--clusters", type=int, default=5, help="how many in the largest run; 0: leave that out")
    wanted = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the hosts go with it
    results: dict[str, dict[str, list[Run]]] = {}
    grown: dict[int, list[Run]] = {}
    try:
        for each in map(case, CASES.split()) if wanted.cases is None else wanted.cases:
            results[each.label] = measure(each, wanted.rounds, wanted.ways)
            keep(results, grown)
        if wanted.clusters:
            grown = growth(wanted.clusters, wanted.rounds, say)
            keep(results, grown)
    except (DatabaseError, HostsError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    print("\n".join([*table(results), "", *parts(results), "", *tasks(results), *growth_lines(grown)]))
    return 0


def growth_lines(grown: dict[int, list[Run]]) -> list[str]:
    lines = []
    for clusters, runs in grown.items():
        seconds = statistics.median(run.seconds for run in runs)
        first = statistics.median(run.seconds for run in grown[1])
        lines.append(
            f"{clusters} cluster{'s' if clusters > 1 else ''} of three in one run: {seconds:.1f} s = {seconds / first:.1f}x,"
            f" {seconds / clusters:.1f} s a cluster, {runs[-1].tasks} tasks per host, {runs[-1].remote} of them on it"
        )
    return ["", *lines] if lines else []


def keep(results: dict[str, dict[str, list[Run]]], grown: dict[int, list[Run]]) -> None:
    def plainly(runs: Sequence[Run]) -> list[dict[str, Any]]:
        return [run._asdict() for run in runs]

    whole: dict[str, Any] = {
        label: {way: plainly(runs) for way, runs in found.items()} for label, found in results.items()
    }
    whole["clusters"] = {number: plainly(runs) for number, runs in grown.items()}
    Path(CACHE / "results.json").write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
