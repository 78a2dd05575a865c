# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration of a new member, given to real etcd of every line: it knows every key of it, and runs with its values."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from pathlib import Path
from typing import Any, Mapping, Sequence

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import parse_version
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.asked import complaint, in_its_types, types_of
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.configuration import (
    Bootstrap,
    settings_of,
    text_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.wanted import server_of
from etcd_binaries import obtain, version_of
from lab import _ports

LINES = ("3.4", "3.5", "3.6", "3.7")
# A setting that a version knows under this name, and one that it would pass over; and one with a time in it.
KNOWN = {
    "3.4": ("experimental-corrupt-check-time", "corrupt-check-time"),
    "3.5": ("experimental-compact-hash-check-time", "compact-hash-check-time"),
    "3.6": ("corrupt-check-time", "experimental-snapshot-catchup-entries"),
    "3.7": ("compact-hash-check-time", "experimental-compact-hash-check-time"),
}


def run(argv: Sequence[str], _env: Mapping[str, str]) -> Result:
    done = subprocess.run(list(argv), capture_output=True, text=True, timeout=60, check=False)
    return Result(done.returncode, done.stdout, done.stderr)


def params(folder: Path, **settings: Any) -> dict[str, Any]:
    (port,) = _ports(None, 1)
    return {
        "name": "m1",
        "peer_urls": [f"http://127.0.0.1:{port + 1}"],
        "client_urls": [f"http://127.0.0.1:{port}"],
        "listen_peer_urls": [],
        "listen_client_urls": [],
        "data_dir": str(folder / "data"),
        "wal_dir": str(folder / "wal" / "wal"),
        "user": "etcd",
        "bin_dir": "/usr/local/bin",
        "config_file": str(folder / "etcd.yml"),
        "service_name": "etcd",
        "tls": {},
        "settings": settings,
    }


def as_etcd_runs(etcd: Path, config: str, seconds: float = 60) -> dict[str, Any]:
    """What it says of its settings when it starts, and that it serves then."""
    process = subprocess.Popen([str(etcd), "--config-file", config], stderr=subprocess.PIPE, text=True)
    stop = threading.Timer(seconds, process.kill)
    stop.start()
    said: list[str] = []
    started: dict[str, Any] = {}
    try:
        for line in process.stderr:
            said.append(line)
            if '"starting an etcd server"' in line:
                started = json.loads(line)
            if "serving client traffic" in line:
                return started
    finally:
        process.kill()
        process.wait()
        stop.cancel()
    raise AssertionError("".join(said[-20:]))


@pytest.mark.parametrize("line", LINES)
def test_every_line_knows_all_of_it_and_runs_with_it(line: str, tmp_path: Path) -> None:
    etcd = obtain(line) / "etcd"
    version = parse_version(version_of(etcd))
    known, unknown = KNOWN[line]
    more = {known: "2h", "snapshot-count": 4321, "max-txn-ops": 256, "log-outputs": ["stderr"]}
    server = server_of(params(tmp_path, **more))
    assert in_its_types(run, str(etcd), server.settings)[known] == str(2 * 3600 * 10**9)
    with pytest.raises(EtcdError, match=f"does not know the setting {unknown}"):
        in_its_types(run, str(etcd), {unknown: "1"})
    server = server_of(params(tmp_path, **in_its_types(run, str(etcd), server.settings)))
    alone = f"m1={server.peer_urls[0]}"
    settings = settings_of(server, version, Bootstrap(alone, "new", "founded"))
    assert [name for name, kind in types_of(run, str(etcd), settings).items() if not kind] == []
    text = text_of(settings)
    assert complaint(run, str(etcd), text) == ""
    assert complaint(run, str(etcd), re.sub("max-txn-ops: 256", "max-txn-ops: many", text)).startswith("max-txn-ops is")
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "wal").mkdir()
    Path(server.config_file).write_text(text)
    found = as_etcd_runs(etcd, server.config_file)
    assert found["name"] == "m1" and found["data-dir"] == server.data_dir and found["wal-dir"] == server.wal_dir, found
    assert found["snapshot-count"] == 4321 and found["initial-cluster-token"] == "founded", found
    assert found["heartbeat-interval"] == "100ms" and found["election-timeout"] == "1s", found
    assert found["pre-vote"] is True and found["quota-backend-bytes"] == 2147483648, found
    assert found["auto-compaction-mode"] == "periodic" and found["auto-compaction-interval"] == "8h0m0s", found
    if line in ("3.4", "3.5"):
        assert found["initial-corrupt-check"] is True, found
    else:  # its own field of that name is of a setting that is no more
        assert set(found["feature-gates"].split(",")) == {"InitialCorruptCheck=true", "CompactHashCheck=true"}, found
    if line == "3.5":
        assert found["compact-check-time-enabled"] is True, found
    times = "compact-check-time-interval" if "hash" in known else "corrupt-check-time-interval"
    assert found[times] == "2h0m0s", found
