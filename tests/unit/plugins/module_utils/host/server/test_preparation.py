# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A host without etcd is prepared; nothing is touched where something is wrong, or a member is there."""

from __future__ import annotations

import io
import os
import stat

import pytest
import yaml
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.host.discovery import discover
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.preparation import (
    ARCHIVE,
    PACKAGE,
    Preparation,
    Source,
)
from ansible_collections.quorum.etcd.plugins.module_utils.host.server.unit import unit_text
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.server.bare import (
    Etcd,
    everything,
    release,
    server,
)

CONFIG, UNIT, DATA = "etc/etcd/etcd.yml", "etc/systemd/system/etcd.service", "var/lib/etcd/data"


class Bed:
    """``has_user``: whether the host has etcd's user, who is here whoever runs the tests."""

    def __init__(self, tmp_path, monkeypatch):
        self.root = tmp_path / "root"
        self.root.mkdir()
        self.etcd, self.raw, self.sha256 = Etcd(), *release("etcd", "etcdctl", "etcdutl")
        self.has_user = True
        monkeypatch.setattr(Preparation, "_ids", lambda _self: (os.geteuid(), os.getegid()))
        monkeypatch.setattr(Preparation, "_user_is_there", lambda _self: self.has_user)

    def source(self, here=True):
        return Source("archive", self.sha256, (lambda: io.BytesIO(self.raw)) if here else None)

    def prepare(self, pretend=False, source=None, tls=None, **changed):
        job = Preparation(server(**changed), source or self.source(), tls or {}, self.etcd, str(self.root))
        return job.prepare(discover({"state_dir": "/var/lib/quorum-etcd"}, self.etcd, str(self.root)), pretend)

    def path(self, name):
        return os.path.join(str(self.root), name)

    def text(self, name):
        with open(self.path(name)) as stream:
            return stream.read()


@pytest.fixture
def bed(tmp_path, monkeypatch):
    return Bed(tmp_path, monkeypatch)


def test_it_is_prepared_and_the_next_run_changes_nothing(bed):
    done = bed.prepare()
    assert done.version == "3.6.16" and not done.wants and not done.there and done.changes
    config = yaml.safe_load(bed.text(CONFIG))
    assert config["name"] == "m1" and config["initial-cluster-state"] == "existing"
    assert bed.text(UNIT) == unit_text(server())
    assert stat.S_IMODE(os.stat(bed.path(DATA)).st_mode) == 0o700 and os.listdir(bed.path(DATA)) == []
    commands = [words for words in bed.etcd.asked if words[0] == "systemctl"]
    assert ["systemctl", "daemon-reload"] in commands and not [
        words for words in commands if "start" in words or "enable" in words
    ]
    before, bed.etcd.asked = everything(bed.root), []
    assert bed.prepare().changes == []
    assert everything(bed.root) == before
    assert {words[1] for words in bed.etcd.asked if words[0] == "systemctl"} == {"show"}


def test_to_pretend_changes_nothing(bed):
    before = everything(bed.root)
    done = bed.prepare(pretend=True)
    assert done.wants == ARCHIVE and {one["before_header"] for one in done.changes} >= {f"/{CONFIG}", f"/{UNIT}"}
    assert everything(bed.root) == before


def test_what_is_not_here_yet_is_asked_for(bed):
    before = everything(bed.root)
    assert bed.prepare(source=bed.source(here=False)).wants == ARCHIVE
    assert bed.prepare(source=Source("package"), bin_dir="/usr/bin").wants == PACKAGE
    with pytest.raises(EtcdError, match="there is no etcd in /usr/local/bin"):
        bed.prepare(source=Source("none"))
    assert everything(bed.root) == before


def test_the_user_is_made_where_it_is_missing(bed):
    bed.has_user = False
    done = bed.prepare()
    assert done.changes[0]["before_header"] == "user etcd"
    assert [words[0] for words in bed.etcd.asked if words[0] == "useradd"] == ["useradd"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"settings": {"no-such": 1}}, "does not know the setting no-such"),
        ({"settings": {"max-txn-ops": "many"}}, "max-txn-ops is to be of type uint"),
    ],
)
def test_a_setting_that_this_etcd_does_not_take_is_refused_before_anything_counts(bed, changed, words):
    with pytest.raises(EtcdError, match=words):
        bed.prepare(**changed)
    assert not [name for name in (CONFIG, UNIT, DATA, "usr/local/bin/etcd") if os.path.lexists(bed.path(name))]


def test_foreign_data_is_not_taken_over(bed):
    os.makedirs(bed.path(DATA + "/somebodys"))
    with pytest.raises(EtcdError, match="is to be etcd's alone, and there is somebodys in it"):
        bed.prepare()
    assert not os.path.exists(bed.path(UNIT))


def test_a_member_that_is_there_is_not_touched(bed):
    bed.prepare()
    os.makedirs(bed.path(DATA + "/member/snap"))
    before = everything(bed.root)
    done = bed.prepare()
    assert done.there and not done.changes and everything(bed.root) == before


def test_an_empty_folder_that_a_package_has_made_is_no_member(bed):
    os.makedirs(bed.path("var/lib/etcd/default"))
    assert not bed.prepare().there


def test_what_stands_there_of_the_cluster_stays(bed):
    bed.prepare()
    text = bed.text(CONFIG).replace("m1=http://10.0.0.1:2380'", "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380'")
    with open(bed.path(CONFIG), "w") as stream:
        stream.write(text)
    assert bed.prepare().changes == []
    bed.prepare(settings={"log-level": "debug"})
    found = yaml.safe_load(bed.text(CONFIG))
    assert found["log-level"] == "debug" and "m2=http" in found["initial-cluster"]


def test_the_unit(tmp_path):
    text = unit_text(server(data_dir="/srv/etcd", wal_dir="/fast/etcd/wal", bin_dir="/opt/100%", settings={}))
    assert (
        "ReadWritePaths=/srv/etcd /fast/etcd\n" in text
        and "ExecStart=/opt/100%%/etcd --config-file=/etc/etcd/etcd.yml\n" in text
    )
    assert "ProtectHome=yes" in text and "PrivateTmp=yes" in text and "@" not in text.replace("@system-service", "")
    assert "ProtectHome=no" in unit_text(server(bin_dir="/home/etcd/bin"))
