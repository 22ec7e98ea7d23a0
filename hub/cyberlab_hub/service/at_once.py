"""Short work in threads: a few at once in all, fewer of each user, so that nobody's flood is another's wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

from cyberlab_hub.errors import OverQuota

T = TypeVar("T")


class AtOnce:
    def __init__(self, code: str, what: str, *, threads: int, each: int) -> None:
        """
        Args:
            code: of the refusal.
            what: as in “2 ... of yours are waiting”.
            threads: that may work at once.
            each: how many of one user may work or wait.
        """
        self._code = code
        self._what = what
        self._threads = CapacityLimiter(threads)
        self._each = each
        self._of: Counter[str] = Counter()

    async def run(self, owner: str, work: Callable[[], T]) -> T:
        """What `work` gives.

        Raises:
            OverQuota
        """
        if self._of[owner] >= self._each:
            raise OverQuota(
                self._code,
                f"{self._each} {self._what} of yours are waiting already, and {self._each} are possible at once. "
                "Wait a moment, then try again.",
            )
        self._of[owner] += 1
        try:
            return await to_thread.run_sync(work, limiter=self._threads)
        finally:
            self._of[owner] -= 1
            if not self._of[owner]:
                del self._of[owner]
