"""Bytes of a program's output to lines of bounded length and number: a program that floods hurts nobody."""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable

MOST_LINES = 5_000
LONGEST_LINE = 2_000
TAIL = 200
_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Lines:
    """Feed it chunks; it calls `tell` a line. `tail` keeps the last lines for whoever must explain a failure."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._rest = ""
        self._told = 0
        self.tail: deque[str] = deque(maxlen=TAIL)

    def feed(self, chunk: bytes | str) -> None:
        text = self._rest + (chunk if isinstance(chunk, str) else self._decode(chunk))
        *lines, self._rest = text.split("\n")
        for line in lines:
            self._line(line)
        # a line without an end must not grow without bound
        while len(self._rest) > LONGEST_LINE:
            self._line(self._rest[:LONGEST_LINE])
            self._rest = self._rest[LONGEST_LINE:]

    def end(self) -> None:
        """Tell what has no line end."""
        if self._rest:
            self._line(self._rest)
        self._rest = ""

    def _line(self, line: str) -> None:
        # a progress bar rewrites its line with \r: only what stands there at last is of use
        shown = _COLOURS.sub("", line.rstrip("\r").rsplit("\r", 1)[-1])[:LONGEST_LINE]
        self.tail.append(shown)
        self._told += 1
        if self._told <= MOST_LINES:
            self._tell(shown)
        elif self._told == MOST_LINES + 1:
            self._tell(f"(more than {MOST_LINES} lines: the rest is not kept)")
