"""Where a request comes from, when it comes through the hub's proxy.

The proxy runs on this machine and adds the client's address to X-Forwarded-For. Only a peer on this machine is
believed: users' servers reach hub and lab service directly and may write there what they like. Which of the machine's
addresses the proxy's connections show depends on the engine's address translation, so each of them counts.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


@lru_cache(maxsize=1_000)
def of_this_machine(address: str) -> bool:
    """Whether it is an address of this machine, as the proxy's is and a user server's is not."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def is_ours(address: str) -> bool:
    """Whether it is an address of this machine: then, and only then, something here can listen on it."""
    try:
        return of_this_machine(str(ip_address(address)))
    except ValueError:
        return False


def client_of(peer: str, forwarded: str, ours: Callable[[str], bool] = is_ours) -> str:
    """The client's address, of the peer's and the header's.

    Only our own proxy (`ours`) is believed, and of the header only its last entry, which is the proxy's own; all
    before it is what the client claims.
    """
    if not ours(peer):
        return peer
    try:
        return str(ip_address(forwarded.rpartition(",")[2].strip()))
    except ValueError:
        return peer


def caller_of(request: Any) -> str:
    """Where a request to the hub comes from. (Tornado's `remote_ip` believes X-Forwarded-For whoever sends it.)"""
    context = getattr(request.connection, "context", None)
    peer = str(getattr(context, "_orig_remote_ip", "") or request.remote_ip)
    return client_of(peer, ",".join(request.headers.get_list("X-Forwarded-For")))


class RealClient:
    """ASGI middleware: `scope["client"]` and the scheme are those at the proxy's front."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        peer = scope.get("client")
        if scope["type"] == "http" and peer and is_ours(peer[0]):
            forwarded = [
                value.decode("latin-1") for name, value in scope["headers"] if name == b"x-forwarded-for"
            ]
            scheme = [value for name, value in scope["headers"] if name == b"x-forwarded-proto"]
            scope = {**scope, "client": (client_of(peer[0], ",".join(forwarded)), peer[1])}
            if scheme and scheme[-1] in (b"http", b"https"):
                scope["scheme"] = scheme[-1].decode()
        await self._app(scope, receive, send)
