"""Every error the server side raises on purpose.

    HubError                 code, message, problems
    ├── NotSignedIn          no token, or a token the hub does not know
    ├── NotAllowed           signed in, but the rule says no
    ├── NotFound
    ├── Conflict             a name taken, something still in use
    ├── SpecRefused          problems, one a field
    ├── QueryRefused         InfluxDB (or the lab) will not run this query; its own words
    ├── OverQuota            names the quota, its value and what is in use
    ├── PartDown             a part (engine, swarm, registry, database) does not answer
    ├── WorkFailed           a build, trial or deployment that went wrong because of what it runs
    ├── Cancelled            the user stopped it
    └── SetupError           `make up` cannot go on; says what to do

Domain code raises these; `service.app` alone knows their HTTP status. Exceptions of docker, SQLAlchemy,
httpx and InfluxDB are translated where those libraries are called (`raise ... from`).
"""

from __future__ import annotations

from cyberlab.wire import ErrorInfo, Problem, QuotaUse


class HubError(Exception):
    """`message` is shown to the user as it is: what happened, where, and what to do next."""

    noted = ""
    """What the audit says instead of `code`, where the user must not learn it (``not-yours``)."""

    def __init__(self, code: str, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.problems = problems

    def info(self) -> ErrorInfo:
        return ErrorInfo(code=self.code, message=self.message, problems=self.problems)


class NotSignedIn(HubError): ...


class NotAllowed(HubError): ...


class NotFound(HubError): ...


class Conflict(HubError): ...


class SpecRefused(HubError): ...


class QueryRefused(HubError):
    """`code` is ``query-refused``. The query is the user's own text, so this is theirs to correct."""


class OverQuota(HubError):
    """`code` is ``quota-NAME``; `quota` has the numbers. (``gateway-busy`` has none.)"""

    def __init__(
        self, code: str, message: str, quota: QuotaUse | None = None, *, retry_after: float | None = None
    ) -> None:
        super().__init__(code, message)
        self.quota = quota
        self.retry_after = retry_after
        """Seconds after which the same request may pass; None when something must be given up first."""

    def info(self) -> ErrorInfo:
        return ErrorInfo(code=self.code, message=self.message, quota=self.quota)


class PartDown(HubError):
    """`code` is ``engine-down``, ``swarm-down``, ``registry-down``, ``database-down`` or ``hub-down``."""


class WorkFailed(HubError): ...


class Cancelled(HubError): ...


class SetupError(HubError): ...
