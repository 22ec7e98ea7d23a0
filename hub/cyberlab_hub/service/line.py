"""The queue of one kind of job, and what is in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cyberlab.wire import ErrorInfo, JobKind

from cyberlab_hub.service.journal import JobLog
from cyberlab_hub.service.progress import JobProgress


@dataclass(frozen=True)
class Outcome:
    """How work ended. With `error`, the job has failed and `result` still tells what is known."""

    result: dict[str, Any]
    error: ErrorInfo | None = None


Work = Callable[[JobProgress], Outcome]


@dataclass(eq=False)
class Live:
    """A job that has not ended, in memory."""

    id: str
    kind: JobKind
    owner: str
    lane: str
    claims: frozenset[str]
    work: Work
    log: JobLog
    progress: JobProgress
    number: int
    """Later ones have higher numbers."""
    told_place: int = 0


@dataclass
class Line:
    """The queue of one kind: owners take turns, and one owner's jobs keep their order."""

    slots: int
    waiting: list[Live] = field(default_factory=list)
    """In the order in which they will be taken."""
    running: Counter[str] = field(default_factory=Counter)
    """Jobs of each owner that run."""
    _served: dict[str, int] = field(default_factory=dict)
    """When each owner had a turn last, as a number that grows."""

    def sort(self) -> None:
        """Everybody's first job goes before anybody's second; whose last turn is longest ago goes first.

        What runs already counts as an owner's first.
        """
        turns = Counter(self.running)
        ranked = []
        for live in sorted(self.waiting, key=lambda live: live.number):
            ranked.append((turns[live.owner], self._served.get(live.owner, 0), live.number, live))
            turns[live.owner] += 1
        self.waiting = [live for *_, live in sorted(ranked, key=lambda entry: entry[:3])]

    def begin(self, live: Live) -> None:
        """It is no longer waiting: it runs."""
        self.waiting.remove(live)
        self.running[live.owner] += 1
        if not self.waiting:
            self._served.clear()  # nobody waits, so nobody has waited longer
        self._served[live.owner] = max(self._served.values(), default=0) + 1
        self.sort()

    def end(self, live: Live) -> None:
        self.running -= Counter([live.owner])
        self.sort()

    @property
    def full(self) -> bool:
        return len(self.waiting) + self.running.total() > self.slots
