"""Waiting for devices: what counts as running, what as failed, and what is said about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from cyberlab_hub.errors import Cancelled, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import rollout
from cyberlab_hub.workshop.engine import Engine
from cyberlab_hub.workshop.nodes import Nodes
from cyberlab_hub.workshop.rollout import Rollout
from fakes import RecordedProgress
from unit.workshop.scripted import Script, ScriptedEngine, node, task


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(rollout, "SETTLE_SECONDS", 0.02)
    monkeypatch.setattr(rollout, "STUCK_SECONDS", 0.02)
    monkeypatch.setattr(rollout, "LONGEST_SECONDS", 0.5)


def wait(
    tasks: Any, nodes: Any = None, service: Any = None, ids: tuple[str, ...] = ("n1", "n2")
) -> RecordedProgress:
    scripted = ScriptedEngine(tasks=tasks, nodes=nodes or [node(1), node(2), node(3)], services=service or {})
    engine = cast(Engine, scripted)
    progress = RecordedProgress()
    Rollout(engine, Nodes(engine, Settings(state=Path("/x"))), "s1", "j1", ids).wait(progress)
    return progress


def test_it_waits_for_every_device_and_tells_each() -> None:
    progress = wait(
        Script(
            [],
            [task(1, "preparing")],
            [task(1, "running"), task(2, "starting")],
            [task(1, "running"), task(2, "running")],
        )
    )
    assert progress.steps == [(1, 2, "pi01 runs it"), (2, 2, "pi02 runs it")]
    assert progress.lines == ["pi01 fetches the image"]


def test_tasks_of_the_version_before_do_not_count() -> None:
    old = task(1, "running")
    old["Spec"]["ContainerSpec"]["Labels"] = {"cyberlab.job": "j0"}
    with pytest.raises(WorkFailed, match=r"pi01: it was not ready after"):
        wait([old], ids=("n1",))


def test_a_program_that_ends_is_a_failure_with_its_exit_code() -> None:
    with pytest.raises(WorkFailed) as caught:
        wait([task(1, "running"), task(2, "failed", code=3, err="task: non-zero exit (3)")])
    assert caught.value.code == "deploy-failed"
    assert "pi02: the program ended with exit code 3" in caught.value.message
    assert "pi01" not in caught.value.message


def test_a_program_that_was_replaced_between_two_looks_has_failed_too() -> None:
    with pytest.raises(WorkFailed, match="pi01: the program ended right after it started"):
        wait(Script([task(1, "running")], [task(1, "running", name="t2")]), ids=("n1",))


def test_a_rollback_that_was_not_seen_is_a_failure() -> None:
    with pytest.raises(WorkFailed, match="ended right after it started"):
        wait([], service={"UpdateStatus": {"State": "rollback_completed"}})


def test_an_update_is_done_when_the_swarm_says_so() -> None:
    states = [{"UpdateStatus": {"State": state}} for state in ("updating",) * 40 + ("completed",)]
    wait([task(1, "running")], ids=("n1",), service=Script(*states))


def test_a_task_that_finds_no_place_gets_a_moment_and_then_its_reason() -> None:
    waiting = task(1, "pending", err="no suitable node (host-mode port already in use on 1 node)")
    with pytest.raises(WorkFailed, match="pi01: another deployment already uses one of these ports"):
        wait([waiting], ids=("n1",))
    wait(Script([waiting], [task(1, "running")]), ids=("n1",))


@pytest.mark.parametrize(
    ("asleep", "words"),
    [
        (node(2, state="down"), "pi02: it does not answer"),
        (node(2, availability="pause"), "pi02: the operator has"),
    ],
)
def test_a_device_that_is_away_is_named(asleep: dict[str, Any], words: str) -> None:
    with pytest.raises(WorkFailed, match=words):
        wait([task(1, "running")], nodes=[node(1), asleep])


def test_a_device_that_left_the_lab_is_a_failure() -> None:
    with pytest.raises(WorkFailed, match="not part of the lab"):
        wait([], ids=("n1", "n9"))


def test_cancel_ends_the_waiting() -> None:
    scripted = cast(Engine, ScriptedEngine(tasks=[], nodes=[node(1)], services={}))
    progress = RecordedProgress()
    progress.cancel()
    with pytest.raises(Cancelled):
        Rollout(scripted, Nodes(scripted, Settings(state=Path("/x"))), "s1", "j1", ("n1",)).wait(progress)
