"""`Point`: the contract between a sensor and the database, and its text form, InfluxDB's line protocol.

    measurement,tag=value,... field=value,... nanoseconds

The form follows InfluxData's line protocol reference and was checked against InfluxDB 1.6. What it cannot
express without doubt (a line break, a backslash before a separator) is refused here, so that every `Point` is
exactly one line and every line exactly one `Point`.

`reading` makes a `Point` from what a scientist has in hand; its messages say what was expected.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from numbers import Integral, Real
from types import MappingProxyType

Value = float | int | bool | str

NAME = re.compile(r"[^\W\d_][\w .:/%+-]{0,63}")
"""Names of measurements, fields and tags: a letter, then letters, digits, space and ``_ . : / % + -``."""
TEXT_BYTES = 16_384
"""Longest text value, in bytes of UTF-8."""
TAG_CHARS = 256
RESERVED = frozenset({"time", "device", "deployment"})
"""`time` is InfluxDB's; the gateway stamps the other two."""
MIN_NS, MAX_NS = -(2**63) + 2, 2**63 - 2
"""The times InfluxDB can keep: the years 1677 to 2262."""
EXACT = 2**53
"""Whole numbers beyond this are not exact as floats."""
SHORT_NS = 10**16
"""A positive time below this (26 April 1970) is seconds, milli- or microseconds by mistake."""


class PointError(ValueError):
    """A value that cannot become a point. `code` is stable; the message says what was expected."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Point:
    """One reading. Checked when it is made; `line()` therefore cannot fail."""

    measurement: str
    fields: Mapping[str, Value]
    time_ns: int
    """Nanoseconds since 1970-01-01 UTC."""
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_name("measurement", self.measurement)
        if not self.fields:
            raise PointError("fields-empty", f"The reading {self.measurement!r} has no value.")
        for name, value in self.fields.items():
            _check_key("field", name)
            _check_value(name, value)
        for name, text in self.tags.items():
            _check_key("tag", name)
            _check_tag(name, text)
        if both := sorted(set(self.fields) & set(self.tags)):
            raise PointError(
                "name-twice", f"{both[0]!r} is a field and a tag of the same reading: rename one of them."
            )
        check_time(self.time_ns)
        object.__setattr__(self, "fields", MappingProxyType(dict(self.fields)))
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))

    def line(self) -> str:
        """The point as one line, without the line break. Tags are sorted, which InfluxDB likes best."""
        fields = ",".join(f"{_escape(k)}={_encode(v)}" for k, v in self.fields.items())
        return f"{encode_measurement(self.measurement)}{encode_tags(self.tags)} {fields} {self.time_ns}"


def reading(
    measurement: str,
    value: object,
    unit: str | None = None,
    *,
    at: int | float | datetime,
    sensor: str | None = None,
    tags: Mapping[str, object] | None = None,
) -> Point:
    """A point from a value (its field is called ``value``) or from a dict of several.

    Numbers become floats, because InfluxDB fixes the type of a field by its first value: a thermometer that
    says 21 and then 21.5 must not be refused. `unit` and `sensor` become tags.

    Raises:
        PointError: says what was expected.
    """
    fields = value if isinstance(value, Mapping) else {"value": value}
    all_tags: dict[str, str] = {}
    for name, given in {**(tags or {}), "unit": unit, "sensor": sensor}.items():
        if name in RESERVED:
            raise PointError("tag-reserved", f"The lab itself fills the tag {name!r}: leave it out.")
        if given is None and name in ("unit", "sensor"):
            continue
        all_tags[name] = _tag_text(name, given)
    return Point(measurement, {k: plain(k, v) for k, v in fields.items()}, time_of(at), all_tags)


def plain(name: str, value: object) -> Value:
    """A number, truth value or text as a plain Python value; numpy's scalars too.

    Raises:
        PointError: anything else, with what it was.
    """
    item = getattr(value, "item", None)
    if callable(item):  # numpy and pandas scalars, without importing either on a Pi
        try:
            value = item()
        except (TypeError, ValueError) as error:
            raise PointError(
                "value-kind", f"{name!r} must be one value, not {type(value).__name__} of many."
            ) from error
    if isinstance(value, bool | str):
        return value
    if isinstance(value, Integral) and abs(int(value)) > EXACT:
        raise PointError(
            "number-large", f"{name!r} is {value}, too large to keep exactly: send it as text, str(...)."
        )
    if isinstance(value, Real):
        return float(value)
    raise PointError(
        "value-kind",
        f"{name!r} must be a number, True/False or text, not {type(value).__name__} ({_short(value)}).",
    )


def time_of(at: int | float | datetime) -> int:
    """Nanoseconds from a datetime with a zone, seconds as float (``time.time()``) or whole nanoseconds.

    Raises:
        PointError: a time without a zone, or anything else.
    """
    if isinstance(at, datetime):
        if at.tzinfo is None:
            raise PointError(
                "time-zone",
                f"The time {at} has no time zone. Use datetime.now(timezone.utc) or give it a tzinfo.",
            )
        whole = int(at.replace(microsecond=0).timestamp())
        # Timestamp of pandas is a datetime with nanoseconds
        return whole * 10**9 + at.microsecond * 1000 + int(getattr(at, "nanosecond", 0))
    if isinstance(at, Integral) and not isinstance(at, bool):
        return int(at)
    if isinstance(at, Real) and not isinstance(at, bool) and math.isfinite(at):
        return round(float(at) * 1e6) * 1000
    raise PointError(
        "time-kind", f"`at` must be a datetime, seconds as float or whole nanoseconds, not {_short(at)}."
    )


def check_time(time_ns: int) -> None:
    """Raises PointError when InfluxDB cannot keep the time or its unit is surely wrong."""
    if not isinstance(time_ns, int) or isinstance(time_ns, bool):
        raise PointError("time-kind", f"A time is a whole number of nanoseconds, not {_short(time_ns)}.")
    if not MIN_NS <= time_ns <= MAX_NS:
        raise PointError(
            "time-range", f"The time {time_ns} is outside of what InfluxDB keeps (1677 to 2262)."
        )
    if 0 < time_ns < SHORT_NS:
        raise PointError(
            "time-unit",
            f"The time {time_ns} is too short for nanoseconds since 1970. Multiply seconds by 10**9.",
        )


# ---------------------------------------------------------------- checks
def _check_name(kind: str, name: object) -> None:
    if not isinstance(name, str):
        raise PointError("name-kind", f"The name of a {kind} is text, not {_short(name)}.")
    if not NAME.fullmatch(name) or name.endswith(" "):
        raise PointError(
            "name-invalid",
            f"{name[:80]!r} cannot name a {kind}: begin with a letter, then letters, digits, spaces "
            "and _ . : / % + -, at most 64 characters.",
        )


def _check_key(kind: str, name: object) -> None:
    _check_name(kind, name)
    if name == "time":
        raise PointError(
            "name-reserved", f"A {kind} cannot be called 'time': that is the time of the reading itself."
        )


def _check_value(name: str, value: object) -> None:
    if isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_printable(f"The text of {name!r}", value)
        if len(value.encode()) > TEXT_BYTES:
            raise PointError("text-long", f"The text of {name!r} is longer than {TEXT_BYTES} bytes.")
        return
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise PointError("number-large", f"{name!r} is {value}, which does not fit into 64 bits.")
        return
    if not isinstance(value, float):
        raise PointError("value-kind", f"{name!r} must be a number, True/False or text, not {_short(value)}.")
    if not math.isfinite(value):
        raise PointError(
            "number-finite", f"{name!r} is {value}, which is no reading: skip it, or send text that says why."
        )


def _check_tag(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise PointError("tag-kind", f"The tag {name!r} must be text, not {_short(text)}.")
    if not text or len(text) > TAG_CHARS:
        raise PointError(
            "tag-length", f"The tag {name!r} must have 1 to {TAG_CHARS} characters, not {len(text)}."
        )
    if "\t" in text:
        raise PointError("text-control", f"The tag {name!r} holds a tab; use a space.")
    _check_printable(f"The tag {name!r}", text)
    if re.search(r"\\(?:[\\,= ]|\Z)", text):
        raise PointError(
            "tag-backslash",
            f"In the tag {name!r} a backslash may not stand last or before , = space or a backslash.",
        )


def _check_printable(what: str, text: str) -> None:
    if bad := re.search(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]", text):
        raise PointError(
            "text-control", f"{what} holds the character {bad[0]!r}; a reading is one line of printable text."
        )


def _tag_text(name: str, given: object) -> str:
    if isinstance(given, str):
        return given
    if isinstance(given, bool | int | float):
        return str(given)
    raise PointError(
        "tag-kind",
        f"The tag {name!r} must be text or a number, not {_short(given)}. Leave it out if unknown.",
    )


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# ---------------------------------------------------------------- text form
def _escape(text: str, *, equals: bool = True) -> str:
    text = text.replace(",", "\\,").replace(" ", "\\ ")
    return text.replace("=", "\\=") if equals else text


def encode_measurement(name: str) -> str:
    return _escape(name, equals=False)


def encode_tags(tags: Mapping[str, str]) -> str:
    """``,room=b12,unit=C``: as it stands in a line, right after the measurement."""
    return "".join(f",{_escape(k)}={_escape(v)}" for k, v in sorted(tags.items()))


def _encode(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, float):
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


_KEY = r"(?:[^\\,= ]|\\.)+"
_VALUE = r'(?:"(?:[^"\\]|\\.)*"|[^", ]+)'
_LINE = re.compile(
    rf"(?P<head>(?:[^\\, ]|\\.)+)(?P<tags>(?:,{_KEY}={_KEY})*) "
    rf"(?P<fields>{_KEY}={_VALUE}(?:,{_KEY}={_VALUE})*) (?P<time>-?\d{{1,19}})"
)
_TAG = re.compile(rf",({_KEY})=({_KEY})")
_FIELD = re.compile(rf"({_KEY})=({_VALUE})(?:,|\Z)")


def parse(line: str) -> Point:
    """The point that `Point.line` wrote: for tests and logs. Raises PointError (``line-invalid``)."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise PointError("line-invalid", f"Not a line of line protocol with a time: {line[:80]!r}")
    tags = {_unescape(k): _unescape(v) for k, v in _TAG.findall(match["tags"])}
    fields = {_unescape(k): _decode(v) for k, v in _FIELD.findall(match["fields"])}
    return Point(_unescape(match["head"]), fields, int(match["time"]), tags)


def _unescape(text: str) -> str:
    return re.sub(r"\\([,= ])", r"\1", text)


def _decode(text: str) -> Value:
    if text[0] == '"':
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text[:-1]) if text[-1] == "i" else float(text)
    except ValueError as error:
        raise PointError("line-invalid", f"{text[:40]!r} is not a value of line protocol.") from error
