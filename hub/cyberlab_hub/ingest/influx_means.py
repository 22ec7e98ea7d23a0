"""Means of windows, made inside InfluxDB: the statements for 1.x (InfluxQL), and the query for 2.x (Flux).

A field `value` becomes `value` (the mean, so that whoever reads the one reads the other), `value_min`, `value_max` and
`value_count`. Windows are counted from 1970 in UTC; the point of a window has the time of its beginning and the tags of
its series, so making it again overwrites it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cyberlab_hub.ingest.influx import ident
from cyberlab_hub.ingest.store import Means

AT_ONCE = 40
"""Fields of one statement."""
NUMERIC = frozenset({"float", "integer", "unsigned"})
KINDS = ("mean", "min", "max", "count")


def fields_statement(measurement: str) -> str:
    return f"SHOW FIELD KEYS FROM {ident(measurement)}"


def numeric(results: list[dict[str, Any]]) -> list[str]:
    """The fields that have numbers, by name, of the answer to `fields_statement`."""
    return sorted(
        {
            name
            for result in results
            for series in result.get("series", ())
            for name, kind in series["values"]
            if kind in NUMERIC
        }
    )


def columns(fields: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Kind, field and name of the column, for each that is made.

    A field of the user's own wins over one of ours: with fields `t` and `t_min` there is no minimum of `t`.
    """
    taken = set(fields)
    for field in fields:
        for kind in KINDS:
            name = field if kind == "mean" else f"{field}_{kind}"
            if kind == "mean" or name not in taken:
                yield kind, field, name


def into_statements(means: Means, fields: Sequence[str]) -> Iterator[str]:
    """Few fields at a time: what one statement leaves out, the next adds to the same points."""
    made = list(columns(fields))
    for first in range(0, len(made), AT_ONCE):
        # ::float, because a field may be an integer in one shard and a float in another
        chosen = ", ".join(
            f"{kind}({ident(field)}::float) AS {ident(name)}"
            for kind, field, name in made[first : first + AT_ONCE]
        )
        yield (
            f'SELECT {chosen} INTO "autogen".{ident(means.target)} FROM "autogen".{ident(means.measurement)} '  # noqa: S608 - quoted
            f"WHERE time >= {means.start} AND time < {means.stop} GROUP BY time({means.seconds}s), * fill(none)"
        )


def first_statement(measurement: str, since: int, until: int) -> str:
    return f"SELECT * FROM {ident(measurement)} WHERE time >= {since} AND time < {until} LIMIT 1"  # noqa: S608 - quoted


def first_time(results: list[dict[str, Any]]) -> int | None:
    times = [row[0] for result in results for series in result.get("series", ()) for row in series["values"]]
    return min(times, default=None)


FLUX = """
data = from(bucket: _bucket)
    |> range(start: _start, stop: _stop)
    |> filter(fn: (r) => r._measurement == _measurement and contains(value: r._field, set: _fields))
    |> toFloat()
    |> aggregateWindow(every: _every, fn: {kind}, createEmpty: false, timeSrc: "_start")
    |> map(fn: (r) => ({{r with _measurement: _target, _field: r._field + _suffix}}))
    |> to(bucket: _bucket, org: _org)
"""
"""Names and times travel as parameters (`flux_parameters`), never as text of the query."""


def flux(kind: str) -> str:
    """Raises:
    ValueError: it is none of `KINDS`.
    """
    if kind not in KINDS:
        raise ValueError(kind)
    return FLUX.format(kind=kind)


def flux_parameters(means: Means, kind: str, fields: Iterable[str]) -> dict[str, Any]:
    return {
        "_measurement": means.measurement,
        "_target": means.target,
        "_fields": list(fields),
        "_suffix": "" if kind == "mean" else f"_{kind}",
        "_start": _moment(means.start),
        "_stop": _moment(means.stop),
        "_every": timedelta(seconds=means.seconds),
    }


def _moment(ns: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ns // 1000)
