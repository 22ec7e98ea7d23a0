"""What an answer to a batch of points means for who sent it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Verdict(Enum):
    TAKEN = "taken"
    """Written, except for the refused lines."""
    LATER = "later"
    """Nothing is lost: send the same lines again."""
    SMALLER = "smaller"
    """Send fewer lines at once."""
    NEVER = "never"
    """These lines can never be written."""


@dataclass(frozen=True)
class Answer:
    verdict: Verdict
    reason: str = ""
    refused: tuple[str, ...] = ()
    """Reasons of refused lines, with `TAKEN`."""
    wait: float | None = None
    """With `LATER`: seconds that the other side asks to wait."""
    lost: int = 0
    """Lines refused in all, which may be more than there are reasons."""
