"""How a rule says what a value must look like. A shape is called with a value and its place, and raises `Refused`.

Everything is spelled out: what a record does not list is refused, whatever its value, because dockerd ignores the
case of keys and a later version may give an unknown one a meaning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from warden.asked import Refused, parse

Shape = Callable[[Any, str], None]


def refuse(where: str, why: str) -> Refused:
    return Refused(f"may not ask for {where}: {why}" if where else f"may not ask for this: {why}")


def exactly(*values: Any) -> Shape:
    """One of these, of the same type (1 is not true)."""

    def check(value: Any, where: str) -> None:
        if not any(type(value) is type(each) and value == each for each in values):
            raise refuse(where, f"it must be {' or '.join(map(repr, values))}")

    return check


def text(pattern: str, longest: int = 4096) -> Shape:
    """A text that is wholly `pattern`."""
    compiled = re.compile(pattern, re.ASCII | re.DOTALL)

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or len(value) > longest or not compiled.fullmatch(value):
            raise refuse(where, "its text is not allowed here")

    return check


ANY_TEXT = text(r"[^\0]*", 256 * 1024)


def whole(least: int, most: int) -> Shape:
    """A whole number. A limit of 0 or -1 means *no limit* to dockerd, so `least` is 1 for limits."""

    def check(value: Any, where: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise refuse(where, f"it must be {least} to {most}")

    return check


def number(least: int, most: int) -> Shape:
    """A whole number written as a parameter: digits only, because Go reads anything else as 0, which is no limit."""
    digits = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)

    def check(value: Any, where: str) -> None:
        if not isinstance(value, str) or not digits.fullmatch(value) or not least <= int(value) <= most:
            raise refuse(where, f"it must be {least} to {most}")

    return check


def listed(item: Shape, most: int = 1000, least: int = 0) -> Shape:
    def check(value: Any, where: str) -> None:
        if not isinstance(value, list) or not least <= len(value) <= most:
            raise refuse(where, f"it must be a list of {least} to {most}")
        for number_, each in enumerate(value):
            item(each, f"{where}[{number_}]")

    return check


def mapping(key: str, item: Shape, most: int = 200) -> Shape:
    """Free keys that are wholly `key`."""
    compiled = re.compile(key, re.ASCII)

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict) or len(value) > most:
            raise refuse(where, f"it must be a table of at most {most}")
        for name, each in value.items():
            if not compiled.fullmatch(name):
                raise refuse(f"{where}.{name[:60]}", "its name is not allowed here")
            item(each, f"{where}.{name}")

    return check


def record(must: Mapping[str, Shape], may: Mapping[str, Shape] | None = None) -> Shape:
    """Exactly these keys: `must` are there, `may` can be, no other is."""
    known = {**must, **(may or {})}

    def check(value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise refuse(where, "it must be a table")
        for name, each in value.items():
            place = f"{where}.{name[:60]}" if where else name[:60]
            if name not in known:
                raise refuse(place, "nobody may")
            known[name](each, place)
        for name in must:
            if name not in value:
                raise Refused(f"may not leave out {where}.{name}" if where else f"may not leave out {name}")

    return check


def json_text(shape: Shape) -> Shape:
    """A parameter that holds JSON."""

    def check(value: Any, where: str) -> None:
        shape(parse(value), where)

    return check


EMPTY = record({})
LABELS = mapping(r"[A-Za-z0-9._-]{1,120}", ANY_TEXT)
