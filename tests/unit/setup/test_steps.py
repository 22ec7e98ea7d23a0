from __future__ import annotations

import io
import threading

import pytest
from cyberlab_hub.errors import PartDown, SetupError
from cyberlab_hub.setup.steps import Reused, Step, StepRunner
from rich.console import Console


def runner() -> tuple[StepRunner, io.StringIO]:
    out = io.StringIO()
    return StepRunner(Console(file=out, width=120)), out


def test_a_step_waits_for_what_it_needs_and_all_are_told() -> None:
    order: list[str] = []

    def step(name: str, *needs: str) -> Step:
        return Step(name, name.upper(), lambda: order.append(name) or f"made {name}", needs)  # type: ignore[func-returns-value]  # the usual way to do two things in a lambda

    run, out = runner()
    outcomes = run.run([step("c", "a", "b"), step("b", "a"), step("a")])
    assert order == ["a", "b", "c"]
    assert [o.title for o in outcomes] == ["A", "B", "C"]
    assert "made b" in out.getvalue()


def test_independent_steps_run_at_the_same_time() -> None:
    meet = threading.Barrier(2, timeout=10)

    def wait_for_the_other() -> str:
        meet.wait()
        return "met"

    run, _ = runner()
    run.run([Step("x", "X", wait_for_the_other), Step("y", "Y", wait_for_the_other)])


def test_a_step_with_nothing_to_do_is_told_as_reused() -> None:
    def nothing() -> str:
        raise Reused("it was there")

    run, out = runner()
    outcomes = run.run([Step("x", "X", nothing)])
    assert outcomes[0].reused
    assert "reused" in out.getvalue()
    assert "it was there" in out.getvalue()


def test_the_first_failure_names_its_step_and_stops_what_waits() -> None:
    ran: list[str] = []

    def fail() -> str:
        raise PartDown("engine-down", "no engine answers")

    run, _ = runner()
    with pytest.raises(SetupError, match="Engine: no engine answers") as caught:
        run.run([Step("e", "Engine", fail), Step("n", "Next", lambda: ran.append("n") or "", ("e",))])  # type: ignore[func-returns-value]  # as above
    assert caught.value.code == "engine-down"
    assert ran == []


def test_a_foreign_exception_becomes_a_setup_error() -> None:
    def fail() -> str:
        raise RuntimeError("odd")

    run, _ = runner()
    with pytest.raises(SetupError, match="Odd step: RuntimeError: odd"):
        run.run([Step("o", "Odd step", fail)])


def test_steps_that_wait_for_one_another_are_refused() -> None:
    run, _ = runner()
    with pytest.raises(SetupError, match="wait for one another"):
        run.run([Step("a", "A", lambda: "", ("b",)), Step("b", "B", lambda: "", ("a",))])


def test_the_plan_of_up_needs_only_steps_that_exist() -> None:
    from cyberlab_hub.settings import load
    from cyberlab_hub.setup.up import plan

    steps = plan(load())
    names = {s.name for s in steps}
    assert len(names) == len(steps)
    assert {need for s in steps for need in s.needs} <= names
