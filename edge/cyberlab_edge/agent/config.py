"""``/etc/cyberlab/agent.json``: who this device is, where it reports to, and where it keeps what waits."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Config:
    device: str
    uplink: str
    """``wss://host:port/path`` of the ingest gateway."""
    pem_file: str
    """The device's certificate and its key."""
    ca_file: str
    spool: str = "/var/lib/cyberlab/spool.db"
    spool_mb: int = 256
    """At most so much waits on the device; then the oldest is dropped, and counted."""
    intake: str = ""
    """``host:port`` on which containers of this device leave their points; empty: there is none."""
    interval_s: float = 5.0
    simulated: bool = False
    """The device is a container: measure the container and not the machine underneath."""

    @property
    def intake_address(self) -> tuple[str, int]:
        host, _, port = self.intake.rpartition(":")
        return host, int(port)


def load(path: Path) -> Config:
    """Read and check the file.

    Raises:
        ValueError: something is missing or wrong; names the file and the key.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must be a JSON object.")  # noqa: TRY004 - the file is wrong, not a call
    known = {f.name for f in fields(Config)}
    # keys of later agents are no error: the file is written by the lab, which may be newer than this program
    values = {key: value for key, value in content.items() if key in known}
    for key in ("device", "uplink", "pem_file", "ca_file"):
        if not isinstance(values.get(key), str) or not values[key]:
            raise ValueError(f"{path}: {key!r} is missing or not a text.")
    if not values["uplink"].startswith("wss://"):
        # the device's identity is its certificate: without TLS there is none
        raise ValueError(f"{path}: 'uplink' must look like wss://10.0.0.1:8445/api/v1/uplink.")
    for key in ("spool", "intake"):
        if not isinstance(values.get(key, ""), str):
            raise ValueError(f"{path}: {key!r} must be a text.")  # noqa: TRY004 - as above
    if values.get("intake") and not _is_address(values["intake"]):
        raise ValueError(f"{path}: 'intake' must look like 172.17.0.1:8087, not {values['intake']!r}.")
    _number(path, values, "interval_s", 0.1, 3600, "seconds")
    _number(path, values, "spool_mb", 1, 1_000_000, "MB")
    if not isinstance(values.get("simulated", False), bool):
        raise ValueError(f"{path}: 'simulated' must be true or false.")  # noqa: TRY004 - as above
    return Config(**values)


def _number(path: Path, values: dict[str, Any], key: str, least: float, most: float, unit: str) -> None:
    value = values.get(key, least)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{path}: {key!r} must be {least:g} to {most:g} {unit}, not {value!r}.")


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isascii() and port.isdigit() and 0 < int(port) < 65536
