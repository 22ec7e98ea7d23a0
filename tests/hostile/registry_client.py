"""Bare requests to the registry and its token service, and what attacks on them begin with."""

from __future__ import annotations

import hashlib
import json
import secrets
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from cyberlab_hub.service.registry_tokens import SERVICE
from cyberlab_hub.settings import Settings
from hostile.scene import Scene

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
REFUSED = (401, 403)
"""What the registry answers to a token that does not carry the right; a refused push can end as 403."""


# ---------------------------------------------------------------- a client that hides nothing
class Client:
    """Requests to the registry and its token service, with the lab's own authority trusted."""

    def __init__(self, settings: Settings) -> None:
        trust = ssl.create_default_context(cafile=str(settings.certs / "ca.crt"))
        self._http = httpx.Client(verify=trust, trust_env=False, timeout=30)
        self.base = f"https://{settings.registry}/v2/"
        self.token_url = settings.token_url

    def token(self, account: str, password: str, *scopes: str, service: str = SERVICE) -> httpx.Response:
        return self._http.get(
            self.token_url, params={"service": service, "scope": list(scopes)}, auth=(account, password)
        )

    def given(self, account: str, password: str, *scopes: str) -> str:
        answer = self.token(account, password, *scopes)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def send(self, method: str, path: str, token: str, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}", **more.pop("headers", {})}
        url = path if path.startswith("https:") else self.base + path
        return self._http.request(method, url, headers=headers, **more)

    def upload(self, repository: str, content: bytes, token: str) -> httpx.Response:
        """A blob in one go; the answer to its last request."""
        begun = self.send("POST", f"{repository}/blobs/uploads/", token)
        if begun.status_code != 202:
            return begun
        url = httpx.URL(begun.headers["Location"]).copy_merge_params({"digest": digest_of(content)})
        return self.send("PUT", str(url), token, content=content)

    def push(self, repository: str, tag: str, token: str, content: bytes) -> httpx.Response:
        """An image of one layer; the answer to its first refused request, or to the manifest."""
        config = json.dumps(
            {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}
        )
        parts = [config.encode(), content]
        for part in parts:
            sent = self.upload(repository, part, token)
            if sent.status_code != 201:
                return sent
        described = [
            {"mediaType": kind, "size": len(part), "digest": digest_of(part)}
            for kind, part in zip((CONFIG, LAYER), parts, strict=True)
        ]
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": described[0],
            "layers": described[1:],
        }
        headers = {"Content-Type": MANIFEST}
        return self.send("PUT", f"{repository}/manifests/{tag}", token, json=manifest, headers=headers)

    def close(self) -> None:
        self._http.close()


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def client(scene: Scene) -> Client:
    def make() -> Client:
        made = Client(scene.settings)
        scene.keep(_closing(made))
        return made

    return scene.once("registry client", make)


@contextmanager
def _closing(made: Client) -> Iterator[None]:
    yield
    made.close()


def bens(scene: Scene) -> tuple[str, str]:
    """Repository and digest of Ben's image."""
    image = next(one for one in scene.ben.lab.images() if f"{one.name}:{one.version}" == scene.ben.image)
    return f"{scene.ben.name}/{image.name}", image.digest


def mallory(scene: Scene, *scopes: str) -> str:
    return client(scene).given(scene.mallory.name, scene.mallory.token, *scopes)


def still_there(scene: Scene) -> None:
    repository, digest = bens(scene)
    token = client(scene).given(scene.ben.name, scene.ben.token, f"repository:{repository}:pull")
    answer = client(scene).send(
        "HEAD", f"{repository}/manifests/{digest}", token, headers={"Accept": MANIFEST}
    )
    assert answer.status_code == 200


def own_pushed(scene: Scene) -> tuple[str, str]:
    """Something that Mallory has pushed by hand, as is her right: repository and digest."""

    def make() -> tuple[str, str]:
        repository = f"{scene.mallory.name}/by-hand"
        token = mallory(scene, f"repository:{repository}:pull,push")
        done = client(scene).push(repository, "1", token, secrets.token_bytes(1000))
        assert done.status_code == 201, done.text
        scene.keep(removed(scene, repository, done.headers["Docker-Content-Digest"]))
        return repository, done.headers["Docker-Content-Digest"]

    return scene.once("pushed by hand", make)


@contextmanager
def removed(scene: Scene, repository: str, digest: str) -> Iterator[None]:
    yield
    password = scene.settings.secret("registry.lab")
    token = client(scene).given("_lab", password, f"repository:{repository}:pull,push,delete")
    client(scene).send("DELETE", f"{repository}/manifests/{digest}", token)
