"""How often passwords may be guessed: by name, and by the address that guesses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

REMEMBERED = 10_000
"""Names or addresses at once. Past it the one that is oldest is forgotten."""


class Throttle:
    """Lets a key try `limit` times, then not for `seconds` after the last try.

    A try is counted when it begins, so that a hundred tries at once count as a hundred. Tries that lie further
    back than `seconds` count no more. Held in memory: a hub restart forgives.
    """

    def __init__(self, limit: int, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.seconds = seconds
        self._clock = clock
        self._tries: dict[str, tuple[int, float]] = {}

    def blocked_for(self, key: str) -> float:
        """Seconds until the key may try again; 0 when it may now."""
        count, last = self._fresh(key)
        return last + self.seconds - self._clock() if count >= self.limit else 0.0

    def tries(self, key: str) -> None:
        """A try begins."""
        count, _ = self._fresh(key)
        self._tries.pop(key, None)  # put last: the order of the dict is the order of the last tries
        self._tries[key] = (count + 1, self._clock())
        if len(self._tries) > REMEMBERED:
            del self._tries[next(iter(self._tries))]

    def succeeded(self, key: str) -> None:
        """The try was good, and so is the key: its count begins again."""
        self._tries.pop(key, None)

    def take_back(self, key: str) -> None:
        """The try was good, which says nothing of the others: they still count."""
        count, last = self._fresh(key)
        if count:
            self._tries[key] = (count - 1, last)

    def _fresh(self, key: str) -> tuple[int, float]:
        count, last = self._tries.get(key, (0, 0.0))
        if self._clock() - last >= self.seconds:
            self._tries.pop(key, None)
            return 0, 0.0
        return count, last


def machine_of(address: str) -> str:
    """What counts as one who guesses: the address; of IPv6 the /64, which one machine has to itself."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return f"{IPv6Address(int(ip) >> 64 << 64)}/64"
    return str(ip)


def in_minutes(seconds: float) -> str:
    """``1 minute``, ``10 minutes``: how long to wait, rounded up."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes} minute{'s' * (minutes != 1)}"
