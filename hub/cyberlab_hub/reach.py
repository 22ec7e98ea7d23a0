"""How our own programs reach the lab's page: at the address it listens on, under the name that people use.

`anna.cyberlab.localhost` means this machine to a browser and nothing to the C library, and a machine behind a router
may not reach itself by its public name. So names of the lab are never looked up: the connection goes to
`Settings.connect_address`, while the Host header, the cookies and the name in the certificate are those of the URL.
"""

from __future__ import annotations

import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

import httpx

from cyberlab_hub.settings import Settings


def client(settings: Settings, local_address: str | None = None, **more: Any) -> httpx.Client:
    """An HTTP client whose relative addresses are the lab's page. `local_address`: where it calls from."""
    more.setdefault("base_url", settings.public_url)
    return httpx.Client(transport=Pinned(settings, local_address), trust_env=False, **more)


def open_socket(settings: Settings, url: str, seconds: float) -> socket.socket:
    """A connection for `url` (``ws://`` or ``wss://``), without TLS. Raises: OSError."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    address = settings.connect_address if ours(settings, host) else host
    return socket.create_connection((address, parts.port or (443 if parts.scheme == "wss" else 80)), seconds)


def trust(settings: Settings) -> ssl.SSLContext:
    """Trusts the machine's authorities, the lab's own, and the very certificate that the page was given."""
    context = ssl.create_default_context()
    authority, given = settings.certs / "ca.crt", settings.tls_files[0]
    if authority.exists():
        context.load_verify_locations(cafile=authority)
    if settings.tls_mode == "given" and given.exists():
        context.load_verify_locations(cafile=given)
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def ours(settings: Settings, host: str) -> bool:
    """Whether `host` is a name of this lab's page."""
    return host == settings.public_host or host.endswith(f".{settings.public_host}")


class Pinned(httpx.BaseTransport):
    """Connects to the lab's own address for every name of the lab."""

    def __init__(self, settings: Settings, local_address: str | None = None) -> None:
        self._settings = settings
        self._inner = httpx.HTTPTransport(
            verify=trust(settings), trust_env=False, local_address=local_address
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        if ours(self._settings, host):
            # a new request: the caller's own URL decides where its cookies and relative links belong
            request = httpx.Request(
                request.method,
                request.url.copy_with(host=self._settings.connect_address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": host},
            )
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()
