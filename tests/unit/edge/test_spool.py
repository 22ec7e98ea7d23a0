"""The spool: what it keeps, in which order, and what it says of what it dropped."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyberlab_edge.spool import FULL, REFUSED, STRANGERS, Batch, Spool, SpoolFull

NS = 10**9


def line(number: int, measurement: str = "count") -> bytes:
    return f"{measurement} value={number}i {(1_700_000_000 + number) * NS}".encode()


def values(batch: Batch | None) -> list[int]:
    assert batch is not None
    rows = [row for row in batch.body.split(b"\n") if row.startswith(b"count ")]
    return [int(row.split(b"=")[1].split(b"i")[0]) for row in rows]


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    made = Spool(tmp_path / "spool.db")
    yield made
    made.close()


def test_points_come_out_in_their_order_and_stay_until_they_are_settled(spool: Spool) -> None:
    for number in range(5):
        spool.put("anna", line(number))
    batch = spool.next()
    assert values(batch) == [0, 1, 2, 3, 4]
    assert values(spool.next()) == [0, 1, 2, 3, 4]
    assert batch is not None
    spool.settle(batch)
    assert spool.next() is None
    assert spool.waiting == (0, 0)


def test_senders_are_apart(spool: Spool) -> None:
    spool.put("anna", line(1))
    spool.put("ben", line(2))
    first = spool.next()
    assert first is not None
    second = spool.next({first.token})
    assert second is not None
    assert {first.token, second.token} == {"anna", "ben"}
    assert spool.next({"anna", "ben"}) is None


def test_they_outlive_the_process_that_is_killed_in_the_middle_of_writing(tmp_path: Path) -> None:
    said = tmp_path / "said"
    child = multiprocessing.get_context("spawn").Process(target=_fill, args=(tmp_path / "spool.db", said))
    child.start()
    deadline = time.monotonic() + 30
    while not said.exists() or said.stat().st_size < 40:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(int(child.pid or 0), signal.SIGKILL)
    child.join()
    acknowledged = [int(number) for number in said.read_text().split()]
    spool = Spool(tmp_path / "spool.db")
    kept: list[int] = []
    while (batch := spool.next()) is not None:
        kept += values(batch)
        spool.settle(batch)
    spool.close()
    assert kept[: len(acknowledged)] == acknowledged
    assert kept == list(range(len(kept)))


def _fill(path: Path, said: Path) -> None:
    spool = Spool(path)
    with said.open("a") as file:
        for number in range(100_000):
            spool.put("anna", line(number))
            file.write(f"{number}\n")
            file.flush()


def test_over_the_bound_the_oldest_go_and_a_point_says_how_many(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", limit_bytes=4_000)
    spool.put("anna", line(0))
    first = spool.next()
    assert first is not None
    spool.settle(first)  # the gateway knows anna
    for start in range(1, 400, 20):
        spool.put("anna", b"\n".join(line(number) for number in range(start, start + 20)))
    found: list[int] = []
    lost = 0
    gaps: set[str] = set()
    while (batch := spool.next()) is not None:
        found += values(batch)
        gaps |= {row.decode() for row in batch.body.split(b"\n") if row.startswith(b"cyberlab_gap")}
        lost = sum(gap.lost for gap in batch.gaps) or lost
        spool.settle(batch)
    spool.close()
    assert found == list(range(401 - len(found), 401))
    assert lost + len(found) == 400
    (gap,) = gaps
    assert f'reason="{FULL}"' in gap
    assert f"from_ns={(1_700_000_000 + 1) * NS}i" in gap
    assert f"to_ns={(1_700_000_000 + 400 - len(found)) * NS}i" in gap


def test_the_one_with_most_loses_and_made_up_tokens_push_out_nobody(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db", limit_bytes=40_000)
    spool.put("anna", line(0))
    batch = spool.next()
    assert batch is not None
    spool.settle(batch)
    spool.put("anna", b"\n".join(line(number) for number in range(300)))
    for number in range(60):
        spool.put(f"made-up-{number}", b"\n".join(line(n) for n in range(50)))
    mine = spool.next({f"made-up-{number}" for number in range(60)})
    spool.close()
    assert values(mine) == list(range(300))


def test_a_batch_that_was_sent_twice_counts_once(spool: Spool) -> None:
    spool.put("anna", line(0))
    first = spool.next()
    spool.put("anna", line(1))
    longer = spool.next()
    assert first is not None
    assert longer is not None
    for batch in (first, longer, first, longer):
        spool.settle(batch, lost=1)
    assert spool.waiting == (0, 0)
    spool.put("anna", line(2))
    assert values(spool.next()) == [2]


def test_made_up_tokens_do_not_fill_the_memory_either(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyberlab_edge.spool.COMMIT_SECONDS", 0.0)
    for number in range(STRANGERS):
        spool.put(f"made-up-{number}", line(1))
    with pytest.raises(SpoolFull, match="not confirmed"):
        spool.put("one-more", line(1))
    spool.put("made-up-3", line(2))
    spool.put("", line(1))
    batch = spool.next({f"made-up-{number}" for number in range(STRANGERS)})
    assert batch is not None
    assert batch.token == ""


def test_what_the_lab_refuses_is_a_gap_too(spool: Spool) -> None:
    spool.put("anna", b"\n".join(line(number) for number in range(4)))
    batch = spool.next()
    assert batch is not None
    spool.settle(batch, lost=3)
    told = spool.next()
    assert told is not None
    assert told.lines == 0
    assert [(gap.lost, gap.reason) for gap in told.gaps] == [(3, REFUSED)]
    spool.settle(told)
    assert spool.next() is None


def test_a_gap_that_grew_on_the_way_is_told_again_with_its_first_time(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.put("anna", line(1))
    batch = spool.next()
    assert batch is not None
    spool.settle(batch, lost=1)
    told = spool.next()
    spool.put("anna", line(2))
    more = spool.next()
    assert told is not None
    assert more is not None
    spool.settle(more, lost=1)
    spool.close()
    again = Spool(tmp_path / "spool.db")
    batch = again.next()
    again.close()
    assert batch is not None
    assert [gap.lost for gap in batch.gaps] == [1]
    assert told.gaps[0] not in batch.gaps


def test_gaps_and_settled_points_outlive_a_restart(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool.db")
    spool.put("anna", line(1))
    batch = spool.next()
    assert batch is not None
    spool.settle(batch, lost=1)
    spool.close()
    again = Spool(tmp_path / "spool.db")
    told = again.next()
    again.close()
    assert told is not None
    assert told.lines == 0
    assert [gap.lost for gap in told.gaps] == [1]


def test_on_a_full_disk_the_uplink_takes_points_from_memory(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_put: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    spool.put("anna", line(1))
    monkeypatch.setattr(spool, "_insert", full)
    done: list[str] = []
    putting = threading.Thread(target=lambda: (spool.put("anna", line(2)), done.append("safe")))
    putting.start()
    deadline = time.monotonic() + 5
    while (batch := spool.next()) is None or batch.aside is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert values(batch) == [2]
    assert not done
    spool.settle(batch)
    putting.join(5)
    assert done == ["safe"]
    assert values(spool.next()) == [1]


def test_on_a_full_disk_without_an_uplink_nobody_is_told_that_points_are_safe(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_put: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(spool, "_insert", full)
    monkeypatch.setattr("cyberlab_edge.spool.ASIDE_SECONDS", -9.5)
    with pytest.raises(SpoolFull, match="takes nothing"):
        spool.put("anna", line(1))
    assert spool.next() is None


def test_a_damaged_file_is_put_aside(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    path.write_bytes(b"not a database " * 1000)
    spool = Spool(path)
    spool.put("anna", line(1))
    assert values(spool.next()) == [1]
    spool.close()
    assert len(list(tmp_path.glob("spool.db.broken-*"))) == 1
