"""Who did what: one row for each request that changes something and for each refusal.

The row is written before the answer leaves. Rows are only ever added (`models.AuditRow`). Requests without a
valid token are collapsed to one row an address and action every ten seconds, so that a stray script
cannot fill the disk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from anyio import to_thread
from cyberlab.wire import AuditEntry
from sqlalchemy import select
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cyberlab_hub.errors import PartDown
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.journal import storable
from cyberlab_hub.service.models import AuditRow, now

CHANGING = frozenset({"POST", "PUT", "DELETE", "PATCH"})
REFUSED = frozenset({401, 403, 429})
STRANGER_SECONDS = 10.0
STRANGERS = 1_000

log = logging.getLogger(__name__)


class Audit:
    """The append-only log."""

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._strangers: dict[tuple[str, str], float] = {}

    def record(self, entry: AuditEntry) -> None:
        """Add a row. A database that is away is logged: the answer of the request itself tells the user."""
        if not entry.actor and not self._first_for_a_while(entry):
            return
        row = AuditRow(
            at=entry.at,
            actor=storable(entry.actor)[:255],
            action=storable(entry.action)[:64],
            object=storable(entry.object)[:400],
            allowed=entry.allowed,
            reason=storable(entry.reason)[:400],
            address=entry.address[:64],
        )
        try:
            with self._database.session() as session:
                session.add(row)
        except PartDown:
            log.exception("not in the audit: %s", entry)

    def _first_for_a_while(self, entry: AuditEntry) -> bool:
        key, at = (entry.address, entry.action), self._clock()
        if at - self._strangers.get(key, -STRANGER_SECONDS) < STRANGER_SECONDS:
            return False
        if len(self._strangers) >= STRANGERS:
            self._strangers.clear()
        self._strangers[key] = at
        return True

    def newest(self, limit: int) -> list[AuditEntry]:
        """The last entries, newest first."""
        with self._database.session() as session:
            rows = session.scalars(select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)).all()
        return [AuditEntry.model_validate(row, from_attributes=True) for row in rows]


class Audited:
    """ASGI middleware that writes the rows.

    It reads what the request left in its state: `actor` (auth), `refusal` (answers) and, where the path does
    not name the thing, `object` (routes).
    """

    def __init__(self, app: ASGIApp, audit: Audit) -> None:
        self._app = app
        self._audit = audit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        written = False

        async def noting(message: Message) -> None:
            nonlocal written
            if message["type"] == "http.response.start" and not written:
                written = True
                await self._note(scope, message["status"])
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            if not written:
                await self._note(scope, 500)
            raise

    async def _note(self, scope: Scope, status: int) -> None:
        if scope["method"] not in CHANGING and status not in REFUSED:
            return
        state = scope.get("state", {})
        route = scope.get("route")
        entry = AuditEntry(
            at=now(),
            actor=state.get("actor", ""),
            action=getattr(route, "name", "") or f"{scope['method']} {scope['path']}",
            object=state.get("object", "") or "/".join(str(v) for v in scope.get("path_params", {}).values()),
            allowed=status < 400,
            reason=state.get("refusal", "") or ("" if status < 400 else str(status)),
            address=(scope.get("client") or ("",))[0],
        )
        await to_thread.run_sync(self._audit.record, entry)
