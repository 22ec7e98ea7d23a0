"""Tables of InfluxDB, which name a series by the text of its tags, as DataFrames that a person would make. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
Tags = Mapping[str, Sequence[str | None]]
"""For each tag its value in each series; None where a series has no such tag."""


def long(frame: pd.DataFrame, fields: Sequence[str]) -> pd.DataFrame:
    """A row for each reading in the order of time, tags as columns before the fields."""
    if frame.empty:
        return empty(["device", *fields])
    codes, texts = _codes(frame)
    tags = tag_columns(texts)
    columns: dict[str, Any] = {key: spread(codes, values) for key, values in tags.items()}
    columns |= {field: frame[field].array for field in fields}
    result = pd.DataFrame(columns, index=times(frame["time"].to_numpy()))
    result = result.iloc[np.argsort(frame["time"].to_numpy(), kind="stable")]
    result.attrs["units"] = _common_units(tags.get("unit", ()), fields)
    return result


def wide(frame: pd.DataFrame, fields: Sequence[str]) -> pd.DataFrame:
    """A column for each field and device; every series finds its column, and times are sorted once for all.

    Numbers become float64, because not every device has a reading at every time.
    """
    if frame.empty:
        return empty(())
    codes, texts = _codes(frame)
    tags = tag_columns(texts)
    label_of, unit_of = _labels(tags, len(texts)), tags.get("unit", [None] * len(texts))
    labels, number_of = np.unique(label_of, return_inverse=True)
    moments, row = np.unique(frame["time"].to_numpy(), return_inverse=True)
    column = number_of[codes]
    units = dict(zip(label_of, unit_of, strict=True))
    blocks: list[pd.DataFrame] = []
    attrs: dict[str, Any] = {"units": _common_units(unit_of, fields), "columns": {}}
    for field in fields:
        values, nothing = _plain(frame[field])
        there = frame[field].notna().to_numpy()
        matrix = np.full((len(labels), len(moments)), nothing, dtype=values.dtype)
        matrix[column[there], row[there]] = values[there]
        used = np.unique(column[there])
        names = [str(label) if len(fields) == 1 else f"{field} {label}" for label in labels[used]]
        blocks.append(pd.DataFrame(matrix[used].T, columns=names, copy=False))
        for name, label in zip(names, labels[used], strict=True):
            attrs["columns"][name] = (field, str(label))
            if unit := units[str(label)]:
                attrs["units"][name] = unit
    result = blocks[0] if len(blocks) == 1 else pd.concat(blocks, axis=1)
    result.index = times(moments)
    result.attrs.update(attrs)
    return result


def _common_units(units: Iterable[str | None], fields: Sequence[str]) -> dict[str, str]:
    """The unit of each field, when all series agree."""
    known = {unit for unit in units if unit}
    return dict.fromkeys(fields, known.pop()) if len(known) == 1 else {}


def _labels(tags: Mapping[str, Sequence[str | None]], count: int) -> list[str]:
    """A name for each series: its device, and whatever of sensor and unit tells it from others."""
    devices = tags.get("device", [None] * count)
    # readings from a notebook have no device
    origin = tags.get("deployment", [None] * count)
    labels = [device or where or "all" for device, where in zip(devices, origin, strict=True)]
    for key, form in (("sensor", "{} {}"), ("unit", "{} ({})")):
        values = tags.get(key, [None] * count)
        if any(len(set(of_one)) > 1 for of_one in _grouped(labels, values).values()):
            labels = [form.format(a, b) if b else a for a, b in zip(labels, values, strict=True)]
    return labels


def _grouped(keys: Sequence[str], values: Sequence[str | None]) -> dict[str, list[str | None]]:
    groups: dict[str, list[str | None]] = {}
    for key, value in zip(keys, values, strict=True):
        groups.setdefault(key, []).append(value)
    return groups


def _codes(frame: pd.DataFrame) -> tuple[Array, list[str]]:
    """For each row the number of its series, and the text form of each series' tags."""
    tags = frame["tags"].cat
    codes = tags.codes.to_numpy().astype("int64")
    texts = [str(text) for text in tags.categories]
    if (codes < 0).any():  # a series without tags
        codes = np.where(codes < 0, len(texts), codes)
        texts.append("")
    return codes, texts


_TAG = re.compile(r"((?:[^\\,=]|\\.)+)=((?:[^\\,=]|\\.)*)")


def tag_columns(texts: Iterable[str]) -> dict[str, list[str | None]]:
    """``["device=pi01,unit=C", "unit=C"]`` -> ``{"device": ["pi01", None], "unit": ["C", "C"]}``."""
    parsed = [{_unescape(k): _unescape(v) for k, v in _TAG.findall(text)} for text in texts]
    keys = sorted({key for tags in parsed for key in tags}, key=lambda key: (key != "device", key))
    return {key: [tags.get(key) or None for tags in parsed] for key in keys}


def _unescape(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def spread(codes: Array, values: Sequence[str | None]) -> Array:
    """The value of each row's series; code -1 means none."""
    texts: Array = np.array([*values, None], dtype=object)
    return texts[codes]


def _plain(column: pd.Series[Any]) -> tuple[Array, object]:
    """Values as numpy, and what stands where there is none."""
    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=object), None
    return column.to_numpy(dtype="float64", na_value=np.nan), np.nan


def times(ns: Array) -> pd.DatetimeIndex:
    """Nanoseconds since 1970 as the index ``time``."""
    return pd.DatetimeIndex(ns.astype("datetime64[ns]"), tz="UTC", name="time")


def empty(columns: Sequence[str]) -> pd.DataFrame:
    """No rows, but the index and columns that rows would have."""
    frame = pd.DataFrame(columns=list(columns), index=times(np.array([], dtype="int64")), dtype=object)
    frame.attrs["units"] = {}
    return frame
