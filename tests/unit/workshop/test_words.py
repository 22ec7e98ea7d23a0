"""Refusals and task errors in a student's words."""

from __future__ import annotations

import pytest
from cyberlab_hub.workshop.words import brief, engine_refusal, task_problem


@pytest.mark.parametrize(
    ("said", "code", "expected"),
    [
        ("no suitable node (insufficient resources on 1 node)", None, "not enough free memory"),
        (
            "no suitable node (host-mode port already in use on 1 node)",
            None,
            "already uses one of these ports",
        ),
        ("No such image: 10.77.0.3:5000/ann/x@sha256:00", None, "could not fetch the image"),
        ('exec: "nosuch": executable file not found in $PATH: unknown', 128, "no such program"),
        ("write /var/lib/docker: no space left on device", None, "disk is full"),
        ("", 127, "no such program"),
        ("", 137, "more memory"),
        ("", 3, "exit code 3"),
        ("", 0, "ended by itself"),
        ("a sentence nobody knows", None, "a sentence nobody knows"),
    ],
)
def test_task_problems(said: str, code: int | None, expected: str) -> None:
    assert expected in task_problem(said, code)


def test_an_unknown_refusal_is_passed_on() -> None:
    assert engine_refusal("something odd") == "The workshop engine refused: something odd"


def test_a_dockerfile_that_does_not_parse_names_its_line() -> None:
    assert engine_refusal("dockerfile parse error line 2: unknown instruction: BOGUS") == (
        "Line 2 of the Dockerfile is not understood: unknown instruction: BOGUS"
    )


def test_the_cause_of_a_foreign_error_holds_no_address() -> None:
    told = brief(OSError("HTTPSConnectionPool(host='10.0.0.9', port=1): [Errno 111] Connection refused"))
    assert told == "connection refused"
