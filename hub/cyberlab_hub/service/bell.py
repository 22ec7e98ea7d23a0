"""Wakes event streams when there is something new, so that none of them polls the database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Bell:
    """Rung from any thread with the name of a job; watchers wait on their own event loop."""

    def __init__(self) -> None:
        self.closed = False
        self._lock = threading.Lock()
        self._watchers: dict[str, set[tuple[asyncio.AbstractEventLoop, asyncio.Event]]] = {}

    @contextmanager
    def watch(self, job: str) -> Iterator[asyncio.Event]:
        """An event that is set at each ring for `job`; clear it *before* looking, so that no ring is lost."""
        watcher = (asyncio.get_running_loop(), asyncio.Event())
        with self._lock:
            self._watchers.setdefault(job, set()).add(watcher)
        try:
            yield watcher[1]
        finally:
            with self._lock:
                self._watchers[job].discard(watcher)
                if not self._watchers[job]:
                    del self._watchers[job]

    def ring(self, job: str) -> None:
        with self._lock:
            watchers = tuple(self._watchers.get(job, ()))
        for loop, event in watchers:
            with suppress(RuntimeError):  # that loop has ended, and its watcher with it
                loop.call_soon_threadsafe(event.set)

    def close(self) -> None:
        """The service stops: every stream looks once more, sees `closed` and ends."""
        self.closed = True
        with self._lock:
            jobs = tuple(self._watchers)
        for job in jobs:
            self.ring(job)
