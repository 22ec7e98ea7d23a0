"""What the lab service and the gateway have in common: several listeners in one process, and fresh certificates.

`up` renews the certificates of servers; the two run on for months. At each new connection they look whether the file
has changed, and the next connection sees the new certificate.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import uvicorn

log = logging.getLogger("cyberlab.listeners")

PARSER: Literal["h11"] = "h11"
"""Of uvicorn's two it is the one that bounds a request's head (64 KB). Without a word it would take ``httptools``,
quicker and without any bound, wherever some package brings that along."""


class Listener(uvicorn.Server):
    """A server that leaves the signals to `serve`: several of them share one process."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def serve(listeners: Sequence[Listener], before_end: Callable[[], object] = lambda: None) -> None:
    """Until SIGTERM or SIGINT, or until one of them ends: then all end."""

    def stop() -> None:
        before_end()
        for listener in listeners:
            listener.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = [asyncio.create_task(listener.serve()) for listener in listeners]
    await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
    stop()
    await asyncio.gather(*serving)


def keep_fresh(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Let the context of a running listener follow its files."""
    shown = _stamp(certificate)

    def look(_connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal shown
        now = _stamp(certificate)
        if now == shown:
            return
        try:
            # tried on another context first: a half-written pair must not spoil the one in use
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            log.warning("the renewed certificate %s is not usable yet: %s", certificate.name, error)
            return
        shown = now

    # called at every handshake, also of clients that name no server
    context.sni_callback = look


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
