# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the proof will be able to ask each member: what can be tried before is tried before."""

from __future__ import annotations

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.job import Findings
from ansible_collections.quorum.etcd.plugins.module_utils.restore.answers import read_answers
from ansible_collections.quorum.etcd.plugins.module_utils.restore.reach import check_reach
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore import builder
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.builder import setting


def url(number):
    return f"https://etcd{number}:2379"


def peer(number):
    return f"https://10.0.0.{number}:2380"


def answer(number, **changes):
    return builder.answer(number, **{"endpoint": url(number), **changes})


def listed(number, **changes):
    return builder.listed(number, **{"peer_urls": [peer(number)], "endpoint": url(number), **changes})


def hosts():
    members = [builder.member(number, peer_urls=[peer(number)], client_urls=[url(number)]) for number in (1, 2, 3)]
    given = builder.hosts(members=members)
    for number, facts in enumerate(given.values(), 1):
        facts["member"]["connection"]["endpoints"] = [url(number)]
        facts["view"].update(endpoints=[answer(number)], members=[listed(one) for one in (1, 2, 3)])
    return given


def told(given):
    findings = Findings("etcd")
    answers, wrong = read_answers(given)
    assert wrong == {}
    check_reach({host: answer.told for host, answer in answers.items()}, findings)
    return [f"{item['host']}: {item['cause']} {item['next_step']}" for item in findings.refusals], [
        f"{item['host']}: {item['cause']}" for item in findings.warnings
    ]


def test_members_that_answer_and_those_that_are_down_are_as_they_should_be():
    given = hosts()
    assert told(given) == ([], [])
    given["host3"]["member"]["running"] = False
    given["host3"]["view"].update(
        endpoints=[answer(3, state="down", member_id="", error="Connection refused")],
        members=[],
        members_complete=False,
    )
    assert told(given) == ([], [])
    given["host3"]["member"]["running"] = True
    assert told(given) == ([], []), "one that dies again and again is what a restore is for"
    given["host3"]["view"] = None
    assert told(given) == ([], []), "without a tool to ask with it is refused elsewhere"


@pytest.mark.parametrize("running", [True, False])
def test_a_member_that_refuses_is_refused_whether_or_not_its_process_was_found(running):
    given = hosts()
    given["host2"]["member"]["running"] = running
    refuses = {"refusal": "refuses the client certificate", "next_step": "renew it."}
    given["host2"]["view"]["endpoints"] = [
        answer(2, state="unaskable", member_id="", error="it has expired", **refuses)
    ]
    refusals, _warnings = told(given)
    assert len(refusals) == 1
    assert (
        "cannot be asked: https://etcd2:2379 refuses the client certificate: it has expired. renew it." in refusals[0]
    )
    assert refusals[0].startswith("host2: its etcd runs and" if running else "host2: its client URL cannot")


def test_a_member_that_hangs_is_told_of_and_may_be_restored():
    given = hosts()
    given["host2"]["view"]["endpoints"] = [
        answer(2, state="unaskable", member_id="", error="context deadline exceeded")
    ]
    refusals, warnings = told(given)
    assert refusals == [] and "host2: its etcd runs and gives no answer" in warnings[0]


def test_a_certificate_that_is_made_anew_with_each_data_directory_is_trusted_by_nobody():
    given = hosts()
    given["host2"]["member"]["settings"]["auto-tls"] = setting("true")
    given["host1"]["member"]["settings"].update({"auto-tls": setting("true"), "cert-file": setting("/etc/etcd/m.crt")})
    given["host3"]["member"]["settings"]["auto-tls"] = setting("false")
    refusals, _warnings = told(given)
    assert len(refusals) == 1 and "host2: it makes its own certificate (auto-tls)" in refusals[0]
    given["host2"]["view"]["endpoints"] = [
        answer(2, state="unaskable", refusal="has a certificate that is not trusted")
    ]
    assert len(told(given)[0]) == 1, "one cause, one refusal"


def test_a_member_that_listens_where_its_client_url_does_not_lead():
    given = hosts()
    given["host2"]["view"].update(
        endpoints=[answer(2, state="down", member_id="", error="No route to host")], opens=["https://10.0.0.2:2379"]
    )
    refusals, _warnings = told(given)
    assert (
        "host2: its etcd runs and opens https://10.0.0.2:2379, but cannot be reached at its client URL" in refusals[0]
    )
    assert "No route to host" in refusals[0] and "such as https://10.0.0.2:2379." in refusals[0]


def test_one_url_for_all_is_refused_with_what_would_do():
    given = hosts()
    for facts in given.values():
        facts["member"].update(
            client_urls=["https://vip:2379"],
            connection={**facts["member"]["connection"], "endpoints": ["https://vip:2379"]},
        )
        facts["view"]["endpoints"] = [answer(1, endpoint="https://vip:2379")]
    refusals, _warnings = told(given)
    assert len(refusals) == 3, "one cause, one refusal for each host"
    assert "host2: it has the same client URL as host1: https://vip:2379." in refusals[1]
    assert "here such as https://10.0.0.2:2379." in refusals[1]


def test_a_url_of_its_own_that_leads_to_another_member():
    given = hosts()
    given["host3"]["view"]["endpoints"][0]["member_id"] = "1"
    refusals, _warnings = told(given)
    assert (
        len(refusals) == 1 and "host3: its client URL https://etcd3:2379 is answered by the member m1." in refusals[0]
    )


def test_a_balancer_or_a_loopback_beside_a_url_of_its_own_does_no_harm():
    given = hosts()
    for number, facts in enumerate(given.values(), 1):
        facts["member"]["connection"]["endpoints"] = ["https://vip:2379", url(number)]
        facts["view"]["endpoints"] = [answer(1, endpoint="https://vip:2379"), answer(number)]
    assert told(given) == ([], [])
    for facts in given.values():
        facts["view"].update(members_complete=False, members=[])
    assert told(given) == ([], [])


def test_one_member_behind_two_urls_is_seen_by_its_id_where_there_is_no_list():
    given = hosts()
    for facts in given.values():
        facts["view"].update(members_complete=False, members=[])
    assert told(given) == ([], [])
    given["host3"]["view"]["endpoints"][0]["member_id"] = "1"
    assert (
        "host3: its client URL https://etcd3:2379 is answered by the same member as that of host1." in told(given)[0][0]
    )


def test_a_member_with_another_name_at_the_same_peer_url_is_itself():
    given = hosts()
    given["host1"]["member"]["name"] = "renamed"
    assert told(given) == ([], [])


def test_a_member_that_only_its_own_host_reaches():
    given = hosts()
    given["host1"]["view"]["members"][2] = listed(3, state="down", errors=["no connection within 2 s"])
    refusals, _warnings = told(given)
    assert refusals == [
        "host1: it cannot ask the member m3 at https://etcd3:2379, which answers on its own host: no connection within 2 s."
        " open the way from here to there (firewall, name, certificate), or set etcd_client_urls of that host."
    ]
    given["host3"]["view"]["endpoints"] = [answer(3, state="down", member_id="", error="Connection refused")]
    assert told(given) == ([], []), "it does not answer on its own host either: it is down"
