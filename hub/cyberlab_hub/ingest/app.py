"""The gateway: devices' readings in over HTTPS, nothing else. It has no Docker and does not need the hub.

An answer of 503 or 429 means "keep it and come again": the client holds its points until somebody has answered for
them. So an overloaded or cut-off gateway loses nothing, and says no early instead of queueing without end.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from cyberlab.wire import ErrorBody, ErrorInfo, Written
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cyberlab_hub.errors import HubError, NotAllowed, NotSignedIn, OverQuota, PartDown
from cyberlab_hub.ingest import v2
from cyberlab_hub.ingest.bodies import TooLarge, read
from cyberlab_hub.ingest.intake import paced
from cyberlab_hub.ingest.lines import Batch
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.refusals import BUSY, Note, Refusals, logged
from cyberlab_hub.ingest.store import Store
from cyberlab_hub.ingest.tokens import Sender, Tokens

Args = TypeVarTuple("Args")
Result = TypeVar("Result")

AT_WORK = 8
"""Batches being written at once."""
IN_HOUSE = 64
"""Batches in memory at once; more are sent away with 429."""
CAMPUS = ("/api/v2/write", "/ping", "/health")
"""All that is served beyond the devices' network: InfluxDB's way to write, and what its clients ask before they do."""
_STATUS: dict[type[HubError], int] = {
    NotSignedIn: 401,
    NotAllowed: 403,
    OverQuota: 429,
    PartDown: 503,
    TooLarge: 413,
}


def create_app(
    store: Store,
    tokens: Tokens,
    pace: Pace,
    note: Note = logged,
    before_end: Callable[[], object] = lambda: None,
    served: Collection[str] = (),
) -> Starlette:
    """The gateway's application. Closes `store` at its end. `note` takes what the audit should know, at once.

    `served`: the paths that it has; none: all. Two applications hold up one another in nothing but the database.
    """

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(before_end)
        gate.close()
        store.close()

    gate = _Gate(store, tokens, pace, Refusals(note))
    # bare Starlette: nothing here needs a schema, and a batch passes through half as many layers
    routes = [
        Route("/api/v1/write", gate.write, methods=["POST"]),
        Route("/api/v2/write", gate.write_v2, methods=["POST"]),
        Route("/ping", v2.ping, methods=["GET", "HEAD"]),
        Route("/health", gate.health, methods=["GET"]),
    ]
    routes = [route for route in routes if not served or route.path in served]
    return Starlette(routes=routes, lifespan=lifespan, exception_handlers={HubError: _told})


@dataclass(frozen=True)
class _Ways:
    """Where a request of one interface has what the gateway must know. Each raises what it refuses."""

    token: Callable[[Request], str]
    device: Callable[[Request, Sender], str]
    check_target: Callable[[Request, Sender], None]
    batch: Callable[[Request], Awaitable[Batch]]


class _Gate:
    def __init__(self, store: Store, tokens: Tokens, pace: Pace, refusals: Refusals) -> None:
        self._pace = pace
        self._store = store
        self._refusals = refusals
        self._tokens = tokens
        self._inside = 0
        self._workers = ThreadPoolExecutor(AT_WORK, thread_name_prefix="batch")

    def close(self) -> None:
        self._workers.shutdown()

    async def _run(self, call: Callable[[*Args], Result], *args: *Args) -> Result:
        """`call` in a thread: it blocks. When all are at work it waits for its turn."""
        return await asyncio.get_running_loop().run_in_executor(self._workers, call, *args)

    async def write(self, request: Request) -> Response:
        written = await self._pass(request, _Ways(_bearer, _said_device, _any_target, read))
        return JSONResponse(written.model_dump())

    async def write_v2(self, request: Request) -> Response:
        return v2.answer(await self._pass(request, _Ways(v2.token, v2.device, v2.check_target, v2.batch)))

    async def _pass(self, request: Request, ways: _Ways) -> Written:
        if self._inside >= IN_HOUSE:
            raise OverQuota(BUSY, "The gateway is busy. Keep the readings and send them again in a moment.")
        self._inside += 1
        device = _said_device(request)
        address = request.client.host if request.client else ""
        sender: Sender | None = None
        try:
            # who is it, before a byte of the body is taken
            token = ways.token(request)
            sender = self._tokens.fresh(token)
            if sender is None:
                sender = await self._run(self._tokens.sender, token)
            ways.check_target(request, sender)
            device = ways.device(request, sender)
            tags = sender.tags(device)
            batch = await ways.batch(request)
            written = await self._run(paced, self._pace, self._store, sender.owner, batch, tags)
        except HubError as error:
            self._refusals.refused(error, sender, device, address)
            raise
        else:
            self._refusals.claimed(written, sender, device, address)
            return written
        finally:
            self._inside -= 1

    async def health(self, _: Request) -> Response:
        """200 with the database's version, or 503 with what is down."""
        try:
            version = await self._run(self._store.ping)
        except PartDown as error:
            answer = {"ok": False, "detail": error.message, **v2.health("", error.message)}
            return JSONResponse(answer, status_code=503)
        return JSONResponse({"ok": True, "detail": f"InfluxDB {version}", **v2.health(version)})


def _bearer(request: Request) -> str:
    kind, _, token = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token:
        raise NotSignedIn("token-missing", "Send the deployment's token as `Authorization: Bearer ...`.")
    return token.strip()


def _said_device(request: Request, _: Sender | None = None) -> str:
    return request.headers.get("X-Cyberlab-Device", "")


def _any_target(_: Request, __: Sender) -> None:
    """The token alone says where its points go."""


async def _told(request: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HubError):
        raise error
    if request.url.path.startswith(v2.PATH):
        return v2.told(error)
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    info = (
        error.info() if status != 500 else ErrorInfo(code="internal", message="The gateway made a mistake.")
    )
    # a client that still sends a refused body must not have the rest of it taken for its next request
    headers = {"Connection": "close"} if status == 413 else {}
    if isinstance(error, OverQuota) and error.retry_after is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after))
    return JSONResponse(ErrorBody(error=info).model_dump(), status_code=status, headers=headers)
