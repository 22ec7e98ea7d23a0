"""The event stream, however it is cut into pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from cyberlab.sse import Message, messages
from hypothesis import given
from hypothesis import strategies as st

TEXT = "a line\u2028with\u0085odd\x0bbreaks, ünïcode"
STREAM = (
    f"id: 1\nevent: log\ndata: {TEXT}\n\n: still here\n\n"
    "id: 2\r\nevent: log\r\ndata: one\r\ndata: two\r\n\r\n"
    "data: unnamed\n\nevent: end\ndata:{}\n\ndata: cut of"
).encode()
WANTED = [
    Message("log", TEXT, "1"),
    Message(),
    Message("log", "one\ntwo", "2"),
    Message("message", "unnamed", "2"),
    Message("end", "{}", "2"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_pieces_of_any_size_give_the_same_messages(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[a:b] for a, b in pairwise(edges)]
    assert list(messages(pieces)) == WANTED


def test_a_line_that_never_ends_is_refused() -> None:
    with pytest.raises(ValueError, match="does not end"):
        list(messages(b"x" * 1_000_000 for _ in range(10)))
