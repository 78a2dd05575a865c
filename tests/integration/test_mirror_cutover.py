# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients move to the mirror and back: refused while somebody writes, equal key by key, and no engine writes there any more."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.engine import run
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.looking import Looking, Seen
from ansible_collections.quorum.etcd.plugins.module_utils.mirror.settings import load
from client import dump
from conftest import CHECKOUT, play
from lab import Lab
from test_mirror_agent import Mirror, held
from waiting import until

PLAYBOOK = CHECKOUT / "playbooks" / "mirror_cutover.yml"
DO = ("cutover", "dr", "--confirm", "dr", "--settle", "1")
BACK = (*DO, "--back")


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, Lab]]:
    folder = tmp_path_factory.mktemp("cutover")
    with Lab(folder / "old", members=1, line="3.5") as old, Lab(folder / "new", members=1, line="3.6") as new:
        yield old, new


@pytest.fixture
def mirror(labs: tuple[Lab, Lab], tmp_path: Path) -> Iterator[Mirror]:
    """A mirror below a prefix of this test's own, which has caught up."""
    prefix = f"{uuid.uuid4().hex}/"
    made = Mirror(*labs, tmp_path / "host", prefix=prefix)
    for number in range(50):
        made.source.members[0].client.put(f"{prefix}{number:03d}".encode(), b"old")
    assert made.run("run", "dr", "--once")[0] == 0
    yield made


def below(mirror: Mirror, lab: Lab) -> dict[bytes, bytes]:
    prefix = prefix_of(mirror)
    return {key: value for key, value in held(lab).items() if key.startswith(prefix)}


def prefix_of(mirror: Mirror) -> bytes:
    return json.loads(mirror.config.read_text())["prefix"].encode()


def put(mirror: Mirror, lab: Lab, name: str, value: bytes) -> None:
    lab.members[0].client.put(prefix_of(mirror) + name.encode(), value)


def told(said: str) -> dict[str, Any]:
    return json.loads(said.strip().splitlines()[-1])


def test_it_is_shown_before_it_is_done_and_only_done_where_nobody_writes(mirror: Mirror) -> None:
    code, said = mirror.run("cutover", "dr")
    assert code == 0 and "nothing was touched: confirm with the mirror's name, dr" in said, said
    assert "Revisions are each cluster's own" in said and "Users and roles are not mirrored" in said
    assert mirror.run("cutover", "dr", "--confirm", "other")[0] == 1
    put(mirror, mirror.source, "later", b"the mirror lacks it yet")

    waiting = mirror.begin(*DO[:4], "--settle", "4")
    time.sleep(1.5)
    writes = 0
    while waiting.poll() is None:
        put(mirror, mirror.source, "busy", b"%d" % writes)
        writes += 1
        time.sleep(0.02)
    said, _nothing = waiting.communicate(timeout=60)
    assert (
        waiting.returncode == 1 and "Somebody still writes" in said and f"{prefix_of(mirror).decode()}busy" in said
    ), said
    assert "stop whoever writes these keys" in said

    code, said = mirror.run(*DO)
    assert code == 0 and "HANDED OVER" in said, said
    assert below(mirror, mirror.source) == below(mirror, mirror.destination) != {}
    assert prefix_of(mirror) + b"later" in below(mirror, mirror.destination)

    # Nothing writes there any more but clients.
    before = below(mirror, mirror.destination)
    put(mirror, mirror.source, "late", b"by somebody who was not stopped")
    for words in (("run", "dr", "--once"), ("run", "dr")):
        code, said = mirror.run(*words)
        assert code == 1 and "was handed over at revision" in said, said
    assert below(mirror, mirror.destination) == before
    code, said = mirror.run("verify", "dr")
    assert code == 1 and "is no mirror any more" in said, said
    code, said = mirror.run(*DO)
    assert code == 1 and "nothing to do" in said, said
    assert f"BUT 1 change came to the old cluster after that, of {prefix_of(mirror).decode()}late:" in said


def test_an_engine_that_was_about_to_begin_does_not_take_back_what_is_handed_over_meanwhile(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has other settings, so that it is to compare: what clients write to their new cluster would be undone."""
    look, seen = Looking.look, []

    def look_and_be_overtaken(self: Looking, value: bytes | None) -> Seen:
        found = look(self, value)
        if not seen:
            seen.append(found.state.phase)
            code, said = mirror.run(*DO)
            assert code == 0, said
            put(mirror, mirror.destination, "new", b"1")
        return found

    settings = json.loads(mirror.config.read_text())
    other = mirror.config.with_name("other.json")
    other.write_text(
        json.dumps({**settings, "state_dir": str(other.parent / "other"), "exclude": [settings["prefix"] + "x"]})
    )
    monkeypatch.setattr(Looking, "look", look_and_be_overtaken)
    with pytest.raises(EtcdError, match="was handed over at revision"):
        run(load(str(other)), True, print, threading.Event())
    assert seen == ["follow"]
    assert below(mirror, mirror.destination)[prefix_of(mirror) + b"new"] == b"1"


def test_a_monitor_hears_that_it_was_handed_over(mirror: Mirror) -> None:
    assert mirror.run(*DO)[0] == 0
    # As if it had been killed before it could say so.
    (mirror.metrics.parent / "state" / "status.json").unlink()
    assert mirror.run(*DO)[0] == 0
    code, health = mirror.told()
    assert (code, health["state"]) == (0, "ok") and "clients use the destination" in health["why"]
    assert list(mirror.metrics.iterdir()) == [], "what was told of it would grow old"


def test_back_again_before_anything_was_written(mirror: Mirror) -> None:
    assert mirror.run(*DO)[0] == 0
    code, said = mirror.run("cutover", "dr", "--back")
    assert code == 0 and "Nothing was written since: the mirror is one again" in said, said
    code, said = mirror.run(*BACK)
    assert code == 0 and "taken back" in said, said
    put(mirror, mirror.source, "new", b"1")
    code, said = mirror.run("run", "dr", "--once")
    assert code == 0 and below(mirror, mirror.source) == below(mirror, mirror.destination), said
    assert "nothing to do" in mirror.run(*BACK)[1]


def test_back_again_with_all_that_was_written_since(mirror: Mirror) -> None:
    assert mirror.run(*DO)[0] == 0
    expected = below(mirror, mirror.destination)
    prefix = prefix_of(mirror)
    new = mirror.destination.members[0].client
    for number in range(20):
        put(mirror, mirror.destination, f"{number:03d}", b"new %d" % number)
        expected[prefix + b"%03d" % number] = b"new %d" % number
    new.delete(prefix + b"049")
    del expected[prefix + b"049"]

    # What came to the old cluster meanwhile would be undone: it is not, unless that is accepted.
    put(mirror, mirror.source, "030", b"late")
    code, said = mirror.run(*BACK)
    assert code == 1 and "after it was left" in said and "1 key there" in said and f"{prefix.decode()}030" in said, said
    assert below(mirror, mirror.source)[prefix + b"030"] == b"late"
    code, said = mirror.run(*BACK, "--accept", "late")
    assert code == 0 and "taken back" in said, said
    assert below(mirror, mirror.source) == expected
    states = [key for key in everything(mirror.source) if b"quorum.etcd/mirror/" in key and key.startswith(prefix)]
    assert states == [], "the mirror of a moment has left its state behind"

    # And it is the mirror that it was.
    put(mirror, mirror.source, "after", b"1")
    code, said = mirror.run("run", "dr", "--once")
    assert code == 0 and below(mirror, mirror.source) == below(mirror, mirror.destination), said


def everything(lab: Lab) -> list[bytes]:
    return list(dump(lab.members[0].client, serializable=False))


def test_leases_that_would_be_lost_are_named(mirror: Mirror, labs: tuple[Lab, Lab]) -> None:
    old = labs[0].members[0].client
    lease = old.lease_grant(600)
    old.put(prefix_of(mirror) + b"session", b"1", lease=lease)
    try:
        code, said = mirror.run(*DO)
        assert code == 1 and "has 1 lease, and this mirror drops them" in said, said
        code, said = mirror.run(*DO, "--accept", "leases")
        assert code == 0, said
        assert below(mirror, labs[0]) == below(mirror, labs[1])
    finally:
        old.call("lease/revoke", {"ID": lease})


def test_one_that_is_being_compared_or_of_another_source_is_refused(mirror: Mirror, tmp_path: Path) -> None:
    fresh = Mirror(mirror.source, mirror.destination, tmp_path / "fresh", prefix="none/")
    code, said = fresh.run(*DO)
    assert code == 1 and "has no state of this mirror" in said, said
    with Lab(tmp_path / "other", members=1, line="3.6") as other:
        settings = json.loads(mirror.config.read_text())
        mirror.config.write_text(json.dumps({**settings, "source": {"endpoints": other.endpoints}}))
        code, said = mirror.run(*DO)
    assert code == 1 and "it was restored, or these are other endpoints" in said, said


@pytest.mark.parametrize("way, leases", [("there", "drop"), ("there", "keep"), ("back", "drop")])
def test_killed_at_any_moment_and_run_again(mirror: Mirror, way: str, leases: str) -> None:
    """With leases that are kept it is compared first, and so killed in the middle of that too."""
    dice = random.Random(way)
    words = DO if way == "there" else BACK
    mirror.config.write_text(json.dumps({**json.loads(mirror.config.read_text()), "leases": leases}))
    if way == "back":
        assert mirror.run(*DO)[0] == 0
        put(mirror, mirror.destination, "000", b"new")
    expected = below(mirror, mirror.destination)
    killed = 0
    for number in range(20):
        process = mirror.begin(*words)
        try:
            process.wait(0.2 * (1 + number) + dice.uniform(0, 0.2))
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        finally:
            process.communicate()
    assert killed >= 4
    code, said = mirror.run(*words)
    assert code == 0, said
    assert below(mirror, mirror.source) == below(mirror, mirror.destination) == expected
    code, said = mirror.run("run", "dr", "--once")
    assert code == (1 if way == "there" else 0), said
    until(lambda: below(mirror, mirror.source) == below(mirror, mirror.destination), "equality")


def said_before(process: subprocess.Popen, words: str) -> None:
    """It has said this much, and is killed at once."""
    assert any(words in line for line in process.stdout), words
    process.kill()
    process.communicate()


def test_killed_once_it_was_handed_over_and_writes_to_the_old_cluster_after_it(mirror: Mirror) -> None:
    said_before(mirror.begin(*DO), "Handed over at")
    put(mirror, mirror.source, "030", b"late")
    late = f"BUT 1 change came to the old cluster after that, of {prefix_of(mirror).decode()}030"
    for words in (DO, DO[:2]):
        code, said = mirror.run(*words)
        assert code == 1 and late in said, said


def test_killed_once_it_was_taken_back_and_writes_to_the_new_cluster_after_it(mirror: Mirror) -> None:
    """No engine has begun, which would undo them: they go back too."""
    assert mirror.run(*DO)[0] == 0
    put(mirror, mirror.destination, "000", b"new")
    said_before(mirror.begin(*BACK), "Taken back")
    put(mirror, mirror.destination, "001", b"after that")
    code, said = mirror.run(*DO)
    assert code == 1 and "was taken back, but its destination was written to since" in said, said
    code, said = mirror.run(*BACK)
    assert code == 0 and "taken back" in said, said
    assert below(mirror, mirror.source)[prefix_of(mirror) + b"001"] == b"after that"
    assert mirror.run("run", "dr", "--once")[0] == 0
    assert below(mirror, mirror.source) == below(mirror, mirror.destination)


def test_a_write_to_the_new_cluster_while_it_is_seen_whether_there_is_any(mirror: Mirror) -> None:
    assert mirror.run(*DO)[0] == 0
    process = mirror.begin("cutover", "dr", "--confirm", "dr", "--settle", "4", "--back")
    time.sleep(2)
    put(mirror, mirror.destination, "during", b"1")
    said, _nothing = process.communicate(timeout=60)
    assert process.returncode == 0 and "taken back" in said, said
    assert below(mirror, mirror.source)[prefix_of(mirror) + b"during"] == b"1"


def test_what_came_late_is_undone_where_that_is_accepted_after_a_first_try_too(mirror: Mirror) -> None:
    assert mirror.run(*DO)[0] == 0
    put(mirror, mirror.destination, "000", b"new")
    process = mirror.begin(*BACK)
    while process.poll() is None:
        put(mirror, mirror.destination, "busy", b"%f" % time.monotonic())
        time.sleep(0.05)
    said = process.communicate()[0]
    assert process.returncode == 1 and "Somebody still writes" in said, said
    expected = below(mirror, mirror.destination)
    put(mirror, mirror.source, "late", b"1")
    mirror.source.members[0].client.delete(prefix_of(mirror) + b"049")
    code, said = mirror.run(*BACK)
    prefix = prefix_of(mirror).decode()
    assert code == 1 and f"2 keys there, such as {prefix}049, {prefix}late" in said, said
    code, said = mirror.run(*BACK, "--accept", "late")
    assert code == 0 and "taken back" in said, said
    assert below(mirror, mirror.source) == below(mirror, mirror.destination) == expected


def test_the_source_is_lost_and_comes_back(tmp_path: Path) -> None:
    with Lab(tmp_path / "old", members=1, line="3.5") as old, Lab(tmp_path / "new", members=1, line="3.6") as new:
        mirror = Mirror(old, new, tmp_path / "host")
        for number in range(50):
            old.members[0].client.put(f"{number:03d}".encode(), b"old")
        assert mirror.run("run", "dr", "--once")[0] == 0
        old.members[0].client.put(b"never mirrored", b"1")
        old.stop(old.members[0])
        code, said = mirror.run(*DO)
        assert code == 1 and "source does not answer, so that nobody can say what the mirror lacks" in said, said
        code, said = mirror.run("cutover", "dr", "--accept", "source")
        assert code == 0 and "THE SOURCE DOES NOT ANSWER" in said and "nothing was touched" in said, said
        code, said = mirror.run(*DO, "--accept", "source")
        assert code == 0 and "HANDED OVER" in said and "without its source" in said, said
        new.members[0].client.put(b"000", b"new")
        code, said = mirror.run(*BACK)
        assert code == 1 and "The cluster to go back to does not answer" in said, said

        old.start(old.members[0])
        old.wait_ready()
        old.members[0].client.put(b"001", b"late")
        code, said = mirror.run("run", "dr", "--once")
        assert code == 1 and "was handed over" in said, said
        assert held(new) == {**{b"%03d" % number: b"old" for number in range(50)}, b"000": b"new"}
        code, said = mirror.run(*BACK)
        assert code == 1 and "2 keys there, such as 001, never mirrored" in said, said
        code, said = mirror.run(*BACK, "--accept", "late")
        assert code == 0 and held(old) == held(new) and held(old)[b"000"] == b"new", said


# ---- the playbook ------------------------------------------------------------------------------------------------------------

APP = """
import os, sys
from itertools import count
sys.path.insert(0, "{lab}")
from client import Client, GatewayError
folder, prefix = sys.argv[1:]
endpoint = open(folder + "/endpoint").read()
client, done = Client(endpoint), open(folder + "/acknowledged", "a")
for number in count():
    key = f"{{prefix}}{{os.getpid()}}/{{number:06d}}"
    client.put(key.encode(), endpoint.encode())
    done.write(key + "\\n")
    done.flush()
    import time; time.sleep(0.02)
"""


class App:
    """Somebody who writes, stopped and started by commands."""

    def __init__(self, folder: Path, lab: Lab, prefix: str) -> None:
        self.folder, self.prefix = folder, prefix
        self.clients: list[dict[str, str]] = []
        folder.mkdir()
        (folder / "app.py").write_text(APP.format(lab=CHECKOUT / "lab"))
        self.aims_at(lab)
        begin = f"setsid {sys.executable} {folder}/app.py {folder} {prefix} >{folder}/log 2>&1 </dev/null & echo $! >{folder}/pid"
        (folder / "start").write_text(begin)
        end = f"test ! -e {folder}/pid || {{ kill -9 $(cat {folder}/pid) 2>/dev/null; rm {folder}/pid; }}"
        (folder / "stop").write_text(end)
        self.do("start")

    def aims_at(self, lab: Lab) -> None:
        (self.folder / "endpoint").write_text(lab.endpoints[0])

    def do(self, what: str) -> None:
        subprocess.run(["sh", self.folder / what], check=True)

    @property
    def acknowledged(self) -> list[str]:
        path = self.folder / "acknowledged"
        return path.read_text().split() if path.exists() else []

    def writes_to(self, lab: Lab) -> None:
        """It goes on, and there."""
        before, endpoint = len(self.acknowledged), lab.endpoints[0].encode()
        until(lambda: len(self.acknowledged) > before + 2, "a new write")
        assert lab.members[0].client.get(self.acknowledged[-1].encode()).value == endpoint

    @property
    def pid(self) -> str:
        """Empty where it was stopped."""
        path = self.folder / "pid"
        return path.read_text().strip() if path.exists() else ""

    def inventory(self, config: Path, *more: str, **of_engine: str) -> Path:
        path = self.folder / "hosts.yml"
        local = {"ansible_connection": "local", "ansible_become": False, "ansible_python_interpreter": sys.executable}
        writer = {
            "etcd_mirror_writers_stop": [["sh", str(self.folder / "stop")], *map(list, filter(None, [more]))],
            "etcd_mirror_writers_start": [["sh", str(self.folder / "start")]],
            "etcd_clients": self.clients,
            "etcd_manifest": str(self.folder / "none.yaml"),
            "etcd_state_dir": str(self.folder / "state"),
        }
        hosts = {
            "etcd_mirror": {
                "hosts": {"engine": {**local, **of_engine, "etcd_mirror_name": "dr", "etcd_mirror_config": str(config)}}
            },
            "etcd_mirror_writers": {"hosts": {"app": {**local, **writer}}},
        }
        path.write_text(json.dumps({"all": {"children": hosts}}))
        return path


def test_the_playbook_moves_who_writes_there_and_back(mirror: Mirror, labs: tuple[Lab, Lab], tmp_path: Path) -> None:
    old, new = labs
    app = App(tmp_path / "app", old, prefix_of(mirror).decode())
    try:
        app.writes_to(old)
        hosts = app.inventory(mirror.config)
        wanted = ("-i", hosts, "-e", "etcd_mirror_cutover_settle=1")
        for look in (("--check", "--diff"), ()):
            shown = play(PLAYBOOK, *wanted, *look)
            assert shown.rc == 0 and "nothing was touched: confirm" in shown.text, shown.output
            assert "stopped before, and started after it, on app" in shown.text
            assert shown.recap("engine")["changed"] == (1 if look else 0)
        app.writes_to(old)

        # One who cannot be stopped: nothing is handed over, and the others are started again.
        stuck = app.inventory(mirror.config, "sh", "-c", "echo it does not stop >&2; exit 3")
        refused = play(PLAYBOOK, *wanted, "-e", "etcd_mirror_cutover_confirm=dr", "-i", stuck)
        assert refused.rc != 0 and "it does not stop" in refused.text, refused.output
        assert "Not all who write could be stopped, so nothing was handed over: app" in refused.text
        app.writes_to(old)

        app.inventory(mirror.config)
        app.aims_at(new)
        done = play(PLAYBOOK, *wanted, "-e", "etcd_mirror_cutover_confirm=dr")
        assert done.rc == 0 and "HANDED OVER" in done.text, done.output
        app.writes_to(new)
        assert lost(app, mirror, new) == []
        frozen = below(mirror, old)

        app.aims_at(old)
        back = play(PLAYBOOK, *wanted, "-e", "etcd_mirror_cutover_confirm=dr", "-e", "etcd_mirror_cutover_back=true")
        assert back.rc == 0 and "taken back" in back.text, back.output
        app.writes_to(old)
        assert lost(app, mirror, old) == [] and len(below(mirror, old)) > len(frozen)
    finally:
        app.do("stop")


def test_clients_that_name_the_old_cluster_in_other_words_are_refused_before_anybody_is_stopped(
    mirror: Mirror, labs: tuple[Lab, Lab], tmp_path: Path
) -> None:
    old, _new = labs
    app = App(tmp_path / "app", old, prefix_of(mirror).decode())
    stranger = old.endpoints[0].replace("http://127.0.0.1", "localhost")
    env = app.folder / "app.env"
    env.write_text(f"ENDPOINTS={stranger}\n")
    app.clients = [{"path": str(env), "setting": "ENDPOINTS"}]
    try:
        app.writes_to(old)
        running = app.pid
        wanted = ("-i", app.inventory(mirror.config), "-e", "etcd_mirror_cutover_settle=1")
        for look in (True, False):
            refused = play(PLAYBOOK, *wanted, *(() if look else ("-e", "etcd_mirror_cutover_confirm=dr")))
            assert refused.rc != 0 and f"app: {env}: it would still name {stranger}" in refused.text, refused.output
            assert f'"etcd_clients_gone": ["https://{stranger}"]' in refused.text
            assert "The clients of app cannot be moved as they are, so nobody was stopped" in refused.text
            assert env.read_text() == f"ENDPOINTS={stranger}\n" and app.pid == running
        app.writes_to(old)
        assert mirror.run("run", "dr", "--once")[0] == 0, "it was handed over"
    finally:
        app.do("stop")


LOST = """
DOCUMENTATION = "{{name: lost, short_description: x, description: x, extends_documentation_fragment: [connection_pipelining]}}"
import os
import subprocess
from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.connection.local import Connection as Local

FOLDER = "{folder}/"
UNKNOWN = b'{{"result": "unknown", "problem": "Nobody knows.", "text": ["Nobody knows."], "late": -1, "changed": true}}'


class Connection(Local):
    transport = "lost"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        self.alive()
        if b"mirror_cutover" not in (in_data or b"") or not self.is_the_second():
            return super().exec_command(cmd, in_data, sudoable)
        if "{what}" == "alone":
            open(FOLDER + "module", "wb").write(in_data)
            nothing = subprocess.DEVNULL
            subprocess.Popen(cmd, shell=True, stdin=open(FOLDER + "module"), stdout=nothing, stderr=nothing)
        else:
            super().exec_command(cmd, in_data, sudoable)
        if "{what}" == "unknown":
            return 0, UNKNOWN, b""
        open(FOLDER + "down", "w").write("3")
        self.alive()

    def put_file(self, in_path, out_path):
        self.alive()
        super().put_file(in_path, out_path)

    def is_the_second(self):
        with open(FOLDER + "calls", "a+") as calls:
            calls.write("1")
            return calls.tell() == 2

    def alive(self):
        if os.path.exists(FOLDER + "down"):
            left = int(open(FOLDER + "down").read()) - 1
            open(FOLDER + "down", "w").write(str(left)) if left else os.unlink(FOLDER + "down")
            raise AnsibleConnectionFailure("the network is down")
"""


@pytest.mark.parametrize("what", ["answer", "alone", "unknown"])
def test_the_engines_host_is_lost_while_it_hands_over(
    mirror: Mirror, labs: tuple[Lab, Lab], tmp_path: Path, what: str
) -> None:
    """Its answer gets lost, or it goes on alone. Who writes waits for what comes of it; where nobody knows, for the next run."""
    old, new = labs
    app = App(tmp_path / "app", old, prefix_of(mirror).decode())
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    (plugins / "lost.py").write_text(LOST.format(folder=tmp_path, what=what))
    try:
        app.writes_to(old)
        app.aims_at(new)  # when it is started
        settle = "etcd_mirror_cutover_settle=8" if what == "alone" else "etcd_mirror_cutover_settle=1"
        wanted = ("-i", app.inventory(mirror.config, ansible_connection="lost"), "-e", settle)
        confirmed = (*wanted, "-e", "etcd_mirror_cutover_confirm=dr")
        done = play(PLAYBOOK, *confirmed, ANSIBLE_CONNECTION_PLUGINS=str(plugins))
        if what == "unknown":
            assert done.rc != 0 and app.pid == "", done.output
            assert "Nobody knows. Those who write were left stopped on app, since nobody knows which" in done.text
            done = play(PLAYBOOK, *confirmed, ANSIBLE_CONNECTION_PLUGINS=str(plugins))
        else:
            assert "lost while it handed over: the network is down" in done.text, done.output
        assert done.rc == 0 and "nothing to do, the destination was handed over" in done.text, done.output
        app.writes_to(new)
        assert lost(app, mirror, new) == []
    finally:
        app.do("stop")


def lost(app: App, mirror: Mirror, lab: Lab) -> list[str]:
    """Writes that were acknowledged, and are not there."""
    acknowledged, there = app.acknowledged, below(mirror, lab)
    return [key for key in acknowledged if key.encode() not in there]
