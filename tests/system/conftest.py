"""A student with a token, and what they build and deploy: made for the tests of this folder, removed after."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest
from cyberlab import FileEntry, ImageSpec, Lab
from cyberlab_hub.settings import Settings
from system.hubclient import lab_of

COUNTER = """import itertools
import time

from cyberlab_edge import publish

for number in itertools.count():
    publish("{measurement}", number)
    time.sleep({pause})
"""


@pytest.fixture(scope="module")
def student(lab_running: Settings) -> Iterator[Lab]:
    """The lab as a new user sees it from a script. What the user deployed is stopped at the end."""
    with lab_of(lab_running) as lab:
        yield lab


def counter_spec(name: str, measurement: str = "count", pause: float = 0.2) -> ImageSpec:
    """A program that publishes 0, 1, 2 ... A random word in it makes each one an image of its own."""
    text = f"# {secrets.token_hex(4)}\n" + COUNTER.format(measurement=measurement, pause=pause)
    return ImageSpec(
        name=name,
        base="python",
        files=(FileEntry(path="main.py", text=text),),
        command=("python3", "main.py"),
    )
