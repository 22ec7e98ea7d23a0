"""Times of lines that come by InfluxDB's own interface."""

from __future__ import annotations

import pytest
from cyberlab_hub.ingest.lines import Batch, stamp
from cyberlab_hub.ingest.times import UNITS, Times, in_nanoseconds
from hypothesis import given
from hypothesis import strategies as st

NOW = 1_700_000_000_000_000_000


@pytest.mark.parametrize(
    ("unit", "line", "expected"),
    [
        ("ns", b"t v=1 1700000000000000001", b"t v=1 1700000000000000001"),
        ("s", b"t v=1 1700000000", b"t v=1 1700000000000000000"),
        ("ms", b"t v=1 1700000000123", b"t v=1 1700000000123000000"),
        ("us", b"t v=1 -5", b"t v=1 -5000"),
        ("s", b"t v=1", b"t v=1 %d" % NOW),
        ("s", b"t v=1  ", b"t v=1 %d" % NOW),
        ("s", b't v="at 12"', b't v="at 12" %d' % NOW),
        ("s", b't v="at 12" 12\r', b't v="at 12" 12000000000'),
        ("s", b"# a comment 12", b"# a comment 12"),
        ("s", b"", b""),
    ],
)
def test_the_end_of_a_line(unit: str, line: bytes, expected: bytes) -> None:
    assert in_nanoseconds(line, unit, NOW) == expected


def test_lines_keep_their_numbers() -> None:
    body = b"\n# c\nt v=1 1\n\nt v=2"
    assert in_nanoseconds(body, "s", NOW).split(b"\n") == [
        b"",
        b"# c",
        b"t v=1 1000000000",
        b"",
        b"t v=2 %d" % NOW,
    ]


def test_an_unknown_unit() -> None:
    with pytest.raises(KeyError):
        in_nanoseconds(b"t v=1 1", "minutes", NOW)


LINES = st.lists(
    st.sampled_from(
        [
            b"t v=1 1700000000",
            b"t v=1",
            b't v="a 1"',
            b"t v=1i -5",
            b"t v=1 0",
            b"t,a=b v=1,w=2 17 ",
            b"t v=1 1700000000\r",
            b"# 17",
            b"",
            b"t v=1 9999999999999999999",
        ]
    ),
    max_size=5,
)


@given(LINES, st.sampled_from(list(UNITS)))
def test_all_lines_at_once_are_as_each_by_itself(lines: list[bytes], unit: str) -> None:
    body, tags = b"\n".join(lines), {"device": "pi01"}
    at_once = stamp(Batch(body, times=Times(unit, NOW)), tags)
    assert at_once == stamp(Batch(in_nanoseconds(body.rstrip(b"\n"), unit, NOW)), tags)
