"""Points on their way: a bounded queue and the one thread that empties it.

A point leaves the queue only when the gateway has answered for it. A batch whose answer got lost is sent
again; the database keeps one of two equal points, so nothing is doubled. When the queue is full the oldest
points go, are counted, and a point of the measurement ``cyberlab_gap`` tells how many and from when to when:
gaps are listed, never hidden.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from itertools import islice

from cyberlab_edge.answers import Answer, Verdict
from cyberlab_edge.gap import Gap
from cyberlab_edge.points import Point

log = logging.getLogger("cyberlab_edge")

BATCH_LINES = 5_000
BATCH_BYTES = 900_000
"""A little under the gateway's limit of 1 MB."""
SOON = 0.05
"""Seconds that the first point after a pause waits for company."""
STEADY = 0.25
"""Seconds between two batches under steady load."""
BACKOFF_MAX = 30.0
IN_A_HURRY = 0.2
"""Longest back-off in seconds while somebody waits in `flush`."""


def backoff(attempt: int) -> float:
    """Seconds before the next try: 0.25, 0.5 ... 30, with jitter so that Pis do not come all at once."""
    seconds = min(BACKOFF_MAX, 0.25 * 2.0 ** min(attempt - 1, 10))
    return seconds * random.uniform(0.5, 1.0)  # noqa: S311 - not a secret


class Outbox:
    """`put` never blocks and never raises because of the network. Safe to use from every thread."""

    def __init__(
        self,
        send: Callable[[bytes], Answer],
        *,
        limit: int = 100_000,
        limit_bytes: int = 32_000_000,
        wait: Callable[[int], float] = backoff,
    ) -> None:
        """`send` takes lines as one body; `wait` gives the seconds before try number 2, 3, ..."""
        self._send = send
        self._limit, self._limit_bytes = limit, limit_bytes
        self._wait = wait
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._put = self._settled = 0
        """Points ever put, and points no longer waiting (written, refused or dropped)."""
        self._batch_lines = BATCH_LINES
        self._dropped_in_flight = 0
        self._gap: Gap | None = None
        self._attempt = 0
        self._last_sent = 0.0
        self._hurry = 0
        self._closed = False
        self.refused = 0
        """Points that the gateway or the database would not take."""

    # ------------------------------------------------------------ for callers
    def put(self, point: Point) -> None:
        line = point.line()
        with self._changed:
            self._lines.append(line)
            self._bytes += len(line)
            self._put += 1
            while len(self._lines) > self._limit or self._bytes > self._limit_bytes:
                self._drop_oldest()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cyberlab-outbox", daemon=True)
                self._thread.start()
            if len(self._lines) in (1, BATCH_LINES):
                self._changed.notify_all()

    def flush(self, timeout: float) -> bool:
        """Wait until everything put so far has been answered for. False when `timeout` seconds did not do."""
        with self._changed:
            target = self._put
            self._hurry += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._settled >= target, timeout)
            finally:
                self._hurry -= 1

    def close(self, timeout: float) -> bool:
        """Flush, then stop the thread. What is still here afterwards is lost."""
        done = self.flush(timeout)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            waiting = len(self._lines)
        if not done:
            log.warning("%d readings could not be sent before the end", waiting)
        return done

    @property
    def waiting(self) -> int:
        return len(self._lines)

    # ------------------------------------------------------------ the thread
    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            lines, gap = batch
            body = "\n".join([*lines, gap.line()] if gap else lines).encode()
            try:
                answer = self._send(body)
            except Exception as error:  # the thread must outlive a mistake in what it calls
                log.exception("sending readings failed")
                answer = Answer(Verdict.LATER, str(error))
            self._settle(len(lines), gap, answer)

    def _next_batch(self) -> tuple[list[str], Gap | None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._closed)
            pause = max(SOON, self._last_sent + STEADY - time.monotonic())
            self._changed.wait_for(
                lambda: self._hurry or self._closed or len(self._lines) >= BATCH_LINES, pause
            )
            if self._closed:
                return None
            lines: list[str] = []
            size = 0
            for line in islice(self._lines, self._batch_lines):
                size += 4 * len(line) if not line.isascii() else len(line) + 1
                if lines and size > BATCH_BYTES:
                    break
                lines.append(line)
            self._dropped_in_flight = 0
            return lines, self._gap

    def _settle(self, sent: int, gap: Gap | None, answer: Answer) -> None:
        if answer.verdict is Verdict.LATER or (answer.verdict is Verdict.SMALLER and sent > 1):
            if answer.verdict is Verdict.SMALLER:
                self._batch_lines = max(1, sent // 2)
            self._pause(answer)
            return
        if answer.verdict is Verdict.TAKEN:
            refused, reasons = max(answer.lost, len(answer.refused)), answer.refused
        else:
            refused, reasons = sent, (answer.reason,)
        if refused:
            log.warning(
                "%d of %d readings were refused: %s", refused, sent, "; ".join(sorted(set(reasons))[:3])
            )
        with self._changed:
            if self._attempt > 1:
                log.warning("the lab answers again; %d readings waited", len(self._lines))
            self._attempt = 0
            self.refused += refused
            self._forget(sent, gap)
            self._last_sent = time.monotonic()
            self._changed.notify_all()

    def _forget(self, sent: int, gap: Gap | None) -> None:
        """Take answered points from the queue; those dropped while under way were not lost after all."""
        saved = min(self._dropped_in_flight, sent)
        for _ in range(sent - saved):
            self._bytes -= len(self._lines.popleft())
        self._settled += sent - saved
        if self._gap is not None:
            left = self._gap.lost - saved - (gap.lost if gap else 0)
            self._gap = replace(self._gap, lost=left, first_ns=self._gap.last_ns) if left > 0 else None

    def _pause(self, answer: Answer) -> None:
        self._attempt += 1
        seconds = self._wait(self._attempt)
        if answer.wait is not None:
            # as asked, and a little more, differently for each device: they share one quota
            seconds = answer.wait * random.uniform(1.0, 1.5)  # noqa: S311 - not a secret
        if self._attempt == 2:
            log.warning("readings are kept here and sent later: %s", answer.reason)
        deadline = time.monotonic() + seconds
        with self._changed:
            if answer.verdict is Verdict.SMALLER:
                return
            while not self._closed and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(min(left, IN_A_HURRY))
                if self._hurry and answer.wait is None:
                    return

    def _drop_oldest(self) -> None:
        line = self._lines.popleft()
        self._bytes -= len(line)
        self._settled += 1
        self._dropped_in_flight += 1
        at = int(line.rsplit(" ", 1)[1])
        gap = self._gap
        if gap is None:
            log.warning("the queue of readings is full: the oldest are dropped")
            self._gap = Gap(1, at, at)
        else:
            self._gap = gap.with_more(1, at, at)
