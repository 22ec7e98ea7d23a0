"""Run steps that need one another, as early as they may, and show what is going on.

A step is a function that returns a word about what it did; it raises `Reused` with that word when there was
nothing to do. Steps whose needs are met run at the same time, `WORKERS` at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table

from cyberlab_hub.errors import HubError, SetupError

WORKERS = 3
"""Two cores, and steps that mostly wait for the network or a disk."""


class Reused(Exception):
    """The step found everything in place; the text says what."""


@dataclass(frozen=True)
class Step:
    name: str
    title: str
    run: Callable[[], str]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    title: str
    seconds: float
    detail: str
    reused: bool


class StepRunner:
    """Runs steps to the end or to the first failure (then lets running ones finish and starts no more)."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.outcomes: list[Outcome] = []
        self._running: dict[str, tuple[Step, float]] = {}

    def run(self, steps: list[Step]) -> list[Outcome]:
        """Raises: SetupError of the first step that failed, naming the step."""
        waiting = {step.name: step for step in steps}
        finished: set[str] = {need for step in steps for need in step.needs} - set(waiting)
        futures: dict[Future[tuple[str, bool]], Step] = {}
        failure: tuple[Step, BaseException] | None = None
        with ThreadPoolExecutor(WORKERS) as pool, self._live() as live:
            while futures or (waiting and failure is None):
                ready = (
                    [s for s in waiting.values() if finished.issuperset(s.needs)] if failure is None else []
                )
                for step in ready[: WORKERS - len(futures)]:
                    del waiting[step.name]
                    self._running[step.name] = (step, time.monotonic())
                    futures[pool.submit(_attempt, step)] = step
                if not futures:
                    raise SetupError("setup-plan", f"these steps wait for one another: {', '.join(waiting)}")
                done, _ = wait(futures, timeout=0.25, return_when=FIRST_COMPLETED)
                for future in done:
                    step = futures.pop(future)
                    _, started = self._running.pop(step.name)
                    error = future.exception()
                    if error is not None:
                        failure = failure or (step, error)
                        continue
                    detail, reused = future.result()
                    finished.add(step.name)
                    self._tell(Outcome(step.title, time.monotonic() - started, detail, reused))
                live.update(self._picture())
        if failure is not None:
            raise _as_setup_error(*failure) from failure[1]
        return self.outcomes

    def _tell(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        mark = "[cyan]reused[/]" if outcome.reused else "[green]  done[/]"
        self.console.print(
            f"{mark} {outcome.seconds:6.1f} s  {outcome.title}  [dim]{outcome.detail}[/]", highlight=False
        )

    def _live(self) -> Live:
        """On a terminal the running steps spin below the finished ones; in a log only lines are written."""
        return Live(self._picture(), console=self.console, refresh_per_second=8, transient=True)

    def _picture(self) -> Table:
        grid = Table.grid(padding=(0, 1))
        if self.console.is_terminal:
            now = time.monotonic()
            for step, started in self._running.values():
                grid.add_row(Spinner("dots"), f"{now - started:5.0f} s", f"{step.title} …")
        return grid


def _attempt(step: Step) -> tuple[str, bool]:
    try:
        return step.run(), False
    except Reused as found:
        return str(found), True


def _as_setup_error(step: Step, error: BaseException) -> SetupError:
    if isinstance(error, HubError):
        return SetupError(error.code, f"{step.title}: {error.message}")
    return SetupError("setup-failed", f"{step.title}: {type(error).__name__}: {error}")


def make_console() -> Console:
    """Wide enough for one line a step, also when the output is a log file."""
    return Console(width=None if sys.stdout.isatty() else 140, highlight=False)
