"""Run a lesson's cells one after the other, tell where it is, and keep what came out."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cyberlab_hub.demo.browser import Browser, Tell
from cyberlab_hub.demo.kernel import Kernel, open_kernel
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


Step = Callable[[str], AbstractContextManager[Tell]]
"""Opens a step of the display under a title; what it yields shows the newest line."""


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
                with step(titles[number - 1]) as tell:
                    _run_cell(
                        kernel,
                        cell,
                        tell,
                        cell_seconds,
                        f"cell {number} of {len(cells)}, “{titles[number - 1]}”",
                    )
    finally:
        browser.save_notebook(path, notebook)
    return Run(find_result(cells), notebook)


def _run_cell(kernel: Kernel, cell: dict[str, Any], tell: Tell, seconds: float, which: str) -> None:
    outputs: list[dict[str, Any]] = []
    cell["outputs"] = outputs
    try:
        cell["execution_count"] = kernel.run(source(cell), tell, seconds, outputs)
    except HubError as error:
        raise WorkFailed("demo-cell-failed", f"The lesson stopped in {which}: {error.message}") from error


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


def last_picture(notebook: dict[str, Any]) -> str | None:
    """The last PNG among the outputs, base64."""
    for cell in reversed(notebook["cells"]):
        for output in reversed(cell.get("outputs", [])):
            picture = output.get("data", {}).get("image/png")
            if picture:
                return picture if isinstance(picture, str) else "".join(picture)
    return None
