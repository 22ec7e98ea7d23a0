"""Which parts of the lab answer. Anybody may ask, so it is asked of the parts at most every two seconds."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import httpx
from anyio import to_thread
from cyberlab.wire import PartHealth
from sqlalchemy import text

from cyberlab_hub.errors import HubError
from cyberlab_hub.ingest.mqtt import probe
from cyberlab_hub.ingest.store import Store
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.hub import Hub
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.orders import Workshop

Part = Literal["engine", "swarm", "registry", "database", "lab", "ingest", "mqtt", "hub"]
REMEMBERED_SECONDS = 2.0
DEADLINE_SECONDS = 5.0


class Health:
    def __init__(
        self, settings: Settings, database: Database, workshop: Workshop, store: Store, hub: Hub
    ) -> None:
        self._settings = settings
        self._database = database
        self._workshop = workshop
        self._store = store
        self._hub = hub
        self._asking = asyncio.Lock()
        self._until = 0.0
        self._parts: tuple[PartHealth, ...] = ()

    async def parts(self) -> tuple[PartHealth, ...]:
        """Every part; one that does not answer within five seconds is down."""
        async with self._asking:
            if time.monotonic() >= self._until:
                asked = [
                    self._ask("database", lambda: to_thread.run_sync(self._store.ping)),
                    self._ask("lab", lambda: to_thread.run_sync(self._own_database)),
                    self._ask("ingest", self._ingest),
                    self._ask("hub", self._hub.version),
                ]
                if probe.is_set_up(self._settings):
                    asked.append(self._ask("mqtt", self._broker))
                workshop, others = await asyncio.gather(self._ask_workshop(), asyncio.gather(*asked))
                self._parts = (*workshop, *others)
                self._until = time.monotonic() + REMEMBERED_SECONDS
            return self._parts

    async def _ask_workshop(self) -> tuple[PartHealth, ...]:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await to_thread.run_sync(self._workshop.health, abandon_on_cancel=True)
        except TimeoutError:
            return (PartHealth(part="engine", ok=False, detail="no answer"),)
        except HubError as error:
            return (PartHealth(part="engine", ok=False, detail=error.message),)

    async def _ask(self, part: Part, question: Callable[[], Awaitable[str]]) -> PartHealth:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return PartHealth(part=part, ok=True, detail=await question())
        except TimeoutError:
            return PartHealth(part=part, ok=False, detail="no answer")
        except HubError as error:
            return PartHealth(part=part, ok=False, detail=error.message)

    def _own_database(self) -> str:
        with self._database.session() as session:
            session.execute(text("SELECT 1"))
        return self._database.engine.dialect.name

    async def _broker(self) -> str:
        version = await to_thread.run_sync(
            probe.ask, self._settings, DEADLINE_SECONDS - 1, abandon_on_cancel=True
        )
        return f"answers ({version})"

    async def _ingest(self) -> str:
        try:
            trust = ssl.create_default_context(cafile=str(self._settings.certs / "ca.crt"))
            async with httpx.AsyncClient(verify=trust, trust_env=False, timeout=DEADLINE_SECONDS) as client:
                answer = await client.get(f"{self._settings.ingest_url}/health")
        except (httpx.HTTPError, OSError) as error:
            raise HubError("ingest-down", f"no answer ({type(error).__name__})") from error
        if not answer.is_success:
            raise HubError("ingest-down", f"it answers {answer.status_code}")
        return "answers"
