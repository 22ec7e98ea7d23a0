"""`DockerWorkshop`: the real thing behind `orders.Workshop`. Puts the parts together and does nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from cyberlab.wire import Device, PartHealth

from cyberlab_hub.disks import Disks
from cyberlab_hub.errors import HubError, PartDown
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import service_logs
from cyberlab_hub.workshop.bases import Bases
from cyberlab_hub.workshop.builder import Builder
from cyberlab_hub.workshop.engine import Engine
from cyberlab_hub.workshop.images import Images
from cyberlab_hub.workshop.nodes import Nodes
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
from cyberlab_hub.workshop.registry import Registry
from cyberlab_hub.workshop.stored import Stored
from cyberlab_hub.workshop.swarm import Swarm
from cyberlab_hub.workshop.trials import Trials

Part = Literal["engine", "swarm", "registry"]
CHECK_SECONDS = 3.0


class DockerWorkshop:
    """Connects at the first call, not when it is made; threads may share it."""

    def __init__(self, settings: Settings) -> None:
        # one connection a role: what a part may ask of the engine is in `spawner_images/engine/warden/rules.py`
        self._building = Engine(settings.workshop_url, settings.certs, "builder")
        self._running = Engine(settings.workshop_url, settings.certs, "runner")
        self._deploying = Engine(settings.workshop_url, settings.certs, "swarm")
        self._registry = Registry(settings)
        disk = Disks(settings.disks).data("registry") if settings.registry_disk_gb else None
        self._stored = Stored(self._registry, disk)
        builder = Builder(self._building, settings)
        self._images = Images(self._building, builder, self._registry, settings)
        self._bases = Bases(self._building, builder, self._images, settings)
        self._trials = Trials(self._running, self._images, settings)
        self._nodes = Nodes(self._deploying, settings)
        self._swarm = Swarm(self._deploying, self._nodes, self._registry, settings)

    def sweep(self) -> None:
        """Remove what jobs left behind that died with the service: call once, at the service's start.

        Raises:
            PartDown: the engine or the swarm is away.
        """
        self._trials.sweep()
        self._swarm.sweep()
        self._images.sweep()

    def close(self) -> None:
        for engine in (self._building, self._running, self._deploying):
            engine.close()

    # ------------------------------------------------------------ images
    def base_state(self, image: str) -> BaseState:
        return self._bases.state(image)

    def prepare_base(self, name: str, progress: Progress) -> None:
        self._bases.prepare(name, progress)

    def build(self, order: BuildOrder, progress: Progress) -> BuiltImage:
        try:
            return self._images.build(order, progress)
        finally:
            self._stored.forget(order.owner)

    def delete_image(self, repository: str, digest: str) -> None:
        self._images.delete(repository, digest)
        self._stored.forget(repository.partition("/")[0])

    def stored_bytes(self, owner: str, *, hidden: bool = False) -> int:
        return self._stored.with_hidden(owner) if hidden else self._stored.bytes_of(owner)

    # ------------------------------------------------------------ trials
    def run_trial(self, order: TrialOrder, progress: Progress) -> TrialEnd:
        return self._trials.run(order, progress)

    def exec_in_trial(self, job: str, command: Sequence[str], seconds: float) -> ExecOutcome:
        return self._trials.exec(job, command, seconds)

    # ------------------------------------------------------------ deployments and devices
    def deploy(self, order: DeployOrder, progress: Progress) -> None:
        self._swarm.deploy(order, progress)

    def deployments(self, owner: str | None = None) -> tuple[DeploymentState, ...]:
        return self._swarm.deployments(owner)

    def remove_deployment(self, owner: str, name: str) -> None:
        self._swarm.remove(owner, name)

    def deployment_logs(self, owner: str, name: str, tail: int, follow: bool) -> Iterator[LogLine]:
        """A followed log also has `close()`, which any thread may call."""
        service = self._swarm.find_one(owner, name)
        if follow:
            return service_logs.Followed(self._deploying, self._nodes, service, tail)
        return service_logs.read(self._deploying, self._nodes, service, tail)

    def devices(self) -> tuple[Device, ...]:
        return self._nodes.devices()

    # ------------------------------------------------------------ health
    def health(self) -> tuple[PartHealth, ...]:
        checks: tuple[tuple[Part, Callable[[], object]], ...] = (
            ("engine", lambda: self._building.call("GET", "/info", seconds=CHECK_SECONDS)),
            ("swarm", lambda: self._deploying.call("GET", "/nodes", seconds=CHECK_SECONDS)),
            ("registry", self._registry.check),
        )
        # side by side: a part that is away takes its whole time-out
        with ThreadPoolExecutor(len(checks)) as pool:
            return tuple(pool.map(_checked, checks))


def _checked(named: tuple[Part, Callable[[], object]]) -> PartHealth:
    part, check = named
    try:
        check()
    except PartDown as error:
        return PartHealth(part=part, ok=False, detail=error.message)
    except HubError as error:
        return PartHealth(part=part, ok=False, detail=f"{part}: {error.message}")
    return PartHealth(part=part, ok=True)
