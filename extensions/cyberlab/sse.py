"""Reading server-sent events (WHATWG HTML, 9.2) from a byte stream. Pure: bytes in, messages out.

Lines end at LF, CRLF or CR only. httpx's own line reader also splits at U+2028 and U+0085, which a log line
inside the JSON may well contain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_MAX_BUFFER = 8_000_000
"""Bytes of one line. A server that sends more without a line end is not ours."""


@dataclass(frozen=True)
class Message:
    event: str = ""
    """``message`` when the server named none; empty for a keep-alive comment."""
    data: str = ""
    id: str = ""


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Complete lines; what follows the last line end is dropped, as the standard says.

    Raises:
        ValueError: a line is longer than 8 MB.
    """
    buffer = b""
    for chunk in chunks:
        # A CR at the end of a chunk may be half of a CRLF: it waits for the next one.
        buffer += chunk
        held = b"\r" if buffer.endswith(b"\r") else b""
        ready = buffer[: len(buffer) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *complete, rest = ready.split(b"\n")
        buffer = rest + held
        if len(buffer) > _MAX_BUFFER:
            raise ValueError("a line of the event stream does not end")
        for line in complete:
            yield line.decode("utf-8", errors="replace")


def messages(chunks: Iterable[bytes]) -> Iterator[Message]:
    """Messages in order. A comment line gives an empty `Message`: a sign of life."""
    event, ident, data = "", "", list[str]()
    for line in lines(chunks):
        if not line:
            if data:
                yield Message(event or "message", "\n".join(data), ident)
            event, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not field:
            yield Message()
        elif field == "event":
            event = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            ident = value
