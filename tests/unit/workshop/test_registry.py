"""The registry's token dance, without a network."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import pytest
from cyberlab_hub.errors import PartDown
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.registry import LAB_SECRET, Registry

DIGEST = "sha256:" + "a" * 64


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(state=tmp_path)
    made.secrets.mkdir()
    made.certs.mkdir()
    (made.secrets / LAB_SECRET).write_text("the-password\n")
    # any authority will do: nothing is dialled
    (made.certs / "ca.crt").write_text(
        Path("/etc/ssl/certs/ca-certificates.crt").read_text().split("\n\n")[0]
    )
    return made


class FakeRegistry:
    def __init__(self, settings: Settings, realm: str = "") -> None:
        self.realm = realm or settings.token_url
        self.token_url = settings.token_url
        self.manifests = {f"/v2/ann/prog/manifests/{DIGEST}"}
        self.scopes: list[str] = []
        self.sent: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        if str(request.url).startswith(self.token_url):
            assert base64.b64decode(request.headers["Authorization"].split()[1]) == b"_lab:the-password"
            self.scopes.append(request.url.params.get("scope", ""))
            return httpx.Response(200, json={"token": "t0ken"})
        if request.headers.get("Authorization") != "Bearer t0ken":
            return httpx.Response(
                401, headers={"WWW-Authenticate": f'Bearer realm="{self.realm}",service="cyberlab"'}
            )
        if request.url.path == "/v2/":
            return httpx.Response(200)
        if request.url.path not in self.manifests:
            return httpx.Response(404)
        if request.method == "DELETE":
            self.manifests.discard(request.url.path)
            return httpx.Response(202)
        return httpx.Response(200, headers={"Docker-Content-Digest": DIGEST})


def test_an_image_is_found_and_deleted_with_the_scope_it_takes(settings: Settings) -> None:
    fake = FakeRegistry(settings)
    registry = Registry(settings, httpx.MockTransport(fake))
    assert registry.exists("ann/prog", DIGEST)
    registry.delete("ann/prog", DIGEST)
    assert not registry.exists("ann/prog", DIGEST)
    registry.delete("ann/prog", DIGEST)
    registry.check()
    assert fake.scopes[:2] == ["repository:ann/prog:pull", "repository:ann/prog:pull,push,delete"]


def test_the_password_goes_to_no_other_token_service(settings: Settings) -> None:
    fake = FakeRegistry(settings, realm="https://elsewhere.example/token")
    with pytest.raises(PartDown):
        Registry(settings, httpx.MockTransport(fake)).exists("ann/prog", DIGEST)
    assert not any("Basic" in request.headers.get("Authorization", "") for request in fake.sent)


@pytest.mark.parametrize("status", [500, 503, 403])
def test_a_registry_that_answers_otherwise_is_down(settings: Settings, status: int) -> None:
    with pytest.raises(PartDown) as caught:
        Registry(settings, httpx.MockTransport(lambda _request: httpx.Response(status))).check()
    assert caught.value.code == "registry-down"
    assert "the-password" not in caught.value.message


def test_a_registry_that_is_not_there_is_down(settings: Settings) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("[Errno 111] Connection refused", request=request)

    with pytest.raises(PartDown, match="connection refused"):
        Registry(settings, httpx.MockTransport(refuse)).exists("ann/prog", DIGEST)
