"""Jobs: builds, trials and deployments as rows that outlive the request, the browser tab and the service.

    submit -> QUEUED -> a worker of its kind takes it -> work(progress) -> DONE | FAILED | CANCELLED

Each kind has its own small number of workers, for which owners take turns (`line`). Two jobs of one *lane* (the
same image name, the same deployment) never run at once. What was queued or running when the service died is marked
failed at the next start.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from itertools import count
from typing import Any

from cyberlab.wire import ErrorInfo, Job, JobKind, Phase

from cyberlab_hub.errors import Cancelled, HubError, PartDown
from cyberlab_hub.service.bell import Bell
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.job_rows import RESTARTED, JobRows
from cyberlab_hub.service.journal import JobLog, Journal
from cyberlab_hub.service.line import Line, Live, Outcome, Work
from cyberlab_hub.service.models import now
from cyberlab_hub.service.progress import JobProgress

log = logging.getLogger(__name__)


class Jobs:
    """Queues and workers. What is only read comes from `rows`."""

    def __init__(self, database: Database, slots: Mapping[JobKind, int]) -> None:
        self.bell = Bell()
        self.rows = JobRows(database)
        self._journal = Journal(database, self.bell)
        self._changed = threading.Condition()
        self._lines = {kind: Line(number) for kind, number in slots.items()}
        self._live: dict[str, Live] = {}
        self._numbers = count()
        self._busy_lanes: set[tuple[str, str]] = set()
        self._closing = False

    def start(self, tidy: Callable[[], None] = lambda: None) -> None:
        """Mark what the last run left behind; then, in the background, `tidy` up and begin to work.

        Jobs may be submitted at once: they wait until `tidy` has ended.
        """
        left = self.rows.mark_left_behind()
        if left:
            log.warning("%d jobs were not finished when the service stopped: marked as failed", left)
        threading.Thread(target=self._begin, args=(tidy,), name="begin", daemon=True).start()

    def _begin(self, tidy: Callable[[], None]) -> None:
        try:
            tidy()
        except HubError as error:
            log.warning("what earlier jobs left behind is still there: %s", error)
        except Exception:
            log.exception("what earlier jobs left behind is still there")
        for kind, line in self._lines.items():
            for number in range(line.slots):
                name = f"{kind.value}-{number}"
                threading.Thread(target=self._work, args=(line,), name=name, daemon=True).start()

    # ------------------------------------------------------------ making jobs
    def submit(
        self,
        kind: JobKind,
        owner: str,
        name: str,
        work: Work,
        *,
        lane: str = "",
        claims: Iterable[str] = (),
        admit: Callable[[int], None] = lambda _active: None,
    ) -> Job:
        """Queue work. `admit` is given the owner's queued and running jobs of this kind and may refuse.
        `claims` is what the work will occupy; `live` tells it while the job has not ended.

        Raises:
            PartDown: the database is away, or the service is stopping.
            HubError: what `admit` raises.
        """
        live = self._new(kind, owner, work, lane, frozenset(claims))
        with self._changed:
            if self._closing:
                raise PartDown("lab-down", "The lab service is being stopped. Try again in a minute.")
            admit(sum(1 for job in self._live.values() if job.owner == owner and job.kind == kind))
            self._live[live.id] = live
        try:
            self.rows.add(live.id, kind, owner, name)
        except PartDown:
            self._forget(live)
            raise
        with self._changed:
            line = self._lines[kind]
            line.waiting.append(live)
            line.sort()
            if line.full:
                live.told_place = line.waiting.index(live) + 1
            live.log.enter(Phase.QUEUED, _place(live.told_place))
            if line.full:
                self._tell_places(line)
            self._changed.notify_all()
        return self.rows.get(owner, live.id)

    def record_done(self, kind: JobKind, owner: str, name: str, result: dict[str, Any], text: str) -> Job:
        """A job that had nothing to do: it is there, with its events, and has ended well."""
        live = self._new(kind, owner, lambda _: Outcome(result), "")
        self.rows.add(live.id, kind, owner, name)
        live.log.enter(Phase.DONE, text, started=now(), finished=now(), result=result)
        self._journal.flush()
        return self.rows.get(owner, live.id)

    def _new(
        self, kind: JobKind, owner: str, work: Work, lane: str, claims: frozenset[str] = frozenset()
    ) -> Live:
        job = f"{kind.value[0]}{secrets.token_hex(8)}"
        journal = JobLog(self._journal, job)
        progress = JobProgress(journal)
        return Live(job, kind, owner, lane or job, claims, work, journal, progress, next(self._numbers))

    def live(self, owner: str, kind: JobKind) -> tuple[tuple[str, frozenset[str]], ...]:
        """Lane and claims of the owner's queued and running jobs of this kind."""
        with self._changed:
            return tuple(
                (j.lane, j.claims) for j in self._live.values() if j.owner == owner and j.kind == kind
            )

    def active(self, owner: str, lane: str) -> tuple[str, ...]:
        """The queued and running jobs of that lane."""
        with self._changed:
            return tuple(j.id for j in self._live.values() if j.owner == owner and j.lane == lane)

    # ------------------------------------------------------------ stopping
    def cancel(self, owner: str, job: str, kind: JobKind | None = None) -> Job:
        """Ask it to stop: a queued job ends at once, a running one soon, an ended one stays as it is.

        Raises:
            NotFound: as `JobRows.get`.
        """
        self.rows.get(owner, job, kind)
        with self._changed:
            live = self._live.get(job)
            queued = live is not None and live in self._lines[live.kind].waiting
            if live is not None and queued:
                line = self._lines[live.kind]
                line.waiting.remove(live)
                line.sort()
                self._tell_places(line)
        if live is not None and queued:
            self._end(live, Phase.CANCELLED, "Cancelled before it began.")
            self._forget(live)
        elif live is not None:
            live.progress.cancel()
        return self.rows.get(owner, job)

    def wait(self, job: str, seconds: float) -> bool:
        """Wait until a job has ended. False: it has not, within that time."""
        with self._changed:
            return self._changed.wait_for(lambda: job not in self._live, seconds)

    def close(self, seconds: float) -> None:
        """Stop within that time: streams end, running work is told to stop.

        What does not stop in time is marked as failed at the next start.
        """
        self.bell.close()
        with self._changed:
            self._closing = True
            waiting = [live for line in self._lines.values() for live in line.waiting]
            running = [live for live in self._live.values() if live not in waiting]
            for line in self._lines.values():
                line.waiting.clear()
            self._changed.notify_all()
        for live in waiting:
            self._fail(live, RESTARTED)
            self._forget(live)
        for live in running:
            live.progress.cancel()
        with self._changed:
            self._changed.wait_for(lambda: not self._live, seconds)
        self._journal.close()

    # ------------------------------------------------------------ working
    def _work(self, line: Line) -> None:
        while True:
            with self._changed:
                while (live := self._take(line)) is None:
                    if self._closing:
                        return
                    self._changed.wait()
            self._run(live)
            with self._changed:
                line.end(live)
                self._busy_lanes.discard((live.owner, live.lane))
            self._forget(live)

    def _take(self, line: Line) -> Live | None:
        free = (job for job in line.waiting if (job.owner, job.lane) not in self._busy_lanes)
        live = next(free, None)
        if live is not None:
            line.begin(live)
            self._busy_lanes.add((live.owner, live.lane))
            self._tell_places(line)
        return live

    def _tell_places(self, line: Line) -> None:
        for place, live in enumerate(line.waiting, 1):
            if live.told_place != place:
                live.told_place = place
                live.log.enter(Phase.QUEUED, _place(place))

    def _run(self, live: Live) -> None:
        live.log.enter(Phase.PREPARING, started=now())
        try:
            outcome = live.work(live.progress)
        except Cancelled as error:
            self._stopped(live, error.message)
        except HubError as error:
            if live.progress.cancelled:
                self._stopped(live, "Cancelled.")  # what failed, failed because we stopped it
            else:
                self._fail(live, error.info())
        except Exception:
            incident = secrets.token_hex(4)
            log.exception("incident %s: job %s", incident, live.id)
            self._fail(live, internal(incident))
        else:
            if outcome.error:
                self._fail(live, outcome.error, outcome.result)
            else:
                self._end(live, Phase.DONE, "", result=outcome.result)

    def _stopped(self, live: Live, text: str) -> None:
        if self._closing:
            self._fail(live, RESTARTED)
        else:
            self._end(live, Phase.CANCELLED, text)

    def _fail(self, live: Live, error: ErrorInfo, result: dict[str, Any] | None = None) -> None:
        live.log.error(error.message)
        self._end(live, Phase.FAILED, error.message, error=error.model_dump(mode="json"), result=result)

    def _end(
        self,
        live: Live,
        phase: Phase,
        text: str,
        error: dict[str, Any] | None = None,
        result: dict[str, Any] | None = None,
    ) -> None:
        live.log.enter(phase, text, finished=now(), error=error, result=result or {})
        try:
            self._journal.flush()
        except PartDown:
            log.warning("the end of job %s is written when the database is back", live.id)

    def _forget(self, live: Live) -> None:
        with self._changed:
            self._live.pop(live.id, None)
            self._changed.notify_all()


def internal(incident: str) -> ErrorInfo:
    """What a user is told about a fault of ours: no details, and a number to quote."""
    said = "Something in the lab went wrong; it is not your fault. Tell your teacher this number"
    return ErrorInfo(code="internal", message=f"{said}: {incident}.")


def _place(place: int) -> str:
    return f"Place {place} in the queue" if place else ""
