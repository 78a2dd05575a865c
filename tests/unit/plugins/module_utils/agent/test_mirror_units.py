# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The units of mirrors, and the few lines of shell that say what make-mirror's numbers are."""

from __future__ import annotations

import subprocess

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_units import (
    COUNTED,
    classic_unit,
    engine_unit,
    environment_file,
    mirror_timer,
)
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Command

ENVIRONMENT, PASSWORD = "/etc/quorum-etcd/mirror/dr.environment", "/etc/quorum-etcd/mirror/dr.destination.password"


def lines(unit):
    return unit.splitlines()


def test_the_classic_service():
    command = Command(["/ctl", "make-mirror", '--prefix=a %$ "\\;', "@NAME@", "http://c:2379"], {})
    unit = lines(classic_unit("dr", command, ENVIRONMENT, PASSWORD, ["/etc/pki/ca.crt"]))
    words = '"--prefix=a %%$$ \\"\\\\;" @NAME@ http://c:2379'
    assert f"ExecStart=/bin/sh /usr/local/lib/quorum-etcd/counted /ctl make-mirror {words}" in unit
    assert f"EnvironmentFile={ENVIRONMENT}" in unit and f"StandardInput=file:{PASSWORD}" in unit
    assert "CapabilityBoundingSet=CAP_DAC_OVERRIDE CAP_DAC_READ_SEARCH" in unit and "ProtectSystem=strict" in unit
    assert "Restart=always" in unit and "StartLimitIntervalSec=0" in unit and "RestartMaxDelaySec=300" in unit
    assert "WantedBy=multi-user.target" in unit and "PrivateTmp=yes" in unit
    assert not [line for line in unit if line.startswith("ReadWritePaths")]
    hidden = lines(classic_unit("dr", command, ENVIRONMENT, paths=["/tmp/pki/ca.crt"]))
    assert "PrivateTmp=no" in hidden and not [line for line in hidden if line.startswith("StandardInput")]


def test_the_engine_s_service():
    unit = lines(engine_unit("dr", "/var/lib/q/mirror/dr", [], "/var/lib/node", periodic=False))
    assert "ExecStart=/usr/local/bin/quorum-etcd mirror run dr" in unit and "RestartPreventExitStatus=4" in unit
    assert 'ReadWritePaths="/var/lib/q/mirror/dr" "-/var/lib/node"' in unit and "Restart=always" in unit


def test_the_engine_by_a_timer():
    unit = lines(engine_unit("dr", "/var/lib/q/mirror/dr", [], "", periodic=True))
    assert "ExecStart=/usr/local/bin/quorum-etcd mirror run dr --once" in unit and "Type=oneshot" in unit
    assert not [line for line in unit if line.startswith(("Restart", "WantedBy", "StartLimit"))]
    timer = lines(mirror_timer("dr", 900))
    assert "OnActiveSec=0" in timer and "OnUnitInactiveSec=900" in timer and "WantedBy=timers.target" in timer


def test_the_file_with_the_source_s_user():
    told = environment_file({"ETCDCTL_USER": "root", "ETCDCTL_PASSWORD": "a\"b\\c$d`e'f g"})
    assert told == 'ETCDCTL_PASSWORD="a\\"b\\\\c\\$d\\`e\'f g"\nETCDCTL_USER="root"\n'


@pytest.mark.parametrize(
    ("script", "said", "code"),
    [
        ("echo 12; echo 1300; exit 0", "12 keys so far\n1300 keys so far\n", 0),
        ("read -r given; echo 'Destination Password: '; echo $given; exit 3", "7 keys so far\n", 3),
        ("printf '%s\\n' 'Error: it is \\n gone'; exit 1", "Error: it is \\n gone\n", 1),
        ("echo 5; kill -9 $$", "5 keys so far\n", 137),
        ("printf 5", "5ended with 0\n", 1),
    ],
)
def test_numbers_are_keys_and_the_end_is_the_command_s(tmp_path, script, said, code):
    (tmp_path / "counted").write_text(COUNTED)
    argv = ["/bin/sh", str(tmp_path / "counted"), "/bin/sh", "-c", script]
    done = subprocess.run(argv, input="7\n", capture_output=True, text=True, timeout=20, check=False)
    assert (done.stdout, done.returncode) == (said, code)
