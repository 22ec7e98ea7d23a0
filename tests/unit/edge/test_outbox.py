"""The queue between a program and the gateway."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from cyberlab_edge.outbox import Outbox, backoff
from cyberlab_edge.points import Point, parse
from cyberlab_edge.uplink import Answer, Verdict

T = 1_700_000_000_000_000_000
TAKEN = Answer(Verdict.TAKEN)
AWAY = Answer(Verdict.LATER, "connection refused")


class Gateway:
    """Stands for the uplink: answers as told, keeps what it took."""

    def __init__(self) -> None:
        self.answer: Callable[[list[str]], Answer] = lambda _: TAKEN
        self.taken: list[str] = []
        self.tries = 0

    def __call__(self, body: bytes) -> Answer:
        self.tries += 1
        lines = body.decode().split("\n")
        answer = self.answer(lines)
        if answer.verdict is Verdict.TAKEN:
            self.taken += lines
        return answer

    @property
    def values(self) -> list[float]:
        return [float(p.fields["value"]) for p in map(parse, self.taken) if p.measurement == "t"]

    @property
    def gaps(self) -> list[Point]:
        return [p for p in map(parse, self.taken) if p.measurement == "cyberlab_gap"]


def point(number: int) -> Point:
    return Point("t", {"value": float(number)}, T + number)


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


@pytest.fixture
def outbox(gateway: Gateway) -> Iterator[Outbox]:
    box = Outbox(gateway, limit=100, wait=lambda _: 0.01)
    yield box
    gateway.answer = lambda _: TAKEN
    box.close(5)


def test_everything_arrives_in_order(gateway: Gateway, outbox: Outbox) -> None:
    for number in range(50):
        outbox.put(point(number))
    assert outbox.flush(5)
    assert gateway.values == list(range(50))
    assert outbox.waiting == 0


def test_the_first_point_does_not_wait_long(gateway: Gateway, outbox: Outbox) -> None:
    outbox.put(point(1))
    deadline = time.monotonic() + 1
    while not gateway.taken and time.monotonic() < deadline:
        time.sleep(0.005)
    assert gateway.values == [1]


def test_points_come_together_in_batches(gateway: Gateway, outbox: Outbox) -> None:
    for number in range(60):
        outbox.put(point(number))
        time.sleep(0.005)
    outbox.flush(5)
    assert gateway.tries < 8


def test_while_the_gateway_is_away_nothing_is_lost(gateway: Gateway, outbox: Outbox) -> None:
    gateway.answer = lambda _: AWAY
    for number in range(30):
        outbox.put(point(number))
    assert not outbox.flush(0.3)
    assert gateway.tries > 2
    gateway.answer = lambda _: TAKEN
    assert outbox.flush(5)
    assert gateway.values == list(range(30))
    assert gateway.gaps == []


def test_a_full_queue_drops_the_oldest_and_says_so(gateway: Gateway, outbox: Outbox) -> None:
    gateway.answer = lambda _: AWAY
    for number in range(130):
        outbox.put(point(number))
    time.sleep(0.2)
    gateway.answer = lambda _: TAKEN
    assert outbox.flush(5)
    assert gateway.values == list(range(30, 130))
    (gap,) = gateway.gaps
    assert gap.fields["lost"] == 30
    assert (gap.fields["from_ns"], gap.fields["to_ns"]) == (T, T + 29)


def test_points_dropped_while_they_were_being_sent_are_not_called_lost(
    gateway: Gateway, outbox: Outbox
) -> None:
    sending, go = threading.Event(), threading.Event()

    def slow(_: list[str]) -> Answer:
        sending.set()
        go.wait(5)
        return TAKEN

    gateway.answer = slow
    for number in range(100):
        outbox.put(point(number))
    assert sending.wait(5)
    for number in range(100, 110):
        outbox.put(point(number))
    go.set()
    assert outbox.flush(5)
    assert gateway.values == list(range(110))
    assert gateway.gaps == []


def test_memory_is_bounded_in_bytes_too(gateway: Gateway) -> None:
    gateway.answer = lambda _: AWAY
    outbox = Outbox(gateway, limit_bytes=10_000, wait=lambda _: 0.01)
    for number in range(100):
        outbox.put(Point("t", {"value": float(number), "text": "x" * 900}, T + number))
    assert outbox.waiting <= 11
    gateway.answer = lambda _: TAKEN
    assert outbox.close(5)
    assert gateway.gaps[0].fields["lost"] == 100 - len(gateway.values)


def test_refused_points_are_counted_and_told_not_sent_again(
    gateway: Gateway, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    gateway.answer = lambda _: Answer(Verdict.TAKEN, refused=("'value' is float here",))
    outbox.put(point(1))
    outbox.put(point(2))
    assert outbox.flush(5)
    assert outbox.refused == 1
    assert gateway.tries == 1
    assert "1 of 2 readings were refused: 'value' is float here" in caplog.text


def test_a_batch_that_can_never_be_written_does_not_block_the_next(gateway: Gateway, outbox: Outbox) -> None:
    gateway.answer = lambda _: Answer(Verdict.NEVER, "bad")
    outbox.put(point(1))
    assert outbox.flush(5)
    gateway.answer = lambda _: TAKEN
    outbox.put(point(2))
    assert outbox.flush(5)
    assert gateway.values == [2]
    assert outbox.refused == 1


def test_a_gateway_with_a_smaller_limit(gateway: Gateway, outbox: Outbox) -> None:
    gateway.answer = lambda lines: TAKEN if len(lines) <= 3 else Answer(Verdict.SMALLER, "too large")
    for number in range(40):
        outbox.put(point(number))
    assert outbox.flush(10)
    assert gateway.values == list(range(40))


def test_a_mistake_in_sending_does_not_end_the_thread(gateway: Gateway, outbox: Outbox) -> None:
    def broken(_: list[str]) -> Answer:
        raise RuntimeError("a bug")

    gateway.answer = broken
    outbox.put(point(1))
    assert not outbox.flush(0.2)
    gateway.answer = lambda _: TAKEN
    assert outbox.flush(5)
    assert gateway.values == [1]


def test_put_from_many_threads(gateway: Gateway) -> None:
    outbox = Outbox(gateway)
    threads = [
        threading.Thread(target=lambda base=base: [outbox.put(point(base + i)) for i in range(500)])
        for base in range(0, 4000, 500)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbox.close(10)
    assert sorted(gateway.values) == list(range(4000))


def test_back_off_grows_to_half_a_minute_with_jitter() -> None:
    assert 0.1 < backoff(1) <= 0.25
    assert 15 <= backoff(12) <= 30
    assert len({backoff(5) for _ in range(20)}) > 10


def test_a_gateway_that_asks_for_time_gets_it_also_while_somebody_waits(gateway: Gateway) -> None:
    gateway.answer = lambda _: Answer(Verdict.LATER, "quota-points", wait=60)
    box = Outbox(gateway, limit=100, wait=lambda _: 0.0)
    box.put(point(1))
    assert not box.flush(0.7)  # without the minute asked for it would have been tried again and again
    assert gateway.tries == 1
    assert box.waiting == 1
    box.close(0)


def test_after_the_time_asked_for_the_same_points_come_again(gateway: Gateway) -> None:
    answers = [Answer(Verdict.LATER, "quota-points", wait=0.05), TAKEN]
    gateway.answer = lambda _: answers.pop(0)
    box = Outbox(gateway, limit=100)
    for number in range(3):
        box.put(point(number))
    assert box.flush(5)
    assert gateway.values == [0, 1, 2]
    box.close(1)
