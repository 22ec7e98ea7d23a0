"""When a base counts as ready, and what it is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from cyberlab_hub.errors import NotFound
from cyberlab_hub.settings import ROOT, Settings
from cyberlab_hub.workshop.bases import CONTENT, Bases
from cyberlab_hub.workshop.builder import Builder
from cyberlab_hub.workshop.engine import Engine
from cyberlab_hub.workshop.images import Images
from fakes import RecordedProgress


class OneImage:
    """An engine that has one image, with one label."""

    def __init__(self, content: str) -> None:
        self.content = content

    def call(self, method: str, path: str, **_more: Any) -> Any:
        if path == "/containers/create":
            return {"Id": "c1"}
        if path == "/images/cyberlab/python/json":
            return {"Id": "sha256:1", "Size": 7, "Config": {"Labels": {CONTENT: self.content}}}
        if method == "DELETE":
            return None
        raise NotFound("engine-not-found", path)

    def raw(self, _method: str, path: str, **_more: Any) -> bytes:
        raise NotFound("engine-not-found", path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small checkout with two bases, one on the other."""
    for name, text in {
        "spawner_images/bases/python/Dockerfile": "FROM cyberlab/debian\nCOPY cyberlab_edge/ /x/\n",
        "spawner_images/bases/python-science/Dockerfile": "FROM cyberlab/python\nRUN pip install numpy\n",
        "edge/cyberlab_edge/__init__.py": "",
        "edge/cyberlab_edge/__pycache__/x.pyc": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def bases(tree: Path, content: str = "") -> Bases:
    engine = cast(Engine, OneImage(content))
    return Bases(engine, cast(Builder, None), cast(Images, None), Settings(state=tree), tree)


def test_a_base_is_ready_while_its_files_are_the_same(tree: Path) -> None:
    today = bases(tree).content("python")
    assert bases(tree, today).state("cyberlab/python").ready
    (tree / "edge/cyberlab_edge/__init__.py").write_text("changed = True\n")
    assert not bases(tree, today).state("cyberlab/python").ready


def test_a_change_below_reaches_the_bases_above(tree: Path) -> None:
    before = bases(tree).content("python-science")
    (tree / "spawner_images/bases/python/Dockerfile").write_text("FROM cyberlab/debian\n")
    assert bases(tree).content("python-science") != before


def test_what_python_compiled_is_no_part_of_it(tree: Path) -> None:
    before = bases(tree).content("python")
    (tree / "edge/cyberlab_edge/__pycache__/y.pyc").write_text("x")
    assert bases(tree).content("python") == before


def test_a_base_that_nobody_wrote_is_unknown(tree: Path) -> None:
    with pytest.raises(NotFound) as caught:
        bases(tree).prepare("cobol", RecordedProgress())
    assert caught.value.code == "base-unknown"


@pytest.mark.parametrize(
    "name", sorted(p.name for p in (ROOT / "spawner_images" / "bases").iterdir() if p.is_dir())
)
def test_the_bases_of_the_catalogue_can_be_read(name: str) -> None:
    assert len(bases(ROOT).content(name)) == 32
