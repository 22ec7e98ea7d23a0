"""`Timeline`: what is known of a job at one moment, made from its events. Pure; the views draw it."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from cyberlab.errors import LabError
from cyberlab.wire import BuildUsage, Job, JobEvent, JobKind, Phase

KEPT_LINES = 200
"""Log lines a timeline remembers; the whole log stays in the lab."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

_DOING = {JobKind.BUILD: "Building", JobKind.TRIAL: "Trying out", JobKind.DEPLOY: "Deploying"}
_DONE = {JobKind.BUILD: "built", JobKind.TRIAL: "tried out", JobKind.DEPLOY: "deployed"}


def clean(text: str) -> str:
    """Text of a build or a program without colours, cursor movements and other control characters:
    whatever runs in a container must not steer the reader's terminal. Of a line that was overwritten
    (a progress bar with carriage returns) the last state is left.
    """
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").rstrip("\r\n")
    text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return _CONTROL.sub("", text.expandtabs(4))


def seconds(value: float) -> str:
    """``0.4 s``, ``12.3 s``, ``2 min 05 s``."""
    if value < 60:
        return f"{max(value, 0):.1f} s"
    return f"{int(value) // 60} min {int(value) % 60:02d} s"


@dataclass
class Stage:
    """One phase that the job went or goes through."""

    phase: Phase
    began: datetime
    ended: datetime | None = None
    text: str = ""


class Timeline:
    """Fed with `add`, closed with `end` or `leave`; everything else is for reading."""

    def __init__(self, job: Job, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self.job = job
        self.stages: list[Stage] = []
        self.step = 0
        self.steps = 0
        self.step_text = ""
        self.log: deque[str] = deque(maxlen=KEPT_LINES)
        self.lines = 0
        """Log lines seen, those forgotten again included."""
        self.heard = job.created
        """When the last event happened, on the lab's clock."""
        self.error: LabError | None = None
        self.left = ""
        """Why nobody watches any longer, and how to come back. The job goes on."""
        self._clock = clock
        self._ahead = 0.0
        """Seconds by which the lab's clock is ahead of ours, as far as the events show."""

    # ------------------------------------------------------------ feeding
    def add(self, event: JobEvent) -> None:
        self.heard = event.at
        self._ahead = max(self._ahead, (event.at - self._clock()).total_seconds())
        text = clean(event.text)
        if event.kind == "phase":
            self._enter(event, text)
        elif event.kind == "step":
            self.step, self.steps, self.step_text = event.step or 0, event.steps or 0, text
        # the text of an error comes again with the job, as what it ended with
        for line in text.split("\n") if event.kind == "log" else ():
            self.log.append(line)
            self.lines += 1

    def _enter(self, event: JobEvent, text: str) -> None:
        if self.stages and self.stages[-1].ended is None:
            if self.stages[-1].phase is event.phase:
                self.stages[-1].text = text or self.stages[-1].text
                return
            self.stages[-1].ended = event.at
        if not event.phase.ended:
            self.stages.append(Stage(event.phase, event.at, text=text))

    def end(self, job: Job, error: LabError | None = None) -> None:
        """The job has ended, with `error` if it did not end well."""
        self.job, self.error = job, error
        if self.stages and self.stages[-1].ended is None:
            self.stages[-1].ended = job.finished or self.now()

    def leave(self, why: str) -> None:
        self.left = why

    # ------------------------------------------------------------ reading
    def now(self) -> datetime:
        """The time on the lab's clock."""
        return datetime.fromtimestamp(self._clock().timestamp() + self._ahead, UTC)

    def fresh(self, seen: int) -> list[str]:
        """The log lines after the first `seen`, as far as they are remembered."""
        count = min(self.lines - seen, len(self.log))
        return list(self.log)[-count:] if count else []

    @property
    def over(self) -> bool:
        return self.job.phase.ended

    @property
    def failed(self) -> bool:
        return self.error is not None

    def took(self, stage: Stage) -> float:
        return ((stage.ended or self.now()) - stage.began).total_seconds()

    @property
    def usage(self) -> str:
        """What a build that has ended used, in a sentence; "" where nothing is known of it."""
        used = self.job.result.get("usage") if self.over else None
        return BuildUsage.model_validate(used).sentence if used else ""

    @property
    def elapsed(self) -> float:
        """Seconds from the request to the end, or to now."""
        end = (self.job.finished if self.over else None) or self.now()
        return (end - self.job.created).total_seconds()

    @property
    def fraction(self) -> float | None:
        """How much of the work is done, 0 to 1; None when the job does not count its steps."""
        if not self.steps:
            return None
        # A step that is told of has begun, not ended.
        return 1.0 if self.over and not self.failed else max(self.step - 1, 0) / self.steps

    @property
    def title(self) -> str:
        """One line, such as ``Building greenhouse`` or ``The build of greenhouse failed``."""
        job = self.job
        if self.left:
            return f"{_DOING[job.kind]} {job.name} goes on in the lab"
        if not self.over:
            return f"{_DOING[job.kind]} {job.name}"
        if job.phase is not Phase.DONE:
            how = "was stopped" if job.phase is Phase.CANCELLED else "failed"
            return f"The {job.kind} of {job.name} {how}"
        if job.result.get("reused"):
            return f"{job.result.get('image', job.name)} is unchanged: the image from before is used"
        if job.kind is JobKind.DEPLOY and job.result.get("devices"):
            count = len(job.result["devices"])
            return f"{job.name} runs on {count} device{'s' * (count != 1)}"
        if job.kind is JobKind.TRIAL and job.result.get("exit_code") is not None:
            return f"{job.name} tried out: ended with exit code {job.result['exit_code']}"
        return f"{job.result.get('image', job.name)} {_DONE[job.kind]}"
