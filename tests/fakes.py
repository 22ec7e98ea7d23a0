"""Stand-ins for the outside: each keeps the promises of the seam it stands in for, in memory.

`FakeWorkshop` understands a handful of programs (`echo`, `sleep`, `exit`), enough for the contract tests,
which run the same lines on it and on the real engines.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import httpx
from cyberlab.wire import BuildUsage, Device, Measurement, PartHealth, Phase, RefusedLine, TaskView
from cyberlab_hub.errors import Cancelled, HubError, NotAllowed, NotFound, QueryRefused, WorkFailed
from cyberlab_hub.ingest.store import Means, Selection, database_of
from cyberlab_hub.workshop.orders import (
    BaseState,
    BuildOrder,
    BuiltImage,
    DeploymentState,
    DeployOrder,
    ExecOutcome,
    LogLine,
    Progress,
    TrialEnd,
    TrialOrder,
)


def sha256(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def pi(number: int, *, state: Literal["ready", "away", "paused"] = "ready", cluster: str = "shelf") -> Device:
    return Device(
        name=f"pi{number:02}", id=f"node{number:02}", cluster=cluster, state=state, platform="linux/amd64",
        cpus=1, memory_mb=1024, simulated=True, address=f"10.77.0.{10 + number}", running=0,
    )  # fmt: skip


class RecordedProgress:
    """A `Progress` that remembers; `cancel()` does what the user's cancel does."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.lines: list[str] = []
        self.steps: list[tuple[int, int, str]] = []
        self._cancelled = False
        self._stops: list[Callable[[], None]] = []

    def phase(self, phase: Phase, text: str = "") -> None:
        self.phases.append(phase)

    def log(self, text: str) -> None:
        self.lines.append(text)

    def step(self, step: int, steps: int, text: str) -> None:
        self.steps.append((step, steps, text))

    @property
    def cancelled(self) -> bool:
        return self._cancelled

    def on_cancel(self, stop: Callable[[], None]) -> None:
        self._stops.append(stop)
        if self._cancelled:
            stop()

    def cancel(self) -> None:
        self._cancelled = True
        for stop in self._stops:
            stop()


class FakeWorkshop:
    """`workshop.orders.Workshop` without engines. Set `down` to a `PartDown` and every call raises it."""

    def __init__(self, *, devices: Sequence[Device] = (pi(1), pi(2), pi(3))) -> None:
        self.device_list = list(devices)
        self.bases = {
            f"cyberlab/{name}": BaseState(True, 150_000_000, (("Python", "3.11.2"),), sha256(name))
            for name in ("python", "python-science", "python-vision", "node")
        }
        self.images: dict[str, set[str]] = {}
        self.by_hand: dict[str, int] = {}
        """Bytes that owners have pushed themselves."""
        self.orders: list[BuildOrder | TrialOrder | DeployOrder] = []
        self.deployed: dict[tuple[str, str], DeployOrder] = {}
        self.trials: dict[str, TrialOrder] = {}
        self.down: HubError | None = None
        self.during_build: Callable[[BuildOrder, Progress], None] = lambda _order, _progress: None
        self.during_deploy: Callable[[DeployOrder, Progress], None] = lambda _order, _progress: None

    def _up(self) -> None:
        if self.down is not None:
            raise self.down

    def sweep(self) -> None:
        self._up()
        self.trials.clear()

    # ------------------------------------------------------------ bases and builds
    def base_state(self, image: str) -> BaseState:
        self._up()
        return self.bases.get(image, BaseState(False))

    def prepare_base(self, name: str, progress: Progress) -> None:
        self._up()
        image = f"cyberlab/{name}"
        if not self.base_state(image).ready:
            progress.phase(Phase.PREPARING, f"Building the base image {name}")
            self.bases[image] = BaseState(True, 150_000_000, (("Python", "3.11.2"),), sha256(name))

    def build(self, order: BuildOrder, progress: Progress) -> BuiltImage:
        self._up()
        self.orders.append(order)
        progress.phase(Phase.BUILDING)
        self.during_build(order, progress)
        lines = [line for line in order.dockerfile.splitlines() if line and not line.startswith("#")]
        for number, line in enumerate(lines, 1):
            if progress.cancelled:
                raise Cancelled("cancelled", "You stopped this build.")
            progress.step(number, len(lines), line)
            if line.split()[:2] in (["RUN", "false"], ["RUN", "exit"]):
                raise WorkFailed("build-failed", f"Step {number} of {len(lines)} failed: {line}")
        if progress.cancelled:
            raise Cancelled("cancelled", "You stopped this build.")
        progress.phase(Phase.PUSHING)
        digest = sha256(order.dockerfile + repr(order.files) + order.base_image)
        self.images.setdefault(f"{order.owner}/{order.name}", set()).add(digest)
        usage = BuildUsage(
            seconds=1.5, seconds_limit=900, cpu_seconds=0.7, peak_memory_mb=120, memory_limit_mb=1024,
            steps=len(lines), cached_steps=1, image_mb=151.0, layers_mb=1.0,
        )  # fmt: skip
        progress.log(usage.sentence)
        return BuiltImage(digest, 151_000_000, usage)

    def delete_image(self, repository: str, digest: str) -> None:
        self._up()
        self.images.get(repository, set()).discard(digest)

    def stored_bytes(self, owner: str, *, hidden: bool = False) -> int:
        self._up()
        held = {
            digest
            for name, all_of in self.images.items()
            if name.startswith(f"{owner}/")
            for digest in all_of
        }
        return 151_000_000 * len(held) + self.by_hand.get(owner, 0)

    # ------------------------------------------------------------ trials
    def run_trial(self, order: TrialOrder, progress: Progress) -> TrialEnd:
        self._up()
        self.orders.append(order)
        progress.phase(Phase.STARTING)
        if order.digest not in self.images.get(order.repository, set()):
            raise WorkFailed("image-missing", f"The image {order.repository} is not in the registry.")
        stopped = threading.Event()
        progress.on_cancel(stopped.set)
        self.trials[order.job] = order
        try:
            progress.phase(Phase.RUNNING)
            return self._program(order, progress, stopped)
        finally:
            del self.trials[order.job]

    def _program(self, order: TrialOrder, progress: Progress, stopped: threading.Event) -> TrialEnd:
        words = list(order.command)
        if words[:2] == ["sh", "-c"]:
            words = shlex.split(words[2])
        if words[:1] == ["echo"]:
            progress.log(" ".join(words[1:]))
        if words[:1] == ["exit"]:
            return TrialEnd(int(words[1]), "ended by itself")
        if words[:1] == ["sleep"]:
            wanted = float(words[1])
            if stopped.wait(min(wanted, order.seconds)):
                raise Cancelled("cancelled", "You stopped this trial.")
            if wanted > order.seconds:
                return TrialEnd(None, "time over")
        return TrialEnd(0, "ended by itself")

    def exec_in_trial(self, job: str, command: Sequence[str], seconds: float) -> ExecOutcome:
        self._up()
        if job not in self.trials:
            raise NotFound("trial-ended", "This trial is not running any more.")
        return ExecOutcome(0, " ".join(command[1:]) + "\n" if command[0] == "echo" else "")

    # ------------------------------------------------------------ deployments
    def deploy(self, order: DeployOrder, progress: Progress) -> None:
        self._up()
        self.orders.append(order)
        progress.phase(Phase.STARTING)
        if order.digest not in self.images.get(order.repository, set()):
            raise WorkFailed("deploy-failed", f"{order.image} is not in the registry.")
        self.deployed[order.owner, order.name] = order
        self.during_deploy(order, progress)
        if progress.cancelled:
            raise Cancelled("cancelled", "You stopped this deployment.")
        for number, node in enumerate(order.node_ids, 1):
            progress.step(number, len(order.node_ids), f"{self._device(node).name} runs it")
        progress.phase(Phase.RUNNING)

    def _device(self, node: str) -> Device:
        return next(device for device in self.device_list if device.id == node)

    def deployments(self, owner: str | None = None) -> tuple[DeploymentState, ...]:
        self._up()
        return tuple(
            DeploymentState(
                order.owner,
                order.name,
                order.deployment,
                order.image,
                tuple(TaskView(device=self._device(node).name, state="running") for node in order.node_ids),
            )
            for order in self.deployed.values()
            if owner in (None, order.owner)
        )

    def remove_deployment(self, owner: str, name: str) -> None:
        self._up()
        self.deployed.pop((owner, name), None)

    def deployment_logs(self, owner: str, name: str, tail: int, follow: bool) -> Iterator[LogLine]:
        self._up()
        order = self.deployed.get((owner, name))
        if order is None:
            raise NotFound("deployment-unknown", f"There is no deployment named {name}.")
        for node in order.node_ids:
            for number in range(tail):
                yield LogLine(self._device(node).name, f"line {number + 1}", "2026-01-01T00:00:00Z")
        while follow and (owner, name) in self.deployed:
            yield LogLine(self._device(order.node_ids[0]).name, "still here", "2026-01-01T00:00:01Z")
            time.sleep(0.05)

    # ------------------------------------------------------------ devices and health
    def devices(self) -> tuple[Device, ...]:
        self._up()
        running = [node for order in self.deployed.values() for node in order.node_ids]
        return tuple(d.model_copy(update={"running": running.count(d.id)}) for d in self.device_list)

    def health(self) -> tuple[PartHealth, ...]:
        code = self.down.code.removesuffix("-down") if self.down else ""
        return tuple(
            PartHealth(part=part, ok=part != code, detail="" if part != code else str(self.down))
            for part in ("engine", "swarm", "registry")
        )


class FakeStore:
    """`ingest.store.Store` without InfluxDB. A query answers with the lines its database holds."""

    def __init__(self) -> None:
        self.lines: dict[str, list[bytes]] = {"fleet": [], "lab": []}
        self.readers: set[tuple[str, str]] = set()
        self.down: HubError | None = None
        self.closed_queries = 0
        self.made: list[Means] = []
        self.says_space = True
        self.more = 0
        """Bytes that each database takes up besides its lines."""

    def _up(self) -> None:
        if self.down is not None:
            raise self.down

    def set_up(self) -> None:
        self._up()

    def ensure_owner(self, owner: str) -> None:
        self._up()
        self.lines.setdefault(database_of(owner), [])
        self.readers.add((owner, database_of(owner)))

    def write(self, database: str, body: bytes) -> tuple[RefusedLine, ...]:
        self._up()
        if database not in self.lines:
            raise NotFound("database-unknown", "There is no such database.")
        self.lines[database] += body.split(b"\n")
        return ()

    def query(self, reader: str, database: str, influxql: str) -> Iterator[bytes]:
        self._may_read(reader, database)
        if not influxql.upper().startswith("SELECT"):
            raise QueryRefused("query-refused", f"error parsing query: found {influxql}")
        try:
            yield b"name,tags,time,value\n"
            for line in self.lines[database]:
                yield line + b"\n"
        finally:
            self.closed_queries += 1

    def _may_read(self, reader: str, database: str) -> None:
        self._up()
        if database not in ("fleet", "lab") and (reader, database) not in self.readers:
            raise NotAllowed("database-not-shared", "These readings are not shared with you.")

    def measurements(self, reader: str, database: str) -> tuple[Measurement, ...]:
        self._may_read(reader, database)
        names = {re.split(rb"[, ]", line)[0].decode() for line in self.lines[database]}
        return tuple(Measurement(measurement=name, fields=("value",)) for name in sorted(names))

    def share(self, owner: str, reader: str) -> None:
        self._up()
        self.readers.add((reader, database_of(owner)))

    def unshare(self, owner: str, reader: str) -> None:
        self._up()
        self.readers.discard((reader, database_of(owner)))

    def _chosen(self, database: str, where: Selection) -> list[bytes]:
        def fits(line: bytes) -> bool:
            head, _, rest = line.partition(b" ")
            at = int(rest.rsplit(b" ", 1)[1])
            name, *tags = head.decode().split(",")
            return (
                where.start <= at < where.stop
                and where.measurement in (None, name)
                and (not where.devices or any(f"device={device}" in tags for device in where.devices))
            )

        return [line for line in self.lines.get(database, []) if fits(line)]

    def count(self, database: str, where: Selection) -> int:
        self._up()
        return len(self._chosen(database, where))

    def delete(self, database: str, where: Selection) -> None:
        self._up()
        gone = self._chosen(database, where)
        self.lines[database] = [line for line in self.lines.get(database, []) if line not in gone]

    def first(self, database: str, measurement: str, since: int, until: int) -> int | None:
        self._up()
        chosen = self._chosen(database, Selection(since, until, measurement))
        return min((int(line.rsplit(b" ", 1)[1]) for line in chosen), default=None)

    def make_means(self, database: str, means: Means) -> None:
        """Of plain float fields only."""
        self._up()
        self.made.append(means)
        found: dict[tuple[bytes, int], dict[str, list[float]]] = {}
        for line in self._chosen(database, Selection(means.start, means.stop, means.measurement)):
            head, values, at = line.rsplit(b" ", 2)
            window = int(at) // (means.seconds * 10**9) * means.seconds * 10**9
            fields = found.setdefault((head, window), {})
            for name, _, value in (pair.partition("=") for pair in values.decode().split(",")):
                fields.setdefault(name, []).append(float(value.rstrip("i")))
        for (head, window), fields in found.items():
            head = means.target.encode() + head[len(means.measurement) :]
            made = ",".join(
                f"{name}={sum(v) / len(v)},{name}_min={min(v)},{name}_max={max(v)},{name}_count={len(v)}i"
                for name, v in fields.items()
            )
            same = [
                r for r in self.lines[database] if r.startswith(head + b" ") and r.endswith(b" %d" % window)
            ]
            self.lines[database] = [r for r in self.lines[database] if r not in same]
            self.lines[database].append(b"%s %s %d" % (head, made.encode(), window))

    def spaces(self) -> dict[str, int] | None:
        self._up()
        if not self.says_space:
            return None
        return {database: sum(map(len, lines)) + self.more for database, lines in self.lines.items()}

    def databases(self) -> tuple[str, ...]:
        self._up()
        return tuple(sorted(name for name in self.lines if name.startswith("u_")))

    def drop(self, database: str) -> None:
        self._up()
        if not database.startswith("u_"):
            raise ValueError(f"{database!r} is no owner's")
        self.lines.pop(database, None)
        self.readers = {(reader, name) for reader, name in self.readers if name != database}

    def ping(self) -> str:
        self._up()
        return "1.6.7"

    def close(self) -> None:
        """Nothing is open."""


class FakeHub(httpx.AsyncBaseTransport):
    """The hub's API for `service.hub.Hub`: who holds which token, and which users exist."""

    def __init__(self) -> None:
        self.holders: dict[str, dict[str, object]] = {}
        self.calls = 0
        self.page = 2
        """Users of one answer."""
        self.down = False
        for name in ("anna", "ben"):
            self.holders[f"{name}-token"] = self.user(name, "custom:cyberlab:use")
        self.holders["root-token"] = self.user("root", "custom:cyberlab:use", "custom:cyberlab:admin")

    @staticmethod
    def user(name: str, *scopes: str, kind: str = "user") -> dict[str, object]:
        return {"kind": kind, "name": name, "scopes": list(scopes), "groups": []}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.down:
            raise httpx.ConnectError("connection refused")
        path = request.url.path.removeprefix("/hub/api")
        holder = self.holders.get(request.headers.get("authorization", "").removeprefix("token "))
        if path == "/":
            return httpx.Response(200, json={"version": "6.1.1"})
        if holder is None:
            return httpx.Response(403, json={"status": 403, "message": "Missing or invalid credentials."})
        if path == "/user":
            return httpx.Response(200, json=holder)
        users = [h["name"] for h in self.holders.values() if h["kind"] == "user"]
        if path == "/users":
            first = int(request.url.params["offset"])
            return httpx.Response(200, json=[{"name": n} for n in users[first:][: self.page]])
        name = path.removeprefix("/users/")
        return httpx.Response(200, json={"name": name}) if name in users else httpx.Response(404, json={})
