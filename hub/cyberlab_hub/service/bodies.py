"""Request bodies: how long, how slow, how many at once, and how many values their JSON may hold.

A body is read whole before the application starts, so a request that is too long or too slow never holds a worker
thread. What waits in memory is bounded for each address and in all. JSON is counted before it is parsed: a million
values would become a million objects, or a million complaints about them.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from cyberlab.spec.archives import PACKED_BYTES
from cyberlab.wire import API, ErrorInfo
from starlette.types import Receive, Scope

BODY_BYTES = 12_000_000
"""A spec with 8 MB of files, base64 and JSON around it."""
BODY_SECONDS = 60.0
"""How long a client may take to send it."""
LIMITS: Mapping[str, int] = {f"{API}/files/unpack": PACKED_BYTES}
"""Bytes where they are not `BODY_BYTES`."""
ADDRESS_BYTES = 4 * BODY_BYTES
ALL_BYTES = 24 * BODY_BYTES
VALUES = 20_000
DEPTH = 32

STATUS: Mapping[str, int] = {
    "body-too-large": 413,
    "body-too-slow": 408,
    "body-too-many": 429,
    "lab-busy": 503,
}
"""Of the codes here; the others are 422."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""Also one that never ends: so the search never begins anew inside of it."""
_NESTING = re.compile(rb"[][{}]")


class Bodies:
    """Reads bodies; knows how much is in memory."""

    def __init__(
        self, limit: int = BODY_BYTES, seconds: float = BODY_SECONDS, limits: Mapping[str, int] = LIMITS
    ) -> None:
        self._limit = limit
        self._seconds = seconds
        self._limits = limits
        self._held: Counter[str] = Counter()
        self._all = 0

    @contextmanager
    def holding(self, scope: Scope) -> Iterator[Body]:
        """One body, which counts as long as the block lasts."""
        body = Body(self, (scope.get("client") or ("",))[0])
        try:
            yield body
        finally:
            self._give_back(body)

    async def read(self, body: Body, scope: Scope, receive: Receive) -> bytes | ErrorInfo | None:
        """The body; what is wrong with it; or None when the client has gone."""
        limit = self._limits.get(scope["path"], self._limit)
        headers = dict(scope["headers"])
        announced = headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced[:20]) > limit:
            return _too_large(limit)
        content = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    piece = message.get("body", b"")
                    content += piece
                    if len(content) > limit:
                        return _too_large(limit)
                    if (found := self._take(body, len(piece))) is not None:
                        return found
                    if not message.get("more_body", False):
                        break
        except TimeoutError:
            text = f"The request was not complete after {self._seconds:g} s. Try again."
            return ErrorInfo(code="body-too-slow", message=text)
        whole = bytes(content)
        return json_problem(whole, headers.get(b"content-type", b"")) or whole

    def _take(self, body: Body, count: int) -> ErrorInfo | None:
        body.bytes += count
        self._held[body.address] += count
        self._all += count
        if self._held[body.address] > ADDRESS_BYTES:
            text = "You are sending too much at once. Wait until the other requests are answered, then try again."
            return ErrorInfo(code="body-too-many", message=text)
        if self._all > ALL_BYTES:
            return ErrorInfo(
                code="lab-busy", message="The lab has too much to do at the moment. Try again in a minute."
            )
        return None

    def _give_back(self, body: Body) -> None:
        self._all -= body.bytes
        self._held[body.address] -= body.bytes
        if not self._held[body.address]:
            del self._held[body.address]


class Body:
    """How much of one request is in memory."""

    def __init__(self, bodies: Bodies, address: str) -> None:
        self._bodies = bodies
        self.address = address
        self.bytes = 0


def json_problem(body: bytes, content_type: bytes) -> ErrorInfo | None:
    """Why this JSON is not even parsed. Linear in its length, and done at the first value too many."""
    if b"json" not in content_type.lower() or not body:
        return None
    if b"\0" in body[:4]:  # UTF-16 or UTF-32: other commas than those that are counted
        return ErrorInfo(code="body-not-utf8", message="The request must be written in UTF-8.")
    values, depth, at = 0, 0, 0
    while True:
        string = _STRING.search(body, at)
        between = body[at : string.start() if string else len(body)]
        values += between.count(b",") + 1
        for bracket in _NESTING.findall(between) if values <= VALUES else ():
            values += 1
            depth += 1 if bracket in (b"[", b"{") else -1
            if depth > DEPTH:
                text = f"The request is nested more than {DEPTH} levels deep. No request of this lab is."
                return ErrorInfo(code="body-too-deep", message=text)
            if values > VALUES:
                break
        if values > VALUES:
            text = f"The request holds more than {VALUES:,} values. Send fewer files and settings."
            return ErrorInfo(code="body-too-full", message=text)
        if string is None:
            return None
        at = string.end()


def _too_large(limit: int) -> ErrorInfo:
    text = f"The request is longer than {limit / 1e6:g} MB. Send smaller or fewer files."
    return ErrorInfo(code="body-too-large", message=text)
