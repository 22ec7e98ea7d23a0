"""How often passwords may be guessed: by name, and by the address that guesses."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from functools import lru_cache
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


def client_address(peer: str, forwarded: str, is_ours: Callable[[str], bool]) -> str:
    """Where a request comes from. `peer`: who holds the connection; `forwarded`: its X-Forwarded-For.

    Only our own proxy (`is_ours`) is believed, and of what it passes on only the last entry, which it wrote itself:
    everything before is what the client claims. An IPv6 client counts by its /64, which one machine has to itself.
    """
    address = forwarded.rpartition(",")[2].strip() if forwarded and is_ours(peer) else peer
    try:
        ip = ip_address(address)
    except ValueError:
        return peer
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return str(ip.ipv4_mapped)
        return f"{IPv6Address(int(ip) >> 64 << 64)}/64"
    return str(ip)


@lru_cache(maxsize=1_000)
def of_this_machine(address: str) -> bool:
    """Whether it is an address of this machine, as the proxy's is and a user server's is not."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def in_minutes(seconds: float) -> str:
    """``1 minute``, ``10 minutes``: how long to wait, rounded up."""
    minutes = math.ceil(seconds / 60)
    return f"{minutes} minute{'s' * (minutes != 1)}"
