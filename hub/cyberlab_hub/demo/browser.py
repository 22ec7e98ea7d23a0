"""What a browser does, over HTTP: sign in, start the server, open a kernel, read and write files.

Nothing here has a right that a person at the sign-in page lacks: a name and a password go in, cookies and XSRF
tokens come back and are sent as a browser sends them. The system tests use it too.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import httpx
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from cyberlab_hub import reach
from cyberlab_hub.errors import NotFound, PartDown, WorkFailed
from cyberlab_hub.settings import Settings

SIGN_IN_SECONDS = 30.0
START_SECONDS = 240.0
CALL_SECONDS = 30.0

Tell = Callable[[str], None]


class Browser:
    """One signed-in person. Use it as a context manager.

    Raises:
        PartDown: ``hub-down``: the hub, or the user's server, does not answer.
        WorkFailed: ``sign-in-failed``, ``server-failed``: with the page's own words.
    """

    def __init__(self, settings: Settings, local_address: str | None = None) -> None:
        """`local_address`: the address of this machine that it calls from, for tests."""
        self.settings = settings
        self.url = settings.public_url
        self.name = ""
        self.server_url = self.url
        """Where the person's own server answers; a domain of its own, where the lab has one for each user."""
        self._http = reach.client(settings, local_address, timeout=CALL_SECONDS, follow_redirects=True)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    # ------------------------------------------------------------ the hub
    def sign_in(self, name: str, password: str) -> None:
        """Fill in the sign-in form and send it."""
        self._send("GET", "/hub/login", ok=(200,))
        form = {"username": name, "password": password, "_xsrf": self._xsrf("/hub/")}
        answer = self._send("POST", "/hub/login?next=%2Fhub%2Fhome", data=form, ok=(200, 403))
        if answer.status_code == 403 or answer.url.path.endswith("/login"):
            raise WorkFailed("sign-in-failed", f"“{name}” could not sign in: {login_error(answer.text)}")
        self.name = name

    def start_server(self, tell: Tell, seconds: float = START_SECONDS) -> bool:
        """Start the person's own server and wait until it is ready. False when it ran already."""
        limit = time.monotonic() + seconds
        if self._server_ready():
            return False
        answer = self.hub("POST", f"/users/{self.name}/server", ok=(201, 202, 400, 500, 503))
        if answer.status_code >= 400 and not self._server_pending():
            raise WorkFailed("server-failed", f"The server of “{self.name}” did not start: {message(answer)}")
        failed = ""
        for event in self._progress(limit):
            tell(str(event.get("message", "")).removeprefix("Spawn failed: "))
            if event.get("failed"):
                failed = str(event.get("message", "no reason given")).removeprefix("Spawn failed: ")
                break
        while not failed and not self._server_ready():
            if time.monotonic() > limit:
                failed = f"it was not ready after {seconds:.0f} s"
            time.sleep(0.3)
        if failed:
            raise WorkFailed("server-failed", f"The server of “{self.name}” did not start: {failed}")
        return True

    def stop_server(self, seconds: float = 60.0) -> None:
        """Stop the person's own server and wait until it is gone."""
        self.hub("DELETE", f"/users/{self.name}/server", ok=(202, 204, 400, 404))
        limit = time.monotonic() + seconds
        while "" in self._user().get("servers", {}):
            if time.monotonic() > limit:
                raise WorkFailed(
                    "server-failed", f"The server of “{self.name}” did not stop in {seconds:.0f} s"
                )
            time.sleep(0.3)

    def hub(self, method: str, path: str, ok: tuple[int, ...] = (200,), **more: Any) -> httpx.Response:
        """One call to the hub's API as this session."""
        return self._send(method, f"/hub/api{path}", ok=ok, xsrf="/hub/", **more)

    def _user(self) -> dict[str, Any]:
        user: dict[str, Any] = self.hub("GET", f"/users/{self.name}").json()
        return user

    def _server_ready(self) -> bool:
        return bool(self._user().get("servers", {}).get("", {}).get("ready"))

    def _server_pending(self) -> bool:
        return bool(self._user().get("servers", {}).get("", {}).get("pending"))

    def _progress(self, limit: float) -> Iterator[dict[str, Any]]:
        """The hub's progress events; ends early, without an error, when the hub closes the stream."""
        path = f"/hub/api/users/{self.name}/server/progress"
        headers = {"X-XSRFToken": self._xsrf("/hub/"), "Accept": "text/event-stream"}
        try:
            with self._http.stream("GET", path, headers=headers) as answer:
                if answer.status_code != 200:
                    return  # ready already, or the hub forgot it: the caller asks the server's state
                for line in answer.iter_lines():
                    if line.startswith("data:"):
                        event: dict[str, Any] = json.loads(line.removeprefix("data:"))
                        yield event
                        if event.get("ready"):
                            return
                    if time.monotonic() > limit:
                        return
        except httpx.HTTPError as error:
            raise PartDown(
                "hub-down", f"The hub stopped answering while a server started: {error}"
            ) from error

    # ------------------------------------------------------------ the person's own server
    def open_server(self) -> None:
        """Follow the redirects of a first visit, which leave the server's own cookies."""
        answer = self._send("GET", f"/user/{self.name}/lab", ok=(200,))
        self.server_url = str(answer.url.copy_with(path="/", query=None)).rstrip("/")

    def server(self, method: str, path: str, ok: tuple[int, ...] = (200,), **more: Any) -> httpx.Response:
        """One call to the Jupyter server's API as this session."""
        base = f"/user/{self.name}/"
        return self._send(method, f"{self.server_url}{base}api{path}", ok=ok, xsrf=base, **more)

    def read_file(self, path: str, content: bool = True, **params: str) -> dict[str, Any]:
        """A file's model of the contents API. Raises: NotFound ``file-unknown``."""
        query = {"content": str(int(content)), **params}
        answer = self.server("GET", f"/contents/{path}", ok=(200, 404), params=query)
        if answer.status_code == 404:
            raise NotFound("file-unknown", f"There is no file {path} in the home folder of “{self.name}”.")
        model: dict[str, Any] = answer.json()
        return model

    def save_notebook(self, path: str, content: dict[str, Any]) -> None:
        self.server("PUT", f"/contents/{path}", json={"type": "notebook", "content": content})

    def channel(self, kernel: str) -> ClientConnection:
        """The kernel's message channel."""
        page = f"{self.server_url}/user/{self.name}/api/kernels/{kernel}/channels"
        url = page.replace("http", "ws", 1)
        cookies = self._http.build_request("GET", page).headers.get("cookie", "")
        try:
            return connect(
                f"{url}?_xsrf={self._xsrf(f'/user/{self.name}/')}",
                sock=reach.open_socket(self.settings, url, CALL_SECONDS),
                ssl=reach.trust(self.settings) if url.startswith("wss") else None,
                additional_headers={"Cookie": cookies},
                origin=None,
                open_timeout=CALL_SECONDS,
                max_size=64 * 2**20,  # an output with pictures
                proxy=None,
            )
        except (OSError, WebSocketException, TimeoutError) as error:
            raise PartDown("hub-down", f"The kernel's channel did not open: {error}") from error

    # ------------------------------------------------------------ one request
    def _xsrf(self, path: str) -> str:
        """The XSRF token that the page under `path` set as its cookie."""
        return next(
            (c.value or "" for c in self._http.cookies.jar if c.name == "_xsrf" and c.path == path), ""
        )

    def _send(
        self, method: str, path: str, ok: tuple[int, ...], xsrf: str = "", **more: Any
    ) -> httpx.Response:
        headers = {"X-XSRFToken": self._xsrf(xsrf)} if xsrf else {}
        try:
            answer = self._http.request(method, path, headers=headers, **more)
        except httpx.HTTPError as error:
            raise PartDown(
                "hub-down", f"{self.url} does not answer ({error}). `cyberlab-hub status` says what is down."
            ) from error
        if answer.status_code not in ok:
            raise WorkFailed(
                "hub-refused", f"{method} {path} answered {answer.status_code}: {message(answer)}"
            )
        return answer


def message(answer: httpx.Response) -> str:
    """The words of a hub or server API error."""
    try:
        return str(answer.json().get("message", answer.reason_phrase))
    except (ValueError, AttributeError):
        return answer.reason_phrase


def login_error(page: str) -> str:
    """The red sentence of the sign-in page."""
    _, _, rest = page.partition('class="login_error')
    text = rest.partition(">")[2].partition("<")[0]
    return unescape(text.strip()) or "the sign-in page came back without a reason"
