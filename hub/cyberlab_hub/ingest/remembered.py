"""What the lab's database says of somebody, asked for every few seconds and not for every batch."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from cyberlab_hub.errors import PartDown

FRESH_SECONDS = 5.0
"""How long a change takes to count."""
KEPT = 5_000
"""Answers remembered."""

log = logging.getLogger(__name__)
T = TypeVar("T")


class Remembered(Generic[T]):
    """Safe to use from every thread; asking blocks.

    While the database is away the last answer goes on to count, and the default where there is none: readings must not
    wait for it.
    """

    def __init__(
        self, ask: Callable[[str], T], default: T, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._default = default
        self._clock = clock
        self._lock = threading.Lock()
        self._answers: dict[str, tuple[float, T]] = {}

    def of(self, name: str) -> T:
        now = self._clock()
        with self._lock:
            known = self._answers.get(name)
        if known is not None and now - known[0] < FRESH_SECONDS:
            return known[1]
        try:
            answer = self._ask(name)
        except PartDown as error:
            log.warning("what holds for %s cannot be read (%s): as before", name, error)
            answer = self._default if known is None else known[1]
        with self._lock:
            if len(self._answers) >= KEPT:
                self._answers.clear()
            self._answers[name] = (now, answer)
        return answer
