"""What the lab's database says of somebody, five seconds old at most."""

from __future__ import annotations

import pytest
from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest import remembered
from cyberlab_hub.ingest.remembered import FRESH_SECONDS, KEPT, Remembered


class Asked:
    def __init__(self) -> None:
        self.answer: int | PartDown = 1
        self.times = 0
        self.now = 0.0

    def __call__(self, _: str) -> int:
        self.times += 1
        if isinstance(self.answer, PartDown):
            raise self.answer
        return self.answer


@pytest.fixture
def asked() -> Asked:
    return Asked()


@pytest.fixture
def kept(asked: Asked) -> Remembered[int]:
    return Remembered(asked, 7, lambda: asked.now)


def test_it_is_asked_for_every_five_seconds(asked: Asked, kept: Remembered[int]) -> None:
    assert [kept.of("anna") for _ in range(3)] == [1, 1, 1]
    asked.answer = 2
    asked.now += FRESH_SECONDS - 0.1
    assert (kept.of("anna"), asked.times) == (1, 1)
    asked.now += 0.1
    assert (kept.of("anna"), kept.of("ben"), asked.times) == (2, 2, 3)


def test_while_the_database_is_away_the_last_answer_counts(asked: Asked, kept: Remembered[int]) -> None:
    kept.of("anna")
    asked.answer = PartDown("database-down", "away")
    asked.now += 3600
    assert (kept.of("anna"), kept.of("ben")) == (1, 7)
    assert (kept.of("anna"), asked.times) == (1, 3), "and it is not asked for every batch"


def test_the_memory_is_bounded(asked: Asked, kept: Remembered[int], monkeypatch: pytest.MonkeyPatch) -> None:
    assert KEPT < 10_000
    monkeypatch.setattr(remembered, "KEPT", 10)
    for number in range(100):
        kept.of(str(number))
    assert len(kept._answers) <= 10
