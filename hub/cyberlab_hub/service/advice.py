"""hadolint's advice about the Dockerfile of a spec: what works and could be better. It never stops a build.

hadolint is run, not linked (it is GPL-3.0; its wheel brings a program): its input is the text, on standard input; it
has no shell, no file, no configuration, a few seconds, and limits of CPU, memory and output. Advice is given only about
lines that the user can change.
"""

from __future__ import annotations

import json
import logging
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, cast

from cyberlab.spec import ImageSpec
from cyberlab.spec.dockerfile import render
from cyberlab.wire import Advice, Catalogue, SpecAdvice

from cyberlab_hub.service.advice_words import words
from cyberlab_hub.service.at_once import AtOnce
from cyberlab_hub.service.readings import by_lines

SECONDS = 5.0
CPU_SECONDS = 5
DATA_BYTES = 512 * 2**20
ROWS = 40
"""At most so much advice at once."""
_ARGV = (
    "--no-fail",
    "--no-color",
    "--disable-ignore-pragma",
    "--format",
    "json",
    "--config",
    "/dev/null",
    "-",
)
_LEVELS = ("error", "warning", "info", "style")
_OURS = frozenset({"DL3059"})
"""Of a line that the lab writes: nothing the user could change."""
_ONCE = frozenset({"DL3059"})
"""One line says it for all."""

log = logging.getLogger(__name__)


class Adviser:
    def __init__(self, program: str | None = None) -> None:
        """`program`: in the place of hadolint, for tests."""
        self._given = program
        self._at_once = AtOnce("quota-advice", "questions for advice", threads=2, each=2)

    @cached_property
    def program(self) -> str | None:
        """hadolint, beside this Python or on the PATH; None where there is none."""
        beside = str(Path(sys.executable).parent)
        return self._given or shutil.which("hadolint", path=beside) or shutil.which("hadolint")

    async def about(self, owner: str, spec: ImageSpec, catalogue: Catalogue) -> SpecAdvice:
        """Advice about what `render` writes: lines are those of the preview.

        Raises:
            OverQuota: ``quota-advice``.
        """
        if self.program is None:
            return SpecAdvice(available=False)
        if catalogue.base(spec.base) is None:
            return SpecAdvice(available=True)
        return await self._at_once.run(owner, partial(self._about, spec, catalogue))

    def _about(self, spec: ImageSpec, catalogue: Catalogue) -> SpecAdvice:
        text = render(spec, catalogue)
        rows = _run(str(self.program), text)
        if rows is None:
            return SpecAdvice(available=False)
        try:
            return SpecAdvice(available=True, advice=tuple(_advice(rows, text))[:ROWS])
        except ValueError:  # a text that no build would take: `proof` says so
            return SpecAdvice(available=True)


def _run(program: str, text: str) -> list[dict[str, Any]] | None:
    """What hadolint finds; None when it could not say."""
    try:
        with subprocess.Popen(
            [program, *_ARGV],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={"LANG": "C.UTF-8", "PATH": "/nowhere", "HOME": "/nonexistent"},
        ) as process:
            try:
                _limit(process.pid)
                out, _ = process.communicate(text.encode(), SECONDS)
            finally:
                process.kill()
        found = json.loads(out)
    except (OSError, subprocess.SubprocessError, ValueError, RecursionError) as error:
        log.warning("no advice from hadolint: %s", error)
        return None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else None


def _limit(pid: int) -> None:
    """Before it gets a single byte: it has done nothing yet."""
    for what, most in (
        (resource.RLIMIT_CPU, CPU_SECONDS),
        (resource.RLIMIT_DATA, DATA_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.prlimit(pid, what, (most, most))


def _advice(rows: list[dict[str, Any]], text: str) -> Iterator[Advice]:
    """Of all that was found, what the user can change, each once, in the order of the lines."""
    fields = _fields(text)
    told: set[object] = set()
    for row in sorted(rows, key=lambda row: int(row.get("line", 0))):
        line, code, level = int(row.get("line", 0)), str(row.get("code")), row.get("level")
        field = next((fields[at] for at in sorted(fields, reverse=True) if at <= line), None)
        message = words(code)
        if field is None or not message or level not in _LEVELS or (field != "custom" and code in _OURS):
            continue
        once = message if code in _ONCE else (line, message)
        if once not in told:
            told.add(once)
            shown = cast(Literal["error", "warning", "info", "style"], level)
            yield Advice(line=line, field=field, level=shown, code=code, message=message)


Field = Literal["custom", "pip", "npm"]


def _fields(text: str) -> dict[int, Field | None]:
    """First line of each instruction -> the field it comes from; None where the lab alone decides."""
    own = False
    found: dict[int, Field | None] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line:
            own = False
        elif line == "# Your own instructions":
            own = True
        elif own and not line.startswith("#"):
            found[number] = "custom"
    for instruction in by_lines(text):
        ours: Field | None = None
        if instruction.verb == "RUN" and instruction.value.startswith("pip install "):
            ours = "pip"
        elif instruction.verb == "RUN" and instruction.value.startswith("npm install "):
            ours = "npm"
        found.setdefault(instruction.line, ours)
    return found
