"""How much the registry holds for an owner: what the tags below the owner's name name, whoever pushed them.

Asked of the registry itself, so what was pushed by hand counts. An answer is used for some seconds, because a push
asks for several tokens in a row.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from cyberlab_hub.workshop.registry import Registry

FRESH_SECONDS = 5.0
REMEMBERED = 10_000
"""Owners, and manifests of about 1 KB."""


class Stored:
    """Threads may share it."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[float, int]] = {}
        self._manifests: dict[str, dict[str, int]] = {}

    def bytes_of(self, owner: str) -> int:
        """Raises:
        PartDown: ``registry-down``.
        """
        with self._lock:
            at, known = self._seen.get(owner, (-FRESH_SECONDS, 0))
            if self._clock() - at < FRESH_SECONDS:
                return known
            if max(len(self._seen), len(self._manifests)) >= REMEMBERED:
                self._seen.clear()
                self._manifests = {}
            manifests = self._manifests
        total = sum(self._registry.held(f"{owner}/", manifests).values())
        with self._lock:
            self._seen[owner] = (self._clock(), total)
        return total

    def forget(self, owner: str) -> None:
        """Something was deleted: measure anew."""
        with self._lock:
            self._seen.pop(owner, None)
