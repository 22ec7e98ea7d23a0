"""A large batch is written as two; nobody sees the difference."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Event, Thread

import pytest
from cyberlab.wire import RefusedLine
from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest.halves import LARGE, Halves

LINES = [b"t value=%d %d" % (i, i) for i in range(10_000)]
BODY = b"\n".join(LINES)
SECONDS = 10


@pytest.fixture
def halves() -> Iterator[Halves]:
    halves = Halves()
    yield halves
    halves.close()


def test_both_halves_are_under_way_at_once_and_nothing_is_missing(halves: Halves) -> None:
    together, seen = Barrier(2, timeout=SECONDS), []

    def write(body: bytes) -> tuple[RefusedLine, ...]:
        together.wait()
        seen.append(body)
        return ()

    assert halves.write(write, BODY) == ()
    assert sorted(b"\n".join(seen).split(b"\n")) == sorted(LINES)
    assert min(map(len, seen)) > len(BODY) // 3


def test_refused_lines_have_their_number_in_the_whole_batch(halves: Halves) -> None:
    bad = {0, 17, 4_999, 5_000, 5_001, 9_999}

    def write(body: bytes) -> tuple[RefusedLine, ...]:
        return tuple(
            RefusedLine(line=n, reason=line.decode())
            for n, line in enumerate(body.split(b"\n"), 1)
            if LINES.index(line) in bad
        )

    refused = halves.write(write, BODY)
    assert [(r.line, r.reason) for r in refused] == [(n + 1, LINES[n].decode()) for n in sorted(bad)]


@pytest.mark.parametrize("body", [b"t value=1 1", b"x" * (2 * LARGE), BODY[: LARGE - 1]])
def test_what_is_small_or_one_line_goes_as_it_is(halves: Halves, body: bytes) -> None:
    seen: list[bytes] = []
    halves.write(lambda part: (seen.append(part), ())[1], body)
    assert seen == [body]


@pytest.mark.parametrize("failing", [LINES[0], LINES[-1]])
def test_a_half_that_fails_fails_the_batch_when_the_other_is_through(halves: Halves, failing: bytes) -> None:
    through: list[bytes] = []

    def write(body: bytes) -> tuple[RefusedLine, ...]:
        if failing in body.split(b"\n"):
            raise PartDown("database-down", "away")
        through.append(body)
        return ()

    with pytest.raises(PartDown):
        halves.write(write, BODY)
    assert len(through) == 1


def test_while_one_is_halved_another_goes_whole(halves: Halves) -> None:
    begun, go = Event(), Event()
    seen: list[bytes] = []

    def slow(_: bytes) -> tuple[RefusedLine, ...]:
        begun.set()
        assert go.wait(SECONDS)
        return ()

    first = Thread(target=halves.write, args=(slow, BODY))
    first.start()
    try:
        assert begun.wait(SECONDS)
        halves.write(lambda part: (seen.append(part), ())[1], BODY)
    finally:
        go.set()
        first.join(SECONDS)
    assert seen == [BODY]
