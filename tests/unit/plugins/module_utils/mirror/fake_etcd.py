# Copyright: (c) 2026, the quorum.etcd authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""An etcd of one member in memory, with all of its revisions: what the mirror's unit tests read."""

from __future__ import annotations

import threading

from ansible_collections.quorum.etcd.plugins.module_utils.etcd.messages import Header, KeyValue, Page
from ansible_collections.quorum.etcd.plugins.module_utils.etcd.refusals import Compacted, Stale, TooLarge


class FakeEtcd:
    """Revision n is ``self.history[n]``, sorted by key. ``largest``: bytes of a page, beyond which it is TooLarge.

    ``behind``: revisions that the member lacks when it is asked for its own view. ``before``: called before each answer.
    """

    def __init__(self, cluster=1, largest=1 << 62):
        self.cluster, self.largest, self.behind = cluster, largest, 0
        self.history, self.compacted = {1: {}}, 0
        self.asked = []
        self.before = lambda: None

    @property
    def revision(self):
        return max(self.history)

    def txn(self, puts=(), deletes=(), lease=0):
        """One transaction: pairs that are put, keys that are deleted. Returns the revision."""
        now = dict(self.history[self.revision])
        revision = self.revision + 1
        for key in deletes:
            del now[key]
        for key, value in puts:
            old = now.get(key)
            now[key] = KeyValue(
                key, old.create_revision if old else revision, revision, old.version + 1 if old else 1, value, lease
            )
        self.history[revision] = now
        return revision

    def put(self, key, value, lease=0):
        return self.txn([(key, value)], lease=lease)

    def delete(self, key):
        return self.txn(deletes=[key])

    def compact(self, revision=0):
        self.compacted = revision or self.revision

    term = 1

    def raft_index(self, _key):
        return self.revision + 3

    def page(self, key, end=b"", *, limit=0, revision=0, count_only=False, serializable=False):
        self.before()
        self.asked.append((key, end, limit, revision, count_only, serializable))
        if serializable and revision > self.revision - self.behind:
            raise Stale("required revision is a future revision")
        if revision and revision < self.compacted:
            raise Compacted("required revision has been compacted")
        held = self.history[revision or self.revision]
        found = [
            held[one] for one in sorted(held) if one == key or (end and key <= one and (end == b"\0" or one < end))
        ]
        page = [] if count_only else found[: limit or None]
        if sum(len(kv.key) + len(kv.value) for kv in page) > self.largest:
            raise TooLarge("the answer is too large")
        return Page(Header(self.cluster, 1, self.revision, 1), page, len(page) < len(found), len(found))


def together(work):
    """The same, of which sixteen must be under way at once: else none of them ever returns."""
    barrier = threading.Barrier(16)

    def one_of_many(*args):
        barrier.wait(10)
        return work(*args)

    return one_of_many
