# SPDX-License-Identifier: GPL-3.0-or-later
"""What a month of half hours takes off-site, and what a verified backup costs beside a bare `etcdctl snapshot save`.

A member holds objects as Kubernetes has them, of about 5 kB each. From one half hour to the next 1 % of the keys are
overwritten and the history is compacted. After some half hours, when the database has settled, each one's snapshot is kept in
four ways: as it is, by restic, and by the spool with and without zstd. A month is 31 days of 48: it is reckoned from what
one full snapshot and one half hour take then, with a full one each day. Every increment is put together again and compared.

The times are those of a save by the agent, verified, with its manifest and its kit, plain and compressed, and of `etcdctl
snapshot save` alone, in turns: neither removes an old one, and each begins when nothing of the one before is still to be brought
to the disk. Beside the seconds, which depend on whatever else the machine does, stand those of the processors: of all processes
that were started, and of the member. A key is written after each compaction, as it is anywhere: of what was just compacted a
member knows the hash by heart. The memory is the highest that the agent's own process ever had (VmHWM), also where it ships what
it saved, at two sizes. Nothing here judges: it reports.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Callable, Iterator, NamedTuple

# The test bed, and the collection, as pyproject.toml makes them known to pytest.
CHECKOUT = Path(__file__).resolve().parents[1]
sys.path += [str(CHECKOUT / folder) for folder in ("lab", "tests/integration", ".collections")]

from agents import Agent, made_program
from ansible_collections.quorum.etcd.plugins.module_utils.backup import spool
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import rfc3339
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.manifest import read_manifest
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from databases import CACHE, LINE, QUOTA, Seeding
from lab import Lab, Member

DAYS, HALF_HOURS = 31, 48
SHARE = 0.76  # of the values in the database, as seen
SECRET = 350  # bytes of an object that nothing compresses, so that zstd leaves a seventh of the whole, as of real ones
REQUEST = 100  # keys in a transaction
BARE = "bare"
SILENT = subprocess.DEVNULL
KEEP = 2  # backups, where it is not said otherwise
SETTLED = 4  # half hours until as many pages are given free as are taken


class Takes(NamedTuple):
    """Bytes of a way to keep snapshots: of the first, and of each further half hour."""

    name: str
    first: int
    further: list[int]
    fulls: int = 1  # of a month

    @property
    def month(self) -> float:
        return self.fulls * self.first + (DAYS * HALF_HOURS - self.fulls) * statistics.mean(self.further)


def pod(number: int, chance: random.Random) -> bytes:
    """An object as an API server writes it: much that all have in common, and names, hashes, times and addresses of its own."""
    app = f"app-{number % 400:03}"
    name = f"{app}-{chance.getrandbits(36):09x}-{chance.getrandbits(20):05x}"
    moment = rfc3339(1_795_000_000 + chance.randrange(2_000_000))
    ip = ".".join(str(chance.randrange(256)) for _part in range(4))
    uid, owner = (str(uuid.UUID(int=chance.getrandbits(128))) for _id in range(2))
    image = f"registry.example/team-{number % 40}/{app}"
    fields = {
        f"f:{word}": {} for word in ("image", "imagePullPolicy", "name", "resources", "terminationMessagePath", "env")
    }
    container = {
        "name": app,
        "image": f"{image}:v1.{number % 70}",
        "env": [{"name": f"SETTING_{key}", "value": f"{chance.getrandbits(64):x}"} for key in range(12)],
        "resources": {"limits": {"cpu": "500m", "memory": "512Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
        "volumeMounts": [{"name": f"kube-api-access-{chance.getrandbits(24):x}", "mountPath": "/var/run/secrets"}],
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 10, "failureThreshold": 3},
        "terminationMessagePath": "/dev/termination-log",
        "imagePullPolicy": "IfNotPresent",
    }
    value = {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {
            "name": name,
            "namespace": f"team-{number % 40}",
            "uid": uid,
            "creationTimestamp": moment,
            "labels": {"app": app, "pod-template-hash": f"{chance.getrandbits(36):09x}", "tier": "backend"},
            "annotations": {
                "checksum/config": f"{chance.getrandbits(256):064x}",
                "token": base64.b64encode(chance.getrandbits(8 * SECRET).to_bytes(SECRET, "big")).decode(),
            },
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": app, "uid": owner}],
            "managedFields": [
                {
                    "manager": manager,
                    "operation": "Update",
                    "time": moment,
                    "fieldsV1": {"f:spec": {"f:containers": fields}},
                }
                for manager in ("kube-controller-manager", "kubelet", "kubectl-client-side-apply")
            ],
        },
        "spec": {"containers": [container] * 2, "nodeName": f"node-{chance.randrange(200)}", "serviceAccountName": app},
        "status": {
            "phase": "Running",
            "podIP": ip,
            "conditions": [
                {"type": kind, "status": "True", "lastTransitionTime": moment, "lastProbeTime": None}
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {
                    "containerID": f"containerd://{chance.getrandbits(256):064x}",
                    "imageID": f"{image}@sha256:{number % 70:064x}",
                }
            ],
        },
    }
    return json.dumps(value).encode()


class Cluster:
    """A member that holds so many objects, and changes some."""

    def __init__(self, member: Member, keys: int, chance: random.Random) -> None:
        self.member, self._keys, self._chance = member, keys, chance

    def fill(self) -> None:
        self._write(range(self._keys))

    def half_hour(self) -> None:
        """1 % of the keys overwritten, and what was before compacted away."""
        self._write(self._chance.sample(range(self._keys), self._keys // 100))
        client = self.member.client
        client.compact(client.status().revision)
        time.sleep(1.5)  # a compaction goes on after it was acknowledged
        self._write(range(1))

    def _write(self, numbers: Any) -> None:
        for batch in _batches(numbers, REQUEST):
            pairs = [(b"/registry/pods/%08d" % number, pod(number, self._chance)) for number in batch]
            self.member.client.put_many(pairs)


def _batches(numbers: Any, size: int) -> Iterator[list[int]]:
    listed = list(numbers)
    for first in range(0, len(listed), size):
        yield listed[first : first + size]


def measure(size: float, rounds: int, turns: int) -> dict[str, Any]:
    """All figures of a database of so many GB."""
    chance = random.Random(7)
    keys = int(size * 1e9 * SHARE / len(pod(1, chance)))
    CACHE.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=CACHE) as made, Seeding(Path(made) / "lab", members=1, line=LINE) as lab:
        folder = Path(made)
        cluster = Cluster(lab.members[0], keys, chance)
        say(f"{size:g} GB: writing {keys:,} objects of {len(pod(1, chance)):,} bytes")
        cluster.fill()
        agent = Agent(
            lab, lab.members[0], made_program(folder), folder / "agent", every_member=True, keep=KEEP, compress="none"
        )
        for _half_hour in range(SETTLED):
            cluster.half_hour()
        found = {"keys": keys, **times(lab, agent, folder, turns)}
        found["memory"] = max(found["memory"], shipping(cluster, agent, folder))
        found["takes"] = takes(cluster, agent, folder, rounds)
    return found


class Cost(NamedTuple):
    """Of one run: its seconds, and those of the processors, of the processes that it started and of the member."""

    seconds: float
    processors: float


def times(lab: Lab, agent: Agent, folder: Path, turns: int) -> dict[str, Any]:
    """The costs of a bare save and of a verified backup, plain and compressed, in turns; the agent's highest memory in KiB."""
    found: dict[str, list[Cost]] = {BARE: [], "plain": [], "compressed": []}
    memory, target = 0, folder / "bare.db"
    bare = [str(lab.bin_dir / "etcdctl"), "--endpoints", lab.members[0].client_url, "snapshot", "save", str(target)]
    for turn in range(turns + 1):
        target.unlink(missing_ok=True)
        costs = {BARE: _cost(lab.members[0], lambda: subprocess.Popen(bare, stdout=SILENT, stderr=SILENT))[0]}
        for how, compress in (("plain", "none"), ("compressed", "auto")):
            agent.set(compress=compress, keep=KEEP + 1)
            costs[how], highest = _cost(lab.members[0], lambda: agent.begin("backup", "--force"))
            memory = max(memory, highest)
            agent.set(keep=KEEP)
            agent.run("prune")
        told = ", ".join(f"{how} {cost.seconds:.2f} s ({cost.processors:.2f})" for how, cost in costs.items())
        say(f"  {told}{'' if turn else ' (not counted)'}")
        for how, cost in costs.items() if turn else ():
            found[how].append(cost)
    target.unlink()
    agent.set(compress="none")
    return {"costs": found, "load": os.getloadavg()[0], "memory": memory}


def _cost(member: Member, begin: Callable[[], subprocess.Popen[Any]]) -> tuple[Cost, int]:
    """What a process costs from its beginning to its end, and its highest memory in KiB."""
    os.sync()
    began, own = time.monotonic(), _processors_of(member)
    process = begin()
    memory = _highest(process.pid)
    _pid, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(process.stdout.read() if process.stdout else "it failed")
    seconds = time.monotonic() - began
    return Cost(seconds, used.ru_utime + used.ru_stime + _processors_of(member) - own), memory


def _processors_of(member: Member) -> float:
    """The seconds of processors that a member has had."""
    fields = Path(f"/proc/{member.pid()}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def shipping(cluster: Cluster, agent: Agent, folder: Path) -> int:
    """The highest memory in KiB of an agent that ships what it has saved too: a full one, and an increment."""
    store = folder / "store"
    store.mkdir()
    agent.set(offsite=[{"name": "folder", "folder": str(store), "mounted": False}])
    memory = 0
    for kind in (".db.zst", ".pages.zst"):
        process = agent.begin("backup", "--force")
        memory = max(memory, _highest(process.pid))
        if process.wait() or not [path for path in (store / "etcd").iterdir() if path.name.endswith(kind)]:
            raise SystemExit(process.stdout.read() if process.stdout else "nothing was shipped")
        cluster.half_hour()
    agent.set(offsite=[])
    shutil.rmtree(store)
    shutil.rmtree(agent.config.parent / "state" / "spool")
    return memory


def _highest(pid: int) -> int:
    """KiB, once the process has ended, which is not waited for: VmHWM only grows, so that its last value is the highest."""
    highest = 0
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return highest
        told = [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
        if not told:  # it has ended
            return highest
        highest = max(highest, *told)
        time.sleep(0.01)


def takes(cluster: Cluster, agent: Agent, folder: Path, rounds: int) -> list[Takes]:
    restic = Restic(folder / "restic") if shutil.which("restic") else None
    packed: dict[str, list[int]] = {"zstd": [], "without": []}
    copies: list[int] = []
    for half_hour in range(rounds + 1):
        if half_hour:
            cluster.half_hour()
        path = _saved(agent)
        copies.append(path.stat().st_size)
        for how in packed:
            packed[how].append(_spooled(folder / how, path, how, bool(half_hour)))
        if restic:
            restic.back_up(path)
        spooled = f"{packed['zstd'][-1]:,} with zstd, {packed['without'][-1]:,} without"
        say(f"  half hour {half_hour}: {copies[-1]:,} bytes; spooled {spooled}")
    plain = Takes("plain copies", copies[0], copies[1:])
    with_zstd = Takes("this, with zstd", packed["zstd"][0], packed["zstd"][1:], DAYS)
    without = Takes("this, without zstd", packed["without"][0], packed["without"][1:], DAYS)
    return [plain, *([restic.takes()] if restic else []), with_zstd, without]


def _saved(agent: Agent) -> Path:
    code, told = agent.run("backup", "--force")
    if code:
        raise SystemExit(told["cause"])
    return Path(told["path"])


def _spooled(folder: Path, path: Path, how: str, increment: bool) -> int:
    """The bytes of its objects, with manifest and kit; it is put together again, and compared."""
    can_pack = spool.can_pack
    if how == "without":
        spool.can_pack = lambda compression, run=None: compression != "zstd"  # type: ignore[assignment]
    try:
        manifest = read_manifest(str(path))
        assert manifest is not None
        told = spool.put(str(folder), str(path), manifest, run)
    finally:
        spool.can_pack = can_pack
    if (told.kind == "pages") != increment:
        raise SystemExit(f"{path.name} was spooled as {told.kind}")
    _prove(folder, path)
    (own,) = [one for one in spool.waiting(str(folder)) if one.name == f"{path.name}"]
    return sum((folder / name).stat().st_size for name in own.files)


def _prove(folder: Path, path: Path) -> None:
    script, result = CHECKOUT / "docs" / "put_together.py", folder / ".result"
    result.unlink(missing_ok=True)
    argv = [sys.executable, str(script), str(folder / f"{path.name}.json"), str(result)]
    subprocess.run(argv, check=True, capture_output=True)
    if subprocess.run(["cmp", "-s", str(result), str(path)], check=False).returncode:
        raise SystemExit(f"{path.name} was put together to something else")
    result.unlink()


class Restic:
    """Its repository, with its own compression and encryption, as it is set up by default."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._sizes = folder, [0]
        self._run("init")

    def back_up(self, path: Path) -> None:
        """Under one name each time, as its search for what it has already wants it."""
        link = self._folder.parent / "snapshot.db"
        link.unlink(missing_ok=True)
        os.link(path, link)
        self._run("backup", "--quiet", str(link))
        self._sizes.append(sum(one.stat().st_size for one in self._folder.rglob("*") if one.is_file()))

    def takes(self) -> Takes:
        growth = [after - before for before, after in zip(self._sizes, self._sizes[1:])]
        return Takes(f"restic {self._version()}", growth[0], growth[1:])

    def _version(self) -> str:
        return subprocess.run(["restic", "version"], capture_output=True, text=True, check=True).stdout.split()[1]

    def _run(self, *words: str) -> None:
        env = {**os.environ, "RESTIC_PASSWORD": "benchmark", "RESTIC_CACHE_DIR": f"{self._folder}-cache"}
        subprocess.run(["restic", "--repo", str(self._folder), *words], env=env, check=True, capture_output=True)


def table(size: float, found: dict[str, Any]) -> list[str]:
    plain = found["takes"][0].month
    lines = [f"a month of half hours, {size:g} GB, 1 % of {found['keys']:,} keys changed between two:"]
    for one in found["takes"]:
        further = statistics.mean(one.further)
        lines.append(
            f"  {one.name:20} {one.month / 1e9:10.2f} GB  {100 * one.month / plain:7.2f} %"
            f"   (full {one.first / 1e6:.1f} MB, half hour {further / 1e6:.2f} MB)"
        )
    lines += [_beside_bare(how, found["costs"]) for how in ("plain", "compressed")]
    lines.append(f"  (the machine's load: {found['load']:.0f})")
    return lines


def _beside_bare(how: str, costs: dict[str, list[Cost]]) -> str:
    """A verified backup in terms of the bare save of the same turn."""
    pairs = list(zip(costs[how], costs[BARE]))
    seconds = statistics.median(own.seconds / bare.seconds for own, bare in pairs)
    processors = statistics.median(own.processors / bare.processors for own, bare in pairs)
    middle = [statistics.median(cost.seconds for cost in costs[name]) for name in (how, BARE)]
    return (
        f"a verified backup, {how}: {middle[0]:.2f} s, a bare snapshot save {middle[1]:.2f} s: {seconds:.2f} times;"
        f" of the processors {processors:.2f} times"
    )


def set_up() -> None:
    """restic, where this is root on Debian and it is missing."""
    if shutil.which("restic"):
        return
    if os.geteuid() == 0 and shutil.which("apt-get"):
        for argv in (
            ["apt-get", "update", "-q"],
            ["apt-get", "install", "-q", "-y", "--no-install-recommends", "restic"],
        ):
            subprocess.run(
                argv, check=False, capture_output=True, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            )
    if not shutil.which("restic"):
        say("restic is not here, and could not be installed (Debian's package restic): it is left out")


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=float, default=0.6, metavar="GB", help="of the database (default: 0.6)")
    parser.add_argument("--small", type=float, default=0.06, metavar="GB", help="of the other one, for the memory")
    parser.add_argument("--rounds", type=int, default=5, help="half hours that are kept")
    parser.add_argument("--turns", type=int, default=5, help="saves of either kind")
    given = parser.parse_args()
    if given.size * 1e9 > QUOTA / 2:
        parser.error(f"at most {QUOTA / 2e9:.1f} GB")
    set_up()
    found = {size: measure(size, given.rounds, given.turns) for size in (given.small, given.size)}
    say("")
    for size, one in found.items():
        say("\n".join(table(size, one)))
    memory = ", ".join(f"{one['memory'] / 1024:.0f} MiB at {size:g} GB" for size, one in found.items())
    say(f"the agent's memory at most, with what it ships: {memory}")


if __name__ == "__main__":
    main()
