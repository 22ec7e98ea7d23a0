"""`Draft`: the form's fields as they are typed, and the `ImageSpec` they mean. Pure.

A spec holds typed values; a form holds what a person typed so far, such as ports ``80a, ``. The draft keeps the
text, `to_spec` makes the spec out of what is understood and a problem for each thing that is not. Problems
carry the path of the spec; `field_of` says beside which field of the form each belongs.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from cyberlab.spec.image import FileEntry, ImageSpec
from cyberlab.wire import Base, Catalogue, Problem

Draft = dict[str, Any]
"""JSON-like: name, base, scenario, workdir, command, ports, custom, pip_text, npm_text (text); libraries
(``kind:name`` of ticked boxes); env (``{"key", "value"}`` rows); devices, platforms (names)."""

FIELDS = (
    "name", "base", "libraries", "pip_text", "npm_text", "scenario", "files", "command",
    "workdir", "env", "ports", "devices", "platforms", "custom", "form",
)  # fmt: skip
"""In the order in which they stand in the form; ``form`` is the foot, for what has no field."""


def from_spec(spec: ImageSpec, catalogue: Catalogue) -> Draft:
    """The form's fields for `spec`: libraries of the catalogue become ticks, the others text."""
    offered = offered_libraries(catalogue.base(spec.base))
    return {
        "name": spec.name,
        "base": spec.base,
        "scenario": spec.scenario,
        "workdir": spec.workdir,
        "command": shlex.join(spec.command),
        "ports": ", ".join(str(port) for port in spec.ports),
        "custom": spec.custom,
        "libraries": [f"apt:{name}" for name in spec.apt]
        + [f"pip:{name}" for name in spec.pip if f"pip:{name}" in offered]
        + [f"npm:{name}" for name in spec.npm if f"npm:{name}" in offered],
        "pip_text": " ".join(name for name in spec.pip if f"pip:{name}" not in offered),
        "npm_text": " ".join(name for name in spec.npm if f"npm:{name}" not in offered),
        "env": [{"key": key, "value": value} for key, value in spec.env.items()],
        "devices": list(spec.devices),
        "platforms": list(spec.platforms),
    }


def to_spec(draft: Mapping[str, Any], files: Sequence[FileEntry]) -> tuple[ImageSpec, tuple[Problem, ...]]:
    """The spec that `draft` means, and what in it could not be understood."""
    problems: list[Problem] = []
    ports = _ports(draft["ports"], problems)
    command = _command(draft["command"], problems)
    env = _env(draft["env"], problems)
    spec = ImageSpec(
        name=draft["name"].strip(),
        base=draft["base"],
        apt=_ticked(draft, "apt"),
        pip=_ticked(draft, "pip") + _words(draft["pip_text"]),
        npm=_ticked(draft, "npm") + _words(draft["npm_text"]),
        files=tuple(files),
        workdir=draft["workdir"].strip(),
        command=command,
        env=env,
        ports=ports,
        scenario=draft["scenario"],
        devices=tuple(draft["devices"]),
        platforms=tuple(draft["platforms"]),
        custom=draft["custom"],
    )
    return spec, tuple(problems)


def field_of(problem: Problem, draft: Mapping[str, Any]) -> str:
    """The form field beside which `problem` stands, such as ``pip_text``, ``files.0`` or ``env.1``."""
    path = problem.path
    root = re.split(r"[.\[]", path, maxsplit=1)[0]
    index = re.match(r"\w+\[(\d+)\]", path)
    if root in ("pip", "npm"):
        ticks = len(_ticked(draft, root))
        typed = index is not None and int(index[1]) >= ticks
        return f"{root}_text" if typed or not ticks else "libraries"
    if root == "apt":
        return "libraries"
    if root == "files":
        return f"files.{index[1]}" if index else "files"
    if root == "env":
        key = path.removeprefix("env").strip(".[]'\"")
        rows = [i for i, row in enumerate(draft["env"]) if row["key"].strip() == key]
        return f"env.{rows[-1]}" if rows else "env"
    return root if root in FIELDS else "form"


def place_of(field: str) -> int:
    """Where in the form `field` stands, to bring problems into the order of reading."""
    return FIELDS.index(field.partition(".")[0])


def with_base(draft: Draft, base: str, catalogue: Catalogue) -> Draft:
    """`draft` on another base: ticks that the new base does not offer go, a scenario that does not fit is replaced."""
    offered = offered_libraries(catalogue.base(base))
    changed = {**draft, "base": base, "libraries": [lib for lib in draft["libraries"] if lib in offered]}
    current = catalogue.scenario(draft["scenario"])
    if current is None or base not in current.bases:
        fitting = next((s for s in catalogue.scenarios if base in s.bases), None)
        if fitting is not None:
            changed["scenario"] = fitting.name
    return changed


def offered_libraries(base: Base | None) -> set[str]:
    return {f"{library.kind}:{library.name}" for library in base.libraries} if base else set()


# ---------------------------------------------------------------- one typed field each
def _ticked(draft: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    return tuple(lib.removeprefix(f"{kind}:") for lib in draft["libraries"] if lib.startswith(f"{kind}:"))


def _words(text: str) -> tuple[str, ...]:
    """Requirements divided by spaces, commas or lines; ``numpy == 2.1`` counts as one, ``a>=1,<2`` as well."""
    joined = re.sub(r"\s*(==|>=|<=|~=|!=|<|>)\s*", r"\1", text)
    return tuple(word for word in re.split(r"\s+|,(?![<>=!~])", joined) if word)


def _ports(text: str, problems: list[Problem]) -> tuple[int, ...]:
    ports = []
    for word in re.split(r"[\s,]+", text.strip()):
        if re.fullmatch(r"[0-9]{1,6}", word):
            ports.append(int(word))
        elif word:
            message = f"“{word}” is not a port number. Write numbers such as 8080, divided by commas."
            problems.append(Problem(path="ports", code="port-invalid", message=message))
    return tuple(ports)


def _command(text: str, problems: list[Problem]) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError:
        message = "A quotation mark is opened and never closed. Add the missing one, or remove it."
        problems.append(Problem(path="command", code="command-quotes", message=message))
        return ()


def _env(rows: Sequence[Mapping[str, str]], problems: list[Problem]) -> dict[str, str]:
    env: dict[str, str] = {}
    for row in rows:
        key = row["key"].strip()
        if key in env:
            message = f"{key} is there twice. Keep one of the two rows."
            problems.append(Problem(path=f"env.{key}", code="env-twice", message=message))
        elif key or row["value"]:
            env[key] = row["value"]
    return env
