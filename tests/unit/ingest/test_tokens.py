"""Ingest tokens: looked up, remembered for a moment, revoked."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cyberlab_hub.errors import NotAllowed, NotSignedIn, PartDown
from cyberlab_hub.ingest.tokens import FRESH, LATE, STALE, Tokens
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'lab.sqlite'}")
    yield database
    database.close()


def add(database: Database, token: str, kind: str = "deployment", owner: str = "anna") -> None:
    row = IngestToken(
        hash=hashlib.sha256(token.encode()).hexdigest(),
        kind=kind,
        owner=owner,
        deployment="d1" if kind == "deployment" else None,
        name="greenhouse",
        devices=["pi01", "pi02"],
        created=now(),
    )
    with database.session() as session:
        session.add(row)


def revoke(database: Database, token: str) -> None:
    with database.session() as session:
        row = session.get(IngestToken, hashlib.sha256(token.encode()).hexdigest())
        assert row is not None
        row.revoked = now()


def test_a_deployment_and_an_agent(database: Database) -> None:
    add(database, "one")
    add(database, "two", kind="device", owner="fleet")
    tokens = Tokens(database)
    program, agent = tokens.sender("one"), tokens.device(hashlib.sha256(b"two").hexdigest())
    assert (program.owner, program.agent) == ("anna", False)
    assert program.tags("pi02") == {"device": "pi02", "deployment": "greenhouse"}
    assert (agent.owner, agent.agent, agent.tags("pi01")) == ("fleet", True, {"device": "pi01"})
    with pytest.raises(NotAllowed) as error:
        program.tags("pi03")
    assert error.value.code == "device-not-yours"


def test_a_certificate_is_no_token_and_a_token_no_certificate(database: Database) -> None:
    add(database, "one")
    add(database, "two", kind="device", owner="fleet")
    tokens = Tokens(database)
    for asked in (tokens.sender, tokens.sender_on_device):
        with pytest.raises(NotSignedIn, match="token"):
            asked("two")
    with pytest.raises(NotSignedIn) as error:
        tokens.device(hashlib.sha256(b"one").hexdigest())
    assert error.value.code == "certificate-refused"


def test_a_withdrawn_token_is_known_on_its_device_for_a_while(database: Database) -> None:
    add(database, "one")
    revoke(database, "one")
    sender = Tokens(database).sender_on_device("one")
    assert sender.owner == "anna"
    assert sender.ended is not None
    with database.session() as session:
        row = session.get(IngestToken, hashlib.sha256(b"one").hexdigest())
        assert row is not None
        row.revoked = now() - LATE - timedelta(seconds=1)
    with pytest.raises(NotSignedIn):
        Tokens(database).sender_on_device("one")


@pytest.mark.parametrize("token", ["", "nobody", "one ", "x" * 10_000, "ö"])
def test_unknown_tokens(database: Database, token: str) -> None:
    add(database, "one")
    with pytest.raises(NotSignedIn) as error:
        Tokens(database).sender(token)
    assert error.value.code == "token-refused"
    assert "one" not in str(error.value).split()


def test_a_revoked_token_lives_on_for_seconds_only(database: Database) -> None:
    add(database, "one")
    clock = Clock()
    tokens = Tokens(database, clock)
    tokens.sender("one")
    revoke(database, "one")
    clock.now += FRESH / 2
    assert tokens.sender("one").owner == "anna"
    clock.now += FRESH
    with pytest.raises(NotSignedIn):
        tokens.sender("one")


def test_a_new_token_is_known_within_seconds(database: Database) -> None:
    clock = Clock()
    tokens = Tokens(database, clock)
    with pytest.raises(NotSignedIn):
        tokens.sender("one")
    add(database, "one")
    clock.now += FRESH
    assert tokens.sender("one").owner == "anna"


def test_known_devices_go_on_while_the_labs_database_is_away(tmp_path: Path) -> None:
    path = tmp_path / "lab.sqlite"
    database = Database.open(f"sqlite:///{path}")
    add(database, "one")
    clock = Clock()
    tokens = Tokens(database, clock)
    tokens.sender("one")
    database.close()
    for file in tmp_path.glob("lab.sqlite*"):
        file.unlink()
    path.mkdir()
    clock.now += FRESH * 2
    assert tokens.sender("one").owner == "anna"
    with pytest.raises(PartDown):
        tokens.sender("two")
    clock.now += STALE
    with pytest.raises(PartDown):
        tokens.sender("one")
    database.close()
