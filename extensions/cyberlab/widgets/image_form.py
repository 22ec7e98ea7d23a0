"""`ImageForm`: describe an image, build it, try it out, deploy it, without a shell.

`SpecWidget` is the describing half and says how browser and kernel talk; this half does the work. Each step is a
panel that follows its job in a thread, see `work`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import traitlets

from cyberlab.errors import LabError
from cyberlab.spec.image import ImageSpec
from cyberlab.widgets.build_panel import BuildPanel
from cyberlab.widgets.deploy_panel import DeployPanel, task_rows
from cyberlab.widgets.spec_widget import SpecWidget
from cyberlab.widgets.trial_panel import TrialPanel
from cyberlab.widgets.work import IDLE, WorkPanel
from cyberlab.wire import Image, Job

if TYPE_CHECKING:
    from cyberlab.lab import Lab

HERE = Path(__file__).parent
RESENT_LINES = 2_000


class ImageForm(SpecWidget):
    """Shown as the last line of a cell. `spec` and `image` let code cells go on from it.

    form = lab.form()
    form                  # fill it in, press Build
    lab.run(form.image)   # in the next cell
    """

    _esm = HERE / "image_form.js"
    _css = HERE / "image_form.css"

    image_state = traitlets.Dict().tag(sync=True)
    devices: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    deployments: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    build_state = traitlets.Dict(dict(IDLE)).tag(sync=True)
    trial_state = traitlets.Dict(dict(IDLE)).tag(sync=True)
    deploy_state = traitlets.Dict(dict(IDLE)).tag(sync=True)
    offers: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)

    def __init__(self, lab: Lab, spec: ImageSpec | None = None) -> None:
        super().__init__(lab, spec)
        self.build_panel = BuildPanel(lab, self._work("build"), self._take_refusal, self._tell_image)
        self.trial_panel = TrialPanel(lab, self._work("trial"))
        self.deploy_panel = DeployPanel(lab, self._work("deploy"), self._refresh)
        self._wishes |= {
            "hello": self._do_hello,
            "build": self._do_build,
            "try": self._do_try,
            "deploy": self._do_deploy,
            "cancel": self._do_cancel,
            "stop": self._do_stop,
            "watch": self._do_watch,
            "refresh": self._do_refresh,
        }
        self._load()
        self._in_thread(self._refresh)

    @property
    def image(self) -> Image | None:
        """The image of the last build from this form; None before the first."""
        return self.build_panel.image

    # ------------------------------------------------------------ what is known
    def _described(self, spec: ImageSpec) -> None:
        self._tell_image(spec)

    def _tell_image(self, spec: ImageSpec | None = None) -> None:
        with self._lock:
            image = self.build_panel.image
            outdated = self.build_panel.spec is not None and self.build_panel.spec != (spec or self.spec)
            state = {"ref": image.ref, "size_mb": image.size_mb, "outdated": outdated} if image else {}
            self.image_state = state

    # ------------------------------------------------------------ wishes from the browser
    def _do_hello(self) -> None:
        """A page (again): send the logs, which are not traits because they grow."""
        for name, panel in self._panels().items():
            self.send({"log": name, "fresh": True, "lines": panel.work.log_lines[-RESENT_LINES:]})

    def _do_build(self) -> None:
        if self._refused:  # what the lab refused before may be possible now: ask it again
            self._refused = ()
            self._check()
        if self.problems:
            self.send({"problem": self.problems[0]["field"]})
        else:
            self.build_panel.start(self.spec)

    def _do_try(self, seconds: int) -> None:
        if self.build_panel.image is not None:
            self.trial_panel.start(self.build_panel.image, seconds)

    def _do_deploy(self, name: str, devices: list[str], cluster: str | None = None) -> None:
        if self.build_panel.image is not None:
            self.deploy_panel.start(self.build_panel.image, name, devices, cluster)

    def _do_cancel(self, panel: str) -> None:
        self._panels()[panel].work.cancel()

    def _do_stop(self, name: str) -> None:
        def stop() -> None:
            try:
                self.deploy_panel.stop(name)
            except LabError as error:
                self.deploy_panel.work.fail(error)

        self._in_thread(stop)

    def _do_watch(self, job: str) -> None:
        offer = next((o for o in self.offers if o["id"] == job), None)
        if offer is None:
            return
        self.offers = [o for o in self.offers if o["id"] != job]
        if offer["kind"] == "deploy":
            self.deploy_panel.watch(job, offer["name"])
        else:
            (self.build_panel if offer["kind"] == "build" else self.trial_panel).watch(job)

    def _do_refresh(self) -> None:
        self._in_thread(self._refresh)

    def _refresh(self) -> None:
        """Devices, deployments and jobs that still run, as the lab knows them now."""
        if not self._catalogue.bases:
            self._load()
        try:
            devices, deployments, jobs = self._lab.devices(), self._lab.deployments(), self._lab.jobs()
        except LabError as error:
            self.notice = error.message
            return
        with self._lock, self.hold_sync():
            self.devices = [device.model_dump(mode="json") for device in devices]
            self.deployments = [
                {"name": d.name, "image": d.image, "tasks": task_rows(d)}
                for d in deployments
                if d.owner == self.owner
            ]
            watched = {panel.work.state.get("job") for panel in self._panels().values()}
            self.offers = [_offer(job) for job in jobs if not job.phase.ended and job.id not in watched]
            self.notice = ""

    # ------------------------------------------------------------ plumbing
    def _panels(self) -> dict[str, BuildPanel | TrialPanel | DeployPanel]:
        return {"build": self.build_panel, "trial": self.trial_panel, "deploy": self.deploy_panel}

    def _work(self, name: str) -> WorkPanel:
        def tell(state: dict[str, Any]) -> None:
            setattr(self, f"{name}_state", state)

        def tell_log(fresh: bool, lines: list[str]) -> None:
            self.send({"log": name, "fresh": fresh, "lines": lines})

        return WorkPanel(self._lock, tell, tell_log)

    def _in_thread(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, daemon=True).start()


def _offer(job: Job) -> dict[str, str]:
    return {"id": job.id, "kind": str(job.kind), "name": job.name}
