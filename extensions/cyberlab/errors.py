"""Every error the client raises on purpose.

    LabError                 code, message, problems
    ├── NotSignedIn          no token, or one the lab does not know (any more)
    ├── NotAllowed           signed in, but the rule says no
    ├── NotFound             no such image, job, deployment, device or spec
    ├── Conflict             something is still in use
    │   └── NameTaken        the name is used by something else
    ├── SpecRefused          problems, one a field
    ├── QueryRefused         the database did not understand or does not allow the question
    ├── OverQuota            too many builds, images or bytes
    ├── PartDown             the lab answers, but a part of it (engine, registry, database ...) does not
    ├── JobFailed            a build, trial or deployment went wrong; `job` has the details
    │   └── JobCancelled     somebody stopped it
    ├── TimedOut             it did not happen in the time given; nothing was stopped
    └── Unreachable          the lab itself does not answer

`code` is stable and for programs, `message` is for people: what happened, where, what to do next.
Exceptions of httpx and pydantic are translated in `cyberlab.transport`, always with ``raise ... from``.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

    from cyberlab.wire import ErrorInfo, Job, Problem, QuotaUse


class LabError(Exception):
    """`str(error)` is the message and, below it, one line for each problem."""

    def __init__(self, code: str, message: str, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.problems = tuple(problems)

    @property
    def headline(self) -> str:
        """`message` without the problem that the lab put into it: for where all problems stand below."""
        first = self.problems[0].message if self.problems else ""
        return self.message.partition(first)[0].rstrip(": ") or self.message if first else self.message

    @property
    def beneath(self) -> tuple[Problem, ...]:
        """The problems that `headline` does not say already."""
        return tuple(problem for problem in self.problems if problem.message != self.headline)

    def __str__(self) -> str:
        return "\n".join([self.headline, *(f"  {p.path}: {p.message}" for p in self.beneath)])

    def _render_traceback_(self) -> list[str]:
        """What a notebook shows: the sentence and the reader's own line, instead of thirty lines of ours."""
        ours = str(Path(__file__).parent)
        frames = [one for one in extract_tb(self.__traceback__) if not one.filename.startswith(ours)]
        where = f"\x1b[2mline {frames[-1].lineno}: {frames[-1].line}\x1b[0m" if frames else ""
        return [line for line in (where, f"\x1b[1;31m{type(self).__name__}\x1b[0m: {self}") if line]


class NotSignedIn(LabError): ...


class NotAllowed(LabError): ...


class NotFound(LabError): ...


class Conflict(LabError): ...


class NameTaken(Conflict): ...


class SpecRefused(LabError): ...


class QueryRefused(LabError): ...


class OverQuota(LabError):
    """`quota` has the numbers behind the sentence, where the lab gave them."""

    quota: QuotaUse | None = None


class PartDown(LabError):
    """`code` says which: ``engine-down``, ``swarm-down``, ``registry-down``, ``database-down`` ..."""


class JobFailed(LabError):
    """`job` is the job as it ended; its log is still there: ``lab.job(error.job.id).events()``."""

    def __init__(self, code: str, message: str, problems: Iterable[Problem] = (), *, job: Job) -> None:
        super().__init__(code, message, problems)
        self.job = job


class JobCancelled(JobFailed): ...


class TimedOut(LabError): ...


class Unreachable(LabError): ...


_BY_STATUS: dict[int, type[LabError]] = {
    400: LabError,
    401: NotSignedIn,
    403: NotAllowed,
    404: NotFound,
    409: Conflict,
    413: SpecRefused,
    422: SpecRefused,
    429: OverQuota,
    502: PartDown,
    503: PartDown,
    504: PartDown,
}
_BY_CODE: dict[str, type[LabError]] = {"name-taken": NameTaken, "query-refused": QueryRefused}


def from_answer(status: int, info: ErrorInfo) -> LabError:
    """The error for an answer of the lab: its code decides, then its HTTP status."""
    kind = _BY_CODE.get(info.code) or _BY_STATUS.get(status, LabError)
    error = kind(info.code, info.message, info.problems)
    if isinstance(error, OverQuota):
        error.quota = info.quota
    return error


_SAID = {
    "missing": "This field is needed.",
    "extra_forbidden": "There is no such field. Check its spelling.",
    "string_type": "Give a text here.",
    "tuple_type": "Give a list here.",
    "dict_type": "Give names with values here.",
    "int_parsing": "Give a whole number here.",
}
"""pydantic's codes in a student's words; others keep pydantic's own."""


def refused(error: ValidationError, what: str) -> SpecRefused:
    """The same as pydantic says, as problems of the fields of `what`."""
    from cyberlab.wire import Problem  # pydantic and the models are there already, or there were no error

    problems = [
        Problem(
            path=field_path(one["loc"]),
            code=one["type"].replace("_", "-"),
            message=_SAID.get(one["type"], one["msg"]),
        )
        for one in error.errors(include_url=False)
    ]
    return SpecRefused("field-invalid", f"The {what} is not filled in right.", problems)


def field_path(parts: Iterable[str | int]) -> str:
    """``("files", 0, "path")`` as ``files[0].path``."""
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path
