"""InfluxDB's CSV into columns, while it arrives: pandas' C parser works on one block of rows as the next is on its way.

So the parser and the network overlap, the text is never whole in memory, and one function serves both the answer that
fits and the one that does not. Columns are told by their place, never by their name: a field may be called ``tags``.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cyberlab.errors import QueryRefused
from cyberlab.frames import TEXT, Rows

BLOCK = 1 << 17
"""Rows that are parsed at once: about 10 MB of text."""

# pandas 3 reads every float exactly; before, one had to ask for it
_EXACT: dict[str, Any] = (
    {} if int(pd.__version__.partition(".")[0]) >= 3 else {"float_precision": "round_trip"}
)
_DTYPES: dict[str, Any] = {"float": "float64", "integer": "Int64", "string": TEXT, "boolean": "boolean"}


def table(parts: Iterable[bytes], kinds: Mapping[str, str] | None = None) -> pd.DataFrame | None:
    """Any answer as one table with the names of its header; types of columns not in `kinds` are guessed.

    None: there is not even a header.

    Raises:
        QueryRefused: ``answer-shape``: the answer is not one table.
    """
    stream = _stream(parts)
    if stream is None:
        return None
    known = {name: _DTYPES[kind] for name, kind in (kinds or {}).items() if kind in _DTYPES}
    dtypes: dict[str, Any] = {"name": "category", "tags": "category", **known}
    with _one_table():
        whole: pd.DataFrame = pd.read_csv(stream, dtype=dtypes, low_memory=False, **_options())
    return whole


def rows(parts: Iterable[bytes], fields: Sequence[str], kinds: Mapping[str, str]) -> Rows:
    """The whole answer to a question that asks for `fields` series by series (``GROUP BY``)."""
    number: dict[str, int] = {}
    codes: list[Any] = []
    times: list[Any] = []
    columns: dict[str, list[Any]] = {field: [] for field in fields}
    for block in blocks(parts, [*map(_dtype_of(kinds), fields)]):
        tags = block[1].cat
        texts = ["" if pd.isna(text) else str(text) for text in tags.categories]
        # code -1 is a series without tags
        global_code = np.array(
            [number.setdefault(text, len(number)) for text in (*texts, "")] if _untagged(tags) else
            [number.setdefault(text, len(number)) for text in texts],
            dtype="int64",
        )  # fmt: skip
        codes.append(global_code[tags.codes.to_numpy()])
        times.append(block[2].to_numpy())
        for place, field in enumerate(fields):
            columns[field].append(block[3 + place])
    return Rows(
        np.concatenate(codes) if codes else np.array([], dtype="int64"),
        list(number),
        np.concatenate(times) if times else np.array([], dtype="int64"),
        {field: _joined(columns.pop(field), _dtype_of(kinds)(field)) for field in fields},
    )


def blocks(parts: Iterable[bytes], dtypes: Sequence[str], size: int = BLOCK) -> Iterator[pd.DataFrame]:
    """Blocks of at most `size` rows; columns are numbers: 1 tags, 2 time (ns), from 3 on those of `dtypes`."""
    stream = _stream(parts)
    if stream is None:
        return
    types: dict[Any, Any] = {0: "category", 1: "category", 2: "int64", **dict(enumerate(dtypes, 3))}
    with (
        _one_table(),
        pd.read_csv(
            stream, names=list(types), header=0, index_col=False, dtype=types, chunksize=size, **_options()
        ) as reader,
    ):
        yield from reader


def field_dtype(kind: str | None) -> Any:
    """The dtype of a field of InfluxDB's type `kind`; what is not known is a number."""
    return _DTYPES.get(kind or "", "float64")


def _dtype_of(kinds: Mapping[str, str]) -> Any:
    return lambda field: field_dtype(kinds.get(field))


def _untagged(tags: Any) -> bool:
    return bool((tags.codes.to_numpy() < 0).any())


def _joined(pieces: list[Any], dtype: Any) -> Any:
    if not pieces:
        return pd.array([], dtype=dtype)
    return pieces[0].array if len(pieces) == 1 else pd.concat(pieces, ignore_index=True).array


def _options() -> dict[str, Any]:
    return {"engine": "c", "keep_default_na": False, "na_values": [""], **_EXACT}


def _stream(parts: Iterable[bytes]) -> Any | None:
    stream = io.BufferedReader(_Pieces(iter(parts)), 1 << 20)
    return stream if stream.peek(1) else None


class _one_table:  # noqa: N801 - reads as a clause: `with _one_table():`
    """Says in our words what the parser says of several tables in one answer."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, pd.errors.ParserError | ValueError):
            raise QueryRefused(
                "answer-shape",
                "The answer is not one table. Ask one question at a time, without semicolons.",
            ) from error


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
