"""When a message came that does not say it itself, kept until it is acknowledged.

The broker sends again what was not acknowledged, under the same number. A reading must then get the time it had, or it
would be a second point. So the times are on disk before the points are in the database.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path


class Times:
    """Of one session. Not for several threads."""

    def __init__(self, path: Path, clock: Callable[[], int] = time.time_ns) -> None:
        self._path = path
        self._clock = clock
        self._last = 0
        self._kept: dict[int, tuple[str, int]] = self._load()
        self._saved = dict(self._kept)

    def of(self, number: int, content: bytes, *, again: bool) -> int:
        """Nanoseconds for the message; `again`: the broker says that it may have sent it before."""
        mark = hashlib.sha256(content).hexdigest()[:16]
        kept = self._kept.get(number)
        if again and kept is not None and kept[0] == mark:
            return kept[1]
        # never twice the same: two readings of one series are two points
        self._last = max(self._clock(), self._last + 1)
        self._kept[number] = (mark, self._last)
        return self._last

    def said(self, number: int) -> None:
        """That message says its time itself."""
        self._kept.pop(number, None)

    def save(self) -> None:
        """Before the points are written.

        Raises:
            OSError: the disk is full.
        """
        if self._kept == self._saved:
            return
        scratch = self._path.with_suffix(".new")
        scratch.write_text(json.dumps({str(number): kept for number, kept in self._kept.items()}))
        scratch.replace(self._path)
        self._saved = dict(self._kept)

    def forget(self, number: int) -> None:
        """Acknowledged: the number is free for another message. On disk it goes with the next `save`."""
        self._kept.pop(number, None)

    def _load(self) -> dict[int, tuple[str, int]]:
        try:
            kept = json.loads(self._path.read_text())
            return {int(number): (str(mark), int(at)) for number, (mark, at) in kept.items()}
        except FileNotFoundError:
            return {}
        except (AttributeError, TypeError, ValueError):
            # half a file cannot be, it is replaced as a whole: so somebody else wrote this
            return {}
