"""Readings as files: CSV and Parquet, whole or piece by piece."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cyberlab.errors import LabError, SpecRefused

if TYPE_CHECKING:
    import pandas as pd


def flat(frame: pd.DataFrame) -> pd.DataFrame:
    """The same with one line of column names and the time as its first column."""
    copy = frame.copy()
    copy.columns = [label(column) for column in copy.columns]
    return copy if copy.index.name is None else copy.reset_index()


def label(column: object) -> str:
    """``("value", "pi01")`` as ``value pi01``."""
    return " ".join(str(part) for part in column if part != "") if isinstance(column, tuple) else str(column)


def csv(frame: pd.DataFrame) -> str:
    """Times as ISO 8601 in UTC with nanoseconds, so that no two readings become one; missing values empty."""
    import numpy as np
    import pandas as pd

    table = flat(frame)
    if isinstance(frame.index, pd.DatetimeIndex):
        moments = np.datetime_as_string(frame.index.tz_convert(None).to_numpy(), unit="ns")
        table[frame.index.name] = np.char.add(moments, "Z")
    return table.to_csv(index=False)


def save_csv(frame: pd.DataFrame, path: Path) -> None:
    try:
        path.write_text(csv(frame), "utf-8")
    except OSError as error:
        raise _unwritable(path, error) from error


def save_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Written by fastparquet: pyarrow would cost every kernel 35 MB as soon as pandas is loaded."""
    import fastparquet

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # fastparquet is a version behind pandas
            fastparquet.write(str(path), flat(frame), compression="SNAPPY")
    except OSError as error:
        raise _unwritable(path, error) from error


def save_pieces(frames: Iterable[pd.DataFrame], path: Path) -> int:
    """Write frames with the same columns into one file, a .csv or .parquet, in the memory of one of them. The file is
    there when all is written, or not at all. Gives the number of rows.

    Raises:
        SpecRefused: ``file-kind-unknown``. LabError: ``file-unwritable``.
    """
    kinds = {".csv": _csv_piece, ".parquet": _parquet_piece}
    write = kinds.get(path.suffix.lower())
    if write is None:
        raise SpecRefused(
            "file-kind-unknown", f"{path.name} should end in .csv or .parquet, which says what to write."
        )
    part = path.with_name(f".{path.name}.part")
    rows = 0
    try:
        for number, frame in enumerate(frames):
            write(frame, part, number == 0)
            rows += len(frame)
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        part.unlink(missing_ok=True)
    return rows


def _csv_piece(frame: pd.DataFrame, path: Path, first: bool) -> None:
    text = csv(frame)
    with path.open("w" if first else "a", encoding="utf-8", newline="") as file:
        file.write(text if first else text.partition("\n")[2])


def _parquet_piece(frame: pd.DataFrame, path: Path, first: bool) -> None:
    import fastparquet

    table = _booleans(flat(frame), frame)
    text = {name: "utf8" for name in table if table[name].dtype == object or str(table[name].dtype) == "str"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # fastparquet is a version behind pandas
        fastparquet.write(
            str(path), table, compression="SNAPPY", append=not first, object_encoding=text or "infer"
        )


def _booleans(table: pd.DataFrame, frame: pd.DataFrame) -> pd.DataFrame:
    """Booleans with gaps are objects in a wide frame; in a file they have their type, also where there is none."""
    kinds = frame.attrs.get("asked", {}).get("kinds", {})
    for name, (field, _) in frame.attrs.get("columns", {}).items():
        if kinds.get(field) == "boolean":
            table[name] = table[name].astype("boolean")
    return table


def _unwritable(path: Path, error: OSError) -> LabError:
    return LabError("file-unwritable", f"{path} cannot be written: {error.strerror or error}.")
