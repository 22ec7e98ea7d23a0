"""`ImageForm`: describe an image, build it, try it out, deploy it, without a shell.

State goes down to the browser as traits, wishes come up as messages ``{"do": ...}``; the browser never writes a
trait. (A trait written in the browser may be overtaken by a message sent after it, and a build would then use the
text before last.) Each edit carries a rising number which comes back as ``draft["_seq"]``: so the browser knows
which of its edits the kernel has seen, and keeps those that it has not.

The form works from three threads (kernel, workers, timers), so every handler holds the form's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from cyberlab.errors import LabError
from cyberlab.spec.dockerfile import render
from cyberlab.spec.image import ImageSpec
from cyberlab.spec.problems import find_problems
from cyberlab.widgets import draft as drafts
from cyberlab.widgets.build_panel import BuildPanel
from cyberlab.widgets.deploy_panel import DeployPanel, task_rows
from cyberlab.widgets.files import FileShelf
from cyberlab.widgets.trial_panel import TrialPanel
from cyberlab.widgets.work import IDLE, WorkPanel
from cyberlab.wire import Catalogue, Image, Job, Problem

if TYPE_CHECKING:
    from cyberlab.lab import Lab

HERE = Path(__file__).parent
RESENT_LINES = 2_000


class ImageForm(anywidget.AnyWidget):
    """Shown as the last line of a cell. `spec` and `image` let code cells go on from it.

    form = lab.form()
    form                  # fill it in, press Build
    lab.run(form.image)   # in the next cell
    """

    _esm = HERE / "image_form.js"
    _css = HERE / "image_form.css"

    owner = traitlets.Unicode().tag(sync=True)
    catalogue = traitlets.Dict().tag(sync=True)
    draft = traitlets.Dict().tag(sync=True)
    files: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    open_file: traitlets.Dict[str, Any] = traitlets.Dict({"path": "", "text": "", "revision": 0}).tag(
        sync=True
    )
    problems: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    dockerfile = traitlets.Unicode().tag(sync=True)
    image_state = traitlets.Dict().tag(sync=True)
    devices: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    deployments: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    build_state = traitlets.Dict(dict(IDLE)).tag(sync=True)
    trial_state = traitlets.Dict(dict(IDLE)).tag(sync=True)
    deploy_state = traitlets.Dict(dict(IDLE)).tag(sync=True)
    offers: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(self, lab: Lab, spec: ImageSpec | None = None) -> None:
        super().__init__()
        self._lab = lab
        self._lock = threading.RLock()
        self._wished = spec
        self._catalogue = Catalogue(bases=(), scenarios=())
        self._shelf = FileShelf()
        self._refused: tuple[Problem, ...] = ()
        self.build_panel = BuildPanel(lab, self._work("build"), self._take_refusal, self._tell_image)
        self.trial_panel = TrialPanel(lab, self._work("trial"), self._take_refusal)
        self.deploy_panel = DeployPanel(lab, self._work("deploy"), self._take_refusal, self._refresh)
        self._wishes: dict[str, Callable[..., None]] = {
            "hello": self._do_hello,
            "set": self._do_set,
            "base": self._do_base,
            "scenario": self._do_scenario,
            "edit": self._do_edit,
            "open": self._do_open,
            "upload": self._do_upload,
            "rename": self._do_rename,
            "remove": self._do_remove,
            "build": self._do_build,
            "try": self._do_try,
            "deploy": self._do_deploy,
            "cancel": self._do_cancel,
            "stop": self._do_stop,
            "watch": self._do_watch,
            "refresh": self._do_refresh,
        }
        self.on_msg(self._on_message)
        self._load()
        self._in_thread(self._refresh)

    def __repr__(self) -> str:
        return f"<form of {self.draft.get('name') or 'an image'}>"

    # ------------------------------------------------------------ for code cells
    @property
    def spec(self) -> ImageSpec:
        """What the form says now. Text that is not understood (a port ``80a``) is left out; see `problems`."""
        return drafts.to_spec(self.draft, self._shelf.entries())[0]

    @spec.setter
    def spec(self, spec: ImageSpec) -> None:
        with self._lock:
            self._fill(spec)

    @property
    def image(self) -> Image | None:
        """The image of the last build from this form; None before the first."""
        return self.build_panel.image

    # ------------------------------------------------------------ filling
    def _load(self) -> None:
        try:
            catalogue = self._lab.catalogue()
            owner = self._lab.user
        except LabError as error:
            self.notice = error.message
            self._fill(self._wished or ImageSpec(name=""))
            return
        with self._lock:
            self._catalogue = catalogue
            self.catalogue = catalogue.model_dump(mode="json")
            self.owner, self.notice = owner, ""
            self._fill(self._wished or self._first_spec())

    def _first_spec(self) -> ImageSpec:
        base = next((b.name for b in self._catalogue.bases), "python")
        scenario = next((s.name for s in self._catalogue.scenarios if base in s.bases), "run-script")
        return ImageSpec(name="my-first-image", base=base, scenario=scenario)

    def _fill(self, spec: ImageSpec) -> None:
        seq = self.draft.get("_seq", 0)
        self._shelf = FileShelf(spec.files)
        scenario = self._catalogue.scenario(spec.scenario)
        if scenario is not None:
            if not spec.files:
                self._shelf.load_sample(scenario)
            self._shelf.adopt_sample(scenario)
        self.draft = {**drafts.from_spec(spec, self._catalogue), "_seq": seq}
        self._show_file(scenario.sample_path if scenario else "")
        self._check()

    def _show_file(self, preferred: str = "") -> None:
        path = self._shelf.first_editable(preferred or self.open_file["path"])
        text = self._shelf.text(path) or ""
        self.open_file = {"path": path, "text": text, "revision": self.open_file["revision"] + 1}

    def _check(self) -> None:
        """Problems, Dockerfile and files follow what was typed."""
        spec, typed = drafts.to_spec(self.draft, self._shelf.entries())
        found = [*typed, *find_problems(spec, self._catalogue)] if self._catalogue.bases else list(typed)
        seen = {(problem.path, problem.message): problem for problem in (*found, *self._refused)}
        rows = [{"field": drafts.field_of(p, self.draft), **p.model_dump(mode="json")} for p in seen.values()]
        with self.hold_sync():
            self.files = self._shelf.listing()
            self.problems = rows
            self.dockerfile = render(spec, self._catalogue) if self._catalogue.base(spec.base) else ""
        self._tell_image(spec)

    def _tell_image(self, spec: ImageSpec | None = None) -> None:
        with self._lock:
            image = self.build_panel.image
            outdated = self.build_panel.spec is not None and self.build_panel.spec != (spec or self.spec)
            state = {"ref": image.ref, "size_mb": image.size_mb, "outdated": outdated} if image else {}
            self.image_state = state

    def _take_refusal(self, problems: tuple[Problem, ...]) -> None:
        with self._lock:
            self._refused = problems
            self._check()

    # ------------------------------------------------------------ wishes from the browser
    def _on_message(self, _widget: object, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        wish = self._wishes.get(content.get("do", ""))
        if wish is None:
            return
        values = {key: value for key, value in content.items() if key != "do"}
        if buffers:
            values["content"] = bytes(buffers[0])
        with self._lock:
            wish(**values)

    def _edited(self, seq: int | None = None, **changes: Any) -> None:
        # the lab's own words about the last request stand until the student changes something
        self._refused = ()
        self.draft = {**self.draft, **changes, "_seq": self.draft["_seq"] if seq is None else seq}
        self._check()

    def _do_hello(self) -> None:
        """A page (again): send the logs, which are not traits because they grow."""
        for name, panel in self._panels().items():
            self.send({"log": name, "fresh": True, "lines": panel.work.log_lines[-RESENT_LINES:]})

    def _do_set(self, key: str, value: Any, seq: int) -> None:
        self._edited(seq, **{key: value})

    def _do_base(self, name: str) -> None:
        before = self.draft["scenario"]
        self._edited(**drafts.with_base(self.draft, name, self._catalogue))
        if self.draft["scenario"] != before:
            self._swap_sample()

    def _do_scenario(self, name: str) -> None:
        self._edited(scenario=name)
        self._swap_sample()

    def _swap_sample(self) -> None:
        scenario = self._catalogue.scenario(self.draft["scenario"])
        if scenario is not None and self._shelf.untouched:
            self._shelf.load_sample(scenario)
            self._show_file(scenario.sample_path)
            self._check()

    def _do_edit(self, path: str, text: str) -> None:
        self._shelf.put(path, text.encode())
        self.open_file = {**self.open_file, "path": path, "text": text}
        self._edited()

    def _do_open(self, path: str) -> None:
        self._show_file(path)

    def _do_upload(self, path: str, content: bytes = b"") -> None:
        self._shelf.put(path, content)
        self._show_file(path)
        self._edited()

    def _do_rename(self, path: str, new: str) -> None:
        self._shelf.rename(path, new.strip())
        self._show_file(new.strip() if self.open_file["path"] == path else "")
        self._edited()

    def _do_remove(self, path: str) -> None:
        self._shelf.remove(path)
        self._show_file()
        self._edited()

    # ------------------------------------------------------------ work
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
