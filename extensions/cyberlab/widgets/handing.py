"""What the sensor dashboard hands to its page on request: a file, or where the readings come from.

Each function gives a message for the page and the bytes that go with it.
"""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from cyberlab.lab import Lab
    from cyberlab.wire_origin import Origin

CSV_ROWS = 500_000
"""About what a spreadsheet holds."""
Handed = tuple[dict[str, Any], list[bytes]]


def csv(frame: pd.DataFrame, name: str) -> Handed:
    return {"csv": frame.head(CSV_ROWS).to_csv(index_label="time"), "name": f"{name}.csv"}, []


def parquet(frame: pd.DataFrame, name: str) -> Handed:
    from cyberlab.export import save_parquet

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "readings.parquet"
        save_parquet(frame, path)
        return {"parquet": True, "name": f"{name}.parquet"}, [path.read_bytes()]


def origins(lab: Lab, frame: pd.DataFrame) -> Handed:
    """Which code wrote these readings, in words."""
    return {"origins": [_told(one, key) for key, one in enumerate(lab.provenance(frame))]}, []


def _told(origin: Origin, key: int) -> dict[str, Any]:
    if origin.kind == "notebook":
        return {
            "key": key,
            "title": f"A notebook or script of {origin.author}",
            "facts": [],
            "dockerfile": "",
        }
    if origin.kind == "device":
        devices = ", ".join(origin.devices) or "a device"
        return {"key": key, "title": f"{devices}: no deployment wrote these", "facts": [], "dockerfile": ""}
    ended = " (stopped)" if origin.stopped else ""
    facts = {
        "Author": origin.author,
        "Image": origin.image,
        "Digest": origin.digest,
        "In force": f"{_when(origin.since)} to {_when(origin.until)}{ended} (UTC)",
        "Devices": ", ".join(origin.devices),
        "Files": ", ".join(f"{file.path} ({file.size} bytes)" for file in origin.files),
    }
    return {
        "key": key,
        "title": f"{origin.deployment}: {origin.image} of {origin.author}",
        "facts": [[name, value] for name, value in facts.items() if value],
        "dockerfile": origin.dockerfile,
    }


def _when(moment: datetime | None) -> str:
    return "now" if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
