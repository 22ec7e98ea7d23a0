"""The gateway: devices' readings in over HTTPS, nothing else. It has no Docker and does not need the hub.

An answer of 503 or 429 means "keep it and come again": the client holds its points until somebody has answered for
them. So an overloaded or cut-off gateway loses nothing, and says no early instead of queueing without end.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from cyberlab.wire import ErrorBody, ErrorInfo, Written
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from cyberlab_hub.errors import HubError, NotAllowed, NotSignedIn, OverQuota, PartDown
from cyberlab_hub.ingest.intake import paced, take
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.refusals import BUSY, Note, Refusals, logged
from cyberlab_hub.ingest.store import FLEET, Store
from cyberlab_hub.ingest.tokens import Sender, Tokens

BODY_BYTES = 1_000_000
BODY_LINES = 20_000
"""Each may be refused with a reason of its own, so their number is bounded too."""
AT_WORK = 8
"""Batches being written at once."""
IN_HOUSE = 64
"""Batches in memory at once; more are sent away with 429."""
_STATUS: dict[type[HubError], int] = {NotSignedIn: 401, NotAllowed: 403, OverQuota: 429, PartDown: 503}


class TooLarge(HubError):
    """The body is over the limit."""


_STATUS[TooLarge] = 413


def create_app(store: Store, tokens: Tokens, pace: Pace, note: Note = logged) -> FastAPI:
    """The gateway's application. Closes `store` at its end. `note` takes what the audit should know, at once."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(title="cyberlab ingest", lifespan=lifespan, openapi_url=None)
    gate = _Gate(store, tokens, pace, Refusals(note))
    app.add_exception_handler(HubError, _told)
    app.add_api_route("/api/v1/write", gate.write, methods=["POST"], response_model=Written)
    app.add_api_route("/health", gate.health, methods=["GET"])
    return app


class _Gate:
    def __init__(self, store: Store, tokens: Tokens, pace: Pace, refusals: Refusals) -> None:
        self._pace = pace
        self._store = store
        self._refusals = refusals
        self._tokens = tokens
        self._limiter = CapacityLimiter(AT_WORK)
        self._inside = 0

    async def write(self, request: Request) -> Written:
        if self._inside >= IN_HOUSE:
            raise OverQuota(BUSY, "The gateway is busy. Keep the readings and send them again in a moment.")
        self._inside += 1
        device = request.headers.get("X-Cyberlab-Device", "")
        address = request.client.host if request.client else ""
        sender: Sender | None = None
        try:
            # who is it, before a byte of the body is taken
            sender = await run_sync(self._sender, _bearer(request), limiter=self._limiter)
            tags = sender.tags(device)
            body = await _read(request)
            written = await run_sync(self._take, sender, tags, body, limiter=self._limiter)
        except HubError as error:
            self._refusals.refused(error, sender, device, address)
            raise
        else:
            self._refusals.claimed(written, sender, device, address)
            return written
        finally:
            self._inside -= 1

    async def health(self) -> JSONResponse:
        """200 with the database's version, or 503 with what is down."""
        try:
            version = await run_sync(self._store.ping, limiter=self._limiter)
        except PartDown as error:
            return JSONResponse({"ok": False, "detail": error.message}, status_code=503)
        return JSONResponse({"ok": True, "detail": f"InfluxDB {version}"})

    def _sender(self, token: str) -> Sender:
        return self._tokens.sender(token)

    def _take(self, sender: Sender, tags: dict[str, str], body: bytes) -> Written:
        if sender.agent:  # the lab's own: no user's quota
            return take(self._store, FLEET, body, tags, common=True)
        return paced(self._pace, self._store, sender.owner, body, tags)


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise NotSignedIn("token-missing", "Send the deployment's token as `Authorization: Bearer ...`.")
    return token.strip()


async def _read(request: Request) -> bytes:
    """The body, never more of it than the limit: a length header is a promise, so the bytes are counted."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > BODY_BYTES:
            raise TooLarge(
                "body-large", f"A batch has at most {BODY_BYTES} bytes. Send fewer points at once."
            )
        parts.append(part)
    body = b"".join(parts)
    if body.count(b"\n") > BODY_LINES:
        raise TooLarge("body-large", f"A batch has at most {BODY_LINES} points. Send fewer at once.")
    return body


async def _told(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HubError):
        raise error
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    info = (
        error.info() if status != 500 else ErrorInfo(code="internal", message="The gateway made a mistake.")
    )
    # a client that still sends a refused body must not have the rest of it taken for its next request
    headers = {"Connection": "close"} if status == 413 else {}
    if isinstance(error, OverQuota) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    return JSONResponse(ErrorBody(error=info).model_dump(), status_code=status, headers=headers)
