"""Points and their text form."""

from __future__ import annotations

import math
import string
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from cyberlab_edge.points import NAME, Point, PointError, parse, reading, time_of
from hypothesis import given
from hypothesis import strategies as st

T = 1_700_000_000_123_456_789

names = st.from_regex(NAME, fullmatch=True).filter(lambda n: not n.endswith(" ") and n != "time")
texts = st.text(
    st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from('\\",= \t'), max_size=40
).filter(lambda t: not any(c in t for c in "\x7f"))
values = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
    | texts
)
tag_texts = texts.filter(
    lambda t: t and "\t" not in t and not any(f"\\{c}" in t for c in "\\,= ") and not t.endswith("\\")
)


@given(
    measurement=names,
    fields=st.dictionaries(names, values, min_size=1, max_size=4),
    tags=st.dictionaries(names, tag_texts, max_size=4),
    time_ns=st.integers(10**16, 2**63 - 2) | st.integers(-(2**63) + 2, 0),
)
def test_a_line_means_exactly_its_point(
    measurement: str, fields: dict[str, float | int | bool | str], tags: dict[str, str], time_ns: int
) -> None:
    tags = {k: v for k, v in tags.items() if k not in fields}
    point = Point(measurement, fields, time_ns, tags)
    line = point.line()
    assert "\n" not in line
    again = parse(line)
    assert again == point
    assert {k: type(v) for k, v in again.fields.items()} == {k: type(v) for k, v in fields.items()}


def test_the_form_of_the_reference() -> None:
    point = Point(
        "air quality", {"co 2": 1.5, "n": 3, "ok": True, "note": 'a "b" \\ c, d=e'}, T, {"room": "b 12,a=1"}
    )
    assert point.line() == (
        r"air\ quality,room=b\ 12\,a\=1 co\ 2=1.5,n=3i,ok=true,"
        r'note="a \"b\" \\ c, d=e" 1700000000123456789'
    )


def test_numbers_are_floats_whatever_they_came_as() -> None:
    for value in (21, 21.0, Fraction(21), np.float32(21), np.int64(21), np.array(21), pd.Series([21])[0]):
        point = reading("temperature", value, "C", at=T)
        assert point.fields == {"value": 21.0}
        assert type(point.fields["value"]) is float


def test_truth_values_and_texts_stay_what_they_are() -> None:
    assert reading("door", True, at=T).fields == {"value": True}
    assert reading("door", np.True_, at=T).fields == {"value": True}
    assert reading("door", "open", at=T).fields == {"value": "open"}


def test_a_dict_gives_several_fields() -> None:
    point = reading("air", {"co2": 600, "ok": True}, "ppm", at=T, sensor="scd30", tags={"room": 12})
    assert point.fields == {"co2": 600.0, "ok": True}
    assert point.tags == {"unit": "ppm", "sensor": "scd30", "room": "12"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((["t"], 1), "name-kind", "text"),
        (("", 1), "name-invalid", "begin with a letter"),
        (("1t", 1), "name-invalid", "begin with a letter"),
        (("_t", 1), "name-invalid", "begin with a letter"),
        (("t\n", 1), "name-invalid", "begin with a letter"),
        (("t\nu value=1", 1), "name-invalid", "begin with a letter"),
        (("t ", 1), "name-invalid", "begin with a letter"),
        (("t" * 65, 1), "name-invalid", "64"),
        (("t", None), "value-kind", "number, True/False or text, not NoneType"),
        (("t", [1, 2]), "value-kind", "not list"),
        (("t", np.array([1, 2])), "value-kind", "one value"),
        (("t", {}), "fields-empty", "no value"),
        (("t", {"time": 1}), "name-reserved", "time"),
        (("t", {"a": 1, "unit": 2}, "C"), "name-twice", "unit"),
        (("t", math.nan), "number-finite", "nan"),
        (("t", math.inf), "number-finite", "inf"),
        (("t", 2**60), "number-large", "send it as text"),
        (("t", "a\nb"), "text-control", "one line"),
        (("t", "\ud800"), "text-control", "printable"),
        (("t", "x" * 20_000), "text-long", "16384"),
        (("t", 1, "C\\"), "tag-backslash", "backslash"),
        (("t", 1, ""), "tag-length", "1 to 256"),
        (("t", 1, "a\tb"), "text-control", "tab"),
        (("t", 1, "x" * 257), "tag-length", "257"),
        (("t", 1, 5j), "tag-kind", "text"),
    ],
)
def test_what_cannot_be_kept_says_what_was_expected(
    arguments: tuple[object, ...], code: str, words: str
) -> None:
    with pytest.raises(PointError, match=words) as error:
        reading(*arguments, at=T)  # type: ignore[arg-type]  # wrong on purpose
    assert error.value.code == code


@pytest.mark.parametrize("name", ["device", "deployment", "time"])
def test_the_tags_of_the_lab_are_not_for_programs(name: str) -> None:
    with pytest.raises(PointError, match="leave it out"):
        reading("t", 1, at=T, tags={name: "x"})


def test_times() -> None:
    assert time_of(T) == T
    assert time_of(1_700_000_000.25) == 1_700_000_000_250_000_000
    moment = datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert time_of(moment) == 1_700_000_000_123_456_000
    assert time_of(moment.astimezone(timezone(timedelta(hours=5)))) == 1_700_000_000_123_456_000
    assert time_of(pd.Timestamp(T, tz="UTC")) == T
    assert time_of(datetime(1969, 12, 31, 23, 59, 59, 500_000, tzinfo=UTC)) == -500_000_000


@pytest.mark.parametrize(
    ("at", "code"),
    [
        (datetime(2023, 1, 1), "time-zone"),  # noqa: DTZ001 - that is the mistake
        (1_700_000_000, "time-unit"),
        (1_700_000_000_000, "time-unit"),
        (2**63, "time-range"),
        (True, "time-kind"),
        (math.nan, "time-kind"),
        ("now", "time-kind"),
    ],
)
def test_a_time_that_is_surely_wrong(at: object, code: str) -> None:
    with pytest.raises(PointError) as error:
        reading("t", 1, at=at)  # type: ignore[arg-type]  # wrong on purpose
    assert error.value.code == code


def test_points_do_not_change_with_what_they_were_made_from() -> None:
    fields = {"value": 1.0}
    point = Point("t", fields, T)
    fields["value"] = 2.0
    assert point.fields == {"value": 1.0}
    with pytest.raises(TypeError):
        point.fields["value"] = 3.0  # type: ignore[index]  # that it does not work is the test


@given(st.text(string.printable, max_size=80))
def test_parsing_anything_is_a_point_or_a_point_error(text: str) -> None:
    with suppress(PointError):
        parse(text)
