"""Writing a batch of which InfluxDB may refuse a part: finding out which lines, and why.

InfluxDB writes what it can and reports one sentence for the rest. Writing a line twice changes nothing, so the rest
can be found by writing again: first the lines that a conflict of types names, then halves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from cyberlab.wire import RefusedLine

MAX_POSTS = 60
"""Further requests for one bad batch: enough for a few bad lines among 5,000. After that a whole part is refused."""

_CONFLICT = re.compile(
    r'input field "(?P<field>.+?)" on measurement "(?P<measurement>.+)" is type (?P<new>\w+), '
    r"already exists as type (?P<old>\w+)"
)


@dataclass(frozen=True)
class Reply:
    ok: bool
    words: str = ""


def write_all(post: Callable[[bytes], Reply], body: bytes) -> tuple[RefusedLine, ...]:
    """Write `body` by `post`; every line is either written or named with a reason."""
    reply = post(body)
    if reply.ok:
        return ()
    search = _Search(post)
    lines = list(enumerate(body.split(b"\n"), 1))
    search.sort_out(lines, reply)
    return tuple(sorted(search.refused, key=lambda r: r.line))


class _Search:
    def __init__(self, post: Callable[[bytes], Reply]) -> None:
        self._post = post
        self._left = MAX_POSTS
        self.refused: list[RefusedLine] = []

    def sort_out(self, lines: list[tuple[int, bytes]], reply: Reply) -> None:
        """`lines` were refused in part, with `reply`."""
        if conflict := _CONFLICT.search(reply.words):
            bad, rest = _split(lines, conflict)
            if bad:
                self._refuse(bad, _explain(conflict))
                self._write(rest)
                return
        if len(lines) == 1 or self._left <= 0:
            self._refuse(lines, _plain(reply.words))
            return
        middle = len(lines) // 2
        self._write(lines[:middle])
        self._write(lines[middle:])

    def _write(self, lines: list[tuple[int, bytes]]) -> None:
        if not lines:
            return
        self._left -= 1
        reply = self._post(b"\n".join(line for _, line in lines))
        if not reply.ok:
            self.sort_out(lines, reply)

    def _refuse(self, lines: list[tuple[int, bytes]], reason: str) -> None:
        self.refused += [RefusedLine(line=number, reason=reason) for number, _ in lines]


_KINDS = {"float": rb"[-+.\d]", "integer": rb"[-+]?\d+i", "string": rb'"', "boolean": rb"[tTfF]"}


def _split(
    lines: list[tuple[int, bytes]], conflict: re.Match[str]
) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]:
    """Lines that have this field with this type in this measurement, and the others."""
    measurement = re.escape(re.sub(r"([, ])", r"\\\1", conflict["measurement"]).encode())
    field = re.escape(re.sub(r"([,= ])", r"\\\1", conflict["field"]).encode())
    value = _KINDS.get(conflict["new"], rb".")
    stop = rb"(?![\d.eE+-]*i(?:,| ))" if conflict["new"] == "float" else b""
    head = re.compile(measurement + rb"[, ]")
    here = re.compile(rb"[ ,]" + field + rb"=" + stop + value)
    bad: list[tuple[int, bytes]] = []
    rest: list[tuple[int, bytes]] = []
    for numbered in lines:
        line = numbered[1]
        (bad if head.match(line) and here.search(line) else rest).append(numbered)
    return bad, rest


def _explain(conflict: re.Match[str]) -> str:
    return (
        f"{conflict['field']!r} of {conflict['measurement']!r} is {conflict['old']} in this database and cannot become "
        f"{conflict['new']}: send the same kind of value as before, or use another name"
    )


def _plain(words: str) -> str:
    """InfluxDB's sentence without the line it repeats."""
    cut = re.sub(r"^(?:partial write: )?unable to parse '.*?': ", "", words.splitlines()[0] if words else "")
    return f"InfluxDB says: {cut[:300]}"
