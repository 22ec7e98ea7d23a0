"""Wire models of what is kept of readings, and what is forgotten."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from cyberlab.wire import View


class MeansRule(View):
    """A measurement that is made into means, and how far that is."""

    measurement: str
    every: str
    """Length of a window: ``1h``."""
    target: str
    """The measurement of the means: ``air_1h``. Field ``x`` has the mean, ``x_min``, ``x_max``, ``x_count`` more."""
    days: int | None = None
    """How long the means are kept; None: without end."""
    active: bool = True
    """False: it was stopped; the means made so far are still there."""
    made_until: datetime | None = None
    """Means of everything before are made; None: it has not begun. What comes late is added (for two days, and once
    more before readings are deleted)."""
    problem: str = ""
    """Why it does not go on."""


class MeansWish(View):
    measurement: str = Field(min_length=1, max_length=200)
    every: str = Field(max_length=8)
    """``1m`` to ``1d``."""
    days: int | None = Field(default=None, ge=1, le=100_000)
    """None: as long as your quota `mean_days` says."""


class MeansStop(View):
    measurement: str = Field(min_length=1, max_length=200)
    every: str | None = Field(default=None, max_length=8)
    """None: every window of this measurement."""


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
    possible_mean_days: int = 0
    """The same for means: quota `mean_days`."""
    means: tuple[MeansRule, ...] = ()
    """Measurements that are made into means, by name."""


class OwnerStorage(View):
    """What an owner's readings take up, for administrators."""

    owner: str | None
    """None: nothing in the lab knows any more whose database this is."""
    database: str
    """Its name in InfluxDB."""
    account: bool
    """There is an account of that name."""
    used_mb: float | None
    """On the database's disk; None when this database does not say."""
    possible_mb: int | None
    """The quota `readings`."""
    keep_days: int | None
    """Older readings are deleted; None: none are."""
    means: int = 0
    """Measurements of means."""


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
    means: bool = True
    """Also the means that were made of these readings."""
    really: bool = False
    """False: only say how many readings would be deleted."""


class Forgotten(View):
    """What was deleted, or would be."""

    readings: int
    means: int = 0
    """Points of means that were made of these readings."""
    later: bool = False
    """Some go in the background, as soon as their means are made."""
    done: bool
    """False: nothing was deleted; it was only counted."""
