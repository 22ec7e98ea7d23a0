"""Lists that show themselves, and files of readings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from client_server import START, job
from cyberlab import export
from cyberlab.errors import LabError
from cyberlab.tables import COLUMNS, Table
from cyberlab.wire import Deployment, ErrorInfo, Job, Phase, TaskView


def jobs() -> Table[Job]:
    failed = job(
        Phase.FAILED, id="<b>", finished=START, error=ErrorInfo(code="x", message="It broke.\nBadly.")
    )
    return Table(Job, [job(Phase.DONE, finished=START, result={"image": "anna/greenhouse:3"}), failed])


def test_a_table_is_a_list_and_a_table_and_a_frame() -> None:
    table = jobs()
    assert table[0].id == "b7f3a1"
    assert len(table) == 2
    lines = repr(table).splitlines()
    assert lines[0].split()[:4] == ["id", "kind", "name", "phase"]
    assert lines[2].endswith("It broke.")
    html = table._repr_html_()
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    frame = table.to_frame()
    assert list(frame["id"]) == ["b7f3a1", "<b>"]
    assert set(frame.columns) == set(Job.model_fields)


@pytest.mark.parametrize("kind", COLUMNS)
def test_an_empty_table_says_what_is_not_there(kind: type[Job]) -> None:
    table = Table(kind)
    assert repr(table).startswith("(no ")
    assert "<em>no " in table._repr_html_()
    assert list(table.to_frame().columns) == list(kind.model_fields)


def test_a_deployment_tells_its_trouble() -> None:
    tasks = (
        TaskView(device="pi01", state="running"),
        TaskView(device="pi02", state="failed", message="No memory."),
    )
    one = Deployment(
        owner="anna",
        name="garden",
        image="x:1",
        digest="d",
        devices=("pi01", "pi02"),
        tasks=tasks,
        created=START,
        updated=START,
    )
    assert "1 of 2" in repr(Table(Deployment, [one]))
    assert "pi02: No memory." in repr(Table(Deployment, [one]))


# ---------------------------------------------------------------- files
def readings() -> pd.DataFrame:
    times = pd.DatetimeIndex(["2026-03-02 09:10:00.123456", "2026-03-02 09:10:01"], tz="UTC", name="time")
    return pd.DataFrame({"pi01": [21.5, None], "pi02": [1.0, 2.0]}, index=times)


def test_csv_has_times_in_utc_and_holes_empty() -> None:
    assert export.csv(readings()).splitlines() == [
        "time,pi01,pi02",
        "2026-03-02T09:10:00.123456000Z,21.5,1.0",
        "2026-03-02T09:10:01.000000000Z,,2.0",
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # fastparquet is a version behind pandas
def test_parquet_reads_back(tmp_path: Path) -> None:
    import fastparquet

    export.save_parquet(readings(), tmp_path / "x.parquet")
    with (tmp_path / "x.parquet").open("rb") as file:
        back = fastparquet.ParquetFile(file).to_pandas()
    assert list(back.columns) == ["time", "pi01", "pi02"]
    assert back["pi02"].tolist() == [1.0, 2.0]
    assert str(back["time"].iloc[0]) == "2026-03-02 09:10:00.123456+00:00"


@pytest.mark.parametrize("save", [export.save_csv, export.save_parquet])
def test_a_file_that_cannot_be_written_is_said(tmp_path: Path, save: object) -> None:
    with pytest.raises(LabError, match="cannot be written"):
        save(readings(), tmp_path / "none" / "x")  # type: ignore[operator]  # both are functions
