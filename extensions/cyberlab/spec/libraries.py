"""The rules for libraries: Debian packages only from the catalogue, pip and npm by form.

A Debian package may do anything as root while it is installed, so the catalogue decides. What pip and npm
install is the student's own affair, as long as the text can say nothing but names and versions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Literal

from cyberlab.spec.names import shown
from cyberlab.spec.requirements import (
    import_name_hint,
    is_inside_already,
    is_node_builtin,
    npm_package,
    pip_requirement,
)
from cyberlab.wire import Base, Problem

LIBRARIES_MAX = 60


def apt_problems(apt: Sequence[str], base: Base | None) -> Iterator[Problem]:
    if _too_many(apt):
        yield _too_many_problem("apt")
        return
    known = [library.name for library in base.libraries if library.kind == "apt"] if base else []
    for index, package in enumerate(apt):
        path = f"apt[{index}]"
        if base and package not in known:
            yield Problem(path=path, code="library-unknown", message=_unknown_message(package, known, base))
        elif package in apt[:index]:
            yield _duplicate(path, package)


def pip_problems(pip: Sequence[str], base: Base | None) -> Iterator[Problem]:
    if pip and base and base.language != "python":
        yield _misfit("pip", base)
    if _too_many(pip):
        yield _too_many_problem("pip")
        return
    seen: set[str] = set()
    for index, text in enumerate(pip):
        path = f"pip[{index}]"
        requirement = pip_requirement(text)
        if requirement is None:
            yield Problem(path=path, code="library-form", message=_pip_form_message(text))
        elif is_inside_already(requirement.name):
            yield _inside(path, text)
        elif hint := import_name_hint(requirement):
            yield Problem(
                path=path,
                code="library-import-name",
                message=f"{shown(text)} is the name used in the program. "
                f"The library itself is called {hint}: write that.",
            )
        elif requirement.name in seen:
            yield _duplicate(path, requirement.name)
        if requirement:
            seen.add(requirement.name)


def npm_problems(npm: Sequence[str], base: Base | None) -> Iterator[Problem]:
    if npm and base and base.language != "node":
        yield _misfit("npm", base)
    if _too_many(npm):
        yield _too_many_problem("npm")
        return
    seen: set[str] = set()
    for index, text in enumerate(npm):
        path = f"npm[{index}]"
        package = npm_package(text)
        if package is None:
            yield Problem(
                path=path,
                code="library-form",
                message=f"{shown(text)} cannot be installed. "
                "Write a name, or name@version, such as mqtt@5.0.0.",
            )
        elif is_node_builtin(package.name):
            yield _inside(path, text)
        elif package.name in seen:
            yield _duplicate(path, package.name)
        if package:
            seen.add(package.name)


# ---------------------------------------------------------------- sentences
def _unknown_message(package: str, known: Sequence[str], base: Base) -> str:
    start = f"{shown(package)} is not among the Debian packages of the base image {base.name}."
    close = get_close_matches(package[:60].lower(), known, n=1)
    if close:
        return f"{start} Did you mean {close[0]}?"
    others = [library.kind for library in base.libraries if library.name == package]
    if others:
        return f"{start} It is a {others[0]} library: write it there."
    return f"{start} Choose from the list, or ask your teacher to add it."


def _pip_form_message(text: str) -> str:
    bare = text.strip()
    if bare.startswith(("pip ", "pip3 ")):
        return "Write only the library's name, such as numpy, without 'pip install'."
    if bare.startswith("-"):
        return (
            f"{shown(text)} is an option of pip. Only names and versions are allowed, such as numpy==2.1.0."
        )
    if "://" in bare or "@" in bare or "/" in bare or bare.endswith((".whl", ".gz", ".zip", ".txt")):
        return (
            f"{shown(text)} is an address or a file. "
            "Only libraries of the Python package index are allowed: write the name."
        )
    if pip_requirement(bare.replace("=", "==")):
        return f"{shown(text)} has one = where Python wants two. Write {bare.replace('=', '==')}."
    return (
        f"{shown(text)} cannot be installed. "
        "Write one library a line, as a name or name==version, such as numpy==2.1.0."
    )


def _misfit(kind: Literal["pip", "npm"], base: Base) -> Problem:
    speaks, wants = ("JavaScript", "Python") if kind == "pip" else ("Python", "JavaScript")
    return Problem(
        path=kind,
        code="library-misfit",
        message=f"{kind} installs {wants} libraries, but the base image {base.name} runs {speaks}. "
        f"Remove them, or choose a base image for {wants}.",
    )


def _inside(path: str, text: str) -> Problem:
    return Problem(
        path=path,
        code="library-builtin",
        message=f"{shown(text)} is there already and needs no installation. Remove it from the list.",
    )


def _duplicate(path: str, name: str) -> Problem:
    return Problem(path=path, code="library-duplicate", message=f"{shown(name)} is listed twice. Remove one.")


def _too_many(libraries: Sequence[str]) -> bool:
    return len(libraries) > LIBRARIES_MAX


def _too_many_problem(kind: str) -> Problem:
    return Problem(
        path=kind,
        code="libraries-too-many",
        message=f"More than {LIBRARIES_MAX} {kind} libraries. Remove those you do not use.",
    )
