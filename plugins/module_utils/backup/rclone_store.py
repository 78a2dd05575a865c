# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A store that rclone reaches: S3, SFTP, WebDAV, Google, Azure, and what else it knows.

rclone goes by its configuration file alone, which is root's: nothing of the environment counts, and no secret is in argv. With a
password the contents are encrypted by rclone's own ``crypt``. The names are not: they tell the cluster, the time and the
revision, which the store's own rules can go by, and a wrong password is told from an empty store.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import weakref
from typing import Any, Container, Dict, List, Optional, Sequence, Tuple

from ..core import strict_json
from ..core.errors import EtcdError
from ..etcd.commands import Result, Run
from ..snapshot.offsite import is_object_name
from ..snapshot.pages import digest_by
from ..snapshot.scratch import forget_all
from .stores import check_changeable, check_object, differs, not_there

OLDEST = (1, 53)  # the version of Debian 11 and Ubuntu 22.04
_CRYPT = "quorumcrypt"  # the remote that rclone is given in the environment
_HASHES = ("sha256", "sha1", "md5")  # those that Python has too, the best first
_ENCRYPTED = ".bin"  # what crypt puts behind a name that it does not encrypt
# What cryptcheck ends with where it could compare, and nothing else is a difference.
_DIFFERS = re.compile(r"\b[1-9]\d* differences found")
_MISSING = (3, 4)  # exit codes of rclone: no such folder, no such object
_LISTED = [{"Name": str, "Size": int, "Hashes": ({str: str}, None)}]
_LIMITS = (
    *(
        "--contimeout",
        "15s",
        "--timeout",
        "120s",
        "--low-level-retries",
        "3",
        "--retries",
        "2",
        "--retries-sleep",
        "3s",
    ),
    *("--stats", "0", "--log-level", "ERROR", "--transfers", "1", "--checkers", "2", "--buffer-size", "4M"),
)
# Of what is sent in parts S3 knows no hash of the whole.
_SEND = ("--s3-upload-cutoff", "4G")
# The words of a log's line that say nothing to a person.
_NOISE = re.compile(r"\A[\d/]+ [\d:]+ +(?:\w+ +: +)?(?:Failed to \w+(?: with \d+ errors)?: )?(?:last error was: )?")


class Rclone:
    """The folder ``cluster`` in ``remote``, such as ``offsite:bucket/etcd``.

    ``config`` and ``password_file`` are paths on this host; an empty ``password_file`` is for no encryption of ours. ``proxy`` is
    the only one that is used, whatever the environment says.
    """

    def __init__(
        self,
        run: Run,
        name: str,
        remote: str,
        cluster: str,
        config: str,
        password_file: str = "",
        append_only: bool = False,
        proxy: str = "",
    ) -> None:
        self.name = name
        self.append_only = append_only
        self._run, self._config, self._password_file = run, config, password_file
        self._proxy = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy} if proxy else {}
        self._remote = remote
        self._below = remote.rstrip("/") + ("" if remote.endswith(":") else "/") + cluster
        self._at = f"{_CRYPT}:{cluster}" if password_file else self._below
        self._env: Optional[Dict[str, str]] = None
        self._copy = ""

    def names(self) -> Dict[str, int]:
        return {name: size for name, (size, _hashes) in self._list("").items()}

    def put(self, path: str, name: str) -> None:
        check_object(self.name, name)
        try:
            size = os.stat(path).st_size
        except OSError as error:
            raise EtcdError(f"{path} cannot be read: {error.strerror}.", "check this host's disk.") from error
        if self.append_only and self._has(path, name, size):
            return
        immutable = ["--immutable"] if self.append_only else []
        result = self._rclone("copyto", "--ignore-times", *_SEND, *immutable, path, self._object(name))
        if result.rc:
            raise self._error(f"{name} could not be put there", result)
        if not self._is(path, name, size):
            raise differs(self.name, name)

    def _has(self, path: str, name: str, size: int) -> bool:
        """Whether it is there already. EtcdError where it is, and is another: rclone itself would replace it."""
        if name not in self._list(name):
            return False
        if not self._is(path, name, size):
            check_changeable(self.name, True, name)
        return True

    def _is(self, path: str, name: str, size: int) -> bool:
        """Whether the object has the file's size, and its hash where that can be told."""
        there = self._list(name, hashes=True).get(name)
        if there is None or there[0] != size:
            return False
        if self._password_file:
            return self._is_encrypted(path, name)
        kind, _colon, told = _best(there[1]).partition(":")
        try:
            return not told or told == digest_by(kind, path)
        except ValueError:
            return True

    def _is_encrypted(self, path: str, name: str) -> bool:
        """Whether the object is what the file gives when it is encrypted with the same nonce, by the hash of the store."""
        with tempfile.TemporaryDirectory(prefix="quorum-etcd-") as folder:
            link = os.path.join(folder, name)
            os.symlink(os.path.abspath(path), link)
            result = self._rclone("cryptcheck", "--one-way", "--copy-links", link, self._at)
        if _DIFFERS.search(result.err):
            return False
        if result.rc and self._tells_hashes(name):
            raise self._error(f"{name} could not be compared with what was given", result)
        return True

    def _tells_hashes(self, name: str) -> bool:
        """Whether the store tells any of the encrypted object: with none, as of WebDAV, there is nothing to be compared by."""
        name += _ENCRYPTED
        there = self._listed(f"{self._below}/{name}", "--hash").get(name)
        return there is None or bool(there[1])

    def get(self, name: str, path: str) -> None:
        check_object(self.name, name)
        result = self._rclone("copyto", "--ignore-times", self._object(name), path)
        # Of what is not there, S3 says that it is a folder with nothing in it.
        if result.rc or not os.path.isfile(path):
            forget_all(path)
            self._check_there(name, self._list(name))
            raise self._error(f"{name} could not be fetched", result)
        os.chmod(path, 0o600)

    def get_many(self, names: Sequence[str], folder: str) -> None:
        """All by one rclone: to reach a store takes longer than to fetch what is small."""
        for name in names:
            check_object(self.name, name)
        with tempfile.NamedTemporaryFile("w", prefix="quorum-etcd-", encoding="ascii") as wanted:
            wanted.write("".join(f"/{name}\n" for name in names))
            wanted.flush()
            many = ("--files-from-raw", wanted.name, "--no-traverse", "--transfers", "16", "--checkers", "16")
            result = self._rclone("copy", *many, self._at, folder)
        missing = [name for name in names if not os.path.isfile(os.path.join(folder, name))]
        if result.rc or missing:
            raise (
                not_there(self.name, missing[0]) if not result.rc else self._error("they could not be fetched", result)
            )

    def delete(self, name: str) -> None:
        check_object(self.name, name)
        check_changeable(self.name, self.append_only, name)
        result = self._rclone("deletefile", self._object(name))
        if result.rc and name in self._list(name):
            raise self._error(f"{name} could not be deleted", result)

    def digest(self, name: str) -> str:
        check_object(self.name, name)
        there = self._list(name, hashes=True)
        self._check_there(name, there)
        return _best(there[name][1])

    def _check_there(self, name: str, listed: Container[str]) -> None:
        if name not in listed:
            raise not_there(self.name, name)

    def _object(self, name: str) -> str:
        return f"{self._at}/{name}"

    def _list(self, name: str, hashes: bool = False) -> Dict[str, Tuple[int, Dict[str, str]]]:
        """Sizes and hashes of the object, or of all where ``name`` is empty."""
        asked = (
            [word for kind in _HASHES for word in ("--hash-type", kind)] if hashes and not self._password_file else []
        )
        return self._listed(self._object(name) if name else self._at, *(["--hash", *asked] if asked else []))

    def _listed(self, place: str, *more: str) -> Dict[str, Tuple[int, Dict[str, str]]]:
        result = self._rclone("lsjson", "--files-only", "--no-modtime", "--no-mimetype", *more, place)
        if result.rc in _MISSING:
            return {}
        if result.rc:
            raise self._error("its objects could not be listed", result)
        try:
            listed: Any = strict_json.parse(result.out)
            wrong = strict_json.misfit(listed, _LISTED)
        except ValueError as error:
            listed, wrong = [], str(error)
        if wrong:
            raise EtcdError(f"the store {self.name}: rclone's list cannot be understood: {wrong}.", "update rclone.")
        return {one["Name"]: (one["Size"], one.get("Hashes") or {}) for one in listed if is_object_name(one["Name"])}

    def _error(self, what: str, result: Result) -> EtcdError:
        said = [_NOISE.sub("", line) for line in result.err.splitlines() if line.strip()]
        why = said[-1].strip().rstrip(".") if said else f"rclone ended with {result.rc}"
        if "bad password" in why:
            next_step = "set the password of this store that it was written with."
        else:
            next_step = (
                f"check that {self._remote} is reached from this host, and what may be done there by its credentials."
            )
        return EtcdError(f"the store {self.name}: {what}: {why}.", next_step)

    def _rclone(self, *words: str) -> Result:
        argv = ["rclone", words[0], "--config", self._config_copy(), *_LIMITS, *words[1:]]
        return self._command(argv, self._environment())

    def _config_copy(self) -> str:
        """A private copy that lives as long as this: rclone writes into its configuration what it finds out, as with SFTP."""
        if not self._copy:
            private = tempfile.mkdtemp(prefix="quorum-etcd-")
            weakref.finalize(self, shutil.rmtree, private, ignore_errors=True)
            path = os.path.join(private, "rclone.conf")
            try:
                shutil.copyfile(self._config, path)
            except OSError as error:
                raise EtcdError(
                    f"the store {self.name}: its rclone_config {self._config} cannot be read: {error.strerror}.",
                    "let it be there, or run backup.yml again.",
                ) from error
            self._copy = path
        return self._copy

    def _environment(self) -> Dict[str, str]:
        """What makes the remote that encrypts. The password goes to rclone by its standard input, and comes back obscured."""
        if self._env is None:
            self._env = dict(self._proxy)
            if self._password_file:
                script = 'exec rclone obscure - --config "" <"$1"'
                result = self._command(["sh", "-c", script, "sh", self._password_file], {})
                if result.rc or not result.out.strip():
                    raise self._error("its password could not be read", result)
                given = {"type": "crypt", "remote": self._remote, "password": result.out.strip()}
                given.update(filename_encryption="off", directory_name_encryption="false")
                self._env.update({f"RCLONE_CONFIG_{_CRYPT}_{key}".upper(): value for key, value in given.items()})
        return self._env

    def _command(self, argv: List[str], env: Dict[str, str]) -> Result:
        try:
            return self._run(argv, env)
        except FileNotFoundError as error:
            raise missing(self.name) from error


def check_rclone(run: Run, store: str) -> None:
    """EtcdError where this host's rclone cannot do it. What is made for no release, and says no number, is believed."""
    try:
        result = run(["rclone", "version"], {})
    except FileNotFoundError as error:
        raise missing(store) from error
    found = re.search(r"rclone v(\d+)\.(\d+)", result.out)
    if found and (int(found.group(1)), int(found.group(2))) < OLDEST:
        raise EtcdError(
            f"the store {store} needs rclone {'.'.join(map(str, OLDEST))} or later, and this host has {found.group(0)}.",
            "update rclone on this host.",
        )


def missing(store: str) -> EtcdError:
    return EtcdError(
        f"the store {store} needs rclone, and this host has none.",
        f"install rclone {'.'.join(map(str, OLDEST))} or later there, as by apt-get install rclone.",
    )


def _best(hashes: Dict[str, str]) -> str:
    return next((f"{kind}:{hashes[kind].lower()}" for kind in _HASHES if hashes.get(kind)), "")
