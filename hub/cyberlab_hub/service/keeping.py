"""How long readings are kept, and deleting them on request.

The lab deletes what is too old itself, every few hours. InfluxDB's own retention policies drop whole shards only, and
a shard here holds a year, because small ones let one batch with odd times make thousands of them (`influx1.SHARDS`):
with policies, "30 days" would have meant up to 13 months. Deleting by time works the same on 1.x and 2.x.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from cyberlab.wire_keep import ForgetWish, Forgotten, Storage
from sqlalchemy import select

from cyberlab_hub.errors import HubError, OverQuota
from cyberlab_hub.ingest.space import Space
from cyberlab_hub.ingest.store import Selection, Store, database_of
from cyberlab_hub.service import policy
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import MembershipRow, now
from cyberlab_hub.service.models_readings import RetentionRow
from cyberlab_hub.service.quotas import Quotas

SWEEP_SECONDS = 6 * 3600.0
EARLIEST = -(2**63) + 2

log = logging.getLogger(__name__)


class Keeping:
    """Safe to use from every thread."""

    def __init__(
        self,
        database: Database,
        store: Store,
        quotas: Quotas,
        space: Space,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._database = database
        self._store = store
        self._quotas = quotas
        self._space = space
        self._clock = clock
        self._closed = threading.Event()

    # ------------------------------------------------------------ looking
    def storage(self, owner: str) -> Storage:
        """Raises:
        PartDown: ``database-down``.
        """
        self._store.ensure_owner(owner)
        spaces = self._store.spaces()
        used = None if spaces is None else spaces.get(database_of(owner), 0)
        space = self._quotas.of(owner, "readings")
        return Storage(
            used_mb=None if used is None else round(used / 1e6, 3),
            possible_mb=space.value * 1000,
            full=used is not None and used >= space.value * 1e9,
            keep_days=self._days(owner),
            possible_days=self._quotas.of(owner, "days").value,
        )

    def _days(self, owner: str, *, wish: int | None = None) -> int | None:
        """What counts: the owner's wish, and the quota where that is less. None: nothing is too old."""
        if wish is None:
            with self._database.session() as session:
                row = session.get(RetentionRow, owner)
            wish = row.days if row else None
        days = min(self._quotas.of(owner, "days").value, policy.FOR_EVER if wish is None else wish)
        return None if days >= policy.FOR_EVER else days

    # ------------------------------------------------------------ changing
    def keep(self, owner: str, days: int | None, *, really: bool) -> Forgotten:
        """Set how long the owner's readings are kept, and delete what is older; or only count that.

        Raises:
            OverQuota: ``quota-days``.
        """
        allowed = self._quotas.of(owner, "days")
        if days is not None and days > allowed.value:
            rule = policy.QUOTAS["days"]
            raise OverQuota(
                "quota-days",
                f"Readings can be kept for at most {allowed.value} days ({allowed.whence}). {rule.advice}",
                allowed.view(days),
            )
        counts = min(allowed.value, policy.FOR_EVER if days is None else days)
        old = self._older(counts)
        self._store.ensure_owner(owner)
        readings = self._store.count(database_of(owner), old)
        if not really:
            return Forgotten(readings=readings, done=False)
        with self._database.session() as session:
            row = session.get(RetentionRow, owner)
            if days is None:
                if row is not None:
                    session.delete(row)
            elif row is None:
                session.add(RetentionRow(owner=owner, days=days, updated=now()))
            else:
                row.days, row.updated = days, now()
        self._store.delete(database_of(owner), old)
        self._space.forget()
        return Forgotten(readings=readings, done=True)

    def forget(self, owner: str, wish: ForgetWish) -> Forgotten:
        """Delete readings of the owner; or only count them."""
        self._store.ensure_owner(owner)
        where = Selection(wish.start, wish.stop, wish.measurement, wish.devices)
        readings = self._store.count(database_of(owner), where)
        if wish.really:
            self._store.delete(database_of(owner), where)
            self._space.forget()
        return Forgotten(readings=readings, done=wish.really)

    def _older(self, days: int) -> Selection:
        if days >= policy.FOR_EVER:
            return Selection(0, 0)
        border = self._clock() - timedelta(days=days)
        return Selection(EARLIEST, int(border.timestamp()) * 10**9)

    # ------------------------------------------------------------ by itself
    def sweep(self) -> int:
        """Delete what is too old, of everybody; gives for how many owners. What fails is logged and tried next time."""
        with self._database.session() as session:
            owners = {
                *session.scalars(select(RetentionRow.owner)),
                *session.scalars(select(MembershipRow.owner)),
            }
        swept = 0
        for owner in sorted(owners):
            try:
                days = self._days(owner)
                if days is not None:
                    self._store.ensure_owner(owner)
                    self._store.delete(database_of(owner), self._older(days))
                    swept += 1
            except HubError as error:
                log.warning("old readings of %s are not deleted yet: %s", owner, error)
        return swept

    def start(self) -> None:
        """Sweep now and then, in a thread of its own, until `close`."""

        def run() -> None:
            while True:
                try:
                    self.sweep()
                except HubError as error:
                    log.warning("old readings are not deleted yet: %s", error)
                if self._closed.wait(SWEEP_SECONDS):
                    return

        threading.Thread(target=run, name="keeping", daemon=True).start()

    def close(self) -> None:
        self._closed.set()
