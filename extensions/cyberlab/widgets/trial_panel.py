"""The trial panel: run the image for a while on the workshop and read what it prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cyberlab.widgets.work import WorkPanel
from cyberlab.wire import Image, Job

if TYPE_CHECKING:
    from cyberlab.lab import Lab


class TrialPanel:
    def __init__(self, lab: Lab, work: WorkPanel) -> None:
        self.work = work
        self._lab = lab

    def start(self, image: Image, seconds: int) -> None:
        self.work.start(lambda: self._lab.start_trial(image, seconds=seconds), _done)

    def watch(self, job_id: str) -> None:
        self.work.start(lambda: self._lab.job(job_id), _done)


def _done(job: Job) -> str:
    code = job.result.get("exit_code")
    if code is None:
        return "The time is over and the program still ran: good for a program that never ends. Deploy it."
    if code == 0:
        return "The program ended by itself without an error. If the log looks right, deploy it."
    return (
        f"The program ended with exit code {code}, which means an error. Read the last lines of the log, "
        "repair it, build again."
    )
