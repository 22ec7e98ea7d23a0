"""`import cyberlab` and the command line start at once: nothing heavy is loaded before it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("pandas", "numpy", "matplotlib", "ipywidgets", "IPython", "anywidget", "yaml")
HUB = ("cyberlab_hub", "sqlalchemy", "docker", "fastapi")


def loaded_by(code: str) -> set[str]:
    code += "\nimport sys; print('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()}


@pytest.mark.parametrize(
    ("code", "absent"),
    [
        ("import cyberlab", (*HEAVY, *HUB, "pydantic", "httpx")),
        ("from cyberlab import Lab, ImageSpec, DeploymentSpec, FileEntry", (*HEAVY, *HUB)),
        ("import cyberlab.cli", (*HUB, "pydantic", "httpx", "pandas", "matplotlib", "IPython", "yaml")),
        ("import cyberlab.reader, cyberlab.charts, cyberlab.export", HUB),
    ],
)
def test_nothing_is_loaded_too_early(code: str, absent: tuple[str, ...]) -> None:
    assert not loaded_by(code) & set(absent)


def test_the_names_of_the_package() -> None:
    import cyberlab

    assert set(cyberlab.__all__) <= set(dir(cyberlab))
    with pytest.raises(AttributeError, match="Labb"):
        _ = cyberlab.Labb
