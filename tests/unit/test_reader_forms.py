"""What `reader` hands over: engines, empty answers, what is known of the sensors. The database is a table."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from cyberlab import charts, engines, pieces, reader
from cyberlab.errors import SpecRefused
from cyberlab.frames import TEXT
from unit.test_reader import Database, S, T

ROWS = (
    "name,tags,time,value\n"
    f't,"calibration=2026-01,device=pi01,kind=dht22,place=north\\ wall,unit=C",{T},1.5\n'
    f't,"calibration=2026-01,device=pi01,kind=dht22,place=north\\ wall,unit=C",{T + S},2.5\n'
    f't,"calibration=2026-01,device=pi02,kind=dht22,place=south,unit=C",{T + S},3.5\n'
)
EMPTY = {"SHOW TAG KEYS": "name,tags,tagKey\nt,,unit\nt,,device\n"}


def test_what_is_known_of_the_sensors_travels_to_the_axis() -> None:
    frame = reader.read(Database(SELECT=ROWS), "t")
    assert frame.attrs["sensors"]["pi01"] == {
        "device": "pi01", "unit": "C", "kind": "dht22", "place": "north wall", "calibration": "2026-01",
    }  # fmt: skip
    figure = charts.line(frame)
    assert figure.axes[0].get_ylabel() == "t (°C)\ncalibrated 2026-01"
    assert [line.get_label() for line in figure.axes[0].lines] == ["pi01 · north wall", "pi02 · south"]
    one = charts.line(reader.read(Database(SELECT=ROWS.rpartition("t,")[0]), "t"))
    assert one.axes[0].get_ylabel() == "t (°C)\nnorth wall\ncalibrated 2026-01"
    assert [line.get_label() for line in one.axes[0].lines] == ["pi01"]
    long = reader.read(Database(SELECT=ROWS), "t", layout="long")
    assert long.attrs["sensors"]["value"] == {"unit": "C", "kind": "dht22", "calibration": "2026-01"}


@pytest.mark.parametrize("layout", ["wide", "long"])
def test_arrow_and_polars_hold_the_same(layout: str) -> None:
    polars = pytest.importorskip("polars")
    frame = reader.read(Database(SELECT=ROWS), "t", layout=layout)
    table = reader.read(Database(SELECT=ROWS), "t", layout=layout, engine="arrow")
    other = reader.read(Database(SELECT=ROWS), "t", layout=layout, engine="polars")
    assert table.column_names == other.columns == ["time", *frame.columns]
    assert str(table.schema.field("time").type) == "timestamp[ns, tz=UTC]"
    assert other["time"].dtype == polars.Datetime("ns", "UTC")
    for name in frame.columns:
        values = [None if pd.isna(v) else v for v in frame[name].tolist()]
        assert table.column(name).to_pylist() == other[name].to_list() == values
    assert json.loads(table.schema.metadata[engines.META])["units"]["value"] == "C"


@pytest.mark.parametrize("engine", ["pandas", "arrow", "polars"])
@pytest.mark.parametrize("pieced", [False, True])
def test_nothing_has_the_columns_that_something_would_have(engine: str, pieced: bool) -> None:
    kinds = {"value": "float", "n": "integer", "ok": "boolean", "note": "string"}

    def read(database: Database, **how: Any) -> Any:
        if engine != "pandas":
            pytest.importorskip("polars")
        if pieced:
            (only,) = pieces.pieces(database, "t", 10, engine=engine, **how)
            return only
        return reader.read(database, "t", engine=engine, **how)

    with pytest.warns(reader.NothingRead):
        long = read(Database(kinds, **EMPTY), layout="long")
    names = ["device", "unit", "value", "n", "ok", "note"]
    assert list(
        long.columns if engine == "pandas" else long.schema.names if engine == "arrow" else long.columns
    ) == (names if engine == "pandas" else ["time", *names])
    with pytest.warns(reader.NothingRead):
        wide = read(Database(**EMPTY), devices=["pi02", "pi01"])
    columns = list(wide.column_names if engine == "arrow" else wide.columns)
    assert [name for name in columns if name != "time"] == ["pi01", "pi02"]
    if engine == "pandas":
        assert str(long.index.dtype) == str(wide.index.dtype) == "datetime64[ns, UTC]"
        assert [str(t) for t in long.dtypes[2:]] == [
            "float64",
            "Int64",
            "boolean",
            str(pd.Series(dtype=TEXT).dtype),
        ]
        assert [str(t) for t in wide.dtypes] == ["float64", "float64"]
    if engine == "arrow":
        assert [str(f.type) for f in long.schema][1:] == [
            "string", "string", "double", "int64", "bool", "string",
        ]  # fmt: skip


def test_an_engine_that_is_not_there_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(engines.ENGINES, "polars", ("pyarrow", "no_such_package"))
    with pytest.raises(SpecRefused, match="pip install no_such_package") as missing:
        reader.read(Database(), "t", engine="polars")
    assert missing.value.code == "engine-missing"
    with pytest.raises(SpecRefused, match="one of pandas, arrow, polars"):
        reader.read(Database(), "t", engine="dask")


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "10", pieces.MOST + 1])
def test_pieces_of_no_size(size: Any) -> None:
    with pytest.raises(SpecRefused) as refusal:
        pieces.pieces(Database(), "t", size)
    assert refusal.value.code == "chunks-invalid"


def test_fields_named_like_the_columns_of_influxdb() -> None:
    kinds = {"name": "string", "tags": "float", "value": "float"}
    db = Database(kinds, SELECT=f"name,tags,time,name,tags,value\nt,device=pi01,{T},a,1,2\n")
    frame = reader.read(db, "t", layout="long")
    assert frame.iloc[0].tolist() == ["pi01", "a", 1.0, 2.0]
