"""How long readings and their means are kept, and deleting them on request.

The lab deletes what is too old itself, every hour. InfluxDB's own retention policies drop whole shards only, and
a shard here holds a year, because small ones let one batch with odd times make thousands of them (`influx1.SHARDS`):
with policies, "30 days" would have meant up to 13 months. Deleting by time works the same on 1.x and 2.x.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from cyberlab.wire_keep import ForgetWish, Forgotten, MeansRule, MeansWish, Storage
from sqlalchemy import select

from cyberlab_hub.errors import HubError
from cyberlab_hub.ingest.space import Space
from cyberlab_hub.ingest.store import Selection, Store, database_of
from cyberlab_hub.service import policy
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.means import EARLIEST, MeansRules, ceiling, floor, seconds_of
from cyberlab_hub.service.models import MembershipRow, now
from cyberlab_hub.service.models_readings import MeansRow, RetentionRow
from cyberlab_hub.service.quota_table import FOR_EVER
from cyberlab_hub.service.quotas import Quotas

SWEEP_SECONDS = 3600.0
SOON_SECONDS = 60.0
"""Between two sweeps while somebody's means are not made yet."""
OWNER_SECONDS = 60.0
"""How long one owner's means may take in a sweep; the rest comes with the next one."""
REQUEST_SECONDS = 20.0
"""The same while somebody waits for the answer."""
STRIPES = 64

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
        self._means = MeansRules(database, store, quotas, lambda: self._clock())
        self._doors = [threading.Lock() for _ in range(STRIPES)]
        self._wake = threading.Event()
        self._closed = False
        self._behind = False
        """Somebody's means are not made yet."""

    @contextmanager
    def _door(self, owner: str) -> Iterator[None]:
        """Making means of an owner and deleting what they are made of are one at a time."""
        with self._doors[hash(owner) % STRIPES]:
            yield

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
            keep_days=self.days(owner),
            possible_days=self._quotas.of(owner, "days").value,
            possible_mean_days=self._quotas.of(owner, "mean_days").value,
            means=self._means.views(owner),
        )

    def days(self, owner: str) -> int | None:
        """What counts: the owner's wish, and the quota where that is less. None: nothing is too old."""
        with self._database.session() as session:
            row = session.get(RetentionRow, owner)
        days = min(self._quotas.of(owner, "days").value, FOR_EVER if row is None else row.days)
        return None if days >= FOR_EVER else days

    def _border(self, days: int | None) -> int | None:
        """Readings of before are too old; None: none are."""
        if days is None or days >= FOR_EVER:
            return None
        return int((self._clock() - timedelta(days=days)).timestamp()) * 10**9

    def _old(self, owner: str, rows: list[MeansRow], border: int | None) -> list[Selection]:
        """The readings that are too old. Means are not among them: they have days of their own."""
        if border is None:
            return []
        if not rows:
            return [Selection(EARLIEST, border)]
        there = self._store.measurements(owner, database_of(owner))
        targets = {row.target for row in rows}
        return [
            Selection(EARLIEST, border, one.measurement) for one in there if one.measurement not in targets
        ]

    # ------------------------------------------------------------ changing
    def keep(self, owner: str, days: int | None, *, really: bool) -> Forgotten:
        """Set how long the owner's readings are kept, and delete what is older; or only count that.

        Raises:
            OverQuota: ``quota-days``. PartDown: ``database-down``.
        """
        allowed = self._quotas.of(owner, "days")
        policy.kept(allowed, days)
        border = self._border(min(allowed.value, FOR_EVER if days is None else days))
        self._store.ensure_owner(owner)
        with self._door(owner):
            rows = self._means.rows(owner)
            old = self._old(owner, rows, border)
            readings = sum(self._store.count(database_of(owner), where) for where in old)
            if not really:
                return Forgotten(readings=readings, done=False)
            self._save(owner, days)
            finished = self._delete_old(owner, rows, border, _deadline(REQUEST_SECONDS))
        self._space.forget()
        if not finished:
            self._wake.set()
        return Forgotten(readings=readings, done=True, later=not finished)

    def _save(self, owner: str, days: int | None) -> None:
        with self._database.session() as session:
            row = session.get(RetentionRow, owner)
            if days is None:
                if row is not None:
                    session.delete(row)
            elif row is None:
                session.add(RetentionRow(owner=owner, days=days, updated=now()))
            else:
                row.days, row.updated = days, now()

    def forget(self, owner: str, wish: ForgetWish) -> Forgotten:
        """Delete readings of the owner, and what was made of them; or only count them."""
        self._store.ensure_owner(owner)
        database = database_of(owner)
        where = Selection(wish.start, wish.stop, wish.measurement, wish.devices)
        with self._door(owner):
            rows = [
                row for row in self._means.rows(owner) if row.measurement == wish.measurement and wish.means
            ]
            made = [
                Selection(
                    floor(wish.start, seconds_of(row)),
                    ceiling(wish.stop, seconds_of(row)),
                    row.target,
                    wish.devices,
                )
                for row in rows
                if where
            ]
            readings = self._store.count(database, where)
            means = sum(self._store.count(database, one) for one in made)
            if wish.really:
                for one in (where, *made):
                    self._store.delete(database, one)
                for row in rows:
                    for edge in (wish.start, wish.stop):
                        self._means.redo(row, edge)
                for target in (wish.measurement, *(row.target for row in rows)):
                    self._means.drop_empty(owner, target)
                self._space.forget()
        return Forgotten(readings=readings, means=means, done=wish.really)

    # ------------------------------------------------------------ means
    def downsample(self, owner: str, wish: MeansWish) -> MeansRule:
        """Make means of a measurement: of what comes, and in the background of what is there.

        Raises: as `MeansRules.make`.
        """
        with self._door(owner):
            made = self._means.make(owner, wish.measurement, wish.every, wish.days)
        self._wake.set()
        return made

    def rules(self, owner: str) -> int:
        """How many measurements of means the owner has."""
        return len(self._means.rows(owner))

    def stop_means(self, owner: str, measurement: str, every: str | None) -> tuple[MeansRule, ...]:
        """Raises: `MeansRules.stop`."""
        with self._door(owner):
            return self._means.stop(owner, measurement, every)

    # ------------------------------------------------------------ by itself
    def sweep(self) -> int:
        """Make everybody's means and delete what is too old; gives for how many owners something was to do.

        What fails is logged and tried next time: one owner's trouble is not another's.
        """
        with self._database.session() as session:
            owners = {
                *session.scalars(select(RetentionRow.owner)),
                *session.scalars(select(MembershipRow.owner)),
            }
        swept = 0
        behind = False
        for owner in sorted(owners | self._means.owners()):
            if self._closed:
                break
            try:
                swept += self._sweep(owner)
            except HubError as error:
                log.warning("old readings of %s are not deleted yet: %s", owner, error)
            except _Unfinished:
                swept += 1
                behind = True
        self._behind = behind
        return swept

    def _sweep(self, owner: str) -> bool:
        """Raises:
        _Unfinished: its time was over.
        """
        border = self._border(self.days(owner))
        late = _deadline(OWNER_SECONDS)
        with self._door(owner):
            rows = self._means.rows(owner)
            if border is None and not rows:
                return False
            self._store.ensure_owner(owner)
            # without space only what is deleted next is made into means: they must not fill the disk any further
            until = (border or EARLIEST) if self._full(owner) else int(self._clock().timestamp()) * 10**9
            finished = True
            for row in rows:
                finished &= not row.active or self._means.catch_up(row, until, late)
            finished &= self._delete_old(owner, rows, border, late)
            for row in rows:
                old = self._border(self._means.days(row))
                if old is not None:
                    self._store.delete(database_of(owner), Selection(EARLIEST, old, row.target))
        if not finished:
            raise _Unfinished
        return True

    def _full(self, owner: str) -> bool:
        used = self._space.used(owner)
        return used is not None and used >= self._quotas.of(owner, "readings").value * 1e9

    def _delete_old(
        self, owner: str, rows: list[MeansRow], border: int | None, late: Callable[[], bool]
    ) -> bool:
        """False when some wait for their means."""
        finished = True
        for where in self._old(owner, rows, border):
            rules = [row for row in rows if row.active and row.measurement == where.measurement]
            if rules:
                finished &= self._means.retire(rules, where.stop, late)
            else:
                self._store.delete(database_of(owner), where)
        return finished

    def start(self) -> None:
        """Sweep now and then, in a thread of its own, until `close`."""

        def run() -> None:
            while not self._closed:
                self._wake.clear()
                try:
                    self.sweep()
                except HubError as error:
                    log.warning("old readings are not deleted yet: %s", error)
                self._wake.wait(SOON_SECONDS if self._behind else SWEEP_SECONDS)

        threading.Thread(target=run, name="keeping", daemon=True).start()

    def close(self) -> None:
        self._closed = True
        self._wake.set()


class _Unfinished(Exception):
    """An owner's means need another sweep."""


def _deadline(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() > end
