# SPDX-License-Identifier: GPL-3.0-or-later
"""The report of a run: its outcome, the outage that the journals bound, and what may and may not be in it."""

from __future__ import annotations

import copy
import json
import math
import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.invocation import Invocation, invocation
from ansible_collections.quorum.etcd.plugins.module_utils.core.journal import Entry
from ansible_collections.quorum.etcd.plugins.module_utils.core.text import span
from ansible_collections.quorum.etcd.plugins.module_utils.core.values import from_plain
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.quorum import quorum_size
from ansible_collections.quorum.etcd.plugins.module_utils.report.data import (
    Given,
    build,
    clocks_apart,
    decide,
    gather,
    phases,
    unplanned,
)
from ansible_collections.quorum.etcd.plugins.module_utils.restore.outage import find_outage
from ansible_collections.quorum.etcd.plugins.module_utils.restore.reported import BARRIERS, PHASES, REPORT
from ansible_collections.quorum.etcd.plugins.module_utils.restore.terms import WORDS

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
NOW = "2026-11-24T15:01:00Z"
ZERO = datetime(2026, 11, 24, 3, 0, 0)
HOST = "etcd2.example.org"


def recorded(name, **changes):
    """What a real run gave: ``restored`` on three hosts, or ``rolled-back`` on five, where etcd of m2 did not start."""
    given = json.loads((FIXTURES / f"report-{name}.json").read_text())
    return Given(**{**given, **changes})


def journal(**times):
    """A journal whose steps were written so many seconds after ZERO."""
    return [
        Entry(step, f"{(ZERO + timedelta(seconds=at)).isoformat(timespec='microseconds')}Z")
        for step, at in times.items()
    ]


def hosts(count, down=()):
    return {f"h{number}": {"was_running": f"h{number}" not in down} for number in range(count)}


def serving(count):
    return {"has_quorum": True, "members": [{"is_learner": False}] * count}


# ---- the outcome -----------------------------------------------------------------------------------------------------

RUN = {"check": False, "refused": False, "unconfirmed": False, "failed": False}
OUTCOMES = [
    ("check", "restore", {"check": True, "unconfirmed": True}, {"a": None}),
    ("check", "resume", {"check": True}, {"a": None}),
    ("refused", "restore", {"refused": True, "check": True}, {}),
    ("refused", "restore", {"refused": True, "unconfirmed": True, "failed": True}, {}),
    ("unconfirmed", "restore", {"unconfirmed": True}, {"a": None}),
    ("unconfirmed", "rollback", {"unconfirmed": True, "failed": True}, {"a": "finished"}),
    ("nothing", "nothing", {}, {}),
    ("nothing", "nothing", {"check": True, "unconfirmed": True}, {}),
    ("failed", "nothing", {"failed": True}, {}),
    ("restored", "restore", {}, {"a": "finished", "b": "finished"}),
    ("restored", "resume", {}, {"a": "finished"}),
    ("restored", "restore", {"failed": True}, {"a": "finished"}),
    ("rolled-back", "restore", {"failed": True}, {"a": "rolled_back", "b": "rolled_back"}),
    ("rolled-back", "restore", {"failed": True}, {"a": "rolled_back", "b": ""}),
    ("rolled-back", "rollback", {}, {"a": "rolled_back"}),
    ("failed", "rollback", {"failed": True}, {"a": "finished"}),
    ("failed", "rollback", {"failed": True}, {"a": "rolled_back", "b": "rolling_back"}),
    ("failed", "restore", {"failed": True}, {"a": "finished", "b": "proven"}),
    ("failed", "restore", {"failed": True}, {"a": "finished", "b": "rolled_back"}),
    ("failed", "restore", {"failed": True}, {"a": "rolled_back", "b": None}),
    ("failed", "restore", {"failed": True}, {"a": "", "b": ""}),
    ("failed", "restore", {}, {"a": "finished", "b": None}),
    ("failed", "restore", {"check": True, "failed": True}, {"a": None}),
]


@pytest.mark.parametrize(("outcome", "mode", "run", "last"), OUTCOMES)
def test_the_outcome(outcome, mode, run, last):
    assert decide(mode, "restored", **{**RUN, **run}, last=last) == outcome


# ---- phases ----------------------------------------------------------------------------------------------------------


def entries_of(journal):
    return [from_plain(Entry, plain) for plain in journal]


def phases_of(entries):
    return phases(entries, PHASES)


def spans(entries):
    return [(row["phase"], row["done"], [step["step"] for step in row["steps"]]) for row in phases_of(entries)]


def test_phases_of_a_whole_restore():
    entries = entries_of(recorded("restored").journals[HOST])
    assert spans(entries) == [
        ("stage", True, ["planned", "kept", "staged"]),
        ("stop", True, ["stopping", "stopped"]),
        ("cutover", True, ["configured", "set_aside", "swapped", "started"]),
        ("prove", True, ["proven"]),
        ("finish", True, ["finished"]),
    ]
    assert phases_of(entries)[3]["start"] == phases_of(entries)[2]["end"], "the proof is waited for from the start on"


def test_a_phase_that_was_broken_off_ends_where_the_next_begins():
    rows = phases_of(entries_of(recorded("rolled-back").journals["m2"]))
    assert [(row["phase"], row["done"]) for row in rows][2:] == [("cutover", False), ("rollback", True)]
    assert rows[2]["end"] == rows[3]["start"]


def test_a_phase_that_was_killed_has_no_end_and_one_that_was_done_again_stands_twice():
    killed = phases_of(journal(planned=0, staged=1, stopping=2))
    assert killed[-1] == {**killed[-1], "phase": "stop", "end": None, "done": False}
    again = journal(planned=0, staged=1, stopping=2) + journal(stopping=60, stopped=61)
    assert [(row["phase"], row["done"]) for row in phases_of(again)] == [
        ("stage", True),
        ("stop", False),
        ("stop", True),
    ]


def test_a_rollback_of_what_was_never_stopped():
    assert spans(journal(planned=0, rolled_back=1)) == [
        ("stage", False, ["planned"]),
        ("rollback", True, ["rolled_back"]),
    ]


# ---- the outage ------------------------------------------------------------------------------------------------------


def restored(stopping, stopped, swapped, proven):
    return journal(stopping=stopping, stopped=stopped, configured=swapped, swapped=swapped, proven=proven)


def test_the_outage_lies_between_what_the_journals_say():
    journals = {"h0": restored(1, 2, 5, 9), "h1": restored(1.5, 3, 6, 8), "h2": restored(2, 2.5, 5.5, 10)}
    outage = find_outage(journals, hosts(3), serving(3))
    # The second of three to stop takes the quorum away: told at 1.5, gone at 2.5. The second to be up makes the new one.
    assert [outage[key][17:21] for key in ("start", "sure_start", "sure_end", "end")] == [
        "01.5",
        "02.5",
        "05.5",
        "08.0",
    ]
    assert (outage["at_least"], outage["at_most"]) == (3.0, 8.0)
    assert not outage["down_before"]


def test_clocks_that_differ_change_no_length_and_are_noticed():
    journals = {"h0": restored(1, 2, 5, 9), "h1": restored(1.5, 3, 6, 8), "h2": restored(2, 2.5, 5.5, 10)}
    true = find_outage(journals, hosts(3), serving(3))
    assert clocks_apart(journals, hosts(3), BARRIERS) == 0
    journals["h1"] = restored(1001.5, 1003, 1006, 1008)
    skewed = find_outage(journals, hosts(3), serving(3))
    assert (skewed["at_least"], skewed["at_most"]) == (true["at_least"], true["at_most"])
    assert (
        clocks_apart(journals, hosts(3), BARRIERS) == 996.5
    )  # it was told to stop at 1001.5 by its clock, and h0 went on at 5


def test_a_cluster_that_could_not_be_asked_is_not_said_to_have_been_down():
    journals = {"h0": restored(1, 2, 5, 9), "h1": restored(1.5, 3, 6, 8), "h2": restored(2, 2.5, 5.5, 10)}
    silent = {**serving(3), "has_quorum": False}
    assert find_outage(journals, hosts(3), silent)["down_before"]
    assert not find_outage(journals, hosts(3), {**silent, "quorum_unknown": True})["down_before"]


def test_a_member_that_was_down_and_is_waited_for_by_nobody_has_no_other_clock():
    """Seen: its host wrote that it is to stop when the others, who saw its port closed, had gone on already."""
    journals = {"h0": restored(1, 2, 3, 9), "h1": restored(1.5, 2.5, 3.1, 8), "h2": restored(4, 4.5, 5.5, 10)}
    assert clocks_apart(journals, hosts(3, down={"h2"}), BARRIERS) == 0
    assert clocks_apart(journals, hosts(3), BARRIERS) == 1.0


@pytest.mark.parametrize("seed", range(300))
def test_the_bounds_hold_for_any_clocks_and_any_order(seed):
    """What really happened is made up, journals are written of it by clocks that are wrong, and must bound it."""
    chance = random.Random(seed)
    count = chance.choice([1, 2, 3, 4, 5, 7])
    quorum = quorum_size(count)
    may_be_down = count - quorum
    down = {f"h{number}" for number in chance.sample(range(count), chance.randint(0, may_be_down))}
    own = hosts(count, down)
    told = {host: chance.uniform(0, 3) for host in own}
    gone = {host: told[host] + chance.uniform(0.001, 2) for host in own}
    noted = {host: gone[host] + chance.uniform(0.001, 2) for host in own}
    ready = {host: max(noted.values()) + chance.uniform(0, 3) for host in own}
    up = {host: ready[host] + chance.uniform(0.001, 3) for host in own}
    leader = sorted(up.values())[quorum - 1] + chance.uniform(0, 2)
    proven = {host: leader + chance.uniform(0.001, 2) for host in own}
    lost = sorted(gone[host] for host in own if host not in down)[count - len(down) - quorum]
    skew = {host: chance.choice([0, chance.uniform(-100, 100)]) for host in own}
    journals = {host: restored(*(at[host] + skew[host] for at in (told, noted, ready, proven))) for host in own}
    outage = find_outage(journals, own, serving(count))
    assert outage["at_most"] >= leader - lost - 0.001
    if outage["at_least"] is not None:
        assert outage["at_least"] <= leader - lost + 0.001
    assert outage["at_least"] is not None or down, "with all members up there is a bound from below"

    silent = chance.choice(sorted(own))
    known = {host: entries for host, entries in journals.items() if host != silent}
    partly = find_outage(known, own, serving(count))
    assert partly["at_least"] is None or (silent in down and partly["at_least"] <= leader - lost + 0.001)
    assert partly["at_most"] is None or partly["at_most"] >= leader - lost - 0.001

    back = {host: max(noted.values()) + chance.uniform(0, 3) for host in own}
    served = sorted(back[host] + chance.uniform(0.001, 2) for host in own if host not in down)[quorum - 1]
    journals = {
        host: journal(
            stopping=told[host] + skew[host], stopped=noted[host] + skew[host], put_back=back[host] + skew[host]
        )
        for host in own
    }
    rolled_back = find_outage(journals, own, serving(count), to_old_data=True)
    assert rolled_back["at_most"] is None
    assert rolled_back["at_least"] is None or rolled_back["at_least"] <= served - lost + 0.001


def test_a_cluster_that_was_down_before():
    journals = {"h0": restored(1, 2, 5, 9), "h1": restored(1.5, 3, 6, 8), "h2": restored(2, 2.5, 5.5, 10)}
    outage = find_outage(journals, hosts(3, down={"h0", "h1"}), {**serving(3), "has_quorum": False})
    assert outage["down_before"] and outage["at_least"] is None
    assert outage["at_most"] == 8, "the longest from a stop to the proof"
    assert find_outage({}, {}, {**serving(3), "has_quorum": False})["down_before"]
    assert not find_outage({}, {}, {"has_quorum": False})["down_before"], "nobody has seen the cluster"


def test_where_a_quorum_was_kept_there_was_no_outage():
    journals = {"h0": journal(stopping=1, stopped=2), "h1": [], "h2": []}
    outage = find_outage(journals, hosts(3), serving(3))
    assert outage.pop("down_before") is False and set(outage.values()) == {None}


def test_a_member_that_was_stopped_twice_may_have_served_in_between():
    twice = restored(1, 2, 5, 9) + journal(stopping=100, stopped=101, swapped=102, proven=110)
    journals = {"h0": twice, "h1": restored(1.5, 3, 6, 8), "h2": restored(2, 2.5, 5.5, 10)}
    assert find_outage(journals, hosts(3), serving(3))["at_least"] is None


def test_a_cluster_that_grows_may_have_its_new_quorum_on_other_hosts():
    journals = {"h0": restored(1, 4, 5, 9), "h1": restored(1, 1, 1, 9), "h2": restored(1, 1, 1, 9)}
    outage = find_outage(journals, hosts(3, down={"h1", "h2"}), serving(1))
    assert outage["at_least"] is None and outage["at_most"] == 8


# ---- whole reports ---------------------------------------------------------------------------------------------------


def test_a_restore_that_succeeded():
    report = build("etcd", recorded("restored"), NOW, REPORT)
    assert (report["schema"], report["outcome"], report["cluster"]) == (1, "restored", "etcd")
    assert report["headline"] == "Cluster etcd is restored from the backup of 2026-11-24 14:59:59 UTC, and proven."
    plan = recorded("restored").plan["clusters"]["etcd"]
    assert report["cluster_id"] == {"before": plan["before"]["cluster_id"], "after": plan["cluster_id"]}
    assert report["snapshot"]["sha256"] == plan["snapshot"]["sha256"] and report["snapshot"]["on"] == ""
    assert report["loss"]["revisions"] == 2 and report["loss"]["seconds"] >= plan["loss"]["seconds"]
    assert 0 < report["outage"]["at_least"] < report["outage"]["at_most"]
    assert len(report["proof"]) == 7 and all(check["ok"] for check in report["proof"])
    assert report["clocks_apart"] == 0 and report["unfinished"] == [] and report["summary"]
    host = report["hosts"][HOST]
    assert (host["member"], host["last_step"]) == ("m2", "finished")
    aside = "/srv/lab/m2/data.before-" + report["restore_id"]
    assert host["moved"][0] == {"from": "/srv/lab/m2/data", "to": aside, "contents": False}
    assert host["kept"] == [aside]
    assert {"initial-cluster-state": "existing"}.items() <= {s["setting"]: s["after"] for s in host["settings"]}.items()
    assert [fact["title"] for fact in report["facts"]] == ["Lost", "Writes were impossible", "Proven"]
    commands = [command for step in report["next_steps"] for command in step["commands"]]
    assert {"on": [HOST], "command": f"sudo rm -r -- {aside}"} in commands
    later = [step for step in report["next_steps"] if any("rm -r" in c["command"] for c in step["commands"])]
    assert [step["later"] for step in later] == [True], "the old data is only ever removed later"
    assert json.loads(json.dumps(report)) == report


def test_clients_are_restarted_where_the_revision_was_not_raised():
    given = recorded("restored")
    assert not any("Restart every client" in step["what"] for step in build("etcd", given, NOW, REPORT)["next_steps"])
    given.plan["clusters"]["etcd"]["bump"] = 0
    assert any("Restart every client" in step["what"] for step in build("etcd", given, NOW, REPORT)["next_steps"])


def test_a_restore_that_was_rolled_back():
    given = recorded("rolled-back")
    given.plan["hosts"]["m2"]["member"]["service"] = {"manager": "systemd", "name": "etcd"}
    report = build("etcd", given, NOW, REPORT)
    assert report["outcome"] == "rolled-back" and report["touched"]
    assert report["headline"] == "The restore of cluster etcd failed, and its old data is back in place."
    assert report["outage"]["at_most"] is None and report["outage"]["at_least"] > 0
    assert report["proof"] == [] and report["loss"] == {"seconds": None, "revisions": None, "unknown": ""}
    assert report["hosts"]["m1"]["kept"] == ["/srv/lab/m1/data.rolled-back-" + report["restore_id"]]
    assert report["hosts"]["m1"]["settings"] == [], "they are as they were"
    commands = [command for step in report["next_steps"] for command in step["commands"]]
    logs = [command for command in commands if "journalctl" in command["command"]]
    assert [command["on"] for command in logs] == [["m2"]], "only the host that failed is looked at"
    assert [item["host"] for item in report["reasons"]] == ["m2"]


def test_a_rollback_that_was_asked_for_is_timed_by_itself():
    given = recorded("restored", text=(), summary=())
    plan = copy.deepcopy(given.plan)
    cluster = plan["clusters"]["etcd"]
    plan["clusters"]["etcd"] = {**{k: v for k, v in cluster.items() if k not in ("before", "loss")}, "mode": "rollback"}
    back = [{"step": "rolling_back", "time": "2026-11-24T16:00:00.0Z"}]
    back += [{"step": step, "swap": 0, "time": "2026-11-24T16:00:02.0Z"} for step in ("retired", "put_back")]
    back += [{"step": "rolled_back", "time": "2026-11-24T16:00:03.0Z"}]
    for own in plan["hosts"].values():
        own["mode"] = "rollback"
    journals = {host: entries + back for host, entries in given.journals.items()}
    report = build("etcd", recorded("restored", plan=plan, journals=journals), NOW, REPORT)
    assert report["outcome"] == "rolled-back"
    assert report["headline"] == (
        "The restore of cluster etcd is taken back: its old data is in place again. Restart every client that watches."
    )
    assert "kube-apiserver first, then kube-controller-manager" in report["next_steps"][0]["what"]
    assert (report["facts"][0]["value"], report["facts"][0]["state"]) == (
        "What was written to the restored cluster",
        "bad",
    )
    assert report["outage"]["start"] == "2026-11-24T16:00:00.000000Z" and report["outage"]["back"] == 3
    assert report["facts"][1]["value"] == "3 s and an election"


def test_the_first_line_of_a_rollback_says_that_clients_may_have_seen_the_wrong_data():
    given = recorded("rolled-back")
    host = next(iter(given.journals))
    wrong = [{"step": "wrong", "time": "2026-11-24T16:00:00.0Z", "checks": []}]
    journals = {**given.journals, host: [*given.journals[host][:-1], *wrong, given.journals[host][-1]]}
    report = build("etcd", recorded("rolled-back", journals=journals), NOW, REPORT)
    assert report["served"] == "wrong" and report["headline"] == (
        "Clients may have seen and written wrong data. The restore of cluster etcd failed, and its old data is back in place."
        " Restart every client that watches."
    )
    assert report["next_steps"][0]["what"].startswith("Now, restart every client that watches")
    half_way = {**journals, "m2": given.journals["m2"][:-1]}
    report = build("etcd", recorded("rolled-back", journals=half_way), NOW, REPORT)
    assert report["outcome"] == "failed" and report["headline"].startswith(
        "Clients may have seen and written wrong data. "
    )


def test_a_cluster_that_is_restored_but_for_a_late_member():
    """Its quorum is proven and stays; the late member's own journal ends with its start."""
    given = recorded("restored")
    late = "etcd3.example.org"
    journals = {host: copy.deepcopy(entries) for host, entries in given.journals.items()}
    for entries in journals.values():
        for entry in entries:
            if entry["step"] == "proven":
                entry["missing"] = ["m3"]
                entry["checks"] = [{**check, "ok": check["what"] != "healthy members"} for check in entry["checks"]]
    journals[late] = [entry for entry in journals[late] if entry["step"] not in ("serving", "proven", "finished")]
    reasons = [{"host": late, "text": "the restored cluster did not prove itself in full"}]
    report = build("etcd", recorded("restored", journals=journals, reasons=reasons, summary=()), NOW, REPORT)
    assert report["outcome"] == "failed" and report["unfinished"] == [late] and report["missing"] == ["m3"]
    assert report["headline"] == (
        "Cluster etcd is restored and serves, but not in full: m3 is missing. It stays so, and another run completes it."
    )
    assert [fact["title"] for fact in report["facts"]][::2] == ["Lost", "Proven"]
    assert report["facts"][0]["value"] != "Still open" and report["facts"][2]["value"] == "A quorum"
    assert any("what was written since is no longer served" in step["what"] for step in report["next_steps"])


def test_a_proof_that_was_completed_later_is_the_one_that_counts():
    given = recorded("restored")
    journals = {host: copy.deepcopy(entries) for host, entries in given.journals.items()}
    for entries in journals.values():
        number = next(n for n, entry in enumerate(entries) if entry["step"] == "proven")
        first = copy.deepcopy(entries[number])
        first.update(missing=["m3"], time=entries[number - 1]["time"])
        first["checks"] = [{**check, "ok": False} for check in first["checks"]]
        entries.insert(number, first)
    report = build("etcd", recorded("restored", journals=journals), NOW, REPORT)
    assert report["outcome"] == "restored" and report["missing"] == [] and report["facts"][2]["value"] == "Yes"


def test_hosts_that_are_not_finished_are_named():
    reasons = [{"host": "etcd3.example.org", "text": "Failed to connect to the host via ssh"}]
    given = recorded("restored")
    journals = {host: entries for host, entries in given.journals.items() if host != "etcd3.example.org"}
    journals[HOST] = [entry for entry in journals[HOST] if entry["step"] != "finished"]
    report = build("etcd", recorded("restored", journals=journals, reasons=reasons, summary=()), NOW, REPORT)
    assert report["outcome"] == "failed" and report["unfinished"] == [HOST, "etcd3.example.org"]
    assert report["headline"] == (
        "The restore of cluster etcd is proven, but is not finished on etcd2.example.org and etcd3.example.org:"
        " it needs another run."
    )
    assert any("etcd3.example.org reachable" in step["what"] for step in report["next_steps"])
    assert not any("rm -r" in c["command"] for step in report["next_steps"] for c in step["commands"])


def test_a_proof_that_was_taken_back_is_none():
    """Proven on two hosts, failed on the third; the old data is back on the first, and the others are not heard of."""
    given = recorded("restored")
    first, second, third = given.journals
    back = [
        {"step": "rolling_back", "time": NOW.replace("Z", ".0Z")},
        {"step": "rolled_back", "time": NOW.replace("Z", ".5Z")},
    ]
    journals = {first: given.journals[first][:-1] + back, second: given.journals[second][:-1], third: None}
    report = build(
        "etcd", recorded("restored", journals=journals, reasons=[{"host": third, "text": "it failed"}]), NOW, REPORT
    )
    assert report["outcome"] == "failed" and report["unfinished"] == [second, third]
    assert report["proof"] == [] and report["outage"]["end"] is None and report["outage"]["at_most"] is None
    assert report["facts"][1]["value"].startswith("Since 2026-11-24 15:00:") and report["facts"][2]["value"] == "No"


def test_where_most_hosts_have_their_old_data_back_the_cluster_may_serve():
    """One host of five is not heard of; the others have started their old members again."""
    given = recorded("rolled-back")
    journals = {host: entries for host, entries in given.journals.items() if host != "m2"}
    report = build("etcd", recorded("rolled-back", journals=journals), NOW, REPORT)
    assert report["outcome"] == "failed" and report["unfinished"] == ["m2"]
    assert "enough old members" in report["facts"][1]["note"].lower()
    fewer = {host: entries for host, entries in journals.items() if host in ("m1", "m3")}
    report = build("etcd", recorded("rolled-back", journals=fewer), NOW, REPORT)
    assert report["facts"][1]["note"] == "Nothing shows that the cluster takes writes again."


def test_a_failure_before_anything_was_stopped():
    nothing_begun = {host: [] for host in recorded("restored").journals}
    given = recorded("restored", journals=nothing_begun, reasons=[{"host": HOST, "text": "no room"}])
    report = build("etcd", given, NOW, REPORT)
    assert report["outcome"] == "failed" and not report["touched"] and report["unfinished"] == []
    assert report["headline"].endswith("the cluster was not touched.")
    assert [fact["value"] for fact in report["facts"]] == ["Nothing", "Not at all", "Nothing"]


def test_a_check_takes_nothing_from_journals_and_gives_the_command():
    unconfirmed = "Nothing was touched. To let it happen, run again with -e etcd_restore_confirm=prod"
    report = build("etcd", recorded("restored", check=True, unconfirmed=unconfirmed), NOW, REPORT)
    assert report["outcome"] == "check" and report["outage"]["start"] is None and report["proof"] == []
    assert all(host["phases"] == [] and host["moved"] and host["settings"] for host in report["hosts"].values())
    assert report["next_steps"][0]["commands"][0]["command"].endswith("-e etcd_restore_confirm=prod")
    assert report["plan"][0] == "Restore of cluster etcd from a snapshot" and len(report["plan"]) > 20


def test_a_refusal_gives_each_cause_with_its_next_step():
    given = recorded("restored", refusal="refused", journals={})
    refusal = {"cluster": "etcd", "host": HOST, "cause": "it cannot be reached.", "next_step": "name it."}
    plan = {**given.plan, "hosts": {}, "refusals": [refusal]}
    report = build("etcd", recorded("restored", plan=plan, refusal="refused", journals={}), NOW, REPORT)
    assert report["outcome"] == "refused" and report["refusals"] == [
        {"host": HOST, "cause": "it cannot be reached.", "next_step": "name it."}
    ]
    assert report["next_steps"][0]["what"] == f"{HOST}: name it."
    assert report["next_steps"][-1]["commands"][0]["command"].endswith("--check --diff")


def test_a_refusal_tells_what_the_host_itself_said():
    refusal = {"cluster": "etcd", "host": HOST, "cause": "it cannot be looked at.", "next_step": "mend it."}
    plan = {**recorded("restored").plan, "hosts": {}, "refusals": [refusal]}
    unseen = [{"host": HOST, "text": "no Python"}, {"host": "left out for good", "text": "unreachable"}]
    report = build("etcd", recorded("restored", plan=plan, refusal="refused", journals={}, unseen=unseen), NOW, REPORT)
    assert report["outcome"] == "refused" and report["reasons"] == unseen[:1]
    check = build("etcd", recorded("restored", check=True, unseen=unseen), NOW, REPORT)
    assert check["outcome"] == "check" and check["reasons"] == [], "the plan did not need them"


def test_a_run_that_failed_before_its_plan():
    unseen = [{"host": "a1", "text": "no Python"}, {"host": "b1", "text": "unreachable"}]
    given = Given(plan=unplanned({"a1": "a", "b1": "b"}), unseen=unseen)
    report = build("a", given, NOW, REPORT)
    assert report["outcome"] == "failed" and report["reasons"] == unseen[:1] and report["hosts"] == {}
    assert report["headline"] == "Nothing was touched: the run failed before it could plan a restore of cluster a."
    assert [fact["value"] for fact in report["facts"]] == ["Nothing", "Not at all", "Nothing"]
    commands = [command["command"] for step in report["next_steps"] for command in step["commands"]]
    assert commands == ["ansible-playbook restore.yml -i INVENTORY --check --diff"]
    assert json.loads(json.dumps(report)) == report


def test_what_the_hosts_answered_last_counts():
    proven, back = [{"step": "proven"}], [{"step": "rolled_back"}]
    stands_back = {"failed": True, "msg": "b failed", "because_of": "another host"}
    found = gather(
        {
            "rolled back": [{"skipped": True}, {**stands_back}, {"journal": back}],
            "failed": [{"failed": True, "msg": "no room", "journal": proven}, {"journal": back}],
            "gone": [{"unreachable": True}],
            "gone since": [{"journal": proven}, {"unreachable": True, "msg": "no route"}],
            "done": [{"journal": []}, {"journal": proven, "summary": ["a", "b"]}],
            "copied": [{"changed": True}],
            "stood back": [{"journal": proven}, {**stands_back}],
        }
    )
    assert found["journals"] == {"rolled back": back, "failed": back, "done": proven, "stood back": proven}
    assert found["summary"] == ["a", "b"]
    assert {item["host"]: item["text"] for item in found["reasons"]} == {
        "failed": "no room",
        "gone": "it could not be reached any more.",
        "gone since": "no route",
    }


def test_where_another_cluster_is_refused_this_one_is_too():
    given = recorded("restored", refusal="Nothing was touched. The restore is refused: b1: no room.", journals={})
    assert build("etcd", given, NOW, REPORT)["outcome"] == "refused"


def test_what_other_clusters_said_stays_with_them():
    given = recorded("restored")
    plan = copy.deepcopy(given.plan)
    plan["clusters"]["other"] = {"cluster": "other", "mode": "nothing"}
    plan["warnings"] = [{"cluster": "other", "host": "", "cause": "it is old."}]
    text = [*given.text, "Cluster other: nothing to do", "  its own line"]
    summary = ["Cluster other is restored from x", "  members  o1", *given.summary]
    of_etcd = build("etcd", recorded("restored", plan=plan, text=text, summary=summary), NOW, REPORT)
    assert (
        of_etcd["plan"] == list(given.text) and of_etcd["summary"] == list(given.summary) and of_etcd["warnings"] == []
    )
    of_other = build("other", recorded("restored", plan=plan, text=text, summary=summary), NOW, REPORT)
    assert of_other["plan"] == ["Cluster other: nothing to do", "  its own line"] and of_other["hosts"] == {}
    assert of_other["outcome"] == "nothing" and of_other["warnings"] == [{"host": "", "cause": "it is old."}]


def test_nothing_else_of_the_plan_gets_into_a_report():
    """Whatever a plan may hold one day: an environment, a connection, a manifest are not what a report is made of."""
    given = recorded("restored")
    plan = copy.deepcopy(given.plan)
    marked = []

    def poison(place):
        marked.append(f"hunter{len(marked)}")
        place["new"] = marked[-1]

    poison(plan)
    for cluster in plan["clusters"].values():
        for place in (cluster, cluster["snapshot"], cluster["before"], cluster["loss"], *cluster["before"]["members"]):
            poison(place)
    for own in plan["hosts"].values():
        own["restore"]["env"] = {}
        places = (own, own["restore"]["env"], own["member"], own["member"]["connection"], own["member"]["service"])
        for place in (*places, own["snapshot"], *own["swaps"], *own["config"]):
            poison(place)
        own["member"]["connection"]["key"] = "hunter-key"
        own["restore"]["argv"].append("hunter-argv")
    journals = copy.deepcopy(given.journals)
    for entries in journals.values():
        for entry in entries:
            poison(entry)
    for changes in (
        {},
        {"check": True},
        {"refusal": "refused"},
        {"reasons": [{"host": "", "text": "all failed", "new": "hunter"}]},
    ):
        report = build("etcd", recorded("restored", plan=plan, journals=journals, **changes), NOW, REPORT)
        assert "hunter" not in json.dumps(report)
    assert len(marked) > 50


# ---- words -----------------------------------------------------------------------------------------------------------


def test_commands_are_those_of_this_run_without_its_secrets():
    raw = [
        "etcd_auth_user=root etcd_auth_password=hunter2 etcd_restore_confirm=etcd target=prod",
        '{"etcd_restore_exclude": ["m3"], "ansible_become_password": "hunter2"}',
        "@secrets.yml",
        "etcd_restore_snapshot='/mnt/my backups/x.db'",
        "{broken: yaml",
        "an 'open quote",
    ]
    run = invocation(WORDS, ["playbooks/restore.yml"], ["prod", "more"], raw)
    line = run.line(variables={"etcd_restore_confirm": "etcd"})
    assert "hunter2" not in line and "secrets" not in line and "auth" not in line
    assert line.startswith(
        "ansible-playbook playbooks/restore.yml -i prod -i more -e etcd_restore_confirm=etcd -e target=prod"
    )
    assert """-e '{"etcd_restore_exclude": ["m3"]}'""" in line
    assert """-e '{"etcd_restore_snapshot": "/mnt/my backups/x.db"}'""" in line
    assert run.line("backup", keep=False) == "ansible-playbook playbooks/backup.yml -i prod -i more -e target=prod"
    assert (
        invocation(WORDS, ["quorum.etcd.restore"], [], []).line("status")
        == "ansible-playbook quorum.etcd.status -i INVENTORY"
    )
    assert invocation(WORDS, ["a.yml", "b.yml"], ["prod"], []).line() == "ansible-playbook restore.yml -i prod"
    assert Invocation(WORDS).line() == "ansible-playbook restore.yml -i INVENTORY"


@pytest.mark.parametrize(
    ("seconds", "up", "near", "down"),
    [
        (2.269, "2.3 s", "2.3 s", "2.2 s"),
        (0.3, "0.3 s", "0.3 s", "0.3 s"),
        (0.04, "0.1 s", "0.04 s", "0.04 s"),
        (3, "3 s", "3 s", "3 s"),
        (75.2, "1 min 16 s", "1 min 15 s", "1 min 15 s"),
    ],
)
def test_bounds_are_rounded_to_their_side(seconds, up, near, down):
    assert (span(seconds, math.ceil), span(seconds), span(seconds, math.floor)) == (up, near, down)
