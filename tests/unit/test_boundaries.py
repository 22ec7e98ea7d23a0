"""Who may import whom (contracts in pyproject.toml, ``tool.importlinter``), and what only one module may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ONLY_HERE = {
    # library: the one module of each folder that may import it
    "docker": {
        "hub/cyberlab_hub/workshop": {"engine.py"},
        "hub/cyberlab_hub/service": set(),
        "hub/cyberlab_hub/ingest": set(),
    },
    "influxdb_client": {"hub/cyberlab_hub/service": set(), "hub/cyberlab_hub/workshop": set()},
}


def test_import_contracts_hold() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("library", sorted(ONLY_HERE))
def test_a_library_behind_a_seam_is_imported_at_the_seam_only(library: str) -> None:
    for folder, allowed in ONLY_HERE[library].items():
        found = {p.name for p in (ROOT / folder).rglob("*.py") if library in imported(p)}
        assert found <= allowed, folder


@pytest.mark.parametrize("folder", ["edge/cyberlab_edge"])
def test_programs_on_a_device_need_only_the_standard_library_and_the_agent_one_more(folder: str) -> None:
    ours = sys.stdlib_module_names | {"cyberlab_edge", "__future__"}
    for path in (ROOT / folder).rglob("*.py"):
        allowed = {"websockets"} if path.parent.name == "agent" else set()
        assert imported(path) - ours <= allowed, path


def imported(path: Path) -> set[str]:
    """First parts of the absolute imports of a file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names
