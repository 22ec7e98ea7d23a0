"""Output becomes lines of bounded length and number."""

from __future__ import annotations

from cyberlab_hub.workshop.output import LONGEST_LINE, MOST_LINES, Lines
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


def test_a_line_without_end_is_bounded() -> None:
    assert max(len(line) for line in lines_of(b"x" * (3 * LONGEST_LINE))) == LONGEST_LINE


def test_a_flood_is_cut_once_and_its_tail_is_kept() -> None:
    told: list[str] = []
    lines = Lines(told.append)
    lines.feed(b"".join(b"%d\n" % n for n in range(MOST_LINES + 50)))
    assert len(told) == MOST_LINES + 1
    assert lines.tail[-1] == str(MOST_LINES + 49)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_how_bytes_are_cut_changes_nothing(chunks: list[bytes]) -> None:
    assert lines_of(*chunks) == lines_of(b"".join(chunks))
