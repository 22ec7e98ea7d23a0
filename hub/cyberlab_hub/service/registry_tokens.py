"""Registry accounts: Docker's token protocol, version 2 (``GET /token?service=...&scope=...``, basic sign-in).

Three kinds of accounts, and nothing else:

    _lab          everything; the lab service itself
    d...-...      a deployment's devices: pull exactly one repository
    a hub user    with a hub token as password: pull and delete ``user/*``, and push while there is room (quota
                  `gigabytes`, measured in the registry itself)

A token carries what was asked for *and* is allowed; it may be empty, and the registry then says no. Only a push
without room is answered with the reason, in the registry's own form of an error: clients print it.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cyberlab.wire import AuditEntry, ErrorBody
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cyberlab_hub.errors import HubError, NotAllowed, NotSignedIn, OverQuota, PartDown
from cyberlab_hub.service.answers import answer, status_of
from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.auth import USE, Auth, require
from cyberlab_hub.service.credentials import Credentials
from cyberlab_hub.service.guard import Guard
from cyberlab_hub.service.models import now

SERVICE = "cyberlab-registry"
ISSUER = "cyberlab"
LIFETIME_SECONDS = 300
SKEW_SECONDS = 30
"""Clocks of devices may be behind by so much."""
LAB_ACCOUNT = "_lab"
PUSH_SECONDS = 60
"""A user's token to push lives shorter: for so long it stays good when the quota is full. The protocol's least."""

_SCOPE = re.compile(r"([a-z]+(?:\([a-z]+\))?):([A-Za-z0-9._/:*-]{1,400}):([a-z*,]{1,100})")
_REPOSITORY = re.compile(r"[a-z0-9]+(?:[._-]+[a-z0-9]+)*(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*")


@dataclass(frozen=True)
class Access:
    """What is asked for, or granted, on one thing."""

    type: str
    name: str
    actions: tuple[str, ...]


@dataclass(frozen=True)
class Signer:
    """The key that the registry trusts, with its certificate."""

    key: EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Signer:
        """From PEM. Raises ValueError when the key is not an elliptic-curve one."""
        private = serialization.load_pem_private_key(key, None)
        if not isinstance(private, EllipticCurvePrivateKey):
            raise ValueError("the token signer needs an EC P-256 key")  # noqa: TRY004 - of the right type, with a wrong value
        return cls(private, x509.load_pem_x509_certificate(certificate))


def sign(
    signer: Signer,
    account: str,
    access: Iterable[Access],
    at: float,
    identity: str,
    seconds: int = LIFETIME_SECONDS,
) -> str:
    """The JWT, ES256, with the certificate in `x5c`. Pure: `at` in Unix seconds, `identity` must be unique."""
    der = signer.certificate.public_bytes(serialization.Encoding.DER)
    claims = {
        "iss": ISSUER,
        "sub": account,
        "aud": SERVICE,
        "iat": int(at),
        "nbf": int(at) - SKEW_SECONDS,
        "exp": int(at) + seconds,
        "jti": identity,
        "access": [{"type": a.type, "name": a.name, "actions": list(a.actions)} for a in access],
    }
    return jwt.encode(claims, signer.key, "ES256", {"x5c": [base64.b64encode(der).decode()]})


def asked(scopes: Iterable[str]) -> list[Access]:
    """``repository:anna/blink:pull,push``; several may stand in one parameter. What is malformed is not asked for."""
    found = (_SCOPE.fullmatch(scope) for parameter in scopes for scope in parameter.split(" "))
    return [Access(m[1], m[2], tuple(dict.fromkeys(m[3].split(",")))) for m in found if m]


Rule = Callable[[Access], tuple[str, ...]]
"""The actions an account may be given, of those asked for."""


def everything(access: Access) -> tuple[str, ...]:
    return access.actions


def pull_only(repository: str) -> Rule:
    return lambda access: _of(access, access.name == repository, {"pull"})


def own_namespace(user: str) -> Rule:
    return lambda access: _of(access, access.name.startswith(f"{user}/"), {"pull", "push", "delete"})


def _of(access: Access, allowed: bool, actions: set[str]) -> tuple[str, ...]:
    if not allowed or access.type != "repository" or not _REPOSITORY.fullmatch(access.name):
        return ()
    if (
        "*" in access.actions
    ):  # how clients ask for deletion; never passed on, because it would mean everything
        return tuple(sorted(actions))
    return tuple(action for action in access.actions if action in actions)


def granted(rule: Rule, wanted: Iterable[Access]) -> list[Access]:
    """What of `wanted` the rule allows."""
    allowed = ((access, rule(access)) for access in wanted)
    return [Access(access.type, access.name, actions) for access, actions in allowed if actions]


def without_push(access: Iterable[Access]) -> list[Access]:
    left = (Access(a.type, a.name, tuple(x for x in a.actions if x != "push")) for a in access)
    return [one for one in left if one.actions]


def wants_only_to_push(wanted: Iterable[Access]) -> bool:
    """To tell a push, which is refused with the reason, from a deletion, for which some clients ask to push too."""
    return any("push" in one.actions and not {"delete", "*"} & set(one.actions) for one in wanted)


def basic(header: str | None) -> tuple[str, str]:
    """Account and password.

    Raises:
        NotSignedIn: ``token-missing``, also when it is malformed.
    """
    scheme, _, packed = (header or "").partition(" ")
    try:
        account, colon, password = base64.b64decode(packed, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        account = colon = password = ""
    if scheme.lower() != "basic" or not (account and colon and password):
        raise NotSignedIn(
            "token-missing", "The registry needs an account: your user name, and a hub token as password."
        )
    return account, password


class RegistryTokens:
    """Answers ``/token``."""

    def __init__(
        self,
        auth: Auth,
        credentials: Credentials,
        signer: Signer,
        lab_password: str,
        audit: Audit,
        room: Callable[[str], None],
    ) -> None:
        """`room` raises OverQuota for an owner whose namespace is full."""
        self._room = room
        self._auth = auth
        self._audit = audit
        self._credentials = credentials
        self._signer = signer
        self._lab_password = lab_password

    async def _with_room(self, account: str, wanted: list[Access], access: list[Access]) -> list[Access]:
        """`access` without the right to push when the namespace is full.

        Raises:
            OverQuota: ``quota-gigabytes``, when pushing is what is wanted. PartDown: ``registry-down``.
        """
        if account == LAB_ACCOUNT or not any("push" in one.actions for one in access):
            return access
        try:
            await run_in_threadpool(self._room, account)
        except OverQuota:
            if wants_only_to_push(wanted):
                raise
            return without_push(access)
        return access

    async def rule(self, account: str, password: str) -> Rule:
        """What that account may do.

        Raises:
            NotSignedIn: account or password is wrong. NotAllowed: the token lacks the lab's scope.
            PartDown: ``hub-down``, ``database-down``.
        """
        if account == LAB_ACCOUNT:
            if secrets.compare_digest(password.encode(), self._lab_password.encode()):
                return everything
            raise _refused()
        repository = await run_in_threadpool(self._credentials.pulls, account, password)
        if repository is not None:
            return pull_only(repository)
        caller = await self._auth.caller(password)
        if caller.name != account:
            raise _refused()
        require(caller, USE)
        return own_namespace(account)

    async def answer(self, request: Request) -> Response:
        query = request.query_params
        account = ""
        try:
            account, password = basic(request.headers.get("authorization"))
            rule = await self.rule(account, password)
            if query.get("service") != SERVICE:
                raise NotAllowed("service-unknown", f"This makes tokens for the service {SERVICE} only.")
        except (NotSignedIn, NotAllowed, PartDown) as error:
            await self._refused(request, account, error)
            refusal = answer(status_of(error), error.info())
            if isinstance(error, NotSignedIn):
                refusal.headers["WWW-Authenticate"] = f'Basic realm="{ISSUER}"'
            return refusal
        wanted = asked(query.getlist("scope"))
        try:
            access = await self._with_room(account, wanted, granted(rule, wanted))
        except (OverQuota, PartDown) as error:
            return await self._no_room(request, account, wanted, error)
        await self._note_access(request, account, wanted, access)
        at = time.time()
        changes = account != LAB_ACCOUNT and any(set(one.actions) - {"pull"} for one in access)
        seconds = PUSH_SECONDS if changes else LIFETIME_SECONDS
        token = sign(self._signer, account, access, at, secrets.token_hex(8), seconds)
        issued = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
        body: dict[str, Any] = {
            "token": token,
            "access_token": token,
            "expires_in": seconds,
            "issued_at": issued,
        }
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def _no_room(
        self, request: Request, account: str, wanted: list[Access], error: HubError
    ) -> Response:
        if isinstance(error, OverQuota):
            for one in wanted:
                await self._note(
                    request, account, "registry_access", _named(one, list(one.actions)), error.code
                )
        status = status_of(error)
        code = "TOOMANYREQUESTS" if isinstance(error, OverQuota) else "UNAVAILABLE"
        body = ErrorBody(error=error.info()).model_dump(mode="json")
        return JSONResponse({**body, "errors": [{"code": code, "message": error.message}]}, status)

    # ------------------------------------------------------------ the audit
    async def _refused(self, request: Request, claimed: str, error: HubError) -> None:
        """Nobody is signed in yet: the account is only what was claimed."""
        if not isinstance(error, PartDown):
            await self._note(request, "", "registry_sign_in", claimed[:255], error.code)

    async def _note_access(
        self, request: Request, account: str, wanted: list[Access], access: list[Access]
    ) -> None:
        """What is pushed or deleted, and what was asked for in vain. The lab's own work is noted as builds."""
        if account == LAB_ACCOUNT:
            return
        given = {(one.type, one.name): set(one.actions) for one in access}
        for one in wanted:
            got = given.get((one.type, one.name), set())
            if missing := [action for action in one.actions if action not in got]:
                await self._note(request, account, "registry_access", _named(one, missing), "not-yours")
            if changing := [action for action in one.actions if action in got and action != "pull"]:
                await self._note(request, account, "registry_access", _named(one, changing))

    async def _note(self, request: Request, actor: str, action: str, what: str, reason: str = "") -> None:
        address = request.client.host if request.client else ""
        entry = AuditEntry(
            at=now(),
            actor=actor,
            action=action,
            object=what,
            allowed=not reason,
            reason=reason,
            address=address,
        )
        await run_in_threadpool(self._audit.record, entry)


def _named(access: Access, actions: list[str]) -> str:
    kind = "" if access.type == "repository" else f"{access.type}:"
    return f"{kind}{access.name[:300]} ({', '.join(actions)})"


def create_token_app(tokens: RegistryTokens) -> Guard:
    """The second listener: this one path. POST answers 404, so that clients fall back to GET."""

    async def not_here(_request: Request) -> Response:
        return Response(status_code=404)

    routes = [Route("/token", tokens.answer, methods=["GET"]), Route("/token", not_here, methods=["POST"])]
    return Guard(Starlette(routes=routes), limit=10_000)


def _refused() -> HubError:
    return NotSignedIn("token-refused", "This account and password do not belong together.")
