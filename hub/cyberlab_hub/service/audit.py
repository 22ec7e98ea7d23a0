"""Who did what to which object, from where, allowed or refused and why.

Rows are only ever added: the ORM refuses to change or remove one (`models.AuditRow`), and so do triggers in the
database itself. The one removal there is, of rows older than the retention, is announced first by a row that says how
many and until when; the triggers let go of nothing that no such row covers.

A row holds names, codes and addresses: never a request's body, a header, a query or an environment value. `Audited` (in
`service.audited`) writes for the API, `AuditPost` for processes that must not wait for the database.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from cyberlab.wire import AuditEntry
from sqlalchemy import ColumnElement, delete, func, select

from cyberlab_hub.errors import HubError, PartDown
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.floods import Floods
from cyberlab_hub.service.journal import storable
from cyberlab_hub.service.models import AuditRow, now

LAB = "lab"
"""Actor of what the service does by itself."""
PAGE = 500
REMOVED_AT_ONCE = 20_000
TIDY_SECONDS = 10.0
PRUNE_SECONDS = 3600.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """Which rows; what is None does not matter."""

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    """Anywhere in the object."""
    reason: str | None = None
    """How the reason begins."""
    allowed: bool | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        row = AuditRow
        found: list[ColumnElement[bool]] = []
        if self.actor is not None:
            found.append(row.actor == self.actor)
        if self.action is not None:
            found.append(row.action == self.action)
        if self.object is not None:
            found.append(row.object.contains(self.object, autoescape=True))
        if self.reason is not None:
            found.append(row.reason.startswith(self.reason, autoescape=True))
        if self.allowed is not None:
            found.append(row.allowed == self.allowed)
        if self.since is not None:
            found.append(row.at >= self.since)
        if self.until is not None:
            found.append(row.at < self.until)
        return found


EVERYTHING = Wanted()


class Audit:
    """The append-only log. Safe to use from every thread."""

    def __init__(self, database: Database, floods: Floods | None = None) -> None:
        self._database = database
        self._floods = floods or Floods()
        self._closed = threading.Event()

    # ------------------------------------------------------------ writing
    def record(self, entry: AuditEntry) -> None:
        """Add a row, or count it (see `floods`).

        A database that is away is logged: the answer of the request itself tells the user.
        """
        self._write(self._floods.take(entry))

    def add(self, *entries: AuditEntry) -> None:
        """Add rows, uncounted.

        Raises:
            PartDown: ``database-down``.
        """
        with self._database.session() as session:
            session.add_all([_row(entry) for entry in entries])

    def flush(self, *, all_of_them: bool = False) -> None:
        """Write the counts of what was not written row by row."""
        self._write(self._floods.over(all_of_them=all_of_them))

    def _write(self, entries: list[AuditEntry]) -> None:
        if not entries:
            return
        try:
            self.add(*entries)
        except PartDown:
            for entry in entries:
                log.error("not in the audit: %s", entry)  # noqa: TRY400 - the entry matters, not the traceback

    # ------------------------------------------------------------ reading
    def newest(self, limit: int, wanted: Wanted = EVERYTHING, before: int | None = None) -> list[AuditEntry]:
        """The last rows (with an id below `before`), newest first."""
        query = select(AuditRow).where(*wanted.conditions()).order_by(AuditRow.id.desc()).limit(limit)
        if before is not None:
            query = query.where(AuditRow.id < before)
        with self._database.session() as session:
            return [_entry(row) for row in session.scalars(query)]

    def following(self, after: int, limit: int, wanted: Wanted = EVERYTHING) -> list[AuditEntry]:
        """The rows with an id above `after`, oldest first."""
        query = select(AuditRow).where(AuditRow.id > after, *wanted.conditions()).order_by(AuditRow.id)
        with self._database.session() as session:
            return [_entry(row) for row in session.scalars(query.limit(limit))]

    def everything(self, after: int, limit: int | None, wanted: Wanted = EVERYTHING) -> Iterator[AuditEntry]:
        """As `following`, page by page: a year of rows never lies in memory."""
        left = limit
        while left is None or left > 0:
            page = self.following(after, PAGE if left is None else min(PAGE, left), wanted)
            yield from page
            if len(page) < PAGE:
                return
            after, left = page[-1].id, None if left is None else left - len(page)

    def last_id(self) -> int:
        """The id of the newest row; 0 when there is none."""
        with self._database.session() as session:
            return session.scalar(select(func.max(AuditRow.id))) or 0

    # ------------------------------------------------------------ retention
    def prune(self, days: int) -> int:
        """Remove what is older than that (0: nothing ever), after a row that says so. Returns how many rows."""
        until = now() - timedelta(days=days)
        old = AuditRow.at < until
        with self._database.session() as session:
            count = session.scalar(select(func.count()).where(old)) or 0 if days > 0 else 0
            if not count:
                return 0
            said = f"{count} rows from before {until:%Y-%m-%d %H:%M} UTC"
            row = AuditEntry(at=now(), actor=LAB, action="prune_audit", object=said, allowed=True)
            session.add(_row(row.model_copy(update={"reason": f"kept for {days} days"}), until))
        gone = False
        while not gone:
            with self._database.session() as session:
                # not all at once: others write meanwhile
                cut = select(AuditRow.id).where(old).order_by(AuditRow.id).offset(REMOVED_AT_ONCE).limit(1)
                next_id = session.scalar(cut)
                gone = next_id is None
                session.execute(delete(AuditRow).where(old, *([] if gone else [AuditRow.id < next_id])))
        return count

    def keep(self, days: int) -> None:
        """From now on, in the background: write counts when their minute is over, remove what is too old."""
        threading.Thread(target=self._keep, args=(days,), name="audit", daemon=True).start()

    def _keep(self, days: int) -> None:
        rounds = int(PRUNE_SECONDS / TIDY_SECONDS)
        number = 0
        while not self._closed.is_set():
            try:
                if number % rounds == 0 and (gone := self.prune(days)):
                    log.info("%d rows of the audit were older than %d days and are gone", gone, days)
                self.flush()
            except HubError as error:
                log.warning("the audit is not tidied: %s", error)
            number += 1
            self._closed.wait(TIDY_SECONDS)

    def close(self) -> None:
        """Write what is counted, now."""
        self._closed.set()
        self.flush(all_of_them=True)


def _row(entry: AuditEntry, pruned_until: datetime | None = None) -> AuditRow:
    return AuditRow(
        at=entry.at,
        actor=storable(entry.actor)[:255],
        action=storable(entry.action)[:64],
        object=storable(entry.object)[:400],
        allowed=entry.allowed,
        reason=storable(entry.reason)[:400],
        address=storable(entry.address)[:64],
        times=entry.times,
        pruned_until=pruned_until,
    )


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry.model_validate(row, from_attributes=True)
