"""Space for readings: who is refused, how often InfluxDB is asked, and what happens while it does not say."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
from cyberlab_hub.errors import OverQuota, PartDown
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.remembered import FRESH_SECONDS
from cyberlab_hub.ingest.space import MEASURED_SECONDS, Space
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service.policy import Allowance

ANNA = database_of("anna")
DOWN = PartDown("database-down", "InfluxDB does not answer.")


class Server:
    """InfluxDB's answer about space, the quota, and the time."""

    def __init__(self, held: Mapping[str, int] | None) -> None:
        self.held = held
        self.value = 2
        self.asked = 0
        self.now = 100.0
        self.down = False

    def spaces(self) -> Mapping[str, int] | None:
        self.asked += 1
        if self.down:
            raise DOWN
        return self.held

    def allowed(self, _: str) -> Allowance:
        if self.down:
            raise DOWN
        return Allowance("readings", self.value, "own")

    def space(self) -> Space:
        return Space(self.allowed, self.spaces, lambda: self.now)


def admitted(space: Space, owner: str = "anna") -> bool:
    try:
        space.admit(owner)
    except OverQuota:
        return False
    return True


@pytest.mark.parametrize(
    ("held", "fits"),
    [
        (None, True),
        ({}, True),
        ({ANNA: 1_999_999_999}, True),
        ({ANNA: 2_000_000_000}, False),
        ({ANNA: 9_000_000_000}, False),
        ({database_of("ben"): 9_000_000_000}, True),
    ],
)
def test_who_is_let_in(held: Mapping[str, int] | None, fits: bool) -> None:
    assert admitted(Server(held).space()) is fits


def test_the_refusal_says_how_much_and_when_to_come_again() -> None:
    with pytest.raises(OverQuota, match=r"take up 2\.5 GB, and 2 GB are possible \(set for you") as caught:
        Server({ANNA: 2_500_000_000}).space().admit("anna")
    assert caught.value.code == "quota-readings"
    assert caught.value.retry_after == MEASURED_SECONDS
    assert caught.value.quota is not None
    assert (caught.value.quota.value, caught.value.quota.in_use) == (2, 2.5)


def test_influxdb_is_asked_once_a_minute_for_everybody() -> None:
    server = Server({ANNA: 0})
    space = server.space()
    for number in range(1000):
        admitted(space, f"user-{number}")
    assert server.asked == 1
    server.held = {ANNA: 3_000_000_000}
    assert admitted(space)
    server.now += MEASURED_SECONDS
    assert not admitted(space)
    assert server.asked == 2


def test_what_is_deleted_counts_at_once() -> None:
    server = Server({ANNA: 3_000_000_000})
    space = server.space()
    assert not admitted(space)
    server.held = {}
    space.forget()
    assert admitted(space)


def test_a_quota_that_is_raised_counts_soon() -> None:
    server = Server({ANNA: 3_000_000_000})
    space = server.space()
    assert not admitted(space)
    server.value = 4
    server.now += FRESH_SECONDS
    assert admitted(space)


def test_a_quota_of_zero_lets_nothing_in() -> None:
    server = Server({})
    server.value = 0
    assert not admitted(server.space())


def test_while_a_database_is_away_it_is_as_before() -> None:
    server = Server({ANNA: 3_000_000_000})
    space = server.space()
    assert not admitted(space)
    server.down = True
    server.now += MEASURED_SECONDS
    assert not admitted(space)
    fresh = server.space()
    assert admitted(fresh), "never measured: nothing is refused"


def test_a_slow_answer_holds_up_one_batch_only() -> None:
    server = Server({ANNA: 0})
    space = server.space()
    admitted(space)
    server.now += MEASURED_SECONDS
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> Mapping[str, int]:
        begun.set()
        assert go_on.wait(20)
        return {}

    space._spaces = slow
    first = threading.Thread(target=admitted, args=(space,))
    first.start()
    assert begun.wait(20)
    assert admitted(space), "with what was known"
    go_on.set()
    first.join(20)
    assert not first.is_alive()


def test_who_has_no_space_pays_nothing_of_the_rate() -> None:
    server = Server({ANNA: 3_000_000_000})
    pace = Pace(lambda _: Allowance("points", 10), lambda: server.now, server.space().admit)
    for _ in range(50):
        with pytest.raises(OverQuota, match="no more are taken"):
            pace.take("anna", 1000)
    server.held = {}
    server.now += MEASURED_SECONDS
    pace.take("anna", 1)
