"""ASGI middleware that writes the API's rows of the audit, each before its answer leaves."""

from __future__ import annotations

from anyio import to_thread
from cyberlab.wire import AuditEntry
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.models import now

CHANGING = frozenset({"POST", "PUT", "DELETE", "PATCH"})
BODY_REFUSED = frozenset({408, 413})
"""Before the call was looked up."""
REFUSED = frozenset({400, 401, 403, 429}) | BODY_REFUSED


class Audited:
    """One row for each request that changes something and for each refusal.

    It reads what the request left in its state: `actor` (auth), `refusal` (answers) and, where the path does
    not name the thing, `object` (routes); `changes_nothing` (routes) for a POST that only asks.
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
        if scope["method"] not in CHANGING and status not in REFUSED and not _foreign(scope, status):
            return
        state = scope.get("state", {})
        if status < 400 and state.get("changes_nothing"):
            return  # a question too long for a GET
        name = getattr(scope.get("route"), "name", "")
        entry = AuditEntry(
            at=now(),
            actor=state.get("actor", ""),
            action=name or ("send_body" if status in BODY_REFUSED else "no_such_call"),
            object=state.get("object", "") or _object(scope, named=bool(name)),
            allowed=status < 400,
            reason=state.get("refusal", "") or ("" if status < 400 else str(status)),
            address=(scope.get("client") or ("",))[0],
        )
        await to_thread.run_sync(self._audit.record, entry)


def _foreign(scope: Scope, status: int) -> bool:
    """Looking for a job that is not there, or another's: both are written, so that neither answers faster."""
    return status == 404 and "job" in scope.get("path_params", {})


def _object(scope: Scope, *, named: bool) -> str:
    if not named:
        return f"{scope['method']} {scope['path']}"
    return "/".join(str(value) for value in scope.get("path_params", {}).values())
