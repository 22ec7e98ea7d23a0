"""``python -m cyberlab_hub.ingest``: the gateway on the devices' network, over TLS, until SIGTERM."""

from __future__ import annotations

import sys

import uvicorn

from cyberlab_hub.errors import HubError
from cyberlab_hub.ingest.app import create_app
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.store import open_store
from cyberlab_hub.ingest.tokens import Tokens
from cyberlab_hub.listeners import keep_fresh
from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.audit_post import AuditPost
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.settings import Settings, load

PORT = 8443


def serve(settings: Settings, port: int = PORT, host: str = "") -> None:
    """Serve until told to stop. `host` is the host's own address on the devices' network, if not given.

    Raises:
        PartDown: the lab's database cannot be opened. FileNotFoundError: a secret is missing.
    """
    database = Database.open(settings.db_url, upgrade=False)
    post = AuditPost(lambda: Audit(database))
    try:
        quotas = Quotas(database)
        pace = Pace(lambda owner: quotas.of(owner, "points"))
        app = create_app(open_store(settings), Tokens(database), pace, post.put)
        config = uvicorn.Config(
            app,
            host=host or settings.gateway("devices"),
            port=port,
            ssl_certfile=settings.certs / "ingest.crt",
            ssl_keyfile=str(settings.certs / "ingest.key"),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # devices come by themselves: nobody else says what their address is
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
            limit_concurrency=2000,
        )
        config.load()
        if config.ssl is not None:
            keep_fresh(config.ssl, settings.certs / "ingest.crt", settings.certs / "ingest.key")
        uvicorn.Server(config).run()
    finally:
        post.close()
        database.close()


def main() -> int:
    try:
        serve(load())
    except (HubError, OSError, ValueError) as error:
        sys.stderr.write(f"The ingest gateway cannot start: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
