"""Tables of InfluxDB, which name a series by the text of its tags, as DataFrames that a person would make. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

Array = np.ndarray[Any, Any]
Tags = Mapping[str, Sequence[str | None]]
"""For each tag its value in each series; None where a series has no such tag."""
TEXT: Any = "str" if int(pd.__version__.partition(".")[0]) >= 3 else "object"
"""The dtype of text, which pandas 3 has and earlier ones do not."""


@dataclass
class Rows:
    """Readings, series by series, as InfluxDB sends them."""

    codes: Array
    """For each row the number of its series, an index of `texts`."""
    texts: list[str]
    """InfluxDB's text of the tags of each series: ``device=pi01,unit=C``."""
    time: Array
    """Nanoseconds since 1970, int64."""
    fields: dict[str, Any]
    """For each field a pandas array, one value a row."""

    def __len__(self) -> int:
        return len(self.time)


def long(rows: Rows, fields: Sequence[str]) -> pd.DataFrame:
    """A row for each reading in the order of time, tags as columns before the fields."""
    tags = tag_columns(rows.texts)
    moments, codes, arrays = rows.time, rows.codes, dict(rows.fields)
    if (moments[1:] < moments[:-1]).any():
        # each series is in order already: sorted runs are merged, at a fraction of a sort
        order = np.argsort(moments, kind="stable")
        moments, codes = moments[order], codes[order]
        arrays = {field: arrays[field].take(order) for field in fields}
    columns: dict[str, Any] = {key: spread(codes, values) for key, values in tags.items()}
    columns |= {field: arrays[field] for field in fields}
    result = pd.DataFrame(columns, index=times(moments), copy=False)
    result.attrs["units"] = _common_units(tags.get("unit", ()), fields)
    result.attrs["sensors"] = _described(dict.fromkeys(fields, range(len(rows.texts))), tags)
    return result


def wide(rows: Rows, fields: Sequence[str], known: Mapping[str, Sequence[str]] | None = None) -> pd.DataFrame:
    """A column for each field and device; every series finds its column, and times are sorted once for all.

    Numbers become float64, because not every device has a reading at every time. `known`: for each field the
    series (by their text) that have a column even where these rows hold nothing of them, as in pieces of a whole.
    """
    texts = list(dict.fromkeys([*rows.texts, *(text for of in (known or {}).values() for text in of)]))
    tags = tag_columns(texts)
    label_of, unit_of = _labels(tags, len(texts)), tags.get("unit", [None] * len(texts))
    labels, number_of = np.unique(np.array(label_of, dtype=object), return_inverse=True)
    moments, row = _distinct(rows.time)
    column = number_of[rows.codes] if texts else rows.codes
    units = dict(zip(label_of, unit_of, strict=True))
    members: dict[str, list[int]] = {}
    for number, label in enumerate(label_of):
        members.setdefault(label, []).append(number)
    place = {text: number for number, text in enumerate(texts)}
    attrs: dict[str, Any] = {"units": _common_units(unit_of, fields), "columns": {}}
    series_of: dict[str, Sequence[int]] = {}
    wanted: list[tuple[str, Array, list[str]]] = []
    for field in fields:
        present = np.bincount(column[~pd.isna(rows.fields[field])], minlength=len(labels)) > 0
        present[[number_of[place[text]] for text in (known or {}).get(field, ())]] = True
        used = np.flatnonzero(present)
        names = [str(label) if len(fields) == 1 else f"{field} {label}" for label in labels[used]]
        wanted.append((field, used, names))
        for name, label in zip(names, labels[used], strict=True):
            attrs["columns"][name] = (field, str(label))
            series_of[name] = members[str(label)]
            if unit := units[str(label)]:
                attrs["units"][name] = unit
    result = _spread_out(rows, wanted, column, row, len(moments))
    result.index = times(moments)
    result.attrs.update(attrs)
    result.attrs["sensors"] = _described(series_of, tags)
    return result


def _spread_out(
    rows: Rows, wanted: Sequence[tuple[str, Array, list[str]]], column: Array, row: Array, height: int
) -> pd.DataFrame:
    """Each value in the cell of its time and column. Numbers share one matrix, because to join two copies them.

    Args:
        wanted: each field with the labels (by number) that have a column, and the names of those columns.
    """
    plain = {field: _plain(rows.fields[field]) for field, _, _ in wanted}
    numbers = [one for one in wanted if plain[one[0]][0].dtype != object]
    others = [one for one in wanted if plain[one[0]][0].dtype == object]
    blocks: list[pd.DataFrame] = []
    for group in ([numbers] if numbers else []) + [[one] for one in others]:
        values, nothing = plain[group[0][0]]
        matrix = np.full((sum(len(used) for _, used, _ in group), height), nothing, dtype=values.dtype)
        begin = 0
        for field, used, _ in group:
            values, _ = plain[field]
            there = ~pd.isna(rows.fields[field])
            line = np.zeros(int(column.max(initial=-1)) + 1, dtype="int64")
            line[used[used < len(line)]] = begin + np.flatnonzero(used < len(line))
            matrix[line[column[there]], row[there]] = values[there]
            begin += len(used)
        block = pd.DataFrame(matrix.T, columns=[name for _, _, names in group for name in names], copy=False)
        blocks.append(block.astype(TEXT) if rows.fields[group[0][0]].dtype == TEXT else block)
    result = blocks[0] if len(blocks) == 1 else pd.concat(blocks, axis=1)
    order = [name for _, _, names in wanted for name in names]
    return result if not (numbers and others) else result[order]


def _distinct(moments: Array) -> tuple[Array, Array]:
    """Each moment once, in order, and for each row the place of its own. `np.unique` sorts; this merges the runs that
    series are."""
    order = np.argsort(moments, kind="stable")
    ordered = moments[order]
    first = np.ones(len(moments), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    place = np.empty(len(moments), dtype="int64")
    place[order] = np.cumsum(first) - 1
    return ordered[first], place


def _described(series_of: Mapping[str, Sequence[int]], tags: Tags) -> dict[str, dict[str, str]]:
    """What is known of the sensor behind each name: every tag (unit, kind, place, calibration ...) of which all of
    its series say the same. Which deployment wrote it is no property of a sensor."""
    found: dict[str, dict[str, str]] = {}
    for name, series in series_of.items():
        said = {key: {values[one] for one in series} for key, values in tags.items() if key != "deployment"}
        agreed = {key: next(iter(of)) for key, of in said.items() if len(of) == 1}
        found[name] = {key: value for key, value in agreed.items() if value}
    return found


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


_TAG = re.compile(r"((?:[^\\,=]|\\.)+)=((?:[^\\,=]|\\.)*)")


def tag_columns(texts: Iterable[str]) -> dict[str, list[str | None]]:
    """``["device=pi01,unit=C", "unit=C"]`` -> ``{"device": ["pi01", None], "unit": ["C", "C"]}``."""
    parsed = [{_unescape(k): _unescape(v) for k, v in _TAG.findall(text)} for text in texts]
    keys = sorted({key for tags in parsed for key in tags}, key=lambda key: (key != "device", key))
    return {key: [tags.get(key) or None for tags in parsed] for key in keys}


def _unescape(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def spread(codes: Array, values: Sequence[str | None]) -> Any:
    """The value of each row's series, as text; code -1 means none."""
    texts = pd.array([*values, None], dtype=TEXT)
    return texts.take(np.where(codes < 0, len(values), codes))


def _plain(column: Any) -> tuple[Array, object]:
    """Values as numpy, and what stands where there is none."""
    if pd.api.types.is_bool_dtype(column.dtype) or not pd.api.types.is_numeric_dtype(column.dtype):
        return column.to_numpy(dtype=object), None
    return column.to_numpy(dtype="float64", na_value=np.nan), np.nan


def times(ns: Array) -> pd.DatetimeIndex:
    """Nanoseconds since 1970 as the index ``time``."""
    return pd.DatetimeIndex(ns.astype("datetime64[ns]"), tz="UTC", name="time")


def tag_text(tags: Mapping[str, str | None]) -> str:
    """InfluxDB's text of a series' tags: the way back from `tag_columns`."""
    return ",".join(f"{_escape(key)}={_escape(value)}" for key, value in sorted(tags.items()) if value)


def _escape(text: str) -> str:
    return re.sub(r"([,= ])", r"\\\1", text)


def no_codes() -> Array:
    return np.array([], dtype="int64")


def empty(columns: Mapping[str, Any]) -> pd.DataFrame:
    """No rows, but the index, columns and types (name -> dtype) that rows would have."""
    frame = pd.DataFrame(
        {name: pd.array([], dtype=dtype) for name, dtype in columns.items()},
        index=times(np.array([], dtype="int64")),
        columns=list(columns),
    )
    frame.attrs.update(units={}, sensors={})
    return frame
