"""Line protocol as it comes from devices: checked in whole batches, stamped with who sent it.

A good batch costs one match of one regular expression; then each line gets the stamp by its series, of which a batch
has few. Only a batch with something wrong in it is looked at line by line, for the reasons. The expression
accepts what `cyberlab_edge.points` writes and what other clients (Node.js, Telegraf) write in InfluxData's form. It
has no ambiguous case: whatever passes means the same to InfluxDB, so a line cannot smuggle in another device's
name or a second line.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import re2
from cyberlab.wire import RefusedLine
from cyberlab_edge.points import encode_tags

from cyberlab_hub.ingest.times import Times

_PLAIN = rb"\x00-\x20\x7f\\,="
_KEY = rb"(?:[^" + _PLAIN + rb"]|\\[,= ])+"
_TAG_TEXT = rb"(?:[^" + _PLAIN + rb"]|\\[^\x00-\x1f\x7f\\])+"
_MEASUREMENT = rb"(?:[^\x00-\x20\x7f\\,#_]|\\[, ])(?:[^\x00-\x20\x7f\\,]|\\[, ])*"
_SERIES = _MEASUREMENT + rb"(?:," + _KEY + rb"=" + _TAG_TEXT + rb")*"
_TEXT = rb'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[^\x00-\x1f\x7f])*"'
_NUMBER = rb"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?i?"
_VALUE = rb"(?:" + _NUMBER + rb"|" + _TEXT + rb"|[tT]rue|TRUE|[fF]alse|FALSE|[tTfF])"
_POINT = _SERIES + rb" " + _KEY + rb"=" + _VALUE + rb"(?:," + _KEY + rb"=" + _VALUE + rb")*"
_LINE = _POINT + rb" (?:\d{17,19}|0|-\d{1,19})"


def _compiled(pattern: bytes) -> Any:
    """With RE2: time in proportion to the text, whatever it holds; a sixth of `re`'s, other threads run meanwhile."""
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes; that they are UTF-8 is checked apart
    return re2.compile(pattern, options)


LINE = _compiled(_LINE)
BATCH = _compiled(rb"(?:" + _LINE + rb"\n)*" + _LINE)
SERIES = _compiled(_SERIES)
MEASUREMENT = _compiled(_MEASUREMENT)
TAG = _compiled(rb",(" + _KEY + rb")=(" + _TAG_TEXT + rb")")
FEW_NAMES = 16
"""Measurements of a batch that are stamped by a replacement each."""
UNTIMED = _compiled(_POINT + rb" *")
SHORT_TIME = _compiled(_POINT + rb" \d{1,16}")


IDENTITY_CLAIMED = "identity-claimed"


@dataclass(frozen=True)
class Batch:
    """Lines as they came, and how they are to be read."""

    body: bytes
    until_ns: int | None = None
    """Lines of a later time are refused."""
    times: Times | None = None
    """For times that are not all there, or not in nanoseconds."""

    @cached_property
    def count(self) -> int:
        """How many lines; looked through once, since that takes a tenth of all that is done to a batch."""
        return self.body.count(b"\n") + 1


@dataclass(frozen=True)
class Stamped:
    """The good lines of a batch, stamped, and what was wrong with the others."""

    body: bytes
    numbers: tuple[int, ...] | range
    """For each line of `body` its number in what was sent, from 1."""
    refused: tuple[RefusedLine, ...] = ()


def stamp(batch: Batch, tags: Mapping[str, str]) -> Stamped:
    """Check every line and add `tags` to it. A line that already carries one of them must carry the same value.

    A tag whose text is empty is not added, and no line may carry it.
    """
    body = batch.body.rstrip(b"\n")
    count = batch.count - (len(batch.body) - len(body))
    # times are put right for all lines together; line by line only when that does not give a good batch
    stamped = _good(batch.times.at_once(body) if batch.times else body, tags, count)
    if stamped is None and batch.times:
        body = batch.times.line_by_line(body)
        stamped = _good(body, tags, count)
    if stamped is None:
        stamped = _one_by_one(body, _Heads(tags))
    return stamped if batch.until_ns is None else _until(stamped, batch.until_ns)


def _until(stamped: Stamped, until_ns: int) -> Stamped:
    kept: list[tuple[int, bytes]] = []
    refused = list(stamped.refused)
    for number, line in zip(stamped.numbers, stamped.body.split(b"\n"), strict=False):
        if int(line.rsplit(b" ", 1)[1]) <= until_ns:
            kept.append((number, line))
        else:
            reason = "its time is after the deployment's end"
            refused.append(RefusedLine(line=number, reason=reason, code="token-refused"))
    return Stamped(b"\n".join(line for _, line in kept), tuple(number for number, _ in kept), tuple(refused))


def _good(body: bytes, tags: Mapping[str, str], count: int) -> Stamped | None:
    """`body` has `count` lines. None when something is wrong with one."""
    if not (_is_text(body) and BATCH.fullmatch(body)):
        return None
    if (stamped := _all_at_once(body, tags, count)) is not None:
        return stamped
    heads = _Heads(tags)
    with suppress(_Claim):
        lines = [_stamped(line, heads) for line in body.split(b"\n")]
        return Stamped(b"\n".join(lines), range(1, count + 1))
    return None


@cache
def _one_of(keys: tuple[str, ...]) -> Any:
    """A tag or field of such a name, or a text that looks like it."""
    return _compiled(b",(?:" + b"|".join(re2.escape(key.encode()) for key in keys) + b")=")


def _all_at_once(body: bytes, tags: Mapping[str, str], count: int) -> Stamped | None:
    """`body` is one that `BATCH` accepts: a line end is the end of a line. None: it needs a look at each line.

    A batch has few measurements, so each gets its stamp by one replacement in all of its lines.
    """
    if b"\\" in body or _one_of(tuple(tags)).search(body):
        return None
    mark = encode_tags({key: text for key, text in tags.items() if text}).encode()
    name = _name(body[: body.find(b" ")])
    rests = body.split(b"\n" + name + b",")
    if len(rests) == count and rests[0].startswith(name + b","):  # the usual case: one measurement, with tags
        rests[0] = name + mark + rests[0][len(name) :]
        return Stamped((b"\n" + name + mark + b",").join(rests), range(1, count + 1))
    names = {_name(line) for line in body.split(b"\n")}
    if len(names) > FEW_NAMES:
        return None
    lines = b"\n" + body
    for name in names:
        for end in (b",", b" "):
            lines = lines.replace(b"\n" + name + end, b"\n" + name + mark + end)
    return Stamped(lines[1:], range(1, count + 1))


def _name(line: bytes) -> bytes:
    return line.partition(b" ")[0].partition(b",")[0]


class _Claim(Exception):
    """A line says that it comes from somebody else; the text says from whom."""


class _Heads(dict[bytes, bytes]):
    """Stamped measurement and tags, by the same without the stamp."""

    def __init__(self, tags: Mapping[str, str]) -> None:
        super().__init__()
        self._mark = encode_tags({key: text for key, text in tags.items() if text}).encode()
        self._own = {
            key.encode(): encode_tags({key: text}).encode() if text else b"" for key, text in tags.items()
        }

    def __missing__(self, head: bytes) -> bytes:
        name = MEASUREMENT.match(head)
        measurement = name[0] if name else head
        kept = b""
        for tag in TAG.finditer(head, len(measurement)):
            own = self._own.get(tag[1])
            if own is None:
                kept += tag[0]
            elif own != tag[0]:
                sent_by = own[1:].decode() or f"something without {tag[1].decode()}"
                raise _Claim(
                    f"the line says {tag[0][1:].decode()}, but it was sent by {sent_by}; leave the tag out"
                )
        self[head] = measurement + self._mark + kept
        return self[head]


def _stamped(line: bytes, heads: _Heads) -> bytes:
    """`line` is one that `LINE` accepts."""
    head, _, rest = line.partition(b" ")
    if head.endswith(b"\\"):  # an escaped space, so the head goes on
        series = SERIES.match(line)
        head = series[0] if series else head
        rest = line[len(head) + 1 :]
    return heads[head] + b" " + rest


def _one_by_one(body: bytes, heads: _Heads) -> Stamped:
    lines: list[bytes] = []
    numbers: list[int] = []
    refused: list[RefusedLine] = []
    for number, raw in enumerate(body.split(b"\n"), 1):
        line = raw.removesuffix(b"\r")
        if not line or line.startswith(b"#"):
            continue
        if not (_is_text(line) and LINE.fullmatch(line)):
            refused.append(RefusedLine(line=number, reason=_why(line)))
            continue
        try:
            lines.append(_stamped(line, heads))
            numbers.append(number)
        except _Claim as claim:
            refused.append(RefusedLine(line=number, reason=str(claim), code=IDENTITY_CLAIMED))
    return Stamped(b"\n".join(lines), tuple(numbers), tuple(refused))


def _why(line: bytes) -> str:
    if not _is_text(line):
        return "the line is not UTF-8 text"
    if UNTIMED.fullmatch(line):
        return "the time is missing: end the line with nanoseconds since 1970"
    if SHORT_TIME.fullmatch(line):
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
