"""The times of lines that come by InfluxDB's own interface: in another unit, or left to the server.

Only the end of a line is looked at. Whether the line is one is decided afterwards, as for every line (`lines`).
"""

from __future__ import annotations

import re

UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
_TIME = re.compile(rb"-?\d{1,19}")


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
