"""What the broker itself says, for the audit: who was not let in, and whose queue was full."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from cyberlab.wire import AuditEntry

from cyberlab_hub.ingest.mqtt.link import Session
from cyberlab_hub.ingest.mqtt.logins import GATEWAY
from cyberlab_hub.service.models import now

ACTION = "mqtt"
_REFUSED = re.compile(r"Client (?P<who>.*) disconnected, not authorised\.")
_FULL = re.compile(rf"Outgoing messages are being dropped for client {GATEWAY}\.(?P<owner>.*)\.")


def entry_of(text: str) -> AuditEntry | None:
    """A line of the broker's log, as what the audit should know; None for every other."""
    if _REFUSED.search(text):
        return _entry("", "login-refused")
    if found := _FULL.search(text):
        return _entry(found["owner"], "queue-full")
    return None


def _entry(owner: str, reason: str) -> AuditEntry:
    return AuditEntry(at=now(), actor=owner, action=ACTION, object="", allowed=False, reason=reason)


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
