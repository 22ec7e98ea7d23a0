"""The registry over HTTPS, as the lab's own account. Only what engines cannot do: look up and delete manifests."""

from __future__ import annotations

import re
import ssl

import httpx

from cyberlab_hub.errors import HubError, PartDown
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import words

LAB_ACCOUNT = "_lab"
LAB_SECRET = "registry.lab"  # noqa: S105 - the name of the file that holds it
SECONDS = 10.0
CHECK_SECONDS = 3.0
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

    def check(self) -> None:
        """Raises PartDown (``registry-down``) when the registry or its accounts do not work."""
        self._request("GET", f"https://{self._settings.registry}/v2/", "", CHECK_SECONDS)

    # ------------------------------------------------------------ requests
    def _send(self, method: str, repository: str, reference: str, actions: str) -> httpx.Response:
        url = f"https://{self._settings.registry}/v2/{repository}/manifests/{reference}"
        return self._request(method, url, f"repository:{repository}:{actions}")

    def _request(self, method: str, url: str, scope: str, seconds: float = SECONDS) -> httpx.Response:
        try:
            with self._connection(seconds) as client:
                answer = client.request(method, url, headers={"Accept": MANIFESTS})
                if answer.status_code == 401:
                    token = self._token(client, answer.headers.get("WWW-Authenticate", ""), scope)
                    signed = {"Accept": MANIFESTS, "Authorization": f"Bearer {token}"}
                    answer = client.request(method, url, headers=signed)
        except (httpx.HTTPError, OSError, ValueError, KeyError) as error:
            raise _down(words.brief(error)) from error
        if answer.status_code in (200, 202, 404):
            return answer
        raise _down(f"status {answer.status_code}")

    def _token(self, client: httpx.Client, challenge: str, scope: str) -> str:
        """Ask where the registry says. The password goes to the lab's own token service only."""
        asked = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
        if asked["realm"] != self._settings.token_url:
            raise _down("it names a token service that is not the lab's")
        password = self._settings.secret(LAB_SECRET)
        params = {"service": asked.get("service", ""), **({"scope": scope} if scope else {})}
        answer = client.get(self._settings.token_url, params=params, auth=(LAB_ACCOUNT, password))
        answer.raise_for_status()
        return str(answer.json()["token"])

    def _connection(self, seconds: float) -> httpx.Client:
        # one a question: questions are rare, and a kept connection would have to be closed by somebody
        trust = ssl.create_default_context(cafile=str(self._settings.certs / "ca.crt"))
        return httpx.Client(verify=trust, timeout=seconds, trust_env=False, transport=self._transport)


def _down(why: str) -> HubError:
    return PartDown(
        "registry-down",
        f"The registry does not answer as it should ({why}). Builds and deployments wait until the operator has "
        "started it again (`make up`).",
    )
