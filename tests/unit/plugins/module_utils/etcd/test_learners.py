# SPDX-License-Identifier: GPL-3.0-or-later
"""A learner where authentication is on: it refuses every login, and its metrics tell how far it is."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import proving
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.learners import read_metrics, status_of_metrics

sys.path.insert(0, str(Path(__file__).parent))
from living import Living  # noqa: E402
from test_cluster import Etcd, listed, observe, three, url  # noqa: E402

# Lines of what etcd 3.7.3 served while it was a learner.
METRICS = """\
# HELP etcd_debugging_mvcc_current_revision The current revision of store.
# TYPE etcd_debugging_mvcc_current_revision gauge
etcd_debugging_mvcc_current_revision 1204
# HELP etcd_disk_wal_fsync_duration_seconds The latency distributions of fsync called by WAL.
etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 3
etcd_mvcc_db_total_size_in_bytes 1.2345678e+07
etcd_mvcc_db_total_size_in_use_in_bytes 20480
etcd_server_has_leader 1
etcd_server_id{server_id="3"} 1
etcd_server_is_learner 1
etcd_server_proposals_applied_total 1.000045e+06
etcd_server_proposals_committed_total 1.00005e+06
etcd_server_quota_backend_bytes NaN
etcd_server_version{server_version="3.7.3"} 1
"""


class WithALearner(Etcd):
    """m3 is a learner, which lets nobody log in."""

    def __init__(self):
        super().__init__({**three(), 3: None}, members=(1, 2, listed(3, isLearner=True)))

    def endpoint_status(self, endpoints, argv):
        if url(3) in endpoints:
            return Result(2, "", "Error: etcdserver: rpc not supported for learner")
        return super().endpoint_status(endpoints, argv)


def test_a_learner_that_refuses_the_login_is_known_by_its_metrics():
    asked = []
    view = observe(WithALearner(), read=lambda endpoint, _to: asked.append(endpoint) or METRICS)
    learner = view["members"][2]
    assert asked == [url(3)]
    assert (learner["is_learner"], learner["healthy"], learner["state"], learner["errors"]) == (
        True,
        True,
        "serves",
        [],
    )
    assert (learner["raft_applied_index"], learner["raft_index"], learner["version"]) == (1000045, 1000050, "3.7.3")
    assert (learner["revision"], learner["db_size"]) == (1204, 12345678)
    assert (view["health"], view["leader"], view["learners"], len(view["cluster_ids"])) == ("healthy", "1", 1, 1)
    assert view["endpoints"][2]["ok"]


def test_a_learners_refusal_that_is_told_of_others_is_not_theirs():
    """What etcdctl 3.4.23 printed where a voter and a learner were asked together: it had logged in at the learner."""
    etcd = WithALearner()
    alone = etcd.endpoint_status

    def together(endpoints, argv):
        if len(endpoints) == 1:
            return alone(endpoints, argv)
        words = "failed to dial endpoint {0} with maintenance client: etcdserver: rpc not supported for learner"
        lines = [f"Failed to get the status of endpoint {one} ({words.format(one)})" for one in endpoints]
        return Result(1, "[]", "\n".join(lines))

    etcd.endpoint_status = together
    view = observe(etcd, read=lambda *_: METRICS)
    assert [member["errors"] for member in view["members"]] == [[], [], []]
    assert (view["health"], view["has_quorum"], view["learners"]) == ("healthy", True, 1)


@pytest.mark.parametrize(
    "metrics",
    [
        "",
        METRICS.replace('server_id="3"', 'server_id="4"'),
        METRICS.replace("is_learner 1", "is_learner 0"),
        METRICS.replace("1.000045e+06", "+Inf"),
        METRICS.replace("etcd_server_version", "other"),
    ],
    ids=["none", "another member's", "a voter's", "no number", "no version"],
)
def test_what_are_not_its_own_metrics_say_nothing(metrics):
    view = observe(WithALearner(), read=lambda *_: metrics)
    assert view["members"][2]["errors"] == ["Error: etcdserver: rpc not supported for learner"]
    assert (view["members"][2]["raft_applied_index"], view["members"][2]["healthy"]) == (0, False)
    assert len(view["cluster_ids"]) == 1


def test_a_voter_is_never_asked_so():
    etcd = WithALearner()
    etcd.members = [listed(number) for number in (1, 2, 3)]
    view = observe(etcd, read=lambda *_: pytest.fail("a voter logs in, or does not answer"))
    assert view["members"][2]["errors"]


def test_without_a_leader_it_has_none():
    status = status_of_metrics(METRICS.replace("has_leader 1", "has_leader 0"), "c")
    assert status is not None and status.leader == ""


class Metrics(BaseHTTPRequestHandler):
    def do_GET(self):  # the name is the base class's
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(METRICS.encode())

    def log_message(self, *_arguments):
        pass


def test_they_are_read_over_http_and_what_does_not_answer_says_nothing():
    with HTTPServer(("127.0.0.1", 0), Metrics) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        at = f"http://127.0.0.1:{server.server_port}"
        assert read_metrics(at, Connection()) == METRICS
        assert read_metrics(at.replace("http:", "https:"), Connection()) == ""
        assert read_metrics(at, Connection(cacert="/does/not/matter")) == METRICS
        server.shutdown()
    assert read_metrics(at, Connection()) == ""
    assert read_metrics("https://127.0.0.1:1", Connection(cacert="/not/there")) == ""
    assert read_metrics("unix:///not/there", Connection()) == ""


def test_the_lag_of_a_learner_is_known_also_where_it_lets_nobody_log_in():
    etcd, asked = Living((1, 2, 3, 4), index=1_000_050), []
    etcd.members[4]["isLearner"] = True

    def read(endpoint, _connection):
        asked.append(endpoint)
        return METRICS.replace('server_id="3"', 'server_id="4"')

    def see():
        to = etcd.connection()
        return proving.look(etcd, etcd.tools, to, knock=etcd.knock, handshake=lambda *_: "", read=read)

    assert proving.lag(see(), "4") == 0 and asked == []
    etcd.no_login = {4}
    assert proving.lag(see(), "4") == 5 and asked == ["http://10.0.0.4:2379"]
