# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""etcd's settings in the manifest of a static pod, as kubeadm writes it: flags of the command, or variables."""

from __future__ import annotations

import re
from typing import Dict, List, Mapping, NamedTuple, Optional

from ...core.errors import EtcdError
from . import yaml_lines as yaml
from .command_lines import Etcd, add_flag, locate, set_flag
from .names import flags, is_variable, setting_of, variable_of


class Volume(NamedTuple):
    """A folder or file of the host, and where the container sees it."""

    inside: str
    outside: str


def read(text: str) -> Dict[str, str]:
    container = _container(yaml.parse(text))
    values = {name: item.value for name, item in _variables(container).items()}
    from_variables = {setting_of(name): value for name, value in values.items() if is_variable(name)}
    etcd = _etcd(container)
    from_flags = {name: found[0] for name, found in flags(etcd.words if etcd else []).items()}
    found = {**from_variables, **{name: _expanded(value, values) for name, value in from_flags.items()}}
    return {name: value for name, value in found.items() if value is not None}


def _expanded(value: str, values: Mapping[str, str]) -> Optional[str]:
    """``$(NAME)`` as the kubelet puts it in; None where what it stands for is not in the manifest."""
    names = re.findall(r"(?<!\$)\$\(([\w.-]+)\)", value)
    if any(name not in values for name in names):
        return None
    return re.sub(r"(?<!\$)\$\(([\w.-]+)\)", lambda match: values[match.group(1)], value)


def volumes(text: str) -> List[Volume]:
    """The hostPath volumes that etcd's container mounts, the longest path inside first."""
    document = yaml.parse(text)
    spec = document.get("spec")
    outside = {}
    for volume in _items(spec, "volumes"):
        host = volume.get("hostPath")
        if isinstance(host, yaml.Map):
            outside[_value(volume, "name")] = _value(host, "path")
    mounts = _items(_container(document), "volumeMounts")
    found = [
        Volume(_value(mount, "mountPath").rstrip("/"), outside[_value(mount, "name")].rstrip("/"))
        for mount in mounts
        if _value(mount, "name") in outside and not _value(mount, "subPath")
    ]
    return sorted(found, key=lambda volume: -len(volume.inside))


def image(text: str) -> str:
    """The image that etcd's container is made of."""
    return _value(_container(yaml.parse(text)), "image")


def host_path(path: str, mounted: List[Volume]) -> str:
    """The host's path of a path in the container; the same where no volume holds it."""
    for volume in mounted:
        if path == volume.inside or path.startswith(volume.inside + "/"):
            return volume.outside + path[len(volume.inside) :]
    return path


def edit(text: str, wanted: Mapping[str, str]) -> str:
    for setting, value in wanted.items():
        text = _set(text, setting, value)
    return text


def _set(text: str, setting: str, value: str) -> str:
    if "$(" in value:
        raise EtcdError(
            f"the value {value!r} of {setting} holds '$(', which Kubernetes would expand.", "choose another."
        )
    container = _container(yaml.parse(text))
    etcd, nodes = _etcd(container), _word_nodes(container)
    if etcd is None and nodes:
        raise EtcdError(
            f"line {nodes[0].line}: the container's command starts etcd in a way that cannot be read, so it is not known where"
            f" {setting} would count.",
            "write the command of the container as a list with one word a line, etcd first.",
        )
    found = flags(etcd.words).get(setting) if etcd else None
    if found and etcd and etcd.in_script:
        return _set_in_script(text, nodes[etcd.at], found[0], setting, value)
    if found and etcd:
        return _set_flag(text, nodes[etcd.at + 1 :], found, setting, value)
    variable = _variables(container).get(variable_of(setting))
    if variable is not None:
        return _replace(text, variable, value)
    if etcd and etcd.in_script:
        script = nodes[etcd.at]
        return text[: script.start] + add_flag(text[script.start : script.end], setting, value) + text[script.end :]
    return _add(text, container, setting, value)


def _set_in_script(text: str, script: yaml.Scalar, before: str, setting: str, value: str) -> str:
    if before == value:
        return text
    return text[: script.start] + set_flag(text[script.start : script.end], setting, before, value) + text[script.end :]


def _set_flag(text: str, nodes: List[yaml.Scalar], found: tuple, setting: str, value: str) -> str:
    before, flag_at, value_at = found
    if before == value:
        return text
    if value_at > flag_at:
        return _replace(text, nodes[value_at], value)
    flag = nodes[flag_at].value.partition("=")[0]
    return _replace(text, nodes[flag_at], f"{flag}={value}")


def _replace(text: str, node: yaml.Scalar, value: str) -> str:
    if node.value == value:
        return text
    if node.style in (yaml.BLOCK, yaml.FIXED):
        raise EtcdError(
            f"line {node.line}: this value is in a block, an alias or has a tag, so it cannot be set safely.",
            "write the command of the container as a list with one word a line.",
        )
    style = yaml.DOUBLE if node.style == yaml.EMPTY else node.style
    gap = " " if node.style == yaml.EMPTY else ""
    return text[: node.start] + gap + yaml.quote(value, style) + text[node.end :]


def _add(text: str, container: yaml.Map, setting: str, value: str) -> str:
    """A new flag in its alphabetical place, as kubeadm sorts them, else behind the last flag."""
    home = _flag_list(container)
    words = [item for item in home.items if isinstance(item, yaml.Scalar)] if home else []
    own = [item for item in words if item.value.startswith("--")]
    if home is None or home.indent < 0 or not words or (not own and not _runs_etcd(words)):
        raise EtcdError(
            "the manifest does not start etcd by a list of words, one a line, so a flag cannot be added safely.",
            f"add --{setting}={value} to the command of the container by hand.",
        )
    after = _neighbour(words, own, f"--{setting}")
    newline = "\r\n" if "\r\n" in text else "\n"
    line = " " * home.indent + "- " + yaml.quote(f"--{setting}={value}", after.style if after in own else yaml.PLAIN)
    end = text.find("\n", after.end)
    if end < 0:
        return text + newline + line
    return text[: end + 1] + line + newline + text[end + 1 :]


def _neighbour(words: List[yaml.Scalar], own: List[yaml.Scalar], flag: str) -> yaml.Scalar:
    """The word behind which a new flag goes."""
    if any("=" not in item.value for item in own):
        return words[-1]  # between '--flag' and its value on the next line would be wrong
    before = [item for item in own if item.value.partition("=")[0] < flag]
    if before:
        return before[-1]
    return words[-1] if words[0] in own else words[0]


def _container(document: yaml.Map) -> yaml.Map:
    """etcd's container in the pod."""
    containers = _items(document.get("spec"), "containers")
    named = [found for found in containers if _value(found, "name") == "etcd" or _runs_etcd(_word_nodes(found))]
    if len(named) == 1:
        return named[0]
    raise EtcdError(
        f"the manifest has {len(named)} containers that could be etcd.",
        "name the container of etcd 'etcd', and only that one.",
    )


def _items(home: Optional[yaml.Node], key: str) -> List[yaml.Map]:
    found = home.get(key) if isinstance(home, yaml.Map) else None
    return [item for item in found.items if isinstance(item, yaml.Map)] if isinstance(found, yaml.Sequence) else []


def _value(home: yaml.Map, key: str) -> str:
    node = home.get(key)
    return node.value if isinstance(node, yaml.Scalar) else ""


def _word_nodes(container: yaml.Map) -> List[yaml.Scalar]:
    nodes: List[yaml.Scalar] = []
    for key in ("command", "args"):
        found = container.get(key)
        if isinstance(found, yaml.Sequence):
            nodes += [item for item in found.items if isinstance(item, yaml.Scalar)]
    return nodes


def _runs_etcd(words: List[yaml.Scalar]) -> bool:
    return bool(words) and words[0].value.rpartition("/")[2] == "etcd"


def _etcd(container: yaml.Map) -> Optional[Etcd]:
    """etcd in the container's command; where the image's own entrypoint starts it, all words are its arguments."""
    words = [node.value for node in _word_nodes(container)]
    if not words or words[0].startswith("-"):
        return Etcd(words, -1, False, True, [])
    return locate(words)


def _flag_list(container: yaml.Map) -> Optional[yaml.Sequence]:
    """The list that the flags are in: the arguments where they hold any, else the command."""
    for key in ("args", "command"):
        found = container.get(key)
        if isinstance(found, yaml.Sequence) and found.items:
            return found
    return None


def _variables(container: yaml.Map) -> Dict[str, yaml.Scalar]:
    found = {}
    for item in _items(container, "env"):
        value = item.get("value")
        if isinstance(value, yaml.Scalar):
            found[_value(item, "name")] = value
    return found
