"""The deployment panel: the image on chosen devices or on a cluster, and what runs already."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from cyberlab.errors import LabError
from cyberlab.widgets.work import WorkPanel
from cyberlab.wire import Deployment, Image, Job

if TYPE_CHECKING:
    from cyberlab.lab import Lab

POLL_SECONDS = 1.0


class DeployPanel:
    """While a deployment starts, each device's task is looked up once a second and told beside the job."""

    def __init__(self, lab: Lab, work: WorkPanel, changed: Callable[[], None]) -> None:
        self.work = work
        self._lab = lab
        self._changed = changed

    def start(self, image: Image, name: str, devices: Sequence[str], cluster: str | None) -> None:
        def begin() -> Any:
            return self._lab.start_deploy(image, name=name, devices=list(devices), cluster=cluster)

        self._start(begin, name, devices)

    def watch(self, job_id: str, name: str) -> None:
        self._start(lambda: self._lab.job(job_id), name, ())

    def stop(self, name: str) -> None:
        """Stop a deployment. Raises LabError."""
        self._lab.stop(name)
        self.work.note(
            tasks=[], next=f"{name} is stopped on every device. Its readings stay in your database."
        )
        self._changed()

    def _start(self, begin: Callable[[], Any], name: str, devices: Sequence[str]) -> None:
        tasks = [task_row(device, "waiting") for device in devices]
        if self.work.start(begin, self._done, name=name, tasks=tasks):
            threading.Thread(target=self._poll, args=(name,), daemon=True).start()

    def _poll(self, name: str) -> None:
        pause = threading.Event()
        while self.work.state["busy"] and not pause.wait(POLL_SECONDS):
            self._tell_tasks(name)

    def _tell_tasks(self, name: str) -> None:
        try:
            self.work.note(tasks=task_rows(self._lab.deployment(name)))
        except LabError:
            return  # not there yet, or the lab is away for a moment: the job itself says what went wrong

    def _done(self, job: Job) -> str:
        name = str(job.result.get("deployment", job.name))
        self._tell_tasks(name)
        self._changed()
        count = len(job.result.get("devices", ()))
        where = f"{count} device" if count == 1 else f"{count} devices"
        return f"{name} runs on {where}. Read its data with lab.read(...), or watch it live on the sensors dashboard."


def task_rows(deployment: Deployment) -> list[dict[str, str]]:
    """One row a device, in the order of the devices; a device without a task yet waits."""
    tasks = {task.device: task for task in deployment.tasks}
    return [
        task_row(device, tasks[device].state, tasks[device].message)
        if device in tasks
        else task_row(device, "waiting")
        for device in deployment.devices
    ]


def task_row(device: str, state: str, message: str = "") -> dict[str, str]:
    return {"device": device, "state": state, "message": message}
