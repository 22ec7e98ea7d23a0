"""Who a caller is: the one place that decides it.

A caller shows a hub token; the hub says whose it is and what it may do. That is remembered for ten seconds, so a
revoked token works for at most so long. Without the lab's own scope a token opens nothing here.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from anyio import to_thread
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from cyberlab_hub.errors import NotAllowed, NotSignedIn
from cyberlab_hub.service.hub import Hub
from cyberlab_hub.service.policy import owner_allowed

USE = "custom:cyberlab:use"
ADMINISTER = "custom:cyberlab:admin"
REMEMBERED_SECONDS = 10.0
REMEMBERED_TOKENS = 2_000


@dataclass(frozen=True)
class Caller:
    """Somebody the hub knows."""

    name: str
    kind: str
    """``user`` or ``service``."""
    scopes: frozenset[str]
    groups: frozenset[str] = frozenset()
    """The hub's groups that the user is in."""

    def has(self, scope: str) -> bool:
        """The scope itself, or the scope narrowed to the caller."""
        return bool({scope, f"{scope}!{self.kind}={self.name}"} & self.scopes)


class Auth:
    """Asks the hub, and remembers for a moment. `seen` is told the groups of each user that the hub names."""

    def __init__(
        self,
        hub: Hub,
        clock: Callable[[], float] = time.monotonic,
        seen: Callable[[str, frozenset[str]], None] = lambda _name, _groups: None,
    ) -> None:
        self.hub = hub
        self._clock = clock
        self._seen = seen
        self._remembered: dict[str, tuple[float, Caller]] = {}

    async def caller(self, token: str) -> Caller:
        """Whose token that is.

        Raises:
            NotSignedIn: ``token-refused``.
            PartDown: ``hub-down``.
        """
        key = hashlib.sha256(token.encode()).hexdigest()
        until, caller = self._remembered.get(key, (0.0, None))
        if caller is not None and self._clock() < until:
            return caller
        model = await self.hub.whoami(token) if re.fullmatch(r"[\x21-\x7e]{1,512}", token) else None
        if model is None:
            self._remembered.pop(key, None)
            raise NotSignedIn(
                "token-refused",
                "The lab does not know this token, or it has expired. Restart your server from the hub's control "
                "panel to get a new one.",
            )
        caller = Caller(
            str(model["name"]),
            str(model.get("kind", "")),
            frozenset(model.get("scopes", ())),
            frozenset(map(str, model.get("groups") or ())),
        )
        if caller.kind == "user":
            await to_thread.run_sync(self._seen, caller.name, caller.groups)
        if len(self._remembered) >= REMEMBERED_TOKENS:
            self._remembered.clear()
        self._remembered[key] = (self._clock() + REMEMBERED_SECONDS, caller)
        return caller


def token_of(header: str | None) -> str:
    """The token in an Authorization header, ``Bearer ...`` or the hub's ``token ...``.

    Raises:
        NotSignedIn: ``token-missing``.
    """
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() not in ("bearer", "token") or not token.strip():
        raise NotSignedIn(
            "token-missing",
            "This needs a token of the hub, sent as “Authorization: Bearer TOKEN”. In JupyterLab it is set for you; "
            "for a script ask the operator for one (cyberlab-hub token --user NAME).",
        )
    return token.strip()


def require(caller: Caller, scope: str) -> None:
    """Raises:
    NotAllowed: ``scope-missing``, ``user-needed`` (a service has no images and no data of its own) or
        ``name-unusable``.
    """
    if not caller.has(scope):
        raise NotAllowed("scope-missing", f"Your token does not carry the right “{scope}” that this needs.")
    if scope == USE:
        if caller.kind != "user":
            raise NotAllowed("user-needed", "Only a user can do this; this token belongs to a service.")
        owner_allowed(caller.name)


async def _caller(request: Request, scope: str) -> Caller:
    auth: Auth = request.app.state.parts.auth
    caller = await auth.caller(token_of(request.headers.get("authorization")))
    request.state.actor = caller.name
    require(caller, scope)
    return caller


# for the documentation only: it names the scheme; the header is read above, which also takes "token ..."
_scheme = HTTPBearer(auto_error=False, scheme_name="hub token", description="A token of the hub.")


async def user(request: Request, _: Annotated[object, Depends(_scheme)]) -> Caller:
    return await _caller(request, USE)


async def administrator(request: Request, _: Annotated[object, Depends(_scheme)]) -> Caller:
    return await _caller(request, ADMINISTER)


User = Annotated[Caller, Depends(user)]
"""A signed-in user who may use the lab."""
Administrator = Annotated[Caller, Depends(administrator)]
