"""How a deployment and a device are told from what the swarm says."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from cyberlab_hub.errors import Conflict
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import nodes as nodes_module
from cyberlab_hub.workshop.engine import Engine
from cyberlab_hub.workshop.nodes import Nodes
from cyberlab_hub.workshop.registry import Registry
from cyberlab_hub.workshop.swarm import Swarm
from unit.workshop.scripted import ScriptedEngine, node, task

SETTINGS = Settings(state=Path("/nowhere"))
SERVICE = {
    "ID": "s1",
    "Spec": {
        "Labels": {
            "cyberlab.lab": "cyberlab",
            "cyberlab.owner": "ann",
            "cyberlab.name": "green",
            "cyberlab.deployment": "d1",
            "cyberlab.image": "ann/prog:1",
        }
    },
}
CHOSEN = {"cyberlab.d.d1": "1"}


def told(*tasks: dict[str, Any], nodes: list[dict[str, Any]] | None = None) -> list[tuple[str, str, str]]:
    nodes = nodes or [node(1, **CHOSEN), node(2)]
    engine = cast(Engine, ScriptedEngine(services=[SERVICE], nodes=nodes, tasks=list(tasks)))
    (state,) = Swarm(engine, Nodes(engine, SETTINGS), Registry(SETTINGS), SETTINGS).deployments()
    assert (state.owner, state.name, state.image) == ("ann", "green", "ann/prog:1")
    return [(view.device, view.state, view.message) for view in state.tasks]


def test_a_running_task() -> None:
    assert told(task(1, "running")) == [("pi01", "running", "")]


def test_a_device_that_has_no_task_yet_waits() -> None:
    assert told() == [("pi01", "waiting", "")]


def test_a_device_that_is_away_says_so_whatever_its_task_said_last() -> None:
    assert told(task(1, "running"), nodes=[node(1, state="down", **CHOSEN)]) == [
        ("pi01", "away", "the device does not answer")
    ]


def test_while_a_failed_task_waits_for_its_restart_the_failure_is_shown() -> None:
    failed = task(1, "failed", name="t1", code=3, err="task: non-zero exit (3)", DesiredState="shutdown")
    waits = task(1, "ready", name="t2", DesiredState="ready")
    ((_, state, message),) = told(failed, waits)
    assert (state, "exit code 3" in message) == ("failed", True)


def test_a_task_that_was_restarted_runs_again() -> None:
    failed = task(1, "failed", name="t1", code=3, DesiredState="shutdown")
    assert told(task(1, "running", name="t2"), failed) == [("pi01", "running", "")]


def test_a_task_without_a_place_waits_and_says_why() -> None:
    ((_, state, message),) = told(
        task(1, "pending", err="no suitable node (insufficient resources on 1 node)")
    )
    assert state == "waiting"
    assert "memory" in message


def test_devices_are_the_enrolled_workers() -> None:
    manager = node(9)
    manager["Spec"]["Role"] = "manager"
    stranger = node(8)
    stranger["Spec"]["Labels"] = {}
    listed = [
        node(2, cluster="shelf"),
        node(1, simulated="1"),
        manager,
        stranger,
        node(3, availability="drain"),
    ]
    engine = cast(Engine, ScriptedEngine(nodes=listed, tasks=[task(2, "running"), task(2, "starting")]))
    devices = Nodes(engine, SETTINGS).devices()
    assert [(d.name, d.state, d.running) for d in devices] == [
        ("pi01", "ready", 0),
        ("pi02", "ready", 1),
        ("pi03", "paused", 0),
    ]
    assert (devices[1].platform, devices[1].cpus, devices[1].memory_mb) == ("linux/arm64", 4.0, 4096)
    # a simulated one reports the whole machine: its settings count
    assert (devices[0].cpus, devices[0].memory_mb) == (SETTINGS.pi_cpus, SETTINGS.pi_memory_mb)


class ContestedNode:
    """A node that somebody else changes `times` times just before we do."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.labels: dict[str, str] = {"enrolled": "1"}

    def call(self, method: str, path: str, **more: Any) -> Any:
        if method == "GET":
            return {"ID": "n1", "Spec": {"Labels": dict(self.labels)}, "Version": {"Index": 7}}
        if self.times:
            self.times -= 1
            self.labels[f"other{self.times}"] = "1"
            raise Conflict("engine-conflict", "update out of sequence")
        self.labels = more["body"]["Labels"]
        return None


def test_labels_survive_two_deployments_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_module.time, "sleep", lambda _seconds: None)
    contested = ContestedNode(times=3)
    Nodes(cast(Engine, contested), SETTINGS).select("d1", ("n1",))
    assert contested.labels == {
        "enrolled": "1",
        "other0": "1",
        "other1": "1",
        "other2": "1",
        "cyberlab.d.d1": "1",
    }


def test_a_label_that_cannot_be_set_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nodes_module.time, "sleep", lambda _seconds: None)
    with pytest.raises(Conflict):
        Nodes(cast(Engine, ContestedNode(times=99)), SETTINGS).select("d1", ("n1",))
