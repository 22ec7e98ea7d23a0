"""The dashboard: what it shows, and that it stops when nobody watches."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from cyberlab.errors import PartDown
from cyberlab.widgets import SensorDashboard, handing, sensors
from cyberlab.widgets.series import SPANS, columns, telling, tiles
from cyberlab.wire import Measurement
from fake_lab import FakeLab, until


@pytest.fixture
def lab() -> FakeLab:
    return FakeLab()


@pytest.fixture
def page(lab: FakeLab) -> SensorDashboard:
    return SensorDashboard(lab)  # type: ignore[arg-type]  # FakeLab has what the dashboard asks for


def long(*rows: tuple[int, str, object]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["time", "device", "value"])
    return frame.set_index(pd.to_datetime(frame.pop("time"), unit="s", utc=True))


def test_readings_become_a_line_and_a_tile_a_device(page: SensorDashboard) -> None:
    page.look()
    assert page.status["kind"] == "live"
    assert [line["device"] for line in page.series["lines"]] == ["pi01", "pi02", "pi03"]
    assert page.series["unit"] == "C"
    tile = page.series["tiles"][0]
    assert tile["low"] <= tile["value"] <= tile["high"]
    assert page.series["now"] - tile["at"] < 5000


def test_no_data_yet_is_a_state_and_data_appears_by_itself(page: SensorDashboard, lab: FakeLab) -> None:
    measured, lab.measured = lab.measured, []
    page.look()
    assert page.status["kind"] == "empty"
    lab.measured = measured
    page.look()
    assert page.status["kind"] == "live"


def test_a_database_that_is_down_is_told_and_tried_again(page: SensorDashboard, lab: FakeLab) -> None:
    lab.down = PartDown("database-down", "The database does not answer.")
    page.look()
    assert page.status == {"kind": "error", "text": "The database does not answer."}
    lab.down = None
    page.look()
    assert page.status["kind"] == "live"


def test_it_looks_only_while_somebody_watches(page: SensorDashboard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sensors, "BEAT_OVER", 0.3)
    page._do_pick(span="1m")
    assert not page.watched
    page._on_message(page, {"do": "beat"}, [])
    assert page.watched
    until(lambda: page.status["kind"] == "live")
    until(lambda: not page.watched)
    page._on_message(page, {"do": "beat"}, [])
    assert page.watched
    until(lambda: not page.watched)


def test_a_measurement_of_other_fields_is_shown_by_its_first_field(
    page: SensorDashboard, lab: FakeLab
) -> None:
    lab.measured = [Measurement(measurement="air", fields=("co2", "humidity"))]
    page.look()
    page._do_pick(measurement="air")
    page.look()
    assert page.picked["field"] == "co2"
    assert page.status["kind"] == "live"


@pytest.mark.parametrize("changes", [{"span": "99y"}, {"nonsense": "x"}, {"measurement": 3}])
def test_a_pick_that_makes_no_sense_changes_nothing(
    page: SensorDashboard, changes: dict[str, object]
) -> None:
    before = dict(page.picked)
    page._do_pick(**changes)  # type: ignore[arg-type]  # what a broken page might send
    assert page.picked == before


def test_an_unknown_time_range_is_refused_with_the_ones_there_are(lab: FakeLab) -> None:
    with pytest.raises(ValueError, match="1m, 10m"):
        SensorDashboard(lab, span="forever")  # type: ignore[arg-type]  # as above


def test_the_csv_holds_the_readings_of_the_range(page: SensorDashboard) -> None:
    sent: list[dict[str, str]] = []
    page.send = lambda content, _buffers=None: sent.append(content)  # type: ignore[method-assign]  # what would go over the wire
    page._do_pick(span="1m")
    page._hand_over(handing.csv)
    assert sent[0]["name"] == "temperature-1m.csv"
    assert sent[0]["csv"].startswith("time,device,value\n")
    assert sent[0]["csv"].count("\n") == 1 + 60 * 3


def test_columns_hold_none_where_a_device_is_silent() -> None:
    series = columns(long((10, "pi01", 1.0), (20, "pi01", 2.0), (20, "pi02", 5)), "value")
    assert series == {
        "t": [10_000, 20_000],
        "lines": [{"device": "pi01", "values": [1.0, 2.0]}, {"device": "pi02", "values": [None, 5.0]}],
    }


def test_text_and_missing_devices_do_not_break_the_chart() -> None:
    series = columns(long((10, "pi01", "high"), (10, "", 3.0)), "value")
    assert [line["device"] for line in series["lines"]] == ["notebook"]
    assert columns(pd.DataFrame(), "value") == {"t": [], "lines": []}


def test_a_tile_shows_the_last_reading_not_the_last_mean() -> None:
    series = columns(long((10, "pi01", 1.0), (20, "pi01", 2.0)), "value")
    assert tiles(series, long((25, "pi01", 2.5), (24, "pi01", 9.0)), "value") == [
        {"device": "pi01", "value": 2.5, "at": 25_000, "low": 1.0, "high": 2.5}
    ]


def test_two_programs_on_one_device_are_two_lines() -> None:
    frame = long((10, "pi01", 1.0), (10, "pi01", 9.0), (10, "pi02", 5.0))
    frame["deployment"] = ["a", "b", "a"]
    apart = telling(frame)
    series = columns(frame, "value", apart)
    assert [line["device"] for line in series["lines"]] == ["pi01 · a", "pi01 · b", "pi02 · a"]
    assert [tile["value"] for tile in tiles(series, frame, "value", apart)] == [1.0, 9.0, 5.0]
    assert telling(frame.iloc[[0, 2]]) == (), "one program needs no name beside the device's"


def test_no_range_asks_for_more_than_a_screen_can_show() -> None:
    assert all(span.seconds / span.every <= 400 for span in SPANS.values())


def test_parquet_and_the_code_behind_the_readings(page: SensorDashboard) -> None:
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    page.send = lambda content, buffers=None: sent.append((content, buffers or []))
    page._do_pick(span="1m")
    page._hand_over(handing.parquet)
    assert sent[0][0]["name"] == "temperature-1m.parquet"
    assert sent[0][1][0][:4] == b"PAR1"
    page._do_origins()
    until(lambda: len(sent) == 2)
    notebook, bed = sent[1][0]["origins"]
    assert notebook["title"] == "A notebook or script of student"
    assert bed["title"] == "bed: student/bed:1 of student"
    assert ["Files", "main.py (8 bytes)"] in bed["facts"]
    assert bed["dockerfile"] == "FROM x"
