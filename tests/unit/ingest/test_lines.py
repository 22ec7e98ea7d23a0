"""Checking and stamping line protocol."""

from __future__ import annotations

import pytest
from cyberlab.wire import RefusedLine
from cyberlab_edge.points import Point, encode_tags, parse
from cyberlab_hub.ingest.lines import Batch, merge, stamp
from hypothesis import given
from hypothesis import strategies as st

T = 1_700_000_000_000_000_000
TAGS = {"device": "pi01", "deployment": "green house"}


def lines(body: bytes) -> list[str]:
    return stamp(Batch(body), TAGS).body.decode().split("\n")


def reason(line: bytes) -> str:
    stamped = stamp(Batch(line), TAGS)
    assert stamped.body == b""
    (refused,) = stamped.refused
    return refused.reason


def test_a_good_batch_is_stamped() -> None:
    body = b't,unit=C value=1.5 %d\nair\\ q,a=b\\ c co2=4i,ok=true,n="x, y = \\"z\\" \\\\" %d\n' % (T, T)
    assert lines(body) == [
        rf"t,deployment=green\ house,device=pi01,unit=C value=1.5 {T}",
        rf'air\ q,deployment=green\ house,device=pi01,a=b\ c co2=4i,ok=true,n="x, y = \"z\" \\" {T}',
    ]


@given(
    st.lists(
        st.builds(
            Point,
            measurement=st.sampled_from(["t", "air quality", "größe", "a:b/c.d-e"]),
            fields=st.dictionaries(
                st.sampled_from(["value", "co 2", "x"]),
                st.floats(allow_nan=False, allow_infinity=False)
                | st.integers(-(2**63), 2**63 - 1)
                | st.booleans()
                | st.text(st.sampled_from('ab ,="\\é\t'), max_size=12),
                min_size=1,
            ),
            time_ns=st.integers(10**16, 2**63 - 2) | st.integers(-(2**63) + 2, 0),
            tags=st.dictionaries(
                st.sampled_from(["unit", "room 1"]),
                st.text(st.sampled_from("ab ,=é"), min_size=1, max_size=9),
            ),
        ),
        min_size=1,
        max_size=5,
    )
)
def test_whatever_the_edge_writes_passes_and_means_the_same(points: list[Point]) -> None:
    body = "\n".join(p.line() for p in points).encode()
    stamped = stamp(Batch(body), TAGS)
    assert stamped.refused == ()
    for point, line in zip(points, stamped.body.decode().split("\n"), strict=True):
        assert parse(line) == Point(point.measurement, point.fields, point.time_ns, {**point.tags, **TAGS})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"t value=1", "time is missing"),
        (b"t value=1 1700000000", "too short"),
        (b"t value=1 1700000000000", "too short"),
        (b"t value= %d" % T, "not line protocol"),
        (b"t value=abc %d" % T, "not line protocol"),
        (b"t value=nan %d" % T, "not line protocol"),
        (b"t %d" % T, "not line protocol"),
        (b",a=b value=1 %d" % T, "not line protocol"),
        (b"t,a value=1 %d" % T, "not line protocol"),
        (b"t,a= value=1 %d" % T, "not line protocol"),
        (b"t,=b value=1 %d" % T, "not line protocol"),
        (b"_t value=1 %d" % T, "not line protocol"),
        (b't value="open %d' % T, "not line protocol"),
        (b't value="a" "b" %d' % T, "not line protocol"),
        (b"t  value=1 %d" % T, "not line protocol"),
        (b"t value=1 %d " % T, "not line protocol"),
        (b"t\x00 value=1 %d" % T, "not line protocol"),
        (b"t,a=b\\\\,c=d value=1 %d" % T, "not line protocol"),
        (b"t,a=b\\ value=1 %d" % T, "not line protocol"),
        (b"t\xff value=1 %d" % T, "UTF-8"),
        (b"t,device=pi02 value=1 %d" % T, "sent by device=pi01"),
        (b"t,deployment=other value=1 %d" % T, "sent by deployment=green\\ house"),
        (b"t,a=b,device=pi02 value=1 %d" % T, "sent by device=pi01"),
        (b"t,device=pi01,device=pi02 value=1 %d" % T, "sent by device=pi01"),
        (b"t,device=pi0\\1 value=1 %d" % T, "sent by device=pi01"),
        (b"GET / HTTP/1.1", "not line protocol"),
    ],
)
def test_a_bad_line_is_refused_with_the_reason(line: bytes, words: str) -> None:
    assert words in reason(line)


def test_good_lines_of_a_bad_batch_pass_and_numbers_are_those_of_the_sender() -> None:
    stamped = stamp(Batch(b"t a=1 %d\nbad\n\n# a comment\nt a=2 %d\r\nt a=3\n" % (T, T)), TAGS)
    assert stamped.numbers == (1, 5)
    assert [r.line for r in stamped.refused] == [2, 6]
    assert len(stamped.body.split(b"\n")) == 2
    both = merge(stamped, (RefusedLine(line=2, reason="later"),))
    assert [(r.line, r.reason) for r in both][1] == (5, "later")


def test_naming_oneself_is_allowed_and_not_doubled() -> None:
    (line,) = lines(b"t,device=pi01,unit=C,deployment=green\\ house value=1 %d" % T)
    assert line == rf"t,deployment=green\ house,device=pi01,unit=C value=1 {T}"


def test_the_name_of_a_device_inside_a_text_is_no_claim() -> None:
    (line,) = lines(b't text="see ,device=pi02 value" %d' % T)
    assert line.startswith(r"t,deployment=green\ house,device=pi01 text=")


@given(st.binary(max_size=60), st.sampled_from([b"t a=1 ", b"t,device=pi02 a=1 ", b't a="']))
def test_no_bytes_make_a_line_of_somebody_else(noise: bytes, start: bytes) -> None:
    mark = encode_tags(TAGS).encode()
    stamped = stamp(Batch(start + noise + b" %d\n" % T + noise), TAGS)
    for line in stamped.body.split(b"\n") if stamped.body else ():
        head = line.partition(b" ")[0] if b"\\ " not in line else line
        assert mark.split(b",device")[0] in line
        assert b"device=pi02" not in head
    assert len(stamped.numbers) == (stamped.body.count(b"\n") + 1 if stamped.body else 0)


@pytest.mark.parametrize(
    "piece", [b"\\,", b"\\ ", b"a", b"=", b",a=b", b'"', b"\\", b'\\"', b"1", b"e1", b",", b" "]
)
def test_a_long_hostile_line_is_quick(piece: bytes) -> None:
    body = b"t,a=" + piece * (900_000 // len(piece)) + b"\x01"
    assert stamp(Batch(body), TAGS).body == b""
    assert stamp(Batch(b"t a=" + piece * (900_000 // len(piece))), TAGS).body == b""


LINES = st.builds(
    lambda name, tags, text, time: (
        f"{name}{''.join(f',{key}={value}' for key, value in tags)} value={text} {time}".encode()
    ),
    st.sampled_from(["m", "mm", "m\\ x", "m\\,x", "k", "device"]),
    st.lists(
        st.tuples(
            st.sampled_from(["a", "device", "b\\ c", "deployment"]), st.sampled_from(["1", "pi01", "x\\,y"])
        ),
        max_size=2,
    ),
    st.sampled_from(["1", "2i", '"m,x k "', '"a\\"b"', '",device=pi02"', "true"]),
    st.integers(10**17, 10**18),
)


@given(st.lists(LINES, min_size=1, max_size=6))
def test_a_batch_is_stamped_as_each_of_its_lines_would_be(lines: list[bytes]) -> None:
    tags = {"deployment": "green", "device": "pi01"}
    whole = stamp(Batch(b"\n".join(lines)), tags)
    alone = [stamp(Batch(line), tags) for line in lines]
    kept = [one.body for one in alone if one.body]
    assert whole.body == b"\n".join(kept)
    assert list(whole.numbers) == [number for number, one in enumerate(alone, 1) if one.body]
    for body in kept:
        assert body.count(b",device=pi01") >= 1
