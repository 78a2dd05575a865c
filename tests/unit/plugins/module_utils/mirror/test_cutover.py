# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cutover's decisions: what is refused before anything is touched, what is done already, and the way back."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_cutover import (
    Units,
    refuse_handed_over,
    refuse_the_classic,
)
from ansible_collections.quorum.etcd.plugins.module_utils.agent.mirror_health import OK, judge
from ansible_collections.quorum.etcd.plugins.module_utils.core import how_far
from ansible_collections.quorum.etcd.plugins.module_utils.core.durable import alone
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.core.how_far import Far
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Result
from ansible_collections.quorum.etcd.plugins.module_utils.mirror import cutover
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.cutover import (
    Running,
    Unknown,
    cut_over,
    reversed_settings,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.cutover_terms import (
    LATE,
    LEASES,
    SOURCE,
    Sight,
    Terms,
    is_done,
    refuse,
    terms_of,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.cutover_words import (
    ALREADY,
    HANDED_OVER,
    LOOKED,
    TAKEN_BACK,
    UNKNOWN,
    Cutover,
    in_words,
    told,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.governor import Kept, Source, Target, decide
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.pairs import standings
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import MirrorSettings, Side
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.state import (
    FOLLOW,
    HANDED,
    SCAN,
    TAKEN,
    begun,
    decoded,
)
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.status import Board, MirrorStatus
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.written import Written

SETTINGS = MirrorSettings("dr", Side(("http://a:2379",)), Side(("http://b:2379",)), prefix="app/")
STATE = begun(SETTINGS, "e1", 1, 100, None).at(100)
HANDED_STATE = replace(STATE, phase=HANDED)
SIGHT = Sight(STATE, 7, 120, 7, "1", 0)


@pytest.mark.parametrize(
    "changes, back, accept, why",
    [
        ({}, False, (), ""),
        ({"state": None}, False, (), "no state of this mirror"),
        ({"state": replace(STATE, phase=SCAN), "runs": True}, False, (), "being compared"),
        (
            {"state": replace(STATE, phase=SCAN)},
            False,
            (),
            "",
        ),  # its engine was ended in the middle of it: this compares
        ({"state": replace(STATE, phase=TAKEN)}, False, (), ""),
        (
            {"state": replace(STATE, phase=TAKEN), "destination": 8},
            False,
            (),
            "but its destination was written",
        ),
        (
            {"silent": "refused"},
            False,
            (),
            "source does not answer, so that nobody can say what the mirror lacks: refused",
        ),
        ({"silent": "refused"}, False, (SOURCE,), ""),
        (
            {"silent": "refused", "state": replace(STATE, phase=SCAN)},
            False,
            (SOURCE,),
            "not as the source was at any time",
        ),
        ({"silent": "refused", "state": HANDED_STATE}, True, (SOURCE,), "to go back to does not answer"),
        ({"cluster": "2"}, False, (), "made of cluster 1, and the source is 2"),
        ({"leases": 3}, False, (), "has 3 leases, and this mirror drops them"),
        ({"leases": -1}, False, (), "may have leases"),
        ({"leases": 3}, False, (LEASES,), ""),
        ({"leases": 3}, False, (LATE,), "has 3 leases"),
        ({"state": HANDED_STATE, "leases": 3}, False, (), ""),  # it is done
        ({"state": HANDED_STATE}, True, (), ""),
        ({"state": HANDED_STATE, "leases": 3}, True, (), "has 3 leases"),
        ({"state": HANDED_STATE, "cluster": "2"}, True, (), "made of cluster 1"),
        ({"state": None}, True, (), "no state"),
        ({"state": replace(STATE, phase=SCAN)}, True, (), ""),  # it was taken back
    ],
)
def test_what_is_refused(changes, back, accept, why):
    sight, terms = SIGHT._replace(**changes), Terms(back, True, accept)
    with pytest.raises(EtcdError, match=why) if why else nullcontext():
        refuse(SETTINGS, sight, terms)


@pytest.mark.parametrize(
    "phase, back, done",
    [
        (FOLLOW, False, False),
        (SCAN, False, False),
        (TAKEN, False, False),
        (HANDED, False, True),
        (HANDED, True, False),
        (FOLLOW, True, True),
        (TAKEN, True, True),
    ],
)
def test_what_is_done_already(phase, back, done):
    assert is_done(SIGHT._replace(state=replace(STATE, phase=phase)), back) == done


def test_what_was_written_after_it_was_taken_back_goes_back_too():
    assert not is_done(SIGHT._replace(state=replace(STATE, phase=TAKEN), destination=8), back=True)


def test_leases_that_are_kept_are_no_loss():
    kept = replace(SETTINGS, leases="keep")
    refuse(kept, SIGHT._replace(leases=9, state=replace(STATE, leases="keep")), Terms(confirmed=True))


@pytest.mark.parametrize("phase", [FOLLOW, SCAN, HANDED, TAKEN])
def test_no_engine_writes_what_was_handed_over_whatever_it_is_allowed(phase):
    settings = replace(SETTINGS, overwrite=True, on_restore="resync")
    state = decoded(replace(STATE, phase=phase).encode())
    for source in (Source(1, 120), Source(2, 5)):
        if phase == HANDED:
            with pytest.raises(EtcdError, match="was handed over at revision 100") as caught:
                decide(settings, state, source, Kept(), Target(9))
            # Where nothing is left of the clusters that it was between, nobody can go back.
            assert ("etcd_mirror_cutover_back" in caught.value.next_step) == (source.cluster == 1)
        else:
            assert decide(settings, state, source, Kept(), Target(9)).action


def test_what_was_handed_over_is_not_compared():
    with pytest.raises(EtcdError, match="is no mirror any more"):
        standings(SETTINGS)(HANDED_STATE.encode())
    assert not HANDED_STATE.is_exact


def test_the_way_back_mirrors_the_same_keys():
    there = replace(
        SETTINGS, destination_prefix="west/", exclude=("app/tmp/",), leases="keep", delay=60, interval=9, state_dir="/s"
    )
    back = reversed_settings(there)
    assert (back.source, back.destination) == (there.destination, there.source)
    assert (back.prefix, back.destination_prefix, back.exclude) == ("west/", "app/", ("west/tmp/",))
    assert (back.leases, back.delay, back.interval, back.overwrite) == ("keep", 0, 0, True)
    assert back.folder == "/s/back"
    assert back.name == "dr.back", "the source may be the destination of another mirror of the name"
    again = reversed_settings(back)
    assert (again.prefix, again.target_prefix, again.exclude) == ("app/", b"west/", ("app/tmp/",))
    whole = reversed_settings(replace(SETTINGS, prefix=""))
    assert (whole.prefix, whole.target_prefix) == ("", b"")


@pytest.mark.parametrize(
    "given, why",
    [
        (("west", [], "5"), "west is not the mirror's name"),
        (("dr", ["everything"], "5"), "'everything' is nothing that can be accepted"),
        (("dr", [], "soon"), "'soon' is no length of time"),
    ],
)
def test_terms_that_are_wrong(given, why):
    with pytest.raises(EtcdError, match=why):
        terms_of("dr", False, *given)


def test_terms():
    assert terms_of("dr", True, "dr", ["late"], "1m") == Terms(True, True, ("late",), 60)
    assert not terms_of("dr", False, "", [], "0").confirmed


def test_words():
    def words(result, back=False, sight=SIGHT, **more):
        return "\n".join(in_words(SETTINGS, Cutover(result, back, sight, 100, **more)))

    plan = words(LOOKED)
    assert "20 revisions behind" in plan and "http://a:2379\n  to    http://b:2379" in plan
    assert "revisions behind" not in words(LOOKED, True) and "http://b:2379\n  to    http://a:2379" in words(
        LOOKED, True
    )
    assert "have none there" in plan
    kept = in_words(replace(SETTINGS, leases="keep"), Cutover(LOOKED, False, SIGHT, 100))
    assert "go on with the time that they have left" in "".join(kept)
    assert "Nothing was written since" in words(LOOKED, True)
    assert "may lose what it alone has" in words(LOOKED, True, SIGHT._replace(destination=9))
    assert "was handed over at revision 100" in words(ALREADY) and "is a mirror" in words(ALREADY, True)
    late = words(HANDED_OVER, late=Written(12, (b"app/\x1b[2J", b"app/b")))
    assert "BUT 12 changes came to the old cluster after that, of app/\\x1b[2J, app/b, ...:" in late
    assert "new cluster" in words(TAKEN_BACK, True, late=Written(1, (b"a",)))


def test_words_without_the_source():
    sight = SIGHT._replace(silent="refused", source=130)
    plan = "\n".join(in_words(replace(SETTINGS, delay=1800), Cutover(LOOKED, False, sight, 100)))
    assert "lacks 30 revisions that were heard of, and what it holds back (30 min)" in plan
    assert "It is refused while somebody writes" not in plan
    done = in_words(SETTINGS, Cutover(HANDED_OVER, False, sight, 100))
    assert done == [
        "mirror dr: HANDED OVER at revision 100, without its source, which was heard of at revision 130 last"
    ]


def test_a_comparison_that_takes_long_is_told_of_before_its_end(monkeypatch):
    def verifies(_settings, _source, _target, told, rest):
        told(Far("Compared", 500, 1000))
        return SimpleNamespace(equal=True, unsettled=0, source_keys=1000)

    monkeypatch.setattr(how_far, "SAY_EVERY", 0.0)
    monkeypatch.setattr(cutover, "verify_mirror", verifies)
    said = []
    cutover._verified(SETTINGS, None, None, said.append)
    assert said == ["Compared: 500 of 1,000 keys.", "Both clusters are equal: 1,000 keys."]


# ---- what goes wrong once it is done -----------------------------------------------------------------------------------


class Service:
    """An engine's service that can be made to fail."""

    def __init__(self, fails=""):
        self.calls, self.fails = [], fails

    def runs(self):
        return False

    def __getattr__(self, name):
        def do():
            self.calls.append(name)
            if name == self.fails:
                raise EtcdError(f"systemctl {name} failed.", "see journalctl.")

        return do


@pytest.fixture
def done(tmp_path, monkeypatch):
    """A cutover that has come to this; of what is looked at before, and of the engine."""

    def run(result, phase=FOLLOW, back=False, service=None, confirmed=True, **sight):
        def outcome(*_given):
            if isinstance(result, BaseException):
                raise result
            return result

        seen = SIGHT._replace(state=replace(STATE, phase=phase), **sight)
        monkeypatch.setattr(cutover, "look", lambda *_given: seen)
        for way in ("_handed_over", "_taken_back"):
            monkeypatch.setattr(cutover, way, outcome)
        settings = replace(SETTINGS, state_dir=str(tmp_path / "state"))
        return cut_over(settings, Terms(back, confirmed), service or Service(), lambda _line: None)

    return run


def test_an_engine_that_cannot_be_stopped_for_good_is_a_problem_and_no_reason_to_say_that_nothing_was_done(
    done, tmp_path
):
    there = done(Cutover(HANDED_OVER, False, SIGHT, 100), service=Service("disable"))
    assert there.result == HANDED_OVER and "not as it is to be: systemctl disable failed." in there.problem
    assert "BUT The mirror's engine" in in_words(SETTINGS, there)[-1] and told(SETTINGS, there)["problem"]
    back = done(Cutover(TAKEN_BACK, True, SIGHT, 9), HANDED, back=True, service=Service("start"))
    assert back.result == TAKEN_BACK and "systemctl start failed" in back.problem
    (tmp_path / "state").rmdir()
    (tmp_path / "state").touch()
    with pytest.raises(EtcdError, match="state cannot be used: "):
        done(Cutover(HANDED_OVER, False, SIGHT, 100))


def test_a_status_that_cannot_be_written_is_a_problem(done, monkeypatch):
    def full(*_given, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cutover, "_tell", full)
    assert "No space left" in done(Cutover(HANDED_OVER, False, SIGHT, 100)).problem


def test_where_nobody_knows_no_engine_is_begun_and_it_is_said(done):
    service = Service()
    unknown = done(Unknown("the destination has not answered"), service=service)
    assert (unknown.result, service.calls) == (UNKNOWN, ["stop"])
    assert "NOBODY KNOWS" in in_words(SETTINGS, unknown)[0] and "run this again" in in_words(SETTINGS, unknown)[1]


def test_what_is_refused_in_the_middle_lets_the_mirror_go_on(done):
    service = Service()
    with pytest.raises(EtcdError, match="Somebody still writes"):
        done(EtcdError("Somebody still writes."), service=service)
    assert service.calls == ["stop", "start"]
    with pytest.raises(EtcdError):
        done(EtcdError("Somebody still writes."), HANDED, back=True, service=service)
    assert service.calls[2:] == ["stop"], "what was handed over stays so"


@pytest.mark.parametrize("changes", [3, -1])
def test_a_mirror_is_not_begun_while_it_would_undo_what_came_after_it_was_taken_back(done, changes):
    service = Service()
    back = done(Cutover(TAKEN_BACK, True, SIGHT, 9, late=Written(changes, (b"a",))), HANDED, True, service)
    assert back.result == TAKEN_BACK and service.calls == ["stop"]


def test_one_that_is_done_says_what_came_to_the_old_cluster(done, monkeypatch):
    monkeypatch.setattr(cutover, "_late_in_source", lambda _settings, since, until: Written(since, (b"x",)))
    assert done(None, HANDED).late.changes == 100
    assert done(None, HANDED, confirmed=False).late.changes == 100
    assert done(None, HANDED, source=100).late.changes == 0, "it has stood still"
    assert done(None, HANDED, silent="refused").late.changes == 0
    service = Service()
    assert (done(None, HANDED, service=service).result, service.calls) == (ALREADY, ["disable"])


def test_two_at_once(done, monkeypatch, tmp_path):
    (tmp_path / "state").mkdir()
    with alone(str(tmp_path / "state")), pytest.raises(Running, match="runs on this host already") as caught:
        done(None, confirmed=False)
    assert caught.value.context == {"running": True}
    assert done(None, confirmed=False).result == LOOKED


# ---- the host ---------------------------------------------------------------------------------------------------------


class Systemctl:
    def __init__(self):
        self.calls = []

    def __call__(self, argv, _env):
        self.calls.append(" ".join(argv[1:]))
        return Result(0, "", "")


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "etc/systemd/system"
    folder.mkdir(parents=True)
    return tmp_path


def units(root, *names):
    for name in names:
        (root / "etc/systemd/system" / name).touch()


@pytest.mark.parametrize(
    "interval, engine", [(0, "quorum-etcd-mirror@dr.service"), (60, "quorum-etcd-mirror@dr.timer")]
)
def test_the_engine_is_stopped_disabled_and_begun_as_it_was_set_up(root, interval, engine):
    units(root, engine, "quorum-etcd-mirror@dr.service", "quorum-etcd-mirror-verify@dr.timer")
    metrics = root / "quorum-etcd-mirror-dr.prom"
    metrics.touch()
    run = Systemctl()
    of = Units(run, replace(SETTINGS, interval=interval, metrics_dir=str(root)), str(root))
    of.stop()
    assert run.calls[-1] == "stop quorum-etcd-mirror@dr.service" and f"stop {engine}" in run.calls
    assert metrics.exists()
    run.calls.clear()
    of.disable()
    assert run.calls[-2:] == [f"disable --quiet {engine}", "disable --quiet quorum-etcd-mirror-verify@dr.timer"]
    assert not metrics.exists()
    run.calls.clear()
    of.start()
    assert run.calls == [f"enable --now --quiet {engine}", "enable --now --quiet quorum-etcd-mirror-verify@dr.timer"]


def test_what_is_not_there_is_not_asked_for(root):
    run = Systemctl()
    of = Units(run, SETTINGS, str(root))
    of.stop()
    of.disable()
    of.start()
    assert run.calls == []


def test_one_by_etcds_own_tool_is_refused(root):
    units(root, "quorum-etcd-mirror@old.service")
    with pytest.raises(EtcdError, match="nobody knows how far it is"):
        refuse_the_classic("old", str(root / "old.json"), str(root))
    refuse_the_classic("other", str(root / "other.json"), str(root))


def test_one_that_was_handed_over_is_not_set_up_again_until_it_was_taken_away(tmp_path):
    settings, config = replace(SETTINGS, state_dir=str(tmp_path)), tmp_path / "dr.json"
    config.touch()
    refuse_handed_over(settings, str(config))  # an engine that has not begun yet
    board = Board("dr", str(tmp_path))
    board.begin(FOLLOW, "it is near")
    board.write()
    refuse_handed_over(settings, str(config))
    board.begin(HANDED, "it was handed over at revision 100")
    board.write()
    with pytest.raises(EtcdError, match="is none any more: it was handed over at revision 100. Next: to go back"):
        refuse_handed_over(settings, str(config))
    config.unlink()
    refuse_handed_over(settings, str(config))


def test_a_monitor_is_content():
    status = MirrorStatus("dr", HANDED, "it was handed over", "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z")
    assert judge(SETTINGS, status, None, 4e9).state == OK
