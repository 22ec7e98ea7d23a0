"""A request's body, never more of it than the limit, packed or not.

A length header is a promise, so bytes are counted while they come; a packed body is counted as it is unpacked, so
that a few bytes never become many in memory.
"""

from __future__ import annotations

import zlib

from cyberlab_edge.frames import BODY_BYTES, BODY_LINES
from starlette.requests import Request

from cyberlab_hub.errors import HubError
from cyberlab_hub.ingest.lines import Batch
from cyberlab_hub.ingest.times import Times

_GZIP = 16 + zlib.MAX_WBITS


class TooLarge(HubError):
    """The body is over the limit."""


class BadBody(HubError):
    """It cannot be read: ``gzip-broken``, ``encoding-unknown``."""


async def read(request: Request, times: Times | None = None) -> Batch:
    """The body as it is.

    Raises:
        TooLarge: ``body-large``.
    """
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size = _counted(size + len(part))
        parts.append(part)
    return counted(Batch(b"".join(parts), times=times))


async def read_unpacked(request: Request, times: Times | None = None) -> Batch:
    """The body, unpacked when it says that it is gzip.

    Raises:
        TooLarge: ``body-large``; the limit is one of the unpacked bytes. BadBody.
    """
    encoding = request.headers.get("Content-Encoding", "").strip().lower()
    if encoding in ("", "identity"):
        return await read(request, times)
    if encoding != "gzip":
        raise BadBody("encoding-unknown", f"Send the points plain or as gzip, not as {encoding[:40]!r}.")
    unpack = zlib.decompressobj(_GZIP)
    parts: list[bytes] = []
    size = packed = 0
    async for part in request.stream():
        packed = _counted(packed + len(part))
        try:
            # one byte more than is allowed is enough to know
            parts.append(unpack.decompress(part, BODY_BYTES + 1 - size))
        except zlib.error as error:
            raise BadBody("gzip-broken", "The body says that it is gzip and is not.") from error
        size = _counted(size + len(parts[-1]))
        if unpack.unused_data:
            raise BadBody("gzip-broken", "After the end of the gzip body there is more.")
    if not unpack.eof:
        raise BadBody("gzip-broken", "The gzip body ends too early.")
    return counted(Batch(b"".join(parts), times=times))


def _counted(size: int) -> int:
    if size > BODY_BYTES:
        raise TooLarge("body-large", f"A batch has at most {BODY_BYTES} bytes. Send fewer points at once.")
    return size


def counted(batch: Batch) -> Batch:
    """`batch`, if it has no more lines than one may have.

    Raises:
        TooLarge: ``body-large``.
    """
    if batch.count > BODY_LINES + 1:  # the last one may be empty
        raise TooLarge("body-large", f"A batch has at most {BODY_LINES} points. Send fewer at once.")
    return batch
