"""Every route and verb with Ben's ids, without a token, and with tokens that are forged, over, or for something else.

The table is made from the API's own description, so a new route is attacked as soon as it exists.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import httpx
from cyberlab.wire import API, Phase
from cyberlab_hub.accounts import api_token
from cyberlab_hub.errors import SpecRefused
from cyberlab_hub.service.app import create_app
from cyberlab_hub.service.parts import Parts
from hostile.attack import Attack, Scene, table
from hostile.scene import wait_until
from system.hubclient import admin_api

DOCUMENT: dict[str, Any] = create_app(cast("Parts", SimpleNamespace(audit=None))).openapi()
OPEN_TO_ALL = {("get", f"{API}/health")}
"""Needs no token, on purpose."""
HER_OWN = {("put", f"{API}/specs/{{name}}"), ("put", f"{API}/shares/{{reader}}")}
"""Succeed with a name that Ben uses too, because they make something of Mallory's own."""


def operations() -> Iterator[tuple[str, str]]:
    for path, methods in DOCUMENT["paths"].items():
        for method in methods:
            yield method, path


def with_bens_ids(scene: Scene, path: str) -> str:
    """The path with what Ben has. A new parameter needs a line here."""
    ben = scene.ben
    values = {
        "job": ben.job,
        "version": "1",
        "reader": scene.carla.name,
        "name": ben.deployment,
        "kind": "user",
        "subject": ben.name,
        "quota": "images",
    }
    return path.removeprefix(API).format(**values)


def body_of(scene: Scene, method: str, path: str) -> Any:
    """A body that is right, so that nothing but the right to do it is missing."""
    image = f"{scene.ben.name}/{scene.ben.image}"
    spec = scene.ben.lab.spec("hut").model_dump(mode="json")
    bodies: dict[str, Any] = {
        "/builds": {"spec": {**spec, "name": "hers"}},
        "/trials": {"image": image},
        "/deployments": {"name": "hut", "image": image, "devices": [scene.ben.device]},
        "/trials/{job}/exec": {"command": ["id"]},
        "/storage/retention": {"days": 36_500, "really": True},
        "/storage/forget": {"measurement": "nothing", "start": 0, "stop": 1, "really": True},
        "/storage/means": {"measurement": "nothing", "every": "1h"},
        "/storage/means/stop": {"measurement": "nothing"},
        "/specs/{name}": {**spec, "env": {}, "files": []},
        "/things": {"name": "hers"},
    }
    return bodies.get(path.removeprefix(API)) if method in ("post", "put") else None


def bens_things(scene: Scene) -> dict[str, Any]:
    """What must be the same before and after: seen by Ben himself."""
    lab = scene.ben.lab
    return {
        "jobs": [(job.id, job.phase) for job in lab.jobs()],
        "images": [image.ref for image in lab.images()],
        "specs": [saved.model_dump() for saved in lab.specs()],
        "deployments": [(d.name, d.image, d.devices) for d in lab.deployments()],
        "things": [thing.name for thing in lab.things()],
        "shares": sorted((share.owner, share.reader) for share in lab.shares()),
    }


def ask(http: httpx.Client, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
    """One request whose answer is read for ten seconds at most: some answers are streams."""
    with http.stream(method.upper(), path, json=body, **more) as answer:
        text = b""
        limit = time.monotonic() + 10
        for piece in answer.iter_bytes():
            text += piece
            if len(text) > 200_000 or time.monotonic() > limit:
                break
        return httpx.Response(answer.status_code, headers=_plain(answer.headers), content=text)


def _plain(headers: httpx.Headers) -> dict[str, str]:
    return {k: v for k, v in headers.items() if k.lower() not in ("content-encoding", "content-length")}


# ---------------------------------------------------------------- another user's ids
def _with_bens_ids(method: str, path: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        before = scene.once("Ben's things", lambda: bens_things(scene))
        answer = ask(scene.mallory.http, method, with_bens_ids(scene, path), body_of(scene, method, path))
        scene.assert_nothing_of_ben(answer.text)
        if "{" in path and (method, path) not in HER_OWN:
            operation = DOCUMENT["paths"][path][method]
            refused = 403 if "administration" in operation["tags"] else 404
            assert answer.status_code == refused, f"{answer.status_code}: {answer.text[:300]}"
        assert answer.status_code < 500, answer.text[:300]
        assert bens_things(scene) == before
        if (method, path) in HER_OWN:  # so that what follows does not find something of hers
            assert ask(scene.mallory.http, "delete", with_bens_ids(scene, path)).status_code == 204

    return run


# ---------------------------------------------------------------- no token, and tokens for something else
def _without_token(method: str, path: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        with _anybody(scene) as http:
            answer = ask(http, method, with_bens_ids(scene, path), body_of(scene, method, path))
        assert answer.status_code == 401, f"{answer.status_code}: {answer.text[:300]}"

    return run


def _anybody(scene: Scene, token: str | bytes = "", **headers: str) -> httpx.Client:
    """A client with that token, or with none."""
    sent: dict[str, Any] = dict(headers)
    if token:
        sent["Authorization"] = b"Bearer " + token if isinstance(token, bytes) else f"Bearer {token}"
    return httpx.Client(base_url=f"{scene.settings.lab_url}{API}", headers=sent, trust_env=False, timeout=30)


def everywhere(scene: Scene, token: str | bytes, *statuses: int) -> None:
    """That token opens no route at all."""
    with _anybody(scene, token) as http:
        for method, path in operations():
            if (method, path) in OPEN_TO_ALL:
                continue
            answer = ask(http, method, with_bens_ids(scene, path), body_of(scene, method, path))
            assert answer.status_code in statuses, (
                f"{method} {path}: {answer.status_code} {answer.text[:200]}"
            )
            scene.assert_nothing_of_ben(answer.text)


def _token_of_mallory(scene: Scene, seconds: int = 600, **more: Any) -> str:
    return api_token(scene.settings, scene.mallory.name, expires_in=timedelta(seconds=seconds), **more)


def _forged(scene: Scene) -> None:
    everywhere(scene, secrets.token_hex(16), 401)


def _bens_with_one_letter_changed(scene: Scene) -> None:
    token = scene.ben.token
    everywhere(scene, token[:-1] + ("0" if token[-1] != "0" else "1"), 401)


def _expired(scene: Scene) -> None:
    token = _token_of_mallory(scene, 1)
    time.sleep(2)
    everywhere(scene, token, 401)


def _expired_while_remembered(scene: Scene) -> None:
    """Used before its end, so that the lab remembers it: for ten seconds at most."""
    token = _token_of_mallory(scene, 3)
    with _anybody(scene, token) as http:
        assert http.get("/me").status_code == 200
        wait_until("the end of the token", lambda: http.get("/me").status_code == 401, 20)


def _revoked(scene: Scene) -> None:
    token = _token_of_mallory(scene)
    with _anybody(scene, token) as http:
        assert http.get("/me").status_code == 200
        _revoke(scene, token)
        wait_until("the revocation", lambda: http.get("/me").status_code == 401, 20)
    everywhere(scene, token, 401)


def _revoke(scene: Scene, token: str) -> None:
    me = httpx.get(
        f"{scene.settings.hub_api_url}/user", headers={"Authorization": f"token {token}"}, trust_env=False
    ).json()
    with admin_api(scene.settings) as admin:
        done = admin.delete(f"/users/{scene.mallory.name}/tokens/{me['token_id']}")
        assert done.status_code == 204


def _with_another_scope(scene: Scene) -> None:
    everywhere(scene, _token_of_mallory(scene, scopes=("read:users:name!user",)), 403)


def _scope_narrowed_to_another(scene: Scene) -> None:
    """Her own right, but for a server: not the plain scope."""
    server = f"custom:cyberlab:use!server={scene.mallory.name}/"
    try:
        token = _token_of_mallory(scene, scopes=(server,))
    except SpecRefused:
        return
    everywhere(scene, token, 403)


def _scope_of_ben(scene: Scene) -> None:
    """A token of hers that says it is for Ben."""
    try:
        token = _token_of_mallory(scene, scopes=(f"custom:cyberlab:use!user={scene.ben.name}",))
    except SpecRefused:
        return
    everywhere(scene, token, 403)


def _administer(scene: Scene) -> None:
    try:
        token = _token_of_mallory(scene, scopes=("custom:cyberlab:admin",))
    except SpecRefused:
        return
    everywhere(scene, token, 403)


def _mint_a_wider_token(scene: Scene) -> None:
    """With the narrow token, at the hub: one that may do more."""
    url = f"{scene.settings.hub_api_url}/users/{scene.mallory.name}/tokens"
    headers = {"Authorization": f"token {scene.mallory.token}"}
    for scopes in ([], ["inherit"], ["admin:users"], ["custom:cyberlab:admin"]):
        answer = httpx.post(url, headers=headers, json={"scopes": scopes} if scopes else {}, trust_env=False)
        assert answer.status_code in (400, 403), f"{scopes}: {answer.text}"


def _hub_with_the_labs_token(scene: Scene) -> None:
    """What else the narrow token might open at the hub."""
    headers = {"Authorization": f"token {scene.mallory.token}"}
    ben = scene.ben.name
    with httpx.Client(base_url=scene.settings.hub_api_url, headers=headers, trust_env=False) as hub:
        for method, path in (
            ("GET", "/users"),
            ("GET", f"/users/{ben}"),
            ("POST", f"/users/{ben}/server"),
            ("POST", f"/users/{ben}/tokens"),
            ("GET", f"/users/{ben}/tokens"),
            ("DELETE", f"/users/{ben}"),
            ("POST", "/users"),
            ("GET", "/proxy"),
            ("POST", "/shutdown"),
            ("GET", "/services"),
            ("GET", "/groups"),
            ("POST", "/groups/cyberlab-admins/users"),
        ):
            answer = hub.request(
                method, path, json={"users": [scene.mallory.name]} if method == "POST" else None
            )
            assert answer.status_code in (403, 404), f"{method} {path}: {answer.status_code}"
            scene.assert_nothing_of_ben(answer.text)


def _token_of_her_server(scene: Scene) -> None:
    """The one JupyterHub gives to the server itself, which user code can read."""
    token = scene.server(scene.mallory).run("import os; print(os.environ['JUPYTERHUB_API_TOKEN'])")
    everywhere(scene, token, 403)


def _token_of_the_lab_service(scene: Scene) -> None:
    everywhere(scene, scene.settings.secret("hub-lab.token"), 403)


def _ingest_token(scene: Scene) -> None:
    everywhere(scene, scene.ben.stolen_token, 401)


def _passwords_of_parts(scene: Scene) -> None:
    for name in ("influx.admin", "influx.derive", "registry.lab"):
        everywhere(scene, scene.settings.secret(name), 401)


def _unsigned_jwt(scene: Scene) -> None:
    everywhere(scene, "eyJhbGciOiJub25lIn0.eyJuYW1lIjoiYWRtaW4iLCJraW5kIjoidXNlciJ9.", 401)


# ---------------------------------------------------------------- headers
def _two_headers(scene: Scene) -> None:
    """Two Authorization headers: whichever counts, it is not somebody else's."""
    headers = [("Authorization", f"Bearer {scene.mallory.token}"), ("Authorization", "Bearer forged")]
    for order in (headers, headers[::-1]):
        with httpx.Client(base_url=f"{scene.settings.lab_url}{API}", headers=order, trust_env=False) as http:
            answer = http.get("/me")
            assert answer.status_code == 401 or answer.json()["name"] == scene.mallory.name


def _token_elsewhere(scene: Scene) -> None:
    """In the address, in a cookie, in the password of Basic: none of these is read (they would be logged, or sent along)."""
    token = scene.mallory.token
    with _anybody(scene) as http:
        assert http.get("/me", params={"token": token}).status_code == 401
        assert (
            http.get("/me", headers={"Cookie": f"token={token}; jupyterhub-hub-login={token}"}).status_code
            == 401
        )
        assert http.get("/me", auth=(scene.mallory.name, token)).status_code == 401
        assert http.get("/me", headers={"X-Api-Key": token}).status_code == 401


def _claims_to_be_ben(scene: Scene) -> None:
    """Headers that a careless proxy would believe."""
    claims = (
        "X-Forwarded-User",
        "X-Remote-User",
        "Remote-User",
        "X-User",
        "X-JupyterHub-User",
        "X-Real-User",
    )
    for claim in claims:
        answer = scene.mallory.http.get("/me", headers={claim: scene.ben.name})
        assert answer.json() == {"name": scene.mallory.name}


def _another_method_in_a_header(scene: Scene) -> None:
    before = bens_things(scene)
    for name in ("X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"):
        scene.mallory.http.get(f"/deployments/{scene.ben.deployment}", headers={name: "DELETE"})
        scene.mallory.http.post("/jobs", headers={name: "GET"})
    assert bens_things(scene) == before


def _another_address_in_the_audit(scene: Scene) -> None:
    """Says that she comes from elsewhere; the audit must not believe it."""
    false = "203.0.113.77"
    for header in ("X-Forwarded-For", "X-Real-IP", "Forwarded"):
        sent = {header: f"for={false}" if header == "Forwarded" else false}
        scene.mallory.http.delete("/specs/no-such-form", headers=sent)
    token = api_token(
        scene.settings, "admin", scopes=("custom:cyberlab:admin",), expires_in=timedelta(minutes=5)
    )
    with _anybody(scene, token) as http:
        entries = http.get("/audit", params={"limit": 200}).json()
    mine = [entry for entry in entries if entry["actor"] == scene.mallory.name]
    assert mine, "the audit has nothing of Mallory: the attack proves nothing"
    # straight to the service only the hub's proxy, on the host itself, is believed; so is this test's own address
    through_the_network = [e for e in mine if e["address"] not in ("", false)]
    assert through_the_network


# ---------------------------------------------------------------- what runs
def bens_running_trial(scene: Scene) -> str:
    def make() -> str:
        handle = scene.ben.lab.start_trial(scene.ben.image, seconds=900, command=("sleep", "900"))
        wait_until("Ben's trial", lambda: handle.refresh().phase is Phase.RUNNING)
        return handle.id

    return scene.once("Ben's running trial", make)


def _at_a_running_trial(method: str, tail: str, kind: str = "trials") -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        job = bens_running_trial(scene)
        body = {"command": ["cat", "/etc/passwd"]} if tail == "/exec" else None
        answer = ask(scene.mallory.http, method, f"/{kind}/{job}{tail}", body)
        assert answer.status_code == 404, answer.text[:300]
        assert scene.ben.lab.job(job).job.phase is Phase.RUNNING

    return run


def _attacks() -> Iterator[Attack]:
    for method, path in operations():
        name = f"{method}-{path.removeprefix(API).strip('/').translate(str.maketrans('/{}', '---'))}"
        name = name.replace("--", "-").strip("-")
        yield Attack(
            "api",
            f"bens-ids-{name}",
            f"{method.upper()} {path} as Mallory with Ben's ids",
            "nothing of Ben's is seen or changed; with an id in the path it is not found",
            "owner check" if "{" in path else "policy",
            _with_bens_ids(method, path),
        )
        if (method, path) not in OPEN_TO_ALL:
            yield Attack(
                "api",
                f"no-token-{name}",
                f"{method.upper()} {path} without a token",
                "401",
                "token",
                _without_token(method, path),
            )


def _api(name: str, tries: str, must_hold: str, layer: str, run: Callable[[Scene], None]) -> Attack:
    return Attack("api", name, tries, must_hold, layer, run)


NOWHERE = "it opens no route"
ATTACKS = (
    *_attacks(),
    _api("forged-token", "makes up a token", NOWHERE, "token", _forged),
    _api("altered-token", "changes a letter of Ben's token", NOWHERE, "token", _bens_with_one_letter_changed),
    _api("unsigned-jwt", "sends an unsigned JWT that says admin", NOWHERE, "token", _unsigned_jwt),
    _api("expired-token", "uses a token after its time", NOWHERE, "token", _expired),
    _api("expired-remembered", "goes on with a token that expires in use", "refused soon", "token", _expired_while_remembered),
    _api("revoked-token", "goes on with a revoked token", "refused soon", "token", _revoked),
    _api("other-scope", "uses a token of hers for something else", NOWHERE, "scope", _with_another_scope),
    _api("scope-of-a-server", "uses a token narrowed to her server", NOWHERE, "scope", _scope_narrowed_to_another),
    _api("scope-of-ben", "asks for a token for Ben's work", "not made, or opens no route", "scope", _scope_of_ben),
    _api("scope-of-the-admin", "asks for the administrator's scope", "not made, or opens no route", "scope", _administer),
    _api("mint-a-wider-token", "makes a wider token with the narrow one", "the hub refuses", "hub", _mint_a_wider_token),
    _api("narrow-token-at-the-hub", "uses the lab's token at the hub", "the hub refuses", "hub", _hub_with_the_labs_token),
    _api("token-of-her-server", "uses the server's own hub token", NOWHERE, "scope", _token_of_her_server),
    _api("token-of-the-service", "uses the lab service's own token", NOWHERE, "scope", _token_of_the_lab_service),
    _api("ingest-token", "uses a deployment's token as a user's", NOWHERE, "token", _ingest_token),
    _api("passwords-of-parts", "uses passwords of InfluxDB and the registry", NOWHERE, "token", _passwords_of_parts),
    _api("two-authorizations", "sends two Authorization headers", "she is herself or nobody", "token", _two_headers),
    _api("token-elsewhere", "sends the token in address, cookie, Basic", "it is not read there", "token", _token_elsewhere),
    _api("claims-to-be-ben", "names Ben in headers of proxies", "she stays Mallory", "token", _claims_to_be_ben),
    _api("method-override", "hides DELETE in a header", "nothing of Ben's changes", "policy", _another_method_in_a_header),
    _api("exec-into-bens-trial", "runs a command in Ben's running trial", "not found", "owner check", _at_a_running_trial("post", "/exec")),
    _api("cancel-bens-trial", "cancels Ben's running trial", "not found; it runs on", "owner check", _at_a_running_trial("post", "/cancel")),
    _api("stop-bens-trial", "deletes Ben's running trial", "not found; it runs on", "owner check", _at_a_running_trial("delete", "")),
    _api("watch-bens-trial", "watches Ben's running trial", "not found", "owner check", _at_a_running_trial("get", "/events")),
    _api("cancel-as-another-kind", "cancels Ben's trial as a job", "not found; it runs on", "owner check", _at_a_running_trial("post", "/cancel", "jobs")),
    _api("cancel-as-a-build", "cancels Ben's trial as a build", "not found; it runs on", "owner check", _at_a_running_trial("post", "/cancel", "builds")),
)  # fmt: skip


@table(ATTACKS)
def test_api(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
