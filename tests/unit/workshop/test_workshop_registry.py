"""The registry's token dance, without a network."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from cyberlab_hub.errors import PartDown
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.registry import LAB_SECRET, Registry
from cyberlab_hub.workshop.stored import Stored, linked_bytes

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


# ---------------------------------------------------------------- how much it holds
def name_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


class FullRegistry:
    """A registry with manifests; what they claim about sizes may be wrong."""

    def __init__(self, settings: Settings) -> None:
        self.token_url = settings.token_url
        self.blobs: dict[str, int] = {}
        self.manifests: dict[str, bytes] = {}
        self.tags: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []

    def blob(self, word: str, size: int) -> dict[str, Any]:
        digest = name_of(word.encode())
        self.blobs[digest] = size
        return {"digest": digest, "size": size}

    def manifest(self, repository: str, tag: str, content: dict[str, Any]) -> str:
        body = json.dumps(content).encode()
        digest = name_of(body)
        self.manifests[digest] = body
        self.tags.setdefault(repository, {})[tag] = digest
        return digest

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if str(request.url).startswith(self.token_url):
            return httpx.Response(200, json={"token": request.url.params.get("scope", "")})
        path = request.url.path.removeprefix("/v2/")
        scope = "registry:catalog:*" if path == "_catalog" else f"repository:{path.rsplit('/', 2)[0]}:pull"
        if request.headers.get("Authorization") != f"Bearer {scope}":
            challenge = f'Bearer realm="{self.token_url}",service="cyberlab"'
            return httpx.Response(401, headers={"WWW-Authenticate": challenge})
        self.asked.append(f"{request.method} {path}")
        if path == "_catalog":
            names = [name for name in sorted(self.tags) if name > request.url.params["last"]]
            return httpx.Response(200, json={"repositories": names[: int(request.url.params["n"])]})
        repository, kind, what = path.rsplit("/", 2)
        if kind == "tags":
            return httpx.Response(200, json={"name": repository, "tags": list(self.tags[repository]) or None})
        if kind == "blobs":
            size = self.blobs.get(what)
            return (
                httpx.Response(404)
                if size is None
                else httpx.Response(200, headers={"Content-Length": str(size)})
            )
        digest = self.tags[repository].get(what, what)
        if digest not in self.manifests:
            return httpx.Response(404)
        body = self.manifests[digest] if request.method == "GET" else b""
        return httpx.Response(200, content=body, headers={"Docker-Content-Digest": digest})


def test_what_an_owner_has_counts_once_as_large_as_it_is(settings: Settings) -> None:
    fake = FullRegistry(settings)
    shared, lies = fake.blob("base", 60_000_000), fake.blob("big", 900_000_000) | {"size": 1}
    config = fake.blob("config", 1_000)
    small = {"config": config, "layers": [shared, fake.blob("app", 5_000)]}
    first = fake.manifest("ann/prog", "1", small)
    fake.manifest("ann/prog", "again", small)
    big = {"config": config, "layers": [shared, lies, {"digest": "../../etc", "size": 7}, 3]}
    second = fake.manifest("ann/by-hand", "x", big)
    third = fake.manifest("ann/by-hand", "index", {"manifests": [{"digest": second}, {"digest": "nonsense"}]})
    fake.manifest("annabel/other", "1", {"layers": [fake.blob("hers", 7_000_000_000)]})
    fake.tags["ann/gone"] = {}
    registry = Registry(settings, httpx.MockTransport(fake))
    manifests = sum(len(fake.manifests[digest]) for digest in (first, second, third))
    clock = [0.0]
    stored = Stored(registry, clock=lambda: clock[0])
    assert stored.bytes_of("ann") == 60_000_000 + 900_000_000 + 1_000 + 5_000 + manifests
    assert stored.bytes_of("nobody") == 0

    before = len(fake.asked)
    assert stored.bytes_of("ann") > 0
    assert len(fake.asked) == before  # a push asks several times in a row
    clock[0] = 5.0
    stored.bytes_of("ann")
    assert not [path for path in fake.asked[before:] if "blobs" in path]  # manifests never change
    fake.tags["ann/by-hand"] = {}
    stored.forget("ann")
    assert stored.bytes_of("ann") == 60_000_000 + 1_000 + 5_000 + len(fake.manifests[first])


def test_an_owner_with_more_repositories_than_a_page(settings: Settings) -> None:
    fake = FullRegistry(settings)
    for number in range(250):
        fake.manifest(f"ann/prog{number:03}", "1", {"layers": [fake.blob(f"layer{number}", 10)], "n": number})
    held = Registry(settings, httpx.MockTransport(fake)).held("ann/", {})
    assert sum(size for digest, size in held.items() if digest in fake.blobs) == 2500


def test_what_the_registrys_answers_do_not_show_counts_for_pushes(settings: Settings, tmp_path: Path) -> None:
    root = tmp_path / "data" / "docker" / "registry" / "v2"

    def put(path: str, size: int) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x" * size)

    def link(repository: str, kind: str, digest: str, size: int) -> None:
        put(f"repositories/{repository}/{kind}/sha256/{digest}/link", 71)
        if size:
            put(f"blobs/sha256/{digest[:2]}/{digest}/data", size)

    link("ann/prog", "_layers", "aa11", 1000)
    link("ann/deep/er", "_layers", "aa11", 1000)  # the same layer
    link("ann/deep/er", "_manifests/revisions", "bb22", 300)  # no tag names it
    link("ann/prog", "_layers", "cc33", 0)  # cleaned away
    put("repositories/ann/prog/_uploads/1234/data", 50)
    put("repositories/ann/prog/_uploads/1234/hashstates/sha256/0", 9)
    link("annabel/prog", "_layers", "dd44", 7000)
    registry = Registry(settings, httpx.MockTransport(FullRegistry(settings)))
    assert linked_bytes(tmp_path / "data", "ann") == 1350
    assert linked_bytes(tmp_path / "data", "nobody") == 0
    stored = Stored(registry, tmp_path / "data")
    assert (stored.bytes_of("ann"), stored.with_hidden("ann")) == (0, 1350)
    assert Stored(registry).with_hidden("ann") == 0  # its disk is elsewhere: what it answers is all there is
