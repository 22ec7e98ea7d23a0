"""What everybody's readings take up, and removing those of accounts that are gone."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import pytest
from cyberlab_hub import accounts, cli
from cyberlab_hub.errors import Conflict, NotFound
from cyberlab_hub.ingest import store as store_module
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.ingest.tokens import FRESH
from cyberlab_hub.service import departed
from cyberlab_hub.service.departed import Departed
from cyberlab_hub.service.models import PullAccount, ShareRow
from cyberlab_hub.service.models_readings import MeansRow, RetentionRow
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import workshop as workshop_module
from service_lab import ServiceLab
from sqlalchemy import select
from typer.testing import CliRunner

T = 1_700_000_000_000_000_000
ACCOUNTS = frozenset({"anna", "root"})


@pytest.fixture
def filled(service: ServiceLab) -> ServiceLab:
    """Readings of anna and ben; ben has a rule, days and a share."""
    for client, readings in ((service.anna, 1), (service.ben, 5)):
        client.post(
            "/write", content="\n".join(f"t value=1 {T + n}" for n in range(readings))
        ).raise_for_status()
    service.ben.put("/storage/retention", json={"days": 30_000, "really": True}).raise_for_status()
    service.ben.put("/storage/means", json={"measurement": "t", "every": "1h"}).raise_for_status()
    service.ben.put("/shares/anna").raise_for_status()
    service.anna.put("/shares/ben").raise_for_status()
    return service


def about_ben(service: ServiceLab) -> list[str]:
    with service.database.session() as session:
        return [
            column.class_.__tablename__
            for column in (RetentionRow.owner, MeansRow.owner, ShareRow.owner, ShareRow.reader)
            for _ in session.scalars(select(column).where(column == "ben"))
        ]


def test_an_administrator_sees_everybody_the_largest_first(filled: ServiceLab) -> None:
    filled.store.ensure_owner("stranger")
    rows = filled.root.get("/storage/owners").json()
    assert [(row["owner"], row["account"]) for row in rows[:2]] == [("ben", True), ("anna", True)]
    assert (rows[0]["keep_days"], rows[0]["means"], rows[0]["possible_mb"]) == (30_000, 1, 2000)
    stranger = next(row for row in rows if row["database"] == database_of("stranger"))
    assert (stranger["owner"], stranger["account"]) == (None, False)
    assert filled.ben.get("/storage/owners").status_code == 403


def test_what_is_dropped_takes_its_rows_along(filled: ServiceLab) -> None:
    assert set(about_ben(filled)) == {"retention", "means", "share"}
    assert filled.parts.owners.drop("ben", ACCOUNTS) == database_of("ben")
    assert about_ben(filled) == []
    assert database_of("ben") not in filled.store.lines
    assert len(filled.store.lines[database_of("anna")]) == 1


def test_a_database_that_nobody_knows_goes_by_its_own_name(filled: ServiceLab) -> None:
    filled.store.ensure_owner("stranger")
    filled.parts.owners.drop(database_of("stranger"), ACCOUNTS)
    assert database_of("stranger") not in filled.store.lines


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("anna", "account-exists"),
        (database_of("anna"), "account-exists"),
        ("nobody", "owner-unknown"),
        ("fleet", "owner-unknown"),
        ('x"; DROP DATABASE "fleet', "owner-unknown"),
        ("u_", "owner-unknown"),
    ],
)
def test_what_is_in_use_stays(filled: ServiceLab, name: str, code: str) -> None:
    before = dict(filled.store.lines)
    with pytest.raises((Conflict, NotFound)) as refused:
        filled.parts.owners.drop(name, ACCOUNTS)
    assert refused.value.code == code
    assert filled.store.lines == before


def test_who_may_still_send_is_not_dropped(filled: ServiceLab) -> None:
    filled.ben.post("/things", json={"name": "uno"}).raise_for_status()
    with pytest.raises(Conflict, match=r"thing uno.*cyberlab-hub storage --drop ben --stop") as refused:
        filled.parts.owners.drop("ben", ACCOUNTS)
    assert refused.value.code == "tokens-live"
    assert len(about_ben(filled)) == 4
    filled.ben.delete("/things/uno").raise_for_status()
    filled.parts.owners.drop("ben", ACCOUNTS)


def test_ending_what_sends_touches_nobody_else(filled: ServiceLab) -> None:
    filled.ben.post("/things", json={"name": "uno"}).raise_for_status()
    filled.anna.post("/things", json={"name": "due"}).raise_for_status()
    for client in (filled.anna, filled.ben):
        filled.built(client)
        deploying = client.post(
            "/deployments", json={"name": "g", "image": "greenhouse:1", "devices": ["pi01"]}
        )
        assert filled.ended(client, deploying.json()["id"])["phase"] == "done"
    waited: list[float] = []
    noted: list[str] = []

    @contextmanager
    def note(action: str, about: str) -> Iterator[None]:
        noted.append(f"{action} {about}")
        yield

    Departed(filled.database, filled.workshop, waited.append).end("ben", note)
    assert noted == ["remove_deployment ben/g", "remove_thing ben/uno"]
    assert (filled.ben.get("/deployments").json(), filled.ben.get("/things").json()) == ([], [])
    assert list(filled.workshop.deployed) == [("anna", "g")]
    assert [len(filled.anna.get(path).json()) for path in ("/deployments", "/things")] == [1, 1]
    with filled.database.session() as session:
        assert session.scalars(select(PullAccount.repository)).all() == ["anna/greenhouse"]
    assert waited == [FRESH + 1], "until the gateway has forgotten the tokens"
    filled.parts.owners.drop("ben", ACCOUNTS)


def test_what_is_just_being_deployed_is_not_ended(filled: ServiceLab) -> None:
    go_on = threading.Event()
    filled.workshop.during_deploy = lambda _order, _progress: assert_waited(go_on)
    filled.built(filled.ben)
    job = filled.ben.post(
        "/deployments", json={"name": "g", "image": "greenhouse:1", "devices": ["pi01"]}
    ).json()["id"]
    try:
        with pytest.raises(Conflict) as refused:
            Departed(filled.database, filled.workshop, lambda _: None).end("ben", lambda *_: nullcontext())
        assert refused.value.code == "deployment-busy"
    finally:
        go_on.set()
    assert filled.ended(filled.ben, job)["phase"] == "done"


def assert_waited(event: threading.Event) -> None:
    assert event.wait(10)


# ---------------------------------------------------------------- the command
@pytest.fixture
def call(filled: ServiceLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """`cyberlab-hub storage ...` on the service's own database and store."""
    monkeypatch.setenv("CYBERLAB_STATE", str(tmp_path))
    monkeypatch.setattr(cli.os, "geteuid", lambda: 0)
    monkeypatch.setattr(store_module, "open_store", lambda _: filled.store)
    monkeypatch.setattr(filled.workshop, "close", lambda: None, raising=False)
    monkeypatch.setattr(workshop_module, "DockerWorkshop", lambda _: filled.workshop)
    monkeypatch.setattr(departed, "FRESH", -1)  # nothing to wait for: there is no gateway
    accounts.create_account(Settings(state=tmp_path), "anna", "three words of mine")
    return lambda *argv: CliRunner().invoke(cli.app, ["storage", *argv])


def test_the_command_shows_and_drops(call: Callable[..., Any], filled: ServiceLab) -> None:
    rows = {row["owner"]: row for row in json.loads(call("--json").stdout)}
    assert (rows["anna"]["account"], rows["ben"]["account"]) == (True, False)
    assert "ben" in call().output
    assert call("--drop", "ben").exit_code == 1, "nobody is there to be asked"
    assert "ben" in {row["owner"] for row in json.loads(call("--json").stdout)}
    assert call("--drop", "anna", "--yes").exit_code == 1
    done = call("--drop", "ben", "--yes")
    assert done.exit_code == 0, done.output
    assert "ben" not in {row["owner"] for row in json.loads(call("--json").stdout)}
    noted = [
        (row["object"], row["allowed"], row["reason"])
        for row in filled.root.get("/audit", params={"action": "drop_readings"}).json()
    ]
    assert noted == [("ben", True, ""), ("anna", False, "account-exists"), ("ben", False, "not-confirmed")]


def test_the_command_ends_what_may_still_send(call: Callable[..., Any], filled: ServiceLab) -> None:
    filled.ben.post("/things", json={"name": "uno"}).raise_for_status()
    refused = call("--drop", "ben", "--yes")
    assert (refused.exit_code, "storage --drop ben --stop" in " ".join(refused.output.split())) == (1, True)
    assert call("--drop", "ben", "--stop").exit_code == 1, "nobody is there to be asked"
    assert filled.ben.get("/things").json() != []
    done = call("--drop", "ben", "--stop", "--yes")
    assert done.exit_code == 0, done.output
    assert "ended: thing uno" in done.output
    assert database_of("ben") not in filled.store.lines
    noted = [
        (row["actor"], row["object"])
        for row in filled.root.get("/audit", params={"action": "remove_thing"}).json()
    ]
    assert noted == [("operator", "ben/uno")]


def test_the_command_takes_several_owners(call: Callable[..., Any], filled: ServiceLab) -> None:
    filled.store.ensure_owner("stranger")
    done = call("--drop", "ben", database_of("stranger"), "--yes")
    assert done.exit_code == 0, done.output
    assert not {database_of("ben"), database_of("stranger")} & filled.store.lines.keys()
    assert call("--drop", "--yes").exit_code == 2
    assert call("ben", "--stop").exit_code == 2
    assert [row["owner"] for row in json.loads(call("anna", "--json").stdout)] == ["anna"]
    assert call("nobody").exit_code == 1
