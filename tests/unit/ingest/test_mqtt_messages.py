"""What devices publish -> lines, and the times of messages that say none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cyberlab_hub.ingest.lines import IDENTITY_CLAIMED
from cyberlab_hub.ingest.mqtt.messages import parse
from cyberlab_hub.ingest.mqtt.times import Times

NOW = 1_700_000_000_000_000_000
OWN = {"device": "balcony", "deployment": ""}


def lines(payload: str | bytes, measurement: str = "t") -> tuple[list[bytes], list[str], bool]:
    body = payload if isinstance(payload, bytes) else payload.encode()
    parsed = parse(measurement, body, NOW, OWN)
    return list(parsed.lines), [line.code for line in parsed.refused], parsed.timed


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        ("21.5", b"t value=21.5 %d" % NOW),
        (" -3 ", b"t value=-3.0 %d" % NOW),
        ("true", b"t value=true %d" % NOW),
        ('"open"', b't value="open" %d' % NOW),
        ('{"a": 1, "b": "x"}', b't a=1.0,b="x" %d' % NOW),
        ('{"value": 1, "unit": "C", "tags": {"room": "b 12"}}', b"t,room=b\\ 12,unit=C value=1.0 %d" % NOW),
        ('{"value": 1, "time": 1700000000000000001}', b"t value=1.0 1700000000000000001"),
        ('{"value": 1, "time": 1700000000.5}', b"t value=1.0 1700000000500000000"),
        ('{"value": 1, "time": "2023-11-14T22:13:20Z"}', b"t value=1.0 1700000000000000000"),
        ('{"value": 1, "device": "balcony"}', b"t value=1.0 %d" % NOW),
        ("x,room=b value=1 1700000000000000001", b"x,room=b value=1 1700000000000000001"),
        ("x value=1", b"x value=1 %d" % NOW),
        ("temperature value=1", b"temperature value=1 %d" % NOW),
        ("1wire value=1", b"1wire value=1 %d" % NOW),
    ],
)
def test_one_line(payload: str, expected: bytes) -> None:
    made, refused, timed = lines(payload)
    assert (made, refused) == ([expected], [])
    assert timed == (not expected.endswith(b" %d" % NOW) or "2023-11" in payload)


def test_a_list_is_many_points_and_a_bad_one_costs_no_other() -> None:
    made, refused, timed = lines('[{"value": 1, "time": 1700000000000000001}, {"value": []}, 3]')
    assert made == [b"t value=1.0 1700000000000000001", b"t value=3.0 %d" % NOW]
    assert (refused, timed) == (["value-kind"], False)


@pytest.mark.parametrize(
    ("payload", "measurement", "code"),
    [
        ("", "t", "message-empty"),
        ("[]", "t", "message-empty"),
        ('{"a": 1', "t", "json-broken"),
        ("[" * 60_000, "t", "json-broken"),
        ("21.5", "", "measurement-missing"),
        ("{}", "t", "fields-empty"),
        ("null", "t", ""),
        ('{"value": NaN}', "t", "number-finite"),
        ('{"value": 1, "time": 1700000000}', "t", "time-unit"),
        ('{"value": 1, "time": "yesterday"}', "t", "time-kind"),
        ('{"value": 1, "tags": ["a"]}', "t", "tag-kind"),
        ('{"value": 1, "tags": {"device": "pi01"}}', "t", IDENTITY_CLAIMED),
        ('{"value": 1, "device": "pi01"}', "t", IDENTITY_CLAIMED),
        ('{"value": 1, "deployment": "greenhouse"}', "t", IDENTITY_CLAIMED),
        ("1", "t\n", "name-invalid"),
        ("1", "9", "name-invalid"),
    ],
)
def test_what_is_refused(payload: str, measurement: str, code: str) -> None:
    made, refused, _ = lines(payload, measurement)
    if code:
        assert (made, refused) == ([], [code])
    else:  # taken for line protocol, and refused as such later
        assert made == [b"null %d" % NOW]


def test_bytes_that_are_no_text_are_left_to_the_lines() -> None:
    made, refused, _ = lines(b"\xff\xfe")
    assert (len(made), refused) == (1, [])


# ---------------------------------------------------------------- times
def test_a_message_that_comes_again_has_the_time_it_had(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    times = Times(path, lambda: NOW)
    first = times.of(7, b"a", again=False)
    times.save()
    assert times.of(7, b"a", again=True) == first
    later = Times(path, lambda: NOW + 50)  # the gateway was started anew
    assert later.of(7, b"a", again=True) == first
    assert later.of(8, b"a", again=True) != first, "it was never written"


def test_a_new_message_under_an_old_number_is_new(tmp_path: Path) -> None:
    times = Times(tmp_path / "times.json", lambda: NOW)
    first = times.of(7, b"a", again=False)
    assert times.of(7, b"a", again=False) > first
    assert times.of(7, b"b", again=True) > first
    times.forget(7)
    assert times.of(7, b"b", again=True) > first + 1


def test_two_messages_never_have_one_time(tmp_path: Path) -> None:
    times = Times(tmp_path / "times.json", lambda: NOW)
    assert len({times.of(n, b"a", again=False) for n in range(100)}) == 100


def test_a_spoilt_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "times.json"
    for text in ("", "[]", '{"a": 1}', json.dumps({"1": 2})):
        path.write_text(text)
        assert Times(path, lambda: NOW).of(1, b"a", again=True) == NOW
