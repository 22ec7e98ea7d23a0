"""Charts: what is drawn is what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from cyberlab import charts
from cyberlab.lab import Lab

T0 = pd.Timestamp("2026-03-02 09:10", tz="UTC")


def wide(
    devices: int = 3, count: int = 60, field: str = "value", unit: str = "C", name: str = "temperature"
) -> pd.DataFrame:
    """As `reader.read` gives it: each device at its own moments, so most cells are empty."""
    parts = {
        f"pi{n:02}": pd.Series(
            np.arange(count) + n, index=T0 + pd.to_timedelta(np.arange(count) * 1000 + n, unit="ms")
        )
        for n in range(1, devices + 1)
    }
    frame = pd.DataFrame(parts)
    frame.index.name = "time"
    frame.attrs = {
        "measurement": name,
        "units": {field: unit, **dict.fromkeys(frame.columns, unit)},
        "columns": {column: (field, column) for column in frame.columns},
    }
    return frame


def test_one_line_a_device_with_unit_time_and_legend() -> None:
    figure = charts.line(wide())
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "Temperature"
    assert ax.get_ylabel() == "temperature (°C)"
    assert ax.get_xlabel() == "time (UTC)"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["pi01", "pi02", "pi03"]
    assert [np.nanmax(line.get_ydata()) for line in ax.lines] == [60, 61, 62]


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    frame = wide(1)
    attrs = frame.attrs
    frame = frame.drop(frame.index[20:40])
    frame.attrs = attrs
    values = charts.line(frame).axes[0].lines[0].get_ydata()
    assert np.isnan(values).sum() == 1
    assert np.isnan(values[20])


def test_readings_now_and_then_have_no_gaps_but_dots() -> None:
    times = T0 + pd.to_timedelta([0, 1, 2, 60, 61, 300, 4000, 4001, 9000], unit="s")
    frame = pd.DataFrame({"pi01": range(9)}, index=times)
    line = charts.line(frame).axes[0].lines[0]
    assert not np.isnan(line.get_ydata()).any()
    assert line.get_marker() == "o"


def test_units_that_differ_get_a_panel_each() -> None:
    frame = pd.concat([wide(field="t").add_prefix("t "), wide(field="h").add_prefix("h ")], axis=1)
    frame.attrs = {
        "measurement": "climate",
        "units": {"t": "C", "h": "%"},
        "columns": {column: tuple(column.split(" ")) for column in frame.columns},
    }
    figure = charts.line(frame)
    assert [ax.get_ylabel() for ax in figure.axes] == ["t (°C)", "h (%)"]
    assert [ax.get_legend() is not None for ax in figure.axes] == [True, False]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_twenty_devices_are_told_apart(theme: Any) -> None:
    lines = charts.line(wide(20), theme=theme).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 20


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (pd.DataFrame(), "no readings in this time"),
        (pd.DataFrame({"pi01": ["open", "shut"]}), "none of pi01 holds numbers"),
        (pd.DataFrame({"pi01": [float("nan")]}), "none of pi01 holds numbers"),
    ],
)
def test_nothing_to_draw_is_said(frame: pd.DataFrame, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        charts.line(frame)


def test_a_png_on_disk_and_in_the_notebook(tmp_path: Path, lab: Lab) -> None:
    chart = lab.plot(wide(), "Two windows")
    path = charts.save(chart, tmp_path / "chart.png")
    data, size = chart._repr_png_()
    assert path.read_bytes()[:8] == data[:8] == b"\x89PNG\r\n\x1a\n"
    assert size["width"] == 800
    assert len(data) > 10_000
