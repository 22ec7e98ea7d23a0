"""``python -m cyberlab_hub.ingest``: the gateway on the devices' network, over TLS, until SIGTERM.

A part of it (`app.CAMPUS`) is served at the addresses of ``CYBERLAB_CAMPUS`` too.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Literal

import uvicorn
import uvloop
from starlette.types import ASGIApp

from cyberlab_hub.campus import BROKER_PORT, CONNECTIONS, GATEWAY_PORT
from cyberlab_hub.errors import HubError
from cyberlab_hub.ingest.apart import set_apart
from cyberlab_hub.ingest.app import CAMPUS, create_app
from cyberlab_hub.ingest.mqtt.bridge import Bridge
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.refusals import Refusals
from cyberlab_hub.ingest.space import Space
from cyberlab_hub.ingest.store import open_store
from cyberlab_hub.ingest.tokens import Tokens
from cyberlab_hub.ingest.uplink import UPLINK_PORT, Uplinks
from cyberlab_hub.listeners import PARSER, Listener, keep_fresh
from cyberlab_hub.listeners import serve as serve_all
from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.audit_post import AuditPost
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.settings import Settings, load

_TRIM, _MMAP = -1, -3
"""``M_TRIM_THRESHOLD`` and ``M_MMAP_THRESHOLD`` of glibc's ``mallopt(3)``."""
_KEPT_BYTES = 1 << 25


def serve(
    settings: Settings,
    port: int = GATEWAY_PORT,
    host: str = "",
    uplink_port: int = UPLINK_PORT,
    mqtt_port: int = BROKER_PORT,
) -> None:
    """Serve until told to stop. `host` is the host's own address on the devices' network, if not given.

    Raises:
        PartDown: the lab's database cannot be opened. FileNotFoundError: a secret is missing.
    """
    _keep_memory()
    database = Database.open(settings.db_url, upgrade=False)
    post = AuditPost(lambda: Audit(database))
    try:
        quotas = Quotas(database)
        store, tokens = set_apart(open_store(settings), database), Tokens(database)
        space = Space(lambda owner: quotas.of(owner, "readings"), store.spaces)
        pace = Pace(lambda owner: quotas.of(owner, "points"), admit=space.admit)
        bridge: Bridge | None = None
        if settings.mqtt_folder.exists():  # set-up made a broker
            bridge = Bridge(settings, database, store, pace, post.put, mqtt_port)
        uplinks = Uplinks(store, tokens, pace, Refusals(post.put))
        host = host or settings.gateway("devices")
        app = create_app(store, tokens, pace, post.put, bridge.stop if bridge else lambda: None)
        outer = create_app(store, tokens, pace, post.put, served=CAMPUS)
        listeners = [
            _listener(settings, app, host, port, 2000),
            *(
                _listener(settings, outer, address, port, CONNECTIONS, lifespan="off")
                for address in settings.on_campus.addresses
            ),
        ]
        if bridge is not None:
            bridge.start()
        uvloop.run(_every_door(listeners, uplinks, settings, host, uplink_port))
    finally:
        post.close()
        database.close()


def _listener(
    settings: Settings,
    app: ASGIApp,
    host: str,
    port: int,
    connections: int,
    lifespan: Literal["auto", "off"] = "auto",
) -> Listener:
    certificate, key = settings.certs / "ingest.crt", settings.certs / "ingest.key"
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        lifespan=lifespan,
        ws="none",
        ssl_certfile=certificate,
        ssl_keyfile=str(key),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # devices come by themselves: nobody else says what their address is
        timeout_keep_alive=75,
        timeout_graceful_shutdown=5,
        limit_concurrency=connections,
        http=PARSER,
    )
    config.load()
    if config.ssl is not None:
        keep_fresh(config.ssl, certificate, key)
    return Listener(config)


async def _every_door(
    listeners: list[Listener], uplinks: Uplinks, settings: Settings, host: str, port: int
) -> None:
    async with uplinks.listening(settings, host, port):
        await serve_all(listeners)


def _keep_memory() -> None:
    """Keep what a batch needed for the next one.

    glibc gives large blocks back to the kernel at once and gets them again page by page: a fifth of a batch's time.
    """
    libc = ctypes.CDLL(None)
    libc.mallopt(_TRIM, 8 * _KEPT_BYTES)
    libc.mallopt(_MMAP, _KEPT_BYTES)


def main() -> int:
    try:
        serve(load())
    except (HubError, OSError, ValueError) as error:
        sys.stderr.write(f"The ingest gateway cannot start: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
