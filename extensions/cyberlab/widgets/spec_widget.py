"""`SpecWidget`: the half of the form that describes an image: its fields, files, problems and Dockerfile.

State goes down to the browser as traits, wishes come up as messages ``{"do": ...}``; the browser never writes a
trait. (A trait written in the browser may be overtaken by a message sent after it, and a build would then use the
text before last.) Each edit carries a rising number which comes back as ``draft["_seq"]``: so the browser knows
which of its edits the kernel has seen, and keeps those that it has not.

The form works from three threads (kernel, workers, timers), so every handler holds the form's lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from cyberlab.errors import LabError
from cyberlab.spec.archives import ArchiveRefused, gather, unpack
from cyberlab.spec.dockerfile import render
from cyberlab.spec.image import ImageSpec
from cyberlab.spec.problems import find_problems
from cyberlab.widgets import draft as drafts
from cyberlab.widgets.advice import AdviceWatch
from cyberlab.widgets.anyshell import answer_in_any_shell
from cyberlab.widgets.files import FileShelf
from cyberlab.wire import Catalogue, Problem, Unpacked

if TYPE_CHECKING:
    from cyberlab.lab import Lab


NO_UPLOAD = {"said": "", "refused": False}
"""Nothing is said about the last archive or folder."""


class SpecWidget(anywidget.AnyWidget):
    owner = traitlets.Unicode().tag(sync=True)
    catalogue = traitlets.Dict().tag(sync=True)
    draft = traitlets.Dict().tag(sync=True)
    files: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    open_file: traitlets.Dict[str, Any] = traitlets.Dict({"path": "", "text": "", "revision": 0}).tag(
        sync=True
    )
    problems: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    dockerfile = traitlets.Unicode().tag(sync=True)
    advice: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    upload: traitlets.Dict[str, Any] = traitlets.Dict(dict(NO_UPLOAD)).tag(sync=True)
    notice = traitlets.Unicode().tag(sync=True)

    def __init__(self, lab: Lab, spec: ImageSpec | None) -> None:
        super().__init__()
        self._lab = lab
        self._lock = threading.RLock()
        self._wished = spec
        self._catalogue = Catalogue(bases=(), scenarios=())
        self._shelf = FileShelf()
        self._refused: tuple[Problem, ...] = ()
        self._advice = AdviceWatch(lab, self._tell_advice)
        self._wishes: dict[str, Callable[..., None]] = {
            "set": self._do_set,
            "base": self._do_base,
            "scenario": self._do_scenario,
            "edit": self._do_edit,
            "open": self._do_open,
            "upload": self._do_upload,
            "unpack": self._do_unpack,
            "folder": self._do_folder,
            "rename": self._do_rename,
            "remove": self._do_remove,
        }
        self.on_msg(self._on_message)
        answer_in_any_shell(self)

    def __repr__(self) -> str:
        return f"<form of {self.draft.get('name') or 'an image'}>"

    @property
    def spec(self) -> ImageSpec:
        """What the form says now. Text that is not understood (a port ``80a``) is left out; see `problems`."""
        return drafts.to_spec(self.draft, self._shelf.entries())[0]

    @spec.setter
    def spec(self, spec: ImageSpec) -> None:
        with self._lock:
            self._fill(spec)

    def _described(self, spec: ImageSpec) -> None:
        """Called with what the form says, after each change."""
        raise NotImplementedError

    # ------------------------------------------------------------ filling
    def _load(self) -> None:
        try:
            catalogue = self._lab.catalogue()
            owner = self._lab.user
        except LabError as error:
            with self._lock:
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
        rows.sort(key=lambda row: drafts.place_of(row["field"]))
        with self.hold_sync():
            self.files = self._shelf.listing()
            self.problems = rows
            self.dockerfile = render(spec, self._catalogue) if self._catalogue.base(spec.base) else ""
            self._advice.about(spec, self.dockerfile)
        self._described(spec)

    def _tell_advice(self, rows: list[dict[str, Any]]) -> None:
        with self._lock:
            self.advice = rows

    def _take_refusal(self, problems: tuple[Problem, ...]) -> None:
        """Problems that the lab found. They stand until the student changes something or asks again."""
        with self._lock:
            self._refused = problems
            self._check()

    # ------------------------------------------------------------ wishes from the browser
    def _on_message(self, _widget: object, content: dict[str, Any], buffers: Sequence[memoryview]) -> None:
        wish = self._wishes.get(content.get("do", ""))
        if wish is None:
            return
        values = {key: value for key, value in content.items() if key != "do"}
        if "paths" in values:
            values["contents"] = [bytes(buffer) for buffer in buffers]
        elif buffers:
            values["content"] = bytes(buffers[0])
        with self._lock:
            wish(**values)

    def _edited(self, seq: int | None = None, **changes: Any) -> None:
        self._refused = ()
        self.upload = dict(NO_UPLOAD)
        self.draft = {**self.draft, **changes, "_seq": self.draft["_seq"] if seq is None else seq}
        self._check()

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

    def _do_unpack(self, path: str, content: bytes = b"") -> None:
        """An archive that was dropped: its files, by the rules that the lab has too."""
        self._add_all(path, lambda top: unpack((content,), self._catalogue.limits, without_top=top))

    def _do_folder(self, name: str, paths: list[str], contents: list[bytes]) -> None:
        """A folder that was dropped: the paths begin with its name."""
        found = list(zip(paths, contents, strict=False))
        self._add_all(name, lambda top: gather(found, self._catalogue.limits, without_top=top))

    def _add_all(self, name: str, read: Callable[[bool], Unpacked]) -> None:
        """All the files or none. A whole program takes the place of the sample; otherwise its folder is kept."""
        whole = self._shelf.untouched
        try:
            unpacked = read(whole)
        except ArchiveRefused as error:
            self.upload = {"said": f"{name} was not added. {error.message}", "refused": True}
            return
        if whole:
            self._shelf = FileShelf(unpacked.files)
        else:
            self._shelf.put_all(unpacked.files)
        self._show_file("main.py")
        self._edited()
        self.upload = {"said": _added(name, unpacked), "refused": False}

    def _do_rename(self, path: str, new: str) -> None:
        self._shelf.rename(path, new.strip())
        self._show_file(new.strip() if self.open_file["path"] == path else "")
        self._edited()

    def _do_remove(self, path: str) -> None:
        self._shelf.remove(path)
        self._show_file()
        self._edited()


def _added(name: str, unpacked: Unpacked) -> str:
    count = len(unpacked.files)
    said = f"{count} file{'s' if count != 1 else ''} of {name} added."
    if unpacked.skipped:
        said += f" {unpacked.skipped} hidden or generated left out."
    return said
