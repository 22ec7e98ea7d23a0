"""The documentation says what is true: settings, commands and links."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
from cyberlab_hub.settings import Settings

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_every_setting_is_explained_and_no_other() -> None:
    text = (ROOT / "docs" / "operating.md").read_text()
    named = set(re.findall(r"CYBERLAB_([A-Z_]+)", text)) - {"STATE"}
    assert named - {""} == {f.name.upper() for f in fields(Settings)} - {"STATE"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_make_targets_named_in_a_page_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    named = set(re.findall(r"(?:^|`)(?:PIS=20 )?make ([a-z-]+)", page.read_text(), re.M))
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_and_pictures_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
