"""One owner's session at the broker, in a thread of its own.

The broker passes on a bounded number of messages and keeps the rest until these are acknowledged, which happens when
the database has them. A reading is therefore never only in this process.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from itertools import islice
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from cyberlab_hub.errors import HubError, OverQuota
from cyberlab_hub.ingest.mqtt.batch import Batches, Message
from cyberlab_hub.ingest.mqtt.times import Times

KEEPALIVE = 30
BATCH = 500
"""Messages written at once; the broker passes on no more than twice that."""
AGAIN_SECONDS = (0.5, 1.0, 2.0, 5.0)
"""Between attempts, at the broker and at the database."""

log = logging.getLogger(__name__)


class Session:
    """A client of the broker that comes again and again, until it is told to stop."""

    def __init__(
        self, user: str, topic: str, address: tuple[str, int], secret: str, trust: ssl.SSLContext
    ) -> None:
        self._topic = topic
        self._address = address
        self._stopping = threading.Event()
        self._attempts = 0
        """Since it was well."""
        self.subscribed = threading.Event()
        """The broker keeps what is published from now on, also while nobody is connected."""
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=user, clean_session=False, manual_ack=True
        )
        self._client.username_pw_set(user, secret)
        self._client.tls_set_context(trust)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._thread = threading.Thread(target=self._run, name=f"mqtt {user}", daemon=True)

    @property
    def started(self) -> bool:
        return self._thread.ident is not None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ask it to stop; what is not acknowledged stays with the broker."""
        self._stopping.set()

    def join(self) -> None:
        if self.started:
            self._thread.join(timeout=10)

    # ------------------------------------------------------------ the thread
    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._client.connect(*self._address, keepalive=KEEPALIVE)
                self._stay()
            except (OSError, ValueError) as error:
                self._failure("the MQTT broker cannot be reached: %s", error)
            except Exception:  # a mistake here must not end a way in for good
                log.exception("a session at the MQTT broker ended by a mistake")
            self._gone()
            self._stopping.wait(AGAIN_SECONDS[min(self._attempts, len(AGAIN_SECONDS) - 1)])
            self._attempts += 1
        self._client.disconnect()

    def _failure(self, words: str, *about: object) -> None:
        """Said once, not with every attempt."""
        if self._attempts == 0:
            log.warning(words, *about)

    def _stay(self) -> None:
        """As long as the connection holds."""
        while not self._stopping.is_set() and self._turn(0.5):
            self._work()

    def _turn(self, seconds: float) -> bool:
        """Read and write what is there, waiting `seconds` for it at most. Whether the connection holds."""
        return self._client.loop(timeout=seconds) == paho.MQTT_ERR_SUCCESS

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        if code.is_failure:
            self._failure("the MQTT broker refuses %s: %s", self._topic, code)
            return
        client.subscribe(self._topic, qos=1)

    def _on_subscribe(self, _client: paho.Client, _data: Any, _number: int, codes: Any, _more: Any) -> None:
        if any(code.is_failure for code in codes):
            log.warning("the MQTT broker refuses the gateway's subscription to %s", self._topic)
            return
        self.subscribed.set()
        self._attempts = 0

    # ------------------------------------------------------------ for those that are made of it
    def _on_message(self, client: paho.Client, data: Any, message: paho.MQTTMessage) -> None:
        raise NotImplementedError

    def _work(self) -> None:
        """After each turn."""

    def _gone(self) -> None:
        """The connection is over."""


class Link(Session):
    """What is an owner's, into the database."""

    def __init__(self, *session: Any, times: Path) -> None:
        """The arguments of `Session`, then the file of `Times`. `batches` is to be set before the start."""
        super().__init__(*session)
        self.batches: Batches
        self._times = Times(times)
        self._waiting: dict[int, Message] = {}
        """By the broker's number, in the order in which they came."""
        self._not_before = 0.0
        self._failed = 0

    def tell(self, topic: str, text: bytes) -> None:
        """Publish, for who listens at this moment."""
        self._client.publish(topic, text, qos=0)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        payload = bytes(message.payload)
        content = message.topic.encode() + b"\0" + payload
        at = self._times.of(message.mid, content, again=message.dup)
        self._waiting[message.mid] = Message(message.mid, message.topic, payload, at)

    def _gone(self) -> None:
        self._waiting.clear()  # the broker sends them again

    def _stay(self) -> None:
        while not self._stopping.is_set() and self._turn(0.5) and self._drained():
            self._work()

    def _drained(self) -> bool:
        """Take what has come already: the client reads one message a turn, and one write for each would be slow."""
        holds, before = True, -1
        while holds and before < len(self._waiting) < BATCH:
            before = len(self._waiting)
            holds = self._turn(0)
        return holds

    def _work(self) -> None:
        if not self._waiting or time.monotonic() < self._not_before:
            return
        batch = list(islice(self._waiting.values(), BATCH))
        parsed = [self.batches.parse(message) for message in batch]
        for message, (_, lines) in zip(batch, parsed, strict=True):
            if lines.timed:
                self._times.said(message.number)
        try:
            self._times.save()
            for places in self.batches.write(parsed):
                self._acknowledge([batch[place].number for place in places])
        except OverQuota as error:
            self._not_before = time.monotonic() + min(error.retry_after or 1.0, AGAIN_SECONDS[-1])
        except (HubError, OSError) as error:
            self._not_before = time.monotonic() + AGAIN_SECONDS[min(self._failed, len(AGAIN_SECONDS) - 1)]
            self._failed += 1
            log.warning("%s messages wait at the MQTT broker: %s", len(self._waiting), error)
        else:
            self._failed = 0

    def _acknowledge(self, numbers: list[int]) -> None:
        for number in numbers:
            del self._waiting[number]
            self._times.forget(number)
            self._client.ack(number, 1)
