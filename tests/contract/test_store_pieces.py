"""More readings than fit: pieces put together are the whole, on a real InfluxDB."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import pandas as pd
import pytest
from cyberlab import pieces, reader
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import database_of
from influx_server import Server, influxd  # noqa: F401 - a fixture
from pandas.testing import assert_frame_equal

T = 1_700_000_000_000_000_000
S = 10**9
START = datetime(2023, 1, 1, tzinfo=UTC)
MANY = 300_000


@pytest.fixture(scope="module")
def store(influxd: Server) -> Iterator[Influx1Store]:  # noqa: F811 - the fixture
    store = Influx1Store(influxd.url, influxd.password, "derive")
    store.set_up()
    store.ensure_owner("anna")
    lines = [
        f"air,device=pi{d:02d},room=a\\ {d % 2}\\,x,unit=C value={10 * d + i / 4}"
        + (f',n={i}i,ok={"true" if i % 2 else "false"},note="é{i}"' if i % 3 else "")
        + f" {T + (i + (i > 60) * 86_400) * S + (d == 3) * 7}"
        for d in range(1, 4)
        for i in range(100)
    ]
    lines += [f"air value=99 {T + 30 * S}", f"air,device=pi09 n=5i {T + 200 * S}"]
    store.write(database_of("anna"), "\n".join(lines).encode())
    for begin in range(0, MANY, 10_000):
        store.write(
            database_of("anna"),
            b"\n".join(
                b"big,device=pi%02d value=%d %d" % (i % 20, i, T + i) for i in range(begin, begin + 10_000)
            ),
        )
    yield store
    store.close()


@pytest.fixture
def query(store: Influx1Store) -> reader.Query:
    @contextmanager
    def ask(influxql: str, db: str) -> Iterator[Iterator[bytes]]:
        source = store.query("anna", database_of("anna"), influxql)
        try:
            yield source
        finally:
            source.close()  # type: ignore[attr-defined]  # it is a generator

    return ask


def by_series(frame: pd.DataFrame) -> pd.DataFrame:
    """Readings of one moment have no order among them."""
    text = frame.reset_index().astype(str)
    return text.sort_values(list(text.columns)).reset_index(drop=True)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_every_reading_once_in_the_order_of_time(query: reader.Query, size: int) -> None:
    whole = reader.read(query, "air", start=START, layout="long")
    parts = list(pieces.pieces(query, "air", size, start=START, layout="long"))
    assert max(map(len, parts)) <= size
    joined = pd.concat(parts)
    assert joined.index.is_monotonic_increasing
    assert_frame_equal(by_series(joined[whole.columns]), by_series(whole))


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
@pytest.mark.parametrize("fields", ["value", ["n", "ok", "note", "value"]])
def test_wide_pieces_cut_no_moment_in_two(query: reader.Query, size: int, fields: Any) -> None:
    whole = reader.read(query, "air", fields=fields, start=START)
    parts = list(pieces.pieces(query, "air", size, fields=fields, start=START))
    for part in parts:
        assert part.columns.tolist() == whole.columns.tolist()
        assert part.attrs["units"] == whole.attrs["units"]
    joined = pd.concat(parts)
    assert joined.index.is_unique
    assert_frame_equal(joined, whole, check_freq=False)


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("aggregate", ["mean", "count", "last"])
@pytest.mark.parametrize("start", [None, datetime(2023, 11, 14, 22, 13, 25, tzinfo=UTC)])
def test_means_in_pieces(query: reader.Query, size: int, aggregate: str, start: Any) -> None:
    arguments: dict[str, Any] = {
        "fields": ["value", "n"], "start": start, "every": "7s", "aggregate": aggregate,
    }  # fmt: skip
    for layout in ("wide", "long"):
        whole = reader.read(query, "air", layout=layout, **arguments)
        parts = list(pieces.pieces(query, "air", size, layout=layout, **arguments))
        joined = pd.concat(parts)
        if layout == "wide":
            assert_frame_equal(joined[whole.columns], whole, check_freq=False)
        else:
            assert_frame_equal(by_series(joined[whole.columns]), by_series(whole))


def test_pieces_need_the_memory_of_a_piece(query: reader.Query) -> None:
    def peak(work: Any) -> int:
        tracemalloc.start()
        try:
            work()
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    counted = 0

    def in_pieces() -> None:
        nonlocal counted
        counted = sum(len(part) for part in pieces.pieces(query, "big", 10_000, start=START, layout="long"))

    whole = peak(lambda: reader.read(query, "big", start=START, layout="long"))
    assert peak(in_pieces) < whole / 3
    assert counted == MANY


def test_leaving_early_gives_the_connection_back(query: reader.Query) -> None:
    for _ in range(40):  # more than there are connections
        assert [len(part) for part in islice(pieces.pieces(query, "big", 500, start=START), 2)] == [499, 500]
