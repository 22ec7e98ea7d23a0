"""The rows of jobs: made, read, pruned, and marked when the service died under them."""

from __future__ import annotations

from datetime import datetime

from cyberlab.wire import ErrorInfo, Job, JobEvent, JobKind, Phase
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cyberlab_hub.errors import NotFound
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import JobEventRow, JobRow, now

KEPT_JOBS = 100
"""Ended jobs kept for each owner, newest first; older ones go with their logs."""
ENDED = tuple(phase.value for phase in Phase if phase.ended)
RESTARTED = ErrorInfo(
    code="service-restarted",
    message="The lab service was restarted before this was finished. Nothing else is lost: start it again.",
)


class JobRows:
    """Reading and making rows of `job`; events and changes of running jobs go through `journal`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, job: str, kind: JobKind, owner: str, name: str) -> None:
        """A new row; the owner's oldest ended jobs make room."""
        row = JobRow(id=job, kind=kind.value, owner=owner, name=name, phase=Phase.QUEUED.value, result={})
        row.created = now()
        with self._database.session() as session:
            session.add(row)
            _prune(session, owner)

    def get(self, owner: str, job: str, kind: JobKind | None = None) -> Job:
        """One job.

        Raises:
            NotFound: there is none, it is another user's, or of another kind.
        """
        with self._database.session() as session:
            row = session.get(JobRow, job)
        if row is None or row.owner != owner or (kind is not None and row.kind != kind.value):
            unknown = NotFound("job-unknown", f"You have no {kind.value if kind else 'job'} {job}.")
            if row is not None and row.owner != owner:
                unknown.noted = "not-yours"
            raise unknown
        return _view(row)

    def newest(self, owner: str, kind: JobKind | None, limit: int) -> list[Job]:
        """The owner's jobs, newest first."""
        wanted = select(JobRow).where(JobRow.owner == owner)
        if kind is not None:
            wanted = wanted.where(JobRow.kind == kind.value)
        with self._database.session() as session:
            rows = session.scalars(wanted.order_by(JobRow.created.desc(), JobRow.id).limit(limit)).all()
        return [_view(row) for row in rows]

    def page(self, owner: str, job: str, after: int, limit: int) -> tuple[Job, list[JobEvent]]:
        """The job, then its events with an id over `after`: when the job has ended, they are all written."""
        view = self.get(owner, job)
        # columns, not objects: a noisy log has 50,000 rows
        wanted = select(*JobEventRow.__table__.columns).where(JobEventRow.job == job, JobEventRow.id > after)
        with self._database.session() as session:
            rows = session.execute(wanted.order_by(JobEventRow.id).limit(limit)).mappings().all()
        return view, [JobEvent.model_validate(dict(row)) for row in rows]

    def mark_left_behind(self) -> int:
        """Fail what was queued or running when the service died. Returns how many that were."""
        with self._database.session() as session:
            left = session.scalars(select(JobRow).where(JobRow.phase.not_in(ENDED))).all()
            for row in left:
                row.phase, row.finished, row.error = (
                    Phase.FAILED.value,
                    now(),
                    RESTARTED.model_dump(mode="json"),
                )
                last = session.scalar(select(func.max(JobEventRow.id)).where(JobEventRow.job == row.id)) or 0
                for number, kind in enumerate(("error", "phase"), last + 1):
                    session.add(_failed_event(row.id, number, kind, row.finished))
        return len(left)


def _failed_event(job: str, number: int, kind: str, at: datetime) -> JobEventRow:
    failed, text = Phase.FAILED.value, RESTARTED.message
    return JobEventRow(job=job, id=number, at=at, kind=kind, phase=failed, text=text)


def _prune(session: Session, owner: str) -> None:
    ended = select(JobRow.id).where(JobRow.owner == owner, JobRow.phase.in_(ENDED))
    too_old = session.scalars(ended.order_by(JobRow.created.desc()).offset(KEPT_JOBS).limit(KEPT_JOBS)).all()
    if too_old:
        session.execute(delete(JobEventRow).where(JobEventRow.job.in_(too_old)))
        session.execute(delete(JobRow).where(JobRow.id.in_(too_old)))


def _view(row: JobRow) -> Job:
    return Job.model_validate(row, from_attributes=True)
