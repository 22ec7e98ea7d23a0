"""The gateway's side of the broker: a session for each owner who has something that may publish, and its two files."""

from __future__ import annotations

import logging
import ssl
import threading
from collections.abc import Mapping
from pathlib import Path

from cyberlab_hub.campus import BROKER_PORT
from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest.mqtt.batch import Batches
from cyberlab_hub.ingest.mqtt.link import Link, Session
from cyberlab_hub.ingest.mqtt.logins import GATEWAY, LOG, Files, Login, read_logins, session_of
from cyberlab_hub.ingest.mqtt.said import Ear, Said
from cyberlab_hub.ingest.mqtt.watch import Watch
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.refusals import Note, Refusals
from cyberlab_hub.ingest.store import Store
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.mqtt_logins import topic_of
from cyberlab_hub.settings import Settings

LOOK_SECONDS = 2.0
"""How often the tokens are looked at: how long a withdrawn one lives on, together with the broker's own look."""
SECRET = "mqtt.gateway"  # noqa: S105 - the file's name

log = logging.getLogger(__name__)


class Bridge:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        pace: Pace,
        note: Note,
        port: int = BROKER_PORT,
    ) -> None:
        """
        Raises:
            FileNotFoundError: set-up has not made the secret yet.
        """
        self._database = database
        self._store = store
        self._pace = pace
        self._note = note
        self._folder = settings.mqtt_folder
        self._secret = settings.secret(SECRET)
        self._files = Files(self._folder / "logins", self._secret)
        self._address = (settings.mqtt_address, port)
        self._trust = ssl.create_default_context(cafile=str(settings.certs / "ca.crt"))
        self._logins: Mapping[str, Login] = {}
        self._links: dict[str, Link] = {}
        self._ready = self._files.ready()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mqtt", daemon=True)
        self._watch = Watch(*self._session(GATEWAY, LOG), note=note)
        self._ear = Ear(self._folder / "logins", Said(lambda: self._logins, note))

    def start(self) -> None:
        self._ear.start()
        self._thread.start()
        self._watch.start()

    def stop(self) -> None:
        """What is not in the database stays with the broker."""
        self._stopping.set()
        self._thread.join(timeout=10)
        sessions: list[Session | Ear] = [self._ear, self._watch, *self._links.values()]
        for session in sessions:
            session.stop()
        for session in sessions:
            session.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._look()
            except PartDown as error:
                log.warning("the tokens cannot be read (%s): as before", error)
            except Exception:  # a mistake here must not end the way in for good
                log.exception("a mistake while looking at the tokens")
            self._stopping.wait(LOOK_SECONDS)

    def _look(self) -> None:
        self._logins = read_logins(self._database)
        owners = {login.owner for login in self._logins.values()}
        for link in self._links.values():
            if not link.started:  # by now the broker has read that it may come
                link.start()
        # once there, a session stays: what is queued in it must still be taken, or refused with its reason
        for owner in owners - set(self._links):
            self._links[owner] = self._link(owner)
        self._ready |= {owner for owner, link in self._links.items() if link.subscribed.is_set()}
        self._files.write(self._logins.values(), self._links, self._ready)

    def _link(self, owner: str) -> Link:
        link = Link(
            *self._session(session_of(owner), f"{topic_of(owner)}/#"), times=self._folder / f"{owner}.json"
        )
        link.batches = Batches(
            owner, lambda: self._logins, self._store, self._pace, Refusals(self._note), link.tell
        )
        return link

    def _session(self, user: str, topic: str) -> tuple[str, str, tuple[str, int], str, ssl.SSLContext]:
        return user, topic, self._address, self._secret, self._trust


def prepare(folder: Path, secret: str) -> None:
    """The broker's files with nobody but the gateway in them, for its first start."""
    (folder / "logins").mkdir(parents=True, exist_ok=True)
    Files(folder / "logins", secret).write((), (), ())
