"""The build panel: from the spec to an image in the registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from cyberlab.spec.image import ImageSpec
from cyberlab.widgets.work import Refused, WorkPanel
from cyberlab.wire import Image, Job

if TYPE_CHECKING:
    from cyberlab.lab import Lab


class BuildPanel:
    """`spec` is what the last image was built from: when the form says something else, the image is outdated."""

    def __init__(self, lab: Lab, work: WorkPanel, refused: Refused, built: Callable[[], None]) -> None:
        self.work = work
        self.image: Image | None = None
        self.spec: ImageSpec | None = None
        self._lab = lab
        self._refused = refused
        self._built = built

    def start(self, spec: ImageSpec) -> None:
        def done(job: Job) -> str:
            self.spec = spec
            return self._done(job)

        self.work.start(lambda: self._lab.start_build(spec), done, self._refused)

    def watch(self, job_id: str) -> None:
        self.work.start(lambda: self._lab.job(job_id), self._done, self._refused)

    def _done(self, job: Job) -> str:
        ref = str(job.result.get("image", ""))
        self.image = next((image for image in self._lab.images() if image.ref == ref), None)
        self._built()
        if job.result.get("reused"):
            return f"Nothing changed since {ref}, so it is used again. Try it out, or deploy it."
        return f"{ref} is ready. Try it out here first, or deploy it to devices."
