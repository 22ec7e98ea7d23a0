"""A failed build in one sentence: what happened, which line of the log says so, and whose field is to blame.

The table is read from the top; the first rule that fits a line of the failed step wins. A failure that no rule knows
is told by the log's own most telling line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from cyberlab.wire import Problem

from cyberlab_hub.workshop.words import KILLED, NO_SPACE

_SPELLING = "Check the spelling and the version."


@dataclass(frozen=True)
class Rule:
    pattern: str
    """Looked for in the lines of the failed step, the newest first. Group 1 is filled into the sentence."""
    code: str
    sentence: str
    path: str = ""
    """The field of the spec that is to blame."""


_NETWORK = "|".join(
    (
        "Temporary failure in name resolution",
        "Temporary failure resolving",
        "Name or service not known",
        "Could not resolve",
        "Failed to establish a new connection",
        "CERTIFICATE_VERIFY_FAILED",
        "Read timed out",
        "EAI_AGAIN|ENOTFOUND|ETIMEDOUT|ECONNREFUSED",
    )
)

_RULES: tuple[Rule, ...] = (
    Rule(
        NO_SPACE,
        "disk-full",
        "The disk of the workshop is full. The lab has dropped what it could: if your build is not the one that "
        "filled it, try again. Else delete images you no longer need.",
    ),
    Rule(
        "File size limit exceeded",
        "file-too-big",
        "The build wrote a file that is larger than a build may write.",
    ),
    # before pip's own words: without a network it says that it found no matching version
    Rule(
        _NETWORK,
        "network",
        "The build could not reach a server it needs. Try again in a minute; if it stays so, tell the operator.",
    ),
    Rule(
        r"No matching distribution found for ([^\s(]+)",
        "package-unknown",
        f"pip found no version of “{{0}}” that fits. {_SPELLING}",
        "pip",
    ),
    Rule(
        r"Invalid requirement: ['\"]?([^'\"]+)",
        "package-invalid",
        "pip does not understand “{0}”. Write a name, or name==version.",
        "pip",
    ),
    Rule(
        "ResolutionImpossible|conflicting dependencies",
        "packages-conflict",
        "These Python libraries cannot be installed together. Drop a version, or one of them.",
        "pip",
    ),
    Rule(
        r"(?:Failed building wheel|Failed to build(?: installable wheels)?) for (\S+)",
        "package-failed",
        "pip could not build “{0}” from source: that needs a compiler. Try another version.",
        "pip",
    ),
    Rule(
        r"Unable to locate package (\S+)",
        "package-unknown",
        f"Debian has no package “{{0}}”. {_SPELLING}",
        "apt",
    ),
    Rule(
        r"Version '[^']*' for '([^']+)' was not found",
        "package-unknown",
        "Debian has no such version of “{0}”. Leave the version out.",
        "apt",
    ),
    Rule(
        r"Package '?([^'\s]+)'? has no installation candidate",
        "package-unknown",
        "Debian does not offer the package “{0}” any more.",
        "apt",
    ),
    Rule(
        r"No matching version found for ([^\s]+?)\.?$",
        "package-unknown",
        f"npm found no such version of “{{0}}”. {_SPELLING}",
        "npm",
    ),
    Rule(
        r"npm (?:ERR!|error) 404\s+'?([^\s']+@[^\s']+)'? (?:is not in|could not be found)",
        "package-unknown",
        f"npm has no package “{{0}}”. {_SPELLING}",
        "npm",
    ),
    Rule(
        r"([^\s:/]+): (?:command )?not found",
        "command-unknown",
        "The image has no command “{0}”. Add the package that it comes in.",
    ),
    Rule(
        r"Cannot allocate memory|Out of memory|\bMemoryError\b|std::bad_alloc",
        "memory",
        "The build needed more memory than its {memory_mb} MB.",
    ),
    Rule(
        "Resource temporarily unavailable|Cannot fork|can't start new thread",
        "processes",
        "The build started more processes than it may.",
    ),
)
_KILLED = Rule("", "memory", "The build needed more memory than its {memory_mb} MB.")


@dataclass(frozen=True)
class Failure:
    code: str
    """``disk-full`` or ``build-failed``."""
    message: str
    problems: tuple[Problem, ...] = ()


def explain(step: str, lines: Sequence[str], said: str, memory_mb: int) -> Failure:
    """Put a failed build into words.

    Args:
        step: where it happened, ``step 3 of 7 (RUN pip install ...)``.
        lines: the last lines of that step, oldest first.
        said: the engine's own last word.
        memory_mb: the limit, for the sentence about memory.
    """
    rule, line, named = _match([*lines, said])
    if rule is None and re.search(rf"returned a non-zero code: {KILLED}\b", said):
        rule = _KILLED
    if rule is None:
        return Failure("build-failed", f"The build failed in {step}: {_telling_line(lines) or said}")
    sentence = rule.sentence.format(named, memory_mb=memory_mb)
    quoted = f"The build said in {step}: {line}" if line else f"It happened in {step}."
    problems = (Problem(path=rule.path, code=rule.code, message=sentence),) if rule.path else ()
    return Failure(
        "disk-full" if rule.code == "disk-full" else "build-failed", f"{sentence} {quoted}", problems
    )


def _match(lines: Sequence[str]) -> tuple[Rule | None, str, str]:
    for rule in _RULES:
        for line in reversed(lines):
            found = re.search(rule.pattern, line, re.IGNORECASE)
            if found:
                return rule, line.strip(), found[1] if found.re.groups else ""
    return None, "", ""


def _telling_line(lines: Sequence[str]) -> str:
    """The last line that speaks of an error, else the last line."""
    spoken = [line.strip() for line in lines if line.strip()]
    errors = [line for line in spoken if re.search(r"error\b|failed|cannot|denied", line, re.IGNORECASE)]
    return (errors or spoken or [""])[-1]
