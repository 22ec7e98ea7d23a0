"""A device's uplink by hand, for tests and benches.

With `asyncio`, not threads: before Python 3.13 two threads that read and write one TLS connection can lose bytes.
"""

from __future__ import annotations

import asyncio
import ssl
from concurrent.futures import ThreadPoolExecutor

from cyberlab_edge.answers import Answer
from cyberlab_edge.frames import unpack_answer
from websockets.asyncio.client import connect

ANSWER_SECONDS = 60


class UplinkByHand:
    """One connection; used by one thread at a time. It answers pings only while it waits for an answer."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        """Raises: OSError, WebSocketException: the gateway does not let it in."""
        self._loop = asyncio.new_event_loop()
        try:
            self._socket = self._loop.run_until_complete(
                connect(url, ssl=context, compression=None, proxy=None, ping_interval=None).__aenter__()
            )
        except BaseException:
            self._loop.close()
            raise

    def send(self, message: bytes | str) -> Answer:
        """Raises: ConnectionClosed. TimeoutError."""

        self.put(message)
        return self.answer()

    def put(self, message: bytes | str) -> None:
        """Without waiting for its answer. Raises: ConnectionClosed."""
        self._loop.run_until_complete(self._socket.send(message))

    def answer(self) -> Answer:
        """The next one. Raises: ConnectionClosed. TimeoutError."""
        told = self._loop.run_until_complete(asyncio.wait_for(self._socket.recv(), ANSWER_SECONDS))
        return unpack_answer(told)[1]

    def close(self) -> None:
        self._loop.run_until_complete(self._socket.close())
        self._loop.close()


def ask(url: str, context: ssl.SSLContext, *messages: bytes | str) -> list[Answer]:
    """What is answered to these on one connection. In a thread of its own: the caller's may have a running loop."""

    def run() -> list[Answer]:
        line = UplinkByHand(url, context)
        try:
            return [line.send(message) for message in messages]
        finally:
            line.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()
