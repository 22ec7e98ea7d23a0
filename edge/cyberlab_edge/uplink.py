"""One kept-alive connection from a program to its device's agent, or over TLS to the ingest gateway itself.

The agent listens on the device's own bridge (``http://``), which nothing leaves; every other place needs ``https://``.
"""

from __future__ import annotations

import http.client
import json
import ssl
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cyberlab_edge.answers import Answer, Verdict
from cyberlab_edge.device import HERE

SECONDS = 10.0
"""Longest wait for a connection and for an answer."""
WAIT_MAX = 120
"""Longest wait in seconds that the gateway can ask for."""


class Uplink:
    """Sends batches. Not safe for several threads: the outbox has exactly one."""

    def __init__(self, gateway: str, *, device: str, token_file: str, ca_file: str) -> None:
        """`gateway` is ``https://host:port``, or the agent of this device.

        Raises:
            ValueError: the URL is not https. The token would travel in clear.
        """
        parts = urlsplit(gateway)
        self._tls = parts.scheme == "https"
        if not parts.hostname or not (self._tls or (parts.scheme == "http" and parts.hostname in HERE)):
            raise ValueError(f"CYBERLAB_GATEWAY must look like https://10.0.0.1:8443, not {gateway!r}")
        self._host, self._port = parts.hostname, parts.port or (443 if self._tls else 80)
        self._device = device
        self._token_file = Path(token_file)
        self._ca_file = ca_file
        self._token = ""
        self._connection: http.client.HTTPConnection | None = None

    def send(self, body: bytes) -> Answer:
        """Never raises for the network or a missing file: that is `LATER` with the reason."""
        try:
            self._token = self._token or self._token_file.read_text().strip()
            status, text, wait = self._post(body)
            if status == 401:
                # the token may have been renewed since it was read
                fresh = self._token_file.read_text().strip()
                if fresh != self._token:
                    self._token = fresh
                    status, text, wait = self._post(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self.close()
            return Answer(Verdict.LATER, f"{type(error).__name__}: {error}")
        return _answer(status, text, wait)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes) -> tuple[int, bytes, str | None]:
        kept = self._connection is not None
        try:
            return self._exchange(body)
        except (http.client.HTTPException, ConnectionError):
            self.close()
            if not kept:
                raise
        # a kept connection may have been closed by the other side; equal points are one point
        return self._exchange(body)

    def _opened(self) -> http.client.HTTPConnection:
        if not self._tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=SECONDS)
        context = ssl.create_default_context(cafile=self._ca_file)
        return http.client.HTTPSConnection(self._host, self._port, timeout=SECONDS, context=context)

    def _exchange(self, body: bytes) -> tuple[int, bytes, str | None]:
        if self._connection is None:
            self._connection = self._opened()
        self._connection.request(
            "POST",
            "/api/v1/write",
            body,
            {
                "Authorization": f"Bearer {self._token}",
                "X-Cyberlab-Device": self._device,
                "Content-Type": "text/plain; charset=utf-8",
            },
        )
        response = self._connection.getresponse()
        return response.status, response.read(), response.getheader("Retry-After")


def _answer(status: int, text: bytes, wait: str | None = None) -> Answer:
    content = _json(text)
    if status == 200:
        refused = content.get("refused")
        reasons = (
            [str(r.get("reason", "")) for r in refused if isinstance(r, dict)]
            if isinstance(refused, list)
            else []
        )
        return Answer(Verdict.TAKEN, refused=tuple(reasons))
    error = content.get("error")
    message = str(error.get("message", "")) if isinstance(error, dict) else ""
    reason = f"the gateway answered {status}: {message or text[:200].decode(errors='replace')}"
    if status == 413:
        return Answer(Verdict.SMALLER, reason)
    if status in (400, 422):
        return Answer(Verdict.NEVER, reason)
    # also 401, 403 and 404: an operator can mend these, and then nothing has been lost
    return Answer(Verdict.LATER, reason, wait=_seconds(wait))


def _seconds(text: str | None) -> float | None:
    """Retry-After in its form with seconds, within reason."""
    if text is None or not (text.isascii() and text.isdigit()):
        return None
    return float(min(int(text[:6]), WAIT_MAX))


def _json(text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
