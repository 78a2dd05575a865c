# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's client that tells whether writers are disturbed: what it counts as a failure decides what the tests show."""

from __future__ import annotations

import threading

import pytest
from client import Client, GatewayError, RetryingWriter


class Endpoint(Client):
    """One that answers in its own way; it sets ``seen`` when it was asked three times."""

    def __init__(self, works: bool = True) -> None:
        super().__init__("http://nowhere")
        self.works, self.asked, self.seen = works, 0, threading.Event()

    def put(self, key: bytes, value: bytes, lease: int = 0) -> int:
        self.asked += 1
        if self.asked == 3:
            self.seen.set()
        if not self.works:
            raise GatewayError(f"{self.endpoint}: refused")
        return 1


def written(*endpoints: Endpoint, deadline: float) -> RetryingWriter:
    with RetryingWriter(endpoints, interval=0.001, deadline=deadline) as writer:
        assert all(one.seen.wait(10) for one in endpoints)
    return writer


def test_it_writes_through_all_endpoints_and_takes_the_next_where_one_refuses() -> None:
    good, bad, other = Endpoint(), Endpoint(works=False), Endpoint()
    writer = written(good, bad, other, deadline=60.0)
    assert writer.failed == [] and writer.acknowledged == good.asked + other.asked


@pytest.mark.parametrize(("works", "why"), [(True, "acknowledged after more than"), (False, "refused")])
def test_what_takes_longer_than_its_deadline_has_failed_whatever_the_answer(works: bool, why: str) -> None:
    writer = written(Endpoint(works), deadline=-1.0)
    assert len(writer.failed) >= 3 and all(why in one for one in writer.failed), writer.failed
