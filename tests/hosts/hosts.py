# SPDX-License-Identifier: GPL-3.0-or-later
"""Real hosts: a cluster of etcd on systemd containers with sshd, and the inventory that reaches them as users do.

<dir>/hosts.yml        the inventory         <dir>/group_vars/    user and password, where authentication is on
<dir>/ssh/             key, known_hosts      <dir>/pki/           CA and client certificate, where TLS is on
"""

from __future__ import annotations

import argparse
import atexit
import base64
import ipaddress
import json
import secrets
import socket
import ssl
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Mapping, NamedTuple, Sequence

sys.path.append(str(Path(__file__).resolve().parents[2] / "lab"))
from client import Client, GatewayError, Status
from etcd_binaries import Unavailable
from images import CHECKOUT, SYSTEMD, ImageError, docker, image, packed
from pki import Authority

DEFAULT_DIR = CHECKOUT / ".cache" / "hosts"
LOGS = CHECKOUT / ".cache" / "logs"
CONFIGS = {"3.4": "env", "3.5": "env", "3.6": "yaml", "3.7": "flags"}
LABEL = "quorum-etcd-hosts"
FIRST_ADDRESS = 10  # of the network; the engine's own is the first
READY_SECONDS = 60
PKI = "/etc/etcd/pki"
SYSTEM_FOLDERS = ("/", "/srv", "/mnt", "/var", "/var/lib")
# What systemd needs where --privileged is not possible, and its own signal to shut down.
CONTAINER = (
    *("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"),
    *("--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined"),
    *("--cgroupns=host", "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--tmpfs", "/run", "--tmpfs", "/tmp"),
    *("--env", "container=docker", "--stop-signal", "SIGRTMIN+3"),
)

UNIT = """\
[Unit]
Description=etcd key-value store
Documentation=https://etcd.io/docs
After=network-online.target
Wants=network-online.target

[Service]
Type=notify
User=@OWNER@
@COMMAND@
Restart=on-failure
RestartSec=5s
LimitNOFILE=40000

[Install]
WantedBy=multi-user.target
"""

# What an administrator does after copying the configuration. Other members may come later: nothing waits for them.
INSTALL = """\
set -eu
until systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded'; do sleep 0.1; done
id "$OWNER" >/dev/null 2>&1 || useradd --system --user-group --no-create-home --shell /usr/sbin/nologin "$OWNER"
for folder in $FOLDERS; do install -d -o "$OWNER" -g "$OWNER" -m 700 "$folder"; done
[ ! -d /etc/etcd/pki ] || chown -R "$OWNER:" /etc/etcd/pki
systemctl daemon-reload
if [ -n "$STARTS" ]; then
  systemctl --quiet enable etcd
  systemctl --no-block start etcd
else  # Debian's package has it started by the first boot
  systemctl --quiet disable --now etcd
fi
"""


class HostsError(Exception):
    """The hosts cannot do what was asked; the text says why and where to look."""


class Member(NamedTuple):
    """One etcd, and the host that it runs on."""

    name: str
    host: str  # in the inventory
    container: str
    address: str
    peer_address: str
    data_dir: str
    wal_dir: str
    owner: str
    config_file: str  # the file in which a restore has to say `existing`
    scheme: str

    @property
    def client_url(self) -> str:
        return f"{self.scheme}://{self.address}:2379"

    @property
    def peer_url(self) -> str:
        address = f"[{self.peer_address}]" if ":" in self.peer_address else self.peer_address
        return f"{self.scheme}://{address}:2380"


class Hosts:
    """A cluster on hosts of its own. As a context manager it serves inside, and leaves no container behind.

    Hosts that live already and whose folder is given are taken as they are: their settings go before the arguments.

    line            3.4: Debian 12's package; 3.5, 3.6, 3.7: upstream binaries in /usr/local/bin, unit written by hand
    distribution    debian13 with line 3.5: Debian's own package; filtering: that, with nftables, iptables and cron
    config          env (/etc/default/etcd or /etc/etcd.env), yaml (/etc/etcd/etcd.conf.yml) or flags (in the unit);
                    None: env for 3.4 and 3.5, yaml for 3.6, flags for 3.7
    tls             mutual TLS for clients and peers         auth    root and app, with passwords and roles
    wal_dir         a WAL directory in a folder of its own   data_mount    the data dir is a mount point
    owner           the user that etcd runs as, not etcd     host_names    inventory names, not m1, m2, …
    settings        more settings of etcd, by the names of its flags
    spares          how many hosts besides have etcd installed, with a configuration of their own, and no member
    """

    def __init__(
        self,
        folder: str | Path,
        line: str = "3.6",
        distribution: str | None = None,
        members: int = 3,
        tls: bool = False,
        auth: bool = False,
        ipv6_peers: bool = False,
        wal_dir: str | None = None,
        data_mount: bool = False,
        owner: str | None = None,
        host_names: Sequence[str] | None = None,
        config: str | None = None,
        settings: Mapping[str, Any] | None = None,
        spares: int = 0,
    ) -> None:
        self.dir = Path(folder).resolve()
        if wal_dir and str(Path(wal_dir).parent) in SYSTEM_FOLDERS:
            raise HostsError(f"wal_dir {wal_dir}: etcd must own the folder above it; take {wal_dir}/wal")
        self._settings: dict[str, Any] = self._written_before() or {
            "id": f"qe-{secrets.token_hex(3)}",
            "line": line,
            "distribution": distribution,
            "tls": tls,
            "auth": auth,
            "ipv6_peers": ipv6_peers,
            "wal_dir": wal_dir or "",
            "data_mount": data_mount,
            "owner": owner or "etcd",
            "config": config or CONFIGS[line],
            "hosts": list(host_names or [f"m{number}" for number in range(1, members + spares + 1)]),
            "spares": spares,
            "addresses": {},
            "password": secrets.token_urlsafe(16) if auth else "",
            "settings": dict(settings or {}),
        }

    def _written_before(self) -> dict[str, Any] | None:
        return json.loads(self._settings_file.read_text()) if self._settings_file.exists() else None

    @property
    def _settings_file(self) -> Path:
        return self.dir / "hosts.json"

    @property
    def inventory(self) -> Path:
        return self.dir / "hosts.yml"

    @property
    def password(self) -> str:
        """root's, where authentication is on."""
        return self._settings["password"]

    @property
    def packaged(self) -> bool:
        """Whether etcd is Debian's own, with Debian's unit."""
        return self._settings["line"] == "3.4" or bool(self._settings["distribution"])

    @property
    def members(self) -> list[Member]:
        """The founders; empty while there are no hosts."""
        return self.all[: len(self._settings["hosts"]) - self._settings.get("spares", 0)]

    @property
    def all(self) -> list[Member]:
        """And those of the hosts that were spare."""
        own = self._settings
        return [
            Member(
                name=self._member_name(number, host),
                host=host,
                container=f"{own['id']}-{host}",
                address=own["addresses"][host][0],
                peer_address=own["addresses"][host][-1],
                data_dir="/var/lib/etcd/default" if self.packaged else "/var/lib/etcd",
                wal_dir=own["wal_dir"],
                owner=own["owner"],
                config_file=self._config_file(),
                scheme="https" if own["tls"] else "http",
            )
            for number, host in enumerate(own["hosts"], start=1)
            if host in own["addresses"]
        ]

    def _member_name(self, number: int, _host: str) -> str:
        return f"m{number}"

    def _config_file(self) -> str:
        if self._settings["config"] == "yaml":
            return "/etc/etcd/etcd.conf.yml"
        if self.packaged:
            return "/etc/default/etcd"
        return "/etc/etcd.env" if self._settings["config"] == "env" else "/etc/systemd/system/etcd.service"

    def member(self, name: str) -> Member:
        """By its name in etcd or its host's in the inventory."""
        return next(member for member in self.all if name in (member.name, member.host))

    # ---- come and go -------------------------------------------------------------------------------------------------

    def __enter__(self) -> Hosts:
        try:
            return self.up()
        except BaseException:
            self.leave_logs()
            self.down()
            raise

    def __exit__(self, kind: object, *_exc: object) -> None:
        if kind:
            self.leave_logs()
        self.down()

    def leave_logs(self) -> None:
        with suppress(HostsError, ImageError, OSError):
            self.logs(LOGS / f"hosts-{self.dir.name}")

    def up(self) -> Hosts:
        """Start the hosts and wait until every member serves."""
        if not self._settings["addresses"]:
            atexit.register(self.down)
            self._make()
        return self.wait_ready()

    def _make(self) -> None:
        own = self._settings
        self._remove()  # what an earlier run in this folder left
        chosen = self._image()
        networks = _make_network(own["id"], self._label, own["ipv6_peers"])
        for number, host in enumerate(own["hosts"], start=FIRST_ADDRESS):
            own["addresses"][host] = [str(network[number]) for network in networks]
        self._write()
        self._make_hosts(chosen)
        if own["auth"]:
            self._enable_auth([self.members[0]])

    def _image(self) -> str:
        return image(self._settings["line"], self._settings["distribution"])

    def _make_hosts(self, chosen: str) -> None:
        authority = Authority(self.dir / "pki") if self._settings["tls"] else None
        self.on_each(lambda member: self._make_host(member, chosen, self._files(member, authority)), self.all)

    def _write(self) -> None:
        keep_secret(self._settings_file, json.dumps(self._settings, indent=1))
        _ssh_key(self.dir / "ssh" / "key")
        self.inventory.write_text(self._inventory_text())
        for member in self.all:
            _ssh_key(self.dir / "ssh" / f"{member.host}-key")
        known = [f"{member.address} {(self.dir / 'ssh' / f'{member.host}-key.pub').read_text()}" for member in self.all]
        (self.dir / "ssh" / "known_hosts").write_text("".join(known))
        if self.password:
            variables = f"---\netcd_auth_user: root\netcd_auth_password: {self.password}\n"
            for cluster in self._clusters():
                keep_secret(self.dir / "group_vars" / f"{cluster}.yml", variables)

    def _inventory_text(self) -> str:
        """How to reach the hosts, and nothing of what they run: that has to be found out."""
        known_hosts = "-o UserKnownHostsFile='{{ inventory_dir }}/ssh/known_hosts' -o StrictHostKeyChecking=yes"
        how = (
            "  vars:\n"
            "    ansible_user: admin\n"
            '    ansible_ssh_private_key_file: "{{ inventory_dir }}/ssh/key"\n'
            f'    ansible_ssh_common_args: "{known_hosts} -o IdentitiesOnly=yes"\n'
            "    # Later hosts may have these addresses: their connections are not these.\n"
            f'    ansible_control_path: "%(directory)s/{self._settings["id"]}-%%h"\n'
        )
        text = "---\n# Written by tests/hosts/hosts.py.\n"
        for cluster, members in self._clusters().items():
            entries = "".join(f"    {member.host}: {{ansible_host: {member.address}}}\n" for member in members)
            text += f"{cluster}:\n  hosts:\n{entries}{how}"
        return text

    def _clusters(self) -> dict[str, list[Member]]:
        """The groups of the inventory, with those that belong to each."""
        return {"etcd": self.all}

    def _make_host(self, member: Member, chosen: str, files: list[tuple[str, Any, int]]) -> None:
        addresses = ["--ip", member.address]
        addresses += ["--ip6", member.peer_address] if self._settings["ipv6_peers"] else []
        place = ["--name", member.container, "--hostname", member.host, "--network", self._settings["id"], *addresses]
        docker("create", "--label", self._label, *place, *self._options(member), *CONTAINER, chosen, *SYSTEMD)
        docker("cp", "-", f"{member.container}:/", data=packed(files))
        docker("start", member.container)
        self._install(member)

    def _options(self, member: Member) -> list[str]:
        """Of `docker create`, for this host."""
        return ["--volume", member.data_dir] if self._settings["data_mount"] else []

    def _install(self, member: Member) -> None:
        environment = ["--env", f"OWNER={member.owner}", "--env", f"FOLDERS={' '.join(self._own_folders(member))}"]
        environment += ["--env", f"STARTS={'yes' if self._starts(member) else ''}"]
        docker("exec", *environment, member.container, "sh", "-c", INSTALL)

    def _starts(self, member: Member) -> bool:
        """Whether its etcd is started with the host."""
        return member in self.members

    def _own_folders(self, member: Member) -> list[str]:
        """The folders that etcd's user must own."""
        folders = [str(Path(member.data_dir).parent)] if self.packaged else []
        # etcd makes its WAL directory beside the final place and renames it.
        return [*folders, member.data_dir, *([str(Path(member.wal_dir).parent)] if member.wal_dir else [])]

    def _files(self, member: Member, authority: Authority | None) -> list[tuple[str, Any, int]]:
        """What a host gets before its first boot: (path, content, mode)."""
        files = self._ssh_files(member)
        files += [(path.lstrip("/"), text, 0o644) for path, text in self._configuration(member).items()]
        if authority:
            certificate, key = authority.member(member.host, [member.address, member.peer_address])
            files += [(f"{PKI[1:]}/ca.crt", authority.ca, 0o644)]
            files += [(f"{PKI[1:]}/member.crt", certificate, 0o644), (f"{PKI[1:]}/member.key", key, 0o600)]
        return files

    def _ssh_files(self, member: Member) -> list[tuple[str, Any, int]]:
        ssh = self.dir / "ssh"
        return [
            ("home/admin/.ssh/authorized_keys", ssh / "key.pub", 0o644),
            ("etc/ssh/ssh_host_ed25519_key", ssh / f"{member.host}-key", 0o600),
            ("etc/ssh/ssh_host_ed25519_key.pub", ssh / f"{member.host}-key.pub", 0o644),
        ]

    def _configuration(self, member: Member) -> dict[str, str]:
        """The files that tell systemd and etcd what to run, by path."""
        kind, given = self._settings["config"], self._given(member)
        if kind == "yaml" and self._settings["line"] == "3.4":
            given["enable-grpc-gateway"] = True  # the default, but 3.4 forgets it when it reads a configuration file
        files = {"/etc/etcd/etcd.conf.yml": _yaml(given)} if kind == "yaml" else {}
        # Debian's unit sets two variables, and etcd refuses a flag beside a variable.
        variables = {name: given[name] for name in ("name", "data-dir")} if self.packaged else {}
        flags = [f"--{name}={_plain(value)}" for name, value in given.items() if name not in variables]
        arguments = {"env": [], "yaml": ["--config-file=/etc/etcd/etcd.conf.yml"], "flags": flags}[kind]
        if self.packaged:
            options = f'DAEMON_ARGS="{" ".join(arguments)}"\n'
            files["/etc/default/etcd"] = _env(given if kind == "env" else variables) + (options if arguments else "")
            if member.owner != "etcd":
                files["/etc/systemd/system/etcd.service.d/owner.conf"] = f"[Service]\nUser={member.owner}\n"
            return files
        command = "ExecStart=" + " \\\n  ".join(["/usr/local/bin/etcd", *arguments])
        if kind == "env":
            files["/etc/etcd.env"] = _env(given)
            command = f"EnvironmentFile=/etc/etcd.env\n{command}"
        files["/etc/systemd/system/etcd.service"] = UNIT.replace("@OWNER@", member.owner).replace("@COMMAND@", command)
        return files

    def _given(self, member: Member) -> dict[str, Any]:
        """etcd's settings by the names of its flags."""
        own = self._settings
        given: dict[str, Any] = {
            "name": member.name,
            "data-dir": member.data_dir,
            "listen-peer-urls": member.peer_url,
            "listen-client-urls": f"{member.client_url},{member.scheme}://127.0.0.1:2379",
            "initial-advertise-peer-urls": member.peer_url,
            "advertise-client-urls": member.client_url,
            "initial-cluster": ",".join(f"{one.name}={one.peer_url}" for one in self._initially(member)),
            "initial-cluster-token": own["id"],
            "initial-cluster-state": "new",
        }
        if member.wal_dir:
            given["wal-dir"] = member.wal_dir
        for prefix in ("", "peer-") if own["tls"] else ():
            given[f"{prefix}trusted-ca-file"] = f"{PKI}/ca.crt"
            given[f"{prefix}cert-file"] = f"{PKI}/member.crt"
            given[f"{prefix}key-file"] = f"{PKI}/member.key"
            given[f"{prefix}client-cert-auth"] = True
        return {**given, **own.get("settings", {})}

    def _initially(self, member: Member) -> list[Member]:
        """A spare one would found a cluster of its own, as its configuration says, until it is told otherwise."""
        return self.members if member in self.members else [member]

    def _enable_auth(self, founders: Sequence[Member]) -> None:
        """In the clusters of these: root with the role root, and a user whose role allows the keys below app/."""
        self._settings["auth"] = False  # until it is on, nobody has a password
        self.wait_ready()
        for founder in founders:
            self._add_users(self.client(founder).call)
        self._settings["auth"] = True

    def _add_users(self, call: Callable[[str, dict], Any]) -> None:
        span = {"key": _base64(b"app/"), "range_end": _base64(b"app0")}
        for path, body in (
            ("user/add", {"name": "root", "password": self.password}),
            ("user/grant", {"user": "root", "role": "root"}),
            ("user/add", {"name": "app", "password": self.password}),
            ("role/add", {"name": "app"}),
            ("role/grant", {"name": "app", "perm": {"permType": "READWRITE", **span}}),
            ("user/grant", {"user": "app", "role": "app"}),
            ("enable", {}),
        ):
            call(f"auth/{path}", body)

    def wait_ready(self, timeout: float = READY_SECONDS, members: Sequence[Member] = ()) -> Hosts:
        """Wait until every host has its sshd and every member answers a linearizable read; these, or the founders."""
        until = time.monotonic() + timeout
        for member in members or self.members:
            while not (self._serves(member) and _has_sshd(member)):
                if time.monotonic() > until:
                    raise HostsError(f"{member.host} does not serve after {timeout:g} s:\n{self._journal(member, 20)}")
                time.sleep(0.1)
        return self

    def _serves(self, member: Member) -> bool:
        try:
            self.client(member, timeout=2).get(b"ready")
        except GatewayError:
            return False
        return True

    def wait_reachable(self, member: Member, timeout: float = READY_SECONDS) -> None:
        """Wait until the host has its sshd, whatever its etcd does."""
        until = time.monotonic() + timeout
        while not _has_sshd(member):
            if time.monotonic() > until:
                raise HostsError(f"{member.host} has no sshd after {timeout:g} s")
            time.sleep(0.1)

    def down(self) -> None:
        """Remove the containers and their network. The folder stays, but for the settings: the next run is a new one."""
        atexit.unregister(self.down)
        self._remove()
        self._settings["addresses"] = {}
        self._settings_file.unlink(missing_ok=True)

    def keep(self) -> Hosts:
        """Let the hosts outlive this process."""
        atexit.unregister(self.down)
        return self

    @property
    def _label(self) -> str:
        return f"{LABEL}={self.dir}"

    def _remove(self) -> None:
        for kind, options in (("container", ("--force", "--volumes")), ("network", ())):
            every = ("--all",) if kind == "container" else ()
            found = docker(kind, "ls", "--quiet", *every, "--filter", f"label={self._label}").split()
            if found:
                docker(kind, "rm", *options, *found)

    # ---- use ---------------------------------------------------------------------------------------------------------

    def client(self, member: Member, user: str = "root", timeout: float = 10.0) -> Client:
        """To talk to this one member; user root or app, where authentication is on."""
        tls = None
        if self._settings["tls"]:
            tls = ssl.create_default_context(cafile=str(self.dir / "pki" / "ca.crt"))
            tls.load_cert_chain(self.dir / "pki" / "client.crt", self.dir / "pki" / "client.key")
        credentials = {"user": user, "password": self.password} if self._settings["auth"] else {}
        return Client(member.client_url, timeout, tls, **credentials)

    def status(self) -> dict[str, Status | None]:
        """Each member's own view, None where it does not answer."""
        return {member.name: self._status(member) for member in self.members}

    def _status(self, member: Member) -> Status | None:
        try:
            return self.client(member, timeout=2).status()
        except GatewayError:
            return None

    def run(self, member: Member, argv: Sequence[str]) -> str:
        """Run a command on the host, as root; returns what it printed. Raises HostsError where it fails."""
        try:
            return docker("exec", member.container, *argv)
        except ImageError as error:
            raise HostsError(f"{member.host}: {error}") from error

    def on_each(self, action: Callable[[Member], Any], members: Sequence[Member] = ()) -> list[Any]:
        """The same for every member, or for these, at once."""
        members = members or self.members
        with ThreadPoolExecutor(len(members)) as pool:
            return list(pool.map(action, members))

    def start(self, member: Member) -> None:
        """Start etcd; does not wait for a quorum."""
        self.run(member, ["systemctl", "--no-block", "start", "etcd"])

    def stop(self, member: Member) -> None:
        self.run(member, ["systemctl", "stop", "etcd"])

    def kill(self, member: Member) -> None:
        """SIGKILL for etcd; it stays down, whatever the unit says about restarts."""
        self.run(member, ["systemctl", "kill", "--signal=KILL", "etcd"])
        self.stop(member)

    def lose_data(self, member: Member) -> None:
        """A dead disk: etcd is killed, and its data and its WAL are gone. The directories stay, as mount points do."""
        self.kill(member)
        for folder in filter(None, (member.data_dir, member.wal_dir)):
            self.run(member, ["find", folder, "-mindepth", "1", "-delete"])

    def reboot(self, member: Member) -> None:
        """An orderly reboot; returns when the host has begun to boot."""
        docker("restart", "--time", "30", member.container)

    def power_off(self, member: Member) -> None:
        """The host is gone at once: nobody answers at its address."""
        docker("kill", member.container)

    def power_on(self, member: Member) -> None:
        docker("start", member.container)

    def logs(self, folder: str | Path) -> Path:
        """Save of each host: its journal, etcd's log and configuration, and the journals of its restores."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for member in self.all:
            (folder / f"{member.host}.journal.log").write_text(self._journal(member))
            (folder / f"{member.host}.etcd.log").write_text(self._journal(member, unit="etcd"))
            (folder / f"{member.host}.config").write_text(self._try(member, ["cat", member.config_file]))
            restores = ["sh", "-c", "tail -n +1 /var/lib/quorum-etcd/restores/*/*.json*"]
            (folder / f"{member.host}.restores").write_text(self._try(member, restores))
        return folder

    def _journal(self, member: Member, lines: int = 0, unit: str = "") -> str:
        options = [*(["--lines", str(lines)] if lines else []), *(["--unit", unit] if unit else [])]
        return self._try(member, ["journalctl", "--no-pager", "--output=short-precise", *options])

    def _try(self, member: Member, argv: Sequence[str]) -> str:
        try:
            return self.run(member, argv) + "\n"
        except HostsError as error:
            return f"{error}\n"


def _make_network(name: str, label: str, ipv6: bool) -> list[Any]:
    """A network of our own, and its address ranges: IPv4's first, IPv6's where it is wanted.

    Containers keep their addresses over a reboot only in a range that was asked for, so the engine is asked twice:
    which one is free, and for this one. Between the two somebody else may take it.
    """
    for _attempt in range(5):
        docker("network", "create", "--label", label, name)
        subnet = docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Subnet}}", name)
        docker("network", "rm", name)
        subnets = [subnet, *([f"fd{secrets.token_hex(1)}:{secrets.token_hex(2)}::/64"] if ipv6 else [])]
        options = [word for one in subnets for word in ("--subnet", one)] + (["--ipv6"] if ipv6 else [])
        with suppress(ImageError):
            docker("network", "create", "--label", label, *options, name)
            return [ipaddress.ip_network(one) for one in subnets]
    raise HostsError("the engine has no free network; see 'docker network ls'")


def _has_sshd(member: Member) -> bool:
    try:
        with socket.create_connection((member.address, 22), timeout=2) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _ssh_key(path: Path) -> None:
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", str(path)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    subprocess.run(argv, check=True, timeout=30)


def keep_secret(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(text)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _env(given: dict[str, Any]) -> str:
    lines = [f'ETCD_{name.upper().replace("-", "_")}="{_plain(value)}"' for name, value in given.items()]
    return "# The settings of etcd on this host.\n" + "\n".join(lines) + "\n"


def _yaml(given: dict[str, Any]) -> str:
    """The TLS files stand in sections of their own, by the names of their flags without peer-."""
    lines = ["# The settings of etcd on this host."]
    tls = {name: given[name] for name in given if name.endswith(("-file", "client-cert-auth"))}
    lines += [f"{name}: {json.dumps(value)}" for name, value in given.items() if name not in tls]
    for section, prefix in (("client-transport-security", ""), ("peer-transport-security", "peer-")):
        own = {name[len(prefix) :]: tls[name] for name in tls if name.startswith("peer-") == bool(prefix)}
        lines += [f"{section}:"] if own else []
        lines += [f"  {name}: {json.dumps(value)}" for name, value in own.items()]
    return "\n".join(lines) + "\n"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["up", "down", "logs"])
    parser.add_argument("--dir", type=Path, default=DEFAULT_DIR, help="default: .cache/hosts of the checkout")
    parser.add_argument("--line", choices=sorted(CONFIGS), default="3.6")
    parser.add_argument("--distribution", choices=["debian12", "debian13"], help="its own package of etcd")
    parser.add_argument("--members", type=int, default=3)
    parser.add_argument("--spares", type=int, default=0, help="hosts besides, that are prepared and have no member")
    parser.add_argument("--config", choices=["env", "yaml", "flags"])
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--auth", action="store_true")
    wanted = vars(parser.parse_args(argv))
    action = wanted.pop("action")
    hosts = Hosts(wanted.pop("dir"), **wanted)
    try:
        if action == "up":
            print(hosts.up().keep().inventory)
        elif action == "logs":
            print(hosts.logs(LOGS / hosts.dir.name))
        else:
            hosts.down()
    except (HostsError, ImageError, GatewayError, Unavailable, OSError, subprocess.SubprocessError) as error:
        print(f"hosts: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
