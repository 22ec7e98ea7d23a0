"""The outermost layer of the API: bodies have a limit, and no fault of ours shows its insides."""

from __future__ import annotations

import asyncio
import logging
import secrets

from cyberlab.wire import ErrorInfo
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cyberlab_hub.service.answers import answer
from cyberlab_hub.service.jobs import internal

BODY_BYTES = 12_000_000
"""A spec with 8 MB of files, base64 and JSON around it."""
BODY_SECONDS = 60.0
"""How long a client may take to send it."""

log = logging.getLogger(__name__)


class Guard:
    """ASGI middleware.

    The body is read here, up to its limit, before the application starts: a request that is too long or too
    slow never holds a worker thread.
    """

    def __init__(self, app: ASGIApp, limit: int = BODY_BYTES, seconds: float = BODY_SECONDS) -> None:
        self._app = app
        self._limit = limit
        self._seconds = seconds

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
            body = await self._body(scope, receive)
            if isinstance(body, ErrorInfo):
                status = 413 if body.code == "body-too-large" else 408
                scope.setdefault("state", {})["refusal"] = body.code  # the audit reads it
                await answer(status, body)(scope, receive, send)
                return
            await self._app(scope, _replayed(body, receive), watched)
        except Exception:
            incident = secrets.token_hex(4)
            log.exception("incident %s: %s %s", incident, scope["method"], scope["path"])
            if started:
                raise  # half an answer is out: the server breaks the connection, so the client notices
            await answer(500, internal(incident))(scope, receive, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | ErrorInfo | None:
        """The body; what is wrong with it; or None when the client has gone."""
        announced = dict(scope["headers"]).get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._limit:
            return self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > self._limit:
                        return self._too_large()
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            text = f"The request was not complete after {self._seconds:g} s. Try again."
            return ErrorInfo(code="body-too-slow", message=text)

    def _too_large(self) -> ErrorInfo:
        text = f"The request is longer than {self._limit / 1e6:g} MB. Send smaller or fewer files."
        return ErrorInfo(code="body-too-large", message=text)


def _replayed(body: bytes | None, receive: Receive) -> Receive:
    pending: list[Message] = [
        {"type": "http.disconnect"}
        if body is None
        else {"type": "http.request", "body": body, "more_body": False}
    ]

    async def replay() -> Message:
        return pending.pop() if pending else await receive()

    return replay
