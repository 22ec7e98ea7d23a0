"""Trials: an image run once on the workshop engine, to see what it does before it goes to devices."""

from __future__ import annotations

from cyberlab.wire import ErrorInfo, ExecResult, Job, JobKind, Phase, TrialRequest

from cyberlab_hub.errors import Conflict
from cyberlab_hub.service import policy
from cyberlab_hub.service.images import Images, reference, repository
from cyberlab_hub.service.jobs import Jobs
from cyberlab_hub.service.line import Outcome
from cyberlab_hub.service.models import ImageRow
from cyberlab_hub.service.progress import JobProgress
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.workshop.orders import TrialEnd, TrialOrder, Workshop

EXEC_SECONDS = 30.0


class Trials:
    def __init__(self, jobs: Jobs, images: Images, workshop: Workshop, quotas: Quotas) -> None:
        self._quotas = quotas
        self._jobs = jobs
        self._images = images
        self._workshop = workshop

    def start(self, owner: str, request: TrialRequest) -> Job:
        """Queue a trial.

        Raises:
            NotFound: ``image-unknown``. SpecRefused: with every problem. OverQuota: ``quota-trials``.
        """
        policy.runnable(request.command, request.env)
        image = self._images.find(owner, request.image)
        allowed = self._quotas.of(owner, "trials")
        return self._jobs.submit(
            JobKind.TRIAL,
            owner,
            image.name,
            lambda progress: self._run(image, request, progress),
            admit=lambda active: policy.within(allowed, active),
        )

    def _run(self, image: ImageRow, request: TrialRequest, progress: JobProgress) -> Outcome:
        progress.phase(Phase.PREPARING, f"{reference(image)} runs for at most {request.seconds} s")
        order = TrialOrder(
            job=progress.job,
            owner=image.owner,
            repository=repository(image),
            digest=image.digest,
            command=request.command,
            env=tuple(sorted(request.env.items())),
            seconds=request.seconds,
        )
        end = self._workshop.run_trial(order, progress)
        return Outcome({"exit_code": end.exit_code, "reason": end.reason}, _program_error(end))

    def exec(self, owner: str, job: str, command: tuple[str, ...]) -> ExecResult:
        """Run a command inside a running trial, for at most 30 s.

        Raises:
            NotFound: no such trial. Conflict: ``trial-not-running``. SpecRefused: the command has problems.
        """
        policy.runnable(command, {})
        trial = self._jobs.rows.get(owner, job, JobKind.TRIAL)
        if trial.phase is not Phase.RUNNING:
            raise Conflict(
                "trial-not-running",
                f"This trial is not running (it is {trial.phase}). Start it again, then try the command.",
            )
        outcome = self._workshop.exec_in_trial(job, command, EXEC_SECONDS)
        return ExecResult(exit_code=outcome.exit_code, output=outcome.output)


def _program_error(end: TrialEnd) -> ErrorInfo | None:
    """A program that ended badly is a failed trial; one that the clock stopped is not: services run for ever."""
    if not end.exit_code:
        return None
    return ErrorInfo(
        code="program-failed",
        message=f"The program ended with exit code {end.exit_code} ({end.reason}). The last lines of its log say why.",
    )
