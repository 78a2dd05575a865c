# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback that stores are tested with: OpenSSH's sshd for SFTP, versitygw for S3, and rclone's for WebDAV."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import time
from pathlib import Path

from s3_server import s3_server
from sshd import sshd

_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile {folder}/sshd.pid
StrictModes no
UsePAM no
PasswordAuthentication no
Subsystem sftp internal-sftp
"""
# sshd as root wants a user of that name, whom only the installed package makes: it gets one in a name space of its own.
_WITH_ITS_USER = 'mkdir -p /run/sshd && mount --bind "$1" /etc/passwd && shift && exec "$@"'
WAIT_SECONDS = 30


class Server:
    """A program that listens on ``port`` of loopback, and can be down for a while. ``files`` is where it keeps what it has."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder, self.files = folder, folder / "files"
        self.files.mkdir()
        self.port = _free_port()
        self._process: subprocess.Popen | None = None
        self.argv, self.env = self._prepare()

    def _prepare(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            env = {**os.environ, **self.env}
            self._process = subprocess.Popen(self.argv, env=env, stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert self._process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
                time.sleep(0.05)

    def stop(self) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()


class Sftp(Server):
    """sshd, for this very user, who has a shell there."""

    MORE = ""  # settings

    def _prepare(self) -> tuple[list[str], dict[str, str]]:
        for name in ("host_key", "user_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / name], check=True)
        root, config = sshd(), self.folder / "sshd_config"
        text = _SSHD.format(port=self.port, folder=self.folder) + self.MORE
        helpers = {
            "SshdSessionPath": "sshd-session",
            "SshdAuthPath": "sshd-auth",
        }  # programs of their own since 9.8 and 10
        for option, name in helpers.items():
            path = root / "usr/lib/openssh" / name
            text += f"{option} {path}\n" if path.exists() else ""
        config.write_text(text)
        libraries = ":".join(map(str, (root / "usr/lib").glob("*-linux-gnu"))) if root != Path("/") else ""
        argv = [str(root / "usr/sbin/sshd"), "-D", "-e", "-f", str(config)]
        if os.geteuid() == 0:
            passwd = self.folder / "passwd"
            passwd.write_text(Path("/etc/passwd").read_text() + "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin\n")
            argv = ["unshare", "-m", "sh", "-c", _WITH_ITS_USER, "sh", str(passwd), *argv]
        known = (self.folder / "host_key.pub").read_text()
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {known}")
        return argv, {"LD_LIBRARY_PATH": libraries} if libraries else {}

    @property
    def config(self) -> str:
        user = pwd.getpwuid(os.geteuid()).pw_name
        files = {"key_file": self.folder / "user_key", "known_hosts_file": self.folder / "known_hosts"}
        told = "".join(f"{key} = {path}\n" for key, path in files.items())
        return f"[box]\ntype = sftp\nhost = 127.0.0.1\nport = {self.port}\nuser = {user}\n{told}"

    @property
    def remote(self) -> str:
        return f"box:{self.files}"


class BareSftp(Sftp):
    """sshd that lets nobody run a command, so that rclone has none to tell a hash with."""

    MORE = "ForceCommand internal-sftp\n"


class WebDav(Server):
    """A generic one, which tells no hashes."""

    def _prepare(self) -> tuple[list[str], dict[str, str]]:
        argv = ["rclone", "serve", "webdav", "--config", "", "--addr", f"127.0.0.1:{self.port}", str(self.files)]
        # What a test does to the files is seen at once.
        return [*argv, "--dir-cache-time", "0s"], {}

    @property
    def config(self) -> str:
        return f"[dav]\ntype = webdav\nvendor = other\nurl = http://127.0.0.1:{self.port}\n"

    @property
    def remote(self) -> str:
        return "dav:"


class S3(Server):
    """versitygw over a folder, with one account."""

    KEY, SECRET, BUCKET = "tester", "only-for-tests", "etcd-offsite"

    def _prepare(self) -> tuple[list[str], dict[str, str]]:
        own = self.folder / "attributes"  # not every file system has room for them beside a file
        own.mkdir()
        argv = [str(s3_server()), "--port", f"127.0.0.1:{self.port}", "posix", "--sidecar", str(own), str(self.files)]
        return argv, {"ROOT_ACCESS_KEY_ID": self.KEY, "ROOT_SECRET_ACCESS_KEY": self.SECRET}

    @property
    def config(self) -> str:
        return (
            "[cloud]\ntype = s3\nprovider = Other\nregion = us-east-1\nforce_path_style = true\n"
            f"endpoint = http://127.0.0.1:{self.port}\naccess_key_id = {self.KEY}\nsecret_access_key = {self.SECRET}\n"
        )

    @property
    def remote(self) -> str:
        return f"cloud:{self.BUCKET}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
