"""InfluxQL text from typed values. Pure: whatever a name or value holds, it stays a name or a value."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from cyberlab.errors import SpecRefused

AGGREGATES = ("mean", "median", "min", "max", "sum", "count", "first", "last", "stddev", "spread", "mode")
SENSOR_TAGS = ("device", "sensor", "unit")
"""Readings that agree in these come from one sensor: means are made over the others."""
When = str | datetime | int | None
"""An int is nanoseconds since 1970."""
Scalar = str | int | float | bool

_UNIT_NS = {
    "ns": 1,
    "us": 10**3,
    "u": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 604_800 * 10**9,
}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|u|ms|s|min|m|h|d|w)")


def ident(name: str) -> str:
    """A measurement, field or tag, quoted."""
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def literal(value: Scalar) -> str:
    """A value to compare with, quoted if it is text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    escaped = value.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def span_ns(text: str | timedelta) -> int:
    """Nanoseconds of ``"10s"``, ``"1.5h"`` or a timedelta.

    Raises:
        SpecRefused: ``span-invalid``.
    """
    if isinstance(text, timedelta):
        # pandas' Timedelta is one too, with nanoseconds of its own
        ns = getattr(text, "value", None)
        total = int(ns) if ns is not None else round(text / timedelta(microseconds=1)) * 1000
    else:
        match = _SPAN.fullmatch(text.strip())
        total = round(float(match[1]) * _UNIT_NS[match[2]]) if match else 0
    if total <= 0:
        raise SpecRefused(
            "span-invalid", f"{text!r} is not a span of time such as '10s', '5m', '1h' or '7d'."
        )
    return total


def moment(when: str | datetime | int) -> str:
    """A point in time for a WHERE clause: ``now() - 3600000000000ns`` or whole nanoseconds.

    ``"-1h"`` counts back from the database's now. A time without a zone is UTC.

    Raises:
        SpecRefused: ``time-invalid``.
    """
    if isinstance(when, int):
        return f"{when:d}"
    if isinstance(when, str):
        text = when.strip()
        if text == "now":
            return "now()"
        if text.startswith("-"):
            return f"now() - {span_ns(text[1:])}ns"
        try:
            when = datetime.fromisoformat(text)
        except ValueError as error:
            raise SpecRefused(
                "time-invalid", f"{text!r} is not a time: use '-1h', '2026-03-01T12:00:00Z' or a datetime."
            ) from error
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    whole = int(when.replace(microsecond=0).timestamp())
    ns = whole * 10**9 + when.microsecond * 1000 + int(getattr(when, "nanosecond", 0))
    return f"{ns}"


def moment_ns(when: str | datetime | int, now_ns: int) -> int:
    """The same as nanoseconds since 1970, counted back from `now_ns`.

    Raises:
        SpecRefused: ``time-invalid``.
    """
    text = moment(when)
    if not text.startswith("now()"):
        return int(text)
    back = text.removeprefix("now()").removeprefix(" - ").removesuffix("ns")
    return now_ns - int(back or 0)


def conditions(
    *,
    start: When,
    stop: When,
    where: Mapping[str, Scalar | Sequence[Scalar]] | None,
    devices: Iterable[str] | None,
) -> str:
    """A WHERE clause, or nothing. Several values of one name mean any of them."""
    clauses = []
    if start is not None:
        clauses.append(f"time >= {moment(start)}")
    if stop is not None:
        clauses.append(f"time < {moment(stop)}")
    wanted: dict[str, Scalar | Sequence[Scalar]] = dict(where or {})
    if devices is not None:
        wanted["device"] = tuple(devices)
    for name, value in wanted.items():
        values: Sequence[Scalar] = [value] if isinstance(value, str | int | float | bool) else list(value)
        if not values:
            raise SpecRefused("where-empty", f"No value of {name!r} is wanted, so nothing could be read.")
        anyone = " OR ".join(f"{ident(name)} = {literal(one)}" for one in values)
        clauses.append(f"({anyone})")
    return f" WHERE {' AND '.join(clauses)}" if clauses else ""


def every_reading(measurement: str, fields: Sequence[str], where: str) -> str:
    """All points, series by series, with every tag."""
    columns = ", ".join(f"{ident(field)}::field" for field in fields)
    return f"SELECT {columns} FROM {ident(measurement)}{where} GROUP BY *"  # noqa: S608 - every name is quoted


def aggregated(
    measurement: str, fields: Sequence[str], where: str, *, every: str | timedelta, aggregate: str
) -> str:
    """One value for each span of time, device, sensor and unit.

    Raises:
        SpecRefused: ``aggregate-unknown``, ``span-invalid``.
    """
    if aggregate not in AGGREGATES:
        raise SpecRefused("aggregate-unknown", f"{aggregate!r} is not one of {', '.join(AGGREGATES)}.")
    columns = ", ".join(f"{aggregate}({ident(field)}) AS {ident(field)}" for field in fields)
    groups = ", ".join((f"time({span_ns(every)}ns)", *map(ident, SENSOR_TAGS)))
    return f"SELECT {columns} FROM {ident(measurement)}{where} GROUP BY {groups} fill(none)"  # noqa: S608 - quoted


def in_order(measurement: str, fields: Sequence[str], tags: Sequence[str], where: str) -> str:
    """All points in the order of time, whatever their series; tags as columns after the fields."""
    columns = ", ".join([f"{ident(f)}::field" for f in fields] + [f"{ident(t)}::tag" for t in tags])
    return f"SELECT {columns} FROM {ident(measurement)}{where}"  # noqa: S608 - every name is quoted


def last_of_each(
    measurement: str, fields: Sequence[str], where: str, tags: Sequence[str] | None = None
) -> str:
    """One row for each series, with its last value of each field: InfluxDB reads the ends of its blocks only.
    `tags`: those that make a series; None: all."""
    columns = ", ".join(f"last({ident(field)})" for field in fields)
    groups = "*" if tags is None else ", ".join(map(ident, tags))
    return f"SELECT {columns} FROM {ident(measurement)}{where} GROUP BY {groups}"  # noqa: S608 - every name is quoted


def first_of_all(measurement: str, field: str, where: str) -> str:
    """One row: when the first reading of one field was."""
    return f"SELECT first({ident(field)}) FROM {ident(measurement)}{where}"  # noqa: S608 - every name is quoted
