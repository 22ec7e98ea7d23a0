"""The registry's boundary: everybody's own namespace and nothing else, whatever token is shown.

The real registry and the real token service. That the owner gets in is in `test_registry_clients.py`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import docker
import httpx
import jwt
import pytest
from cyberlab.errors import LabError
from cyberlab_hub.accounts import api_token
from cyberlab_hub.service.credentials import Credentials
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.setup.registry import clean
from hostile import forged_tokens as forged
from hostile.attack import Attack, Scene, table
from hostile.registry_client import MANIFEST, REFUSED, bens, client, mallory, own_pushed, removed, still_there
from hostile.scene import small_spec
from system.hubclient import admin_api


# ---------------------------------------------------------------- another's namespace, with an own account
def asks_for_bens(scene: Scene, method: str, path: str, actions: str, **more: Any) -> None:
    repository, digest = bens(scene)
    scope = f"repository:{repository}:{actions}"
    token = mallory(scene, scope)
    assert jwt.decode(token, options={"verify_signature": False})["access"] == []
    answer = client(scene).send(method, path.format(repository=repository, digest=digest), token, **more)
    assert answer.status_code in REFUSED, answer.text
    scene.assert_nothing_of_ben(answer.text)
    still_there(scene)


def reaches(method: str, path: str, actions: str, **more: Any) -> Callable[[Scene], None]:
    return lambda scene: asks_for_bens(scene, method, path, actions, **more)


def _pushes_a_layer(scene: Scene) -> None:
    repository, _ = bens(scene)
    token = mallory(scene, f"repository:{repository}:pull,push")
    assert client(scene).upload(repository, b"evil", token).status_code in REFUSED


def _mounts(scene: Scene) -> None:
    """A blob of Ben's appears in Mallory's repository without being sent, if the registry lets it."""
    repository, digest = bens(scene)
    ben = client(scene).given(scene.ben.name, scene.ben.token, f"repository:{repository}:pull")
    accept = {"Accept": MANIFEST}
    manifest = client(scene).send("GET", f"{repository}/manifests/{digest}", ben, headers=accept).json()
    layer = manifest["config"]["digest"]
    mine, _ = own_pushed(scene)
    token = mallory(scene, f"repository:{mine}:pull,push", f"repository:{repository}:pull")
    path = f"{mine}/blobs/uploads/?mount={layer}&from={repository}"
    assert client(scene).send("POST", path, token).status_code in REFUSED
    # without saying whence: an upload begins, but nothing is mounted
    answer = client(scene).send("POST", f"{mine}/blobs/uploads/?mount={layer}", token)
    assert answer.status_code == 202
    token = mallory(scene, f"repository:{mine}:pull")
    assert client(scene).send("GET", f"{mine}/blobs/{layer}", token).status_code == 404


def _names_bens_layer_in_an_own_manifest(scene: Scene) -> None:
    repository, digest = bens(scene)
    ben = client(scene).given(scene.ben.name, scene.ben.token, f"repository:{repository}:pull")
    accept = {"Accept": MANIFEST}
    manifest = client(scene).send("GET", f"{repository}/manifests/{digest}", ben, headers=accept).content
    mine, _ = own_pushed(scene)
    token = mallory(scene, f"repository:{mine}:pull,push")
    headers = {"Content-Type": MANIFEST}
    answer = client(scene).send("PUT", f"{mine}/manifests/theft", token, content=manifest, headers=headers)
    assert answer.status_code in (400, 404), answer.text


def _reads_the_catalogue(scene: Scene) -> None:
    token = mallory(scene, "registry:catalog:*")
    answer = client(scene).send("GET", "_catalog?n=1000", token)
    assert answer.status_code in REFUSED
    assert scene.ben.name not in answer.text


def odd_scope(scope: str) -> Callable[[Scene], None]:
    """A scope that is written so that a careless rule would take it for one's own namespace."""

    def ask(scene: Scene) -> None:
        repository, digest = bens(scene)
        token = mallory(scene, scope.format(mine=scene.mallory.name, bens=repository))
        answer = client(scene).send("GET", f"{repository}/manifests/{digest}", token)
        assert answer.status_code in REFUSED
        for one in jwt.decode(token, options={"verify_signature": False})["access"]:
            assert one["name"].startswith(f"{scene.mallory.name}/"), one
            assert "*" not in one["actions"]

    return ask


# ---------------------------------------------------------------- forged tokens
def shows(make: Callable[[Scene], str]) -> Callable[[Scene], None]:
    """Shows that token for Ben's image."""

    def show(scene: Scene) -> None:
        repository, digest = bens(scene)
        headers = {"Accept": MANIFEST}
        for method in ("GET", "DELETE"):
            answer = client(scene).send(
                method, f"{repository}/manifests/{digest}", make(scene), headers=headers
            )
            assert answer.status_code in REFUSED, answer.text
        still_there(scene)

    return show


# ---------------------------------------------------------------- accounts
def device_account(scene: Scene) -> tuple[str, str]:
    """The account that the devices of one of Ben's deployments have, as if stolen from a device."""

    def make() -> tuple[str, str]:
        database = Database.open(scene.settings.db_url, upgrade=False)
        credentials = Credentials(database)
        deployment = f"d{secrets.token_hex(5)}"
        made = credentials.issue(deployment, scene.ben.name, "stolen", [], bens(scene)[0])
        scene.keep(_revoked(credentials, deployment, database))
        return made.pull_user, made.pull_password

    return scene.once("a device's registry account", make)


@contextmanager
def _revoked(credentials: Credentials, deployment: str, database: Database) -> Iterator[None]:
    yield
    credentials.revoke(deployment)
    database.close()


def device_tries(actions: str, method: str, path: str) -> Callable[[Scene], None]:
    def attempt(scene: Scene) -> None:
        repository, digest = bens(scene)
        mine, _ = own_pushed(scene)
        where = {"bens": repository, "mine": mine, "digest": digest}
        scope = f"repository:{path.format(**where).rsplit('/', 2)[0]}:{actions}"
        token = client(scene).given(*device_account(scene), scope)
        granted = jwt.decode(token, options={"verify_signature": False})["access"]
        assert {one["name"] for one in granted} <= {repository}
        assert {action for one in granted for action in one["actions"]} <= {"pull"}
        answer = client(scene).send(method, path.format(**where), token)
        assert answer.status_code in REFUSED, answer.text
        still_there(scene)

    return attempt


def _uses_anothers_hub_token(scene: Scene) -> None:
    answer = client(scene).token(scene.ben.name, scene.mallory.token, f"repository:{bens(scene)[0]}:pull")
    assert answer.status_code == 401
    assert "token" not in answer.json()


def _uses_a_revoked_hub_token(scene: Scene) -> None:
    token = api_token(scene.settings, scene.mallory.name, expires_in=timedelta(hours=1), note="to be revoked")
    scope = f"repository:{scene.mallory.name}/by-hand:pull"
    assert client(scene).token(scene.mallory.name, token, scope).status_code == 200
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(base_url=scene.settings.hub_api_url, headers=headers, trust_env=False) as hub:
        me = hub.get("/user").json()
        assert me["name"] == scene.mallory.name
    _revoke(scene, me["token_id"])
    time.sleep(10.5)  # the lab remembers a token for ten seconds
    assert client(scene).token(scene.mallory.name, token, scope).status_code == 401


def _revoke(scene: Scene, identity: str) -> None:
    with admin_api(scene.settings) as admin:
        assert admin.delete(f"/users/{scene.mallory.name}/tokens/{identity}").status_code == 204


def _uses_an_expired_hub_token(scene: Scene) -> None:
    token = api_token(scene.settings, scene.mallory.name, expires_in=timedelta(seconds=1), note="soon over")
    time.sleep(2.5)
    answer = client(scene).token(scene.mallory.name, token, f"repository:{scene.mallory.name}/x:pull")
    assert answer.status_code == 401


def _claims_the_labs_account(scene: Scene) -> None:
    for password in ("", "_lab", scene.mallory.token):
        answer = client(scene).token("_lab", password, "registry:catalog:*")
        assert answer.status_code == 401


def _asks_for_another_service(scene: Scene) -> None:
    answer = client(scene).token(scene.mallory.name, scene.mallory.token, service="another-registry")
    assert answer.status_code == 403


def _pushes_without_room(scene: Scene) -> None:
    database = Database.open(scene.settings.db_url, upgrade=False)
    quotas = Quotas(database)
    repository, digest = own_pushed(scene)
    quotas.set("user", scene.mallory.name, "gigabytes", 0)
    try:
        answer = client(scene).token(
            scene.mallory.name, scene.mallory.token, f"repository:{repository}:pull,push"
        )
        assert answer.status_code == 429
        assert "0 GB are possible" in answer.json()["errors"][0]["message"]
        token = mallory(scene, f"repository:{repository}:pull,push,delete")
        assert client(scene).push(repository, "2", token, b"more").status_code in REFUSED
        assert client(scene).send("HEAD", f"{repository}/manifests/{digest}", token).status_code in (200, 404)
    finally:
        quotas.unset("user", scene.mallory.name, "gigabytes")
        database.close()


def _hides_layers_without_an_image(scene: Scene) -> None:
    """Layers that no manifest names are in no list: what is pushed so must count all the same."""
    database = Database.open(scene.settings.db_url, upgrade=False)
    quotas = Quotas(database)
    repository = f"{scene.mallory.name}/hidden"
    quotas.set("user", scene.mallory.name, "gigabytes", 1)
    statuses: list[int] = []
    try:
        for _ in range(30):
            answer = client(scene).token(
                scene.mallory.name, scene.mallory.token, f"repository:{repository}:pull,push"
            )
            statuses.append(answer.status_code)
            if answer.status_code != 200:
                break
            content = secrets.token_bytes(1000) + bytes(60_000_000)
            assert client(scene).upload(repository, content, answer.json()["token"]).status_code == 201
    finally:
        quotas.unset("user", scene.mallory.name, "gigabytes")
        database.close()
        clean(scene.settings, docker.from_env())
    assert statuses[-1] == 429, "more than a gigabyte was hidden in the registry"
    assert 15 <= len(statuses) <= 18


def _runs_what_was_pushed_by_hand(scene: Scene) -> None:
    repository, digest = own_pushed(scene)
    name = repository.partition("/")[2]
    for image in (f"{name}:1", name, repository, f"{repository}@{digest}"):
        with pytest.raises(LabError) as caught:
            scene.mallory.lab.start_trial(image)
        assert caught.value.code in ("image-unknown", "spec-refused")
        with pytest.raises(LabError) as caught:
            scene.mallory.lab.start_deploy(image, name="by-hand", devices=[scene.ben.device])
        assert caught.value.code in ("image-unknown", "spec-refused")


def _replaces_a_built_image_by_hand(scene: Scene) -> None:
    """The tag of an image that the lab built is Mallory's to move: what the lab runs must not move with it."""
    built = scene.mallory.lab.build(small_spec("moved", "print('as built')\n"), show=False, timeout=200)
    repository = f"{scene.mallory.name}/moved"
    token = mallory(scene, f"repository:{repository}:pull,push")
    done = client(scene).push(repository, str(built.version), token, secrets.token_bytes(500))
    assert done.status_code == 201, done.text
    scene.keep(removed(scene, repository, done.headers["Docker-Content-Digest"]))
    handle = scene.mallory.lab.start_trial(built, seconds=30)
    handle.wait(120)
    assert any(event.text.strip() == "as built" for event in handle.events())


PUT = {"content": b"{}", "headers": {"Content-Type": MANIFEST}}


def _attack(
    name: str, tries: str, must_hold: str, run: Callable[[Scene], None], layer: str = "registry token"
) -> Attack:
    return Attack(area="registry", name=name, tries=tries, must_hold=must_hold, layer=layer, run=run)


OPENS_NOTHING = "the registry takes it for no token; Ben's image stays"
NOT_HERS = "the token carries nothing and the registry refuses"
ATTACKS = (
    _attack("pull-bens-manifest", "pulls Ben's image", NOT_HERS,
            reaches("GET", "{repository}/manifests/{digest}", "pull")),
    _attack("list-bens-tags", "lists the tags of Ben's image", NOT_HERS,
            reaches("GET", "{repository}/tags/list", "pull")),
    _attack("push-to-ben", "pushes a manifest below Ben's name", NOT_HERS,
            reaches("PUT", "{repository}/manifests/evil", "pull,push", **PUT)),
    _attack("push-a-layer-to-ben", "uploads a layer below Ben's name", NOT_HERS, _pushes_a_layer),
    _attack("delete-bens-image", "deletes Ben's manifest", NOT_HERS,
            reaches("DELETE", "{repository}/manifests/{digest}", "delete")),
    _attack("delete-with-star", "asks for every action on Ben's image and deletes it", NOT_HERS,
            reaches("DELETE", "{repository}/manifests/{digest}", "*")),
    _attack("mount-bens-layer", "mounts a layer of Ben's into an own repository", "no layer of Ben's appears there",
            _mounts),
    _attack("name-bens-layer", "pushes a manifest that names Ben's layers", "the registry knows no such layer here",
            _names_bens_layer_in_an_own_manifest, "registry"),
    _attack("catalogue", "lists everybody's repositories", "the catalogue is nobody's", _reads_the_catalogue),
    _attack("scope-climbs", "asks for mallory/../ben/hut", NOT_HERS,
            odd_scope("repository:{mine}/../{bens}:pull")),
    _attack("scope-two-in-one", "hides Ben's repository behind an own one", "only her own is granted",
            odd_scope("repository:{mine}/x:pull repository:{bens}:pull,push")),
    _attack("scope-plugin", "asks for Ben's repository as a plugin", NOT_HERS,
            odd_scope("repository(plugin):{bens}:pull")),
    _attack("scope-star", "asks for everything on everything", "no star is ever granted",
            odd_scope("repository:{mine}/x:*")),
    _attack("signed-by-another-key", "signs a token with an own key", OPENS_NOTHING,
            shows(forged.signed_by_another_key)),
    _attack("own-certificate", "brings an own certificate of the signer's name", OPENS_NOTHING,
            shows(forged.signed_by_an_own_certificate)),
    _attack("another-key-of-the-lab", "signs with the registry's own TLS key, issued by the same authority",
            OPENS_NOTHING, shows(forged.signed_by_another_of_the_labs_keys)),
    _attack("key-in-the-header", "brings the key in the token's header", OPENS_NOTHING,
            shows(forged.brings_its_key_along)),
    _attack("alg-none", "sends a token without a signature", OPENS_NOTHING, shows(forged.unsigned)),
    _attack("alg-none-with-certificate", "the same, with the true certificate", OPENS_NOTHING,
            shows(forged.unsigned_with_the_certificate)),
    _attack("alg-symmetric", "signs with the public certificate as a shared secret", OPENS_NOTHING,
            shows(forged.symmetric_with_the_public_key)),
    _attack("access-rewritten", "rewrites the access of a real token", OPENS_NOTHING,
            shows(forged.access_changed_afterwards)),
    _attack("expired", "shows a token that has expired", OPENS_NOTHING,
            shows(lambda scene: forged.signed_rightly(scene, exp=int(time.time()) - 120))),
    _attack("not-yet", "shows a token that is not valid yet", OPENS_NOTHING,
            shows(lambda scene: forged.signed_rightly(scene, nbf=int(time.time()) + 600))),
    _attack("another-audience", "shows a token for another service", OPENS_NOTHING,
            shows(lambda scene: forged.signed_rightly(scene, aud="another-registry"))),
    _attack("another-issuer", "shows a token of another issuer", OPENS_NOTHING,
            shows(lambda scene: forged.signed_rightly(scene, iss="mallory"))),
    _attack("hub-token-as-bearer", "shows a hub token to the registry itself", OPENS_NOTHING,
            shows(lambda scene: scene.ben.token)),
    _attack("device-other-repository", "pulls another repository with a device's account", NOT_HERS,
            device_tries("pull", "GET", "{mine}/manifests/1")),
    _attack("device-pushes", "pushes with a device's account", "such an account only pulls",
            device_tries("pull,push", "POST", "{bens}/blobs/uploads/")),
    _attack("device-deletes", "deletes with a device's account", "such an account only pulls",
            device_tries("pull,delete", "DELETE", "{bens}/manifests/{digest}")),
    _attack("anothers-hub-token", "signs in as Ben with an own token", "no token is given",
            _uses_anothers_hub_token),
    _attack("revoked-hub-token", "uses a hub token that was revoked", "no token is given",
            _uses_a_revoked_hub_token, "token"),
    _attack("expired-hub-token", "uses a hub token that has expired", "no token is given",
            _uses_an_expired_hub_token, "token"),
    _attack("the-labs-account", "signs in as the lab itself", "no token is given", _claims_the_labs_account),
    _attack("another-service", "asks for a token for another service", "no token is given",
            _asks_for_another_service),
    _attack("push-without-room", "pushes although the namespace is full", "nothing is added",
            _pushes_without_room, "quota"),
    _attack("hide-layers", "fills the registry with layers that no image names", "they count towards the quota",
            _hides_layers_without_an_image, "quota"),
    _attack("run-by-hand", "runs and deploys an image that was pushed by hand", "the lab knows no such image",
            _runs_what_was_pushed_by_hand, "policy"),
    _attack("move-a-tag", "replaces an image that the lab built, by its tag", "what was built runs: digests count",
            _replaces_a_built_image_by_hand, "policy"),
)  # fmt: skip


@table(ATTACKS)
def test_registry(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
