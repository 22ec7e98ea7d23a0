"""Readings as files: CSV and Parquet."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from cyberlab.errors import LabError

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


def _unwritable(path: Path, error: OSError) -> LabError:
    return LabError("file-unwritable", f"{path} cannot be written: {error.strerror or error}.")
