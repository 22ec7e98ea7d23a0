"""Readings as DataFrames: asks in InfluxQL, reads InfluxDB's CSV while it arrives.

`read` asks series by series (``GROUP BY *``): InfluxDB answers that fastest, and it is the one form in which tags
and fields cannot be mistaken for each other. CSV has no types, so the types of the fields are asked first.
`pieces` (in `cyberlab.pieces`) does the same for more than fits into memory.

The way to the database is a callable ``(influxql, db)`` that gives a context manager of pieces of CSV; see `Query`.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import pandas as pd

from cyberlab import engines, frames, parsing
from cyberlab.errors import SpecRefused
from cyberlab.influxql import (
    SENSOR_TAGS,
    Scalar,
    When,
    aggregated,
    conditions,
    every_reading,
    ident,
    last_of_each,
    span_ns,
)

Query = Callable[[str, str], AbstractContextManager[Iterable[bytes]]]

_WHOLE = ("count",)
_AS_STORED = ("first", "last", "min", "max", "sum", "mode", "spread")
_ANY_TYPE = ("count", "first", "last")
"""Aggregates that text and booleans have too."""


class NothingRead(UserWarning):
    """The answer is empty; says what there is instead."""


@dataclass(frozen=True)
class Wanted:
    """A checked question about one measurement."""

    query: Query
    measurement: str
    db: str
    kinds: Mapping[str, str]
    """InfluxDB's type of every field there is."""
    fields: Sequence[str]
    """Those wanted; empty when there is nothing to ask for."""
    start: When
    stop: When
    where: Mapping[str, Scalar | Sequence[Scalar]] | None
    devices: tuple[str, ...] | None
    every: str | timedelta | None
    aggregate: str
    layout: Literal["wide", "long"]
    engine: str

    @property
    def answered(self) -> dict[str, str]:
        """InfluxDB's type of each field of the answer."""
        if self.every is None or self.aggregate in _AS_STORED:
            return {field: self.kinds[field] for field in self.fields}
        return dict.fromkeys(self.fields, "integer" if self.aggregate in _WHOLE else "float")

    def clause(self, start: When, stop: When) -> str:
        return conditions(start=start, stop=stop, where=self.where, devices=self.devices)

    def text(self, start: When, stop: When) -> str:
        """The question for one span of time, series by series."""
        clause = self.clause(start, stop)
        if self.every is None:
            return every_reading(self.measurement, self.fields, clause)
        return aggregated(self.measurement, self.fields, clause, every=self.every, aggregate=self.aggregate)

    def rows(self, text: str, kinds: Mapping[str, str] | None = None) -> frames.Rows:
        with self.query(text, self.db) as parts:
            return parsing.rows(parts, self.fields, self.answered if kinds is None else kinds)

    def described(self, *, by_sensor: bool = False) -> frames.Rows:
        """The last reading of each series in all of the time: which there are, and what their tags say.
        `by_sensor`: of each series as `aggregated` makes them."""
        clause = self.clause(self.start, self.stop)
        text = last_of_each(self.measurement, self.fields, clause, SENSOR_TAGS if by_sensor else None)
        return self.rows(text, self.kinds)

    # ------------------------------------------------------------ answers
    def shaped(self, rows: frames.Rows, known: Mapping[str, Sequence[str]] | None = None) -> pd.DataFrame:
        if not len(rows) and not known:
            frame = frames.empty(self._columns())
        elif self.layout == "wide":
            frame = frames.wide(rows, self.fields, known)
        else:
            frame = frames.long(rows, self.fields)
        # what `cyberlab.origins` needs to find out where these come from
        frame.attrs.update(measurement=self.measurement, db=self.db, asked=self._asked())
        return frame

    def _asked(self) -> dict[str, Any]:
        where = {
            name: [of] if isinstance(of, Scalar) else list(of) for name, of in (self.where or {}).items()
        }
        if self.devices is not None:
            where["device"] = list(self.devices)
        span = 0 if self.every is None else span_ns(self.every)
        return {"fields": list(self.fields), "kinds": self.answered, "where": where, "every_ns": span}

    def handed_over(self, frame: pd.DataFrame) -> Any:
        """In the form of the engine."""
        return engines.convert(frame, self.engine, self.answered)

    def _columns(self) -> dict[str, str]:
        """The columns of no rows: name -> dtype."""
        types = {field: parsing.field_dtype(kind) for field, kind in self.answered.items()}
        if self.layout == "long":
            tags = dict.fromkeys(["device", *self._tag_keys()], frames.TEXT)
            return tags | (types or {"value": "float64"})
        several = len(self.fields) > 1
        numeric = {
            field: {"boolean": "object", frames.TEXT: frames.TEXT}.get(kind, "float64")
            for field, kind in types.items()
        }
        return {
            f"{field} {device}" if several else device: numeric[field]
            for field in self.fields
            for device in sorted(self.devices or ())
        }

    def _tag_keys(self) -> list[str]:
        if self.every is not None:
            return sorted(set(SENSOR_TAGS))
        return tag_keys(self.query, self.measurement, self.db)

    def nothing(self) -> str:
        """Why there is nothing, and what there is."""
        if self.fields:
            return f"There are readings of {self.measurement!r}, but none in this time and selection."
        if self.kinds:
            return f"No field of {self.measurement!r} is a number, so there is nothing to take a mean of."
        with self.query("SHOW MEASUREMENTS", self.db) as parts:
            table = parsing.table(parts, {"name.1": "string"})
        there = ", ".join(map(str, table["name.1"])) if table is not None else ""
        return f"There are no readings of {self.measurement!r} yet. " + (
            f"There are: {there}." if there else "There are none at all."
        )


def wanted(
    query: Query,
    measurement: str,
    *,
    fields: str | Sequence[str] | None = None,
    where: Mapping[str, Scalar | Sequence[Scalar]] | None = None,
    start: When = "-1h",
    stop: When = None,
    every: str | timedelta | None = None,
    aggregate: str = "mean",
    devices: Iterable[str] | None = None,
    layout: Literal["wide", "long"] = "wide",
    db: str = "mine",
    engine: str = "pandas",
) -> Wanted:
    """The question, checked: its arguments are those of `read`, and so is what it raises."""
    if layout not in ("wide", "long"):
        raise SpecRefused("layout-unknown", f"layout is 'wide' or 'long', not {layout!r}.")
    engines.check(engine)
    only = None if devices is None else tuple(devices)
    conditions(start=start, stop=stop, where=where, devices=only)
    kinds = _kinds(query, measurement, db)
    chosen = _choose(fields, kinds, numbers_only=every is not None and aggregate not in _ANY_TYPE)
    asked = Wanted(
        query, measurement, db, kinds, chosen, start, stop, where, only, every, aggregate, layout, engine
    )
    if every is not None:
        asked.text(start, stop)  # says what is wrong with `every` and `aggregate`
    return asked


def read(query: Query, measurement: str, **arguments: Any) -> Any:
    """Readings from `start` up to (not including) `stop`, indexed by ``time`` (UTC).

    ``wide``: a column for each device, named after it; ``field device`` when there are several fields. Where one
    device has several sensors or units their names follow. ``long``: a row for each reading, tags as columns.
    `every`: one row for each such span, of the `aggregate` of its readings. Without `fields`: all (with `every`:
    all that are numbers). `engine`: ``pandas``, ``arrow`` (a `pyarrow.Table`) or ``polars``.

    ``df.attrs``: ``measurement``, ``units`` and ``sensors`` (by column and by field: unit, kind, place,
    calibration and whatever else the tags of its readings agree on) and, if wide, ``columns`` (column -> (field,
    device)). An empty answer has the columns and types that readings would have.

    Args:
        arguments: those of `wanted`.

    Raises:
        SpecRefused: an argument cannot be right. QueryRefused: the database says why.
    """
    asked = wanted(query, measurement, **arguments)
    rows = asked.rows(asked.text(asked.start, asked.stop)) if asked.fields else NO_ROWS
    if not len(rows):
        warnings.warn(asked.nothing(), NothingRead, stacklevel=2)
    frame = asked.shaped(rows)
    if len(rows) and asked.every is not None and asked.layout == "wide":
        # means are not grouped by place and calibration: a sensor that moved has still one mean
        frame.attrs["sensors"] = frames.wide(asked.described(), asked.fields).attrs["sensors"]
    return asked.handed_over(frame)


NO_ROWS = frames.Rows(frames.no_codes(), [], frames.no_codes(), {})


def to_frame(query: Query, influxql: str, db: str = "mine") -> pd.DataFrame:
    """The answer to any one question. Indexed by ``time`` (UTC) if it has times; tags become columns.

    Raises:
        QueryRefused: the database says why, or the answer is several tables.
    """
    with query(influxql, db) as parts:
        table = parsing.table(parts)
    if table is None:
        return frames.empty({})
    names = table.pop("name")
    tags = table.pop("tags")
    if tags.notna().any():
        codes, texts = pd.factorize(tags)
        columns = {key: frames.spread(codes, values) for key, values in frames.tag_columns(texts).items()}
        table = pd.concat([pd.DataFrame(columns, index=table.index), table], axis=1)
    if names.nunique() > 1:
        table.insert(0, "measurement", names.astype("object"))
    if "time" in table and pd.api.types.is_integer_dtype(table["time"]):
        table.index = frames.times(table.pop("time").to_numpy())
    if names.nunique() == 1:
        table.attrs["measurement"] = str(names.iloc[0])
    return table


# ---------------------------------------------------------------- asking
def _kinds(query: Query, measurement: str, db: str) -> dict[str, str]:
    """Type of each field: float, integer, string or boolean."""
    with query(f"SHOW FIELD KEYS FROM {ident(measurement)}", db) as parts:
        table = parsing.table(parts, {"fieldKey": "string", "fieldType": "string"})
    if table is None:
        return {}
    return dict(zip(table["fieldKey"].tolist(), table["fieldType"].tolist(), strict=True))


def tag_keys(query: Query, measurement: str, db: str) -> list[str]:
    """Every tag that a reading of `measurement` has, ``device`` first."""
    with query(f"SHOW TAG KEYS FROM {ident(measurement)}", db) as parts:
        table = parsing.table(parts, {"tagKey": "string"})
    if table is None or "tagKey" not in table:
        return []
    return sorted(table["tagKey"].tolist(), key=lambda key: (key != "device", key))


def _choose(fields: str | Sequence[str] | None, kinds: Mapping[str, str], *, numbers_only: bool) -> list[str]:
    if fields is None:
        return [f for f, kind in kinds.items() if not numbers_only or kind in ("float", "integer")]
    chosen = [fields] if isinstance(fields, str) else list(fields)
    if missing := [f for f in chosen if kinds and f not in kinds]:
        raise SpecRefused(
            "field-unknown", f"There is no field {missing[0]!r}; there are: {', '.join(kinds)}."
        )
    return chosen if kinds else []
