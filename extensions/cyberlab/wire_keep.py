"""Wire models of what is kept of readings, and what is forgotten."""

from __future__ import annotations

from pydantic import Field

from cyberlab.wire import View


class Storage(View):
    """What an owner's readings take up, and how long they are kept."""

    used_mb: float | None = None
    """On the database's disk; None when this database does not say."""
    possible_mb: int
    """The most that your quota `readings` lets you have."""
    full: bool = False
    """That much is used up: new readings are not taken, devices keep theirs."""
    keep_days: int | None = None
    """Older readings are deleted; None: none are."""
    possible_days: int
    """The most that your quota `days` lets you keep."""


class RetentionWish(View):
    days: int | None = Field(default=None, ge=1, le=100_000)
    """None: as long as the quota says."""
    really: bool = False
    """False: only say how many readings would be deleted now."""


class ForgetWish(View):
    measurement: str = Field(min_length=1, max_length=256)
    start: int = Field(ge=-(2**63), lt=2**63)
    """Nanoseconds since 1970, included."""
    stop: int = Field(ge=-(2**63), lt=2**63)
    """Nanoseconds since 1970, not included."""
    devices: tuple[str, ...] = Field(default=(), max_length=500)
    """Only readings of these; none: of all."""
    really: bool = False
    """False: only say how many readings would be deleted."""


class Forgotten(View):
    """What was deleted, or would be."""

    readings: int
    done: bool
    """False: nothing was deleted; it was only counted."""
