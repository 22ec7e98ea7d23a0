"""`up` starts a process anew when its code has changed: so it must know what each process runs."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import PurePosixPath

import pytest
from cyberlab_hub.settings import ROOT
from cyberlab_hub.setup.up import CODE


def imports_of(file: str) -> list[str]:
    """The modules of ours that a configuration file imports."""
    found: list[str] = []
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("cyberlab_hub"):
            inner = (
                [f"{node.module}.{alias.name}" for alias in node.names]
                if node.module == "cyberlab_hub"
                else []
            )
            found += inner or [str(node.module)]
    return found


def run_by(modules: list[str]) -> set[str]:
    """Files of `cyberlab_hub` that a process with these modules has loaded, packages themselves left out."""
    script = (
        "import importlib, json, sys\n"
        "for name in json.loads(sys.argv[1]): importlib.import_module(name)\n"
        "ours = [m for n, m in sys.modules.items() if n.startswith('cyberlab_hub')]\n"
        "print(json.dumps([m.__file__ for m in ours if not hasattr(m, '__path__')]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, json.dumps(modules)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return {PurePosixPath(file).relative_to(ROOT).as_posix() for file in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("process", "modules"),
    [("hub", imports_of("jupyterhub_config.py")), ("ingest", ["cyberlab_hub.ingest.__main__"])],
)
def test_every_file_that_a_process_runs_is_known(process: str, modules: list[str]) -> None:
    assert modules
    known = CODE[process]
    unknown = {
        file for file in run_by(modules) if not any(file == k or file.startswith(f"{k}/") for k in known)
    }
    assert not unknown
    assert all((ROOT / path).exists() for path in known)
