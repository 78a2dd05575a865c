# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How far a member has come, by its metrics: real lines of 3.6.16, and servers that give anything else."""

from __future__ import annotations

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from ansible_collections.quorum.etcd.plugins.module_utils.etcd import proving
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.metrics import applied_index

sys.path.insert(0, str(Path(__file__).parent))
from living import Living  # noqa: E402

METRICS = """\
# HELP etcd_server_proposals_applied_total The total number of consensus proposals applied.
# TYPE etcd_server_proposals_applied_total gauge
etcd_server_proposals_applied_total %s
# HELP etcd_server_proposals_committed_total The total number of consensus proposals committed.
# TYPE etcd_server_proposals_committed_total gauge
etcd_server_proposals_committed_total 12
"""


class Server:
    """Answers /metrics with this."""

    def __init__(self, body, status=200):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status if self.path == "/metrics" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_exc):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("printed, index", [("7", 7), ("1.0000123e+07", 10_000_123), ("0", 0)])
def test_the_index_is_a_number_as_prometheus_prints_it(printed, index):
    with Server((METRICS % printed).encode()) as url:
        assert applied_index(url, Connection()) == index


@pytest.mark.parametrize(
    "body, status",
    [
        (b"", 200),
        ((METRICS % "7").encode(), 503),
        (b"etcd_server_proposals_applied_total x\n", 200),
        (b"\xff" * 9, 200),
    ],
)
def test_whatever_else_is_answered_is_no_index(body, status):
    with Server(body, status) as url:
        assert applied_index(url, Connection()) == 0


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "https://127.0.0.1:1", "unix://client:1", "127.0.0.1:1", "http://"]
)
def test_nobody_there_is_no_index(url):
    assert applied_index(url, Connection(command_timeout=1)) == 0


def test_a_certificate_that_cannot_be_read_is_no_index():
    with Server(b"") as url:
        to = Connection(cacert="/nowhere/ca.crt", command_timeout=1)
        assert applied_index(url.replace("http", "https"), to) == 0


def test_only_a_learner_that_refuses_the_login_is_asked_for_it():
    etcd, asked = Living((1, 2, 3, 4), index=10_000), []
    etcd.members[4]["isLearner"] = True

    def applied(endpoint, _connection):
        asked.append(endpoint)
        return 9_990

    def see():
        to = etcd.connection()
        return proving.look(etcd, etcd.tools, to, knock=etcd.knock, handshake=lambda *_: "", applied=applied)

    assert proving.lag(see(), "4") == 0 and asked == []
    etcd.no_login = {4}
    view = see()
    assert proving.lag(view, "4") == 10 and asked == ["http://10.0.0.4:2379"], view.members[3]
