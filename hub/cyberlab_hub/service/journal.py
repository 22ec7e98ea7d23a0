"""What jobs tell, on its way into the database.

A job's thread only appends to a list; one thread writes what has gathered every 100 ms, events and the job's
own row in one transaction, and then rings the bell. So a build that prints 100,000 lines is not slowed by the
database, and a stream that reads after the bell sees whole, ordered pages. A database that is away for a
while delays events and loses none.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from cyberlab.wire import JobEvent, Phase
from sqlalchemy import insert, update

from cyberlab_hub.errors import PartDown
from cyberlab_hub.service.bell import Bell
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import JobEventRow, JobRow, now

LOG_CHARACTERS = 4_000_000
"""A job's log is kept up to here, and then its end."""
LINE_CHARACTERS = 4_000
TAIL_LINES = 200
"""So many last lines are kept of a log that is too long: the end is where the error stands."""
BATCH_SECONDS = 0.1
RETRY_SECONDS = 1.0

log = logging.getLogger(__name__)


class Changes(TypedDict, total=False):
    """Columns of the job's row that change together with its phase."""

    started: datetime
    finished: datetime
    error: dict[str, Any] | None
    result: dict[str, Any]


class Journal:
    """Batches events of all jobs into the database. One writer thread."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._events: list[JobEvent] = []
        self._changes: dict[str, dict[str, Any]] = {}
        self._dirty = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def put(self, event: JobEvent, changes: Changes | None = None) -> None:
        """Remember an event; with `changes` (also empty ones) the row takes the event's phase too.

        Never waits for the database.
        """
        with self._lock:
            self._events.append(event)
            if changes is not None:
                row = self._changes.setdefault(event.job, {})
                row.update({"phase": event.phase.value, **changes})
        self._dirty.set()

    def flush(self) -> None:
        """Write everything now.

        Raises:
            PartDown: ``database-down``; everything is kept for the next time.
        """
        with self._writing:
            with self._lock:
                events, self._events = self._events, []
                changes, self._changes = self._changes, {}
            if not events:
                return
            try:
                self._write(events, changes)
            except PartDown:
                with self._lock:
                    self._events = events + self._events
                    for job, later in self._changes.items():
                        changes.setdefault(job, {}).update(later)
                    self._changes = changes
                self._dirty.set()
                raise
        for job in {event.job for event in events}:
            self._bell.ring(job)

    def _write(self, events: list[JobEvent], changes: dict[str, dict[str, Any]]) -> None:
        with self._database.session() as session:
            # a plain str for the phase: drivers differ in what they make of an enum
            rows = [{**dict(event), "phase": event.phase.value} for event in events]
            session.execute(insert(JobEventRow), rows)
            for job, columns in changes.items():
                session.execute(update(JobRow).where(JobRow.id == job).values(**columns))

    def _run(self) -> None:
        while not self._closed.is_set():
            self._dirty.wait()
            self._dirty.clear()
            pause = BATCH_SECONDS
            try:
                self.flush()
            except PartDown:
                log.exception("the database does not take the events of jobs; trying again")
                pause = RETRY_SECONDS
            self._closed.wait(pause)

    def close(self) -> None:
        """Stop the writer and write what is left."""
        self._closed.set()
        self._dirty.set()
        self._thread.join(timeout=2)
        try:
            self.flush()
        except PartDown:
            log.exception("the last events of jobs could not be written")


class JobLog:
    """One job's writing side: numbers its events, keeps its phase, cuts what is too long."""

    def __init__(self, journal: Journal, job: str) -> None:
        self.job = job
        self.phase = Phase.QUEUED
        self._journal = journal
        self._lock = threading.Lock()
        self._next = 1
        self._size = 0
        self._left_out: deque[str] | None = None
        self._dropped = 0

    def enter(self, phase: Phase, text: str = "", **changes: Unpack[Changes]) -> None:
        """A new phase, or more words about this one."""
        with self._lock:
            if phase.ended:
                self._end_log()
            self.phase = phase
            self._put("phase", text, changes=changes)

    def error(self, text: str) -> None:
        with self._lock:
            self._put("error", text)

    def step(self, step: int, steps: int, text: str) -> None:
        with self._lock:
            self._put("step", text, step=step, steps=steps)

    def line(self, text: str) -> None:
        """A line of the program's or the builder's own output."""
        if len(text) > LINE_CHARACTERS:
            text = f"{text[:LINE_CHARACTERS]} ... (cut: {len(text)} characters)"
        with self._lock:
            if self._left_out is not None:
                self._dropped += len(self._left_out) == TAIL_LINES
                self._left_out.append(text)
                return
            self._size += len(text)
            self._put("log", text)
            if self._size > LOG_CHARACTERS:
                self._left_out = deque(maxlen=TAIL_LINES)
                self._put(
                    "log",
                    f"(This log is longer than {LOG_CHARACTERS // 1_000_000} MB. "
                    f"Of what follows, only the last {TAIL_LINES} lines are kept.)",
                )

    def _end_log(self) -> None:
        if not self._left_out:
            return
        if self._dropped:
            self._put("log", f"({self._dropped} lines are left out here.)")
        for text in self._left_out:
            self._put("log", text)
        self._left_out = None

    def _put(
        self,
        kind: Literal["phase", "log", "step", "error"],
        text: str,
        step: int | None = None,
        steps: int | None = None,
        changes: Changes | None = None,
    ) -> None:
        number, self._next = self._next, self._next + 1
        told = {"kind": kind, "text": storable(text), "step": step, "steps": steps}
        event = JobEvent.model_validate(
            {"id": number, "job": self.job, "at": now(), "phase": self.phase, **told}
        )
        self._journal.put(event, changes)


def storable(text: str) -> str:
    """Text that every database takes: no NUL (PostgreSQL), no lone surrogates (UTF-8)."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")
