"""Readings a second: by owner, with a burst, in bounded memory."""

from __future__ import annotations

import threading

import pytest
from cyberlab_hub.errors import OverQuota, PartDown
from cyberlab_hub.ingest import pace as pace_module
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.service.policy import Allowance


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def passes(pace: Pace, owner: str, points: int) -> bool:
    try:
        pace.take(owner, points)
    except OverQuota:
        return False
    return True


def test_over_time_nobody_has_more_than_the_rate() -> None:
    clock = Clock()
    pace = Pace(lambda _: Allowance("points", 100), clock)
    written = 0
    for _ in range(1000):  # 100 s of sending ten times too fast
        clock.now += 0.1
        written += 100 * passes(pace, "anna", 100)
    assert 100 * 100 <= written <= 100 * (100 + 10) + 100


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    clock = Clock()
    pace = Pace(lambda _: Allowance("points", 2000), clock)
    for _ in range(1000):
        clock.now += 0.25
        assert passes(pace, "anna", 500)


def test_a_batch_larger_than_the_burst_passes_and_is_paid_for() -> None:
    clock = Clock()
    pace = Pace(lambda _: Allowance("points", 100), clock)
    assert passes(pace, "anna", 5000)
    with pytest.raises(OverQuota) as caught:
        pace.take("anna", 1)
    assert caught.value.retry_after == pytest.approx(40, abs=0.1)
    clock.now = 40.1
    assert passes(pace, "anna", 1)


def test_owners_do_not_share_a_bucket() -> None:
    pace = Pace(lambda _: Allowance("points", 1), Clock())
    assert passes(pace, "anna", 1000)
    assert not passes(pace, "anna", 1)
    assert passes(pace, "ben", 1)


def test_a_quota_of_nothing_lets_nothing_pass() -> None:
    clock = Clock()
    pace = Pace(lambda _: Allowance("points", 0), clock)
    for _ in range(5):
        clock.now += 1e6
        with pytest.raises(OverQuota) as caught:
            pace.take("anna", 1)
    assert caught.value.retry_after == 60


def test_a_changed_quota_counts_within_five_seconds_and_a_lost_database_changes_nothing() -> None:
    clock, value, down = Clock(), [1], [False]

    def allowed(_: str) -> Allowance:
        if down[0]:
            raise PartDown("database-down", "away")
        return Allowance("points", value[0])

    pace = Pace(allowed, clock)
    assert passes(pace, "anna", 1000)
    value[0] = 1000
    clock.now = 5.0
    assert not passes(pace, "anna", 1)  # the debt is still there, but runs off a thousand times faster
    clock.now = 6.0
    assert passes(pace, "anna", 1)
    down[0] = True
    clock.now = 20.0
    assert passes(pace, "anna", 9000)
    assert passes(pace, "ben", 1)  # nobody knows: the default


def test_memory_is_bounded_by_those_who_send(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace_module, "KEPT", 100)
    clock = Clock()
    pace = Pace(lambda _: Allowance("points", 1), clock)
    assert passes(pace, "heavy", 1000)
    for number in range(10_000):
        clock.now += 0.01
        assert passes(pace, f"user{number}", 1)
    assert len(pace._buckets) <= 202  # those of the last second or two, and the one in debt
    assert not passes(pace, "heavy", 1)


def test_threads_share_one_bucket() -> None:
    pace = Pace(lambda _: Allowance("points", 10), Clock())
    passed: list[bool] = []

    def send() -> None:
        passed.extend(passes(pace, "anna", 1) for _ in range(50))

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(passed) == 100
