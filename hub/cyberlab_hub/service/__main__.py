"""Runs the lab service: the API for users' servers, and registry tokens for devices, in one process.

    API              HTTP, on the users' network, port 8082 (also reached through the hub's proxy)
    registry tokens  TLS, on the devices' network, port 8444, one path

SIGTERM and SIGINT stop both within five seconds: streams end, running jobs are told to stop, and what does not
stop in time is marked as failed at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from functools import partial
from typing import Any

import uvicorn

from cyberlab_hub import settings as settings_module
from cyberlab_hub.errors import HubError
from cyberlab_hub.ingest.store import open_store
from cyberlab_hub.listeners import PARSER, Listener, keep_fresh, serve
from cyberlab_hub.service.app import create_app
from cyberlab_hub.service.catalogue import read_seed
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.hub import Hub
from cyberlab_hub.service.parts import Parts, assemble
from cyberlab_hub.service.registry_tokens import RegistryTokens, Signer, create_token_app
from cyberlab_hub.service.renewal import keep_certificates
from cyberlab_hub.service.usage import room
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.workshop import DockerWorkshop

API_PORT = 8082
TOKEN_PORT = 8444
DRAIN_SECONDS = 1
"""How long open answers may take to end when the service stops."""

log = logging.getLogger("cyberlab.service")


def listeners(settings: Settings, parts: Parts) -> tuple[Listener, Listener]:
    """The two servers, not started yet."""
    certs = settings.certs
    signer = Signer.load((certs / "token-signer.crt").read_bytes(), (certs / "token-signer.key").read_bytes())
    tokens = RegistryTokens(
        parts.auth,
        parts.credentials,
        signer,
        settings.secret("registry.lab"),
        parts.audit,
        partial(room, parts),
    )
    common: dict[str, Any] = {
        "http": PARSER,
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,  # `addresses.RealClient` knows whom to believe
        "timeout_graceful_shutdown": DRAIN_SECONDS,
    }
    api = uvicorn.Config(create_app(parts), host=settings.gateway("users"), port=API_PORT, **common)
    registry = uvicorn.Config(
        create_token_app(tokens),
        host=settings.gateway("devices"),
        port=TOKEN_PORT,
        ssl_certfile=str(certs / "lab.crt"),
        ssl_keyfile=str(certs / "lab.key"),
        lifespan="off",
        **common,
    )
    registry.load()
    if registry.ssl is not None:
        keep_fresh(registry.ssl, certs / "lab.crt", certs / "lab.key")
    return Listener(api), Listener(registry)


async def run(settings: Settings, parts: Parts) -> None:
    """Serve until a signal, or until one of the listeners ends."""
    log.info("lab service on %s, registry tokens on %s", settings.lab_url, settings.token_url)
    renewing = asyncio.create_task(keep_certificates(settings))
    # when its bell is closed streams end by themselves, so that the servers need not wait for them
    await serve(listeners(settings, parts), parts.jobs.bell.close)
    renewing.cancel()


def main() -> int:
    """Start with the settings of this machine. Returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for talkative in ("httpx", "alembic", "uvicorn.error"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    settings = settings_module.load()
    try:
        database = Database.open(settings.db_url)
        hub = Hub(settings.hub_api_url, lambda: settings.secret("hub-lab.token"))
        store = open_store(settings)
        parts = assemble(settings, database, DockerWorkshop(settings), store, hub, read_seed())
        asyncio.run(run(settings, parts))
        store.close()
        database.close()
    except (HubError, FileNotFoundError, ValueError) as error:
        log.error("the lab service cannot start: %s", error)  # noqa: TRY400 - a sentence for the operator, no traceback
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
