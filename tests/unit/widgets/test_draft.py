"""What a person types becomes a spec, and what cannot be understood a problem beside its field."""

from __future__ import annotations

import pytest
from cyberlab.spec.image import FileEntry, ImageSpec
from cyberlab.widgets import draft as drafts
from cyberlab.wire import Problem
from fake_lab import CATALOGUE

FULL = ImageSpec(
    name="greenhouse",
    base="python",
    apt=("i2c-tools",),
    pip=("requests", "numpy==2.1.0"),
    files=(FileEntry(path="main.py", text="print(1)\n"),),
    command=("python3", "main.py", "two words"),
    env={"INTERVAL": "1"},
    ports=(8080, 9090),
    scenario="run-script",
    devices=("camera",),
    custom="RUN echo hello",
)


def typed(**changes: object) -> drafts.Draft:
    return {**drafts.from_spec(FULL, CATALOGUE), **changes}


@pytest.mark.parametrize(
    "spec", [FULL, ImageSpec(name="x"), ImageSpec(name="n", base="node", npm=("mqtt", "ws@8"))]
)
def test_a_spec_comes_back_from_the_form_as_it_went_in(spec: ImageSpec) -> None:
    draft = drafts.from_spec(spec, CATALOGUE)
    assert drafts.to_spec(draft, spec.files) == (spec, ())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("numpy==2.1.0 requests", ("numpy==2.1.0", "requests")),
        ("numpy == 2.1.0, requests", ("numpy==2.1.0", "requests")),
        ("numpy>=1.2,<2\nrequests", ("numpy>=1.2,<2", "requests")),
        ("  ,, ", ()),
    ],
)
def test_requirements_as_people_write_them(text: str, words: tuple[str, ...]) -> None:
    assert drafts.to_spec(typed(libraries=[], pip_text=text), ())[0].pip == words


@pytest.mark.parametrize(
    ("changes", "field", "words"),
    [
        ({"ports": "80a 8080"}, "ports", "80a"),
        ({"command": "python3 'main.py"}, "command", "quotation mark"),
        ({"env": [{"key": "A", "value": "1"}, {"key": "A", "value": "2"}]}, "env.1", "twice"),
    ],
)
def test_text_that_means_nothing_is_a_problem_beside_its_field(
    changes: dict[str, object], field: str, words: str
) -> None:
    draft = typed(**changes)
    _, problems = drafts.to_spec(draft, ())
    assert [drafts.field_of(problem, draft) for problem in problems] == [field]
    assert words in problems[0].message


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("name", "name"),
        ("pip[0]", "libraries"),
        ("pip[1]", "pip_text"),
        ("apt[0]", "libraries"),
        ("npm[0]", "npm_text"),
        ("files[2].path", "files.2"),
        ("files", "files"),
        ("env.INTERVAL", "env.0"),
        ("ports[1]", "ports"),
        ("command[0]", "command"),
        ("devices[0]", "devices"),
        ("something.new", "form"),
    ],
)
def test_every_path_of_the_lab_has_a_place_in_the_form(path: str, field: str) -> None:
    assert drafts.field_of(Problem(path=path, code="c", message="m"), typed()) == field


def test_another_base_keeps_what_fits_and_chooses_a_scenario_that_does() -> None:
    changed = drafts.with_base(typed(), "node", CATALOGUE)
    assert (changed["base"], changed["libraries"], changed["scenario"]) == ("node", [], "run-node")
    science = drafts.with_base(typed(), "python-science", CATALOGUE)
    assert science["libraries"] == ["pip:requests"]
    assert science["scenario"] == "run-script"
