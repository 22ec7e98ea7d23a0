"""`StopClock`: ends blocking work from outside, when its time is over or the user cancels."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Literal


class StopClock:
    """Calls `action` once: `seconds` after entering, or at `cancel()`. The first reason wins; after the block none.

    `action` runs in another thread than the work and must be safe there.
    """

    def __init__(self, action: Callable[[], None], seconds: float) -> None:
        self._action = action
        self._lock = threading.Lock()
        self._over = False
        self._timer = threading.Timer(seconds, self._stop, ("time",))
        self._timer.daemon = True
        self.reason: Literal["", "cancelled", "time"] = ""

    def __enter__(self) -> StopClock:
        self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._timer.cancel()
        with self._lock:
            self._over = True

    def cancel(self) -> None:
        self._stop("cancelled")

    def _stop(self, reason: Literal["cancelled", "time"]) -> None:
        with self._lock:
            if self._over or self.reason:
                return
            self.reason = reason
        self._action()
