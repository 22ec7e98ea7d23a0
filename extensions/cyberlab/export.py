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
    """Times as ISO 8601 in UTC, missing values empty."""
    return flat(frame).to_csv(index=False, date_format="%Y-%m-%dT%H:%M:%S.%fZ")


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
