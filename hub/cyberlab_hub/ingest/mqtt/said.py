"""What the broker tells nobody but its log: a publish that was denied, a login that was refused, who subscribes to what
is another's -> the audit.

In MQTT 3.1.1 the client never learns that its message was dropped. So the broker's container hands these lines of the
log to a socket in the folder that both see (``spawner_images/mqtt/said.pl``). Beside what the broker writes itself,
they hold what strangers choose: so each is read by one strict form, whose user the broker has checked, and of the
rest only the beginning of the topic is kept, with nothing in it that steers a terminal.

Mosquitto grants every subscription and delivers nothing that its user may not read; it says neither. So what is asked
for is held against the one topic that a login may read.

For each login (or address) there is at most one entry a second, the rest is counted: the queue to the audit is short
and everybody's.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cyberlab.wire import AuditEntry

from cyberlab_hub.ingest.mqtt.logins import Login
from cyberlab_hub.ingest.refusals import Note, who
from cyberlab_hub.service.models import now
from cyberlab_hub.service.mqtt_logins import refusals_of

ACTION = "mqtt"
SOCKET = "said"
TOPIC_CHARS = 80
STRANGERS = 200
"""Addresses that are told apart within a second."""
WINDOW_SECONDS = 1.0
_LINE_BYTES = 4096
"""The broker's own lines have at most 1,000."""
_USER = r"(?P<user>[0-9a-f]{16}\.[A-Za-z0-9._-]{1,64})"
_LOST = re.compile(r"(?P<lost>\d{1,9}) (?P<lines>.*)", re.DOTALL)
_DENIED = re.compile(
    rf"Denied PUBLISH from {_USER} \(d[01], q[012], r[01], m\d{{1,5}}, '(?P<topic>.*?)(', \.\.\. \(\d+ bytes\)\))?",
    re.DOTALL,
)
_LISTENS = re.compile(
    rf"Received SUBSCRIBE from ({_USER}|gateway[^\n]*)\n\t(?P<topic>.*?)( \(QoS [012]\))?", re.DOTALL
)
# the broker has no name for it: so what the first line names is its address, and nothing that it said itself
_REFUSED = re.compile(
    r"Sending CONNACK to (?P<address>[0-9A-Fa-f.:]{2,45}) \(0, \d{1,3}\)\n"
    r"Client <unknown> disconnected, not authorised\."
)
_REFUSED_ANY = re.compile(r"(.*\n)?Client .* disconnected, not authorised\.", re.DOTALL)

log = logging.getLogger(__name__)


@dataclass
class _Window:
    """What one login or address did since the last entry."""

    over: float
    times: int = 0
    entry: AuditEntry | None = None


class Said:
    """Entries from the broker's lines. For one thread."""

    def __init__(
        self,
        logins: Callable[[], Mapping[str, Login]],
        note: Note,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logins = logins
        self._note = note
        self._clock = clock
        self._windows: dict[str, _Window] = {}

    def take(self, datagram: bytes) -> None:
        """One datagram of the container; what has no known form is logged and left."""
        parts = _LOST.fullmatch(datagram.decode(errors="replace"))
        if parts is None:
            log.warning("the MQTT broker's container said something unknown")
            return
        if lost := int(parts["lost"]):
            self._note(refusal("", "not-heard", times=lost))
        lines = parts["lines"]
        if denied := _DENIED.fullmatch(lines):
            self._denied(denied["user"], denied["topic"])
        elif listens := _LISTENS.fullmatch(lines):
            self._listens(listens["user"], listens["topic"])
        elif refused := _REFUSED.fullmatch(lines):
            self._refused(refused["address"])
        elif _REFUSED_ANY.fullmatch(lines):
            self._refused("")
        else:
            log.warning("a line of the MQTT broker has an unknown form")

    def tick(self) -> None:
        """Tell the counts of windows that are over."""
        at = self._clock()
        for key in [key for key, window in self._windows.items() if window.over <= at]:
            window = self._windows.pop(key)
            if window.entry is not None:
                self._note(window.entry.model_copy(update={"times": window.times}))

    def _denied(self, user: str, topic: str) -> None:
        login = self._logins().get(user)
        if login is None:  # withdrawn a moment ago, or a session of the gateway
            self._counted("", refusal("", "topic-denied"))
            return
        what = f"{who(login.sender)} on {login.device} to {shown(topic)}"
        self._counted(user, refusal(login.owner, "topic-denied", what))

    def _listens(self, user: str | None, topic: str) -> None:
        login = self._logins().get(user or "")
        if login is None or topic == refusals_of(login.owner, login.user):
            return  # a session of the gateway, or what it may read
        what = f"{who(login.sender)} on {login.device} listens to {shown(topic)}"
        self._counted(login.user, refusal(login.owner, "topic-denied", what))

    def _refused(self, address: str) -> None:
        try:
            address = str(ip_address(address)) if address else ""
        except ValueError:
            address = ""
        if len(self._windows) >= STRANGERS + len(self._logins()):
            address = ""
        self._counted(f"refused {address}", refusal("", "login-refused", address=address))

    def _counted(self, key: str, entry: AuditEntry) -> None:
        """The first at once, the others of the same second together."""
        self.tick()
        window = self._windows.get(key)
        if window is None:
            self._windows[key] = _Window(self._clock() + WINDOW_SECONDS)
            self._note(entry)
            return
        window.times += 1
        window.entry = entry


def shown(topic: str) -> str:
    """The beginning of a topic, in characters that print as themselves."""
    safe = "".join(c if c.isascii() and c.isprintable() else "?" for c in topic[:TOPIC_CHARS])
    return safe + ("..." if len(topic) > TOPIC_CHARS else "")


def refusal(owner: str, reason: str, what: str = "", *, address: str = "", times: int = 1) -> AuditEntry:
    """What the broker refused, for the audit."""
    return AuditEntry(
        at=now(),
        actor=owner,
        action=ACTION,
        object=what,
        allowed=False,
        reason=reason,
        address=address,
        times=times,
    )


class Ear:
    """The socket, in a thread of its own."""

    def __init__(self, folder: Path, said: Said) -> None:
        self._folder = folder
        self._said = said
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt said", daemon=True)

    def start(self) -> None:
        """Raises: OSError, when the folder is not there."""
        self._socket = bound(self._folder)
        self._socket.settimeout(WINDOW_SECONDS / 2)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def join(self) -> None:
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
            self._socket.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._said.take(self._socket.recv(_LINE_BYTES))
            except TimeoutError:
                pass
            except Exception:  # a mistake here must not make the lab deaf
                log.exception("a mistake while listening to the MQTT broker")
                self._stopping.wait(WINDOW_SECONDS)
            self._said.tick()


def bound(folder: Path) -> socket.socket:
    """The socket under its name. The one that was there before is replaced: its gateway has ended."""
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # by the folder's descriptor, because a socket's name has at most 107 bytes, however long the folder's is
        short = Path(f"/proc/self/fd/{descriptor}")
        scratch = short / f"{SOCKET}.new"
        scratch.unlink(missing_ok=True)
        heard.bind(str(scratch))
        # the broker's user is another; nobody else gets into the folder above
        scratch.chmod(0o666)
        scratch.replace(short / SOCKET)
    except OSError:
        heard.close()
        raise
    finally:
        os.close(descriptor)
    return heard
