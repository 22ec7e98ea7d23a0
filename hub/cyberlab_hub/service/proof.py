"""The last look at a Dockerfile before it goes to the engine: it says what the spec asks for, and nothing else.

`meant` derives from the spec which instructions there must be, in which order, with which values. It shares no code
with the renderer's text: the two were written apart, so that a mistake of one is noticed by the other. Every reader of
`readings` must then find exactly these.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from cyberlab.spec import ImageSpec
from cyberlab.spec.dockerfile import render
from cyberlab.spec.requirements import npm_package, pip_requirement
from cyberlab.spec.run import command_of, ports_of
from cyberlab.wire import Catalogue

from cyberlab_hub.errors import WorkFailed
from cyberlab_hub.service.readings import READERS, Instruction

_REFERENCE = re.compile(r"[a-z0-9][a-z0-9._/:@-]{0,254}")
"""An image as FROM may name it: no variable, no option, no second word."""


@dataclass(frozen=True)
class Meant:
    """One instruction that the spec asks for."""

    verb: str
    value: str
    """With single spaces; for ENV with the spaces as they are."""
    field: str
    """The field of the spec that it comes from; empty for the lab's own."""

    def fits(self, found: Instruction) -> bool:
        value = (
            found.value if self.verb in ("ENV", "CMD", "LABEL") or self.own else " ".join(found.value.split())
        )
        return (self.verb, self.value) == (found.verb, value)

    @property
    def own(self) -> bool:
        """Written by the user word for word."""
        return self.field == "custom"


def proven(spec: ImageSpec, catalogue: Catalogue) -> str:
    """The Dockerfile of a spec without problems, read back by every reader.

    Raises:
        WorkFailed: ``dockerfile-refused``: what a reader finds is not what the spec asks for.
    """
    text = render(spec, catalogue)
    check(text, spec, catalogue)
    return text


def check(text: str, spec: ImageSpec, catalogue: Catalogue) -> None:
    """Raises:
    WorkFailed: ``dockerfile-refused``.
    """
    wanted = tuple(meant(spec, catalogue))
    if _REFERENCE.fullmatch(wanted[0].value) is None:
        raise _refused("the base image has an unusual name")
    for read in READERS:
        try:
            found = read(text)
        except ValueError as error:
            raise _refused(str(error)) from error
        for place, (one, instruction) in enumerate(zip(wanted, found, strict=False), start=1):
            if not one.fits(instruction):
                raise _refused(f"instruction {place}, in line {instruction.line}, is not what the form says")
        if len(found) != len(wanted):
            raise _refused(f"it has {len(found)} instructions instead of {len(wanted)}")


def meant(spec: ImageSpec, catalogue: Catalogue) -> Iterator[Meant]:
    """Every instruction of a spec without problems, in order."""
    base = catalogue.base(spec.base)
    yield Meant("FROM", base.image if base else "", "base")
    if spec.apt:
        names = " ".join(sorted(spec.apt))
        install = f"apt-get update && apt-get install -y --no-install-recommends {names}"
        yield Meant("RUN", f"{install} && apt-get clean && rm -rf /var/lib/apt/lists/*", "apt")
    if spec.pip:
        libraries = sorted(filter(None, map(pip_requirement, spec.pip)))
        yield Meant("RUN", f"pip install {shlex.join(map(str, libraries))}", "pip")
    if spec.npm:
        packages = sorted(filter(None, map(npm_package, spec.npm)))
        names = shlex.join(map(str, packages))
        yield Meant("RUN", f"npm install --prefix /opt/node --no-save {names} && rm -rf /root/.npm", "npm")
    if spec.workdir != "/usr/src/app":
        yield Meant("RUN", f"install -d -o 1000 -g 1000 {spec.workdir}", "workdir")
    yield Meant("WORKDIR", spec.workdir, "workdir")
    yield from _own(spec.custom)
    if spec.env:
        marks = {"\\": "\\\\", '"': '\\"', "$": "\\$"}
        pairs = (
            f'{name}="{"".join(marks.get(char, char) for char in value)}"'
            for name, value in sorted(spec.env.items())
        )
        yield Meant("ENV", "     ".join(pairs), "env")
    if spec.files:
        yield Meant("COPY", "--chown=1000:1000 files/ ./", "files")
    if ports := ports_of(spec, catalogue):
        yield Meant("EXPOSE", " ".join(map(str, ports)), "ports")
    yield Meant("USER", "1000:1000", "")
    if command := command_of(spec, catalogue):
        yield Meant("CMD", json.dumps(command, ensure_ascii=False), "command")


def _own(custom: str) -> Iterator[Meant]:
    """RUN and LABEL as the user wrote them; whatever else gets this far fits no reader's finding."""
    for line in custom.split("\n"):
        verb, _, value = line.strip().partition(" ")
        if verb.upper() in ("RUN", "LABEL"):
            yield Meant(verb.upper(), value.strip(), "custom")


def _refused(why: str) -> WorkFailed:
    return WorkFailed(
        "dockerfile-refused",
        f"The lab's readers of Dockerfiles do not agree about this one ({why}), so it is not built. Simplify your own "
        "instructions, or tell the operator.",
    )
