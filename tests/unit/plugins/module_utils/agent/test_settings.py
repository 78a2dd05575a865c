# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The configuration of the agent: what is believed of it, and what is refused with the next step."""

from __future__ import annotations

import json

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.saving import job_of
from ansible_collections.quorum.etcd.plugins.module_utils.agent.settings import Settings, connection_of, load
from ansible_collections.quorum.etcd.plugins.module_utils.backup.retention import Policy
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError

GIVEN = {"cluster": "etcd", "endpoints": ["http://a:2379"], "folder": "/var/backups/etcd", "here": ["http://a:2379"]}


@pytest.fixture
def file(tmp_path):
    def write(text, mode=0o600):
        path = tmp_path / "agent.json"
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        path.chmod(mode)
        return str(path)

    return write


def test_what_is_not_given_has_a_default(file):
    settings = load(file({**GIVEN, "keep": {"last": 3, "daily": 7}, "of a newer version": 1}))
    assert settings == Settings(
        "etcd", ("http://a:2379",), "/var/backups/etcd", ("http://a:2379",), keep={"last": 3, "daily": 7}
    )
    job = job_of(settings, 5.0)
    assert (job.keep, job.patience, job.state_dir) == (Policy(last=3, daily=7), 5.0, "/var/lib/quorum-etcd")
    assert connection_of(settings).password == ""


@pytest.mark.parametrize(
    "given, words",
    [
        ("{", "is not JSON"),
        ([], "cannot be understood: it is a list and not an object"),
        ({**GIVEN, "cluster": None}, "cannot be understood: cluster"),
        ({**GIVEN, "folder": "a\nb"}, "cannot be understood: folder"),
        ({**GIVEN, "endpoints": []}, "has no endpoints"),
        ({**GIVEN, "here": []}, "does not say which member is this host's"),
        ({**GIVEN, "keep": 0}, "does not say how many snapshots are kept"),
        ({**GIVEN, "every_member": "yes"}, "cannot be understood: every_member"),
    ],
)
def test_what_is_wrong_is_refused(file, given, words):
    with pytest.raises(EtcdError, match=words) as refused:
        load(file(given))
    assert refused.value.next_step


def test_a_host_without_a_member_of_its_own_makes_its_own_backups(file):
    assert load(file({**GIVEN, "here": [], "every_member": True})).here == ()


def test_what_others_could_have_written_is_not_believed(file):
    with pytest.raises(EtcdError, match="is not believed: .*can be written by others"):
        load(file(GIVEN, 0o666))


def test_a_path_may_be_relative(file, tmp_path, monkeypatch):
    file(GIVEN)
    monkeypatch.chdir(tmp_path)
    assert load("agent.json").cluster == "etcd"


def test_a_configuration_that_is_not_there_is_said(tmp_path):
    with pytest.raises(EtcdError, match="there is no configuration"):
        load(str(tmp_path / "agent.json"))


def test_the_password_is_read_from_a_file_of_its_own_that_nobody_else_may_read(file, tmp_path):
    secret = tmp_path / "password"
    secret.write_text("it is a secret \n")
    secret.chmod(0o600)
    settings = load(file({**GIVEN, "user": "root", "password_file": str(secret)}))
    assert connection_of(settings).password == "it is a secret "
    assert "secret" not in repr(settings).replace(str(secret), "")
    secret.chmod(0o640)
    with pytest.raises(EtcdError, match="can be read by others") as refused:
        connection_of(settings)
    assert "it is a secret" not in str(refused.value)
    secret.unlink()
    with pytest.raises(EtcdError, match="cannot be read: No such file"):
        connection_of(settings)
