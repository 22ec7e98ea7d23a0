"""Run a lesson's cells one after the other, tell where it is, and keep what came out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from cyberlab_hub.demo.browser import Browser
from cyberlab_hub.demo.kernel import Kernel, last_line, open_kernel
from cyberlab_hub.errors import HubError, WorkFailed

RESULT = "CYBERLAB-RESULT "
"""Prefix of the line of JSON that the lesson prints when it runs as the demonstration."""

PREPARE = "import os\nos.environ['CYBERLAB_DEMO'] = '1'"
KERNEL_SECONDS = 60.0


class DeviceReadings(BaseModel):
    """One row of the table at the end."""

    model_config = ConfigDict(frozen=True)

    device: str
    points: int
    first: float
    last: float


class LessonResult(BaseModel):
    """What the lesson reports."""

    model_config = ConfigDict(frozen=True)

    points: int
    devices: tuple[DeviceReadings, ...]
    seconds: float
    """From the build request to the first point read back."""
    chart: str = ""
    """Path of the chart in the home folder; empty: the last picture among the outputs."""


@dataclass(frozen=True)
class Run:
    result: LessonResult
    notebook: dict[str, Any]
    """As executed."""


class Watcher(Protocol):
    """Somebody who looks at one step."""

    def tell(self, line: str) -> None:
        """The newest line, while it runs."""

    def note(self, line: str) -> None:
        """What stays beside the step when it is done."""


Step = Callable[[str], AbstractContextManager[Watcher]]
"""Opens a step of the display under a title."""


def run_lesson(browser: Browser, path: str, step: Step, cell_seconds: float) -> Run:
    """Execute the notebook at `path` in a kernel of its own and save it back with its outputs.

    Raises:
        WorkFailed: ``demo-cell-failed`` names the cell, its error and what to do; the notebook is saved as far
            as it came. ``demo-no-result``: it ran to the end and reported nothing.
    """
    notebook: dict[str, Any] = browser.read_file(path, type="notebook")["content"]
    cells = [cell for cell in notebook["cells"] if has_code(cell)]
    titles = cell_titles(notebook["cells"])
    try:
        with open_kernel(browser, path) as kernel:
            kernel.run(PREPARE, lambda _: None, KERNEL_SECONDS)
            for number, cell in enumerate(cells, 1):
                which = f"cell {number} of {len(cells)}, “{titles[number - 1]}”"
                with step(titles[number - 1]) as watcher:
                    _run_cell(kernel, cell, watcher, cell_seconds, which)
    except HubError:
        with suppress(HubError):  # the first error is the one to tell
            browser.save_notebook(path, notebook)
        raise
    browser.save_notebook(path, notebook)
    return Run(find_result(cells), notebook)


def _run_cell(kernel: Kernel, cell: dict[str, Any], watcher: Watcher, seconds: float, which: str) -> None:
    outputs: list[dict[str, Any]] = []
    cell["outputs"] = outputs
    try:
        cell["execution_count"] = kernel.run(source(cell), watcher.tell, seconds, outputs)
    except HubError as error:
        raise WorkFailed("demo-cell-failed", f"The lesson stopped in {which}: {error.message}") from error
    watcher.note(last_progress(outputs))


def has_code(cell: dict[str, Any]) -> bool:
    """False for prose, and for a cell that holds nothing but remarks."""
    lines = (line.strip() for line in source(cell).splitlines())
    return cell["cell_type"] == "code" and any(line and not line.startswith("#") for line in lines)


def source(cell: dict[str, Any]) -> str:
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def cell_titles(cells: list[dict[str, Any]]) -> list[str]:
    """A title for each code cell that has code: the heading above it, numbered when several stand below one."""
    titles: list[str] = []
    heading, below = "The lesson", 0
    for cell in cells:
        if cell["cell_type"] == "markdown":
            found = [line.lstrip("# ").strip() for line in source(cell).splitlines() if line.startswith("#")]
            if found:
                heading, below = found[-1], 0
        elif "report" in cell["metadata"].get("tags", ()):
            titles.append("Collect the figures")
        elif has_code(cell):
            below += 1
            titles.append(heading if below == 1 else f"{heading} ({below})")
    return titles


def find_result(cells: list[dict[str, Any]]) -> LessonResult:
    """The report among the outputs. Raises: WorkFailed ``demo-no-result``."""
    for cell in reversed(cells):
        for output in cell.get("outputs", ()):
            for line in str(output.get("text", "")).splitlines():
                if line.startswith(RESULT):
                    try:
                        return LessonResult.model_validate(json.loads(line.removeprefix(RESULT)))
                    except (ValueError, ValidationError) as error:
                        raise WorkFailed(
                            "demo-no-result", f"The lesson's report cannot be read: {error}"
                        ) from error
    raise WorkFailed(
        "demo-no-result",
        "The lesson ran to its end but reported no readings. Was it edited? Rename it in the user's home and "
        "restart the server: a fresh copy is put in its place.",
    )


def last_progress(outputs: list[dict[str, Any]]) -> str:
    """What the last progress display says at its end, such as ``anna/greenhouse:3 built (4.2 s)``."""
    shown = [output["data"] for output in outputs if output["output_type"] == "display_data"]
    return next((last_line(data["text/plain"]) for data in reversed(shown) if "text/plain" in data), "")


def last_picture(notebook: dict[str, Any]) -> str | None:
    """The last PNG among the outputs, base64."""
    for cell in reversed(notebook["cells"]):
        for output in reversed(cell.get("outputs", [])):
            picture = output.get("data", {}).get("image/png")
            if picture:
                return picture if isinstance(picture, str) else "".join(picture)
    return None
