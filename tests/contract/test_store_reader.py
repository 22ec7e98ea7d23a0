"""`reader` on a real InfluxDB: hostile names, types, aggregates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pandas as pd
import pytest
from cyberlab import reader
from cyberlab_hub.errors import QueryRefused
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import database_of
from influx_server import Server, influxd  # noqa: F401 - a fixture

T = 1_700_000_000_000_000_000
S = 10**9
START = datetime(2023, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def store(influxd: Server) -> Iterator[Influx1Store]:  # noqa: F811 - the fixture
    store = Influx1Store(influxd.url, influxd.password, "derive")
    store.set_up()
    store.ensure_owner("anna")
    lines = [
        f"temperature,device=pi{d:02d},deployment=green,unit=C value={10 * d + i / 4} {T + i * S}"
        for d in range(1, 4)
        for i in range(100)
    ]
    lines += [f"temperature,deployment=notebook,unit=C value=99 {T}"]
    lines += [
        f'mixed,device=pi01 n={i}i,ok={"true" if i % 2 else "false"},s="{i:03d}" {T + i * S}'
        for i in range(5)
    ]
    store.write(database_of("anna"), "\n".join(lines).encode())
    yield store
    store.close()


@pytest.fixture
def query(store: Influx1Store) -> reader.Query:
    @contextmanager
    def ask(influxql: str, db: str) -> Iterator[Iterator[bytes]]:
        yield store.query("anna", database_of("anna"), influxql)

    return ask


def test_wide_and_long(query: reader.Query) -> None:
    wide = reader.read(query, "temperature", start=START)
    assert wide.columns.tolist() == ["notebook", "pi01", "pi02", "pi03"]
    assert wide.shape == (100, 4)
    assert wide["pi02"].iloc[3] == 20.75
    assert wide.attrs["units"]["pi02"] == "C"
    long = reader.read(query, "temperature", start=START, layout="long", devices=["pi01", "pi03"])
    assert len(long) == 200
    assert set(long["device"]) == {"pi01", "pi03"}


def test_a_row_for_each_span(query: reader.Query) -> None:
    means = reader.read(query, "temperature", start=START, every="10s", devices=["pi01"])
    assert means["pi01"].tolist()[:2] == [11.125, 13.625]
    assert (means.index[1] - means.index[0]) == pd.Timedelta("10s")
    counts = reader.read(query, "temperature", start=START, every="1d", aggregate="count", layout="long")
    assert counts["value"].sum() == 301
    last = reader.read(query, "mixed", fields="s", start=START, every="1d", aggregate="last")
    assert last["pi01"].tolist() == ["004"]
    with pytest.warns(reader.NothingRead, match="No field of 'mixed'|none in this time"):
        reader.read(query, "mixed", fields=["n"], start=START, stop="2023-02-01", every="1d")


def test_types(query: reader.Query) -> None:
    frame = reader.read(query, "mixed", start=START, layout="long")
    assert frame["s"].tolist() == ["000", "001", "002", "003", "004"]
    assert frame["n"].tolist() == [0, 1, 2, 3, 4]
    assert frame["ok"].tolist() == [False, True, False, True, False]


@pytest.mark.parametrize(
    "name",
    [
        'a"b',
        "a'b",
        "a\\b",
        'x" WHERE 1=1 --',
        "x'; DROP SERIES FROM x",
        "x\\'",
        "/x/",
        "x; SELECT",
        "größe",
        "select",
    ],
)
def test_hostile_names_and_values(store: Influx1Store, query: reader.Query, name: str) -> None:
    measurement = name.replace(",", "\\,").replace(" ", "\\ ")
    tag = measurement.replace("=", "\\=")
    body = f"{measurement},device={tag} v=1.5,x=1 {T}"
    store.write(database_of("anna"), body.encode())
    if "DROP" in name:
        # what looks like another statement is refused even inside a name: never another meaning
        with pytest.raises(QueryRefused, match="only reads"):
            reader.read(query, name, start=START)
        return
    try:
        frame = reader.read(query, name, fields="v", start=START, where={"device": name}, layout="long")
    finally:
        known = {m.measurement for m in store.measurements("anna", database_of("anna"))}
        assert {"temperature", "mixed"} <= known
    assert frame["device"].tolist() == [name]
    assert frame["v"].tolist() == [1.5]


def test_any_question(query: reader.Query) -> None:
    frame = reader.to_frame(query, "SELECT max(value) FROM temperature GROUP BY device")
    assert frame["max"].max() == 99
    assert reader.to_frame(query, "SHOW TAG VALUES FROM temperature WITH KEY = device")["value"].tolist() == [
        "pi01",
        "pi02",
        "pi03",
    ]
