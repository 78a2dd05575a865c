# SPDX-License-Identifier: GPL-3.0-or-later
"""Which plays keep their hosts in step."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.quorum.etcd.plugins.plugin_utils.lockstep import out_of_step


def task(strategy="linear", serial=()):
    return SimpleNamespace(_parent=SimpleNamespace(_play=SimpleNamespace(strategy=strategy, serial=list(serial))))


@pytest.mark.parametrize("strategy", ["linear", "ansible.builtin.linear", "debug", "mitogen_linear"])
@pytest.mark.parametrize("serial", [(), (0,), ("",)])
def test_in_step(strategy, serial):
    assert out_of_step(task(strategy, serial)) == ""


@pytest.mark.parametrize("strategy", ["free", "ansible.builtin.free", "host_pinned", "mitogen_free"])
def test_a_strategy_by_which_hosts_do_not_wait(strategy):
    assert f"strategy is {strategy}," in out_of_step(task(strategy))


@pytest.mark.parametrize("serial", [(1,), ("30%",), (1, 2)])
def test_a_cluster_in_batches(serial):
    assert "the play has serial" in out_of_step(task(serial=serial))
