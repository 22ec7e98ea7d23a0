"""Bytes of a program's output to lines of bounded length and number: a program that floods hurts nobody.

a line                 2,000 characters, then it is cut
a log                  5,000 lines; of what follows only the last 200 (and 4 MB in all, see `service.journal`)
reading without end    as fast as it comes for 8 MB, then 2 MB a second: the program waits, not the lab
control characters     taken out: what a program prints must not steer the terminal of whoever reads its log
"""

from __future__ import annotations

import codecs
import re
import time
from collections import deque
from collections.abc import Callable, Iterable

MOST_LINES = 5_000
LONGEST_LINE = 2_000
TAIL = 200
FREE_BYTES = 8_000_000
BYTES_A_SECOND = 2_000_000
LEAST_CHARGE = 100
"""Bytes that even an empty chunk counts: a program that writes letter by letter costs more than its letters."""

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """One line without escape sequences and control characters (the tab stays)."""
    return _CONTROL.sub("", _ESCAPES.sub("", text))


def shown(line: str) -> str:
    """A line as it is kept. Of one that was overwritten (a progress bar) only what stands there at last is of use."""
    text = printable(_last_state(line).rstrip("\r"))
    return text if len(text) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} ... (cut)"


def _last_state(line: str) -> str:
    """What of a line, whose end may not have come yet, can still be seen; bounded."""
    visible = line.rstrip("\r").rpartition("\r")[2][: LONGEST_LINE + 1]
    return f"{visible}\r" if line.endswith("\r") else visible


class Brake:
    """Slows down who reads a flood, and with that the flood itself."""

    def __init__(self, pause: Callable[[float], object] = time.sleep) -> None:
        self._pause = pause
        self._free = FREE_BYTES

    def passed(self, size: int) -> None:
        """`size` bytes have been read."""
        size = max(size, LEAST_CHARGE)
        if self._free > 0:
            self._free -= size
        else:
            self._pause(size / BYTES_A_SECOND)


class Lines:
    """Feed it chunks; it calls `tell` a line. `tail` keeps the last lines for whoever must explain a failure."""

    def __init__(self, tell: Callable[[str], None], brake: Brake | None = None) -> None:
        self._tell = tell
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._brake = brake or Brake()
        self._rest = ""
        self._told = 0
        self._kept_back: deque[str] = deque(maxlen=TAIL)
        self.tail: deque[str] = deque(maxlen=TAIL)

    def feed(self, chunk: bytes | str) -> None:
        self._brake.passed(len(chunk))
        text = self._rest + (chunk if isinstance(chunk, str) else self._decode(chunk))
        *lines, rest = text.split("\n")
        if self.cut and len(lines) > TAIL:
            # of a flood only its end is looked at; the rest is counted
            self._told += len(lines) - TAIL
            lines = lines[-TAIL:]
        for line in lines:
            self._line(line)
        # a line without an end must not grow without bound
        self._rest = _last_state(rest)

    def end(self) -> None:
        """Tell what has no line end."""
        if self._rest:
            self._line(self._rest)
        self._rest = ""

    @property
    def cut(self) -> bool:
        """Whether there were more lines than are kept."""
        return self._told > MOST_LINES

    def ends_with(self, chunks: Iterable[bytes]) -> None:
        """The true end of a log that was cut, from whoever knows it better than the flood that was read."""
        end: list[str] = []
        lines = Lines(end.append)
        for chunk in chunks:
            lines.feed(chunk)
        lines.end()
        self._rest = ""
        self._kept_back = deque(end, maxlen=TAIL)

    def finish(self) -> None:
        """There is no more: the end of a log that was cut is told, because there the error stands."""
        self.end()
        left_out = self._told - MOST_LINES - len(self._kept_back)
        if left_out > 0:
            self._tell(f"({left_out} lines are left out here.)")
        for line in self._kept_back:
            self._tell(line)
        self._kept_back.clear()
        self._told = min(self._told, MOST_LINES)

    def _line(self, line: str) -> None:
        text = shown(line)
        self.tail.append(text)
        self._told += 1
        if self._told <= MOST_LINES:
            self._tell(text)
            return
        if self._told == MOST_LINES + 1:
            self._tell(
                f"(This log is longer than {MOST_LINES} lines: the rest of it is not kept, only its last {TAIL} lines.)"
            )
        self._kept_back.append(text)
