"""``/etc/cyberlab/agent.json``: who this device is and where it reports to."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path


@dataclass(frozen=True)
class Config:
    device: str
    gateway: str
    """``https://host:port`` of the ingest gateway."""
    token_file: str
    """The device's own ingest token; read again when it is refused."""
    ca_file: str
    interval_s: float = 5.0
    simulated: bool = False
    """The device is a container: measure the container and not the machine underneath."""


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
    known = {f.name: f for f in fields(Config)}
    # keys of later agents are no error: the file is written by the lab, which may be newer than this program
    values = {key: value for key, value in content.items() if key in known}
    for key in ("device", "gateway", "token_file", "ca_file"):
        if not isinstance(values.get(key), str) or not values[key]:
            raise ValueError(f"{path}: {key!r} is missing or not a text.")
    interval = values.get("interval_s", 5.0)
    if isinstance(interval, bool) or not isinstance(interval, int | float) or not 0.1 <= interval <= 3600:
        raise ValueError(f"{path}: 'interval_s' must be 0.1 to 3600 seconds, not {interval!r}.")
    if not isinstance(values.get("simulated", False), bool):
        raise ValueError(f"{path}: 'simulated' must be true or false.")  # noqa: TRY004 - as above
    return Config(**values)
