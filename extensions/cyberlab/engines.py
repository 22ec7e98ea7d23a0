"""The same readings as a pandas DataFrame, an Arrow table or a Polars frame: what ``lab.read(engine=...)`` hands over.

pyarrow and polars are not among what a notebook needs: pandas loads pyarrow whenever it is there, which costs every
kernel 35 MB. So they are imported when asked for, and what is missing is said with the line that installs it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import pandas as pd

from cyberlab.errors import SpecRefused

ENGINES = {"pandas": (), "arrow": ("pyarrow",), "polars": ("pyarrow", "polars")}
"""Name -> the packages it needs. Polars takes Arrow's columns as they are."""
META = b"cyberlab"
"""Where `df.attrs` stands in an Arrow table's schema metadata, as JSON."""


def check(engine: str) -> None:
    """Raises:
    SpecRefused: ``engine-unknown``; ``engine-missing``, with how to install it.
    """
    if engine not in ENGINES:
        raise SpecRefused("engine-unknown", f"engine is one of {', '.join(ENGINES)}, not {engine!r}.")
    if missing := [package for package in ENGINES[engine] if find_spec(package) is None]:
        raise SpecRefused(
            "engine-missing",
            f"engine={engine!r} needs {' and '.join(missing)}, which are not installed here. In a notebook: "
            f"%pip install {' '.join(missing)}",
        )


def convert(frame: pd.DataFrame, engine: str, kinds: Mapping[str, str]) -> Any:
    """`frame` (rows by time) in the form of `engine`: there ``time`` is the first column.

    Args:
        kinds: InfluxDB's type of each field, for columns in which nothing stands.
    """
    if engine == "pandas":
        return frame
    import pyarrow as pa

    table = pa.Table.from_pandas(frame.reset_index(), preserve_index=False)
    table = table.replace_schema_metadata({META: json.dumps(frame.attrs).encode()})
    table = _typed(pa, table, frame, kinds)
    if engine == "arrow":
        return table
    import polars

    return polars.from_arrow(table)


def _typed(pa: Any, table: Any, frame: pd.DataFrame, kinds: Mapping[str, str]) -> Any:
    """A column without a single value has the type of its field, so that pieces of one whole fit together."""
    columns = frame.attrs.get("columns", {})
    for place, column in enumerate(table.schema):
        if pa.types.is_null(column.type) or pa.types.is_large_string(column.type):
            kind = kinds.get(columns.get(column.name, (column.name,))[0])
            wanted = pa.bool_() if kind == "boolean" else pa.string()
            table = table.set_column(place, pa.field(column.name, wanted), table.column(place).cast(wanted))
    return table
