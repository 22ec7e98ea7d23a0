"""Devices as the swarm knows them, and the labels by which a deployment selects them.

A Swarm constraint cannot say "one of these nodes", so each deployment has a node label of its own. Labels are set by
managers only; what a node says about itself (its host name, its resources) is taken for display, never for a decision.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Literal

from cyberlab.wire import Device

from cyberlab_hub.errors import Conflict, NotFound
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.engine import Engine, filters

ATTEMPTS = 10
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm/v7", "armv6l": "arm/v6"}


def selector(deployment: str) -> str:
    """The node label of a deployment."""
    return f"cyberlab.d.{deployment}"


class Nodes:
    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings

    def devices(self) -> tuple[Device, ...]:
        """Every enrolled device, by name."""
        running = Counter(
            task.get("NodeID", "")
            for task in self._engine.call("GET", "/tasks", params=filters(desired_state="running"))
            if task["Status"]["State"] == "running"
        )
        found = [self._device(node, running[node["ID"]]) for node in self.all() if _enrolled(node)]
        return tuple(sorted(found, key=lambda device: device.name))

    def all(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._engine.call("GET", "/nodes")
        return found

    def _device(self, node: dict[str, Any], running: int) -> Device:
        labels, about = _labels(node), node["Description"]
        simulated = labels.get("simulated") == "1"
        # a simulated Pi reports the whole machine as its own
        resources = about.get("Resources") or {}
        cpus = self._settings.pi_cpus if simulated else resources.get("NanoCPUs", 0) / 1e9
        memory = self._settings.pi_memory_mb if simulated else resources.get("MemoryBytes", 0) // 2**20
        return Device(
            name=name_of(node),
            id=node["ID"],
            cluster=labels.get("cluster") or None,
            state=state_of(node),
            platform=_platform(about.get("Platform") or {}),
            cpus=cpus,
            memory_mb=memory,
            simulated=simulated,
            address=node["Status"].get("Addr", ""),
            running=running,
        )

    # ------------------------------------------------------------ selection
    def selected(self, deployment: str) -> tuple[str, ...]:
        """Ids of the nodes that a deployment selects now."""
        return tuple(node["ID"] for node in self.all() if selector(deployment) in _labels(node))

    def select(self, deployment: str, nodes: Collection[str]) -> None:
        """Add these nodes to the deployment's."""
        for node in nodes:
            self._relabel(node, lambda labels: {**labels, selector(deployment): "1"})

    def keep_only(self, deployment: str, nodes: Collection[str]) -> None:
        """Take the deployment's label from every other node; its tasks there end."""
        for node in set(self.selected(deployment)) - set(nodes):
            self._relabel(node, lambda labels: _without(labels, selector(deployment)))

    def sweep(self, alive: Collection[str]) -> None:
        """Remove the labels of deployments that are not among `alive`."""
        wanted = {selector(deployment) for deployment in alive}
        for node in self.all():
            for label in _labels(node):
                if label.startswith(selector("")) and label not in wanted:
                    self.keep_only(label.removeprefix(selector("")), ())

    def _relabel(self, node: str, change: Callable[[dict[str, str]], dict[str, str]]) -> None:
        """Change a node's labels. Two deployments may do so at once: a node is versioned, the later tries again.

        Raises:
            Conflict: after ten attempts.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                found = self._engine.call("GET", f"/nodes/{node}")
                spec, labels = found["Spec"], _labels(found)
                if change(labels) == labels:
                    return
                body = {**spec, "Labels": change(labels)}
                version = found["Version"]["Index"]
                self._engine.call("POST", f"/nodes/{node}/update", params={"version": version}, body=body)
            except NotFound:
                return  # the device left the swarm, and took its labels with it
            except Conflict:
                if attempt == ATTEMPTS:
                    raise
                time.sleep(random.uniform(0.01, 0.05) * attempt)  # noqa: S311 - only to get out of step
            else:
                return


def name_of(node: dict[str, Any]) -> str:
    return str(node["Description"].get("Hostname") or node["ID"])


def state_of(node: dict[str, Any]) -> Literal["ready", "away", "paused"]:
    if node["Status"]["State"] != "ready":
        return "away"
    return "ready" if node["Spec"].get("Availability", "active") == "active" else "paused"


def _enrolled(node: dict[str, Any]) -> bool:
    return node["Spec"].get("Role") == "worker" and _labels(node).get("enrolled") == "1"


def _labels(node: dict[str, Any]) -> dict[str, str]:
    return dict(node["Spec"].get("Labels") or {})


def _without(labels: dict[str, str], label: str) -> dict[str, str]:
    return {key: value for key, value in labels.items() if key != label}


def _platform(said: dict[str, str]) -> str:
    architecture = said.get("Architecture", "")
    return f"{said.get('OS', 'linux')}/{_ARCHITECTURES.get(architecture, architecture)}"
