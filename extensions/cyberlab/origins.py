"""From a frame to the code that wrote it: which deployments its readings name, and when; the lab knows the rest."""

from __future__ import annotations

import warnings
from typing import Any

import pandas as pd

from cyberlab import frames, parsing
from cyberlab.errors import NotFound, SpecRefused
from cyberlab.influxql import conditions, last_of_each
from cyberlab.reader import Query
from cyberlab.transport import Transport
from cyberlab.wire_origin import Origin

SERIES = ("deployment", "device")


def find(transport: Transport, query: Query, df: pd.DataFrame) -> tuple[Origin, ...]:
    """See `Lab.provenance`."""
    if df.empty:
        return ()
    if "asked" not in df.attrs or not isinstance(df.index, pd.DatetimeIndex):
        raise SpecRefused(
            "frame-unknown",
            "This frame does not say where it was read. Give one that lab.read gave, or a part of it.",
        )
    db: str = df.attrs["db"]
    moments = df.index.as_unit("ns").asi8
    # a mean stands at the begin of its span
    start, stop = int(moments.min()), int(moments.max()) + max(df.attrs["asked"]["every_ns"] - 1, 0)
    found: list[Origin] = []
    missing: list[NotFound] = []
    for deployment, devices in sorted(_written_by(query, df, start, stop).items()):
        if not deployment:
            author = db if db != "mine" else ""
            found.append(Origin(kind="device", author=author, deployment="", devices=tuple(devices)))
            continue
        params = {"deployment": deployment, "device": devices, "start": start, "stop": stop, "db": db}
        try:
            found += transport.get("/provenance", tuple[Origin, ...], params)
        except NotFound as error:
            missing.append(error)
    if missing and not found:
        raise missing[0]
    for one in missing:
        warnings.warn(f"Of a part of these readings the origin is not known: {one}", stacklevel=3)
    return tuple(sorted(found, key=lambda one: (one.version or 0, one.deployment)))


def _written_by(query: Query, df: pd.DataFrame, start: int, stop: int) -> dict[str, list[str]]:
    """Deployment -> the devices it wrote from; an empty name for readings of no deployment."""
    if set(SERIES) <= set(df.columns):
        pairs = df[list(SERIES)].drop_duplicates().itertuples(index=False)
        return _grouped(("" if pd.isna(d) else str(d), "" if pd.isna(v) else str(v)) for d, v in pairs)
    asked = df.attrs["asked"]
    where: dict[str, Any] = dict(asked["where"])
    if narrower := _devices(df):
        where["device"] = narrower
    clause = conditions(start=start, stop=stop + 1, where=where, devices=None)
    text = last_of_each(df.attrs["measurement"], asked["fields"], clause, SERIES)
    with query(text, df.attrs["db"]) as parts:
        # of the answer only the series count; their last values may be of any type
        rows = parsing.rows(parts, asked["fields"], dict.fromkeys(asked["fields"], "string"))
    tags = frames.tag_columns(rows.texts)
    none: list[str | None] = [None] * len(rows.texts)
    pairs_of = zip(tags.get("deployment", none), tags.get("device", none), strict=True)
    return _grouped((deployment or "", device or "") for deployment, device in pairs_of)


def _devices(df: pd.DataFrame) -> list[str]:
    """The devices of the columns that are left; empty when one of them is of no one device."""
    sensors = df.attrs.get("sensors", {})
    devices = {str(sensors.get(column, {}).get("device", "")) for column in df.columns}
    return [] if "" in devices else sorted(devices)


def _grouped(pairs: Any) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for deployment, device in pairs:
        found.setdefault(deployment, set()).update([device] if device else [])
    return {deployment: sorted(devices) for deployment, devices in found.items()}
