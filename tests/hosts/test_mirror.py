# SPDX-License-Identifier: GPL-3.0-or-later
"""Mirrors on real hosts: set up by mirror.yml, run by systemd, with mutual TLS and passwords, through a kill and a reboot."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from client import seed
from conftest import CHECKOUT, STATUS, Play, play
from hosts import PKI, Member
from mirror_hosts import MirrorHosts, WithoutGrpcio, wheels_of_grpcio
from test_matrix import secrets_of

MIRROR, SEED, CUTOVER, RECOVER = (
    CHECKOUT / "playbooks" / f"{name}.yml" for name in ("mirror", "mirror_seed", "mirror_cutover", "mirror_recover")
)
CLASSIC = ("-e", "etcd_mirror_engine=etcdctl", "-e", "etcd_mirror_overwrite=true", "-e", "etcd_mirror_name=old")
OVERWRITE = ("-e", "etcd_mirror_overwrite=true")
SERVICE, ENGINE = "quorum-etcd-mirror@old.service", "quorum-etcd-mirror@mirror.service"
FOLDER = "/etc/quorum-etcd/mirror"
PATIENCE = 300.0  # seconds, on a busy machine
pytestmark = pytest.mark.xdist_group("mirror")


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MirrorHosts]:
    with MirrorHosts(tmp_path_factory.mktemp("mirror") / "mirror", tls=True, auth=True) as made:
        seed(made.client(made.members[0]), 300)
        yield made


@pytest.fixture(scope="module")
def engine(hosts: MirrorHosts) -> Member:
    """The destination's only member, whose host is the engine's."""
    return hosts.cluster("etcd_mirror")[0]


def mirror(hosts: MirrorHosts, *arguments: str) -> Play:
    done = play(MIRROR, "-i", hosts.inventory, *arguments)
    assert [word for word in secrets_of(hosts) if word in done.output] == []
    assert "PRIVATE KEY" not in done.output
    return done


def wait_for(what: str, is_so: Callable[[], object]) -> None:
    until = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < until, f"{what} has not come true"
        time.sleep(0.5)


def says(hosts: MirrorHosts, member: Member, script: str) -> str:
    return hosts.run(member, ["sh", "-c", script])


def told(hosts: MirrorHosts, engine: Member) -> dict[str, Any]:
    """What the engine's host says of the mirror, once it is content."""
    wait_for("a mirror that is well", lambda: says(hosts, engine, "quorum-etcd mirror status >&2 && echo yes || :"))
    return json.loads(hosts.run(engine, ["quorum-etcd", "mirror", "status", "--json"]))["mirrors"][0]


def equal(hosts: MirrorHosts, engine: Member) -> bool:
    return hosts.differing(hosts.contents(hosts.members[0]), hosts.contents(engine)) == []


def nobody_else_reads_it(hosts: MirrorHosts, engine: Member) -> None:
    """Of what is in the folder nothing is anybody's but root's, and no process shows a password."""
    assert says(hosts, engine, f"find {FOLDER} -type f '(' ! -user root -o -perm /077 ')' -ls") == ""
    assert says(hosts, engine, f"su admin -c 'cat {FOLDER}/*' 2>&1; ls -ld {FOLDER}").startswith("cat: ")
    seen = says(hosts, engine, "ps -eo args; cat /etc/systemd/system/quorum-etcd-mirror@*; journalctl --no-pager")
    assert [word for word in secrets_of(hosts) if word in seen] == []


def test_the_classic_is_a_supervised_service(hosts: MirrorHosts, engine: Member) -> None:
    source = hosts.client(hosts.members[0])
    shown = mirror(hosts, *CLASSIC, "--check", "--diff")
    assert shown.rc == 0, shown.output
    assert "Mirror old, by etcd's own make-mirror:" in shown.text and "Restart=always" in shown.text, shown.output
    assert says(hosts, engine, "ls /etc/quorum-etcd /etc/systemd/system | grep -c mirror || :") == "0"

    for wrong, cause in (
        (("-e", "etcd_mirror_delay=5m"), "make-mirror knows nothing like etcd_mirror_delay"),
        (("-e", "etcd_mirror_overwrite=false"), "does not look first"),
        (("-e", "etcd_mirror_revision=3"), "writes to the wrong keys (etcd #22421)"),
        (("-e", "etcd_mirror_destination=etcd"), "one endpoint of the destination"),
    ):
        refused = mirror(hosts, *CLASSIC, *wrong)
        assert refused.rc != 0 and cause in refused.text, refused.output
    assert says(hosts, engine, "ls /etc/quorum-etcd /etc/systemd/system | grep -c mirror || :") == "0"

    done = mirror(hosts, *CLASSIC, "--diff")
    assert done.rc == 0, done.output
    wait_for("the first copy", lambda: equal(hosts, engine))
    again = mirror(hosts, *CLASSIC)
    assert again.rc == 0 and again.recap(engine.host)["changed"] == 0, again.output
    nobody_else_reads_it(hosts, engine)
    assert says(hosts, engine, f"systemctl is-enabled {SERVICE}; systemd-analyze verify {SERVICE} 2>&1") == "enabled"

    # Killed, it is begun anew, and what was written in between is there.
    hosts.run(engine, ["systemctl", "kill", "--signal=KILL", SERVICE])
    source.put(b"app/killed", b"1")
    wait_for("a mirror after it was killed", lambda: equal(hosts, engine))
    hosts.reboot(engine)
    hosts.wait_ready()
    source.put(b"app/rebooted", b"1")
    wait_for("a mirror after a reboot", lambda: equal(hosts, engine))
    wait_for("its progress", lambda: re.search(r"\d+ keys so far", hosts.run(engine, ["journalctl", "-u", SERVICE])))

    gone = mirror(hosts, *CLASSIC, "-e", "etcd_mirror_state=absent")
    assert gone.rc == 0, gone.output
    assert says(hosts, engine, f"ls {FOLDER} /etc/systemd/system | grep -c old || :") == "0"
    assert "make-mirror" not in says(hosts, engine, "ps -eo args")


def test_the_engine_is_a_service_that_comes_back(hosts: MirrorHosts, engine: Member) -> None:
    """After a kill and a reboot, with what was deleted meanwhile; refused where the destination has keys of others."""
    source, there = hosts.client(hosts.members[0]), hosts.client(engine)
    there.put(b"theirs", b"1")
    shown = mirror(hosts, "--check", "--diff")
    assert shown.rc == 0 and "Mirror mirror, by this collection's engine:" in shown.text, shown.output
    assert says(hosts, engine, "ls /etc/systemd/system | grep -c mirror || :") == "0"
    refused = mirror(hosts)
    assert refused.rc != 0 and "has keys that no mirror has written" in refused.text, refused.output
    done = mirror(hosts, *OVERWRITE)
    assert done.rc == 0 and "mirror mirror: " in done.text, done.output
    wait_for("the first copy", lambda: equal(hosts, engine))
    again = mirror(hosts, *OVERWRITE)
    assert again.rc == 0 and again.recap(engine.host)["changed"] == 0, again.output
    nobody_else_reads_it(hosts, engine)
    verify = "systemd-analyze verify quorum-etcd-mirror@mirror.service quorum-etcd-mirror-verify@mirror.timer 2>&1"
    assert says(hosts, engine, verify) == ""

    hosts.run(engine, ["systemctl", "kill", "--signal=KILL", ENGINE])
    source.put(b"app/killed", b"2")
    source.delete(b"app/rebooted")
    wait_for("a mirror after it was killed", lambda: equal(hosts, engine))
    hosts.run(engine, ["systemctl", "stop", "etcd"])
    source.put(b"app/down", b"2")
    time.sleep(20)  # some attempts to connect, all of which fail
    hosts.run(engine, ["systemctl", "start", "etcd"])
    wait_for("a mirror after its destination was down", lambda: equal(hosts, engine))
    hosts.reboot(engine)
    source.put(b"app/rebooted", b"2")
    source.delete(b"app/killed")
    hosts.wait_ready()
    wait_for("a mirror after a reboot", lambda: equal(hosts, engine))

    hosts.run(engine, ["systemctl", "start", "quorum-etcd-mirror-verify@mirror.service"])
    health = told(hosts, engine)
    assert (health["state"], health["differences"]) == ("ok", 0) and health["verified"]["source_keys"] > 100, health
    status = play(STATUS, "-i", hosts.inventory, "-e", "target=etcd_mirror")
    assert f"{engine.host}: mirror mirror: OK" in status.text, status.output


APP = """[Service]
EnvironmentFile=/etc/app.env
ExecStart=/bin/sh -c 'n=0; while :; do n=$$((n+1)); key=app/orders/$$$$-$$n; \\
  etcdctl --endpoints "$$ETCD_ENDPOINTS" --cacert {pki}/ca.crt --cert {pki}/member.crt --key {pki}/member.key \\
  put $$key "$$ETCD_ENDPOINTS" && echo $$key >>/root/acknowledged; sleep 0.1; done'
"""


def test_clients_move_to_the_mirror_and_back(hosts: MirrorHosts, engine: Member) -> None:
    """A service that writes, with TLS and as a user: no write that it was told of is lost, there and back."""
    assert mirror(hosts, *OVERWRITE).rc == 0
    source, shop = hosts.members, hosts.members[1]
    endpoints = ",".join(member.client_url for member in source)
    hosts.run(shop, ["sh", "-c", f"cat >/etc/systemd/system/shop.service <<'END'\n{APP.format(pki=PKI)}END"])
    env = f"ETCDCTL_API=3\nETCD_ENDPOINTS={endpoints}\nETCDCTL_USER=app\nETCDCTL_PASSWORD={hosts.password}\n"
    says(hosts, shop, f"umask 077; printf '{env}' >/etc/app.env; systemctl daemon-reload; systemctl start shop")
    given = {
        "etcd_mirror_writers": shop.host,
        "etcd_mirror_writers_stop": [["systemctl", "stop", "shop"]],
        "etcd_mirror_writers_start": [["systemctl", "start", "shop"]],
        # Right only where it runs: a service that is stopped cannot be told to read its file again.
        "etcd_clients": [
            {"path": "/etc/app.env", "setting": "ETCD_ENDPOINTS", "reload": ["systemctl", "is-active", "shop"]}
        ],
        "etcd_mirror_cutover_accept": ["leases"],
    }
    confirmed = ("-e", json.dumps(given), "-e", "etcd_mirror_cutover_confirm=mirror")
    wait_for("its first writes", lambda: len(acknowledged(hosts, shop)) > 5)

    # Without the host in the group it is not stopped, and so it is refused and named.
    refused = cutover(
        hosts, "-e", "etcd_mirror_cutover_confirm=mirror", "-e", json.dumps({**given, "etcd_mirror_writers": ""})
    )
    assert refused.rc != 0 and "Somebody still writes" in refused.text and "app/orders/" in refused.text, refused.output
    assert says(hosts, engine, f"systemctl is-active {ENGINE}") == "active"

    there = cutover(hosts, *confirmed)
    assert there.rc == 0 and "HANDED OVER" in there.text, there.output
    assert says(hosts, shop, "grep -c ENDPOINTS=https /etc/app.env") == "1"
    assert says(hosts, shop, "grep ENDPOINTS /etc/app.env") == f"ETCD_ENDPOINTS={engine.client_url}"
    nothing_lost(hosts, shop, engine)
    assert says(hosts, engine, f"systemctl is-enabled {ENGINE} || :") == "disabled"
    assert told(hosts, engine)["why"].endswith("clients use the destination")
    hosts.reboot(engine)
    hosts.wait_ready()
    assert says(hosts, engine, f"systemctl is-active {ENGINE} || :") == "inactive"

    back = cutover(hosts, *confirmed, "-e", "etcd_mirror_cutover_back=true")
    assert back.rc == 0 and "taken back" in back.text, back.output
    nothing_lost(hosts, shop, source[0])
    hosts.run(shop, ["systemctl", "stop", "shop"])
    wait_for("a mirror again", lambda: equal(hosts, engine))


def cutover(hosts: MirrorHosts, *arguments: str) -> Play:
    done = play(CUTOVER, "-i", hosts.inventory, *arguments)
    assert [word for word in secrets_of(hosts) if word in done.output] == []
    return done


def acknowledged(hosts: MirrorHosts, member: Member) -> list[str]:
    return says(hosts, member, "cat /root/acknowledged 2>/dev/null || :").split()


def nothing_lost(hosts: MirrorHosts, shop: Member, member: Member) -> None:
    """The shop goes on to write, and this member has all that was ever acknowledged to it."""
    before = acknowledged(hosts, shop)
    wait_for("new writes", lambda: len(acknowledged(hosts, shop)) > len(before) + 2)
    done = acknowledged(hosts, shop)
    there = hosts.contents(member)
    assert [key for key in done if key.encode() not in there] == []


def test_by_a_timer_until_it_has_caught_up_and_away_again(hosts: MirrorHosts, engine: Member) -> None:
    assert mirror(hosts, *OVERWRITE, "-e", "etcd_mirror_interval=2").rc == 0
    hosts.client(hosts.members[0]).put(b"app/timer", b"3")
    wait_for("a mirror by a timer", lambda: equal(hosts, engine))
    assert says(hosts, engine, "systemctl is-enabled quorum-etcd-mirror@mirror.timer") == "enabled"
    assert told(hosts, engine)["state"] == "ok"

    gone = mirror(hosts, "-e", "etcd_mirror_state=absent")
    assert gone.rc == 0, gone.output
    left = f"find {FOLDER} /usr/local/bin /etc/systemd/system ! -type d | grep 'mirror\\|quorum' || :"
    assert says(hosts, engine, left) == ""
    assert equal(hosts, engine), "what was mirrored stays"


def test_a_mirror_that_begins_with_a_snapshot(hosts: MirrorHosts, engine: Member) -> None:
    """The source's users come with it, and so do its passwords."""
    done = play(SEED, "-i", hosts.inventory, "-e", "etcd_restore_confirm=etcd_mirror", "-e", "etcd_mirror_name=seeded")
    assert done.rc == 0, done.output
    assert [word for word in secrets_of(hosts) if word in done.output] == []
    hosts.client(hosts.members[0]).put(b"app/seeded", b"1")
    wait_for("both sides equal", lambda: equal(hosts, engine))
    said = says(hosts, engine, "journalctl --no-pager -u quorum-etcd-mirror@seeded.service")
    assert re.search(r"Of \d+ keys? the snapshot was mended", said), said
    again = mirror(hosts, "-e", "etcd_mirror_name=seeded", *OVERWRITE)  # as the seed has it, which replaces all
    assert again.rc == 0 and again.recap(engine.host)["changed"] == 0, again.output
    gone = mirror(hosts, "-e", "etcd_mirror_state=absent", "-e", "etcd_mirror_name=seeded")
    assert gone.rc == 0, gone.output


def test_a_host_that_gets_grpcio_as_wheels(tmp_path: Path) -> None:
    """As where no package of it can be had: its services find it, and so does whoever types a command at night."""
    clusters = {"etcd": 1, "etcd_mirror": 1}
    with WithoutGrpcio(tmp_path / "wheels", clusters, tls=True, auth=True) as hosts:
        seed(hosts.client(hosts.members[0]), 100)
        engine = hosts.cluster("etcd_mirror")[0]
        python = says(hosts, engine, "python3 -c 'import sys; print(\"%d.%d\" % sys.version_info[:2])'")
        given = {"etcd_mirror_grpcio_wheels": wheels_of_grpcio(python), "etcd_mirror_keep_log": True}
        wanted = ("-e", json.dumps(given))
        done = mirror(hosts, *wanted)
        assert done.rc == 0, done.output
        wait_for("the first copy", lambda: equal(hosts, engine))
        assert "No module named 'grpc'" in says(hosts, engine, "python3 -c 'import grpc' 2>&1 || :")
        assert says(hosts, engine, "stat -c '%U %a' /usr/local/lib/quorum-etcd/python-*") == "root 700"

        hosts.run(engine, ["systemctl", "start", "quorum-etcd-mirror-verify@mirror.service"])
        revision = told(hosts, engine)["status"]["applied_revision"]
        again = mirror(hosts, *wanted)
        assert again.rc == 0 and again.recap(engine.host)["changed"] == 0, again.output
        for command, words in (
            ("mirror verify mirror", "mirror mirror is equal to its source"),
            ("mirror cutover mirror --accept leases", "nothing was touched: confirm"),
            (f"recover mirror --all --revision {revision}", "it is as it was"),
        ):
            assert words in says(hosts, engine, f"quorum-etcd {command} 2>&1")
        moves = cutover(hosts, "-e", json.dumps({"etcd_mirror_cutover_accept": ["leases"]}))
        assert moves.rc == 0 and "nothing was touched: confirm" in moves.text, moves.output
        recovers = ("-e", "etcd_mirror_recover_all=true", "-e", f"etcd_mirror_recover_revision={revision}")
        found = play(RECOVER, "-i", hosts.inventory, *recovers)
        assert found.rc == 0 and "it is as it was" in found.text, found.output

        # Where somebody else could have put modules, root runs none of them.
        says(hosts, engine, "chmod 777 /usr/local/lib/quorum-etcd")
        assert "are not believed" in says(hosts, engine, "quorum-etcd mirror verify mirror 2>&1 || :")
        for refused in (mirror(hosts, *wanted), cutover(hosts)):
            assert refused.rc != 0 and "are not believed" in refused.text, refused.output
