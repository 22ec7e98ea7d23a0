"""What a Dockerfile says, by readers that know nothing of one another: the text is trusted only when all agree.

    lines               our own: takes only the forms that the renderer writes, refuses everything else
    dockerfile-parse    Python
    dockerfile          the engine's own parser, in Go; its wheel exists for x86-64 only

So there are three opinions on x86-64 and two elsewhere. They disagree about heredocs, NUL, directives, byte order
marks, comments inside a continuation and unknown verbs: each of these makes a difference, and a difference is a
refusal.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from dataclasses import dataclass

from cyberlab.spec.names import has_invisible
from dockerfile_parse import DockerfileParser

try:
    import dockerfile
except ImportError:  # no wheel for this machine
    dockerfile = None

_INSTRUCTION = re.compile(r"([A-Z]{2,11}) (\S.*)")


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continuation lines joined."""

    verb: str
    value: str
    """As written, after the verb."""
    line: int
    """Where it begins, from 1."""


Reader = Callable[[str], tuple[Instruction, ...]]


def by_lines(text: str) -> tuple[Instruction, ...]:
    """The strict reader.

    Raises:
        ValueError: a line has a form that the renderer never writes.
    """
    found: list[Instruction] = []
    begun, start = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        if has_invisible(line) or line.startswith("\ufeff"):
            raise ValueError(f"line {number} holds an invisible character")
        if not start and (not line or line.startswith("#")):
            if re.match(r"#\s*\w+\s*=", line):
                raise ValueError(f"line {number} is a directive to the reader")
            continue
        if start and (not line.strip() or line.lstrip().startswith("#")):
            raise ValueError(f"line {number} interrupts an instruction")
        start = start or number
        begun += line.removesuffix("\\")
        if line.endswith("\\"):
            continue
        match = _INSTRUCTION.fullmatch(begun.rstrip(" "))
        if match is None:
            raise ValueError(f"line {start} is no instruction")
        found.append(Instruction(match[1], match[2], start))
        begun, start = "", 0
    if start:
        raise ValueError("the last instruction is not finished")
    return tuple(found)


def by_dockerfile_parse(text: str) -> tuple[Instruction, ...]:
    parser = DockerfileParser(fileobj=io.BytesIO(text.encode()))
    return tuple(
        Instruction(part["instruction"], part["value"], part["startline"] + 1)
        for part in parser.structure
        if part["instruction"] != "COMMENT"
    )


def by_engine(text: str) -> tuple[Instruction, ...]:
    """The engine's own reading. Last in `READERS`: it sees only text that the strict reader took.

    Raises:
        ValueError: it cannot be read; or an instruction has options that only COPY may have here, or an inner one.
    """
    try:
        commands = dockerfile.parse_string(text)
    except dockerfile.GoParseError as error:
        raise ValueError(str(error)) from error
    found = []
    for command in commands:
        verb, _, value = command.original.partition(" ")
        if verb.upper() != (command.cmd or "").upper():
            raise ValueError(f"line {command.start_line} is not what it seems")
        if command.sub_cmd or (command.flags and verb.upper() != "COPY"):
            raise ValueError(f"line {command.start_line} has an option or an inner instruction")
        if verb.upper() == "CMD" and not command.json:
            raise ValueError(f"line {command.start_line} is no list of words")
        found.append(Instruction(verb.upper(), value.strip(" "), command.start_line))
    return tuple(found)


READERS: tuple[Reader, ...] = (by_lines, by_dockerfile_parse, *([by_engine] if dockerfile else []))
