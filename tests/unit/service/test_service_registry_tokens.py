"""Who gets which registry token, and that the token is one the registry can check."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cyberlab_hub import certs
from cyberlab_hub.errors import NotSignedIn
from cyberlab_hub.service import policy
from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.auth import Auth
from cyberlab_hub.service.credentials import Credentials
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.hub import Hub
from cyberlab_hub.service.registry_tokens import (
    Access,
    RegistryTokens,
    Signer,
    asked,
    basic,
    create_token_app,
    everything,
    granted,
    own_namespace,
    pull_only,
    sign,
)
from cyberlab_hub.settings import Settings
from fakes import FakeHub


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = Settings(state=tmp_path_factory.mktemp("state"))
    certs.ensure(settings)
    return settings.certs


@pytest.fixture(scope="module")
def signer(folder: Path) -> Signer:
    return Signer.load((folder / "token-signer.crt").read_bytes(), (folder / "token-signer.key").read_bytes())


def opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, checked as the registry does: with the certificate that the token brings along."""
    header = jwt.get_unverified_header(token)
    certificate = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    claims = jwt.decode(
        token, certificate.public_key(), ["ES256"], audience="cyberlab-registry", issuer="cyberlab"
    )  # type: ignore[arg-type]  # an EC key, as the assertion on ES256 says
    return header, claims


def test_the_token_is_signed_with_the_certificate_it_carries(signer: Signer, folder: Path) -> None:
    at = time.time()
    token = sign(signer, "anna", [Access("repository", "anna/blink", ("pull", "push"))], at, "id-1")
    header, claims = opened(token)
    assert header["alg"] == "ES256"
    assert claims["access"] == [{"type": "repository", "name": "anna/blink", "actions": ["pull", "push"]}]
    assert (claims["sub"], claims["jti"], claims["exp"] - claims["iat"]) == ("anna", "id-1", 300)
    assert claims["nbf"] < claims["iat"]
    carried = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
    carried.verify_directly_issued_by(x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes()))


def test_the_signer_keeps_its_key_out_of_sight(signer: Signer, folder: Path) -> None:
    key = load_pem_private_key((folder / "token-signer.key").read_bytes(), None)
    assert repr(key) not in repr(signer)
    assert "PrivateKey" not in repr(signer)


@pytest.mark.parametrize(
    ("scope", "wanted"),
    [
        ("repository:anna/blink:pull", [Access("repository", "anna/blink", ("pull",))]),
        ("repository:anna/blink:pull,push,pull", [Access("repository", "anna/blink", ("pull", "push"))]),
        ("registry:catalog:*", [Access("registry", "catalog", ("*",))]),
        ("repository:a/b:pull repository:c/d:push",
         [Access("repository", "a/b", ("pull",)), Access("repository", "c/d", ("push",))]),
        ("repository:host:5000/a:pull", [Access("repository", "host:5000/a", ("pull",))]),
        ("", []), ("repository", []), ("repository:anna/blink", []), ("repository:a b:pull", []),
        ("repository:anna/blink:pull\n", []), ("repository::pull", []),
    ],
)  # fmt: skip
def test_scopes(scope: str, wanted: list[Access]) -> None:
    assert asked([scope]) == wanted


def on(name: str, *actions: str, kind: str = "repository") -> Access:
    return Access(kind, name, actions)


def test_a_user_has_the_own_namespace_and_nothing_else() -> None:
    rule = own_namespace("anna")
    assert granted(rule, [on("anna/blink", "pull", "push", "delete", "mount")]) == [
        on("anna/blink", "pull", "push", "delete")
    ]
    assert granted(rule, [on("anna/blink", "*")]) == [on("anna/blink", "delete", "pull", "push")]
    for other in (
        "ben/blink",
        "anna",
        "annab/x",
        "anna/../ben/x",
        "anna/",
        "anna//x",
        "Anna/x",
        "anna/x:1",
        "anna/.",
    ):
        assert granted(rule, [on(other, "pull")]) == [], other
    assert granted(rule, [on("catalog", "*", kind="registry"), on("anna/x", "pull", kind="registry")]) == []


def test_devices_pull_exactly_one_repository() -> None:
    rule = pull_only("anna/blink")
    assert granted(rule, [on("anna/blink", "pull", "push", "*")]) == [on("anna/blink", "pull")]
    assert granted(rule, [on("anna/blink", "push"), on("anna/blink", "delete")]) == []
    assert granted(rule, [on("anna/blink2", "pull"), on("anna/blin", "pull"), on("ben/x", "pull")]) == []


def test_the_lab_may_do_everything() -> None:
    wanted = [on("anna/blink", "pull", "delete"), on("catalog", "*", kind="registry")]
    assert granted(everything, wanted) == wanted


def packed(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


@pytest.mark.parametrize(
    "header", [None, "", "Basic", "Basic !!", "Bearer abc", packed(b"anna"), packed(b":x"), packed(b"\xff:x")]
)
def test_headers_that_sign_nobody_in(header: str | None) -> None:
    with pytest.raises(NotSignedIn):
        basic(header)


def test_a_password_may_hold_colons() -> None:
    assert basic("basic " + base64.b64encode(b"anna:a:b").decode()) == ("anna", "a:b")


# ---------------------------------------------------------------- the endpoint
FULL: set[str] = set()
"""Owners without room for another image."""


def room(owner: str) -> None:
    if owner in FULL:
        policy.room(policy.default("gigabytes"), 5_200_000_000)


@pytest.fixture(autouse=True)
def nobody_is_full() -> None:
    FULL.clear()


@pytest.fixture
def endpoint(tmp_path: Path, signer: Signer) -> Iterator[tuple[Any, Credentials, FakeHub]]:
    database = Database.open(f"sqlite:///{tmp_path}/lab.sqlite")
    hub = FakeHub()
    credentials = Credentials(database)
    auth = Auth(Hub("http://hub.test/hub/api", lambda: "", transport=hub))
    tokens = RegistryTokens(auth, credentials, signer, "lab-password", Audit(database), room)
    yield create_token_app(tokens), credentials, hub
    database.close()


async def get(
    app: Any, sign_in: tuple[str, str] | None, method: str, params: dict[str, Any]
) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://lab") as client:
        return await client.request(method, "/token", auth=sign_in, params=params)


def ask(app: Any, sign_in: tuple[str, str] | None, method: str = "GET", **params: Any) -> httpx.Response:
    return asyncio.run(get(app, sign_in, method, {"service": "cyberlab-registry", **params}))


def access(answer: httpx.Response) -> Any:
    assert answer.status_code == 200, answer.text
    assert answer.json()["token"] == answer.json()["access_token"]
    return opened(answer.json()["token"])[1]["access"]


def test_the_labs_own_account(endpoint: Any) -> None:
    app, _, _ = endpoint
    answer = ask(app, ("_lab", "lab-password"), scope="repository:anna/blink:pull,push,delete")
    assert access(answer) == [
        {"type": "repository", "name": "anna/blink", "actions": ["pull", "push", "delete"]}
    ]
    assert answer.json()["expires_in"] == 300
    assert ask(app, ("_lab", "wrong")).status_code == 401


def test_a_hub_token_opens_the_own_namespace(endpoint: Any) -> None:
    app, _, _ = endpoint
    both = ["repository:anna/blink:pull,push", "repository:ben/blink:pull"]
    assert access(ask(app, ("anna", "anna-token"), scope=both)) == [
        {"type": "repository", "name": "anna/blink", "actions": ["pull", "push"]}
    ]
    assert access(ask(app, ("anna", "anna-token"))) == []
    assert ask(app, ("anna", "ben-token")).status_code == 401
    assert ask(app, ("anna", "nonsense")).status_code == 401


def test_a_deployments_account_pulls_until_it_is_revoked(endpoint: Any) -> None:
    app, credentials, _ = endpoint
    made = credentials.issue("d123", "anna", "bed", ["pi01"], "anna/blink")
    assert made.token not in repr(made)
    assert made.pull_password not in repr(made)
    account = (made.pull_user, made.pull_password)
    assert access(ask(app, account, scope="repository:anna/blink:pull,push")) == [
        {"type": "repository", "name": "anna/blink", "actions": ["pull"]}
    ]
    assert ask(app, (made.pull_user, "wrong")).status_code == 401
    newer = credentials.issue("d123", "anna", "bed", ["pi01"], "anna/blink")
    credentials.revoke("d123", keep=newer)
    assert ask(app, account).status_code == 401
    assert ask(app, (newer.pull_user, newer.pull_password)).status_code == 200
    credentials.revoke("d123")
    assert ask(app, (newer.pull_user, newer.pull_password)).status_code == 401


def test_what_is_no_sign_in(endpoint: Any) -> None:
    app, _, hub = endpoint
    nobody = ask(app, None)
    assert nobody.status_code == 401
    assert nobody.headers["WWW-Authenticate"].startswith("Basic")
    hub.holders["bare"] = FakeHub.user("carl")
    assert ask(app, ("carl", "bare")).json()["error"]["code"] == "scope-missing"
    hub.holders["fleet-token"] = FakeHub.user("fleet", "custom:cyberlab:use")
    assert ask(app, ("fleet", "fleet-token")).status_code == 403
    hub.down = True
    assert ask(app, ("ben", "ben-token")).status_code == 503


def test_other_services_and_methods(endpoint: Any) -> None:
    app, _, _ = endpoint
    assert ask(app, ("_lab", "lab-password"), service="other").status_code == 403
    assert ask(app, ("_lab", "lab-password"), method="POST").status_code == 404


def test_what_is_refused_or_pushed_is_in_the_audit(endpoint: Any, tmp_path: Path) -> None:
    app, credentials, _ = endpoint
    made = credentials.issue("d123", "anna", "bed", ["pi01"], "anna/blink")
    ask(app, ("anna", "anna-token"), scope=["repository:anna/blink:pull,push", "repository:ben/blink:pull"])
    ask(app, ("anna", "anna-token"), scope="registry:catalog:*")
    ask(app, ("anna", "wrong-secret"))
    ask(app, (made.pull_user, made.pull_password), scope="repository:anna/blink:pull")
    ask(app, ("_lab", "lab-password"), scope="repository:anna/blink:pull,push")
    database = Database.open(f"sqlite:///{tmp_path}/lab.sqlite")
    kept = [(e.actor, e.action, e.object, e.reason) for e in Audit(database).following(0, 100)]
    database.close()
    assert kept == [
        ("anna", "registry_access", "anna/blink (push)", ""),
        ("anna", "registry_access", "ben/blink (pull)", "not-yours"),
        ("anna", "registry_access", "registry:catalog (*)", "not-yours"),
        ("", "registry_sign_in", "anna", "token-refused"),
    ]


def test_without_room_a_push_is_refused_with_the_reason_and_deleting_goes_on(endpoint: Any) -> None:
    app, _, _ = endpoint
    anna = ("anna", "anna-token")
    FULL.add("anna")
    refused = ask(app, anna, scope="repository:anna/blink:pull,push")
    assert refused.status_code == 429
    (said,) = refused.json()["errors"]  # the form that docker and skopeo print
    assert said["code"] == "TOOMANYREQUESTS"
    assert "You have 5.2 GB of images already, and 5 GB are possible" in said["message"]
    assert refused.json()["error"]["quota"]["in_use"] == 5.2
    assert access(ask(app, anna, scope="repository:anna/blink:pull"))[0]["actions"] == ["pull"]
    for wish in ("*", "pull,push,delete", "push,delete"):
        (one,) = access(ask(app, anna, scope=f"repository:anna/blink:{wish}"))
        assert "delete" in one["actions"]
        assert "push" not in one["actions"]
    lab = ask(app, ("_lab", "lab-password"), scope="repository:anna/blink:pull,push")
    assert access(lab)[0]["actions"] == ["pull", "push"]
    # another's full namespace says nothing to those who may not push there anyway
    assert access(ask(app, ("ben", "ben-token"), scope="repository:anna/blink:pull,push")) == []


def test_a_users_right_to_change_ends_after_a_minute(endpoint: Any) -> None:
    app, _, _ = endpoint
    anna = ("anna", "anna-token")
    lives = {
        wish: ask(app, anna, scope=f"repository:anna/blink:{wish}").json()["expires_in"]
        for wish in ("pull", "pull,push", "*")
    }
    assert lives == {"pull": 300, "pull,push": 60, "*": 60}
    token = ask(app, anna, scope="repository:anna/blink:pull,push").json()["token"]
    claims = opened(token)[1]
    assert claims["exp"] - claims["iat"] == 60
