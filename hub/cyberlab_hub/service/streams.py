"""Server-sent events, and blocking iterators behind them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread
from cyberlab.wire import JobEvent, LogLine
from pydantic import BaseModel
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from cyberlab_hub.errors import HubError
from cyberlab_hub.service import policy
from cyberlab_hub.service.jobs import Jobs
from cyberlab_hub.workshop import orders

T = TypeVar("T")

KEEP_ALIVE_SECONDS = 15.0
PAGE = 500
"""Events read at once."""
PUMPED_AHEAD = 500
"""Items that wait for a slow reader; then the source waits."""
MEDIA_TYPE = "text/event-stream"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def message(data: BaseModel, event: str = "", number: int | None = None) -> str:
    head = ("" if number is None else f"id: {number}\n") + (f"event: {event}\n" if event else "")
    return f"{head}data: {data.model_dump_json()}\n\n"


KEEP_ALIVE = ": still here\n\n"


async def job_events(jobs: Jobs, owner: str, job: str, after: int) -> AsyncIterator[str]:
    """The events of a job with an id over `after`, as they come, then one ``end`` with the job itself.

    Ends without ``end`` when the service stops: the client comes back with the last id it has.
    """
    with jobs.bell.watch(job) as rung:
        while True:
            rung.clear()
            view, events = await to_thread.run_sync(jobs.rows.page, owner, job, after, PAGE)
            if events:
                after = events[-1].id
                yield "".join(map(_job_event, events))
            if len(events) == PAGE:
                continue
            if view.phase.ended:
                yield message(view, "end")
                return
            if jobs.bell.closed:
                return
            try:
                async with asyncio.timeout(KEEP_ALIVE_SECONDS):
                    await rung.wait()
            except TimeoutError:
                yield KEEP_ALIVE


def _job_event(event: JobEvent) -> str:
    return message(event, event.kind, event.id)


class Pump(Generic[T]):
    """Reads a blocking iterator in its own thread, so that a silent source holds no worker of the service."""

    def __init__(self, source: Iterator[T]) -> None:
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._items: asyncio.Queue[T | Exception | None] = asyncio.Queue()
        self._room = threading.Semaphore(PUMPED_AHEAD)
        self._stopped = threading.Event()
        self._peeked: list[T | None] = []
        threading.Thread(target=self._run, name="pump", daemon=True).start()

    def _run(self) -> None:
        try:
            for item in self._source:
                if not self._put(item):
                    break
            close_source(self._source)
        except Exception as error:  # whatever it is, the reader must hear of it
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: T | Exception | None) -> bool:
        while not self._room.acquire(timeout=0.5):
            if self._stopped.is_set():
                return False
        if self._stopped.is_set() or self._loop.is_closed():
            return False
        self._loop.call_soon_threadsafe(self._items.put_nowait, item)
        return True

    async def ready(self, seconds: float) -> None:
        """Wait until something has come, but not longer than that. Raises what the source begins with."""
        with suppress(TimeoutError):
            self._peeked.append(await self.next(seconds))

    async def next(self, seconds: float) -> T | None:
        """The next item; None when there is no more.

        Raises:
            TimeoutError: nothing came within that time. And whatever the source raises.
        """
        if self._peeked:
            return self._peeked.pop()
        async with asyncio.timeout(seconds):
            item = await self._items.get()
        self._room.release()
        if isinstance(item, Exception):
            raise item
        return item

    def stop(self) -> None:
        """The source is closed as soon as it gives its next item."""
        self._stopped.set()


def close_source(source: Iterator[object]) -> None:
    """End a generator where it stands, so that it lets go of its connection."""
    close = getattr(source, "close", None)
    if close:
        close()


class OpenStreams:
    """How many long streams each user holds open."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    @contextmanager
    def one_more(self, owner: str, allowed: policy.Allowance) -> Iterator[None]:
        """Raises:
        OverQuota: ``quota-streams``.
        """
        policy.within(allowed, self._open[owner])
        self._open[owner] += 1
        try:
            yield
        finally:
            self._open[owner] -= 1

    def count(self, owner: str) -> int:
        return self._open[owner]


class Turns:
    """A few at once for each user; more wait until one of the user's own has ended, and nobody else waits for them."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._gates: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def take(self, owner: str, held: ExitStack) -> None:
        """Wait for a turn; it is given back when `held` closes."""
        gate = self._gates.get(owner)
        if gate is None:
            self._gates[owner] = gate = asyncio.Semaphore(self._at_once)
        await gate.acquire()
        held.callback(gate.release)


async def pumped(pump: Pump[orders.LogLine]) -> AsyncIterator[str]:
    """A deployment's log: messages, then one ``end``; or one ``error`` when it breaks off."""
    try:
        while True:
            try:
                line = await pump.next(KEEP_ALIVE_SECONDS)
            except TimeoutError:
                yield KEEP_ALIVE
                continue
            if line is None:
                break
            if line.device or line.text:  # an empty line is only a sign of life
                yield message(LogLine(device=line.device, text=line.text, at=line.at))
        yield "event: end\ndata: {}\n\n"
    except HubError as error:
        yield message(error.info(), "error")


async def pieces(
    source: Iterator[bytes], first: bytes | None, limiter: CapacityLimiter
) -> AsyncIterator[bytes]:
    """`first`, then the rest of a blocking iterator."""
    piece = first
    while piece is not None:
        yield piece
        piece = await to_thread.run_sync(next, source, None, limiter=limiter)


class HeldResponse(StreamingResponse):
    """A stream that lets go of what it holds when it ends, also when it never began because the client had gone."""

    def __init__(self, content: AsyncIterator[str | bytes], held: ExitStack, media_type: str) -> None:
        super().__init__(content, media_type=media_type, headers=HEADERS)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)
