"""Counting and deleting readings in InfluxQL, which 1.x and 2.x both speak for the count."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cyberlab_hub.ingest.influx import ident, literal
from cyberlab_hub.ingest.store import Selection


def count_statement(where: Selection) -> str:
    """One row for each series, a number for each field."""
    source = "/.*/" if where.measurement is None else ident(where.measurement)
    return f"SELECT count(*) FROM {source} WHERE {_when(where)}{_devices(where)} GROUP BY *"  # noqa: S608 - quoted


def delete_statements(where: Selection) -> Iterator[str]:
    """One for each device, so that nothing depends on how DELETE reads OR."""
    source = "" if where.measurement is None else f" FROM {ident(where.measurement)}"
    for device in where.devices or (None,):
        only = "" if device is None else f' AND "device" = {literal(device)}'
        yield f"DELETE{source} WHERE {_when(where)}{only}"


def counted(results: list[dict[str, Any]]) -> int:
    """The sum over all series of the count of their most frequent field."""
    return sum(
        max((number for number in row[1:] if number is not None), default=0)
        for result in results
        for series in result.get("series", ())
        for row in series["values"]
    )


def _when(where: Selection) -> str:
    return f"time >= {where.start} AND time < {where.stop}"


def _devices(where: Selection) -> str:
    anyone = " OR ".join(f'"device" = {literal(device)}' for device in where.devices)
    return f" AND ({anyone})" if anyone else ""
