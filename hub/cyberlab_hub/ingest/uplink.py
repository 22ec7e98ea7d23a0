"""The gateway's other door: devices' uplinks, a WebSocket each, known by the certificate that enrolment gave them.

The certificate says which device it is, the token in each batch whose deployment measured. A batch is answered when
the database has it; while two of a device wait for that, no further message of it is read, so a slow database slows
the devices down, and the gateway holds a few batches for each of them. Messages: `cyberlab_edge.frames`.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from cyberlab.wire import Written
from cyberlab_edge.answers import Answer, Verdict
from cyberlab_edge.frames import FRAME_BYTES, PATH, REASONS, BadFrame, Frame, pack_answer, unpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from cyberlab_hub.errors import HubError, NotAllowed, NotSignedIn, OverQuota, PartDown
from cyberlab_hub.ingest.bodies import TooLarge, counted
from cyberlab_hub.ingest.intake import paced, take
from cyberlab_hub.ingest.lines import Batch
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.refusals import Refusals
from cyberlab_hub.ingest.store import FLEET, Store
from cyberlab_hub.ingest.tokens import Sender, Tokens
from cyberlab_hub.listeners import keep_fresh
from cyberlab_hub.settings import Settings

UPLINK_PORT = 8445
AT_WORK = 8
"""Batches being written at once."""
SIDE_BY_SIDE = 2
"""Batches of one device being written at once: of two senders, since it waits for the answer to each of one's."""
QUEUE = 1
"""Messages of one device that are read beside those."""
DOWN_SECONDS = 2.0
"""A device comes again after this while the database is away."""
END_SLACK_NS = 60 * 10**9
"""A program goes on for a moment after its deployment's token was withdrawn."""
REFUSED = 4403
"""Close code: the certificate is of no enrolled device. Trying again helps only after a new enrolment."""
BAD_FRAME = 4400
REPLACED = 4409


class Uplinks:
    def __init__(self, store: Store, tokens: Tokens, pace: Pace, refusals: Refusals) -> None:
        self._store, self._tokens, self._pace, self._refusals = store, tokens, pace, refusals
        self._limiter = CapacityLimiter(AT_WORK)
        self._open: dict[str, ServerConnection] = {}

    @asynccontextmanager
    async def listening(self, settings: Settings, host: str, port: int) -> AsyncIterator[None]:
        """Raises: OSError: the port is taken, or a certificate cannot be read."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(settings.certs / "ca.crt"))
        context.verify_mode = ssl.CERT_REQUIRED
        certificate, key = settings.certs / "ingest.crt", settings.certs / "ingest.key"
        context.load_cert_chain(certificate, key)
        keep_fresh(context, certificate, key)
        async with serve(
            self._uplink,
            host,
            port,
            ssl=context,
            compression=None,  # batches are packed already, and unpacked with a bound
            max_size=FRAME_BYTES,
            max_queue=QUEUE,
            process_request=_only_the_path,
            server_header=None,
            open_timeout=10,
            ping_interval=20,
            ping_timeout=20,
            close_timeout=2,
        ):
            yield

    # ------------------------------------------------------------ one device
    async def _uplink(self, socket: ServerConnection) -> None:
        address = str((socket.remote_address or ("",))[0])
        try:
            agent = await run_sync(self._tokens.device, _fingerprint(socket), limiter=self._limiter)
        except HubError as error:
            self._refusals.refused(error, None, "", address)
            await socket.close(REFUSED if isinstance(error, NotSignedIn) else 1013, error.code)
            return
        (device,) = agent.devices
        before = self._open.get(device)
        self._open[device] = socket
        if before is not None:
            # a cut network leaves its connection open on this side
            asyncio.ensure_future(before.close(REPLACED, "the device has a newer uplink"))  # noqa: RUF006 - nobody waits
        try:
            await self._batches(socket, agent, device, address)
        finally:
            if self._open.get(device) is socket:
                del self._open[device]

    async def _batches(self, socket: ServerConnection, agent: Sender, device: str, address: str) -> None:
        """Until the connection ends. While the database writes one batch, the next is unpacked and checked."""
        room = asyncio.Semaphore(SIDE_BY_SIDE)

        async def handle(message: str | bytes) -> None:
            try:
                await socket.send(
                    await run_sync(self._answer, message, agent, device, address, limiter=self._limiter)
                )
            except BadFrame as error:
                await socket.close(BAD_FRAME, str(error)[:120])
            except ConnectionClosed:
                pass
            finally:
                room.release()

        async with asyncio.TaskGroup() as batches:
            try:
                async for message in socket:
                    await room.acquire()
                    batches.create_task(handle(message))
            except ConnectionClosed:
                pass

    def _answer(self, message: str | bytes, agent: Sender, device: str, address: str) -> str:
        frame = unpack(message if isinstance(message, bytes) else b"")
        return pack_answer(frame.seq, self._outcome(frame, agent, device, address))

    def _outcome(self, frame: Frame, agent: Sender, device: str, address: str) -> Answer:
        sender: Sender | None = agent if not frame.token else None
        try:
            sender = sender or self._tokens.sender_on_device(frame.token)
            written = self._take(frame.body, sender, device)
        except HubError as error:
            self._refusals.refused(error, sender, device, address)
            return _refusal(error)
        self._refusals.claimed(written, sender, device, address)
        reasons = tuple(f"line {line.line}: {line.reason}" for line in written.refused[:REASONS])
        return Answer(Verdict.TAKEN, refused=reasons, lost=len(written.refused))

    def _take(self, body: bytes, sender: Sender, device: str) -> Written:
        tags = sender.tags(device)
        until = None if sender.ended is None else int(sender.ended.timestamp() * 1e9) + END_SLACK_NS
        batch = counted(Batch(body, until))
        if sender.agent:  # the lab's own: no user's quota
            return take(self._store, FLEET, batch, tags, common=True)
        return paced(self._pace, self._store, sender.owner, batch, tags)


def _refusal(error: HubError) -> Answer:
    if isinstance(error, OverQuota):
        return Answer(Verdict.LATER, error.message, wait=error.retry_after or 1.0)
    if isinstance(error, PartDown):
        return Answer(Verdict.LATER, error.message, wait=DOWN_SECONDS)
    if isinstance(error, NotSignedIn | NotAllowed | TooLarge):
        return Answer(Verdict.NEVER, error.message)
    raise error


def _only_the_path(connection: ServerConnection, request: Request) -> Response | None:
    if request.path == PATH:
        return None
    return connection.respond(HTTPStatus.NOT_FOUND, "There is only the devices' uplink here.\n")


def _fingerprint(socket: ServerConnection) -> str:
    tls: Any = socket.transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return hashlib.sha256(certificate).hexdigest() if certificate else ""
