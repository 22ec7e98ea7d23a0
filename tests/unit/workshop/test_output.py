"""Output becomes lines of bounded length and number."""

from __future__ import annotations

from cyberlab_hub.workshop.output import (
    BYTES_A_SECOND,
    FREE_BYTES,
    LONGEST_LINE,
    MOST_LINES,
    TAIL,
    Brake,
    Lines,
)
from hypothesis import given
from hypothesis import strategies as st


def lines_of(*chunks: bytes) -> list[str]:
    told: list[str] = []
    lines = Lines(told.append)
    for chunk in chunks:
        lines.feed(chunk)
    lines.end()
    return told


def test_lines_may_be_cut_anywhere() -> None:
    assert lines_of(b"a", b"b\nc\xc3", b"\xa9\n", b"rest") == ["ab", "cé", "rest"]


def test_of_a_progress_bar_only_its_last_state_is_told() -> None:
    assert lines_of(b"10 %\r50 %\r100 %\n") == ["100 %"]
    assert lines_of(b"windows\r\n") == ["windows"]


def test_colours_are_dropped() -> None:
    assert lines_of(b"\x1b[31mred\x1b[0m\n") == ["red"]


def test_escapes_that_would_steer_a_terminal_are_dropped() -> None:
    hostile = (
        b"\x1b]0;owned\x07title \x1b]52;c;ZXZpbA==\x07clip \x1b[2J\x1b[1;1Hclear \x1bPq#0\x1b\\dcs \x1b[?1049h"
        b"alt \x1bc\x07\x08\x00\x9b31m\xc2\x9b2J end\x1b"
    )
    (line,) = lines_of(hostile)
    assert all(c.isprintable() for c in line.replace("\ufffd", "")), line
    assert [word for word in line.split() if word.isalpha()][:4] == ["title", "clip", "clear", "dcs"]


def test_a_line_without_end_is_bounded_and_says_so() -> None:
    (line,) = lines_of(*[b"x" * 100_000] * 1_000)
    assert line == "x" * LONGEST_LINE + " ... (cut)"


def test_a_progress_bar_without_end_shows_its_last_state() -> None:
    assert lines_of(*[b"%d %%\r" % n for n in range(5_000)], b"ready\n") == ["ready"]


def test_binary_output_becomes_text() -> None:
    told = lines_of(bytes(range(256)) * 50)
    assert told
    assert all("\x1b" not in line and "\0" not in line for line in told)


def flood(count: int) -> tuple[list[str], Lines]:
    told: list[str] = []
    lines = Lines(told.append)
    lines.feed(b"".join(b"%d\n" % n for n in range(count)))
    lines.finish()
    return told, lines


def test_of_a_flood_the_end_is_kept_and_the_gap_is_named() -> None:
    told, lines = flood(MOST_LINES + TAIL + 50)
    assert len(told) == MOST_LINES + 2 + TAIL
    assert told[MOST_LINES - 1] == str(MOST_LINES - 1)
    assert told[MOST_LINES].startswith(
        f"(This log is longer than {MOST_LINES} lines: the rest of it is not kept"
    )
    assert told[MOST_LINES + 1] == "(50 lines are left out here.)"
    assert told[-1] == lines.tail[-1] == str(MOST_LINES + TAIL + 49)


def test_the_end_may_come_from_elsewhere() -> None:
    told: list[str] = []
    lines = Lines(told.append)
    lines.feed(b"y\n" * (MOST_LINES + 10))
    assert lines.cut
    lines.ends_with([b"nearly\nthe", b" end\n"])
    lines.finish()
    assert told[-2:] == ["nearly", "the end"]


def test_a_log_just_over_the_limit_loses_nothing() -> None:
    told, _ = flood(MOST_LINES + 3)
    assert [line for line in told if line.isdigit()] == [str(n) for n in range(MOST_LINES + 3)]
    assert "left out" not in str(told)


def test_a_flood_is_read_no_faster_than_the_lab_likes() -> None:
    paused: list[float] = []
    lines = Lines(lambda _line: None, Brake(paused.append))
    chunk = b"y\n" * 10_000
    for _ in range(FREE_BYTES // len(chunk)):
        lines.feed(chunk)
    assert paused == [], "what an ordinary build prints is read at once"
    for _ in range(100):
        lines.feed(chunk)
    assert sum(paused) >= 100 * len(chunk) / BYTES_A_SECOND * 0.9
    for _ in range(100):
        lines.feed(b"")
    assert paused[-1] > 0, "letter by letter is no way around it"


@given(st.lists(st.binary(max_size=50) | st.sampled_from([b"\r", b"\n", b"x" * 3_000]), max_size=20))
def test_how_bytes_are_cut_changes_nothing(chunks: list[bytes]) -> None:
    assert lines_of(*chunks) == lines_of(b"".join(chunks))
