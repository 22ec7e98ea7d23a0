"""Charts of readings that may be shown as they are: `line(df)` draws, `save` writes a PNG.

    figure = lab.plot(lab.read("temperature", start="-1h"))
    charts.save(figure, "temperature.png")

One panel a unit (or a field without one), one line a device, time in UTC. No pyplot: a figure belongs to who
made it, is drawn once, and needs no window system, in a notebook, a script or a server alike.
"""

from __future__ import annotations

import io
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import Any, Literal, cast

import matplotlib as mpl
import pandas as pd
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
from matplotlib.figure import Figure

_DASHES = ("-", "--", ":", "-.")
"""The next dash when the colours are used up: 32 lines stay distinct."""
_LEGEND_LINES = 32
_FEW_POINTS = 40
"""So few readings are shown as dots as well, or a single one would be invisible."""
_GAP = 4.0
"""A pause of so many usual intervals is a gap, and breaks the line."""
_DPI = 144
_SIGNS = {"C": "°C", "F": "°F", "degC": "°C", "degF": "°F", "percent": "%"}


@dataclass(frozen=True)
class Theme:
    paper: str
    ink: str
    faint: str
    grid: str
    lines: tuple[str, ...]
    """Okabe and Ito's palette in an order for thin lines: told apart with any kind of colour vision."""


THEMES = {
    "light": Theme(
        paper="#ffffff",
        ink="#1f2328",
        faint="#59636e",
        grid="#e4e8ec",
        lines=("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7a5195", "#6b6b6b"),
    ),
    "dark": Theme(
        paper="#111418",
        ink="#e6edf3",
        faint="#9aa4af",
        grid="#2a313a",
        lines=("#56b4e9", "#ff8c42", "#2fcf9f", "#e29bc4", "#8fa8ff", "#f2c14e", "#b38cff", "#b8c0c8"),
    ),
}


class Chart(Figure):
    """A figure that shows itself in a notebook, sharp on any screen, without pyplot."""

    def _repr_png_(self) -> tuple[bytes, dict[str, float]]:
        width, height = self.get_size_inches()
        return png(self), {"width": round(width * 80), "height": round(height * 80)}


@dataclass(frozen=True)
class _Panel:
    heading: str
    unit: str
    lines: tuple[tuple[str, Hashable], ...]
    """Label and column of each line."""
    about: tuple[str, ...] = ()
    """What is true of all its sensors: place, calibration."""


def line(
    df: pd.DataFrame,
    title: str | None = None,
    *,
    theme: Literal["light", "dark"] = "light",
    size: tuple[float, float] | None = None,
) -> Chart:
    """A line chart of a wide DataFrame as `Lab.read` gives it.

    Gaps in the data are gaps in the line. `size`: inches, wide and high.

    Raises:
        ValueError: there is nothing to draw; says why.
    """
    numbers = df.select_dtypes("number").dropna(axis="columns", how="all")
    numbers.attrs = df.attrs
    if numbers.empty:
        raise ValueError(_nothing(df))
    panels = tuple(_panels(numbers))
    tint = THEMES[theme]
    with mpl.rc_context({"font.family": "sans-serif", "font.size": 10}):
        figure = Chart(figsize=size or (10, 1.4 + 2.9 * len(panels)), dpi=_DPI, facecolor=tint.paper)
        figure.set_layout_engine("constrained", w_pad=0.12, h_pad=0.1)
        axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for ax, panel in zip(axes, panels, strict=True):
            _style(ax, tint)
            _draw(ax, panel, numbers, tint)
        _time_axis(axes[-1], numbers, tint)
        _legend(axes, panels, tint)
        axes[0].set_title(
            title or _title(df, panels),
            loc="left",
            pad=12,
            fontsize=14,
            fontweight="bold",
            color=tint.ink,
        )
    return figure


def png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=figure.dpi, facecolor=figure.get_facecolor())
    return buffer.getvalue()


def save(figure: Figure, path: str | Path) -> Path:
    """Write the chart as PNG; gives the absolute path."""
    target = Path(path).expanduser().resolve()
    target.write_bytes(png(figure))
    return target


# ---------------------------------------------------------------- what is drawn
def _panels(df: pd.DataFrame) -> Iterator[_Panel]:
    """Columns grouped by unit, or by field when no unit is known; in the order of the columns."""
    groups: dict[tuple[str, str], list[tuple[str, str, Hashable]]] = {}
    for column in df.columns:
        field, device = _parts(df, column)
        unit = _unit(df, column, field)
        groups.setdefault((unit, "" if unit else field), []).append((field, device, column))
    for (unit, _), members in groups.items():
        fields = list(dict.fromkeys(field for field, _, _ in members if field))
        several = len(fields) > 1
        common = {key: _shared(df, key, [column for _, _, column in members]) for key in _ABOUT}
        lines = tuple(
            (
                " · ".join(
                    part
                    for part in (
                        device,
                        field if several or not device else "",
                        "" if common["place"] else _said(df, column, "place"),
                    )
                    if part
                ),
                column,
            )
            for field, device, column in members
        )
        about = tuple(form.format(common[key]) for key, form in _ABOUT.items() if common[key])
        yield _Panel(", ".join(fields), unit, lines, about)


_ABOUT = {"place": "{}", "calibration": "calibrated {}"}
"""What the axis says of the sensors, when it is the same for all of a panel."""


def _said(df: pd.DataFrame, column: Hashable, key: str) -> str:
    return str(df.attrs.get("sensors", {}).get(column, {}).get(key, ""))


def _shared(df: pd.DataFrame, key: str, columns: list[Hashable]) -> str:
    said = {_said(df, column, key) for column in columns}
    return said.pop() if len(said) == 1 else ""


def _parts(df: pd.DataFrame, column: Hashable) -> tuple[str, str]:
    """Field and device of a column. A reading's only field is called ``value``, which says nothing."""
    field, device = df.attrs.get("columns", {}).get(column, ("", column))
    return ("" if field == "value" else str(field)), str(device)


def _unit(df: pd.DataFrame, column: Hashable, field: str) -> str:
    units = df.attrs.get("units", {})
    unit = str(units.get(column) or units.get(field) or units.get("value") or "")
    return _SIGNS.get(unit, unit)


def _title(df: pd.DataFrame, panels: tuple[_Panel, ...]) -> str:
    name = str(df.attrs.get("measurement") or panels[0].heading or "readings").replace("_", " ")
    return name[:1].upper() + name[1:]


def _nothing(df: pd.DataFrame) -> str:
    if df.empty:
        return (
            "There is nothing to draw: no readings in this time. Ask for a longer one, such as start='-1d'."
        )
    return f"There is nothing to draw: none of {', '.join(map(str, df.columns))} holds numbers."


def _with_gaps(values: pd.Series[Any]) -> pd.Series[Any]:
    """The readings, with a hole in the line where one is in the data.

    Most cells of a wide table are empty, because each device sends at its own moments: a hole is a pause much
    longer than usual. Where pauses are usual (a motion detector) there is no such thing.
    """
    there = values.dropna()
    if not isinstance(there.index, pd.DatetimeIndex) or len(there) < 3:
        return there
    pauses = there.index.to_series().diff()
    broken = pauses > _GAP * pauses.median()
    if not broken.any() or broken.mean() > 0.2:
        return there
    ends = there.index[broken.to_numpy()] - pd.Timedelta(1, "ns")
    joined: pd.Series[Any] = pd.concat([there, pd.Series(float("nan"), index=ends)]).sort_index()
    return joined


# ---------------------------------------------------------------- how it looks
def _style(ax: Any, tint: Theme) -> None:
    ax.set_facecolor(tint.paper)
    ax.grid(visible=True, axis="y", color=tint.grid, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.tick_params(colors=tint.faint, labelcolor=tint.faint, length=3)
    ax.margins(x=0.01, y=0.12)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(tint.grid)


def _draw(ax: Any, panel: _Panel, df: pd.DataFrame, tint: Theme) -> None:
    for number, (label, column) in enumerate(panel.lines):
        values = _with_gaps(df[column])
        ax.plot(
            values.index,
            values.to_numpy(dtype=float),
            label=label,
            color=tint.lines[number % len(tint.lines)],
            linestyle=_DASHES[number // len(tint.lines) % len(_DASHES)],
            linewidth=1.6,
            marker="o" if values.count() <= _FEW_POINTS else None,
            markersize=3.5,
        )
    heading = (panel.heading or str(df.attrs.get("measurement", ""))).replace("_", " ")
    what = f"{heading} ({panel.unit})" if heading and panel.unit else heading or panel.unit
    ax.set_ylabel("\n".join((what, *panel.about)), color=tint.ink)


def _time_axis(ax: Any, df: pd.DataFrame, tint: Theme) -> None:
    if not isinstance(df.index, pd.DatetimeIndex):
        ax.set_xlabel(str(df.index.name or ""), color=tint.ink)
        return
    # matplotlib's own annotations are partial
    locator: Any = cast(Any, AutoDateLocator)(tz=UTC, minticks=5, maxticks=13)
    ax.xaxis.set_major_locator(locator)
    clock = "%H:%M:%S"
    formatter = cast(Any, ConciseDateFormatter)(
        locator,
        tz=UTC,
        formats=["%Y", "%b", "%d", "%H:%M", "%H:%M", clock],
        zero_formats=["", "%Y", "%b", "%b-%d", "%H:%M", clock],
        offset_formats=["", "%Y", "%Y-%m", "%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d"],
    )
    ax.xaxis.set_major_formatter(formatter)
    ax.set_xlabel("time (UTC)", color=tint.ink)
    ax.xaxis.get_offset_text().set_color(tint.faint)


def _legend(axes: Any, panels: tuple[_Panel, ...], tint: Theme) -> None:
    """Beside each panel; once for all when they show the same devices."""
    alike = len({tuple(label for label, _ in panel.lines) for panel in panels}) == 1
    for ax in axes[: 1 if alike else None]:
        handles, labels = ax.get_legend_handles_labels()
        many = len(labels) > 12
        ax.legend(
            handles[:_LEGEND_LINES],
            labels[:_LEGEND_LINES],
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
            frameon=False,
            fontsize=8 if many else 9,
            ncols=2 if many else 1,
            labelcolor=tint.ink,
            borderaxespad=0,
        )
