"""The one place where the client speaks HTTP, and where foreign exceptions become `cyberlab.errors`.

One connection pool for a `Lab`. Traffic to the lab never goes through a proxy of the environment: user
servers have one for packages, and the lab is next door. Every request has a time-out; a connection that
could not be made is tried again for a second, because then nothing was sent yet.
The token is a `Token`, which shows it nowhere. One that comes from a file is read for each request: the lab renews
it while the server runs.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import TypeAdapter, ValidationError

from cyberlab.errors import LabError, NotSignedIn, Unreachable, from_answer
from cyberlab.wire import API, ErrorBody, ErrorInfo

T = TypeVar("T")

_JSON = "application/json"
_TIMEOUT = httpx.Timeout(30, connect=5, pool=10)
_KEEPALIVE_SECONDS = 4.0
"""Under uvicorn's 5 s: a connection that the service is about to close is not used again."""
_CONNECT_RETRIES = 2


class Token(httpx.Auth):
    """Puts the token on each request: a text, or what is in a file at that moment."""

    def __init__(self, text: str = "", file: str = "") -> None:
        self._text = text
        self._file = file

    def read(self) -> str:
        """The token as it is now.

        Raises:
            NotSignedIn: ``token-missing`` or ``token-invalid``.
        """
        token = self._text
        if self._file:
            try:
                token = Path(self._file).read_text().strip()
            except (OSError, ValueError) as error:
                raise NotSignedIn(
                    "token-missing",
                    f"The lab's token cannot be read from {self._file}. Restart your server from the hub's "
                    "control panel to get a new one.",
                ) from error
        if not token:
            raise NotSignedIn(
                "token-missing",
                "I have no token to show the lab: neither CYBERLAB_TOKEN_FILE nor CYBERLAB_TOKEN is set. In "
                "JupyterLab it is set for you (restart your server from the hub's control panel); for a script "
                "ask the operator for one (cyberlab-hub token --user NAME).",
            )
        if not re.fullmatch(r"[\x21-\x7e]+", token):  # a library's complaint about the header would quote it
            raise NotSignedIn(
                "token-invalid", "The token has spaces, a line end or other stray characters in it."
            )
        return token

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.read()}"
        yield request


def settings(url: str | None, token: str | None) -> tuple[str, Token]:
    """The address of the API and the token: as given, else from the environment.

    That is ``CYBERLAB_URL``, and ``CYBERLAB_TOKEN`` or ``CYBERLAB_TOKEN_FILE``.

    A URL without a path, such as ``http://lab.example.org:8000``, gets the API's path.

    Raises:
        Unreachable: ``url-missing`` or ``url-invalid``.
        NotSignedIn: ``token-missing``.
    """
    url = url or os.environ.get("CYBERLAB_URL", "")
    token = token or os.environ.get("CYBERLAB_TOKEN", "")
    shown = Token(text=token) if token else Token(file=os.environ.get("CYBERLAB_TOKEN_FILE", ""))
    if not url:
        raise Unreachable(
            "url-missing",
            "I do not know where the lab is: CYBERLAB_URL is not set. In JupyterLab it is set for you "
            "(restart your server from the hub's control panel); elsewhere give it: Lab(url=..., token=...).",
        )
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise Unreachable("url-invalid", f"The lab's address {url!r} is not a URL: {error}.") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise Unreachable(
            "url-invalid", f"The lab's address {url!r} should look like http://lab.example.org:8000."
        )
    shown.read()  # so that what is wrong is said here, not at the first request
    path = API if parsed.path in ("", "/") else parsed.path.rstrip("/")
    return str(parsed.copy_with(path=path, userinfo=b"", query=None, fragment=None)), shown


class Transport:
    """Requests to the lab service, decoded. Every call raises `LabError` and its children only."""

    def __init__(self, url: str, token: Token, transport: httpx.BaseTransport | None = None) -> None:
        """`transport` replaces the network, for tests."""
        self.url = url
        # https is checked against the authorities of the system and SSL_CERT_FILE; plain http needs none
        secure = url.startswith("https:")
        tls = ssl.create_default_context() if secure else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._http = httpx.Client(
            base_url=url,
            headers={"User-Agent": "cyberlab"},
            auth=token,
            timeout=_TIMEOUT,
            trust_env=False,
            transport=transport
            or httpx.HTTPTransport(
                verify=tls,
                trust_env=False,
                retries=_CONNECT_RETRIES,
                limits=httpx.Limits(keepalive_expiry=_KEEPALIVE_SECONDS),
            ),
        )

    def __repr__(self) -> str:
        return f"Transport({self.url!r})"

    def close(self) -> None:
        self._http.close()

    # ------------------------------------------------------------ one answer
    def get(self, path: str, kind: type[T], params: Mapping[str, Any] | None = None) -> T:
        """GET, decoded as `kind` (a model, or a tuple of models)."""
        return decoded(kind, self._send("GET", path, params=params).content)

    def post(
        self, path: str, kind: type[T], body: bytes = b"", *, mime: str = _JSON, timeout: float = 30
    ) -> T:
        """POST `body`, decoded as `kind`. `timeout`: seconds without a byte of the answer."""
        return decoded(kind, self._send("POST", path, body=body, mime=mime, timeout=timeout).content)

    def put(self, path: str, kind: type[T], body: bytes = b"", params: Mapping[str, Any] | None = None) -> T:
        return decoded(kind, self._send("PUT", path, body=body, params=params).content)

    def delete(self, path: str) -> None:
        self._send("DELETE", path)

    def _send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        body: bytes = b"",
        mime: str = _JSON,
        timeout: float = 30,
    ) -> httpx.Response:
        with self._translated():
            response = self._http.request(
                method,
                path,
                params={k: v for k, v in (params or {}).items() if v is not None},
                content=body or None,
                headers={"Content-Type": mime} if body else {},
                timeout=httpx.Timeout(timeout, connect=5, pool=10),
            )
        self._check(response)
        return response

    # ------------------------------------------------------------ a stream
    @contextmanager
    def stream(
        self,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        silence: float = 60,
    ) -> Iterator[httpx.Response]:
        """A GET whose body is read piece by piece inside the ``with``. `silence`: seconds without a byte
        after which the connection counts as lost.

        Raises:
            Unreachable: also when the connection breaks while the caller reads.
        """
        timeout = httpx.Timeout(silence, connect=5, pool=10)
        with (
            self._translated(),
            self._http.stream("GET", path, params=params, headers=headers, timeout=timeout) as response,
        ):
            if not response.is_success:
                response.read()
            self._check(response)
            yield response

    # ------------------------------------------------------------ translation
    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectTimeout as error:
            raise self._unreachable("does not answer") from error
        except httpx.TimeoutException as error:
            raise self._unreachable("was reached but did not answer in time") from error
        except httpx.ConnectError as error:
            raise self._unreachable(f"does not answer ({error})") from error
        except httpx.HTTPError as error:
            raise self._unreachable(f"broke the connection ({error or type(error).__name__})") from error

    def _unreachable(self, what: str) -> Unreachable:
        return Unreachable(
            "lab-unreachable",
            f"The lab at {self.url} {what}. It may be restarting: try again in a minute. If it stays away, "
            "tell the operator (`cyberlab-hub status` shows which part is down); outside of JupyterLab also "
            "check CYBERLAB_URL. Whatever already runs in the lab goes on.",
        )

    def _check(self, response: httpx.Response) -> None:
        if response.is_success:
            return
        try:
            info = ErrorBody.model_validate_json(response.content).error
        except ValidationError:
            # the body is no error of ours: say what its status means, without pydantic's words
            raise self._foreign(response.status_code) from None
        raise from_answer(response.status_code, info)

    def _foreign(self, status: int) -> LabError:
        """An answer that is not from the lab service: a proxy's page, another program's 404."""
        if status in (502, 503, 504):
            return self._unreachable("is not running behind its proxy")
        if status in (401, 403):
            return NotSignedIn(
                "token-refused", "The lab refused the token: restart your server for a new one."
            )
        if status == 500:
            return LabError("internal", "The lab made a mistake of its own. Tell the operator what you did.")
        return from_answer(
            status,
            ErrorInfo(
                code="address-wrong",
                message=f"Something answers at {self.url}, but it is not this lab's API (HTTP {status}). "
                f"Check CYBERLAB_URL; it should end in {API}.",
            ),
        )


def decoded(kind: type[T], text: bytes | str) -> T:
    """JSON of the lab as a model, or a tuple of models."""
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        raise LabError(
            "answer-unreadable",
            "The lab's answer is not what this client expects; lab and client are probably of different "
            f"versions: restart your server for the matching one. ({error.error_count()} fields differ)",
        ) from error


def path_of(*parts: str) -> str:
    """``/images/greenhouse/3``, with whatever a user typed kept inside its own part."""
    return "".join(f"/{quote(part, safe='')}" for part in parts)
