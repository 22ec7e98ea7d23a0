"""More readings than fit into memory: an iterator of frames, each what `read` would give for its part of the time.

Put together the frames are the whole answer: no reading is missing or twice, and a wide frame never cuts a moment
in two. Every reading: one question in the order of time, parsed block by block while it arrives (the connection waits
while you work on a frame). Means and their like: one question for each span of whole `every`, because InfluxDB sends
those device by device. The columns of wide frames are asked first, so that all frames have the same.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cyberlab import frames, parsing
from cyberlab.errors import SpecRefused
from cyberlab.frames import Rows
from cyberlab.influxql import conditions, first_of_all, in_order, moment_ns, span_ns
from cyberlab.reader import NO_ROWS, NothingRead, Query, Wanted, tag_keys, wanted

MOST = 10_000_000


def pieces(query: Query, measurement: str, size: int, **arguments: Any) -> Iterator[Any]:
    """Frames of about `size` readings, in the order of time. Nothing there: one empty frame.

    Args:
        size: readings (rows of the long layout) in one frame, 1 to 10,000,000. A wide frame can hold more by those
            of its last moment; its memory is at most `size` times the number of columns times 8 bytes.
        arguments: those of `reader.read`.

    Raises:
        SpecRefused: ``chunks-invalid``, and as `reader.read`; QueryRefused. Both also later, while iterating.
    """
    if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= MOST:
        raise SpecRefused("chunks-invalid", f"chunks is a number of readings, 1 to {MOST}, not {size!r}.")
    asked = wanted(query, measurement, **arguments)
    return _handed_over(asked, size)


def _handed_over(asked: Wanted, size: int) -> Iterator[Any]:
    some = False
    if asked.fields:
        known = _known(asked)
        parts = _in_order(asked, size) if asked.every is None else _in_spans(asked, size)
        columns = list(asked.shaped(NO_ROWS).columns) if asked.layout == "long" else None
        for rows in parts:
            some = True
            frame = asked.shaped(rows, known)
            if columns is not None:
                frame = _with_every_tag(frame, columns)
            yield asked.handed_over(frame)
    if not some:
        warnings.warn(asked.nothing(), NothingRead, stacklevel=3)
        yield asked.handed_over(asked.shaped(NO_ROWS))


def _with_every_tag(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """All long pieces have the same columns, so that they go into one file."""
    for name in columns:
        if name not in frame:
            frame[name] = pd.array([None] * len(frame), dtype=frames.TEXT)
    attrs = frame.attrs
    frame = frame[list(columns)]
    frame.attrs = attrs
    return frame


def _known(asked: Wanted) -> dict[str, list[str]] | None:
    """For each field the series that have a column. None for long frames, which need no such thing."""
    if asked.layout == "long":
        return None
    there = asked.described(by_sensor=asked.every is not None)
    return {
        field: [there.texts[code] for code in np.unique(there.codes[~pd.isna(there.fields[field])])]
        for field in asked.fields
    }


# ---------------------------------------------------------------- every reading
def _in_order(asked: Wanted, size: int) -> Iterator[Rows]:
    tags = tag_keys(asked.query, asked.measurement, asked.db)
    text = in_order(asked.measurement, asked.fields, tags, asked.clause(asked.start, asked.stop))
    kinds = asked.answered
    dtypes = [*(parsing.field_dtype(kinds[f]) for f in asked.fields), *("category" for _ in tags)]
    held: Rows | None = None
    with asked.query(text, asked.db) as parts:
        for block in parsing.blocks(parts, dtypes, size):
            rows = _rows(block, asked.fields, tags)
            if asked.layout == "long":
                yield rows
                continue
            # the last moment of a block may go on in the next one
            rows = rows if held is None else _together(held, rows)
            cut = int(np.searchsorted(rows.time, rows.time[-1], side="left"))
            whole, held = _part(rows, slice(0, cut)), _part(rows, slice(cut, None))
            if len(whole):
                yield whole
    if held is not None:
        yield held


def _rows(block: pd.DataFrame, fields: Sequence[str], tags: Sequence[str]) -> Rows:
    """A block whose tags are columns of categories, as rows of numbered series."""
    codes: Any = np.zeros(len(block), dtype="int64")
    values: list[list[str | None]] = []
    for place in range(3 + len(fields), 3 + len(fields) + len(tags)):
        column = block[place].cat
        values.append([*map(str, column.categories), None])
        codes = codes * len(values[-1]) + np.where(
            column.codes < 0, len(values[-1]) - 1, column.codes
        )  # a number in a mixed base: one for each combination of values
    combined, number = np.unique(codes, return_inverse=True)
    texts = []
    for one in combined.tolist():
        chosen: dict[str, str | None] = {}
        for tag, of in zip(reversed(tags), reversed(values), strict=True):
            one, place = divmod(one, len(of))
            chosen[tag] = of[place]
        texts.append(frames.tag_text(chosen))
    arrays = {field: block[3 + place].array for place, field in enumerate(fields)}
    return Rows(number, texts, block[2].to_numpy(), arrays)


def _together(first: Rows, second: Rows) -> Rows:
    texts = list(dict.fromkeys([*first.texts, *second.texts]))
    place = {text: number for number, text in enumerate(texts)}
    codes = [np.array([place[text] for text in of.texts], dtype="int64")[of.codes] for of in (first, second)]
    fields = {
        name: pd.concat([pd.Series(first.fields[name]), pd.Series(array)], ignore_index=True).array
        for name, array in second.fields.items()
    }
    return Rows(np.concatenate(codes), texts, np.concatenate([first.time, second.time]), fields)


def _part(rows: Rows, which: slice) -> Rows:
    return Rows(
        rows.codes[which], rows.texts, rows.time[which], {f: array[which] for f, array in rows.fields.items()}
    )


# ---------------------------------------------------------------- means and their like
def _in_spans(asked: Wanted, size: int) -> Iterator[Rows]:
    step = span_ns(asked.every or "")
    now = time.time_ns()
    # as InfluxDB has it: means end now, unless told otherwise
    stop = now if asked.stop is None else moment_ns(asked.stop, now)
    series = max(1, len(asked.described(by_sensor=True).texts))
    begin = None if asked.start is None else moment_ns(asked.start, now)
    while (first := _first(asked, begin, stop)) is not None:
        # the first span begins where the reader said, the others on whole steps, as InfluxDB counts them
        begin = max(first // step * step, first if begin is None else begin)
        end = min((begin // step + max(1, size // series)) * step, stop)
        while begin < stop:
            rows = asked.rows(asked.text(begin, end))
            begin, end = end, min(end + max(1, size // series) * step, stop)
            if not len(rows):
                break  # a gap: look where it ends
            yield rows
        if begin >= stop:
            return


def _first(asked: Wanted, begin: int | None, stop: int) -> int | None:
    """When the first reading from `begin` on was, ns; None: there is none before `stop`."""
    if begin is not None and begin >= stop:
        return None
    clause = conditions(start=begin, stop=stop, where=asked.where, devices=asked.devices)
    found = []
    for field in asked.fields:
        with asked.query(first_of_all(asked.measurement, field, clause), asked.db) as parts:
            for block in parsing.blocks(parts, ["object"]):
                found += block[2].tolist()
    return min(found, default=None)
