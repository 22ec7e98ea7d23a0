"""The seam between the lab service and the workshop: what is ordered, what comes back, how progress is told.

The service decides *whether* (policy, quotas, names) and hands over an order; the workshop knows *how*
(Docker, Swarm, registry) and nothing of HTTP, users' rights or the database. `Workshop` is implemented by
`workshop.workshop.DockerWorkshop` and by the fake in `tests/fakes.py`; `tests/contract` runs on both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from cyberlab.wire import BuildUsage, Device, PartHealth, Phase, TaskView


class Progress(Protocol):
    """How long work tells where it is. Given by `service.jobs`, called from the job's own thread."""

    def phase(self, phase: Phase, text: str = "") -> None: ...
    def log(self, text: str) -> None: ...
    def step(self, step: int, steps: int, text: str) -> None: ...
    @property
    def cancelled(self) -> bool: ...
    def on_cancel(self, stop: Callable[[], None]) -> None:
        """Call `stop` when the user cancels; at once if that already happened."""


@dataclass(frozen=True)
class BuildOrder:
    job: str
    owner: str
    name: str
    version: int
    dockerfile: str
    files: tuple[tuple[str, bytes], ...]
    """Context entries: path inside the context, content."""
    base_image: str
    platforms: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class BuiltImage:
    digest: str
    """Registry manifest digest, ``sha256:...``."""
    size_bytes: int
    usage: BuildUsage | None = None


@dataclass(frozen=True)
class TrialOrder:
    job: str
    owner: str
    repository: str
    """``owner/name`` in the registry."""
    digest: str
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    seconds: int


@dataclass(frozen=True)
class TrialEnd:
    exit_code: int | None
    """None when the lab stopped it (time over or cancelled)."""
    reason: str
    """In plain words: ended by itself, time over, out of memory, stopped."""


@dataclass(frozen=True)
class DeployOrder:
    job: str
    owner: str
    name: str
    deployment: str
    """The id under which the lab knows it; safe in labels and service names."""
    repository: str
    digest: str
    image: str
    """``owner/name:version``, for people."""
    node_ids: tuple[str, ...]
    command: tuple[str, ...]
    env: tuple[tuple[str, str], ...]
    ports: tuple[int, ...]
    token: str
    """The deployment's own ingest token; goes into a Swarm secret, never into the environment."""
    pull_user: str
    pull_password: str
    """Pull-only registry account for exactly this repository."""


@dataclass(frozen=True)
class DeploymentState:
    owner: str
    name: str
    deployment: str
    image: str
    tasks: tuple[TaskView, ...]


@dataclass(frozen=True)
class LogLine:
    device: str
    text: str
    at: str = ""


@dataclass(frozen=True)
class BaseState:
    ready: bool
    size_bytes: int | None = None
    versions: tuple[tuple[str, str], ...] = ()
    digest: str = ""


@dataclass(frozen=True)
class ExecOutcome:
    exit_code: int
    output: str


class Workshop(Protocol):
    """Everything the service may ask of the engines. Each call raises `HubError` subclasses only."""

    def sweep(self) -> None:
        """Remove what jobs left behind that died with the service: once, before the first job of a new start."""

    def base_state(self, image: str) -> BaseState: ...
    def prepare_base(self, name: str, progress: Progress) -> None:
        """Build the base image `name` on the workshop engine when it is not there yet. Blocks."""

    def build(self, order: BuildOrder, progress: Progress) -> BuiltImage:
        """Build and push under the limits. Blocks.

        Raises:
            WorkFailed: ``build-failed`` with one sentence and the line, ``build-timeout``, ``disk-full``.
            Cancelled: the user cancelled. PartDown: engine or registry is away.
        """

    def run_trial(self, order: TrialOrder, progress: Progress) -> TrialEnd:
        """Run to the end, time over or cancel; log lines go to progress. The container is always removed."""

    def exec_in_trial(self, job: str, command: Sequence[str], seconds: float) -> ExecOutcome: ...

    def deploy(self, order: DeployOrder, progress: Progress) -> None:
        """Create or update the service and wait until each selected device runs it.

        Raises:
            WorkFailed: ``deploy-failed`` naming the device and the reason in plain words.
        """

    def deployments(self, owner: str | None = None) -> tuple[DeploymentState, ...]: ...
    def remove_deployment(self, owner: str, name: str) -> None: ...
    def deployment_logs(self, owner: str, name: str, tail: int, follow: bool) -> Iterator[LogLine]: ...
    def devices(self) -> tuple[Device, ...]: ...
    def delete_image(self, repository: str, digest: str) -> None: ...
    def stored_bytes(self, owner: str, *, hidden: bool = False) -> int:
        """What the registry holds below ``owner/``, pushed by the lab or by hand; equal layers count once.

        May be some seconds old. With `hidden` also what no tag names, such as layers without an image.
        """

    def health(self) -> tuple[PartHealth, ...]: ...
