"""The uplink: one WebSocket over TLS with the device's own certificate, from the spool to the ingest gateway.

A sender has at most one batch unanswered; several senders' batches travel side by side. A batch leaves the spool when
the gateway has answered for it, so a lost connection means sending the same batch again, never losing it. The gateway
reads the next message when the database has taken the one before: its pressure arrives here as silence.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections import defaultdict, deque
from contextlib import suppress
from typing import Any

from websockets import connect
from websockets.exceptions import WebSocketException

from cyberlab_edge.agent.config import Config
from cyberlab_edge.answers import Answer, Verdict
from cyberlab_edge.frames import BadFrame, Frame, unpack_answer
from cyberlab_edge.outbox import backoff
from cyberlab_edge.spool import Batch, Spool

log = logging.getLogger("cyberlab_edge.link")

SIDE_BY_SIDE = 8
"""Batches on the wire at once."""
ANSWER_SECONDS = 60.0
"""A batch that nobody answers within this ends the connection."""
OPEN_SECONDS = 10.0
PING_SECONDS = 20.0
IDLE_SECONDS = 1.0
LATER_SECONDS = 1.0
TOLD = 20
"""Refusals remembered for each sender until it comes by."""
SENDERS = 200


class Link:
    def __init__(self, config: Config, spool: Spool) -> None:
        self._config = config
        self._spool = spool
        self._seq = 0
        self._wire: dict[int, Batch] = {}
        self._held: dict[str, float] = {}
        """Sender -> when (monotonic) it may be tried again."""
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refused: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=TOLD))

    def wake(self) -> None:
        """There is something new in the spool. From any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._news.set)

    def refusals(self, token: str) -> list[str]:
        """Why points of this sender were refused since it last asked. From any thread."""
        found = self._refused.pop(token, None)
        return list(found or ())

    async def run(self) -> None:
        """Until cancelled. Never raises for the network."""
        self._loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            began = self._seq
            try:
                await self._session()
            except (
                Exception
            ) as error:  # a device that stops sending for a mistake of ours would be found out too late
                if not isinstance(error, OSError | WebSocketException | BadFrame | TimeoutError):
                    log.exception("the uplink broke off")
                attempt = 1 if self._seq > began else attempt + 1
                if attempt == 2:
                    log.warning("readings are kept here and sent later: %s: %s", type(error).__name__, error)
            finally:
                self._release()
            await asyncio.sleep(backoff(max(1, attempt)))

    def _release(self) -> None:
        for batch in self._wire.values():
            self._spool.release(batch.token)
        self._wire.clear()

    # ------------------------------------------------------------ one connection
    async def _session(self) -> None:
        context = ssl.create_default_context(cafile=self._config.ca_file)
        context.load_cert_chain(self._config.pem_file)
        async with connect(
            self._config.uplink,
            ssl=context,
            compression=None,  # batches are packed already
            max_size=65536,
            open_timeout=OPEN_SECONDS,
            ping_interval=PING_SECONDS,
            ping_timeout=PING_SECONDS,
            close_timeout=2,
        ) as socket:
            work = [asyncio.create_task(self._send(socket)), asyncio.create_task(self._hear(socket))]
            try:
                done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in work:
                    task.cancel()
                await asyncio.gather(*work, return_exceptions=True)

    async def _hear(self, socket: Any) -> None:
        while True:
            waited_for = set(self._wire)
            try:
                message = await asyncio.wait_for(socket.recv(), ANSWER_SECONDS)
            except asyncio.TimeoutError:  # noqa: UP041 - another class before Python 3.11
                if waited_for & set(self._wire):
                    raise TimeoutError("the gateway does not answer") from None
                continue
            await self._heard(message)

    async def _send(self, socket: Any) -> None:
        while True:
            self._news.clear()
            batch = None
            if len(self._wire) < SIDE_BY_SIDE:
                now = time.monotonic()
                self._held = {token: until for token, until in self._held.items() if until > now}
                skip = {b.token for b in self._wire.values()} | set(self._held)
                batch = await asyncio.to_thread(self._spool.next, skip)
            if batch is None:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._news.wait(), IDLE_SECONDS)
                continue
            self._seq += 1
            self._wire[self._seq] = batch
            await socket.send(Frame(self._seq, batch.token, batch.body).pack())

    async def _heard(self, message: str | bytes) -> None:
        seq, answer = unpack_answer(message)
        batch = self._wire.get(seq)
        if batch is None:
            raise BadFrame(f"an answer to batch {seq}, which is not on the wire")
        if answer.verdict not in (Verdict.TAKEN, Verdict.NEVER):
            self._held[batch.token] = time.monotonic() + (answer.wait or LATER_SECONDS)
        await asyncio.to_thread(self._settle, batch, answer)
        del self._wire[seq]  # only now: until it is settled the spool would give it out again
        self._news.set()

    def _settle(self, batch: Batch, answer: Answer) -> None:
        if len(self._refused) > SENDERS:
            self._refused.clear()  # of programs that never came by to hear it
        if answer.verdict is Verdict.TAKEN:
            if answer.lost:
                log.warning(
                    "%d of %d readings were refused: %s", answer.lost, batch.lines, answer.refused[:3]
                )
                self._refused[batch.token].extend(answer.refused)
            self._spool.settle(batch, answer.lost)
        elif answer.verdict is Verdict.NEVER:
            self._refused[batch.token].append(answer.reason)
            self._spool.settle(batch)
            dropped = batch.lines + self._spool.forget(batch.token)
            log.warning("%d readings can never be delivered: %s", dropped, answer.reason)
        else:
            self._spool.release(batch.token)
