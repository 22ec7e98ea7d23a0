"""The registry over HTTPS, as the lab's own account. Only what engines cannot do: look up,
measure and delete manifests."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from cyberlab_hub.errors import HubError, PartDown
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import words

LAB_ACCOUNT = "_lab"
LAB_SECRET = "registry.lab"  # noqa: S105 - the name of the file that holds it
SECONDS = 10.0
CHECK_SECONDS = 3.0
PAGE = 100
BLOBS = 200
"""Parts of one manifest that are asked for; an engine takes 127 layers."""
DEPTH = 2
"""Indexes in indexes are followed so far."""
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.index.v1+json"
)


class Registry:
    """Docker Distribution with token authentication. Threads may share it."""

    def __init__(self, settings: Settings, transport: httpx.BaseTransport | None = None) -> None:
        """`transport`: another way to reach it, for tests."""
        self._settings = settings
        self._transport = transport

    def exists(self, repository: str, digest: str) -> bool:
        answer = self._send("HEAD", repository, digest, "pull")
        return answer.status_code == 200

    def digest(self, repository: str, tag: str) -> str | None:
        """The digest behind a tag; None when there is no such tag."""
        answer = self._send("HEAD", repository, tag, "pull")
        return answer.headers.get("Docker-Content-Digest") if answer.status_code == 200 else None

    def delete(self, repository: str, digest: str) -> None:
        """Delete the manifest, and with it every tag that names it. One that is gone already is no error."""
        self._send("DELETE", repository, digest, "pull,push,delete")

    def held(self, prefix: str, known: dict[str, dict[str, int]]) -> dict[str, int]:
        """Digest and size of everything that the tags below `prefix` name, once each.

        `prefix` ends with a slash. `known` remembers what manifests name, for the next time: they never change.
        """
        found: dict[str, int] = {}
        with self._talk(SECONDS) as talk:
            for repository in _repositories(talk, prefix):
                scope = f"repository:{repository}:pull"
                tags = talk.names(f"{repository}/tags/list", "tags", scope)
                for tag in tags:
                    answer = talk.request("HEAD", f"{repository}/manifests/{tag}", scope)
                    digest = answer.headers.get("Docker-Content-Digest")
                    if answer.status_code == 200 and digest:
                        if digest not in known:
                            known[digest] = _named_by(talk, repository, digest, DEPTH)
                        found |= known[digest]
        return found

    def check(self) -> None:
        """Raises PartDown (``registry-down``) when the registry or its accounts do not work."""
        with self._talk(CHECK_SECONDS) as talk:
            talk.request("GET", "", "")

    # ------------------------------------------------------------ requests
    def _send(self, method: str, repository: str, reference: str, actions: str) -> httpx.Response:
        with self._talk(SECONDS) as talk:
            return talk.request(
                method, f"{repository}/manifests/{reference}", f"repository:{repository}:{actions}"
            )

    @contextmanager
    def _talk(self, seconds: float) -> Iterator[_Talk]:
        """Connections for a few questions: they are rare, and kept ones would have to be closed by somebody."""
        try:
            trust = ssl.create_default_context(cafile=str(self._settings.certs / "ca.crt"))
            with httpx.Client(
                verify=trust, timeout=seconds, trust_env=False, transport=self._transport
            ) as client:
                yield _Talk(self._settings, client)
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            raise _down(words.brief(error)) from error


class _Talk:
    """Questions in a row, with a token for each scope."""

    def __init__(self, settings: Settings, client: httpx.Client) -> None:
        self._settings = settings
        self._client = client
        self._tokens: dict[str, str] = {}

    def request(self, method: str, path: str, scope: str) -> httpx.Response:
        url = f"https://{self._settings.registry}/v2/{path}"
        headers = {"Accept": MANIFESTS}
        if scope in self._tokens:
            headers["Authorization"] = f"Bearer {self._tokens[scope]}"
        answer = self._client.request(method, url, headers=headers)
        if answer.status_code == 401:
            token = self._token(answer.headers.get("WWW-Authenticate", ""), scope)
            self._tokens[scope] = token
            headers["Authorization"] = f"Bearer {token}"
            answer = self._client.request(method, url, headers=headers)
        if answer.status_code in (200, 202, 404):
            return answer
        raise _down(f"status {answer.status_code}")

    def names(self, path: str, key: str, scope: str) -> list[str]:
        """A list of names; a repository whose images are all gone has no tags: null, or 404."""
        answer = self.request("GET", path, scope)
        return [] if answer.status_code == 404 else [str(name) for name in _list(_json(answer).get(key))]

    def _token(self, challenge: str, scope: str) -> str:
        """Ask where the registry says. The password goes to the lab's own token service only."""
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if asked["realm"] != self._settings.token_url:
            raise _down("it names a token service that is not the lab's")
        password = self._settings.secret(LAB_SECRET)
        params = {"service": asked.get("service", ""), **({"scope": scope} if scope else {})}
        answer = self._client.get(self._settings.token_url, params=params, auth=(LAB_ACCOUNT, password))
        answer.raise_for_status()
        return str(answer.json()["token"])


def _repositories(talk: _Talk, prefix: str) -> list[str]:
    found: list[str] = []
    last = prefix
    while True:
        page = talk.names(
            f"_catalog?n={PAGE}&last={quote(last, safe='')}", "repositories", "registry:catalog:*"
        )
        found += [name for name in page if name.startswith(prefix)]
        if len(page) < PAGE or not page[-1].startswith(prefix):
            return found
        last = page[-1]


def _named_by(talk: _Talk, repository: str, digest: str, depth: int) -> dict[str, int]:
    """What a manifest names, itself included; of an index also what its manifests name."""
    answer = talk.request("GET", f"{repository}/manifests/{digest}", f"repository:{repository}:pull")
    if answer.status_code != 200:
        return {}
    found = {digest: len(answer.content)}
    manifest = _json(answer)
    for blob in _digests([manifest.get("config"), *_list(manifest.get("layers"))])[:BLOBS]:
        # the size in a manifest is what its author says: the registry knows better
        stored = talk.request("HEAD", f"{repository}/blobs/{blob}", f"repository:{repository}:pull")
        found[blob] = int(stored.headers.get("Content-Length", 0)) if stored.status_code == 200 else 0
    for child in _digests(_list(manifest.get("manifests")))[:BLOBS] if depth else []:
        found |= _named_by(talk, repository, child, depth - 1)
    return found


def _digests(parts: list[Any]) -> list[str]:
    named = (str(part.get("digest")) for part in parts if isinstance(part, dict))
    return [digest for digest in named if re.fullmatch(r"sha256:[0-9a-f]{64}", digest)]


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError as error:
        raise _down("its answer is not JSON") from error
    return content if isinstance(content, dict) else {}


def _list(content: object) -> list[Any]:
    return content if isinstance(content, list) else []


def _down(why: str) -> HubError:
    return PartDown(
        "registry-down",
        f"The registry does not answer as it should ({why}). Builds and deployments wait until the operator has "
        "started it again (`make up`).",
    )
