from __future__ import annotations

import threading

from cyberlab_hub.workshop.clock import StopClock


def test_time_over_acts_once() -> None:
    acted = threading.Event()
    with StopClock(acted.set, 0.01) as clock:
        assert acted.wait(2)
        clock.cancel()
    assert clock.reason == "time"


def test_the_first_reason_wins() -> None:
    calls: list[int] = []
    with StopClock(lambda: calls.append(1), 30) as clock:
        clock.cancel()
        clock.cancel()
    assert (clock.reason, calls) == ("cancelled", [1])


def test_after_the_work_nothing_is_stopped() -> None:
    calls: list[int] = []
    with StopClock(lambda: calls.append(1), 30) as clock:
        pass
    clock.cancel()
    assert (clock.reason, calls) == ("", [])
