"""What a device published -> lines of line protocol. Pure; nothing here decides who may say what.

    TOPIC/temperature   21.5                                   a value
    TOPIC/climate       {"temperature": 21.5, "humidity": 40, "time": 1760000000000000000}
    TOPIC/climate       [{...}, {...}]
    TOPIC               temperature,room=b12 value=21.5        line protocol, any number of lines

In an object ``time`` is the time (nanoseconds, or seconds with a point, or text in ISO 8601), ``unit`` and ``sensor``
are texts, ``tags`` an object; everything else is a field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cyberlab.wire import RefusedLine
from cyberlab_edge.points import PointError, reading

from cyberlab_hub.ingest.lines import IDENTITY_CLAIMED
from cyberlab_hub.ingest.times import in_nanoseconds

_STAMPED = ("device", "deployment")


@dataclass(frozen=True)
class Parsed:
    lines: tuple[bytes, ...]
    refused: tuple[RefusedLine, ...] = ()
    timed: bool = True
    """Every line said its own time."""


def parse(measurement: str, payload: bytes, now_ns: int, own: Mapping[str, str]) -> Parsed:
    """The lines of a message; those without a time get `now_ns`. `own`: what the sender's points are stamped with."""
    text = payload.strip()
    if text[:1] in b'{["-0123456789tf' and text:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError) as error:
            if text[:1] in b'{["':
                return _refused("json-broken", f"this is not JSON: {error}")
        else:
            return _json(measurement, content, now_ns, own)
    return _lines(payload, now_ns)


def _lines(payload: bytes, now_ns: int) -> Parsed:
    if not payload.strip():
        return _refused("message-empty", "the message is empty")
    stamped = in_nanoseconds(payload, "ns", now_ns)
    return Parsed(tuple(stamped.split(b"\n")), timed=stamped == payload)


def _json(measurement: str, content: Any, now_ns: int, own: Mapping[str, str]) -> Parsed:
    if not measurement:
        return _refused(
            "measurement-missing", "JSON needs the name of what was measured: publish to TOPIC/NAME"
        )
    entries = content if isinstance(content, list) else [content]
    lines: list[bytes] = []
    refused: list[RefusedLine] = []
    timed = bool(entries)
    for number, entry in enumerate(entries, 1):
        given = dict(entry) if isinstance(entry, dict) else {"value": entry}
        timed = timed and "time" in given
        try:
            lines.append(_point(measurement, given, now_ns, own))
        except PointError as error:
            code = IDENTITY_CLAIMED if error.code == "tag-reserved" else error.code
            refused.append(RefusedLine(line=number, reason=str(error), code=code))
    if not entries:
        return _refused("message-empty", "the list is empty")
    return Parsed(tuple(lines), tuple(refused), timed)


def _point(measurement: str, given: dict[str, Any], now_ns: int, own: Mapping[str, str]) -> bytes:
    at = given.pop("time", now_ns)
    unit, sensor, tags = given.pop("unit", None), given.pop("sensor", None), given.pop("tags", None) or {}
    if not isinstance(tags, dict):
        raise PointError("tag-kind", "`tags` is an object of texts.")
    for name in _STAMPED:
        said = given.pop(name, None)
        if said is not None and said != own.get(name):
            raise PointError("tag-reserved", f"The lab itself fills {name!r}: leave it out.")
    return reading(measurement, given, unit, at=_time(at), sensor=sensor, tags=tags).line().encode()


def _time(at: Any) -> int | float | datetime:
    if not isinstance(at, str):
        return at  # type: ignore[no-any-return]  # `reading` looks at what it is
    try:
        return datetime.fromisoformat(at)
    except ValueError as error:
        raise PointError("time-kind", f"{at[:40]!r} is not a time in ISO 8601.") from error


def _refused(code: str, reason: str) -> Parsed:
    return Parsed((), (RefusedLine(line=1, reason=reason[:300], code=code),))
