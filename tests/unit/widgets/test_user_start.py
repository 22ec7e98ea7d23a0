"""Lessons come into the home folder, follow the lab's while untouched, and are never overwritten once edited."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

START = Path(__file__).resolve().parents[3] / "spawner_images" / "user" / "start.py"


@pytest.fixture
def start() -> ModuleType:
    spec = importlib.util.spec_from_file_location("user_start", START)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Home:
    def __init__(self, start: ModuleType, root: Path) -> None:
        self.shipped, self.home = root / "shipped", root / "home"
        self.lesson = self.home / "lessons" / "01.ipynb"
        self._start = start

    def ship(self, *sources: str) -> None:
        cells = [{"cell_type": "code", "source": [source], "outputs": []} for source in sources]
        path = self.shipped / "lessons" / "01.ipynb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"cells": cells}))
        self._start.deliver(self.shipped, self.home, self.home / ".record.json")

    def sources(self) -> list[str]:
        return ["".join(cell["source"]) for cell in json.loads(self.lesson.read_text())["cells"]]

    def change(self, source: str | None = None) -> None:
        """Run the lesson (outputs only) or edit its first cell."""
        notebook = json.loads(self.lesson.read_text())
        notebook["cells"][0]["outputs"] = [{"text": "ran"}]
        if source is not None:
            notebook["cells"][0]["source"] = source
        self.lesson.write_text(json.dumps(notebook))


@pytest.fixture
def home(start: ModuleType, tmp_path: Path) -> Home:
    return Home(start, tmp_path)


def test_a_new_home_gets_the_lesson(home: Home) -> None:
    home.ship("one")
    assert home.sources() == ["one"]


def test_a_lesson_that_only_ran_follows_the_labs(home: Home) -> None:
    home.ship("one")
    home.change()
    home.ship("two")
    assert home.sources() == ["two"]


def test_a_lesson_that_only_ran_keeps_its_outputs_while_the_labs_is_the_same(home: Home) -> None:
    home.ship("one")
    home.change()
    home.ship("one")
    assert "ran" in home.lesson.read_text()


def test_an_edited_lesson_is_never_touched(home: Home) -> None:
    home.ship("one")
    home.change("mine")
    home.ship("two")
    home.ship("three")
    assert home.sources() == ["mine"]


def test_a_file_of_the_students_own_with_that_name_is_never_touched(home: Home) -> None:
    home.lesson.parent.mkdir(parents=True)
    home.lesson.write_text("not even a notebook")
    home.ship("one")
    assert home.lesson.read_text() == "not even a notebook"


def test_a_deleted_lesson_comes_back_fresh(home: Home) -> None:
    home.ship("one")
    home.change("mine")
    home.lesson.unlink()
    home.ship("two")
    assert home.sources() == ["two"]
