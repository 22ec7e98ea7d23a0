"""Ways out of a container: tried from a trial, a build, a command in a trial, a deployment and a notebook."""

from __future__ import annotations

import os
from collections.abc import Callable

from hostile import places
from hostile.attack import Attack, Scene, table
from hostile.places import Finding, Findings

PLACES: dict[str, Callable[..., Findings]] = {
    "trial": places.in_trial,
}
Judge = Callable[[Finding], bool]


def findings(scene: Scene, place: str) -> Findings:
    """What every probe of `inside/escape.py` found there; they run once."""
    facts = {"canary": str(scene.host.canary), "host_pid": os.getpid()}
    return scene.once(f"escape from a {place}", lambda: PLACES[place](scene, "escape", facts))


def refused(finding: Finding) -> bool:
    return bool(finding.error)


def nothing(finding: Finding) -> bool:
    return finding.value == [] and not finding.error


def probe(place: str, name: str, tries: str, layer: str, holds: Judge = refused) -> Attack:
    def run(scene: Scene) -> None:
        finding = findings(scene, place)[name]
        assert holds(finding), f"{name} in a {place}: {finding}"

    said = name.replace("_", "-")
    return Attack(
        "containers", f"{place}-{said}", tries, "the kernel refuses, or nothing is there", layer, run
    )


ATTACKS = (
    probe("trial", "mount_tmpfs", "mounts a file system", "container flag"),
    probe("trial", "mount_bind_root", "mounts the root again elsewhere", "container flag"),
)


@table(ATTACKS)
def test_containers(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
