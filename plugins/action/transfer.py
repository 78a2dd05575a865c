# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A snapshot between the controller and a host, as quickly as the network allows and with its progress shown.

A snapshot holds every secret of the cluster: wherever it rests, nobody else can read it. What arrives gets its name only
when it is complete; that it is the right one is verified by its SHA-256 when it is staged.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from shlex import quote
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.snapshot.packed import unpack
from ansible_collections.quorum.etcd.plugins.plugin_utils.local import run
from ansible_collections.quorum.etcd.plugins.plugin_utils.ticker import Moved, Ticker
from ansible_collections.quorum.etcd.plugins.plugin_utils.wire import MARK, Wire, WireError

# No file is opened that is there already, nor through a link: the folder may be one in which somebody else may write.
# The host says whether it wants the bytes; a password that sudo did not ask for comes before the mark and is passed over.
RECEIVE = """\
umask 077
if [ -f {dest} ] && [ "$(wc -c <{dest})" -eq {size} ]; then echo "{mark}has"; exit 0; fi
mkdir -p {folder} || exit 1
echo "{mark}wants"
while read -r line && [ "$line" != "{mark}bytes" ]; do :; done
rm -f {part} && set -C && cat >{part} && [ "$(wc -c <{part})" -eq {size} ] && mv -f {part} {dest}
"""
SEND = 'echo "{mark}bytes"; exec {command} {src}'
# For what the controller cannot unpack itself.
READERS = {"": "cat", "zstd": "zstd -dcq --", "gzip": "gzip -dc --", "xz": "xz -dc --"}


WORDS = {
    "to_host": "snapshot to the host",
    "from_host": "snapshot to the controller",
    "unpack": "unpacking the snapshot on the controller",
}


class ActionModule(ActionBase):
    """See the module of the same name for the documentation."""

    _supports_check_mode = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        super().run(tmp, task_vars)
        _validated, given = self.validate_argument_spec(
            {
                "direction": {"type": "str", "choices": ["to_host", "from_host", "unpack", "forget"], "required": True},
                "src": {"type": "path"},
                "dest": {"type": "path", "required": True},
                "size": {"type": "int"},
                "unpack": {"type": "str", "choices": list(READERS), "default": ""},
            },
            required_if=[("direction", way, ("src", "size")) for way in ("to_host", "from_host", "unpack")],
        )
        if self._task.check_mode:
            return {"changed": True}
        if given["direction"] == "forget":
            shutil.rmtree(os.path.dirname(given["dest"]), ignore_errors=True)
            return {"changed": True}
        what = WORDS[given["direction"]]
        moved = Moved(what, given["size"])
        with Ticker(task_vars or {}, f"{what}, {given['size'] / 1e6:,.0f} MB", moved.tell):
            if given["direction"] == "unpack":
                return self._unpack(given["src"], given["dest"], given["size"])
            return self._move(given, task_vars, moved)

    def _move(self, given: dict[str, Any], task_vars: dict[str, Any] | None, moved: Moved) -> dict[str, Any]:
        move = self._to_host if given["direction"] == "to_host" else self._from_host
        wire = Wire.of(self._connection)
        try:
            if wire is None:
                return self._by_ansible(given, task_vars)
            return {"changed": move(wire, given, moved)}
        except WireError as error:
            if error.unreachable:  # let Ansible's own connection succeed, or say what is wrong
                return self._by_ansible(given, task_vars)
            raise AnsibleActionFail(
                f"the snapshot could not be brought to {given['dest']}: {error}. Nothing was stopped; make room or mend the"
                " connection, and run again."
            ) from error
        except OSError as error:
            raise AnsibleActionFail(
                f"the snapshot could not be moved from {given['src']} to {given['dest']}: {error}. Nothing was stopped."
            ) from error

    def _unpack(self, src: str, dest: str, size: int) -> dict[str, Any]:
        """Both are on the controller. ``size`` is what the plan has seen it unpack to: it cannot become more now."""
        try:
            os.makedirs(os.path.dirname(dest), mode=0o700, exist_ok=True)
            with suppress(FileNotFoundError):
                os.unlink(dest)
            unpack(src, dest, size, run)
            if os.path.getsize(dest) != size:
                raise EtcdError(
                    f"{src} unpacks to {os.path.getsize(dest)} bytes, and {size} were planned.", "run again."
                )
        except (EtcdError, OSError) as error:
            raise AnsibleActionFail(f"{error} Nothing was stopped.") from error
        return {"changed": True}

    def _to_host(self, wire: Wire, given: dict[str, Any], moved: Moved) -> bool:
        """True when the host got the bytes; False when it had a file of this size there already."""
        src, dest, size = given["src"], given["dest"], given["size"]
        words = {"folder": quote(os.path.dirname(dest)), "part": quote(f"{dest}.part"), "dest": quote(dest)}
        with open(src, "rb") as source, wire.open(RECEIVE.format(mark=MARK.decode(), size=size, **words)) as stream:
            if stream.begin() == "has":
                return False
            stream.write(MARK + b"bytes\n")
            stream.send(source, moved.at)
            stream.end()
        return True

    def _from_host(self, wire: Wire, given: dict[str, Any], moved: Moved) -> bool:
        src, dest, size = given["src"], given["dest"], given["size"]
        send = SEND.format(mark=MARK.decode(), command=READERS[given["unpack"]], src=quote(src))
        os.makedirs(os.path.dirname(dest), mode=0o700, exist_ok=True)
        part = f"{dest}.part"
        with suppress(FileNotFoundError):  # what an earlier run has left, or a link that somebody has put there
            os.unlink(part)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file, wire.open(send) as stream:
            stream.begin()
            done = stream.receive(file, moved.at)
            stream.end()
        if done != size:
            raise WireError(f"{src} has {done} bytes, and {size} were planned")
        os.rename(part, dest)
        return True

    def _by_ansible(self, given: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """The slow ways of Ansible itself, which know every kind of connection."""
        os.umask(0o077)  # this process does only this task
        if given["unpack"]:
            raise AnsibleActionFail(
                f"{given['src']} is packed by {given['unpack']}, which the controller lacks. Nothing was stopped; install"
                f" {given['unpack']} on the controller, and run again."
            )
        if given["direction"] == "from_host":
            os.makedirs(os.path.dirname(given["dest"]), mode=0o700, exist_ok=True)
            return self._action("fetch", {"src": given["src"], "dest": given["dest"], "flat": True}, task_vars)
        folder = {"path": os.path.dirname(given["dest"]), "state": "directory", "mode": "0700"}
        made = self._execute_module(module_name="ansible.builtin.file", module_args=folder, task_vars=task_vars)
        if made.get("failed") or made.get("unreachable"):
            return made
        return self._action("copy", {"src": given["src"], "dest": given["dest"], "mode": "0600"}, task_vars)

    def _action(self, name: str, arguments: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        task = self._task.copy()
        task.args = arguments
        action = self._shared_loader_obj.action_loader.get(
            f"ansible.builtin.{name}",
            task=task,
            connection=self._connection,
            play_context=self._play_context,
            loader=self._loader,
            templar=self._templar,
            shared_loader_obj=self._shared_loader_obj,
        )
        return action.run(task_vars=task_vars)
