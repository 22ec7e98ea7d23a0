"""`lab.export`, `lab.forget` and `lab.storage` on a real InfluxDB and the real service."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cyberlab import keeping
from cyberlab.cli import app
from cyberlab.errors import SpecRefused
from cyberlab.lab import Lab
from cyberlab.reader import NothingRead
from cyberlab.wire import API
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import Selection, database_of
from influx_server import Server, influxd  # noqa: F401 - a fixture
from pyarrow.parquet import read_table
from service_lab import service_lab, until
from typer.testing import CliRunner

T = 1_700_000_000_000_000_000
ROWS = 250


@pytest.fixture
def lab(influxd: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:  # noqa: F811 - the fixture
    store = Influx1Store(influxd.url, influxd.password, tmp_path.name)
    store.set_up()
    store.ensure_owner("anna")
    lines = [
        f"air,device=pi{i % 2:02d}{',room=north' if i > 200 else ''} value={i / 4}"
        + (f',n={i}i,ok=true,note="é, {i}"' if i > 100 else "")
        + f" {T + i}"
        for i in range(ROWS)
    ]
    store.write(database_of("anna"), "\n".join(lines).encode())
    monkeypatch.setattr(keeping, "PIECE", 64)
    with service_lab(tmp_path, store=store) as service, Lab(f"{service.url}{API}", "anna-token") as client:
        monkeypatch.setenv("CYBERLAB_URL", f"{service.url}{API}")
        monkeypatch.setenv("CYBERLAB_TOKEN", "anna-token")
        yield client
    store.delete(database_of("anna"), Selection(keeping.EARLIEST, keeping.LATEST))
    store.close()


@pytest.mark.parametrize("layout", ["long", "wide"])
def test_a_file_holds_every_reading_in_order(lab: Lab, tmp_path: Path, layout: str) -> None:
    csv = lab.export("air", tmp_path / "air.csv", start="2023-01-01", layout=layout)
    parquet = lab.export("air", tmp_path / "air.parquet", start="2023-01-01", layout=layout)
    from_csv, from_parquet = pd.read_csv(csv), read_table(parquet).to_pandas()
    whole = lab.read("air", start="2023-01-01", layout=layout)  # type: ignore[call-overload]  # one of the two
    for found in (from_csv, from_parquet):
        assert len(found) == len(whole) == ROWS
        for name in whole.columns:
            ours = [None if pd.isna(v) else v for v in whole[name].tolist()]
            assert [None if pd.isna(v) else v for v in found[name].tolist()] == ours, name
    assert from_csv["time"].iloc[-1] == "2023-11-14T22:13:20.000000249Z"
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_a_file_of_another_kind(lab: Lab, tmp_path: Path) -> None:
    with pytest.raises(SpecRefused, match=r"\.csv or \.parquet"):
        lab.export("air", tmp_path / "air.xlsx", start="2023-01-01")
    assert not (tmp_path / "air.xlsx").exists()


def test_means_are_read_like_readings(lab: Lab) -> None:
    call = CliRunner().invoke
    made = call(app, ["downsample", "air", "--every", "1d", "--keep", "9000"])
    assert made.exit_code == 0, made.output
    assert "air_1d" in made.stdout
    until(lambda: lab.storage().means[0].made_until)
    frame = lab.read("air_1d", start="2023-11-14", layout="long", devices=["pi00"])
    (row,) = frame[frame["room"].isna()].to_dict("records")
    values = [i / 4 for i in range(0, 201, 2)]
    assert (row["value"], row["value_min"], row["value_max"], row["value_count"]) == (
        pytest.approx(sum(values) / len(values)), min(values), max(values), len(values),
    )  # fmt: skip
    assert lab.keep(30, really=True).readings == ROWS
    assert len(lab.read("air_1d", start="2023-11-14", layout="long")) == 4
    shown = call(app, ["storage"]).output
    assert "air_1d" in shown
    assert "9000 days" in shown
    assert "stopped" in call(app, ["downsample", "air", "--off"]).stdout
    assert call(app, ["downsample", "air", "--off"]).exit_code != 0
    assert call(app, ["downsample", "air"]).exit_code == 2
    asked = call(app, ["forget", "air", "--yes"])
    assert "0 readings and 4 means of them are deleted" in asked.output


def test_forgetting_asks_first(lab: Lab, tmp_path: Path) -> None:
    assert lab.storage().used_mb is not None
    dry = lab.forget("air", stop=pd.Timestamp(T + 100, tz="UTC"))
    assert (dry.readings, dry.done) == (100, False)
    call = CliRunner().invoke
    asked = call(app, ["forget", "air", "--device", "pi01"], input="n\n")
    assert "125 readings will be deleted" in asked.output
    assert asked.exit_code != 0
    assert len(lab.read("air", start="2023-01-01", layout="long")) == ROWS
    assert "125 readings are deleted" in call(app, ["forget", "air", "--device", "pi01", "--yes"]).output
    assert set(lab.read("air", start="2023-01-01", layout="long")["device"]) == {"pi00"}
    assert '"readings": 125' in call(app, ["keep", "30", "--json"]).output
    assert "MB and are kept without end" in call(app, ["storage"]).output
    assert call(app, ["keep", "30", "--yes"]).exit_code == 0
    assert "kept for 30 days" in call(app, ["storage"]).output
    with pytest.warns(NothingRead):
        assert lab.read("air", start="2023-01-01", layout="long").empty
    exported = call(app, ["export", "air", "--start", "2023-01-01", "--to", str(tmp_path / "none.csv")])
    assert exported.exit_code == 0
    assert (tmp_path / "none.csv").read_text().startswith("time,device")
