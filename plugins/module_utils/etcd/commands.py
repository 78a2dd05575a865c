# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Every command line that this collection runs against etcd, in one place.

Each function returns a ``Command``: the argv and what the environment needs on top of the inherited one, from which
``misleading`` variables are taken out. Passwords travel in the environment only (``ETCDCTL_PASSWORD``), never in argv,
which every user of the host can read.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence

from ..core import strict_json
from ..core.errors import EtcdError
from ..core.values import TEXT
from .versions import Version, can_bump_revision, etcdctl_restores, lists_members_without_quorum


@dataclass(frozen=True)
class Command:
    argv: List[str]
    env: Dict[str, str] = field(metadata=TEXT)


class Result(NamedTuple):
    rc: int
    out: str
    err: str


# How a command is run: the modules pass AnsibleModule.run_command behind this shape, the tests and the agent their own.
Run = Callable[[Sequence[str], Dict[str, str]], Result]

# Nearly all that Go allocates while a snapshot comes or is read is garbage at once. Collected at five times what is in use, and
# not at twice that, a save took 6 % less of its processor and a look 29 % less (0.6 GB), for 12 and 28 MB. The limit is for
# databases so large that what is in use counts.
_SELDOM_COLLECTED = {"GOGC": "400", "GOMEMLIMIT": "512MiB"}

# What etcd's tools and the gRPC in them heed: an endpoint, a user, a certificate, another resolver, more words than JSON.
_ETCD = ("ETCDCTL_", "ETCDUTL_", "GRPC_", "GODEBUG")
# And rclone, which has a configuration for all of it: other credentials, other authorities, another endpoint.
_RCLONE = ("RCLONE_", "AWS_", "AZURE_", "GOOGLE_")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


def misleading(names: Iterable[str]) -> List[str]:
    """The environment variables that must not reach a command, since the command line is to be all that it goes by.

    etcdctl refuses a flag that it also finds in the environment, so a profile that sets ``ETCDCTL_ENDPOINTS`` makes each
    answer an error; and a proxy answers for a member that it cannot reach.
    """
    return [name for name in names if name.startswith(_ETCD + _RCLONE) or name.lower() in _PROXIES]


@dataclass(frozen=True)
class Tool:
    """An executable of etcd's, and its version."""

    path: str
    version: Version


@dataclass(frozen=True)
class Tools:
    """The executables that a host has; None where it has not."""

    etcd: Optional[Tool] = None
    etcdctl: Optional[Tool] = None
    etcdutl: Optional[Tool] = None


@dataclass(frozen=True)
class Connection:
    """How to reach a cluster. Paths are on the host that runs the command; ``command_timeout`` is in seconds."""

    endpoints: Sequence[str] = field(default_factory=list)
    cacert: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password: str = ""
    command_timeout: int = 5
    dial_timeout: int = 2

    def flags(self) -> List[str]:
        tls = [("--cacert", self.cacert), ("--cert", self.cert), ("--key", self.key)]
        return [
            "--endpoints=" + ",".join(self.endpoints),
            f"--dial-timeout={self.dial_timeout}s",
            f"--command-timeout={self.command_timeout}s",
            *[f"{flag}={value}" for flag, value in tls if value],
        ]

    def env(self) -> Dict[str, str]:
        env = {"ETCDCTL_API": "3"}
        if self.user:
            env.update(ETCDCTL_USER=self.user, ETCDCTL_PASSWORD=self.password)
        return env


def etcd_version(path: str) -> Command:
    return Command([path, "--version"], {})


def etcd_with(path: str, config_file: str) -> Command:
    """etcd by its configuration file alone."""
    return Command([path, f"--config-file={config_file}"], {})


def tool_version(path: str) -> Command:
    """For etcdctl and etcdutl; without ``ETCDCTL_API=3`` etcdctl 3.3 and older would take v2's words."""
    return Command([path, "version"], {"ETCDCTL_API": "3"})


# A lone etcd: its name, its socket (etcd wants host:port for the name of the file), and its peer URL, which nobody opens.
THROWAWAY, THROWAWAY_SOCKET, THROWAWAY_PEER = "throwaway", "client:1", "http://127.0.0.1:1"

VERSION_TIMEOUT = 10.0  # seconds that a program may take to say its version; it is killed then


def asks_version(argv: Sequence[str]) -> bool:
    """Whether the command only asks a program for its version: what was just found may be anything, and may hang."""
    return list(argv[1:]) in (["--version"], ["version"])


def endpoint_status(etcdctl: Tool, to: Connection) -> Command:
    """Status of each endpoint; exits 1 when one does not answer, and still prints those that do."""
    return _etcdctl(etcdctl, to, "endpoint", "status", "-w", "json")


def endpoint_hashkv(etcdctl: Tool, to: Connection, revision: int) -> Command:
    """Hash of the key space at ``revision``: equal on every member that holds the same data."""
    return _etcdctl(etcdctl, to, "endpoint", "hashkv", f"--rev={revision}", "-w", "json")


def member_list(etcdctl: Tool, to: Connection, quorum: bool = True) -> Optional[Command]:
    """The member list; None where this etcdctl has no way to ask for it without a quorum."""
    flag = "" if quorum else lists_members_without_quorum(etcdctl.version)
    if flag is None:
        return None
    return _etcdctl(etcdctl, to, "member", "list", *([flag] if flag else []), "-w", "json")


def alarm_list(etcdctl: Tool, to: Connection) -> Command:
    return _etcdctl(etcdctl, to, "alarm", "list", "-w", "json")


def count_keys(etcdctl: Tool, to: Connection, revision: int, serializable: bool = False) -> Command:
    """Number of keys of users at ``revision``: the ``count`` beside one key, since etcdctl counts alone only in ``fields``.

    With authentication on it needs the root role. ``serializable``: by the member's own word, also without a quorum.
    """
    own_word = ["--consistency=s"] if serializable else []
    flags = ["--prefix", "--keys-only", "--limit=1", f"--rev={revision}", *own_word, "-w", "json"]
    return _etcdctl(etcdctl, to, "get", "", *flags)


def put(etcdctl: Tool, to: Connection, key: str, value: str) -> Command:
    return _etcdctl(etcdctl, to, "put", key, value, "-w", "json")


def delete(etcdctl: Tool, to: Connection, key: str) -> Command:
    return _etcdctl(etcdctl, to, "del", key, "-w", "json")


def get_below(etcdctl: Tool, to: Connection, prefix: str) -> Command:
    """The keys that begin with ``prefix``, by a linearizable read."""
    return _etcdctl(etcdctl, to, "get", prefix, "--prefix", "-w", "json")


def delete_below(etcdctl: Tool, to: Connection, prefix: str) -> Command:
    """Delete the keys that begin with ``prefix``, of which there must be one: empty is every key of the cluster."""
    if not prefix:
        raise EtcdError("no prefix was given, so nothing is deleted.")
    return _etcdctl(etcdctl, to, "del", prefix, "--prefix", "-w", "json")


def endpoint_health(etcdctl: Tool, to: Connection) -> Command:
    """A linearizable read of each endpoint, all at once; exits 1 when one does not answer, and still prints every one."""
    return _etcdctl(etcdctl, to, "endpoint", "health", "-w", "json")


def member_add(etcdctl: Tool, to: Connection, name: str, peer_urls: Sequence[str], learner: bool) -> Command:
    """Add a member. Its name is only for what etcdctl prints: the cluster learns it from the member itself."""
    flags = [f"--peer-urls={','.join(peer_urls)}", *(["--learner"] if learner else [])]
    return _etcdctl(etcdctl, to, "member", "add", name, *flags, "-w", "json")


def member_remove(etcdctl: Tool, to: Connection, member_id: str) -> Command:
    return _etcdctl(etcdctl, to, "member", "remove", member_id, "-w", "json")


def member_promote(etcdctl: Tool, to: Connection, member_id: str) -> Command:
    """A learner becomes a voter, if it is in sync. Asked of a follower it fails with authentication on (etcd #20874)."""
    return _etcdctl(etcdctl, to, "member", "promote", member_id, "-w", "json")


def member_update(etcdctl: Tool, to: Connection, member_id: str, peer_urls: Sequence[str]) -> Command:
    """Other peer URLs for a voter. Never for a learner: it could not be promoted any more (etcd #21694)."""
    return _etcdctl(etcdctl, to, "member", "update", member_id, f"--peer-urls={','.join(peer_urls)}", "-w", "json")


def move_leader(etcdctl: Tool, to: Connection, member_id: str) -> Command:
    """The leader hands over to the member with this hexadecimal ID; etcdctl finds it among the endpoints, which must answer."""
    return _etcdctl(etcdctl, to, "move-leader", member_id)


def make_mirror(
    etcdctl: Tool,
    source: Connection,
    destination: Connection,
    prefix: str = "",
    destination_prefix: Optional[str] = None,
    revision: int = 0,
) -> Command:
    """etcd's own mirror, which runs until something goes wrong. ``destination_prefix`` None: the keys keep their names.

    The destination's password is asked for, and read from standard input: there is no variable for it, and the flag that
    would take it can be read by every user of the host.
    """
    if len(destination.endpoints) != 1:
        raise EtcdError(f"make-mirror takes one endpoint of the destination, not {len(destination.endpoints)}.")
    there = destination.endpoints[0]
    tls = [("cacert", destination.cacert), ("cert", destination.cert), ("key", destination.key)]
    flags = [f"--prefix={prefix}"] if prefix else []
    if destination_prefix:
        flags.append(f"--dest-prefix={destination_prefix}")
    elif destination_prefix == "" and prefix:
        flags.append("--no-dest-prefix")
    flags += [f"--rev={revision}"] if revision else []
    flags += [f"--dest-{name}={value}" for name, value in tls if value]
    # Without it etcdctl would take a certificate of the destination that nobody has signed.
    flags += ["--dest-insecure-transport=false"] if there.startswith("https://") else []
    flags += [f"--dest-user={destination.user}"] if destination.user else []
    return _etcdctl(etcdctl, source, "make-mirror", *flags, there)


def snapshot_save(etcdctl: Tool, to: Connection, path: str) -> Command:
    """Save to ``path``; etcdctl takes exactly one endpoint here and refuses more."""
    if len(to.endpoints) != 1:
        raise EtcdError(f"snapshot save takes one endpoint, not {len(to.endpoints)}.")
    command = _etcdctl(etcdctl, to, "snapshot", "save", path)
    return replace(command, env={**command.env, **_SELDOM_COLLECTED})


def snapshot_status(tools: Tools, path: str) -> Command:
    """Hash, revision, keys and size of a snapshot file. It does not verify the file's own hash."""
    tool = restore_tool(tools)
    return Command([tool.path, "snapshot", "status", path, "-w", "json"], {"ETCDCTL_API": "3", **_SELDOM_COLLECTED})


def restore_tool(tools: Tools) -> Tool:
    """The tool to restore with: etcdutl where there is one, since restores by etcdctl 3.4 keep old members in the store."""
    if tools.etcdutl:
        return tools.etcdutl
    if tools.etcdctl and etcdctl_restores(tools.etcdctl.version):
        return tools.etcdctl
    if tools.etcdctl:
        raise EtcdError(
            f"etcdutl is missing: etcdctl {tools.etcdctl.version} can no longer restore a snapshot.",
            f"install etcdutl {tools.etcdctl.version} beside {tools.etcdctl.path}, or set etcd_bin_dir.",
        )
    raise EtcdError(
        "neither etcdutl nor etcdctl was found, and a snapshot cannot be restored without one of them.",
        "install the etcd client tools, or set etcd_bin_dir to the folder that holds them.",
    )


def can_bump(tools: Tools) -> bool:
    """Whether a restore by these tools can raise the revision and mark the old ones compacted."""
    tool = restore_tool(tools)
    return can_bump_revision("etcdutl" if tool is tools.etcdutl else "etcdctl", tool.version)


def snapshot_restore(
    tools: Tools,
    snapshot: str,
    *,
    name: str,
    initial_cluster: str,
    token: str,
    peer_urls: Sequence[str],
    data_dir: str,
    wal_dir: str = "",
    bump_revision: int = 0,
    skip_hash_check: bool = False,
) -> Command:
    """Restore ``snapshot`` as the member ``name`` into ``data_dir`` (and ``wal_dir``), neither of which may exist.

    ``initial_cluster`` is etcd's ``name=url,name=url``. ``bump_revision`` is an amount of revisions, 0 for none; etcd
    wants it together with ``--mark-compacted``, so that watchers see a compaction instead of silence.
    """
    tool = restore_tool(tools)
    argv = [
        tool.path,
        "snapshot",
        "restore",
        snapshot,
        f"--name={name}",
        f"--initial-cluster={initial_cluster}",
        f"--initial-cluster-token={token}",
        f"--initial-advertise-peer-urls={','.join(peer_urls)}",
        f"--data-dir={data_dir}",
    ]
    if wal_dir:
        argv.append(f"--wal-dir={wal_dir}")
    if bump_revision:
        argv += [f"--bump-revision={bump_revision}", "--mark-compacted"]
    if skip_hash_check:
        argv.append("--skip-hash-check=true")
    return Command(argv, {"ETCDCTL_API": "3"})


def throwaway(etcd: Tool, data_dir: str, quota: int) -> Command:
    """A lone etcd on restored data, that can be reached through two sockets in its working directory, and by no network.

    It has no peers, so that an election need not wait for any. ``quota`` is in bytes.
    """
    argv = [
        etcd.path,
        f"--name={THROWAWAY}",
        f"--data-dir={data_dir}",
        f"--listen-client-urls=unix://{THROWAWAY_SOCKET}",
        f"--advertise-client-urls=unix://{THROWAWAY_SOCKET}",
        "--listen-peer-urls=unix://peer:1",
        f"--initial-advertise-peer-urls={THROWAWAY_PEER}",
        f"--initial-cluster={THROWAWAY}={THROWAWAY_PEER}",
        "--heartbeat-interval=20",
        "--election-timeout=200",
        f"--quota-backend-bytes={quota}",
        "--logger=zap",
        "--log-level=error",
        "--log-outputs=stderr",
    ]
    return Command(argv, {"GOMAXPROCS": "1"})


def in_words(command: Command) -> str:
    """The command without its flags, for messages: ``/usr/bin/etcdctl endpoint status``."""
    return " ".join([word for word in command.argv if not word.startswith("-") and word != "json"][:4])


def run_checked(run: Run, command: Command, next_step: str = "") -> str:
    """Standard output of a command that must succeed; EtcdError with its exit code and words where it does not."""
    result = run(command.argv, command.env)
    if result.rc != 0:
        said = (result.err or result.out).strip().splitlines()
        raise EtcdError(
            f"{in_words(command)} failed with exit code {result.rc}: {said[-1] if said else 'no message'}",
            next_step,
            argv=command.argv,
            rc=result.rc,
            stderr=result.err.strip(),
        )
    return result.out


def parse_json(out: str, command: Command) -> object:
    """The JSON in a command's output; EtcdError where there is none."""
    try:
        return strict_json.parse(out)
    except ValueError as error:
        raise EtcdError(f"{in_words(command)} did not print JSON ({error}): {out[:1000].strip()[:200]!r}.") from error


def _etcdctl(etcdctl: Tool, to: Connection, *words: str) -> Command:
    return Command([etcdctl.path, *to.flags(), *words], to.env())
