"""What the sensor dashboard asks and draws: ranges, and readings as the columns of a chart. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

LAST_SECONDS = 20
"""The tiles' last values come from the readings of this many seconds; older ones from the chart's means."""


@dataclass(frozen=True)
class Span:
    """A time range, drawn with at most about 360 points a device whatever its length."""

    name: str
    title: str
    seconds: int
    every: int
    """Seconds of one mean."""
    refresh: float
    """Seconds between two looks."""


SPANS = {
    span.name: span
    for span in (
        Span("1m", "1 min", 60, 1, 1.0),
        Span("10m", "10 min", 600, 2, 1.5),
        Span("1h", "1 h", 3_600, 10, 2.0),
        Span("6h", "6 h", 21_600, 60, 5.0),
        Span("1d", "1 day", 86_400, 300, 10.0),
        Span("7d", "7 days", 604_800, 1_800, 30.0),
    )
}


def telling(frame: pd.DataFrame) -> tuple[str, ...]:
    """The tags that tell series of one device apart: two deployments or two sensors must not become one mean."""
    if frame.empty or "device" not in frame:
        return ()
    seen = frame.groupby("device", dropna=False, observed=True)
    return tuple(tag for tag in ("deployment", "sensor") if tag in frame and (seen[tag].nunique() > 1).any())


def columns(frame: pd.DataFrame, field: str, apart: tuple[str, ...] = ()) -> dict[str, Any]:
    """``{"t": [ms], "lines": [{"device", "values"}]}`` from a long frame; None where a device has no reading.

    `apart`: tags whose value is added to the device's name, see `telling`.
    """
    if frame.empty or field not in frame:
        return {"t": [], "lines": []}
    numbers = _numbers(frame, field, apart)
    wide = numbers.pivot_table(index="t", columns="device", values="v", aggfunc="mean").sort_index()
    lines = [
        {
            "device": str(device),
            "values": [None if math.isnan(v) else round(v, 6) for v in wide[device].tolist()],
        }
        for device in wide.columns
    ]
    return {"t": [int(t) for t in wide.index], "lines": lines}


def tiles(
    series: dict[str, Any], latest: pd.DataFrame, field: str, apart: tuple[str, ...] = ()
) -> list[dict[str, Any]]:
    """One tile a line: last value and its time, lowest and highest value of the range."""
    newest: dict[str, tuple[int, float]] = {}
    for line in series["lines"]:
        seen = [(t, v) for t, v in zip(series["t"], line["values"], strict=True) if v is not None]
        newest[line["device"]] = seen[-1]
    if not latest.empty and field in latest:
        last = _numbers(latest, field, apart).sort_values("t").groupby("device").last()
        newest |= {
            str(d): (int(t), float(v)) for d, t, v in zip(last.index, last["t"], last["v"], strict=True)
        }
    extent = {line["device"]: [v for v in line["values"] if v is not None] for line in series["lines"]}
    return [
        {
            "device": device,
            "value": value,
            "at": at,
            "low": min([value, *extent.get(device, ())]),
            "high": max([value, *extent.get(device, ())]),
        }
        for device, (at, value) in sorted(newest.items())
    ]


def _numbers(frame: pd.DataFrame, field: str, apart: tuple[str, ...]) -> pd.DataFrame:
    """Columns ``t`` (ms since 1970), ``device`` (the line's name) and ``v``; what is no number is left out."""
    import pandas as pd

    # readings from a notebook come from no device
    names = _texts(frame, "device").replace("", "notebook")
    for tag in apart:
        texts = _texts(frame, tag)
        names = names.where(texts == "", names + " · " + texts)
    numbers = pd.DataFrame(
        {
            "t": frame.index.astype("datetime64[ms, UTC]").astype("int64"),
            "device": names.to_numpy(),
            "v": pd.to_numeric(frame[field], errors="coerce").to_numpy(),
        }
    )
    return numbers.dropna(subset=["v"])


def _texts(frame: pd.DataFrame, tag: str) -> pd.Series[str]:
    import pandas as pd

    if tag not in frame:
        return pd.Series("", index=range(len(frame)), dtype="object")
    return frame[tag].astype("object").fillna("").astype("str").reset_index(drop=True)
