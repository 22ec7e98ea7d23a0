"""`JobHandle`: a build, trial or deployment that runs in the lab, seen from here.

The job belongs to the lab: closing the notebook, losing the network or pressing Ctrl-C never stops it, only
`cancel` does. `events` reads the job's server-sent events, remembers the last id and takes up the stream
again after a cut, so each event arrives once and in order. It gives up only after two minutes without any
sign of life. `follow` is the same with a clock: a thread reads, so that a caller can draw a progress
display, keep a deadline and be interrupted while the stream is silent.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cyberlab import sse
from cyberlab.errors import JobCancelled, JobFailed, LabError, PartDown, TimedOut, Unreachable
from cyberlab.transport import Transport, decoded
from cyberlab.wire import ErrorInfo, Job, JobEvent, JobKind, Phase


@dataclass(frozen=True)
class Patience:
    """How a cut stream is taken up again. Seconds."""

    first: float = 0.3
    """Pause before the first new attempt; doubled each time."""
    longest: float = 5.0
    silence: float = 45.0
    """A connection without a byte for so long is lost; the lab sends a sign of life each 15 s."""
    give_up: float = 120.0
    """No contact at all for so long: `Unreachable`."""


class JobHandle:
    """One job. `job` is its state as last heard of; `refresh` asks the lab."""

    def __init__(self, transport: Transport, job: Job, patience: Patience = Patience()) -> None:
        self._transport = transport
        self._patience = patience
        self.job = job

    @property
    def id(self) -> str:
        return self.job.id

    @property
    def kind(self) -> JobKind:
        return self.job.kind

    @property
    def name(self) -> str:
        return self.job.name

    def __repr__(self) -> str:
        return f"<{self.kind} of {self.name}: {self.job.phase}, lab.job({self.id!r})>"

    def refresh(self) -> Job:
        self.job = self._transport.get(f"/jobs/{self.id}", Job)
        return self.job

    def cancel(self) -> Job:
        """Ask the lab to stop it. Returns at once; the job ends as ``cancelled`` a moment later."""
        self.job = self._transport.post(f"/jobs/{self.id}/cancel", Job)
        return self.job

    def result(self) -> Job:
        """The job, when it ended well.

        Raises:
            JobFailed: it failed; the message says why and what to do. JobCancelled: somebody stopped it.
        """
        if self.job.phase not in (Phase.FAILED, Phase.CANCELLED):
            return self.job
        stopped = self.job.phase is Phase.CANCELLED
        info = self.job.error or ErrorInfo(
            code="cancelled" if stopped else "job-failed",
            message=f"The {self.kind} of {self.name} {'was stopped' if stopped else 'failed'}.",
        )
        kind = JobCancelled if stopped else JobFailed
        raise kind(info.code, info.message, info.problems, job=self.job)

    def wait(self, timeout: float | None = None, on_event: Callable[[JobEvent], object] | None = None) -> Job:
        """Block until the job has ended; `on_event` is called with every event from the first one on.

        Raises:
            JobFailed, JobCancelled: as `result`.
            TimedOut: `timeout` seconds are over; the job goes on.
            Unreachable: no contact with the lab for two minutes; the job goes on.
        """
        for event in self.follow(timeout=timeout):
            if event is not None and on_event is not None:
                on_event(event)
        return self.result()

    # ------------------------------------------------------------ the stream
    def events(self, after: int = 0) -> Iterator[JobEvent]:
        """Every event with an id above `after`, each once, until the job has ended; then `job` is final.

        Raises:
            Unreachable: no contact for two minutes. NotFound, NotSignedIn: at once.
        """
        return self._events(after, threading.Event())

    def past(self, quiet: float = 0.5) -> Iterator[JobEvent]:
        """The events so far: up to the end, or until nothing more came for `quiet` seconds."""
        for event in self.follow(tick=quiet):
            if event is None:
                return
            yield event

    def follow(
        self, after: int = 0, timeout: float | None = None, tick: float = 0.5
    ) -> Iterator[JobEvent | None]:
        """As `events`, but with a None at least every `tick` seconds, and a deadline.

        Raises:
            TimedOut: `timeout` seconds are over; the job goes on.
        """
        inbox: queue.SimpleQueue[JobEvent | Exception | None] = queue.SimpleQueue()
        gone = threading.Event()
        reader = threading.Thread(target=self._pump, args=(after, inbox, gone), daemon=True)
        deadline = None if timeout is None else time.monotonic() + timeout
        reader.start()
        try:
            while True:
                left = tick if deadline is None else min(tick, deadline - time.monotonic())
                if left <= 0:
                    raise self._timed_out(timeout)
                try:
                    item = inbox.get(timeout=left)
                except queue.Empty:
                    yield None
                    continue
                if item is None:
                    return
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            gone.set()

    def _pump(
        self, after: int, inbox: queue.SimpleQueue[JobEvent | Exception | None], gone: threading.Event
    ) -> None:
        try:
            for event in self._events(after, gone):
                inbox.put(event)
                if gone.is_set():
                    return
            inbox.put(None)
        except Exception as error:  # whatever it is, the waiting thread must hear of it
            inbox.put(error)

    def _events(self, last: int, gone: threading.Event) -> Iterator[JobEvent]:
        heard, pause = time.monotonic(), self._patience.first
        while not gone.is_set():
            trouble: LabError | None = None
            try:
                for message in self._messages(last):
                    heard, pause = time.monotonic(), self._patience.first
                    if message.event == "end":
                        self.job = decoded(Job, message.data)
                        return
                    if message.event:
                        event = decoded(JobEvent, message.data)
                        if event.id > last:
                            last = event.id
                            yield event
            except (Unreachable, PartDown) as error:
                trouble = error
            if time.monotonic() - heard > self._patience.give_up:
                raise self._out_of_sight() from trouble
            gone.wait(pause)
            pause = min(pause * 2, self._patience.longest)

    def _messages(self, last: int) -> Iterator[sse.Message]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(last)}
        path = f"/jobs/{self.id}/events"
        with self._transport.stream(path, headers=headers, silence=self._patience.silence) as response:
            yield from sse.messages(response.iter_bytes())

    # ------------------------------------------------------------ what went wrong
    def _timed_out(self, timeout: float | None) -> TimedOut:
        return TimedOut(
            "wait-over",
            f"The {self.kind} of {self.name} has not ended within {timeout:g} s. It goes on in the lab; come "
            f'back to it with lab.job("{self.id}").wait(), or stop it with lab.job("{self.id}").cancel().',
        )

    def _out_of_sight(self) -> Unreachable:
        return Unreachable(
            "job-out-of-sight",
            f"No contact with the lab at {self._transport.url} for {self._patience.give_up:g} s. "
            f'The {self.kind} of {self.name} goes on there; come back with lab.job("{self.id}").wait().',
        )
