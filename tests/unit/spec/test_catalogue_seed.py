"""The seed of the catalogue: everything it offers is there and fits together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from cyberlab.spec import FileEntry, ImageSpec
from cyberlab.spec.names import is_name
from cyberlab.spec.problems import find_problems
from cyberlab.spec.requirements import npm_package, pip_requirement
from cyberlab.wire import Base, Catalogue, Library, Scenario
from spec_samples import catalogue as seed

BASES = Path(__file__).parents[3] / "spawner_images" / "bases"
RUNS = [(scenario, base) for scenario in seed().scenarios for base in scenario.bases]


def test_the_bases_that_the_lab_promises(catalogue: Catalogue) -> None:
    assert [base.name for base in catalogue.bases] == ["python", "python-science", "python-vision", "node"]


@pytest.mark.parametrize("base", seed().bases, ids=lambda base: base.name)
def test_a_base_is_complete(base: Base, catalogue: Catalogue) -> None:
    assert is_name(base.name)
    assert base.image == f"cyberlab/{base.name}"
    assert base.title
    assert base.summary.endswith(".")
    assert 10 <= len(base.libraries) <= 20
    assert len({(library.kind, library.name) for library in base.libraries}) == len(base.libraries)
    assert any(base.name in scenario.bases for scenario in catalogue.scenarios)


@pytest.mark.parametrize("base", seed().bases, ids=lambda base: base.name)
def test_every_offered_library_may_be_chosen(base: Base, catalogue: Catalogue) -> None:
    def names(kind: str) -> tuple[str, ...]:
        return tuple(library.name for library in base.libraries if library.kind == kind)

    scenario = next(s for s in catalogue.scenarios if base.name in s.bases)
    files = (FileEntry(path=scenario.sample_path, text=scenario.sample),)
    spec = ImageSpec(
        name="all",
        base=base.name,
        scenario=scenario.name,
        files=files,
        apt=names("apt"),
        pip=names("pip"),
        npm=names("npm"),
    )
    assert find_problems(spec, catalogue) == ()


@pytest.mark.parametrize(
    "library", {library.name: library for b in seed().bases for library in b.libraries}.values()
)
def test_a_library_is_explained(library: Library) -> None:
    assert library.summary.endswith((".", "?"))
    read = {
        "pip": pip_requirement,
        "npm": npm_package,
        "apt": lambda name: re.fullmatch("[a-z0-9.+-]+", name),
    }
    assert read[library.kind](library.name)


@pytest.mark.parametrize(("scenario", "base"), RUNS, ids=[f"{s.name} on {b}" for s, b in RUNS])
def test_a_scenario_begins_with_a_program_that_may_be_built(
    scenario: Scenario, base: str, catalogue: Catalogue
) -> None:
    files = (FileEntry(path=scenario.sample_path, text=scenario.sample),)
    spec = ImageSpec(name="sample", base=base, scenario=scenario.name, files=files)
    assert find_problems(spec, catalogue) == ()
    assert scenario.summary.endswith(".")
    if scenario.sample_path.endswith(".py"):
        compile(scenario.sample, scenario.sample_path, "exec")


@pytest.mark.parametrize("base", seed().bases, ids=lambda base: base.name)
def test_a_base_starts_from_the_lab_s_own_images(base: Base) -> None:
    text = (BASES / base.name / "Dockerfile").read_text()
    parents = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    assert parents
    assert set(parents) <= {"cyberlab/debian", "cyberlab/python"}
    assert "/usr/share/cyberlab/versions.json" in text or "cyberlab/versions.py" in text
