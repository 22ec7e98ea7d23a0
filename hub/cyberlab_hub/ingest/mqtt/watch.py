"""What the broker says on its own topic, for the audit: whose queue was full."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from cyberlab.wire import AuditEntry

from cyberlab_hub.ingest.mqtt.link import Session
from cyberlab_hub.ingest.mqtt.logins import GATEWAY
from cyberlab_hub.ingest.mqtt.said import refusal

_FULL = re.compile(
    rf"\S{{1,30}}: Outgoing messages are being dropped for client {GATEWAY}\.(?P<owner>[^\s/]{{1,64}})\."
)


def entry_of(text: str) -> AuditEntry | None:
    """A line of the broker's log, as what the audit should know; None for every other."""
    found = _FULL.fullmatch(text)
    return None if found is None else refusal(found["owner"], "queue-full")


class Watch(Session):
    def __init__(self, *session: Any, note: Callable[[AuditEntry], object]) -> None:
        super().__init__(*session)
        self._note = note

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        entry = entry_of(message.payload.decode(errors="replace"))
        if entry is not None:
            self._note(entry)
        if message.qos:
            client.ack(message.mid, message.qos)
