"""The bundles that are committed are those of the sources that are committed."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import cyberlab.widgets
import pytest

HERE = Path(cyberlab.widgets.__file__).parent


@pytest.mark.parametrize("bundle", ["image_form.js", "sensors.js", "image_form.css", "sensors.css"])
def test_bundle_was_made_from_the_sources_as_they_are(bundle: str) -> None:
    digest = hashlib.sha256()
    root = HERE / "src"
    files = (path for path in root.rglob("*") if path.is_file() and "node_modules" not in path.parts)
    for path in sorted(files, key=lambda path: path.relative_to(root).as_posix()):
        digest.update(f"{path.relative_to(root).as_posix()}\n".encode() + path.read_bytes())
    head = (HERE / bundle).read_text().split("\n", 1)[0]
    assert digest.hexdigest() in head, "run: npm --prefix extensions/cyberlab/widgets/src run build"


@pytest.mark.parametrize("bundle", ["image_form.js", "sensors.js", "image_form.css", "sensors.css"])
def test_bundle_fetches_nothing(bundle: str) -> None:
    text = (HERE / bundle).read_text()
    addresses = set(re.findall(r"https?://[\w./-]+", text))
    # names of XML dialects look like addresses and are none
    assert {address for address in addresses if "www.w3.org" not in address} == set()
    assert "@import" not in text
