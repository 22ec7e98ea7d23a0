"""What crosses the wire between the lab service and its clients: views and errors, no behaviour.

Every model is frozen. The service fills them, the client reads them; both import this one file, so a
renamed field is a type error and not a surprise in class.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from cyberlab.spec.image import FileEntry, ImageSpec

API = "/services/lab/api/v1"
"""Where the API lives under the hub's public URL."""


class View(BaseModel):
    model_config = ConfigDict(frozen=True)


# ---------------------------------------------------------------- quotas
class QuotaUse(View):
    """One quota of one owner: what is possible, what is in use, and why it is so much."""

    quota: str
    """``builds``, ``gigabytes``, ``points`` ..."""
    title: str
    """In plain words: “Builds at once”."""
    value: int
    unit: str = ""
    """``GB`` or ``points/s``; empty for plain numbers."""
    in_use: float | None = None
    """None: not known here."""
    origin: Literal["default", "group", "own"] = "default"
    """The lab's default, a group's, or set for this very user."""
    group: str = ""
    """Whose it is, with `origin` ``group``."""


class QuotaValue(View):
    """The body of a change."""

    value: int = Field(ge=0, le=1_000_000_000)


class QuotaSetting(View):
    """A row of the table: what a user or a group has instead of the default."""

    kind: Literal["user", "group"]
    subject: str
    quota: str
    value: int
    updated: datetime


class QuotaTable(View):
    """The answer of ``GET /quotas``."""

    defaults: tuple[QuotaUse, ...]
    settings: tuple[QuotaSetting, ...]


# ---------------------------------------------------------------- errors
class Problem(View):
    """One thing wrong with one field."""

    path: str
    """Which field, JSON-path-like: ``name``, ``files[0].path``, ``env.INTERVAL``."""
    code: str
    """Stable, kebab-case: ``name-invalid``, ``base-unknown``."""
    message: str
    """What is wrong and what to do, in a student's words."""


class ErrorInfo(View):
    code: str
    message: str
    problems: tuple[Problem, ...] = ()
    quota: QuotaUse | None = Field(default=None, exclude_if=lambda quota: quota is None)
    """With a code ``quota-NAME``: the numbers behind the sentence."""


class ErrorBody(View):
    """The body of every answer that is not 2xx."""

    error: ErrorInfo


# ---------------------------------------------------------------- catalogue
class Library(View):
    """A library that fits a base, offered by the form."""

    name: str
    kind: Literal["apt", "pip", "npm"]
    summary: str
    """One line a beginner understands."""


class Base(View):
    """A base image of the catalogue."""

    name: str
    title: str
    summary: str
    image: str
    """Reference on the workshop engine: what FROM names."""
    language: Literal["python", "node"]
    versions: dict[str, str] = Field(default_factory=dict)
    """What is inside: ``{"Python": "3.11.2", "numpy": "1.24.2"}``."""
    size_mb: int | None = None
    """Unpacked size in MB (10^6 bytes); None until it is built."""
    ready: bool = False
    """Built and present on the workshop engine."""
    build_seconds: int
    """About how long its first build takes."""
    libraries: tuple[Library, ...] = ()
    includes: tuple[str, ...] = ()
    """Import names already inside."""
    platforms: tuple[str, ...] = ()


class Scenario(View):
    """A way to run an image."""

    name: str
    title: str
    summary: str
    command: tuple[str, ...]
    bases: tuple[str, ...]
    """The bases it fits."""
    ports: tuple[int, ...] = ()
    sample_path: str = "main.py"
    sample: str = ""
    """A small program that works, to begin with."""


class SpecLimits(View):
    file_bytes: int = 1_000_000
    total_bytes: int = 8_000_000
    files: int = 200


class Catalogue(View):
    bases: tuple[Base, ...]
    scenarios: tuple[Scenario, ...]
    device_profiles: tuple[str, ...] = ()
    limits: SpecLimits = SpecLimits()

    def base(self, name: str) -> Base | None:
        return next((b for b in self.bases if b.name == name), None)

    def scenario(self, name: str) -> Scenario | None:
        return next((s for s in self.scenarios if s.name == name), None)


# ---------------------------------------------------------------- uploads and advice
class Unpacked(View):
    """The files of an archive."""

    files: tuple[FileEntry, ...]
    """Sorted by path."""
    skipped: int
    """How many files nobody means to send were left out, such as those of ``.git`` and ``__pycache__``."""


class Advice(View):
    """Something in a Dockerfile that works and could be better."""

    line: int
    """Of the Dockerfile, from 1."""
    field: Literal["custom", "pip", "npm"]
    """Where in the form it can be changed."""
    level: Literal["error", "warning", "info", "style"]
    code: str
    """hadolint's or ShellCheck's, such as ``DL3059`` or ``SC2086``."""
    message: str
    """One plain sentence or two."""


class SpecAdvice(View):
    """The answer of ``POST /specs/advice``."""

    available: bool
    """False: this lab has no hadolint, so nothing is said."""
    advice: tuple[Advice, ...] = ()


# ---------------------------------------------------------------- jobs
class JobKind(StrEnum):
    BUILD = "build"
    TRIAL = "trial"
    DEPLOY = "deploy"


class Phase(StrEnum):
    """The one progress vocabulary: builds, trials and deployments all speak it."""

    QUEUED = "queued"
    PREPARING = "preparing"
    BUILDING = "building"
    PUSHING = "pushing"
    STARTING = "starting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        return self in (Phase.DONE, Phase.FAILED, Phase.CANCELLED)


class JobEvent(View):
    """One event of a job's stream. SSE ``id`` is `id`, so a client resumes with Last-Event-ID."""

    id: int
    """1, 2, 3 ... within the job."""
    job: str
    at: datetime
    kind: Literal["phase", "log", "step", "error"]
    phase: Phase
    """The phase in force when the event happened."""
    text: str = ""
    step: int | None = None
    steps: int | None = None
    """With `step`: progress, for example instruction 3 of 7."""


class Job(View):
    id: str
    kind: JobKind
    owner: str
    name: str
    phase: Phase
    created: datetime
    started: datetime | None = None
    finished: datetime | None = None
    error: ErrorInfo | None = None
    result: dict[str, Any] = Field(default_factory=dict)
    """build: ``{"image": "owner/name:version", "digest": ..., "reused": bool, "usage": BuildUsage}``;
    trial: ``{"exit_code": 0}``; deploy: ``{"deployment": name, "devices": [...]}``."""


class BuildUsage(View):
    """What a build used, and beside it what it may use. MB are 2**20 bytes for memory, 10**6 on disk."""

    seconds: float
    seconds_limit: int
    cpu_seconds: float | None = None
    """None when no step ran long enough to be seen."""
    peak_memory_mb: int | None = None
    """The most that one step held at once, without the kernel's file cache."""
    memory_limit_mb: int
    steps: int
    cached_steps: int
    """Of `steps`, those taken from an earlier build."""
    image_mb: float | None = None
    layers_mb: float | None = None
    """Of `image_mb`, what the base does not have."""

    @property
    def sentence(self) -> str:
        """As students read it."""
        said = [f"Used {self.seconds:g} s of at most {self.seconds_limit} s"]
        if self.cpu_seconds is not None:
            said.append(f"{self.cpu_seconds:g} s of processor time")
        if self.peak_memory_mb is not None:
            said.append(f"{self.peak_memory_mb} of {self.memory_limit_mb} MB of memory")
        text = ", ".join(said) + f"; {self.cached_steps} of {self.steps} steps came from the cache"
        if self.image_mb is not None and self.layers_mb is not None:
            text += f"; the image has {self.image_mb:g} MB, {self.layers_mb:g} MB of it are yours"
        return f"{text}."


class BuildRequest(View):
    spec: ImageSpec


class TrialRequest(View):
    image: str
    """``name`` or ``name:version``."""
    command: tuple[str, ...] = ()
    env: dict[str, str] = Field(default_factory=dict)
    seconds: int = Field(default=60, ge=1, le=3600)
    """The trial is stopped and removed after this time."""


class ExecRequest(View):
    command: tuple[str, ...] = Field(min_length=1)


class ExecResult(View):
    exit_code: int
    output: str


# ---------------------------------------------------------------- things
class Image(View):
    owner: str
    name: str
    version: int
    digest: str
    """Registry manifest digest, ``sha256:...``."""
    spec_digest: str
    size_mb: int
    created: datetime
    base: str

    @property
    def ref(self) -> str:
        return f"{self.owner}/{self.name}:{self.version}"


class SavedSpec(View):
    spec: ImageSpec
    updated: datetime


class Device(View):
    name: str
    id: str
    """Swarm node id."""
    cluster: str | None
    state: Literal["ready", "away", "paused"]
    platform: str
    """``linux/amd64``, ``linux/arm64``."""
    cpus: float
    memory_mb: int
    simulated: bool
    address: str
    running: int
    """Tasks running on it now."""


class TaskView(View):
    device: str
    state: Literal["waiting", "starting", "running", "stopped", "failed", "away"]
    message: str = ""
    """In plain words why it is not running."""
    since: datetime | None = None


class Deployment(View):
    owner: str
    name: str
    image: str
    digest: str
    devices: tuple[str, ...]
    tasks: tuple[TaskView, ...]
    created: datetime
    updated: datetime


class ThingRequest(View):
    name: str


class Thing(View):
    """What an owner connects that is no device of the lab. Its readings have its name as their device."""

    name: str
    created: datetime
    mqtt_user: str
    """Who it is at the MQTT broker; the token is the password."""
    mqtt_topic: str
    """Below this it publishes: ``TOPIC/MEASUREMENT``."""


class NewThing(Thing):
    """The only answer that ever holds the token."""

    token: str = Field(repr=False)
    gateway: str
    """URL for clients of InfluxDB."""
    mqtt: str
    """URL of the MQTT broker."""
    ca: str = Field(repr=False)
    """The lab's authority (PEM): by it a client knows that gateway and broker are the lab's."""
    bucket: str
    org: str


class Me(View):
    """Who the caller's token belongs to: the answer of ``GET /me``."""

    name: str


class LogLine(View):
    """A line that a deployed program wrote."""

    device: str
    text: str
    at: str = ""
    """RFC 3339 time; empty when the engine did not say."""


class Measurement(View):
    """What there is to read under one name."""

    measurement: str
    fields: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class RefusedLine(View):
    line: int
    reason: str
    code: str = ""
    """``identity-claimed``: the line says that somebody else measured it."""


class Written(View):
    """The answer to points sent."""

    written: int
    refused: tuple[RefusedLine, ...] = ()


class Share(View):
    owner: str
    reader: str
    created: datetime


def _on_one_line(text: str) -> str:
    """A name may be a user's invention: what ends a line or steers a terminal would pass for more than a name."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


Line = Annotated[str, AfterValidator(_on_one_line)]


class AuditEntry(View):
    """Who did what to which object, from where, allowed or refused and why."""

    id: int = 0
    """Rises with each row: `after` it begins the next page."""
    at: datetime
    actor: Line
    """A user; ``operator`` at the server's command line, ``lab`` by itself; empty without a valid token."""
    action: str
    object: Line
    allowed: bool
    reason: str = ""
    """Of a refusal: its code. ``not-yours`` where the user was told that there is no such thing."""
    address: str = ""
    times: int = 1
    """How often, where a flood became one row."""


class PartHealth(View):
    part: Literal["engine", "swarm", "registry", "database", "lab", "ingest", "mqtt", "hub"]
    ok: bool
    detail: str = ""


class Health(View):
    """The answer of ``GET /health``."""

    parts: tuple[PartHealth, ...]
