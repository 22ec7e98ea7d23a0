"""`Store`: where readings live. Behind it is InfluxDB, and only this folder's `influx*.py` know that.

One database for each owner, one (`FLEET`) for what devices say about themselves, one (`LAB`) for the lab's own
sensors. Who may read what is held by InfluxDB's own users (1.x) or tokens (2.x): every query runs as its reader,
so a mistake in our code still shows nobody another person's data. `influx1.Influx1Store` and
`influx2.Influx2Store` implement the protocol; `tests/contract/test_store.py` runs against a real InfluxDB.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from cyberlab.wire import Measurement, RefusedLine

from cyberlab_hub.settings import Settings

FLEET = "fleet"
"""Database of the devices' agents. Every reader may read it."""
LAB = "lab"
"""Database of the lab's own sensors. Every reader may read it."""
COMMON = (FLEET, LAB)


OWNED = "u_"
"""How the name of every owner's database begins; no account's name does."""


def database_of(owner: str) -> str:
    """Name of the database of a user or group: readable, bounded, and never `FLEET` or `LAB`.

    The hash keeps ``a.b`` and ``a-b`` apart, and any name that is not plain ASCII safe.
    """
    readable = re.sub(r"[^a-z0-9]+", "_", owner.lower()).strip("_")[:24]
    return f"{OWNED}{readable}_{hashlib.sha256(owner.encode()).hexdigest()[:10]}"


@dataclass(frozen=True)
class Selection:
    """Readings of one database, for counting and deleting."""

    start: int
    """Nanoseconds since 1970, included."""
    stop: int
    """Not included."""
    measurement: str | None = None
    """None: every one."""
    devices: tuple[str, ...] = ()
    """None of them: of every device, and of none."""

    def __bool__(self) -> bool:
        return self.start < self.stop


@dataclass(frozen=True)
class Means:
    """Windows of one measurement to be made into means, in another measurement of the same database."""

    measurement: str
    target: str
    seconds: int
    """Length of a window; `start` and `stop` are borders of windows."""
    start: int
    """Nanoseconds since 1970, included."""
    stop: int
    """Not included."""


class Store(Protocol):
    """Every call raises `HubError` subclasses only; `PartDown('database-down')` when InfluxDB does not answer."""

    def set_up(self) -> None:
        """Make the administrator (1.x) and the common databases. May be called again at any time."""

    def ensure_owner(self, owner: str) -> None:
        """Make the owner's database and their reader, who may read it and the common ones. Cheap when done."""

    def write(self, database: str, body: bytes) -> tuple[RefusedLine, ...]:
        """Write checked line protocol (nanoseconds), lines separated by a newline.

        Returns the lines that InfluxDB refuses, by their number in `body` from 1; the others are written.
        Writing the same lines twice leaves one point each.
        A missing database of an owner is not made here: call `ensure_owner` first.
        """

    def query(self, reader: str, database: str, influxql: str) -> Iterator[bytes]:
        """Stream the answer as CSV, times as integer nanoseconds, with the rights of `reader`.

        An answer that InfluxDB breaks off raises instead of ending early.

        Raises:
            QueryRefused: ``query-refused`` with InfluxDB's words, before the first byte.
            NotAllowed: ``database-not-shared``.
        """

    def measurements(self, reader: str, database: str) -> tuple[Measurement, ...]:
        """What there is to read. Raises as `query`."""

    def share(self, owner: str, reader: str) -> None:
        """Let `reader` read the owner's database."""

    def unshare(self, owner: str, reader: str) -> None:
        """Take that back. Does nothing when it was not shared."""

    def count(self, database: str, where: Selection) -> int:
        """How many readings `delete` would remove: of each series the number of its most frequent field."""

    def delete(self, database: str, where: Selection) -> None:
        """Remove them for ever. Removing what is not there is no error."""

    def first(self, database: str, measurement: str, since: int, until: int) -> int | None:
        """Time (ns) of the first reading of a measurement from `since` up to, not including, `until`."""

    def make_means(self, database: str, means: Means) -> None:
        """Mean, smallest, largest and number of each numeric field, for each series and window that has readings.

        Field ``x`` becomes ``x``, ``x_min``, ``x_max``, ``x_count``; making a window again overwrites it.
        """

    def spaces(self) -> Mapping[str, int] | None:
        """Bytes on InfluxDB's disk of each database that has any; None when this InfluxDB does not say."""

    def databases(self) -> tuple[str, ...]:
        """Every owner's database, by name."""

    def drop(self, database: str) -> None:
        """Remove an owner's database and their reader, for ever.

        Raises:
            ValueError: it is no owner's.
        """

    def ping(self) -> str:
        """The version of InfluxDB that answers."""

    def close(self) -> None:
        """Close pooled connections."""


def open_store(settings: Settings) -> Store:
    """The store the settings describe; connects on first use.

    Raises:
        FileNotFoundError: set-up has not made the secrets yet; names the file.
    """
    # imported here: `influxdb_client` takes half a second, and only a 2.x lab needs it
    if settings.influx_org:
        from cyberlab_hub.ingest.influx2 import Influx2Store

        return Influx2Store(settings.store_url, settings.secret("influx.token"), settings.influx_org)
    from cyberlab_hub.ingest.influx1 import Influx1Store

    return Influx1Store(settings.store_url, settings.secret("influx.admin"), settings.secret("influx.derive"))
