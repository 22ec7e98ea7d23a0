"""The workshop engine over mTLS, in one of its clients' roles. The only module that imports docker.

Calls name the Engine API's own paths and JSON: docker-py's high-level calls know only a few of the builder's limits
and wipe what they do not know of a service. What docker-py gives is the connection, TLS and unix sockets included.

Everything that goes wrong leaves as a `HubError`:

    engine does not answer           PartDown  engine-down
    this engine is no swarm manager  PartDown  swarm-down
    404                              NotFound  engine-not-found
    409                              Conflict  engine-conflict
    any other refusal                WorkFailed engine-refused (full disk: disk-full; the warden's are among them)
"""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import requests
from docker import APIClient
from docker.errors import DockerException
from docker.tls import TLSConfig
from docker.types import CancellableStream
from urllib3.exceptions import HTTPError

from cyberlab_hub import certs
from cyberlab_hub.errors import Conflict, HubError, NotFound, PartDown, WorkFailed
from cyberlab_hub.workshop import words

CALL_SECONDS = 30
CONNECT_SECONDS = 4.0
"""A slow engine is given its time to answer, but not to be found."""
MESSAGE_BYTES = 4 * 2**20
"""Of one line of JSON; what programs print comes in pieces of some 32 KB."""
NEWEST_API = (1, 44)
"""The newest version of the Engine API that this code was written against."""

Params = Mapping[str, str | int]


class Engine:
    """One Docker engine, asked in one role. Threads may share it."""

    def __init__(self, url: str, folder: Path, role: certs.Role) -> None:
        """`url`: ``tcp://host:2376`` or ``unix:///path``; `folder`: where ca.crt and the role's certificate are."""
        self._url = url
        self._authority = folder / "ca.crt"
        self._certificate = certs.client_file(folder, role)
        self._lock = threading.Lock()
        self._session: APIClient | None = None
        self._prefix = ""
        self._shown = 0

    # ------------------------------------------------------------ calls
    def call(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = CALL_SECONDS,
    ) -> Any:
        """One question, one JSON answer (None when it is empty).

        Raises:
            HubError: as the module says.
        """
        response = self._send(
            method, path, params, json.dumps(body) if body is not None else None, headers, seconds
        )
        with response:
            return response.json() if response.content.strip() else None

    def raw(self, method: str, path: str, *, params: Params | None = None) -> bytes:
        """One question, one answer as bytes."""
        with self._send(method, path, params, None, None, CALL_SECONDS) as response:
            return response.content

    def stream(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: object = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Stream:
        """An answer that takes its time. No read time-out: whoever reads keeps the clock and closes."""
        sent = json.dumps(body) if body is not None else data
        return Stream(self._send(method, path, params, sent, headers, None, stream=True), self)

    def close(self) -> None:
        """Close kept connections; the next call opens new ones."""
        with self._lock:
            if self._session is not None:
                self._session.close()
            self._session = None

    def exists(self, path: str) -> bool:
        try:
            self.call("GET", path)
        except NotFound:
            return False
        return True

    # ------------------------------------------------------------ connection
    def _send(
        self,
        method: str,
        path: str,
        params: Params | None,
        data: str | bytes | None,
        headers: Mapping[str, str] | None,
        seconds: float | None,
        stream: bool = False,
    ) -> requests.Response:
        session, prefix = self._connection()
        limits = (CONNECT_SECONDS, seconds)
        if method == "POST" and data is None:
            # the engine's warden wants to see that a POST says no more than its parameters
            data = "{}"
        kind = "application/json" if isinstance(data, str) else "application/x-tar"
        try:
            response = session.request(
                method,
                f"{session.base_url}{prefix}{path}",
                params=dict(params or {}),
                data=data,
                headers={"Content-Type": kind, **(headers or {})},
                timeout=limits,
                stream=stream,
            )
        except (requests.RequestException, HTTPError, OSError) as error:
            raise self.gone(error) from error
        if response.status_code >= 400:
            with response:
                raise _refusal(response)
        return response

    def _connection(self) -> tuple[APIClient, str]:
        with self._lock:
            stamp = self._stamp()
            if self._session is not None and stamp != self._shown:
                # the certificate was renewed: kept connections still show the old one. Those in use go on to their end
                self._session.close()
                self._session = None
            if self._session is None:
                self._session, self._prefix = self._connect()
                self._shown = stamp
            return self._session, self._prefix

    def _stamp(self) -> int:
        """Changes with the certificate; 0 without one."""
        return self._certificate.stat().st_mtime_ns if self._certificate.exists() else 0

    def _connect(self) -> tuple[APIClient, str]:
        try:
            session = APIClient(base_url=self._url, version="1.41", tls=self._tls())
            # REQUESTS_CA_BUNDLE and proxies of the environment are for packages, not for the lab's own engine
            session.trust_env = False
            answer = session.get(f"{session.base_url}/version", timeout=CONNECT_SECONDS)
            version = min(NEWEST_API, _numbers(answer.json()["ApiVersion"]))
        except (
            requests.RequestException,
            DockerException,
            HTTPError,
            OSError,
            ValueError,
            KeyError,
        ) as error:
            raise self.gone(error) from error
        return session, f"/v{version[0]}.{version[1]}"

    def _tls(self) -> TLSConfig | bool:
        if not self._url.startswith(("tcp://", "https://")):
            return False
        both = str(self._certificate)
        return TLSConfig(client_cert=(both, both), ca_cert=str(self._authority), verify=True)

    def gone(self, error: Exception) -> PartDown:
        """The error for an engine that does not answer."""
        return PartDown(
            "engine-down",
            f"The workshop engine does not answer at {self._url} ({words.brief(error)}). "
            "Builds, trials and deployments wait until the operator has started it again (`make up`).",
        )


class Stream:
    """Chunks of a long answer; `close` may be called from any thread and ends the reading at once."""

    def __init__(self, response: requests.Response, engine: Engine) -> None:
        self._response = response
        self._engine = engine
        self.closed = False

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()
        self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        """Raises PartDown (``engine-down``) when the engine goes away in the middle."""
        try:
            yield from self._response.iter_content(chunk_size=None)
        except (requests.RequestException, HTTPError, OSError, ValueError, AttributeError) as error:
            # a socket closed under a reader fails in many ways; it was us, or the engine is gone
            if not self.closed:
                raise self._engine.gone(error) from error

    def messages(self) -> Iterator[dict[str, Any]]:
        """The stream as JSON objects, one a line (builds, pushes, pulls)."""
        rest = b""
        for chunk in self:
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > MESSAGE_BYTES:
                raise WorkFailed("engine-refused", "The workshop engine said more at once than is possible.")
            yield from (json.loads(line) for line in lines if line.strip())
        if rest.strip() and not self.closed:
            yield json.loads(rest)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """The stream as (1 stdout | 2 stderr | 3 the engine, bytes): what programs without a terminal print."""
        rest = b""
        for chunk in self:
            rest += chunk
            while len(rest) >= 8 and len(rest) >= 8 + (size := int.from_bytes(rest[4:8], "big")):
                yield rest[0], rest[8 : 8 + size]
                rest = rest[8 + size :]

    def close(self) -> None:
        self.closed = True
        # AttributeError, OSError: already read to its end, or closed twice
        with suppress(AttributeError, OSError, DockerException):
            CancellableStream(iter(()), self._response).close()


def registry_auth(user: str, password: str, address: str) -> dict[str, str]:
    """The header with which an engine pulls and pushes on somebody's behalf."""
    account = json.dumps({"username": user, "password": password, "serveraddress": address})
    return {"X-Registry-Auth": base64.urlsafe_b64encode(account.encode()).decode()}


def filters(**wanted: str | list[str]) -> dict[str, str]:
    """The ``filters`` parameter of the API's lists; ``_`` in a name stands for ``-``."""
    lists = {
        key.replace("_", "-"): [value] if isinstance(value, str) else value for key, value in wanted.items()
    }
    return {"filters": json.dumps(lists)}


def _numbers(version: str) -> tuple[int, int]:
    major, minor = version.split(".")
    return int(major), int(minor)


def _refusal(response: requests.Response) -> HubError:
    try:
        said = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        said = response.text.strip()[:500]
    message = words.engine_refusal(said)
    if response.status_code == 503 or "swarm manager" in said:
        return PartDown("swarm-down", message)
    if response.status_code == 404:
        return NotFound("engine-not-found", message)
    if response.status_code == 409 or "out of sequence" in said:
        return Conflict("engine-conflict", message)
    if words.NO_SPACE in said.lower():
        return WorkFailed("disk-full", message)
    return WorkFailed("engine-refused", message)
