"""Means of readings: which measurements an owner wants made into windows, and making them.

InfluxDB makes the means itself (`Store.make_means`), a day at a time, into another measurement of the same database.
Windows are made when they are over; those of the last days again and again, because devices deliver late; and once
more just before their readings are deleted. From then on they are final: readings that come later still would make a
mean of a remnant. Whoever calls `catch_up`, `retire` or `redo` holds the owner's lock (`Keeping`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from cyberlab.spec import names
from cyberlab.wire import Problem
from cyberlab.wire_keep import MeansRule
from sqlalchemy import select

from cyberlab_hub.errors import Conflict, HubError, NotFound, SpecRefused
from cyberlab_hub.ingest.store import Means, Selection, Store, database_of
from cyberlab_hub.service import policy
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import now
from cyberlab_hub.service.models_readings import MeansRow
from cyberlab_hub.service.quota_table import FOR_EVER
from cyberlab_hub.service.quotas import Quotas

EARLIEST, LATEST = -(2**63) + 2, 2**63 - 2
SECOND = 10**9
DAY = 86_400 * SECOND
LATE = 2 * DAY
"""How long windows are made again: a device that was away delivers within this, as a rule."""
PATIENCE = timedelta(days=7)
"""How long readings that are too old wait for their means. Then they go without: the quota `days` is a promise."""

log = logging.getLogger(__name__)


def floor(at: int, seconds: int) -> int:
    """The beginning of the window that holds `at`."""
    return max(EARLIEST, at // (seconds * SECOND) * seconds * SECOND)


def ceiling(at: int, seconds: int) -> int:
    """The end of the window that ends at or after `at`."""
    return min(LATEST, -(-at // (seconds * SECOND)) * seconds * SECOND)


def seconds_of(row: MeansRow) -> int:
    return policy.EVERY[row.every]


def coarsest(rows: Iterable[MeansRow]) -> int:
    """Seconds of the longest window; 1 when there is none."""
    return max(map(seconds_of, rows), default=1)


class MeansRules:
    def __init__(
        self, database: Database, store: Store, quotas: Quotas, clock: Callable[[], datetime]
    ) -> None:
        self._database = database
        self._store = store
        self._quotas = quotas
        self._clock = clock

    # ------------------------------------------------------------ the rules
    def rows(self, owner: str) -> list[MeansRow]:
        """By target."""
        with self._database.session() as session:
            return list(
                session.scalars(select(MeansRow).where(MeansRow.owner == owner).order_by(MeansRow.target))
            )

    def owners(self) -> set[str]:
        with self._database.session() as session:
            return set(session.scalars(select(MeansRow.owner)))

    def views(self, owner: str) -> tuple[MeansRule, ...]:
        return tuple(self._view(row) for row in self.rows(owner))

    def make(self, owner: str, measurement: str, every: str, days: int | None) -> MeansRule:
        """A new rule, or other `days` for one there is; it then begins anew with whatever readings there are.

        Raises:
            SpecRefused: ``spec-refused``: ``every-invalid``, ``means-of-means``. NotFound: ``measurement-unknown``.
            Conflict: ``target-exists``. OverQuota: ``quota-means``, ``quota-mean_days``. PartDown.
        """
        if every not in policy.EVERY:
            raise _refused(
                "every",
                "every-invalid",
                f"Means are made of windows of {', '.join(policy.EVERY)}; not of {names.shown(every)}.",
            )
        policy.kept(self._quotas.of(owner, "mean_days"), days)
        self._store.ensure_owner(owner)
        there = {one.measurement for one in self._store.measurements(owner, database_of(owner))}
        target = f"{measurement}_{every}"
        with self._quotas.admission(owner):
            rows = {row.target: row for row in self.rows(owner)}
            if measurement in rows:
                raise _refused(
                    "measurement",
                    "means-of-means",
                    f"{names.shown(measurement)} holds means already. Name the measurement that they are made of.",
                )
            if measurement not in there:
                raise NotFound(
                    "measurement-unknown",
                    f"You have no readings named {names.shown(measurement)} yet. See lab.measurements(), or: "
                    "cyberlab query 'SHOW MEASUREMENTS'.",
                )
            if target not in rows:
                if target in there:
                    raise Conflict(
                        "target-exists",
                        f"You have readings of your own named {names.shown(target)}, where the means would go. Forget "
                        "them, or choose another window.",
                    )
                policy.within(self._quotas.of(owner, "means"), len(rows))
            with self._database.session() as session:
                row = session.get(MeansRow, (owner, target))
                if row is None:
                    row = MeansRow(owner=owner, target=target, measurement=measurement, every=every)
                    session.add(row)
                row.days, row.active, row.made_until = days, True, None
                row.problem, row.behind_since, row.updated = "", None, now()
        return self._view(row)

    def stop(self, owner: str, measurement: str, every: str | None) -> tuple[MeansRule, ...]:
        """Make no more; what was made stays, for as long as the rule said.

        Raises:
            NotFound: ``rule-unknown``.
        """
        stopped = []
        with self._database.session() as session:
            for row in session.scalars(select(MeansRow).where(MeansRow.owner == owner)):
                # compared here: a database server may hold Air and air for the same
                if row.measurement == measurement and row.active and every in (None, row.every):
                    row.active, row.updated = False, now()
                    stopped.append(row)
        if not stopped:
            raise NotFound(
                "rule-unknown",
                f"No means are made of {names.shown(measurement)}. See lab.storage(), or: cyberlab storage.",
            )
        return tuple(map(self._view, stopped))

    def drop_empty(self, owner: str, target: str) -> None:
        """Its means were forgotten: a rule that was stopped goes with the last of them."""
        with self._database.session() as session:
            row = session.get(MeansRow, (owner, target))
            if row is None or row.active:
                return
            if not self._store.count(database_of(owner), Selection(EARLIEST, LATEST, target)):
                session.delete(row)

    def _view(self, row: MeansRow) -> MeansRule:
        made = row.made_until
        return MeansRule(
            measurement=row.measurement,
            every=row.every,
            target=row.target,
            days=self.days(row),
            active=row.active,
            made_until=None if made is None else datetime.fromtimestamp(made // SECOND, UTC),
            problem=row.problem,
        )

    def days(self, row: MeansRow) -> int | None:
        """How long these means are kept: the rule, and the quota where that is less. None: without end."""
        most = self._quotas.of(row.owner, "mean_days").value
        days = min(most, FOR_EVER if row.days is None else row.days)
        return None if days >= FOR_EVER else days

    # ------------------------------------------------------------ making them
    def catch_up(self, row: MeansRow, until: int, late: Callable[[], bool]) -> bool:
        """Make the windows that are over by `until`. False when `late()` before the end, or when something is wrong."""
        until = floor(until, seconds_of(row))
        if until <= EARLIEST:
            return True
        again = floor(int(self._clock().timestamp()) * SECOND - LATE, 86_400)
        begin = EARLIEST if row.made_until is None else min(row.made_until, again)
        cursor = max(begin, row.final_until or EARLIEST)
        try:
            while (piece := self._piece(row.owner, row.measurement, cursor, until)) is not None:
                self._one(row, *piece)
                cursor = piece[1]
                self._made(row, cursor)
                if late():
                    return False
        except HubError as error:
            self._note(row, error)
            return False
        self._made(row, until)
        return True

    def retire(self, rows: list[MeansRow], border: int, late: Callable[[], bool]) -> bool:
        """Make the windows before `border` once more, then delete their readings. `rows`: all rules of a measurement.

        False when some are left, for the next time.
        """
        owner, measurement = rows[0].owner, rows[0].measurement
        border = floor(border, coarsest(rows))
        gone = EARLIEST
        finished = True
        try:
            while (piece := self._piece(owner, measurement, gone, border)) is not None:
                if late():
                    finished = False
                    break
                for row in rows:
                    self._one(row, max(piece[0], row.final_until or EARLIEST), piece[1])
                gone = piece[1]
        except HubError as error:
            for row in rows:
                self._note(row, error)
            finished = False
        if not finished and self._out_of_patience(rows):
            log.warning("readings of %s (%s) go without means", owner, measurement)
            gone = border
        self._behind(rows, finished)
        if gone > EARLIEST:
            for (
                row
            ) in rows:  # first: a crash now costs nothing, while a window made of a remnant would be wrong
                self._final(row, gone)
            self._store.delete(database_of(owner), Selection(EARLIEST, gone, measurement))
        return finished

    def redo(self, row: MeansRow, at: int) -> None:
        """Make the window that holds `at` again, of what is left of its readings."""
        begin = floor(at, seconds_of(row))
        end = begin + seconds_of(row) * SECOND
        if begin >= (row.final_until or EARLIEST) and end <= (row.made_until or EARLIEST):
            self._one(row, begin, end)

    def _piece(self, owner: str, measurement: str, since: int, until: int) -> tuple[int, int] | None:
        """The next day with readings, or the part of it from `since` to `until`."""
        if since >= until:
            return None
        first = self._store.first(database_of(owner), measurement, since, until)
        if first is None:
            return None
        start = floor(first, 86_400)
        return max(start, since), min(start + DAY, until)

    def _one(self, row: MeansRow, start: int, stop: int) -> None:
        if start < stop:
            means = Means(row.measurement, row.target, seconds_of(row), start, stop)
            self._store.make_means(database_of(row.owner), means)

    # ------------------------------------------------------------ remembering how far it is
    def _made(self, row: MeansRow, until: int) -> None:
        row.made_until = max(until, row.made_until or EARLIEST)
        self._save(row, made_until=row.made_until, problem="")

    def _final(self, row: MeansRow, until: int) -> None:
        row.final_until = max(until, row.final_until or EARLIEST)
        row.made_until = max(until, row.made_until or EARLIEST)
        self._save(row, final_until=row.final_until, made_until=row.made_until)

    def _note(self, row: MeansRow, error: HubError) -> None:
        log.warning("means of %s (%s) are not made yet: %s", row.owner, row.target, error)
        self._save(row, problem=error.message[:400])

    def _behind(self, rows: list[MeansRow], finished: bool) -> None:
        for row in rows:
            if finished and row.behind_since is not None:
                row.behind_since = None
                self._save(row, behind_since=None)
            elif not finished and row.behind_since is None:
                row.behind_since = self._clock()
                self._save(row, behind_since=row.behind_since)

    def _out_of_patience(self, rows: list[MeansRow]) -> bool:
        since = [row.behind_since for row in rows if row.behind_since is not None]
        return bool(since) and self._clock() - min(since) > PATIENCE

    def _save(self, row: MeansRow, **values: object) -> None:
        with self._database.session() as session:
            stored = session.get(MeansRow, (row.owner, row.target))
            if stored is not None:  # else its owner removed it meanwhile
                for name, value in values.items():
                    setattr(stored, name, value)


def _refused(path: str, code: str, message: str) -> SpecRefused:
    return SpecRefused("spec-refused", message, (Problem(path=path, code=code, message=message),))
