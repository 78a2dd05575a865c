# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A restore that is cut off at each of its changes: killed, without room for a line, or by a boot in the middle."""

from __future__ import annotations

import errno
import itertools
import os

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.core import journal as journals
from ansible_collections.quorum.etcd.plugins.module_utils.core.errors import EtcdError
from ansible_collections.quorum.etcd.plugins.module_utils.restore import steps
from ansible_collections.quorum.etcd.tests.unit.plugins.module_utils.restore.host import (
    CONFIG,
    another_host,
    killed_hosts,
    to_cutover,
)

# How a journal gets its lines, its plan and its claim onto the disk.
WRITERS = {name: getattr(journals, name) for name in ("add_line", "put")}


def all_can_be_written(monkeypatch):
    for name, write in WRITERS.items():
        monkeypatch.setattr(journals, name, write)


def unwritten(action, monkeypatch, error, only_one):
    """Run ``action`` again and again, each time with one line more that can be written, until all can; yields after each.

    With ``only_one`` just that line fails; else no later one can be written either.
    """
    at, so_far = [0], [0]

    def failing(write):
        def writing(*arguments):
            so_far[0] += 1
            if so_far[0] == at[0] or (so_far[0] > at[0] and not only_one):
                raise OSError(error, os.strerror(error), arguments[0])
            write(*arguments)

        return writing

    for number in itertools.count(1):
        at[0], so_far[0] = number, 0
        for name, write in WRITERS.items():
            monkeypatch.setattr(journals, name, failing(write))
        action(number)
        all_can_be_written(monkeypatch)
        yield number
        if so_far[0] < number:
            return


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
@pytest.mark.parametrize("only_one", [True, False])
def test_a_line_that_cannot_be_written_brings_the_old_data_back(tmp_path, monkeypatch, kind, slow, only_one):
    """At each line of a whole restore: it is said, the old member runs with its data, and the next run ends right."""
    made, said = [], []

    def there_and_back(number):
        made.append(another_host(tmp_path / str(number), monkeypatch, kind, slow))
        try:
            restore = to_cutover(made[-1])
            restore.journal.record(steps.PROVEN, checks=[])
            restore.finish()
            return
        except EtcdError as problem:
            said.append(str(problem))
        made[-1].restore().rollback()

    for number in unwritten(there_and_back, monkeypatch, errno.ENOSPC, only_one):
        host = made[-1]
        if len(said) < number:
            assert host.db() == "new"
            continue
        assert str(host.root / "state") in said[-1] and "No space left" in said[-1] and "Next: see that" in said[-1]
        assert host.db() == "old" and host.config.read_text() == CONFIG and host.manifest.exists()
        assert host.service.running
        told = steps.told(str(host.root / "state"), str(host.live))["journal"]
        if told.get("touched") and told["open"] and told["back"]:
            host.restore().rollback()
            assert host.db() == "old"
        elif told.get("touched") and told["open"]:
            to_end(host)
            assert host.db() == "new" and os.path.isdir(host.aside)
        assert host.service.running
    assert number >= 10


def to_end(host):
    restore = host.restore()
    restore.stage()
    restore.stop()
    restore.cutover()
    restore.journal.record(steps.PROVEN, checks=[])
    restore.finish()


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
@pytest.mark.parametrize("only_one", [True, False])
def test_a_rollback_needs_no_line(tmp_path, monkeypatch, kind, slow, only_one):
    """At each line of a rollback: the old data is back, it is said what is not on record, and a later rollback is at peace."""
    made = []

    def there_and_back(number):
        made.append(another_host(tmp_path / str(number), monkeypatch, kind, slow))
        with monkeypatch.context() as patch:
            all_can_be_written(patch)
            restore = to_cutover(made[-1])
        restore.rollback()
        made[-1].unwritten = restore.journal.unwritten

    for _number in unwritten(there_and_back, monkeypatch, errno.EROFS, only_one):
        host = made[-1]
        for _again in range(2):
            assert host.db() == "old" and host.config.read_text() == CONFIG and host.service.running
            told = steps.told(str(host.root / "state"), str(host.live))["journal"]
            assert told["back"], "no run goes forward from here"
            host.restore().rollback()
    assert "Read-only file system" in made[0].unwritten and made[-1].unwritten == ""
    assert len(made) >= 5


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
@pytest.mark.parametrize("then", ["forward", "back"])
def test_killed_at_every_change_and_run_again(tmp_path, monkeypatch, kind, then, slow):
    """At each of the changes of a whole restore: go on, or take it back; old or new data, never a mixture or a loss."""

    def whole(host):
        restore = to_cutover(host)
        restore.journal.record(steps.PROVEN, checks=[])
        restore.finish()

    killed = 0
    for host in killed_hosts(whole, tmp_path, monkeypatch, kind, slow):
        killed += 1
        if then == "forward":
            restore = host.restore()
            restore.stage()
            restore.stop()
            restore.cutover()
            restore.journal.record(steps.PROVEN, checks=[])
            restore.finish()
            assert host.db() == "new"
            with open(os.path.join(host.aside, "member", "db")) as old:
                assert old.read() == "old"
            assert "STATE=existing" in host.config.read_text()
            assert host.manifest.exists()
        else:
            host.restore().rollback()
            assert host.db() == "old"
            assert host.config.read_text() == CONFIG
            assert host.manifest.exists()
    assert killed >= 15


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
def test_killed_at_every_change_of_a_rollback(tmp_path, monkeypatch, kind, slow):
    def there_and_back(host):
        to_cutover(host).rollback()

    for host in killed_hosts(there_and_back, tmp_path, monkeypatch, kind, slow):
        host.restore().rollback()
        assert host.db() == "old"
        assert host.config.read_text() == CONFIG
        assert host.manifest.exists()


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize("kind", ["directory", "contents"])
@pytest.mark.parametrize("then", ["forward", "back"])
def test_the_host_boots_with_etcd_enabled_in_the_middle(tmp_path, monkeypatch, kind, then, slow):
    """Where it finds no data at that moment, etcd makes an empty member of its own: that must be in nobody's way."""

    def whole(host):
        restore = to_cutover(host)
        if then == "back":
            restore.rollback()

    born = 0
    for host in killed_hosts(whole, tmp_path, monkeypatch, kind, slow):
        restore = host.restore()
        if not restore.journal.has(steps.STOPPED):
            continue
        if not (host.live / "member").exists():
            born += 1
            written = host.config.read_text()
            assert "STATE=new" in written and "TOKEN=fresh" in written, "it would join the old cluster without its log"
            (host.live / "member").mkdir(parents=True)
            (host.live / "member" / "db").write_text("born empty")
        host.service.running = True
        if then == "back" or restore.journal.goes_back():
            restore.rollback()
            assert host.db() == "old" and host.config.read_text() == CONFIG
        else:
            restore.cutover()
            assert host.db() == "new"
            with open(os.path.join(host.aside, "member", "db")) as old:
                assert old.read() == "old"
    assert born >= 2
