"""Waits until every selected device runs the new task, or says in plain words why not.

The tasks of one order carry its job as a label. A device is done when its task has been running for a moment: a program
that stops on its first line is a failure, not a success. A task that cannot be placed gets a few seconds, because the
port or the memory it waits for may belong to the task that it replaces.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from cyberlab_hub.errors import Cancelled, WorkFailed
from cyberlab_hub.workshop import words
from cyberlab_hub.workshop.engine import Engine, filters
from cyberlab_hub.workshop.nodes import Nodes, name_of, state_of
from cyberlab_hub.workshop.orders import Progress
from cyberlab_hub.workshop.service_spec import JOB

POLL_SECONDS = 0.2
SETTLE_SECONDS = 1.0
"""A program that runs this long has not stopped on its first line."""
STUCK_SECONDS = 6.0
"""How long a task may wait for a place, or a device may be away."""
ENDED_UNSEEN = "the program ended right after it started; its log says why"
LONGEST_SECONDS = 300.0
"""For a large image over a slow network."""
ENDED = ("complete", "failed", "rejected", "orphaned")
"""States a task comes to by itself; ``shutdown`` and ``remove`` are somebody's order."""


class Rollout:
    def __init__(self, engine: Engine, nodes: Nodes, service: str, job: str, node_ids: Sequence[str]) -> None:
        self._engine = engine
        self._nodes = nodes
        self._service = service
        self._job = job
        self._devices = {node["ID"]: node for node in nodes.all() if node["ID"] in node_ids}
        self._gone = [node for node in node_ids if node not in self._devices]
        self._first_task: dict[str, str] = {}
        self._running_since: dict[str, float] = {}
        self._stuck_since: dict[str, float] = {}
        self._told: dict[str, str] = {}

    def wait(self, progress: Progress) -> None:
        """Raises:
        WorkFailed: ``deploy-failed``, naming each device that does not run it and why.
        Cancelled: the user stopped it.
        """
        if self._gone:
            raise _failed({"a chosen device": "it is not part of the lab any more"})
        deadline = time.monotonic() + LONGEST_SECONDS
        while True:
            tasks = self._tasks()
            self._tell(tasks, progress)
            update = self._update_state()
            problems = self._problems(tasks)
            if not problems and update.startswith("rollback"):
                # a task ended between two looks, and the swarm put the version before back
                problems = {"a device": ENDED_UNSEEN}
            if problems:
                raise _failed(problems)
            if len(self._settled(tasks)) == len(self._devices) and update in ("", "completed"):
                return
            if progress.cancelled:
                raise Cancelled("cancelled", "You stopped this deployment.")
            if time.monotonic() > deadline:
                raise _failed(self._late(tasks))
            time.sleep(POLL_SECONDS)

    # ------------------------------------------------------------ what the swarm says
    def _tasks(self) -> dict[str, dict[str, Any]]:
        """Node id -> the task of this order there; of several the first, whose successors only say that it ended."""
        found = self._engine.call("GET", "/tasks", params=filters(service=self._service))
        ours = [t for t in found if (t["Spec"]["ContainerSpec"].get("Labels") or {}).get(JOB) == self._job]
        ours.sort(key=lambda task: str(task["CreatedAt"]), reverse=True)
        return {task["NodeID"]: task for task in ours if task.get("NodeID") in self._devices}

    def _settled(self, tasks: dict[str, dict[str, Any]]) -> list[str]:
        now = time.monotonic()
        return [
            node
            for node, task in tasks.items()
            if task["Status"]["State"] == "running"
            and now - self._running_since.setdefault(task["ID"], now) >= SETTLE_SECONDS
        ]

    def _problems(self, tasks: dict[str, dict[str, Any]]) -> dict[str, str]:
        """Device -> why it does not run, once that is certain."""
        found: dict[str, str] = {}
        for node, task in tasks.items():
            status = task["Status"]
            if self._first_task.setdefault(node, task["ID"]) != task["ID"]:
                # the swarm keeps few old tasks: this one's forerunner ended unseen
                found[self._name(node)] = ENDED_UNSEEN
            elif status["State"] in ENDED:
                found[self._name(node)] = task_words(task)
            elif status["State"] == "pending" and status.get("Err") and self._stuck(node):
                found[self._name(node)] = words.task_problem(status["Err"], None)
        missing = [node for node in self._devices if node not in tasks]
        if any(self._stuck(node) for node in missing):
            found |= self._without_task(missing)
        return found

    def _update_state(self) -> str:
        """``updating``, ``completed``, ``rollback_...``; empty for a service that was never updated."""
        service = self._engine.call("GET", f"/services/{self._service}")
        return str((service.get("UpdateStatus") or {}).get("State", ""))

    def _without_task(self, missing: list[str]) -> dict[str, str]:
        fresh = {node["ID"]: node for node in self._nodes.all()}
        clauses = {"away": "it does not answer", "paused": "the operator has paused it"}
        states = {node: state_of(fresh[node]) if node in fresh else "away" for node in missing}
        return {self._name(node): clauses[state] for node, state in states.items() if state in clauses}

    def _stuck(self, node: str) -> bool:
        now = time.monotonic()
        return now - self._stuck_since.setdefault(node, now) >= STUCK_SECONDS

    def _late(self, tasks: dict[str, dict[str, Any]]) -> dict[str, str]:
        late = [node for node in self._devices if node not in self._running_since]
        return {self._name(n): f"it was not ready after {LONGEST_SECONDS:.0f} s" for n in late or tasks}

    # ------------------------------------------------------------ what the user sees
    def _tell(self, tasks: dict[str, dict[str, Any]], progress: Progress) -> None:
        for node, task in tasks.items():
            state = task["Status"]["State"]
            if self._told.get(node) == state:
                continue
            self._told[node] = state
            if state == "preparing":
                progress.log(f"{self._name(node)} fetches the image")
            elif state == "running":
                running = sum(told == "running" for told in self._told.values())
                progress.step(running, len(self._devices), f"{self._name(node)} runs it")

    def _name(self, node: str) -> str:
        return name_of(self._devices[node])


def task_words(task: dict[str, Any]) -> str:
    """Why a task does not run."""
    status = task["Status"]
    code = (status.get("ContainerStatus") or {}).get("ExitCode")
    said = status.get("Err") or ""
    # "task: non-zero exit (1)" says less than the code does
    known = "" if said.startswith("task: non-zero exit") else said
    ended = status["State"] in ("failed", "complete")
    return words.task_problem(known, code if ended else None)


def _failed(problems: dict[str, str]) -> WorkFailed:
    told = "; ".join(f"{device}: {why}" for device, why in sorted(problems.items()))
    return WorkFailed("deploy-failed", f"It does not run on {told}.")
