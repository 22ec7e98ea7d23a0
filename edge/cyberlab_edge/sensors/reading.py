"""`Reading`: what every sensor gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class Reading:
    """Publish it with ``publish(r.name, r.value, r.unit)``."""

    value: float | Mapping[str, float]
    """One number, or several that belong together."""
    unit: str | None
    """What the number counts; None when the names of several say it."""
    at: datetime
    """When it was measured. For a recording: then, not now."""
    name: str
    """What was measured: the measurement to publish it under."""
