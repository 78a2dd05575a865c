# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cluster is founded of hosts that have no member: the plan with every reason to refuse it, the phases, and the proof."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.host_job import Phase
from ansible_collections.quorum.etcd.plugins.module_utils.core.invocation import invocation
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import confirmation
from ansible_collections.quorum.etcd.plugins.module_utils.core.machinery import Asked
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain, to_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.view import ClusterView
from ansible_collections.quorum.etcd.plugins.module_utils.host.facts import MemberFacts
from ansible_collections.quorum.etcd.plugins.module_utils.host.tools import tools_of
from ansible_collections.quorum.etcd.plugins.module_utils.members import founded
from ansible_collections.quorum.etcd.plugins.module_utils.members.founded import Founding, OfFounding, judge
from ansible_collections.quorum.etcd.plugins.module_utils.members.founding import FOUNDING, WORDS, make_plan
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.host.server.bare import server
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.members.test_switch_leader import view
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import member as member_told

NAMES = ("m1", "m2", "m3")
NOW = "2026-11-24T03:15:00Z"


def wanted(number, **changed):
    urls = {"peer_urls": [f"http://10.0.0.{number}:2380"], "client_urls": [f"http://10.0.0.{number}:2379"]}
    return to_plain(server(**{"name": f"m{number}", **urls, **changed}))


def job(restore_id="20261124T030000Z-0", of="found", is_open=True):
    return {"job": of, "restore_id": restore_id, "step": "start_begun", "open": is_open, "holder": ""}


def planned(seen=None, hosts=NAMES, servers=None, **member):
    """``servers`` and ``member``: by host, or of all of them, what is otherwise than on hosts that have nothing."""
    told, said = {}, {}
    for number, name in enumerate(hosts, 1):
        one = {**member_told(number, "3.6.0"), "data_dir": "", "running": False, "newest_job": None}
        told[name] = {"cluster": "etcd", "why": "", "view": seen, "member": {**one, **member.get(name, {})}}
        said[name] = {"wanted": wanted(number), "there": False, "answered": [], "wants": ""}
        said[name].update((servers or {}).get(name, {}))
    return make_plan(told, Asked({"servers": said}, NOW))


def causes(plan):
    assert all(one["next_step"] for one in plan["refusals"])
    return [f"{one['host']}: {one['cause']}" for one in plan["refusals"]]


def test_the_plan_tells_the_ids_that_it_will_have():
    plan = planned()
    assert plan["refusals"] == [] == plan["warnings"] and list(plan["hosts"]) == list(NAMES)
    of = plan["hosts"]["m2"]["of"]
    assert of["initial_cluster"] == "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380"
    assert of["token"] == f"etcd-{of['restore_id']}" and sorted(of["members"].values()) == list(NAMES)
    own = plan["hosts"]["m2"]
    assert own["member"]["name"] == "m2" and own["member"]["data_dir"] == "/var/lib/etcd/data" and not own["stops"]
    assert [one["reports"] for one in plan["hosts"].values()] == [True, False, False]
    assert f"cluster ID  {of['cluster_id']}" in "\n".join(FOUNDING.plan_in_words(plan))
    assert "This founds cluster etcd" in confirmation(plan, WORDS, "") and confirmation(plan, WORDS, "etcd") == ""


@pytest.mark.parametrize(
    ("changed", "cause"),
    [
        ({"servers": {"m2": {"there": True}}}, "m2: a member is here already, and a founded cluster"),
        (
            {"servers": {"m2": {"there": True}}, "m2": {"data_dir": "/x"}},
            "m2: a member is here already with its data in /x",
        ),
        ({"servers": {"m3": {"answered": ["http://10.0.0.3:2380"]}}}, "m3: somebody answers at http://10.0.0.3:2380"),
        ({"servers": {"m3": {"wanted": wanted(3, name="m1")}}}, "m3: another host too is to be the member m1"),
        ({"servers": {"m3": {"wanted": wanted(1, name="m3")}}}, "the peer URL http://10.0.0.1:2380 stands twice"),
        ({"servers": {"m3": {"wanted": {"name": 7}}}}, "m3: what it answered cannot be understood"),
    ],
)
def test_what_is_there_already_is_refused(changed, cause):
    plan = planned(**changed)
    assert plan["hosts"] == {} and cause in causes(plan)[0], causes(plan)


def test_a_host_that_was_not_looked_at_is_refused():
    told = {"m1": {"cluster": "etcd", "why": "could not be reached", "member": None, "view": None}}
    assert "m1: it could not be looked at" in causes(make_plan(told, Asked({"servers": {}}, NOW)))[0]


def test_an_even_number_is_warned_of():
    assert "survives no more losses than one of 1" in planned(hosts=("m1", "m2"))["warnings"][0]["cause"]


def test_the_very_cluster_is_founded_already():
    one = {f"m{number}": {"peer_urls": [f"http://10.0.0.{number}:2380"]} for number in (1, 2, 3)}
    there = dict.fromkeys(NAMES, {"there": True})
    plan = planned(view(**one, healthy_voters=3), servers=there)
    assert plan["clusters"]["etcd"]["mode"] == "nothing" and confirmation(plan, WORDS, "") == ""
    other = planned(view(**{**one, "m3": {"peer_urls": ["http://10.0.0.9:2380"]}}, healthy_voters=3), servers=there)
    assert len(other["refusals"]) == 3


def test_one_that_was_interrupted_is_gone_on_with():
    there = {"m1": {"there": True}, "m2": {"answered": ["http://10.0.0.2:2380"]}}
    begun = {"newest_job": job()}
    plan = planned(servers=there, m1=begun, m2=begun)
    assert plan["refusals"] == [] and plan["hosts"]["m3"]["restore_id"] == "20261124T030000Z-0"
    assert plan["hosts"]["m3"]["of"]["token"] == "etcd-20261124T030000Z-0"
    assert "m1: a member is here already" in causes(planned(servers=there, m2=begun))[0]
    done = {"newest_job": job(is_open=False)}
    assert len(planned(servers=there, m1=done, m2=done)["refusals"]) == 2


def seen_as(of, **changed):
    members = [
        {
            "id": number, "name": name, "state": "serves", "errors": [], "endpoint": "", "healthy": True, "has_leader": True,
            "is_leader": False, "started": True, **changed.pop(name, {}),
        }
        for number, name in of.members.items()
    ]  # fmt: skip
    whole = view(cluster_id=of.cluster_id, cluster_ids=[of.cluster_id], hashes_equal=True)
    return from_plain(ClusterView, {**whole, "members": members, **changed})


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({}, []),
        ({"cluster_ids": ["abc"]}, ["cluster IDs that answer"]),
        ({"m2": {"started": False}}, ["members"]),
        ({"m2": {"healthy": False}}, ["healthy members"]),
        ({"hashes_equal": None}, ["equal hash of all members at one revision"]),
        ({"hashes_equal": False}, ["equal hash of all members at one revision"]),
    ],
)
def test_the_proof(changed, failed):
    of = from_plain(OfFounding, planned()["hosts"]["m1"]["of"], "of")
    assert [one.what for one in judge(of, seen_as(of, **changed)) if not one.ok] == failed


class Host:
    """A prepared host: its configuration, systemd that does as it is told, and members that are as was planned, or not."""

    def __init__(self, tmp_path, monkeypatch):
        self.asked, self.config, self.state = [], tmp_path / "etcd.yml", tmp_path / "state"
        self.config.write_text("name: m1\ndata-dir: /var/lib/etcd/data\ninitial-cluster-state: existing\n")
        self.has_member, self.name, self.hashes_equal = False, "m1", True
        self.plan = planned()["hosts"]["m1"]
        self.plan["member"]["state_dir"] = str(self.state)
        self.of = from_plain(OfFounding, self.plan["of"], "of")
        monkeypatch.setattr(founded, "discover", lambda _params, _run: self.member())
        monkeypatch.setattr(founded, "find_tools", lambda _run, _folder: tools_of(self.member().tools))
        monkeypatch.setattr(founded, "observe", lambda *_given: seen_as(self.of, hashes_equal=self.hashes_equal))

    def member(self):
        found = member_told(1, "3.6.0", name=self.name, data_dir="/var/lib/etcd/data", settings={})
        found["config"] = {"format": "yaml", "path": str(self.config)}
        found["data"] = {**found["data"], "has_member": self.has_member}
        return from_plain(MemberFacts, found)

    def run(self, argv, env):
        self.asked.append(" ".join(argv))
        return Result(0, "", "")

    def do(self, phase):
        return Founding(self.plan, self.run, Connection(["http://10.0.0.1:2379"])).answer(Phase(phase, 0.0), False)

    def systemctl(self):
        return [words for words in self.asked if words.startswith("systemctl") and " show " not in words]


@pytest.fixture
def host(tmp_path, monkeypatch):
    return Host(tmp_path, monkeypatch)


def test_a_member_is_started_without_waiting_proven_and_set_to_existing(host):
    assert host.do("start")["changed"]
    text = host.config.read_text()
    assert "initial-cluster-state: new" in text and host.of.initial_cluster in text and host.of.token in text
    assert "systemctl start --no-block etcd" in host.systemctl() and "systemctl --quiet enable etcd" in host.systemctl()
    host.asked = []
    assert not host.do("start")["changed"] and host.systemctl() == [], "the next run goes on behind it"
    assert not host.do("prove")["changed"]
    done = host.do("settle")
    assert done["changed"] and "initial-cluster-state: existing" in host.config.read_text()
    steps = [one["step"] for one in done["journal"]]
    assert steps[-3:] == ["settle_begun", "settle_done", "finished"] and "proven" in steps


def test_what_is_not_as_planned_is_not_proven_and_stays_new(host):
    host.do("start")
    host.hashes_equal = False
    with pytest.raises(EtcdError, match="it is not proven: equal hash of all members"):
        host.do("prove")
    assert "initial-cluster-state: new" in host.config.read_text()


def test_data_that_came_since_the_plan_is_not_started(host):
    host.has_member = True
    with pytest.raises(EtcdError, match="there is data in /var/lib/etcd/data since the plan"):
        host.do("start")
    assert host.systemctl() == [] and "existing" in host.config.read_text()


def test_after_a_kill_within_the_start_its_own_data_is_gone_on_with(host):
    def dies(argv, env):
        if argv[:2] == ["systemctl", "start"]:
            raise KeyboardInterrupt
        return Result(0, "", "")

    run, host.run = host.run, dies
    with pytest.raises(KeyboardInterrupt):
        host.do("start")
    host.run, host.has_member = run, True
    assert host.do("start")["changed"] and "systemctl start --no-block etcd" in host.systemctl()


def test_another_member_than_the_planned_one_is_not_started(host):
    host.name = "m7"
    with pytest.raises(EtcdError, match="the unit etcd is of the member m7"):
        host.do("start")
    assert host.systemctl() == []


def test_the_next_command_asks_for_the_same(host):
    given = ["etcd_found=true etcd_auth_password=geheim etcd_install_from=archive"]
    line = invocation(WORDS, ["/x/playbooks/install.yml"], ["prod"], given).line(variables={WORDS.confirm: "etcd"})
    assert line == (
        "ansible-playbook /x/playbooks/install.yml -i prod -e etcd_found=true -e etcd_install_from=archive"
        " -e etcd_found_confirm=etcd"
    )
    assert "/x/playbooks/status.yml" in invocation(WORDS, ["/x/playbooks/install.yml"], ["prod"], []).line("status")
