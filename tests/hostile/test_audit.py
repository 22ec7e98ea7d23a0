"""The audit under attack: read it, change it, flood it, act past it, get a secret into it, lie about where one is.

Eve attacks here, under a name of her own: an account's minute has only so many rows, and Mallory uses hers elsewhere.
"""

from __future__ import annotations

import json
import secrets
import ssl
import time
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any

import httpx
import pytest
from cyberlab.wire import API
from cyberlab_hub import reach
from cyberlab_hub.accounts import ADMINISTER, api_token
from cyberlab_hub.demo.browser import Browser
from cyberlab_hub.errors import WorkFailed
from cyberlab_hub.service.database import Database
from hostile.attack import Attack, Scene, table
from hostile.registry_client import Client
from hostile.scene import Someone, small_spec, wait_until
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

Row = dict[str, Any]
MARK = "5ecr3t-" + secrets.token_hex(6)
"""Eve puts it wherever a secret could be; no row may hold it."""
FLOOD = 300
FEW = 61
"""What all strangers together can add in a minute, counts included (`service.floods`)."""


# ---------------------------------------------------------------- who looks
def eve(scene: Scene) -> Someone:
    found: Someone = scene.once("eve", lambda: scene.someone("eve"))
    return found


def administrator(scene: Scene) -> httpx.Client:
    def made() -> httpx.Client:
        scopes, life = (ADMINISTER,), timedelta(minutes=30)
        token = api_token(scene.settings, "admin", scopes=scopes, expires_in=life, note="hostile audit")
        headers = {"Authorization": f"Bearer {token}"}
        base = f"{scene.settings.public_url}{API}"
        opened: httpx.Client = scene.keep(
            reach.client(scene.settings, base_url=base, headers=headers, timeout=60)
        )
        return opened

    client: httpx.Client = scene.once("administrator of the audit", made)
    return client


def registry(scene: Scene) -> Client:
    found: Client = scene.once("registry of the audit", lambda: scene.keep(closing(Client(scene.settings))))
    return found


def rows(scene: Scene, after: int = 0, **wanted: str | int) -> list[Row]:
    """Oldest first."""
    answer = administrator(scene).get("/audit", params={"format": "jsonl", "after": after, **wanted})
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def last(scene: Scene) -> int:
    newest = administrator(scene).get("/audit", params={"limit": 1}).json()
    return int(newest[0]["id"]) if newest else 0


def one_row(
    scene: Scene, act: Callable[[], object], action: str, reason: str, actor: str | None = None, **wanted: str
) -> Row:
    """After `act`, exactly one row of that action says why it was refused."""
    before = last(scene)
    act()
    who = eve(scene).name if actor is None else actor
    query = {"actor": who, "action": action, **wanted}
    # the gateway and the hub post theirs a moment later
    wait_until(f"a row of {action}", lambda: rows(scene, before, **query), 15)
    found = rows(scene, before, **query)
    assert len(found) == 1, found
    assert (found[0]["allowed"], found[0]["times"]) == (False, 1)
    assert found[0]["reason"].startswith(reason), found
    return found[0]


# ---------------------------------------------------------------- reading and changing
def reads(**params: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        answer = eve(scene).http.get("/audit", params=params)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope-missing")
        assert scene.ben.name not in answer.text

    return run


def changes(method: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        first = rows(scene, limit=1)
        for client in (eve(scene).http, administrator(scene)):
            for path in ("/audit", f"/audit/{first[0]['id']}", "/audit?actor=nobody"):
                answer = client.request(method, path, json={"actor": "nobody", "allowed": True})
                assert answer.status_code in (403, 404, 405), path
        assert rows(scene, limit=1) == first

    return run


def in_the_database(statement: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        before = last(scene)
        with (
            closing(Database.open(scene.settings.db_url, upgrade=False)) as database,
            pytest.raises(DBAPIError, match="rows of the audit"),
            database.engine.begin() as connection,
        ):
            connection.execute(text(statement))
        assert last(scene) >= before > 0

    return run


# ---------------------------------------------------------------- acting past it
def _foreign_job(scene: Scene) -> None:
    job, unknown = scene.ben.job, "b" + secrets.token_hex(8)
    row = one_row(scene, lambda: eve(scene).http.get(f"/jobs/{job}"), "read_job", "not-yours")
    assert row["object"] == job
    row = one_row(scene, lambda: eve(scene).http.get(f"/jobs/{unknown}"), "read_job", "job-unknown")
    assert row["object"] == unknown
    seen = {eve(scene).http.get(f"/jobs/{one}").text.replace(one, "") for one in (job, unknown)}
    assert len(seen) == 1, "Eve can tell the two apart"


def _cancels_foreign_job(scene: Scene) -> None:
    path = f"/jobs/{scene.ben.job}/cancel"
    one_row(scene, lambda: eve(scene).http.post(path), "cancel_job", "not-yours")


def _reads_foreign_data(scene: Scene) -> None:
    params = {"q": f"SELECT * FROM heartbeat -- {MARK}", "db": scene.ben.name}
    row = one_row(scene, lambda: eve(scene).http.get("/query", params=params), "query", "database-not-shared")
    assert row["object"] == scene.ben.name


def _drops_a_database(scene: Scene) -> None:
    params = {"q": "DROP DATABASE fleet"}
    one_row(scene, lambda: eve(scene).http.get("/query", params=params), "query", "query-refused")


def _builds_what_is_refused(scene: Scene) -> None:
    spec = {**small_spec("evil", "").model_dump(mode="json"), "custom": "FROM scratch"}
    row = one_row(
        scene, lambda: eve(scene).http.post("/builds", json={"spec": spec}), "start_build", "spec-refused"
    )
    assert row["object"] == f"{eve(scene).name}/evil"


def _runs_foreign_image(scene: Scene) -> None:
    image = f"{scene.ben.name}/{scene.ben.image}"
    one_row(
        scene, lambda: eve(scene).http.post("/trials", json={"image": image}), "start_trial", "spec-refused"
    )


def _pulls_foreign_image(scene: Scene) -> None:
    repository = f"{scene.ben.name}/hut"
    wanted = f"repository:{repository}:pull"
    me = eve(scene)
    row = one_row(
        scene,
        lambda: registry(scene).token(me.name, me.token, wanted),
        "registry_access",
        "not-yours",
    )
    assert row["object"] == f"{repository} (pull)"


def _guesses_a_password(scene: Scene) -> None:
    def guess() -> None:
        with Browser(scene.settings) as browser, pytest.raises(WorkFailed):
            browser.sign_in(eve(scene).name, MARK)

    one_row(scene, guess, "sign_in", "password-wrong", actor="", object=eve(scene).name)


def _writes_as_another_device(scene: Scene) -> None:
    other = next(device.name for device in scene.ben.lab.devices() if device.name != scene.ben.device)
    row = one_row(
        scene,
        lambda: points(scene, scene.ben.stolen_token, other, f"t,k={MARK} v=1"),
        "ingest_write",
        "device-not-yours",
        actor=scene.ben.name,
    )
    assert other in row["object"]


def _claims_another_device(scene: Scene) -> None:
    line = f"t,device=elsewhere,k={MARK} v=1"
    row = one_row(
        scene,
        lambda: points(scene, scene.ben.stolen_token, scene.ben.device, line),
        "ingest_write",
        "identity-claimed",
        actor=scene.ben.name,
    )
    assert scene.ben.device in row["object"]


def points(scene: Scene, token: str, device: str, line: str) -> None:
    trust = ssl.create_default_context(cafile=str(scene.settings.certs / "ca.crt"))
    headers = {"Authorization": f"Bearer {token}", "X-Cyberlab-Device": device}
    with httpx.Client(verify=trust, trust_env=False, timeout=30) as client:
        body = f"{line} {time.time_ns()}".encode()
        client.post(f"{scene.settings.ingest_url}/api/v1/write", content=body, headers=headers)


# ---------------------------------------------------------------- flooding and lying
def _floods_without_a_token(scene: Scene) -> None:
    before = last(scene)
    base = f"{scene.settings.public_url}{API}"
    with reach.client(scene.settings, base_url=base, timeout=60) as client:
        for number in range(FLOOD):
            path = ("/images", "/jobs", "/devices", f"/jobs/{number}", f"/no/such/{number}")[number % 5]
            headers = {
                "Authorization": f"Bearer {MARK}{number}",
                "X-Forwarded-For": f"10.1.{number // 256}.{number % 256}",
            }
            assert client.post(path, headers=headers).status_code in (401, 404, 405)

    def fresh_rows() -> list[Row]:
        return [row for row in rows(scene, before) if not row["actor"]]

    # where strangers had used up this minute's rows before, the count is told when the minute is over
    wait_until("the flood's row", fresh_rows, 75)
    fresh = fresh_rows()
    assert len(fresh) <= FEW
    assert not any(row["address"].startswith("10.1.") for row in fresh)


def _floods_with_refused_acts(scene: Scene) -> None:
    flooder = scene.once("flooder", lambda: scene.someone("fred"))
    before = last(scene)
    for number in range(FLOOD):
        flooder.http.delete(f"/images/x{number}/1")
    fresh = rows(scene, before, actor=flooder.name)
    assert 0 < len(fresh) < FLOOD / 3
    row = one_row(
        scene, lambda: eve(scene).http.delete("/images/hidden-among-them/1"), "delete_image", "image-unknown"
    )
    assert row["object"] == "hidden-among-them/1"


def _says_she_is_elsewhere(scene: Scene) -> None:
    before = last(scene)
    claims = dict.fromkeys(("X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP"), "203.0.113.66")
    headers = {"Authorization": f"Bearer {eve(scene).token}", **claims}
    with reach.client(scene.settings, base_url=f"{scene.settings.public_url}{API}") as client:
        assert client.delete("/specs/not-there", headers=headers).status_code == 404
    (row,) = rows(scene, before, actor=eve(scene).name, action="delete_spec")
    assert row["address"]
    assert row["address"] != "203.0.113.66"


def _smuggles_secrets(scene: Scene) -> None:
    http = eve(scene).http
    spec = small_spec("keeper", f"print('{MARK}')").model_dump(mode="json") | {"env": {"KEY": MARK}}
    http.put("/specs/keeper", json=spec)
    http.post("/builds", json={"spec": {**spec, "name": "NOT-A-NAME"}})
    http.post("/builds", json={"spec": {**spec, MARK: 1}})
    http.post("/trials", json={"image": "none", "env": {"KEY": MARK}, "command": ["echo", MARK]})
    http.post("/deployments", json={"name": "x", "image": "none", "devices": ["pi01"], "env": {"KEY": MARK}})
    http.post("/write", content=f'keeper text="{MARK}" {time.time_ns()}'.encode())
    http.get("/images", headers={"Authorization": f"Bearer {MARK}", "Cookie": f"s={MARK}"})
    http.delete("/specs/keeper", params={"token": MARK}, headers={"X-Key": MARK})
    registry(scene).token(eve(scene).name, MARK, f"repository:{eve(scene).name}/x:pull")
    points(scene, MARK, "pi01", "t v=1")
    time.sleep(2)  # the gateway posts a moment later
    kept = json.dumps(rows(scene))
    assert eve(scene).name in kept
    assert MARK not in kept
    for secret in (eve(scene).token, scene.ben.token, scene.ben.stolen_token, eve(scene).person.password):
        assert secret not in kept


def attack(name: str, tries: str, must_hold: str, layer: str, run: Callable[[Scene], None]) -> Attack:
    return Attack(area="audit", name=name, tries=tries, must_hold=must_hold, layer=layer, run=run)


ONE = "the act is refused and exactly one row says so"
ATTACKS = (
    attack("read", "reads the audit", "only administrators read it", "scope", reads()),
    attack("read-lines", "exports the audit", "only administrators read it", "scope", reads(format="jsonl")),
    attack("read-bens", "reads Ben's rows", "only administrators read it", "scope", reads(actor="ben")),
    *(
        attack(f"change-by-{m.lower()}", f"{m}s to the audit", "no call changes a row", "guard", changes(m))
        for m in ("POST", "PUT", "PATCH", "DELETE")
    ),
    attack(
        "update-in-the-database", "changes rows with the lab's own rights", "the database refuses",
        "database", in_the_database("UPDATE audit SET actor = 'nobody'"),
    ),
    attack(
        "delete-in-the-database", "removes rows with the lab's own rights", "the database refuses",
        "database", in_the_database("DELETE FROM audit WHERE id > 0"),
    ),
    attack("foreign-job", "reads Ben's job", f"{ONE}; she cannot tell it from none", "owner check", _foreign_job),
    attack("cancel-foreign-job", "cancels Ben's job", ONE, "owner check", _cancels_foreign_job),
    attack("foreign-data", "reads Ben's readings", ONE, "InfluxDB rights", _reads_foreign_data),
    attack("drop-a-database", "drops a database by a query", ONE, "query gate", _drops_a_database),
    attack("refused-build", "builds FROM scratch", ONE, "policy", _builds_what_is_refused),
    attack("foreign-image", "runs Ben's image", ONE, "policy", _runs_foreign_image),
    attack("foreign-pull", "asks the registry for Ben's image", ONE, "registry token", _pulls_foreign_image),
    attack("wrong-password", "guesses a password", ONE, "hub", _guesses_a_password),
    attack("other-device", "uses a stolen token on another device", ONE, "gateway", _writes_as_another_device),
    attack("claimed-device", "writes points in another device's name", ONE, "gateway", _claims_another_device),
    attack(
        "flood-without-token", "sends 300 requests with unknown tokens and claimed addresses",
        "few rows, and the flood is counted", "guard", _floods_without_a_token,
    ),
    attack(
        "flood-of-refusals", "sends 300 requests that are refused",
        "few rows, and another's act is seen among them", "guard", _floods_with_refused_acts,
    ),
    attack(
        "false-address", "says that the request comes from elsewhere", "the row has the real address", "proxy",
        _says_she_is_elsewhere,
    ),
    attack(
        "secrets", "puts secrets into every field of every door", "none of them is in any row", "guard",
        _smuggles_secrets,
    ),
)  # fmt: skip


@table(ATTACKS)
def test_audit(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
