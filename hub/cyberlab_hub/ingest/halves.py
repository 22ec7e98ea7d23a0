"""A large batch goes to InfluxDB as two, side by side: it takes one request on one processor.

There is one thread for second halves. While it is busy, others are writing too and every processor has work, so a
batch goes as one. Of two points of one series and one time, one in each half, either may be the one that stays.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from threading import Lock

from cyberlab.wire import RefusedLine

LARGE = 100_000
"""Bytes, about 1,500 points: below that a second request costs more than it saves."""

Write = Callable[[bytes], tuple[RefusedLine, ...]]


class Halves:
    """Safe to use from every thread."""

    def __init__(self) -> None:
        self._second = ThreadPoolExecutor(1, thread_name_prefix="second-half")
        self._free = Lock()

    def close(self) -> None:
        self._second.shutdown()

    def write(self, write: Write, body: bytes) -> tuple[RefusedLine, ...]:
        """`write(body)`, or `write` of each half. Raises what `write` raises, when both halves are through."""
        middle = body.find(b"\n", len(body) // 2) if len(body) >= LARGE else -1
        if middle < 0 or not self._free.acquire(blocking=False):
            return write(body)
        try:
            second = self._second.submit(write, body[middle + 1 :])
            try:
                refused = write(body[:middle])
            finally:
                wait([second])
            if later := second.result():
                before = body.count(b"\n", 0, middle) + 1
                refused += tuple(line.model_copy(update={"line": line.line + before}) for line in later)
            return refused
        finally:
            self._free.release()
