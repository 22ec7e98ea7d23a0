"""Readings as DataFrames: asks in InfluxQL, reads InfluxDB's CSV while it arrives.

`read` asks series by series (``GROUP BY *``): InfluxDB answers that fastest, and it is the one form in which tags
and fields cannot be mistaken for each other. CSV has no types, so the types of the fields are asked first.

The way to the database is a callable ``(influxql, db)`` that gives a context manager of pieces of CSV; see `Query`.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any, Literal

import pandas as pd

from cyberlab import frames
from cyberlab.errors import QueryRefused, SpecRefused
from cyberlab.influxql import Scalar, When, aggregated, conditions, every_reading, ident

Query = Callable[[str, str], AbstractContextManager[Iterable[bytes]]]


# pandas 3 reads every float exactly; before, one had to ask for it
_EXACT: dict[str, Any] = (
    {} if int(pd.__version__.partition(".")[0]) >= 3 else {"float_precision": "round_trip"}
)


class NothingRead(UserWarning):
    """The answer is empty; says what there is instead."""


def read(
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
) -> pd.DataFrame:
    """Readings from `start` up to (not including) `stop`, indexed by ``time`` (UTC).

    ``wide``: a column for each device, named after it; ``field device`` when there are several fields. Where one
    device has several sensors or units their names follow. ``long``: a row for each reading, tags as columns.
    `every`: one row for each such span, of the `aggregate` of its readings. Without `fields`: all (with `every`:
    all that are numbers). ``df.attrs``: ``measurement``, ``units`` (by column and by field) and, if wide,
    ``columns`` (column -> (field, device)).

    Raises:
        SpecRefused: an argument cannot be right. QueryRefused: the database says why.
    """
    if layout not in ("wide", "long"):
        raise SpecRefused("layout-unknown", f"layout is 'wide' or 'long', not {layout!r}.")
    kinds = _kinds(query, measurement, db)
    chosen = _choose(
        fields, kinds, numbers_only=every is not None and aggregate not in ("count", "first", "last")
    )
    clause = conditions(start=start, stop=stop, where=where, devices=devices)
    if not chosen:
        frame = frames.empty(())
    elif every is None:
        frame = _series(query, every_reading(measurement, chosen, clause), db, kinds)
    else:
        whole = {**kinds, **dict.fromkeys(chosen, "integer")} if aggregate == "count" else kinds
        text = aggregated(measurement, chosen, clause, every=every, aggregate=aggregate)
        frame = _series(query, text, db, whole if aggregate in ("count", "first", "last") else {})
    if frame.empty:
        warnings.warn(_nothing(query, measurement, kinds, chosen, db), NothingRead, stacklevel=2)
    shaped = frames.wide(frame, chosen) if layout == "wide" else frames.long(frame, chosen)
    shaped.attrs["measurement"] = measurement
    return shaped


def to_frame(query: Query, influxql: str, db: str = "mine") -> pd.DataFrame:
    """The answer to any one question. Indexed by ``time`` (UTC) if it has times; tags become columns.

    Raises:
        QueryRefused: the database says why, or the answer is several tables.
    """
    with query(influxql, db) as parts:
        table = _parse(parts, {})
    if table is None:
        return frames.empty(())
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
        table = _parse(parts, {"fieldKey": "string", "fieldType": "string"})
    if table is None:
        return {}
    return dict(zip(table["fieldKey"].tolist(), table["fieldType"].tolist(), strict=True))


def _choose(fields: str | Sequence[str] | None, kinds: Mapping[str, str], *, numbers_only: bool) -> list[str]:
    if fields is None:
        return [f for f, kind in kinds.items() if not numbers_only or kind in ("float", "integer")]
    chosen = [fields] if isinstance(fields, str) else list(fields)
    if missing := [f for f in chosen if kinds and f not in kinds]:
        raise SpecRefused(
            "field-unknown", f"There is no field {missing[0]!r}; there are: {', '.join(kinds)}."
        )
    return chosen if kinds else []


def _nothing(query: Query, measurement: str, kinds: Mapping[str, str], chosen: Sequence[str], db: str) -> str:
    if chosen:
        return f"There are readings of {measurement!r}, but none in this time and selection."
    if kinds:
        return f"No field of {measurement!r} is a number, so there is nothing to take a mean of."
    with query("SHOW MEASUREMENTS", db) as parts:
        table = _parse(parts, {"name.1": "string"})
    there = ", ".join(map(str, table["name.1"])) if table is not None else ""
    return f"There are no readings of {measurement!r} yet. " + (
        f"There are: {there}." if there else "There are none at all."
    )


def _series(query: Query, influxql: str, db: str, kinds: Mapping[str, str]) -> pd.DataFrame:
    """Columns ``tags`` (categories of InfluxDB's text form), ``time`` (ns) and the fields."""
    with query(influxql, db) as parts:
        table = _parse(parts, kinds)
    if table is None:
        return frames.empty(())
    return table.drop(columns="name")


_DTYPES = {"float": "float64", "integer": "Int64", "string": "object", "boolean": "boolean"}


def _parse(parts: Iterable[bytes], kinds: Mapping[str, str]) -> pd.DataFrame | None:
    """InfluxDB's CSV; None when there is not even a header. Types of columns not in `kinds` are guessed."""
    stream = io.BufferedReader(_Pieces(iter(parts)), 1 << 20)
    if not stream.peek(1):
        return None
    dtypes: dict[str, Any] = {name: _DTYPES[kind] for name, kind in kinds.items() if kind in _DTYPES}
    try:
        table: pd.DataFrame = pd.read_csv(
            stream,
            engine="c",
            dtype={"name": "category", "tags": "category", **dtypes},
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
            **_EXACT,
        )
    except (pd.errors.ParserError, ValueError) as error:
        raise QueryRefused(
            "answer-shape", "The answer is not one table. Ask one question at a time, without semicolons."
        ) from error
    return table


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a file, so that the parser works while the rest is on its way."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size
