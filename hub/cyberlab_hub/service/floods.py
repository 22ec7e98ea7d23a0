"""Entries of the audit that come in floods become few rows, and none is forgotten without a count.

Whoever sends a thousand requests a minute must neither fill the disk nor hide one act among the others. So each
*lane* may write so many rows in a minute; what comes on top is counted, and told in one row (`times`) when the
minute is over. The bounds, rows a minute:

    a stranger (no valid token)      1 for each address and call (sign-in: 10), 30 for all strangers together
    an account, what was refused     30
    an account, what was done        60; points written from a notebook 1

The counts are in memory: a service that is killed loses at most the last minute's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from cyberlab.wire import AuditEntry

WINDOW_SECONDS = 60.0
STRANGERS = 30
REFUSED = 30
DONE = 60
FREQUENT = {"write_points": 1}
"""Calls that a program makes all the time, and that change nothing but a measurement."""
STRANGER = {"sign_in": 10}
"""Rows of one address for a call; other calls have one. A class signs in at once, from behind one router."""
SEVERAL = "(several)"

Lane = tuple[str, ...]


@dataclass
class _Window:
    """One lane's minute."""

    over: float
    left: int
    held: AuditEntry | None = None

    def hold(self, entry: AuditEntry) -> None:
        if self.held is None:
            self.held = entry
            return
        texts = ("actor", "action", "object", "reason", "address")
        same = {
            name: getattr(entry, name) if getattr(entry, name) == getattr(self.held, name) else SEVERAL
            for name in texts
        }
        self.held = entry.model_copy(update={**same, "times": self.held.times + entry.times})


class Floods:
    """Safe to use from every thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[Lane, _Window] = {}

    def take(self, entry: AuditEntry) -> list[AuditEntry]:
        """What is to be written now: the counts of lanes whose minute is over, and this entry if it has room."""
        with self._lock:
            written = self._over(self._clock())
            window = self._window(entry)
            if window.left:
                window.left -= 1
                written.append(entry)
            else:
                window.hold(entry)
            return written

    def over(self, *, all_of_them: bool = False) -> list[AuditEntry]:
        """The counts of lanes whose minute is over, or of all."""
        with self._lock:
            return self._over(float("inf") if all_of_them else self._clock())

    def _over(self, at: float) -> list[AuditEntry]:
        ended = [lane for lane, window in self._windows.items() if window.over <= at]
        held = [self._windows.pop(lane).held for lane in ended]
        return [entry for entry in held if entry is not None]

    def _window(self, entry: AuditEntry) -> _Window:
        if entry.actor:
            frequent = FREQUENT.get(entry.action) if entry.allowed else None
            lane = (entry.actor, str(entry.allowed), entry.action if frequent else "")
            return self._opened(lane, frequent or (DONE if entry.allowed else REFUSED))
        known = self._windows.get(("", entry.address, entry.action))
        if known is not None:
            return known
        everybody = self._opened(("",), STRANGERS)
        rows = min(STRANGER.get(entry.action, 1), everybody.left)
        if not rows:
            return everybody  # an attacker with many addresses must not fill the memory either
        everybody.left -= rows
        return self._opened(("", entry.address, entry.action), rows)

    def _opened(self, lane: Lane, rows: int) -> _Window:
        if lane not in self._windows:
            self._windows[lane] = _Window(self._clock() + WINDOW_SECONDS, rows)
        return self._windows[lane]
