"""How often a password may be guessed."""

from __future__ import annotations

import time
from collections.abc import Callable


class Throttle:
    """Lets a name try `limit` times, then not for `seconds` after the last try.

    A try is counted when it begins, so that a hundred tries at once count as a hundred. Held in memory: a hub
    restart forgives, and only names that have an account are counted, so it cannot grow without end.
    """

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.seconds = seconds
        self._clock = clock
        self._tries: dict[str, tuple[int, float]] = {}

    def blocked_for(self, name: str) -> float:
        """Seconds until the name may try again; 0 when it may now."""
        count, last = self._tries.get(name, (0, 0.0))
        if count < self.limit:
            return 0.0
        left = last + self.seconds - self._clock()
        if left <= 0:
            del self._tries[name]
            return 0.0
        return left

    def tries(self, name: str) -> None:
        """A try begins."""
        count, _ = self._tries.get(name, (0, 0.0))
        self._tries[name] = (count + 1, self._clock())

    def succeeded(self, name: str) -> None:
        """The password was right: the count begins again."""
        self._tries.pop(name, None)
