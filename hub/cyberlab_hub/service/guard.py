"""The outermost layer of the API: bodies have limits (`bodies`), and no fault of ours shows its insides."""

from __future__ import annotations

import logging
import secrets

from cyberlab.wire import ErrorInfo
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cyberlab_hub.service.answers import answer
from cyberlab_hub.service.bodies import BODY_BYTES, BODY_SECONDS, STATUS, Bodies
from cyberlab_hub.service.jobs import internal

log = logging.getLogger(__name__)


class Guard:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, limit: int = BODY_BYTES, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._bodies = Bodies(limit, seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            if not scope[
                "path"
            ].isprintable():  # a NUL, a line end: no name of ours, and not every database takes it
                info = ErrorInfo(code="not-found", message="There is nothing at this address.")
                await answer(404, info)(scope, receive, send)
                return
            with self._bodies.holding(scope) as held:
                body = await self._bodies.read(held, scope, receive)
                if isinstance(body, ErrorInfo):
                    scope.setdefault("state", {})["refusal"] = body.code  # the audit reads it
                    await answer(STATUS.get(body.code, 422), body)(scope, receive, send)
                    return
                await self._app(scope, _replayed(body, receive), watched)
        except Exception:
            incident = secrets.token_hex(4)
            log.exception("incident %s: %s %s", incident, scope["method"], scope["path"])
            if started:
                raise  # half an answer is out: the server breaks the connection, so the client notices
            await answer(500, internal(incident))(scope, receive, send)


def _replayed(body: bytes | None, receive: Receive) -> Receive:
    pending: list[Message] = [
        {"type": "http.disconnect"}
        if body is None
        else {"type": "http.request", "body": body, "more_body": False}
    ]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
