"""The lab's limits, as set-up hands them over: nothing may ask for more."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Ceilings:
    """Bytes, processor cores, counts. The lab's own values are in `cyberlab_hub.workshop.limits`."""

    name: str
    """Prefix of what the lab makes."""
    registry: str
    """``host:port`` of the only registry."""
    build_memory: int
    build_cpus: float
    build_shm: int
    build_processes: int
    build_open_files: int
    build_file_bytes: int
    run_memory: int
    run_cpus: float
    run_processes: int
    run_tmp: int


def read(text: str) -> Ceilings:
    """From JSON. Raises ValueError when one is missing, unknown or no limit at all."""
    given = json.loads(text)
    wanted = {field.name for field in fields(Ceilings)}
    if not isinstance(given, dict) or set(given) != wanted:
        raise ValueError(f"the limits must be exactly {', '.join(sorted(wanted))}")
    for name, value in given.items():
        if name in ("name", "registry"):
            good = isinstance(value, str) and value != ""
        else:
            good = type(value) in (int, float) and value > 0
        if not good:
            raise ValueError(f"{name} is no limit: {value!r}")
    return Ceilings(**given)
