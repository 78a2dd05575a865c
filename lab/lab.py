# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab: a cluster of real etcd members on this machine's loopback, with the inventory that reaches it.

<dir>/hosts.yml    the inventory         <dir>/bin        link to etcd, etcdctl, etcdutl
<dir>/<member>/    etcd.sh (the init script), etcd.conf.yml or etcd.env, etcd.log, data/
"""

from __future__ import annotations

import argparse
import atexit
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Iterable, NamedTuple, Sequence

from client import Client, GatewayError, Status
from etcd_binaries import Unavailable, obtain

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parent
DEFAULT_DIR = CHECKOUT / ".cache" / "lab"
HOME = (
    CHECKOUT / ".cache" / "home"
)  # of the plays of demo and tests: what Ansible and a run leave at home stays in the checkout
COMMITTED_INVENTORY = CHECKOUT / "inventories" / "lab" / "hosts.yml"
DEFAULT_MEMBERS = 3
DEFAULT_BASE_PORT = 23790
PORT_STEP = 10  # member n: client port base + 10 n, peer port one higher
FREE_PORTS = range(12000, 32000)  # below the ports that the kernel gives to outgoing connections
SNAPSHOT_COUNT = 100_000  # entries between raft snapshots
QUOTA = 2 * 1024**3  # bytes
READY_SECONDS = 30
STOP_SECONDS = 10
CONFIG_FILES = {"yaml": "etcd.conf.yml", "env": "etcd.env"}


INVENTORY = """\
---
# Written by lab/lab.py: a cluster of real etcd members on this machine's loopback.
etcd:
  hosts:
@HOSTS@
  vars:
    ansible_connection: local
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
    ansible_become: false
    lab_dir: "@LAB_DIR@"
    lab_member_dir: "{{ lab_dir }}/{{ etcd_name }}"
    lab_script: "sh {{ (lab_member_dir ~ '/etcd.sh') | quote }}"
    # The members are started by hand-made init scripts.
    etcd_service_manager: command
    etcd_start_command: "{{ lab_script }} start"
    etcd_stop_command: "{{ lab_script }} stop"
    etcd_status_command: "{{ lab_script }} status"
    etcd_config_file: "{{ lab_member_dir }}/@CONFIG@"
    etcd_bin_dir: "{{ lab_dir }}/bin"
    etcd_state_dir: "{{ lab_member_dir }}/state"
    etcd_backup_dir: "{{ lab_dir }}/backups"
"""


class LabError(Exception):
    """The lab cannot do what was asked; the text says why and where to look."""


class Member(NamedTuple):
    """One etcd of a lab, and the host name that stands for it in the inventory."""

    name: str
    host: str
    dir: Path
    bin_dir: Path
    port: int
    config_format: str

    @property
    def client_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def peer_url(self) -> str:
        return f"http://127.0.0.1:{self.port + 1}"

    @property
    def data_dir(self) -> Path:
        return self.dir / "data"

    @property
    def config_file(self) -> Path:
        return self.dir / CONFIG_FILES[self.config_format]

    @property
    def log_file(self) -> Path:
        return self.dir / "etcd.log"

    @property
    def client(self) -> Client:
        return Client(self.client_url)

    def pid(self) -> int | None:
        """The pid of this very member, None if it does not run. The number in the pid file alone proves nothing."""
        try:
            pid = int((self.dir / "etcd.pid").read_text())
            process = Path("/proc") / str(pid)
            program = (process / "cmdline").read_bytes().split(b"\0")[0]
            folder = (process / "cwd").readlink()
        except (OSError, ValueError):
            return None
        return pid if program == os.fsencode(self.bin_dir / "etcd") and folder == self.dir else None


class Lab:
    """A cluster in `directory`. As a context manager it is up inside and leaves no process behind.

    An existing lab in the directory is taken as it is: its ports, names and format go before the arguments.
    `base_port` None: free ports. `line` None: any etcd will do. `host_names`: inventory names, if they shall differ
    from the member names m1, m2, …
    `spares`: hosts besides, on which a member is set up and not started, as one that is to join.
    """

    def __init__(
        self,
        directory: str | Path,
        members: int = DEFAULT_MEMBERS,
        base_port: int | None = None,
        line: str | None = None,
        config_format: str = "yaml",
        host_names: Sequence[str] | None = None,
        bin_dir: str | Path | None = None,
        spares: int = 0,
    ) -> None:
        self.dir = Path(directory).resolve()
        self.line = line
        self._tools = bin_dir
        hosts = list(host_names or names(members + spares))
        self._settings = self._written_before() or {
            "hosts": hosts,
            "spares": spares,
            "ports": _ports(base_port, len(hosts)),
            "config_format": config_format,
            "token": f"lab-{secrets.token_hex(4)}",
        }
        self.config_format: str = self._settings["config_format"]
        hosts, ports = self._settings["hosts"], self._settings["ports"]
        made = [
            Member(name, host, self.dir / name, self.bin_dir, port, self.config_format)
            for name, host, port in zip(names(len(hosts)), hosts, ports)
        ]
        founders = len(made) - self._settings.get("spares", 0)
        self.members, self.spares = made[:founders], made[founders:]

    def _written_before(self) -> dict | None:
        return json.loads(self._settings_file.read_text()) if self._settings_file.exists() else None

    @property
    def _settings_file(self) -> Path:
        return self.dir / "lab.json"

    @property
    def bin_dir(self) -> Path:
        return self.dir / "bin"

    @property
    def inventory(self) -> Path:
        return self.dir / "hosts.yml"

    @property
    def backup_dir(self) -> Path:
        return self.dir / "backups"

    @property
    def endpoints(self) -> list[str]:
        return [member.client_url for member in self.members]

    def __enter__(self) -> Lab:
        try:
            return self.up()
        except BaseException:
            self.down(grace=0)
            raise

    def __exit__(self, *_exc: object) -> None:
        self.down(grace=0)
        _give_back(member.port for member in self.everyone)

    def member(self, name: str) -> Member:
        return next(member for member in self.everyone if member.name == name)

    @property
    def everyone(self) -> list[Member]:
        return [*self.members, *self.spares]

    def write(self) -> Lab:
        """Write everything that is not there yet; a configuration that exists is left alone (restores edit it)."""
        self.dir.mkdir(parents=True, exist_ok=True)
        self._settings_file.write_text(json.dumps(self._settings))
        self._link_tools()
        self.backup_dir.mkdir(exist_ok=True)
        hosts = [member.host for member in self.everyone]
        self.inventory.write_text(inventory_text(hosts, "{{ inventory_dir }}", self.config_format))
        for member in self.everyone:
            member.dir.mkdir(exist_ok=True)
            shutil.copy(HERE / "etcd.sh", member.dir)
            if not member.config_file.exists():
                member.config_file.write_text(self.config_text(member))
        return self

    def _link_tools(self) -> None:
        tools = Path(self._tools).resolve() if self._tools else None
        if tools is None and not (self.line is None and self.bin_dir.exists()):
            tools = obtain(self.line)
        if tools:
            self.bin_dir.unlink(missing_ok=True)
            self.bin_dir.symlink_to(tools)

    def config_text(self, member: Member, state: str = "new", initial_cluster: str = "") -> str:
        settings = {
            "name": member.name,
            "data-dir": str(member.data_dir),
            "listen-peer-urls": member.peer_url,
            "listen-client-urls": member.client_url,
            "initial-advertise-peer-urls": member.peer_url,
            "advertise-client-urls": member.client_url,
            "initial-cluster": initial_cluster or ",".join(f"{m.name}={m.peer_url}" for m in self.members),
            "initial-cluster-token": self._settings["token"],
            "initial-cluster-state": state,
            "snapshot-count": SNAPSHOT_COUNT,
            "quota-backend-bytes": QUOTA,
            "auto-compaction-retention": "0",
            "enable-grpc-gateway": True,  # the default, but 3.4 forgets it when it reads a configuration file
        }
        return _yaml(settings) if self.config_format == "yaml" else _env(settings)

    def newcomer(self, name: str, initial_cluster: str = "") -> Member:
        """One more member of the lab, that is not started and that no cluster knows yet; it goes down with the others.

        ``initial_cluster``: of its configuration, which says ``existing``; left out: the lab's own and itself.
        """
        member = Member(name, name, self.dir / name, self.bin_dir, *_ports(None, 1), self.config_format)
        self.members.append(member)
        member.dir.mkdir(exist_ok=True)
        shutil.copy(HERE / "etcd.sh", member.dir)
        text = self.config_text(member, state="existing", initial_cluster=initial_cluster)
        member.config_file.write_text(text)
        return member

    def up(self, timeout: float = READY_SECONDS) -> Lab:
        """Write, start every member and wait until each one serves. Raises LabError after `timeout` seconds."""
        self._refuse_a_stranger()
        self.write()
        atexit.register(self.down, grace=0)
        for member in self.members:
            self.start(member)
        return self.wait_ready(timeout)

    def _refuse_a_stranger(self) -> None:
        """Whoever serves at a port of ours would be seeded and destroyed in our members' place."""
        for member in self.everyone:
            for url in (member.client_url, member.peer_url) if member.pid() is None else ():
                port = int(url.rpartition(":")[2])
                if not _free(port):
                    raise LabError(
                        f"port {port} of {member.name} is taken, perhaps by the lab of another checkout: stop that, as with "
                        f"'make lab-down' there; 'ss -ltnp sport = {port}' tells whose it is"
                    )

    def wait_ready(self, timeout: float = READY_SECONDS) -> Lab:
        """Wait until every member answers a linearizable read."""
        until = time.monotonic() + timeout
        for member in self.members:
            while not _serves(member):
                if time.monotonic() > until:
                    raise LabError(f"{member.name} does not serve after {timeout:g} s:\n{self.logs(member, lines=15)}")
                time.sleep(0.05)
        return self

    def start(self, member: Member) -> None:
        """Does not wait for a quorum."""
        self._script(member, "start")

    def stop(self, member: Member) -> None:
        self._script(member, "stop")

    def kill(self, member: Member) -> None:
        """SIGKILL, as a power cut would; returns when the process is gone."""
        _end([member], signal.SIGKILL, STOP_SECONDS)

    def down(self, grace: float = STOP_SECONDS) -> None:
        """Stop every member, by force after `grace` seconds. Data and configuration stay."""
        if grace:
            # The leader goes last: members that all leave at once offer each other the leadership for seconds.
            leader = [member for member, status in zip(self.everyone, self.status().values()) if _leads(status)]
            for group in ([member for member in self.everyone if member not in leader], leader):
                _end(group, signal.SIGTERM, grace)
        _end(self.everyone, signal.SIGKILL, STOP_SECONDS)

    def keep(self) -> None:
        """Let the members outlive this process."""
        atexit.unregister(self.down)

    def destroy(self) -> None:
        """Stop every member and remove the lab's folder."""
        self.down(grace=0)
        if self._settings_file.exists():  # never remove a folder that no lab was written into
            shutil.rmtree(self.dir)

    def status(self) -> dict[str, Status | None]:
        """Each member's own view of the cluster, None where it does not answer. Works without a quorum."""
        return {member.name: _status(member) for member in self.everyone}

    def leader(self) -> str:
        """The name of the one member that says it leads."""
        (name,) = [name for name, status in self.status().items() if _leads(status)]
        return name

    def logs(self, member: Member | None = None, lines: int = 40) -> str:
        """The last lines of the log of one member, or of all."""
        parts = []
        for one in [member] if member else self.everyone:
            text = one.log_file.read_text(errors="replace") if one.log_file.exists() else ""
            parts.append("\n".join([f"--- {one.log_file}", *text.splitlines()[-lines:]]))
        return "\n".join(parts)

    def _script(self, member: Member, action: str) -> None:
        argv = ["sh", str(member.dir / "etcd.sh"), action]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise LabError(f"{' '.join(argv)} exited {done.returncode}: {done.stderr.strip()}\n{self.logs(member, 10)}")


def names(count: int) -> list[str]:
    return [f"m{number}" for number in range(1, count + 1)]


def inventory_text(hosts: Sequence[str], lab_dir: str, config_format: str = "yaml") -> str:
    """The inventory of a lab; `lab_dir` is the lab's folder as the inventory shall name it."""
    entries = [f"    {host}: {{etcd_name: {name}}}" for host, name in zip(hosts, names(len(hosts)))]
    text = INVENTORY.replace("@HOSTS@", "\n".join(entries)).replace("@LAB_DIR@", lab_dir)
    return text.replace("@CONFIG@", CONFIG_FILES[config_format])


def committed_inventory_text() -> str:
    """What inventories/lab/hosts.yml must hold: the default lab, wherever the checkout lies."""
    way = os.path.relpath(DEFAULT_DIR, COMMITTED_INVENTORY.parent)
    return inventory_text(names(DEFAULT_MEMBERS), f"{{{{ (inventory_dir ~ '/{way}') | realpath }}}}")


def _yaml(settings: dict[str, object]) -> str:
    lines = ["# One member of the lab. Written once: a restore may edit it, comments stay.", ""]
    for name, value in settings.items():
        if name == "initial-cluster":
            lines += ["", "# These three count on the first start of an empty data directory only."]
        if name == "snapshot-count":
            lines += ["", "# Room for large tests; history is kept until somebody compacts it."]
        lines.append(f"{name}: {json.dumps(value)}")
    return "\n".join(lines) + "\n"


def _env(settings: dict[str, object]) -> str:
    lines = ["# One member of the lab. Written once: a restore may edit it, comments stay."]
    for name, value in settings.items():
        variable = f"ETCD_{name}".upper().replace("-", "_")
        lines.append(f'{variable}="{value if isinstance(value, str) else json.dumps(value)}"')
    return "\n".join(lines) + "\n"


def _serves(member: Member) -> bool:
    try:
        Client(member.client_url, timeout=2).get(b"lab/ready")
    except GatewayError:
        return False
    return True


def _status(member: Member) -> Status | None:
    try:
        return Client(member.client_url, timeout=2).status()
    except GatewayError:
        return None


def _leads(status: Status | None) -> bool:
    return status is not None and status.leader == status.member_id


def _end(members: Sequence[Member], number: signal.Signals, timeout: float) -> None:
    """Signal those that run and wait, at most `timeout` seconds, until they are gone."""
    pids = [pid for pid in (member.pid() for member in members) if pid]
    for pid in pids:
        with suppress(ProcessLookupError):  # it may go by itself in this instant
            os.kill(pid, number)
    until = time.monotonic() + timeout
    while not all(map(_gone, pids)) and time.monotonic() < until:
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    """Whether the last thread has ended: only then are the ports and the lock on the database free.

    What nobody has collected yet stays in /proc as a single task in state Z.
    """
    process = Path("/proc") / str(pid)
    try:
        state = (process / "stat").read_text().rsplit(")", 1)[1].split()[0]
        return state in "ZX" and len(list((process / "task").iterdir())) == 1
    except (FileNotFoundError, ProcessLookupError):
        return True


def _ports(base_port: int | None, count: int) -> list[int]:
    """The client port of each member; the peer port is one higher."""
    if base_port is not None:
        return [base_port + PORT_STEP * number for number in range(count)]
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.SystemRandom().randrange(FREE_PORTS.start, FREE_PORTS.stop, 2)
        if _claim(port) and _free(port) and _free(port + 1):
            chosen.append(port)
    return chosen


_CLAIMED: dict[int, socket.socket] = {}


def _claim(port: int) -> bool:
    """Whether the port is this process's: a member that is down holds none, and another process's lab must not take it.

    By a name of the kernel's own, which goes with the process and is in no folder.
    """
    name = socket.socket(socket.AF_UNIX)
    try:
        name.bind(f"\0quorum-etcd-lab-{port}")
    except OSError:
        name.close()
        return False
    _CLAIMED[port] = name
    return True


def _give_back(ports: Iterable[int]) -> None:
    for port in ports:
        if port in _CLAIMED:
            _CLAIMED.pop(port).close()


def _free(port: int) -> bool:
    with socket.socket() as probe:
        # What is left of connections that have ended takes no port from etcd, and so not from this.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["up", "down", "status", "write", "destroy", "inventory"])
    parser.add_argument("--dir", type=Path, default=DEFAULT_DIR, help="default: .cache/lab of the checkout")
    parser.add_argument("--members", type=int, default=DEFAULT_MEMBERS)
    parser.add_argument("--base-port", type=int, default=DEFAULT_BASE_PORT)
    parser.add_argument("--line", help="minor line of etcd, such as 3.7 (default: whatever is at hand)")
    parser.add_argument("--config-format", choices=sorted(CONFIG_FILES), default="yaml")
    wanted = parser.parse_args(argv)
    lab = Lab(wanted.dir, wanted.members, wanted.base_port, wanted.line, wanted.config_format)
    try:
        return _act(lab, wanted.action)
    except (LabError, Unavailable, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1


def _act(lab: Lab, action: str) -> int:
    if action == "inventory":
        print(committed_inventory_text(), end="")
        return 0
    if action == "up":
        lab.up()
        lab.keep()
    elif action != "status":
        {"down": lab.down, "write": lab.write, "destroy": lab.destroy}[action]()
        return 0
    return _print_status(lab)


def _print_status(lab: Lab) -> int:
    """0 when every member answers, 3 otherwise, as an init script would."""
    status = lab.status()
    for member in lab.members:
        own = status[member.name]
        view = f"etcd {own.version}, revision {own.revision}, leader {own.leader:x}" if own else "does not answer"
        print(f"{member.name}  {member.client_url}  pid {member.pid() or '-'}  {view}")
    print(f"inventory: {lab.inventory}")
    return 0 if all(status.values()) else 3


if __name__ == "__main__":
    sys.exit(main())
