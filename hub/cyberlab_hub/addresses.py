"""Where a request comes from, when it comes through the hub's proxy.

The proxy runs on this machine and adds the client's address to X-Forwarded-For. Only a peer on this machine is
believed: users' servers reach hub and lab service directly and may write there what they like. Which of the machine's
addresses the proxy's connections show depends on the engine's address translation, so each of them counts.
"""

from __future__ import annotations

from ipaddress import ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from cyberlab_hub.throttle import of_this_machine


def is_ours(address: str) -> bool:
    """Whether it is an address of this machine: then, and only then, something here can listen on it."""
    try:
        return of_this_machine(str(ip_address(address)))
    except ValueError:
        return False


def client_of(peer: str, forwarded: str) -> str:
    """The client's address, of the peer's and the header's.

    Only the header's last entry is our proxy's own; all before it is what the client claims.
    """
    if not is_ours(peer):
        return peer
    try:
        return str(ip_address(forwarded.rpartition(",")[2].strip()))
    except ValueError:
        return peer


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
