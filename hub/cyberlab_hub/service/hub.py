"""The hub, as far as the lab service needs it: who holds a token, and which users exist."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx

from cyberlab_hub.errors import PartDown

TIMEOUT_SECONDS = 5.0
PAGE = 200
"""Users of one answer."""


class Hub:
    """Talks to the hub's API. `own_token` gives the service's own token, which may list users and no more."""

    def __init__(
        self, api_url: str, own_token: Callable[[], str], transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._own_token = own_token
        # trust_env: a site's proxy settings are for packages, not for the hub next door
        self._http = httpx.AsyncClient(
            base_url=api_url, timeout=TIMEOUT_SECONDS, trust_env=False, transport=transport
        )

    async def whoami(self, token: str) -> dict[str, Any] | None:
        """The hub's model of the token's holder (`kind`, `name`, `scopes`); None when it knows no such token.

        Raises:
            PartDown: ``hub-down``.
        """
        answer = await self._get("/user", token)
        if answer.status_code in (401, 403):
            return None
        return self._model(answer)

    async def knows(self, user: str) -> bool:
        """Whether there is such a user.

        Raises:
            PartDown: ``hub-down``.
        """
        answer = await self._get(f"/users/{quote(user, safe='')}", self._own_token())
        if answer.status_code == 404:
            return False
        return self._model(answer).get("name") == user

    async def users(self) -> frozenset[str]:
        """The names of all users.

        Raises:
            PartDown: ``hub-down``.
        """
        found: set[str] = set()
        while True:
            answer = await self._get(f"/users?offset={len(found)}&limit={PAGE}", self._own_token())
            if not answer.is_success:
                raise _down(f" (it answers {answer.status_code})")
            page = {str(user["name"]) for user in answer.json()}
            if not page - found:
                return frozenset(found)
            found |= page

    async def version(self) -> str:
        """The hub's version.

        Raises:
            PartDown: ``hub-down``.
        """
        return str(self._model(await self._get("/", None)).get("version", ""))

    async def _get(self, path: str, token: str | None) -> httpx.Response:
        headers = {"Authorization": f"token {token}"} if token else {}
        try:
            return await self._http.get(path, headers=headers)
        except httpx.HTTPError as error:
            raise _down() from error

    @staticmethod
    def _model(answer: httpx.Response) -> dict[str, Any]:
        if not answer.is_success:
            raise _down(f" (it answers {answer.status_code})")
        try:
            model = answer.json()
        except ValueError as error:
            raise _down(" (its answer is not JSON)") from error
        return model if isinstance(model, dict) else {}

    async def close(self) -> None:
        await self._http.aclose()


def _down(detail: str = "") -> PartDown:
    return PartDown(
        "hub-down",
        f"JupyterHub does not answer{detail}, so the lab cannot check who you are. What runs already goes on. "
        "Try again in a minute.",
    )
