"""Line protocol as it comes from devices: checked in whole batches, stamped with who sent it.

A good batch costs one pass of one regular expression, which also writes the stamp; only a batch with something
wrong in it is looked at line by line, for the reasons. The expression accepts what `cyberlab_edge.points` writes
and what other clients (Node.js, Telegraf) write in InfluxData's form. It has no ambiguous case: whatever passes
means the same to InfluxDB, so a line cannot smuggle in another device's name or a second line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from cyberlab.wire import RefusedLine
from cyberlab_edge.points import encode_tags

MAX_REFUSED = 100
"""Reasons given for one batch; the rest are counted in the last one."""

# Atomic groups (++) keep the work linear in the length of the line, whatever it holds.
_PLAIN = rb"\x00-\x20\x7f\\,="
_KEY = rb"(?:[^" + _PLAIN + rb"]++|\\[,= ])++"
_TAG = rb",(" + _KEY + rb")=((?:[^" + _PLAIN + rb"]++|\\[^\x00-\x1f\x7f\\])++)"
_TAGS = rb"(?:," + _KEY + rb"=(?:[^" + _PLAIN + rb"]++|\\[^\x00-\x1f\x7f\\])++)*+"
_MEASUREMENT = rb"(?![#_])(?:[^\x00-\x20\x7f\\,]++|\\[, ])++"
_TEXT = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]++|\\[^\x00-\x1f\x7f])*+"'
_NUMBER = rb"[+-]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][+-]?\d++)?i?"
_VALUE = rb"(?:" + _NUMBER + rb"|" + _TEXT + rb"|[tT]rue|TRUE|[fF]alse|FALSE|[tTfF])"
_FIELDS = _KEY + rb"=" + _VALUE + rb"(?:," + _KEY + rb"=" + _VALUE + rb")*+"
_TIME = rb"(?:\d{17,19}|0|-\d{1,19})"
_HEAD = rb"(?m)^(" + _MEASUREMENT + rb")(" + _TAGS + rb")( " + _FIELDS

LINE = re.compile(_HEAD + rb" " + _TIME + rb")$")
TAG = re.compile(_TAG)
_UNTIMED = re.compile(_HEAD + rb") *$")
_SHORT_TIME = re.compile(_HEAD + rb") \d{1,16}$")


@dataclass(frozen=True)
class Stamped:
    """The good lines of a batch, stamped, and what was wrong with the others."""

    body: bytes
    numbers: tuple[int, ...] | range
    """For each line of `body` its number in what was sent, from 1."""
    refused: tuple[RefusedLine, ...] = ()


def stamp(body: bytes, tags: Mapping[str, str]) -> Stamped:
    """Check every line and add `tags` to it. A line that already carries one of them must carry the same value."""
    mark = encode_tags(tags).encode()
    body = body.rstrip(b"\n")
    claims = any(b"," + key.encode() + b"=" in body for key in tags)
    if body and not claims and _is_text(body):
        template = rb"\1" + mark.replace(b"\\", rb"\\") + rb"\2\3"
        stamped, good = LINE.subn(template, body)
        if good == body.count(b"\n") + 1:
            return Stamped(stamped, range(1, good + 1))
    return _one_by_one(body, tags, mark)


def _one_by_one(body: bytes, tags: Mapping[str, str], mark: bytes) -> Stamped:
    lines: list[bytes] = []
    numbers: list[int] = []
    refused: list[RefusedLine] = []
    for number, raw in enumerate(body.split(b"\n"), 1):
        line = raw.removesuffix(b"\r")
        if not line or line.startswith(b"#"):
            continue
        try:
            lines.append(_stamp_line(line, tags, mark))
            numbers.append(number)
        except ValueError as error:
            refused.append(RefusedLine(line=number, reason=str(error)))
    return Stamped(b"\n".join(lines), tuple(numbers), tuple(refused))


def _stamp_line(line: bytes, tags: Mapping[str, str], mark: bytes) -> bytes:
    """Raises ValueError with the reason, for the person who wrote the program that sent it."""
    match = LINE.fullmatch(line) if _is_text(line) else None
    if match is None:
        raise ValueError(_why(line))
    measurement, own, rest = match.groups()
    kept = b""
    for tag in TAG.finditer(own):
        key, value = tag[1].decode(), tag[2]
        if key not in tags:
            kept += tag[0]
        elif tag[0] != encode_tags({key: tags[key]}).encode():
            raise ValueError(
                f"the line says {key}={value.decode()}, but it was sent by {key} {tags[key]!r}; leave the tag out"
            )
    return bytes(measurement + mark + kept + rest)


def _why(line: bytes) -> str:
    if not _is_text(line):
        return "the line is not UTF-8 text"
    if _UNTIMED.fullmatch(line):
        return "the time is missing: end the line with nanoseconds since 1970"
    if _SHORT_TIME.fullmatch(line):
        return "the time is too short for nanoseconds since 1970: multiply seconds by 10**9"
    shown = line[:60].decode(errors="replace")
    return f"this is not line protocol (measurement,tag=text field=1.5 nanoseconds): {shown}"


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def merge(stamped: Stamped, refused: tuple[RefusedLine, ...]) -> tuple[RefusedLine, ...]:
    """Reasons by the numbers of the lines as they were sent; `refused` counts lines of ``stamped.body``."""
    theirs = (RefusedLine(line=stamped.numbers[r.line - 1], reason=r.reason) for r in refused)
    every = sorted((*stamped.refused, *theirs), key=lambda r: r.line)
    return tuple(every)
