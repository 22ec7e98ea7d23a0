"""The notebooks that are shipped: valid, without outputs, and what the demonstration relies on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[3]
NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_is_valid_and_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            compile(cell.source, f"{path.name}:{cell.id}", "exec")
            assert cell.outputs == []
            assert cell.execution_count is None


def test_lesson_reports_to_the_demonstration_in_its_last_cell() -> None:
    last = read(ROOT / "notebooks" / "01-first-readings.ipynb").cells[-1]
    assert "CYBERLAB-RESULT " in last.source
    assert last.metadata["jupyter"]["source_hidden"]
