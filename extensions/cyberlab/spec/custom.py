"""The one field of free text: further Dockerfile instructions, through a strict allow-list.

Two instructions are allowed. ``RUN`` is the one thing no field can say, and it can do nothing that a
library's own install script could not. ``LABEL`` is a note. Everything else has a field of its own (ENV,
EXPOSE, WORKDIR, COPY, CMD), would undo what the lab sets (USER, ENTRYPOINT, SHELL, STOPSIGNAL, HEALTHCHECK),
would fetch or read what is not the user's (FROM, ADD, COPY --from), or waits for another build (ONBUILD, ARG).

Parsers of Dockerfiles disagree about continuation lines, heredocs, flags and directives, so none of
them has a form here: one instruction is one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cyberlab.spec.names import has_invisible, shown
from cyberlab.wire import Problem

LINES_MAX = 40
LINE_MAX = 1000

_DIRECTIVE = re.compile(r"#\s*[A-Za-z]+\s*=.*")
_LABEL = re.compile(
    r'(?!(?:org\.)?cyberlab)[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9])?=(?:[A-Za-z0-9._:/@+-]{1,200}|"[^"\\$]{0,200}")'
)

_FIELD = {
    "ENV": "the environment field",
    "EXPOSE": "the ports field",
    "WORKDIR": "the folder field",
    "COPY": "the files field",
    "ADD": "the files field",
    "CMD": "the command field",
    "ENTRYPOINT": "the command field",
    "FROM": "the base image field",
}


def custom_lines(custom: str) -> tuple[str, ...]:
    """The lines that are not empty, each with its instruction in capitals. Only for text without problems."""
    lines = []
    for line in custom.split("\n"):
        verb, _, rest = line.strip().partition(" ")
        if verb:
            lines.append(f"{verb if verb.startswith('#') else verb.upper()} {rest.strip()}".rstrip())
    return tuple(lines)


def custom_problems(custom: str) -> Iterator[Problem]:
    lines = custom.split("\n")
    if len(lines) > LINES_MAX:
        yield _problem(
            "custom-too-long",
            f"More than {LINES_MAX} lines of own instructions. Put them into a script among the files.",
        )
        return
    for number, line in enumerate(lines, start=1):
        found = _line_problem(line.strip())
        if found:
            code, sentence = found
            yield _problem(code, f"Line {number}: {sentence}")


def _line_problem(line: str) -> tuple[str, str] | None:
    if len(line) > LINE_MAX:
        return "custom-too-long", f"longer than {LINE_MAX} characters. Split it into several RUN lines."
    if has_invisible(line):
        return "custom-form", "it holds an invisible character, such as a tab. Type the line again."
    if line.endswith(("\\", "`")):
        return (
            "custom-form",
            "an instruction must stand on one line. Join the lines, with && between the commands.",
        )
    if "<<" in line:
        return "custom-form", "'<<' is not allowed here. Put the text into a file and use the file."
    if line.startswith("#"):
        if _DIRECTIVE.fullmatch(line):
            return (
                "custom-form",
                "a comment of the form '# name=value' would change how the file is read. "
                "Write it differently.",
            )
        return None
    return _instruction_problem(line) if line else None


def _instruction_problem(line: str) -> tuple[str, str] | None:
    verb, _, rest = line.partition(" ")
    rest = rest.strip()
    match verb.upper():
        case "RUN" if not rest:
            return "custom-form", "RUN needs a command, such as RUN echo hello."
        case "RUN" if rest.startswith("--"):
            return "custom-form", "RUN takes no options here. Write the command right after RUN."
        case "LABEL" if not _LABEL.fullmatch(rest):
            return "custom-form", 'write one label a line, as LABEL course="iot".'
        case "RUN" | "LABEL":
            return None
        case other if other in _FIELD:
            return "custom-verb", f"{other} is not allowed here. Use {_FIELD[other]} of the form instead."
        case other:
            return (
                "custom-verb",
                f"{shown(other)} is not allowed here. Only RUN and LABEL are; a command starts with RUN.",
            )


def _problem(code: str, message: str) -> Problem:
    return Problem(path="custom", code=code, message=message)
