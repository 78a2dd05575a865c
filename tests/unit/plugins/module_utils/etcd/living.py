# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A cluster whose membership changes, behind an etcdctl that prints what was seen on 3.4 to 3.7; its answers can be lost."""

from __future__ import annotations

import json
import time

from ansible_collections.quorum.etcd.plugins.module_utils.etcd.commands import Connection, Result, Tool, Tools
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.versions import Version

V36 = Version(3, 6, 16)
LOST = "Error: context deadline exceeded"
DEADLINE = "context deadline exceeded"


def url(number):
    return f"http://10.0.0.{number}:2379"


def peer(number):
    return f"http://10.0.0.{number}:2380"


class Living:
    """Members by number. ``down`` do not open; ``cut`` answer their status alone; ``refuse`` is a list of etcd's refusals,
    one for each change that is asked; ``lose`` is how many changes are made and not answered."""

    def __init__(self, members=(1, 2, 3), version=V36, leader=1, **faults):
        self.members = {number: {"ID": number, "peerURLs": [peer(number)]} for number in members}
        for number in members:
            self.start(number)
        self.version, self.leader = version, leader
        self.down, self.cut, self.deaf, self.no_login = set(), set(), set(), set()
        self.refuse, self.lose, self.ignore, self.alarms = [], 0, 0, []
        self.index, self.behind, self.unreadable = 50, {}, 0
        self.probe_words, self.calls = {}, []
        vars(self).update(faults)

    def start(self, number):
        self.members[number].update(name=f"m{number}", clientURLs=[url(number)])

    @property
    def tools(self):
        return Tools(etcdctl=Tool("/bin/etcdctl", self.version))

    def connection(self, *numbers):
        return Connection(endpoints=[url(number) for number in numbers or self.members])

    def knock(self, endpoint, _seconds):
        return "Connection refused" if self._number(endpoint) in self.down | (self._all() - set(self.members)) else ""

    def _all(self):
        return set(range(1, 20))

    @staticmethod
    def _number(endpoint):
        return int(endpoint.rpartition(":")[0].rpartition(".")[2])

    def __call__(self, argv, env):
        words = [word for word in argv[1:] if not word.startswith("-") and word != "json"]
        asked = [self._number(one) for one in argv[1].partition("=")[2].split(",")]
        self.calls.append((" ".join(words), asked))
        if words[0] == "move-leader":
            return self.change(asked, lambda: setattr(self, "leader", int(words[1], 16)))
        return getattr(self, "_".join(words[:2]))(asked, words[2:], argv)

    def asked(self, words):
        """Whom the commands that begin with these words were put to."""
        return [asked for said, asked in self.calls if said.startswith(words)]

    def print(self, value, rc=0, err=""):
        return Result(rc, json.dumps(value), err)

    def quorum(self):
        voters = [number for number, one in self.members.items() if not one.get("isLearner")]
        return len([number for number in voters if number not in self.down | self.cut | self.deaf]) > len(voters) // 2

    def endpoint_status(self, asked, _words, _argv):
        rows, errors = [], []
        if set(asked) & self.no_login:  # etcdctl gives all of them up
            return Result(1, "", "Error: etcdserver: rpc not supported for learner")
        for number in asked:
            if number in self.deaf:
                errors.append(f"Failed to get the status of endpoint {url(number)} ({DEADLINE})")
                continue
            header = {"cluster_id": 7, "member_id": self.members[number]["ID"], "revision": 9, "raft_term": 2}
            index = self.index - self.behind.get(number, 0)
            said = {"header": header, "version": str(self.version), "leader": self.leader, "dbSize": 1, "raftTerm": 2}
            said.update(raftIndex=index, raftAppliedIndex=index, isLearner=bool(self.members[number].get("isLearner")))
            errors_of = {"errors": [f"memberID:{one} alarm:NOSPACE" for one in self.alarms]} if self.alarms else {}
            rows.append({"Endpoint": url(number), "Status": {**said, **errors_of}})
        return self.print(rows or None, 1 if errors else 0, "\n".join(errors))

    def endpoint_health(self, asked, _words, _argv):
        rows = []
        for number in asked:
            why = DEADLINE if number in self.cut | self.deaf or not self.quorum() else ""
            why = why or self.probe_words.get(number, "Active Alarm(s): NOSPACE" if self.alarms else "")
            rows.append({"endpoint": url(number), "health": not why, "took": "2ms", **({"error": why} if why else {})})
        sick = any(not row["health"] for row in rows)
        return self.print(rows, int(sick), '{"level":"warn"}\nError: unhealthy cluster' if sick else "")

    def member_list(self, asked, _words, _argv):
        if self.unreadable:
            self.unreadable -= 1
            return Result(1, "", LOST)
        if not set(asked) - self.cut - self.deaf or (self.version >= (3, 5, 0) and not self.quorum()):
            return Result(1, "", LOST)
        return self.print({"header": {}, "members": list(self.members.values())})

    def alarm_list(self, _asked, _words, _argv):
        return self.print({"alarms": [{"memberID": one, "alarm": 1} for one in self.alarms]} if self.alarms else {})

    def change(self, _asked, make):
        if self.refuse:
            return Result(1, "", '{"level":"warn"}\nError: etcdserver: ' + self.refuse.pop(0))
        if self.ignore:
            self.ignore -= 1
            return Result(1, "", LOST)
        make()
        if self.lose:
            self.lose -= 1
            return Result(1, "", LOST)
        return self.print({"header": {}, "members": list(self.members.values())})

    def member_add(self, asked, _words, argv):
        urls = next(word for word in argv if word.startswith("--peer-urls=")).partition("=")[2].split(",")
        number = self._number(urls[0])
        learner = {"isLearner": True} if "--learner" in argv else {}
        return self.change(asked, lambda: self.members.update({number: {"ID": number, "peerURLs": urls, **learner}}))

    def member_remove(self, asked, words, _argv):
        return self.change(asked, lambda: self.members.pop(int(words[0], 16)))

    def member_promote(self, asked, words, _argv):
        if self.leader not in asked:
            return Result(1, "", "Error: etcdserver: permission denied")
        return self.change(asked, lambda: self.members[int(words[0], 16)].pop("isLearner"))


def time_jumps(monkeypatch):
    """The clock jumps where somebody sleeps, and stands still else: no test depends on how busy the machine is."""
    clock = [0.0]

    def sleep(seconds):
        clock[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", sleep)
