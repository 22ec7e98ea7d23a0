"""What engines and swarms say, in a student's words. (Failed builds have their own table, `build_words`.)

Each table is read from the top; the first rule that fits wins. A sentence of the engine that no rule knows is
passed on as it is: a strange sentence helps more than none.
"""

from __future__ import annotations

import re

NO_SPACE = "no space left on device"
KILLED = 137
"""Exit code of a process ended by SIGKILL: for us, nearly always the memory limit."""
NO_PROGRAM = 127
"""Exit code of a shell, or of the container's init, that did not find the program."""


_CAUSES: tuple[tuple[str, str], ...] = (
    ("connection refused", "connection refused"),
    ("timed out", "no answer in time"),
    ("no route to host", "no route to it"),
    ("certificate verify failed", "its certificate is not the lab's"),
    ("no such file", "a file is missing"),
    ("connection broken", "it went away in the middle"),
    ("prematurely", "it went away in the middle"),
    ("without response", "it went away in the middle"),
)


def brief(error: BaseException) -> str:
    """The cause of a foreign exception in a few words; never an address or a secret."""
    text = str(error).lower()
    return next((said for sign, said in _CAUSES if sign in text), type(error).__name__)


# ---------------------------------------------------------------- refusals of the engine
_REFUSALS: tuple[tuple[str, str], ...] = (
    (
        "swarm manager",
        "The workshop engine is not the manager of the swarm. The operator must run `make up` again.",
    ),
    (
        NO_SPACE,
        "The disk of the workshop engine is full. Delete images you no longer need, or tell the operator.",
    ),
    (
        "port is already allocated|port already in use",
        "Another program already listens on this port. Choose another.",
    ),
    (
        r"executable file not found|no such file or directory: unknown",
        "The image has no such program. Check the command.",
    ),
    (r"permission denied: unknown", "The command names a file that is not a program. Check the command."),
)


def engine_refusal(said: str) -> str:
    """A refusal of the engine's API as a sentence."""
    for pattern, sentence in _REFUSALS:
        if re.search(pattern, said, re.IGNORECASE):
            return sentence
    parse = re.search(r"dockerfile parse error(?: on)? line (\d+): (.*)", said)
    if parse:
        return f"Line {parse[1]} of the Dockerfile is not understood: {parse[2]}"
    return f"The workshop engine refused: {said}"


# ---------------------------------------------------------------- tasks
_TASKS: tuple[tuple[str, str], ...] = (
    (
        "insufficient resources",
        "it has not enough free memory or processor time; stop another deployment there",
    ),
    (
        "host-mode port already in use|port is already allocated",
        "another deployment already uses one of these ports there; choose another port or stop that one",
    ),
    ("unsupported platform", "the image is for another kind of processor"),
    (
        "No such image|manifest unknown|pull access denied|unauthorized",
        "it could not fetch the image from the registry; build the image again, then deploy again",
    ),
    (NO_SPACE, "its disk is full; tell the operator"),
    (
        "executable file not found|no such file or directory: unknown|exec format error",
        "the image has no such program as the command names; check the command",
    ),
    ("permission denied: unknown", "the command names a file that is not a program; check the command"),
    ("heartbeat failure", "it does not answer"),
)


def task_problem(said: str, exit_code: int | None) -> str:
    """Why a task does not run, as a clause after the device's name."""
    for pattern, sentence in _TASKS:
        if re.search(pattern, said, re.IGNORECASE):
            return sentence
    if exit_code == KILLED:
        return "the program was ended from outside; it probably needed more memory than a deployment may have"
    if exit_code == NO_PROGRAM:
        return "the image has no such program as the command names; check the command"
    if exit_code:
        return f"the program ended with exit code {exit_code}; its log says why"
    if exit_code == 0 or not said:
        return (
            "the program ended by itself; a deployment is meant to keep running, so put the work into a loop"
        )
    return said
