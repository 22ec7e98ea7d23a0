"""Each `golden/NAME.json` renders to exactly `golden/NAME.Dockerfile`.

After a change that is meant: ``CYBERLAB_GOLDEN=write pytest tests/unit/spec/test_spec_golden.py``, then read the
difference in git. A new case is a new JSON file.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cyberlab.spec import ImageSpec
from cyberlab.spec.dockerfile import render
from cyberlab.spec.problems import find_problems
from cyberlab.wire import Catalogue

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))


@pytest.mark.parametrize("name", CASES)
def test_renders_to_exactly_this_text(name: str, catalogue: Catalogue) -> None:
    spec = ImageSpec.model_validate_json((GOLDEN / f"{name}.json").read_text())
    expected = GOLDEN / f"{name}.Dockerfile"
    text = render(spec, catalogue)
    if os.environ.get("CYBERLAB_GOLDEN") == "write":
        expected.write_text(text)
    assert text == expected.read_text()


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("problems-")])
def test_golden_specs_have_no_problem(name: str, catalogue: Catalogue) -> None:
    spec = ImageSpec.model_validate_json((GOLDEN / f"{name}.json").read_text())
    assert find_problems(spec, catalogue) == ()


def test_there_are_enough_and_none_is_left_over() -> None:
    assert len(CASES) >= 12
    assert {path.stem for path in GOLDEN.glob("*.Dockerfile")} == set(CASES)
