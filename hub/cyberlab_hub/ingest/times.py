"""The times of lines that come by InfluxDB's own interface: in another unit, or left to the server.

Only the end of a line is looked at. Whether the line is one is decided afterwards, as for every line (`lines`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME = re.compile(rb"-?\d{1,19}")


@dataclass(frozen=True)
class Times:
    """How the times of a batch are to be read."""

    unit: str
    now_ns: int
    """For lines without one."""

    def at_once(self, body: bytes) -> bytes:
        """`body` with the zeros that make nanoseconds of its unit, after every line.

        Line protocol only if each line ends in a time of that unit: zeros after anything else leave no line.
        """
        zeros = str(UNITS[self.unit])[1:].encode()
        return body.replace(b"\n", zeros + b"\n") + zeros if zeros else body

    def line_by_line(self, body: bytes) -> bytes:
        """As `in_nanoseconds`."""
        return in_nanoseconds(body, self.unit, self.now_ns)


def in_nanoseconds(body: bytes, unit: str, now_ns: int) -> bytes:
    """`body` with every time in nanoseconds, and `now_ns` where there was none. Lines keep their numbers.

    Raises:
        KeyError: a unit that is not in `UNITS`.
    """
    factor = UNITS[unit]
    now = b" %d" % now_ns
    return b"\n".join(_line(line, factor, now) for line in body.split(b"\n"))


def _line(line: bytes, factor: int, now: bytes) -> bytes:
    line = line.rstrip(b" \r")
    if not line or line.startswith(b"#"):
        return line
    head, space, last = line.rpartition(b" ")
    # a text that ends in digits ends in a quotation mark: what is digits alone is a time
    if space and _TIME.fullmatch(last):
        return line if factor == 1 else b"%s %d" % (head, int(last) * factor)
    return line + now
