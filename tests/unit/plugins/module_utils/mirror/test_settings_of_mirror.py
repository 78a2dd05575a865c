# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The settings of a mirror: what is believed of them, and what is refused with the next step."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import (
    MirrorSettings,
    Seed,
    Side,
    connection_of,
    load,
    path_of,
    seed_in,
)

A, B = {"endpoints": ["http://a:2379"]}, {"endpoints": ["http://b:2379"]}
GIVEN = {"name": "west", "source": A, "destination": B}
SEED = {"source": "cdf818194e3a8c32", "destination": "ABC", "revision": 7, "restored_to": 7}


@pytest.fixture
def file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "west.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        path.chmod(mode)
        return str(path)

    return write


def test_what_is_not_given_has_a_default(file):
    settings = load(file({**GIVEN, "of a newer version": 1}))
    assert settings == MirrorSettings("west", Side(("http://a:2379",)), Side(("http://b:2379",)))
    assert (settings.source_prefix, settings.target_prefix) == (b"", b"")
    assert settings.folder == "/var/lib/quorum-etcd/mirror/west"
    assert connection_of(settings.source).password == ""


def test_the_destination_prefix_is_the_prefix_unless_it_is_given_even_empty(file):
    assert load(file({**GIVEN, "prefix": "/ä/"})).target_prefix == "/ä/".encode()
    assert load(file({**GIVEN, "prefix": "/a/", "destination_prefix": ""})).target_prefix == b""


def test_it_is_what_was_written(file):
    settings = MirrorSettings("west", Side(("http://a:2379",), user="u", password_file="/p"), Side(("b:1",)), "/\n\0/")
    assert load(file(to_plain(settings))) == settings


@pytest.mark.parametrize(
    "given, words",
    [
        ("{", "is not JSON"),
        ({**GIVEN, "name": "../west"}, "is no name of a mirror"),
        ({**GIVEN, "source": {"endpoints": []}}, "the source has no endpoints"),
        ({**GIVEN, "destination": {**B, "cert": "/c"}}, "the destination has one of certificate and key"),
        ({**GIVEN, "destination": {**B, "password_file": "/c"}}, "a password and no user"),
        ({**GIVEN, "source": {**A, "command_timeout": 0}}, "below a second"),
        ({**GIVEN, "leases": "no"}, "neither drop nor keep"),
        ({**GIVEN, "on_restore": "no"}, "neither refuse nor resync"),
        ({**GIVEN, "delay": -1}, "delay is negative"),
        ({**GIVEN, "delay": "1"}, "cannot be understood: delay"),
        ({**GIVEN, "state_dir": "a"}, "state_dir is a, and no absolute path"),
        ({**GIVEN, "modules": "a"}, "modules is a, and no absolute path"),
        ({**GIVEN, "seed": {**SEED, "source": "0xabc"}}, "the source of its seed is '0xabc', and no cluster's ID"),
        ({**GIVEN, "seed": {**SEED, "destination": ""}}, "the destination of its seed is '', and no cluster's ID"),
        ({**GIVEN, "seed": {**SEED, "source": "-1"}}, "the source of its seed is '-1', and no cluster's ID"),
        ({**GIVEN, "seed": {**SEED, "source": "f" * 17}}, "no cluster's ID in hexadecimal"),
        ({**GIVEN, "seed": {**SEED, "term": -1}}, "the term of its seed is negative"),
        ({**GIVEN, "leases": "keep", "delay": 1800}, "leases is keep, and delay is set"),
        ({**GIVEN, "leases": "keep", "interval": 900}, "leases is keep, and interval is set"),
        ({**GIVEN, "exclude": [""]}, "nothing would be mirrored"),
        ({**GIVEN, "prefix": "/a/b", "exclude": ["/a/"]}, "nothing would be mirrored"),
        ({**GIVEN, "prefix": "/a/", "exclude": ["/b/"]}, "is not below the prefix"),
    ],
)
def test_what_is_wrong_is_refused(file, given, words):
    with pytest.raises(EtcdError, match=words) as refused:
        load(file(given))
    assert refused.value.next_step


def test_what_a_mirror_began_with_is_known_unless_it_is_wrong(file):
    assert load(file({**GIVEN, "seed": SEED})).seed == seed_in(file({**GIVEN, "seed": SEED})) == Seed(**SEED)
    for wrong in ({**SEED, "source": "it"}, {**SEED, "revision": -1}, {"source": "1"}):
        assert seed_in(file({**GIVEN, "seed": wrong})) is None, "mirror.yml would write it again, and refuse it"
    assert seed_in(file(GIVEN)) is None


def test_what_others_could_have_written_is_not_believed(file):
    with pytest.raises(EtcdError, match="are not believed"):
        load(file(GIVEN, mode=0o602))


SPEAK = """
import sys
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.client import Client
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import connection_of, load
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.verify import verify_mirror
settings = load(sys.argv[1])
Client(connection_of(settings.source))
import grpc
print("by", grpc.__file__)
"""


def speaking(path):
    """What a Python says that has nothing but its own library, and is to speak to the source with these settings."""
    root = next(one for one in Path(__file__).parents if (one / "galaxy.yml").exists())
    environment = {**os.environ, "PYTHONPATH": str(root / ".collections")}
    done = subprocess.run(
        [sys.executable, "-S", "-c", SPEAK, path], env=environment, capture_output=True, text=True, check=False
    )
    return (done.stdout or done.stderr).strip().splitlines()[-1]


@pytest.fixture
def modules(tmp_path):
    module = tmp_path / "lib" / "modules" / "grpc" / "__init__.py"
    module.parent.mkdir(parents=True)
    module.write_text("def insecure_channel(*_given, **_options):\n    pass\n")
    module.parents[1].chmod(0o700)
    return module.parents[1]


def test_whoever_reads_them_finds_the_modules_that_were_unpacked_for_this_host(file, modules):
    assert "cannot load grpcio" in speaking(file(GIVEN))
    assert "cannot load grpcio" in speaking(file({**GIVEN, "modules": f"{modules}/none"}))
    assert speaking(file({**GIVEN, "modules": str(modules)})) == f"by {modules}/grpc/__init__.py"


THREAD = """
import threading, time

def work():
    time.sleep(0.5)
    print("its thread has ended", flush=True)

def insecure_channel(*_given, **_options):
    threading.Thread(target=work, daemon=True).start()
"""


def test_a_thread_of_grpcs_comes_to_its_end_before_python_does(file, modules):
    """One that is cut off in the middle of gRPC's code can keep the process from its end."""
    (modules / "grpc" / "__init__.py").write_text(THREAD)
    assert speaking(file({**GIVEN, "modules": str(modules)})) == "its thread has ended"


@pytest.mark.parametrize("weak", ["lib", "lib/modules"])
def test_modules_that_others_could_have_put_there_are_not_run(tmp_path, file, modules, weak):
    (tmp_path / weak).chmod(0o757)
    path = file({**GIVEN, "modules": str(modules)})
    with pytest.raises(EtcdError, match=f"the Python modules in {modules} are not believed: .*written by others"):
        load(path)
    assert str(modules) not in sys.path
    assert "are not believed" in speaking(path)


def test_a_password_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "password"
    path.write_text("secret\n")
    side = Side(("http://a:2379",), user="u", password_file=str(path))
    path.chmod(0o644)
    with pytest.raises(EtcdError, match="can be read by others"):
        connection_of(side)
    path.chmod(0o600)
    assert connection_of(side).password == "secret"


def test_settings_that_are_not_there_and_a_name_that_is_none(tmp_path):
    with pytest.raises(EtcdError, match="there are no settings"):
        load(str(tmp_path / "none.json"))
    with pytest.raises(EtcdError, match="is no name"):
        path_of("a/b")
    assert path_of("west") == "/etc/quorum-etcd/mirror/west.json"
