"""Base images for users' code, on the workshop engine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cyberlab.wire import Phase

from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import engines, images
from cyberlab_hub.setup.steps import Reused
from cyberlab_hub.workshop.workshop import DockerWorkshop


class SetupProgress:
    """`workshop.orders.Progress` for work done at set-up: keeps the last line for an error, is never cancelled."""

    cancelled = False

    def __init__(self) -> None:
        self.last = ""

    def phase(self, phase: Phase, text: str = "") -> None:
        self.last = text or phase.value

    def log(self, text: str) -> None:
        self.last = text

    def step(self, step: int, steps: int, text: str) -> None:
        self.last = f"{step}/{steps} {text}"

    def on_cancel(self, stop: Callable[[], None]) -> None:
        """Nobody cancels set-up but Ctrl-C, which ends the process and with it the connection."""


def load_debian(settings: Settings) -> str:
    """Copy `cyberlab/debian` to the workshop engine: the two engines share no images. Raises Reused."""
    ref = images.reference("debian")
    system = engines.system_engine().images.get(ref)
    workshop = engines.workshop_engine(settings)
    if any(image.id == system.id for image in workshop.images.list(ref)):
        raise Reused(f"{ref} is there")
    stream: Any = system.save(named=True)  # requests streams a generator; docker-py's stubs know only files
    workshop.images.load(stream)
    return f"{ref} copied"


def ensure_bases(settings: Settings, names: list[str]) -> str:
    """Build the base images that are missing or whose recipe changed. Raises Reused when none is."""
    workshop = DockerWorkshop(settings)
    missing = [name for name in names if not workshop.base_state(images.reference(name)).ready]
    if not missing:
        raise Reused(f"{', '.join(names)} ready")
    for name in missing:
        workshop.prepare_base(name, SetupProgress())
    return f"built {', '.join(missing)}"
