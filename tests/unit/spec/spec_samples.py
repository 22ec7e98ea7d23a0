"""A catalogue, a spec without problems, and two readers of Dockerfiles that are not ours."""

from __future__ import annotations

import io
import platform
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from cyberlab.spec import FileEntry, ImageSpec
from cyberlab.wire import Catalogue
from dockerfile_parse import DockerfileParser

SEED = Path(__file__).parents[3] / "hub" / "cyberlab_hub" / "service" / "catalogue.yaml"


@cache
def catalogue() -> Catalogue:
    seed = Catalogue.model_validate(yaml.safe_load(SEED.read_text()))
    return seed.model_copy(update={"device_profiles": ("camera", "i2c")})


def spec(**changes: Any) -> ImageSpec:
    """A spec without problems, with these fields changed."""
    fields = {"name": "greenhouse", "files": (FileEntry(path="main.py", text="print('hello')\n"),)}
    return ImageSpec(**{**fields, **changes})


@dataclass(frozen=True)
class Instruction:
    """One instruction as another parser reads it: continuation lines joined, flags first."""

    verb: str
    words: tuple[str, ...]
    """Split at white space; for JSON arrays their items."""


def read_by_python(text: str) -> list[Instruction]:
    """What `dockerfile-parse` (Python) finds."""
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()))
    found = [part for part in parser.structure if part["instruction"] != "COMMENT"]
    return [Instruction(part["instruction"], tuple(part["value"].split())) for part in found]


def read_by_engine(text: str) -> list[Instruction]:
    """What `dockerfile` finds: the engine's own parser, in Go."""
    import dockerfile  # no wheel for every machine

    return [Instruction(c.cmd.upper(), (*c.flags, *c.value)) for c in dockerfile.parse_string(text)]


READERS = (read_by_python, read_by_engine) if platform.machine() == "x86_64" else (read_by_python,)


def unquoted(word: str) -> str:
    r"""The value of an ENV word in double quotes, by the engine's rule: ``\`` takes ``"``, ``$`` and itself literally.

    Raises ValueError when a quote or a dollar sign stands unescaped, that is, when the engine would see more
    than a value.
    """
    match = re.fullmatch(r'"((?:[^"\\$]|\\["\\$])*)"', word, flags=re.DOTALL)
    if match is None:
        raise ValueError(f"not one quoted value: {word!r}")
    return re.sub(r'\\(["\\$])', r"\1", match[1])
