"""`workshop.orders.Progress` for one running job."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from cyberlab.wire import Phase

from cyberlab_hub.service.journal import JobLog

log = logging.getLogger(__name__)


class JobProgress:
    """What work tells goes into the job's log; what the user's cancel does goes to the work."""

    def __init__(self, journal: JobLog) -> None:
        self.job = journal.job
        self._journal = journal
        self._lock = threading.Lock()
        self._cancelled = False
        self._stops: list[Callable[[], None]] = []

    def phase(self, phase: Phase, text: str = "") -> None:
        """A phase of the work itself; that a job is queued or has ended is told by `Jobs` alone."""
        if phase.ended or phase is Phase.QUEUED:
            raise ValueError(f"{phase} is not a phase of work")
        self._journal.enter(phase, text)

    def log(self, text: str) -> None:
        self._journal.line(text)

    def step(self, step: int, steps: int, text: str) -> None:
        self._journal.step(step, steps, text)

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, stop: Callable[[], None]) -> None:
        with self._lock:
            self._stops.append(stop)
            late = self._cancelled
        if late:
            _call(stop)

    def cancel(self) -> None:
        """Tell the work to stop. Only the first call does anything."""
        with self._lock:
            stops = () if self._cancelled else tuple(self._stops)
            self._cancelled = True
        for stop in stops:
            _call(stop)


def _call(stop: Callable[[], None]) -> None:
    try:
        stop()
    except Exception:
        log.exception("stopping a job went wrong")
