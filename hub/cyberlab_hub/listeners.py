"""TLS listeners that take up a renewed certificate by themselves.

`up` renews the certificates of servers; the lab service and the gateway run on for months. At each new connection they
look whether the file has changed, and the next connection sees the new certificate.
"""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

log = logging.getLogger("cyberlab.listeners")


def keep_fresh(context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """Let the context of a running listener follow its files."""
    shown = _stamp(certificate)

    def look(_connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        nonlocal shown
        now = _stamp(certificate)
        if now == shown:
            return
        try:
            # tried on another context first: a half-written pair must not spoil the one in use
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            log.warning("the renewed certificate %s is not usable yet: %s", certificate.name, error)
            return
        shown = now

    # called at every handshake, also of clients that name no server
    context.sni_callback = look


def _stamp(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
