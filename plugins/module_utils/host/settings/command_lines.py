# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd in a command line: at its beginning, behind a wrapper such as ``taskset`` or ``docker run``, or in a shell's script.

What is not surely read is not read: ``locate`` then finds nothing, and nobody takes a variable or a flag for granted.
"""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ...core.errors import EtcdError
from .names import is_variable

# They start another program with their own environment.
_PASSING = (
    "chrt", "env", "exec", "ionice", "nice", "nohup", "numactl", "prlimit", "setpriv", "setsid", "stdbuf", "taskset", "time",
    "timeout",
)  # fmt: skip
_CONTAINERS = ("docker", "podman", "nerdctl")
_SHELLS = ("sh", "bash", "dash", "ash")
# Commands that may stand before etcd in a script without a meaning for its settings.
_HARMLESS = ("ulimit", "mkdir", "chown", "chmod", "sleep", "echo", "test", "[", "true", ":", "umask", "exec")
_TOKEN = re.compile(
    r"(?P<blank>(?:[ \t]|\\\r?\n)+)|(?P<end>[;\n]|&&|\|\||[|&])"
    r"|(?P<redirect>\d*(?:>>?|<)(?:&\d|[ \t]*[\w./-]+)|&>>?[ \t]*[\w./-]+)"
    r"|(?P<single>'[^']*')|(?P<double>\"(?:[^\"\\]|\\.)*\")|(?P<call>\$\([^()]*\))|(?P<escape>\\.)"
    r"|(?P<plain>(?:[^\s'\"\\;|&<>()`#$]|\$(?!\())+|(?<=\S)#)",
    re.DOTALL,
)
_SAFE = re.compile(r"[A-Za-z0-9_./:,=@+\[\]-]+\Z")


class Etcd(NamedTuple):
    """etcd in the words of a command line.

    ``words`` are its arguments; ``at`` is the index of its executable, or of the script that holds it (``in_script``).
    ``passes`` says whether the environment of the service reaches it, and ``client`` are the words of a container's client.
    """

    words: List[str]
    at: int
    in_script: bool
    passes: bool
    client: List[str]


def locate(words: Sequence[str]) -> Optional[Etcd]:
    """etcd among the words; None where it is not there, or where what stands around it is not understood."""
    if not words:
        return None
    first = _base(words[0])
    if first == "etcd":
        return Etcd(list(words[1:]), 0, False, True, [])
    shell = next((at for at, word in enumerate(words) if _base(word) in _SHELLS), -1)
    passing = first in _PASSING and "-i" not in words[1:2]
    if shell == 0 or (shell > 0 and passing):
        return _in_shell(words, shell)
    is_client = first in _CONTAINERS and "run" in words[1:3]
    at = next((at for at in range(1, len(words)) if _is_etcd(words, at, is_client)), -1)
    if at < 0 or not (passing or is_client):
        return None
    return Etcd(list(words[at + 1 :]), at, False, passing, list(words[1:at]) if is_client else [])


def _is_etcd(words: Sequence[str], at: int, is_client: bool) -> bool:
    """Whether this word is the executable, and not the value of an option of the container's client: ``--name etcd``."""
    is_value = is_client and words[at - 1].startswith("-") and "=" not in words[at - 1]
    return _base(words[at]) == "etcd" and words[at][0] != "-" and not is_value and _begins_arguments(words[at + 1 :])


def _base(word: str) -> str:
    return word.rpartition("/")[2]


def _begins_arguments(rest: Sequence[str]) -> bool:
    return not rest or rest[0].startswith(("-", "$"))


def _in_shell(words: Sequence[str], shell: int) -> Optional[Etcd]:
    for at in range(shell + 1, len(words) - 1):
        if re.match(r"-[a-z]*c\Z", words[at]):
            found = _of_script(words[at + 1])
            return Etcd(found, at + 1, True, True, []) if found is not None else None
        if not words[at].startswith("-"):
            return None  # a script of its own
    return None


def _of_script(script: str) -> Optional[List[str]]:
    """etcd's arguments in a script of simple commands; None where there is another kind, or more than one etcd."""
    commands = _commands(script)
    if commands is None:
        return None
    found: List[List[str]] = []
    for command in commands:
        while command and re.match(r"[A-Za-z_]\w*=", command[0]):
            if is_variable(command[0].partition("=")[0]):
                return None
            command = command[1:]
        if command[:1] == ["exec"]:
            command = command[1:]
        if not command:
            continue
        etcd = locate(command)
        if etcd is not None and etcd.passes and not etcd.in_script:
            found.append(etcd.words)
        elif command[0] not in _HARMLESS:
            return None
    return found[0] if len(found) == 1 else None


def _commands(script: str) -> Optional[List[List[str]]]:
    """The words of each simple command; variables stay as they are written."""
    commands: List[List[str]] = [[]]
    pos, fresh = 0, True
    while pos < len(script):
        token = _TOKEN.match(script, pos)
        if token is None:
            return None
        kind, text, pos = token.lastgroup, token.group(), token.end()
        if kind == "blank" or kind == "redirect":
            fresh = True
        elif kind == "end":
            commands.append([])
            fresh = True
        else:
            part = {"single": text[1:-1], "double": re.sub(r'\\(["\\$`])', r"\1", text[1:-1]), "escape": text[1:]}.get(
                kind or "", text
            )
            if fresh:
                commands[-1].append("")
            commands[-1][-1] += part
            fresh = False
    return commands


# ---- variables -------------------------------------------------------------------------------------------------------


def expanded(words: Sequence[str], environment: Mapping[str, str], in_script: bool) -> List[Tuple[str, str]]:
    """The words, with ``$OPTIONS`` as what it holds, each with the name of the variable that it comes from, or ''.

    systemd splits ``$X`` at blanks and takes ``${X}`` for one word; a shell splits both.
    """
    found: List[Tuple[str, str]] = []
    for word in words:
        whole = re.match(r"\$(?:(\w+)|\{(\w+)\})\Z", word)
        name = (whole.group(1) or whole.group(2)) if whole else ""
        previous = found[-1][0] if found else ""
        is_value = previous.startswith("-") and "=" not in previous and not environment.get(name, "").startswith("-")
        if not whole or is_value:
            found.append((word, ""))
        elif whole.group(1) or in_script:
            found += [(part, name) for part in split(environment.get(name, ""))]
        else:
            found.append((environment.get(name, ""), name))
    return found


def split(value: str) -> List[str]:
    """A variable's value as words: at blanks, quotes around what belongs together."""
    parts = re.findall(r"(?:[^\s'\"]|'[^']*'|\"[^\"]*\")+", value)
    return [
        re.sub(r"'([^']*)'|\"([^\"]*)\"", lambda match: match.group(1) or match.group(2) or "", part) for part in parts
    ]


# ---- containers ------------------------------------------------------------------------------------------------------


def options(client: Sequence[str], *names: str) -> List[str]:
    """The values of an option of a container's client, by any of its names: ``-e A=b``, ``--env A=b``, ``--env=A=b``."""
    found = []
    for at, word in enumerate(client):
        name, equals, value = word.partition("=")
        if word in names and at + 1 < len(client):
            found.append(client[at + 1])
        elif equals and name in names and name.startswith("--"):
            found.append(value)
    return found


def mounts(client: Sequence[str]) -> Dict[str, str]:
    """Folders of the host by the paths at which a container has them: ``-v /outside:/inside``, ``--mount type=bind,...``."""
    found = {}
    for volume in options(client, "-v", "--volume"):
        parts = volume.split(":")
        if len(parts) > 1:
            found[parts[1]] = parts[0]
    for mount in options(client, "--mount"):
        pairs = dict(part.partition("=")[::2] for part in mount.split(","))
        inside = pairs.get("target") or pairs.get("dst") or pairs.get("destination") or ""
        found[inside] = pairs.get("source") or pairs.get("src") or ""
    return found


# ---- edits in text that holds a command ------------------------------------------------------------------------------


def set_flag(text: str, setting: str, before: str, after: str) -> str:
    """A piece of a script or of a variable's value with another value of a flag; who calls reads the result again."""
    flag = rf"(?<![\w-])--?{re.escape(setting)}(?:=|[ \t]+)(?:\\*[\"'])?"
    found = list(re.finditer(rf"({flag}){re.escape(before)}(?=\\*[\"']|\\?\s|\\?\Z)", text))
    if len(found) != 1 or not _SAFE.match(before) or not _SAFE.match(after):
        raise EtcdError(
            f"the flag --{setting} stands inside of a script or a variable in a way that it cannot be set safely.",
            f"write it there once, as --{setting}=VALUE without quotes or variables.",
        )
    return text[: found[0].end(1)] + after + text[found[0].end() :]


def add_flag(script: str, setting: str, value: str) -> str:
    """A script with one more flag, right behind the executable."""
    found = list(re.finditer(r"(?<![\w.$=-])(?:/[\w./-]+/)?etcd(?=\s)", script))
    if len(found) != 1 or not _SAFE.match(value):
        raise EtcdError(
            f"etcd is started in a script to which the flag --{setting} cannot be added safely.",
            f"add --{setting}={value} there by hand.",
        )
    return f"{script[: found[0].end()]} --{setting}={value}{script[found[0].end() :]}"
