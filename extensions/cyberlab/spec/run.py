"""How an image runs: what its own fields say, and where they are silent, its scenario."""

from __future__ import annotations

from cyberlab.spec.image import ImageSpec
from cyberlab.wire import Catalogue


def command_of(spec: ImageSpec, catalogue: Catalogue) -> tuple[str, ...]:
    """argv of the program; empty when neither the spec nor its scenario has one."""
    if spec.command:
        return spec.command
    scenario = catalogue.scenario(spec.scenario)
    return scenario.command if scenario else ()


def ports_of(spec: ImageSpec, catalogue: Catalogue) -> tuple[int, ...]:
    """TCP ports the program listens on, ascending."""
    scenario = catalogue.scenario(spec.scenario)
    return tuple(sorted(spec.ports or (scenario.ports if scenario else ())))
