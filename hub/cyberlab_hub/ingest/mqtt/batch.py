"""Messages of one owner -> the database, and what has to be said about them.

A message is taken when the database has its good lines; that its bad ones were refused is told to who sent it, and
claims of another's identity to the audit.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cyberlab.wire import RefusedLine, Written

from cyberlab_hub.errors import NotSignedIn
from cyberlab_hub.ingest.intake import paced
from cyberlab_hub.ingest.lines import Batch
from cyberlab_hub.ingest.mqtt.logins import Login
from cyberlab_hub.ingest.mqtt.messages import Parsed, parse
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.refusals import Refusals
from cyberlab_hub.ingest.store import Store
from cyberlab_hub.service.mqtt_logins import refusals_of, topic_of

TOLD = 5
"""Refused lines that an answer names."""


@dataclass(frozen=True)
class Message:
    """One message as the broker passed it on."""

    number: int
    topic: str
    payload: bytes = field(repr=False)
    at_ns: int
    """When it came, for what does not say it."""


class Batches:
    """For one owner. Not for several threads."""

    def __init__(
        self,
        owner: str,
        logins: Callable[[], Mapping[str, Login]],
        store: Store,
        pace: Pace,
        refusals: Refusals,
        tell: Callable[[str, bytes], object],
    ) -> None:
        """`logins`: who may send now. `tell` publishes a text to a topic."""
        self._owner = owner
        self._logins = logins
        self._store = store
        self._pace = pace
        self._refusals = refusals
        self._tell = tell
        self._below = len(topic_of(owner)) + 1

    def parse(self, message: Message) -> tuple[Login | None, Parsed]:
        """The lines of a message, and whose they are: None when the user's token was withdrawn."""
        user, _, measurement = message.topic[self._below :].partition("/")
        login = self._logins().get(user)
        if login is None or login.owner != self._owner:
            return None, Parsed((), timed=True)
        return login, parse(measurement, message.payload, message.at_ns, login.sender.tags(login.device))

    def write(self, messages: Sequence[tuple[Login | None, Parsed]]) -> Iterator[list[int]]:
        """Write what is good, user by user; yields the places of those messages that have been dealt with.

        Those that were not yielded when it raises are to come again.

        Raises:
            PartDown: ``database-down``. OverQuota: ``quota-points``, ``quota-readings``.
        """
        users: dict[str, list[int]] = {}
        for place, (login, _) in enumerate(messages):
            users.setdefault(login.user if login else "", []).append(place)
        for user, places in users.items():
            if user:
                self._write([messages[place] for place in places])
            else:
                error = NotSignedIn("token-refused", "This token was withdrawn.")
                self._refusals.refused(error, None, "", "")
            yield places

    def _write(self, messages: Sequence[tuple[Login | None, Parsed]]) -> None:
        """All of one user."""
        login = messages[0][0]
        assert login is not None  # noqa: S101 - for mypy: `write` has looked
        starts: list[int] = []
        lines: list[bytes] = []
        for _, parsed in messages:
            starts.append(len(lines))
            lines += parsed.lines
        refused = [line for _, parsed in messages for line in parsed.refused]
        if lines:
            tags = login.sender.tags(login.device)
            written = paced(self._pace, self._store, self._owner, Batch(b"\n".join(lines)), tags)
            refused += [_in_message(line, starts) for line in written.refused]
        if refused:
            told = Written(written=0, refused=tuple(refused))
            self._refusals.claimed(told, login.sender, login.device, "")
            content = {
                "refused": len(refused),
                "lines": [{"line": line.line, "reason": line.reason} for line in refused[:TOLD]],
            }
            self._tell(refusals_of(self._owner, login.user), json.dumps(content).encode())


def _in_message(line: RefusedLine, starts: list[int]) -> RefusedLine:
    """`line` counts over all messages; its sender counts in one."""
    first = starts[bisect_right(starts, line.line - 1) - 1]
    return line.model_copy(update={"line": line.line - first})
