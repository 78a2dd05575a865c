# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a restore that is not proven in full, with a client that keeps every write that it was told of.

What is right stays, also without a member; what is wrong is stopped within seconds; what does not serve is taken back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from client import differences, dump
from conftest import CONFIRM, RESTORE, Play, play, seeded
from keeper import PREFIX, Keeper
from lab import Lab
from waiting import until

BRIEF = ("-e", "etcd_restore_prove_timeout=12")
DAY = ("-e", "etcd_restore_prove_timeout=86400")  # a run that ends has not waited for it
RESTORED = 'ls "$here" | grep -q "data.before-"'  # what starts now is what a restore has put in place


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, dict]]:
    """A lab and what its backup holds. Each test leaves it healthy."""
    with Lab(tmp_path_factory.mktemp("verdicts") / "lab") as lab:
        yield lab, seeded(lab)


@contextmanager
def before_each(lab: Lab, name: str, action: str, line: str) -> Iterator[None]:
    script = lab.member(name).dir / "etcd.sh"
    good = script.read_text()
    script.write_text(good.replace(f"{action}() {{", f"{action}() {{\n    {line}\n", 1))
    try:
        yield
    finally:
        script.write_text(good)


@contextmanager
def a_restore_with_a_writer(lab: Lab, *arguments: str) -> Iterator[tuple[Keeper, Play]]:
    with Keeper(lab.endpoints) as keeper:
        until(lambda: keeper.acknowledged, "a write")
        done = play(RESTORE, "-i", lab.inventory, *CONFIRM, *arguments)
        yield keeper, done


def steps(lab: Lab, name: str) -> list[str]:
    """Those of the newest restore."""
    journal = max((lab.member(name).dir / "state" / "restores").glob("*/journal.jsonl"), default=None)
    return re.findall(r'"step": "(\w+)"', journal.read_text()) if journal else []


def without_kept(entries: dict) -> dict:
    return {key: entry for key, entry in entries.items() if not key.startswith(PREFIX)}


def forget_asides(lab: Lab) -> None:
    """The guards of these tests look for old data that lies aside."""
    for member in lab.members:
        for path in [*member.dir.glob("data.before-*"), *member.dir.glob("data.rolled-back-*")]:
            path.rename(path.with_name("kept-" + path.name.replace("data.", "")))


def assert_old_is_back(lab: Lab, keeper: Keeper, done: Play, cluster_id: int) -> None:
    """All that the old cluster has acknowledged is there, and that others have is announced."""
    assert done.rc != 0 and "The old data and configuration are back" in done.text, done.output
    lab.wait_ready()
    until(lambda: len({member.client.status().revision for member in lab.members[:2]}) == 1, "one revision")
    for member in lab.members:
        assert member.client.status().cluster_id == cluster_id
        assert keeper.lost(member.client) == set()
    others = {kept.cluster_id for kept in keeper.acknowledged} - {cluster_id}
    assert not others or "CLIENTS MAY HAVE" in done.text, done.output


def test_without_a_leader_the_old_data_comes_back(shared: tuple[Lab, dict]) -> None:
    lab, _expected = shared
    before = lab.members[0].client.status().cluster_id
    forget_asides(lab)
    with ExitStack() as broken:
        for name in ("m2", "m3"):
            broken.enter_context(before_each(lab, name, "start", f"{RESTORED} && exit 1"))
        keeper, done = broken.enter_context(a_restore_with_a_writer(lab, *BRIEF))
        assert_old_is_back(lab, keeper, done, before)
    assert "wrong" not in steps(lab, "m1"), done.output


def test_a_member_with_other_data_stops_all_at_once_and_the_first_lines_say_so(shared: tuple[Lab, dict]) -> None:
    lab, _expected = shared
    before = lab.members[0].client.status().cluster_id
    forget_asides(lab)
    # The same length, so that only the values differ: revision, keys, IDs and size are as planned.
    tamper = f'{RESTORED} && LC_ALL=C sed -i "s/second life/second lies/g" "$here/data/member/snap/db"'
    with before_each(lab, "m3", "start", tamper + " || true"), a_restore_with_a_writer(lab, *DAY) as (keeper, done):
        assert_old_is_back(lab, keeper, done, before)
    assert "equal hash of all members at one revision: expected True, found False" in done.text, done.output
    assert "CLIENTS MAY HAVE SEEN AND WRITTEN THE WRONG DATA" in done.text
    assert "kube-apiserver first" in done.text
    page = Path(re.findall(r"Report: (\S+)", done.output)[-1]).read_text()
    headline = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.S).group(1)
    assert "Clients may have seen and written wrong data" in headline, headline


def test_an_old_member_that_answers_is_wrong(shared: tuple[Lab, dict]) -> None:
    """m3 is left out since it is down, and somebody starts it after the plan, while the old cluster still has a quorum."""
    lab, _expected = shared
    before = lab.members[0].client.status().cluster_id
    forget_asides(lab)
    m3 = lab.member("m3")
    lab.stop(m3)
    begins = f'{RESTORED} || {{ sh "{m3.dir}/etcd.sh" start >/dev/null 2>&1; sleep 4; }}'
    lost = '{"etcd_restore_exclude": ["m3"]}'
    with before_each(lab, "m1", "stop", begins), a_restore_with_a_writer(lab, "-e", lost) as (keeper, done):
        assert_old_is_back(lab, keeper, done, before)
    assert "old members that answer: expected []" in done.text and "CLIENTS MAY HAVE" in done.text, done.output


def test_a_quorum_that_is_right_stays_and_the_next_run_completes_it(shared: tuple[Lab, dict]) -> None:
    lab, expected = shared
    old = lab.members[0].client.status().cluster_id
    forget_asides(lab)
    with before_each(lab, "m2", "start", f"{RESTORED} && exit 1"), a_restore_with_a_writer(lab, *BRIEF) as (
        keeper,
        done,
    ):
        assert done.rc != 0 and "STAYS" in done.text and "What is missing: m2" in done.text, done.output
        assert "data and configuration are back" not in done.text
        assert "healthy members: expected [m1, m2, m3], found [m1, m3]" in done.text.replace("'", "")
        assert [steps(lab, name)[-1] for name in ("m1", "m2", "m3")] == ["finished", "swapped", "finished"]
        client = lab.member("m1").client
        restored = client.status().cluster_id
        assert restored != old and keeper.by(restored), "clients write to what stays"
        wait = len(keeper.acknowledged) + 5
        until(lambda: len(keeper.acknowledged) > wait, "more writes")
        assert keeper.lost(client) == set()

    with Keeper(lab.endpoints) as since:
        again = play(RESTORE, "-i", lab.inventory, *CONFIRM)
        assert again.rc == 0, again.output + lab.logs()
        until(lambda: since.acknowledged, "a write since")
    lab.wait_ready()
    for member in lab.members:
        assert keeper.lost(member.client) == since.lost(member.client) == set(), member.name
        assert differences(expected, without_kept(dump(member.client))) == []
        assert "existing" in member.config_file.read_text()
    assert {steps(lab, member.name)[-1] for member in lab.members} == {"finished"}
