# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Names of etcd's settings: flags, environment variables, and where the YAML file keeps them."""

from __future__ import annotations

import re
from typing import Dict, List, Tuple

from ...core.errors import EtcdError

# Settings that the YAML file keeps one level deeper: flag -> (section, key).
NESTED: Dict[str, Tuple[str, str]] = {
    prefix + key: (section, key)
    for prefix, section in (("", "client-transport-security"), ("peer-", "peer-transport-security"))
    for key in (
        "cert-file",
        "key-file",
        "trusted-ca-file",
        "client-cert-auth",
        "auto-tls",
        "client-cert-file",
        "client-key-file",
    )
}
# They hold a password, so they are never shown.
SECRET = frozenset(("discovery-password", "experimental-discovery-password"))


def variable_of(setting: str) -> str:
    """``initial-cluster`` -> ``ETCD_INITIAL_CLUSTER``."""
    return "ETCD_" + setting.upper().replace("-", "_")


def setting_of(variable: str) -> str:
    return variable[len("ETCD_") :].lower().replace("_", "-")


def is_variable(name: str) -> bool:
    return name.startswith("ETCD_") and len(name) > len("ETCD_")


def check_setting(setting: str) -> str:
    """The name itself; EtcdError where it cannot be the name of a flag of etcd's."""
    if not re.match(r"[a-z][a-z0-9-]*\Z", setting):
        raise EtcdError(
            f"{setting!r} is not the name of a setting of etcd.", "write it as the flag, such as snapshot-count."
        )
    return setting


def flags(words: List[str]) -> Dict[str, Tuple[str, int, int]]:
    """Flags among the words of a command line: ``{setting: (value, index of the flag, index of its value)}``.

    As Go reads them: one or two dashes, ``=`` or the next word; the last one wins. A flag before another flag, or at the
    end, is a boolean.
    """
    found: Dict[str, Tuple[str, int, int]] = {}
    index = 0
    while index < len(words):
        match = re.match(r"--?([A-Za-z][A-Za-z0-9-]*)(?:=(.*))?\Z", words[index], re.DOTALL)
        if match is None or words[index] == "--":
            index += 1
            continue
        name, value = match.group(1), match.group(2)
        if value is not None:
            found[name] = (value, index, index)
        elif index + 1 < len(words) and not words[index + 1].startswith("-"):
            found[name] = (words[index + 1], index, index + 1)
            index += 1
        else:
            found[name] = ("true", index, -1)
        index += 1
    return found
