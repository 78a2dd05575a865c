# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The files that give a member its settings: a systemd unit with its drop-ins and environment files, YAML, a manifest.

Each becomes layers of ``Found``: what a setting is, and the file and kind of place where it is written.
"""

from __future__ import annotations

import glob
import os
import re
import socket
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple, TypeVar

from ...core.errors import EtcdError
from ...etcd.commands import Run
from ..facts import Setting
from ..processes import Host
from . import env_file as _settings_env
from . import formats
from . import pod as _settings_pod
from . import unit as _settings_unit
from .command_lines import Etcd, expanded, mounts, options
from .names import flags, is_variable, setting_of

T = TypeVar("T")

UNIT_FOLDERS = (
    "/etc/systemd/system",
    "/run/systemd/system",
    "/usr/local/lib/systemd/system",
    "/usr/lib/systemd/system",
    "/lib/systemd/system",
)
# Units of systemd-run, which vanish when they stop.
TRANSIENT_UNITS = "/run/systemd/transient/"
_PROPERTIES = (
    "LoadState,ActiveState,SubState,MainPID,UnitFileState,User,Group,DynamicUser,Type,TimeoutStartUSec,FragmentPath"
    ",DropInPaths,SourcePath"
)
_SECONDS = {
    "us": 1e-6,
    "ms": 1e-3,
    "s": 1,
    "min": 60,
    "h": 3600,
    "d": 86400,
    "w": 604800,
    "month": 2629800,
    "y": 31557600,
}
# The kind of place: they go before each other in this order.
FLAG, VARIABLE, FILE = "flag", "variable", "file"


class Found(NamedTuple):
    """A setting in a file: its value with specifiers resolved, and where it is written.

    ``within`` is the variable that holds it, where that is none of etcd's own.
    """

    value: str
    kind: str
    format: str
    path: str
    within: str = ""

    def setting(self) -> Setting:
        return Setting(self.value, self.kind, self.format, self.path, self.within or None)


@dataclass
class Sources:
    """What files say of a member, and what they are.

    ``flags`` and ``variables`` and ``yaml`` map settings to ``Found``; ``environment`` has the other variables too, such
    as ETCDCTL_CACERT. ``yaml_path`` is set where a configuration file is used, which then is all that counts.
    """

    flags: Dict[str, Found] = field(default_factory=dict)
    variables: Dict[str, Found] = field(default_factory=dict)
    yaml: Dict[str, Found] = field(default_factory=dict)
    environment: Dict[str, str] = field(default_factory=dict)
    origins: Dict[str, Found] = field(default_factory=dict)
    environment_files: List[str] = field(default_factory=list)
    yaml_path: str = ""
    unit_path: str = ""
    manifest_path: str = ""
    exec_start: str = ""
    program: str = ""
    volumes: List[_settings_pod.Volume] = field(default_factory=list)
    image: str = ""
    contained: bool = False
    obscure: str = ""

    def effective(self) -> Dict[str, Found]:
        """What etcd would take from these files: the configuration file alone, else flags before variables."""
        return dict(self.yaml) if self.yaml_path else {**self.variables, **self.flags}


@dataclass
class Unit:
    """What systemd knows of a unit; ``state`` is one of the words of ``service``.

    ``start_timeout`` are the seconds that it may take to start, None where there is no limit; ``notifies`` says whether it
    has started only when etcd itself says so; ``restarting``, that systemd is about to start it once more. ``made_from`` is the
    file that a generator has made it from, such as a quadlet.
    """

    name: str
    state: str = "unknown"
    pid: int = 0
    enabled: Optional[bool] = None
    user: str = ""
    group: str = ""
    dynamic_user: bool = False
    notifies: bool = False
    start_timeout: Optional[float] = None
    masked: bool = False
    transient: bool = False
    restarting: bool = False
    made_from: str = ""
    files: List[str] = field(default_factory=list)

    @property
    def exists(self) -> bool:
        return bool(self.files)

    @property
    def dropin(self) -> str:
        """Our own drop-in: its name sorts behind those of others, and the last one wins."""
        return f"/etc/systemd/system/{full_name(self.name)}.d/zz-quorum-etcd.conf"


def full_name(unit: str) -> str:
    return unit if "." in unit else unit + ".service"


# ---- systemd ---------------------------------------------------------------------------------------------------------


def look_at_unit(host: Host, run: Run, name: str) -> Unit:
    """The unit as systemd reports it; where no systemd answers, as its files say."""
    shown = _show(run, full_name(name))
    if not shown:
        return Unit(name, files=_files_of(host, full_name(name)))
    if shown.get("LoadState") == "not-found" and shown.get("MainPID", "0") == "0":
        return Unit(name, state="absent")
    paths = [shown.get("FragmentPath", ""), *shown.get("DropInPaths", "").split()]
    active = shown.get("ActiveState", "")
    return Unit(
        name,
        state={"inactive": "stopped", "failed": "failed", "": "unknown"}.get(active, "running"),
        pid=int(shown.get("MainPID") or 0),
        enabled={"enabled": True, "enabled-runtime": True, "disabled": False, "masked": False}.get(
            shown.get("UnitFileState", "")
        ),
        user=shown.get("User", ""),
        group=shown.get("Group", ""),
        dynamic_user=shown.get("DynamicUser") == "yes",
        notifies=shown.get("Type", "").startswith("notify"),
        start_timeout=seconds(shown.get("TimeoutStartUSec", "")),
        masked=shown.get("LoadState") == "masked",
        transient=shown.get("FragmentPath", "").startswith(TRANSIENT_UNITS),
        restarting=shown.get("SubState", "").startswith("auto-restart"),
        made_from=shown.get("SourcePath", ""),
        files=[path for path in paths if path],
    )


def seconds(span: str) -> Optional[float]:
    """``1min 30s``, as systemd shows a time span; None for one without an end, or that is not understood."""
    parts = [re.match(r"([\d.]+)([a-z]+)\Z", part) for part in span.split()]
    if not parts or not all(part and part.group(2) in _SECONDS for part in parts):
        return None
    return sum(float(part.group(1)) * _SECONDS[part.group(2)] for part in parts if part)


def _show(run: Run, unit: str) -> Dict[str, str]:
    try:
        result = run(["systemctl", "show", f"--property={_PROPERTIES}", unit], {})
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in result.out.splitlines() if "=" in line) if result.rc == 0 else {}


def _files_of(host: Host, unit: str) -> List[str]:
    """The unit file and its drop-ins by systemd's rules: the first folder has the file, drop-ins sort by their names."""
    template = re.sub(r"@[^.]*\.", "@.", unit)
    names = [unit] if template == unit else [unit, template]
    fragments = [f"{folder}/{name}" for name in names for folder in UNIT_FOLDERS]
    fragment = next((path for path in fragments if host.exists(path)), "")
    dropins: Dict[str, str] = {}
    for folder in UNIT_FOLDERS:
        for name in names:
            for path in glob.glob(host.path(f"{folder}/{name}.d/*.conf")):
                dropins.setdefault(os.path.basename(path), f"{folder}/{name}.d/{os.path.basename(path)}")
    return [fragment, *[dropins[name] for name in sorted(dropins)]] if fragment else []


def unit_sources(host: Host, unit: Unit) -> Sources:
    """What the unit, its drop-ins and its environment files make etcd be started with."""
    sources = Sources()
    owners: List[Tuple[_settings_unit.Directive, str]] = []
    for path in unit.files:
        text = host.read(path)
        if text is not None:
            owners += [(directive, path) for directive in _settings_unit.directives(text)]
    if not owners:
        return sources
    path_of = {id(directive): path for directive, path in owners}
    merged = _settings_unit.merge([directive for directive, _path in owners])
    sources.unit_path = path_of[id(merged.exec_start)] if merged.exec_start else unit.files[0]
    resolve = _Specifiers(host, unit)
    _take_root(sources, merged, resolve)
    _take_environment(sources, merged, path_of, resolve)
    _take_environment_files(host, sources, merged, resolve)
    _take_flags(host, sources, merged, resolve)
    config = sources.flags.get("config-file") or sources.variables.get("config-file")
    if config and config.value:
        take_yaml(host, sources, _settings_pod.host_path(config.value, sources.volumes))
    return sources


def _take_environment(
    sources: Sources, merged: _settings_unit.Unit, path_of: Mapping[int, str], resolve: _Specifiers
) -> None:
    for directive in merged.environment:
        for word in directive.words:
            name, equals, value = word.source.partition("=")
            if equals:
                _take_variable(sources, name, Found(resolve(value), VARIABLE, "unit", path_of[id(directive)]))


def _take_environment_files(host: Host, sources: Sources, merged: _settings_unit.Unit, resolve: _Specifiers) -> None:
    """Environment files are read in their order and go before ``Environment=``."""
    for pattern in merged.environment_files:
        path = resolve(pattern.lstrip("-"))
        paths = sorted(glob.glob(host.path(path))) if any(char in path for char in "*?[") else [host.path(path)]
        for full in paths:
            own = path if full == host.path(path) else full
            text = host.read(own)
            if text is None:
                continue
            sources.environment_files.append(own)
            values, has_exports = _at(own, _settings_env.by_systemd, text)
            if has_exports:
                sources.obscure = f"{own} has lines that begin with 'export', which systemd passes over"
            for name, value in values.items():
                _take_variable(sources, name, Found(value, VARIABLE, "env", own))


def _take_variable(sources: Sources, name: str, found: Found) -> None:
    if _UNRESOLVED in found.value:
        found = found._replace(value="")
    sources.environment[name] = found.value
    sources.origins[name] = found
    if is_variable(name):
        sources.variables[setting_of(name)] = found


def _take_flags(host: Host, sources: Sources, merged: _settings_unit.Unit, resolve: _Specifiers) -> None:
    command = merged.exec_start
    if command is None:
        return
    sources.exec_start = command.raw.strip()
    etcd = _settings_unit.etcd_of(command)
    if etcd is None:
        sources.obscure = (
            f"{command.words[0].value} in ExecStart= of {sources.unit_path} starts etcd in a way that cannot be read"
        )
        return
    if not (etcd.client or etcd.in_script):
        named = ((resolve(word.value) or "").lstrip("-@:+!|") for word in command.words)
        sources.program = next((name for name in named if re.fullmatch(r"/.*/etcd", name)), "")
    if etcd.client:
        _take_container(host, sources, etcd, resolve)
    words = [resolve(word) for word in _settings_unit.unexpanded(command, etcd)]
    words_and_variables = expanded(words, sources.environment, etcd.in_script)
    for name, (value, flag_at, value_at) in flags([word for word, _variable in words_and_variables]).items():
        variable = words_and_variables[flag_at][1]
        braceless = etcd.in_script or value_at > flag_at
        found = _in_variable(sources, variable, value) if variable else _follow(sources, value, braceless)
        if found is not None:
            sources.flags[name] = found


def _take_container(host: Host, sources: Sources, etcd: Etcd, resolve: _Specifiers) -> None:
    """Only what its client hands on reaches etcd in a container; its paths become the host's."""
    sources.variables = {}
    for path in options(etcd.client, "--env-file"):
        sources.environment_files = [resolve(path)]
        for name, value in _at(path, _settings_env.variables, host.read(resolve(path)) or "").items():
            _take_variable(sources, name, Found(value, VARIABLE, "env", resolve(path)))
    for name, value in _settings_unit.container_variables(etcd).items():
        _take_variable(sources, name, Found(resolve(value), VARIABLE, "unit", sources.unit_path))
    sources.contained = True
    _take_volumes(sources, mounts(etcd.client))


def _take_volumes(sources: Sources, outside_of: Mapping[str, str]) -> None:
    """Where the host has what the member sees at other paths, the longest path first."""
    found = [_settings_pod.Volume(inside.rstrip("/"), outside.rstrip("/")) for inside, outside in outside_of.items()]
    sources.volumes = sorted([*sources.volumes, *found], key=lambda volume: -len(volume.inside))


def _take_root(sources: Sources, merged: _settings_unit.Unit, resolve: _Specifiers) -> None:
    """``BindPaths=`` and ``RootDirectory=`` of a unit."""
    outside_of = {"": resolve(merged.root)} if merged.root else {}
    for word in merged.binds:
        outside, _colon, inside = resolve(word).lstrip("-").partition(":")
        outside_of[(inside or outside).partition(":")[0]] = outside
    _take_volumes(sources, outside_of)


def _in_variable(sources: Sources, variable: str, value: str) -> Found:
    """A flag, or the value of one, that a variable holds which is none of etcd's own."""
    origin = sources.origins.get(variable)
    return Found(value, FLAG, origin.format, origin.path, variable) if origin else Found(value, FLAG, "process", "")


def _follow(sources: Sources, value: str, braceless: bool) -> Optional[Found]:
    """A flag whose value is ``${VARIABLE}`` lives where the variable is set; one that is partly a variable, nowhere.

    ``braceless`` says that ``$VARIABLE`` is one too: systemd takes it for one as a whole word only.
    """
    variable = re.compile(r"\$\$|\$\{(\w+)\}" + (r"|\$(\w+)" if braceless else ""))
    names = [match.group(match.lastindex) for match in variable.finditer(value) if match.lastindex]
    if names and variable.fullmatch(value):
        known = sources.variables.get(setting_of(names[0])) if is_variable(names[0]) else None
        if known is not None:
            return known
        return (
            _in_variable(sources, names[0], sources.environment[names[0]]) if names[0] in sources.environment else None
        )
    known_values = sources.environment
    plain = variable.sub(
        lambda found: known_values.get(found.group(found.lastindex), "") if found.lastindex else "$", value
    )
    return Found("" if _UNRESOLVED in plain else plain, FLAG, "process" if names else "unit", sources.unit_path)


_UNRESOLVED = "\0"


class _Specifiers:
    """Resolves ``%H`` and its like, those whose meaning needs no running systemd; a value with another is not known.

    ``%u`` and ``%h`` are those of systemd itself, and not of ``User=``.
    """

    def __init__(self, host: Host, unit: Unit) -> None:
        name = full_name(unit.name)
        whole = name.rpartition(".")[0]
        prefix, _at_sign, instance = whole.partition("@")
        node = os.uname()
        machine = (host.read("/etc/machine-id") or _UNRESOLVED).strip()
        self.known = {
            "%": "%", "n": name, "N": whole, "p": prefix, "P": _unescaped(prefix), "i": instance, "I": _unescaped(instance),
            "j": prefix.rpartition("-")[2], "J": _unescaped(prefix.rpartition("-")[2]), "f": "/" + _unescaped(instance or prefix),
            "H": socket.gethostname(), "l": socket.gethostname().partition(".")[0], "m": machine, "v": node.release,
            "u": "root", "U": "0", "g": "root", "G": "0", "h": "/root",
            "t": "/run", "S": "/var/lib", "E": "/etc", "L": "/var/log", "C": "/var/cache", "T": "/tmp", "V": "/var/tmp",
        }  # fmt: skip

    def __call__(self, value: str) -> str:
        return re.sub(r"%([%a-zA-Z])", lambda match: self.known.get(match.group(1), _UNRESOLVED), value)


def _unescaped(name: str) -> str:
    """A part of a unit's name as the path that it stands for."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code.group(1), 16)), name.replace("-", "/"))


# ---- other sources ---------------------------------------------------------------------------------------------------


def take_yaml(host: Host, sources: Sources, path: str, text_path: str = "") -> None:
    """Add etcd's configuration file; ``text_path`` is where this process can read it, when that is not ``path``."""
    sources.yaml_path = path
    text = host.read(text_path or path)
    if text is not None:
        read = _at(path, lambda content: formats.read("yaml", content), text)
        sources.yaml = {name: Found(value, FILE, "yaml", path) for name, value in read.items()}


def file_sources(host: Host, path: str) -> Sources:
    """The file that the user named: etcd's YAML or an environment file."""
    sources = Sources()
    text = host.read(path)
    if text is None:
        return sources
    if formats.detect_format(path, text) == "yaml":
        take_yaml(host, sources, path)
    else:
        sources.environment_files = [path]
        for name, value in _at(path, _settings_env.variables, text).items():
            _take_variable(sources, name, Found(value, VARIABLE, "env", path))
    return sources


def pod_sources(host: Host, manifest: str, parked: str) -> Sources:
    """A static pod's manifest, in its folder or parked; paths in the container become the host's."""
    sources = Sources(manifest_path=manifest)
    text = host.read(manifest if host.exists(manifest) else parked)
    if text is None:
        return sources
    sources.volumes = _at(manifest, _settings_pod.volumes, text)
    sources.image = _at(manifest, _settings_pod.image, text)
    sources.contained = True
    for name, value in _at(manifest, lambda content: formats.read("static_pod", content), text).items():
        sources.flags[name] = Found(value, FLAG, "static_pod", manifest)
    config = sources.flags.get("config-file")
    if config:
        take_yaml(host, sources, _settings_pod.host_path(config.value, sources.volumes))
    return sources


def _at(path: str, read: Callable[[str], T], text: str) -> T:
    """Read ``text``, naming the file where that fails."""
    try:
        return read(text)
    except EtcdError as error:
        raise EtcdError(f"{path}: {error.message}", error.next_step) from error
