"""Who may sign in at the broker, what it says, and batches of one owner; the broker is in tests/contract."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyberlab.wire import AuditEntry
from cyberlab_hub.errors import OverQuota, PartDown
from cyberlab_hub.ingest.mqtt.batch import Batches, Message
from cyberlab_hub.ingest.mqtt.logins import PASSWORDS, RIGHTS, Files, Login, read_logins
from cyberlab_hub.ingest.mqtt.watch import entry_of
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.refusals import Refusals
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.service.mqtt_logins import password_hash, topic_of, user_of
from cyberlab_hub.service.policy import Allowance
from fakes import FakeStore

T = 1_700_000_000_000_000_000


def test_a_password_as_mosquitto_keeps_it() -> None:
    _, kind, rounds, salt, digest = password_hash("a token").split("$")
    assert kind == "7"
    again = hashlib.pbkdf2_hmac("sha512", b"a token", base64.b64decode(salt), int(rounds))
    assert base64.b64decode(digest) == again
    assert password_hash("a token") != password_hash("a token")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database.open(f"sqlite:///{tmp_path / 'lab.sqlite'}")
    yield database
    database.close()


def add(database: Database, token: str, kind: str, devices: list[str], **more: object) -> str:
    """A token of anna's; its hash."""
    digest = hashlib.sha256(token.encode()).hexdigest()
    given = {"owner": "anna", "name": "green", "mqtt": f"hash of {token}", "created": now(), **more}
    with database.session() as session:
        session.add(IngestToken(hash=digest, kind=kind, devices=devices, **given))
    return digest


def test_a_login_for_each_token_and_device(database: Database) -> None:
    run = add(database, "one", "deployment", ["pi01", "pi02"])
    thing = add(database, "two", "thing", ["balcony"], name="balcony")
    add(database, "gone", "thing", ["roof"], revoked=now())
    add(database, "agent", "device", ["pi01"], owner="fleet", mqtt=None)
    logins = read_logins(database)
    assert set(logins) == {user_of(run, "pi01"), user_of(run, "pi02"), user_of(thing, "balcony")}
    login = logins[user_of(run, "pi02")]
    assert login.sender.tags(login.device) == {"device": "pi02", "deployment": "green"}
    assert logins[user_of(thing, "balcony")].sender.tags("balcony") == {"device": "balcony", "deployment": ""}
    assert "hash of" not in repr(login)


def test_the_files_let_in_only_whose_session_is_there(database: Database, tmp_path: Path) -> None:
    anna = user_of(add(database, "one", "thing", ["balcony"]), "balcony")
    ben = user_of(add(database, "two", "thing", ["roof"], owner="ben"), "roof")
    files = Files(tmp_path, "the gateway's own")
    logins = read_logins(database).values()
    assert files.write(logins, ["anna", "ben"], ["anna"])
    passwords, rights = (tmp_path / PASSWORDS).read_text(), (tmp_path / RIGHTS).read_text()
    users = [line.partition(":")[0] for line in passwords.splitlines()]
    assert users == ["gateway", "gateway.anna", "gateway.ben", anna]
    assert "the gateway's own" not in passwords
    assert ben not in rights
    of_anna = rights.partition(f"user {anna}\n")[2].splitlines()
    assert of_anna == [
        f"topic write cyberlab/anna/{anna}/#",
        f"topic write cyberlab/anna/{anna}",
        f"topic read refused/anna/{anna}",
        "",
    ]
    assert files.ready() == {"anna"}
    assert not files.write(logins, ["anna", "ben"], ["anna"]), "nothing has changed"
    assert files.write((), ["anna", "ben"], ["anna"])
    assert files.ready() == set()


def test_what_the_broker_says_on_its_own_topic() -> None:
    full = entry_of("x: Outgoing messages are being dropped for client gateway.anna.")
    assert full is not None
    assert (full.actor, full.reason) == ("anna", "queue-full")
    for other in (
        "1795527722: Client gateway disconnected.",
        "x: Client x: Outgoing messages are being dropped for client gateway.anna. disconnected, not authorised.",
    ):
        assert entry_of(other) is None, other


# ---------------------------------------------------------------- batches
class Wrote:
    """Batches of anna's, and what became of them."""

    def __init__(self, logins: dict[str, Login], points: int = 10**9) -> None:
        self.store = FakeStore()
        self.noted: list[AuditEntry] = []
        self.told: list[tuple[str, bytes]] = []
        pace = Pace(lambda _: Allowance("points", points), clock=lambda: 0.0)
        self.batches = Batches(
            "anna",
            lambda: logins,
            self.store,
            pace,
            Refusals(self.noted.append),
            lambda topic, text: self.told.append((topic, text)),
        )

    def write(self, *messages: tuple[str, bytes]) -> list[int]:
        done: list[int] = []
        parsed = [
            self.batches.parse(Message(n, topic, payload, T)) for n, (topic, payload) in enumerate(messages)
        ]
        try:
            for places in self.batches.write(parsed):
                done += places
        except (OverQuota, PartDown) as error:
            self.noted.append(
                AuditEntry(at=now(), actor="", action="", object="", allowed=False, reason=error.code)
            )
        return sorted(done)

    @property
    def lines(self) -> list[bytes]:
        return self.store.lines.get(database_of("anna"), [])


def test_lines_are_counted_in_their_own_message(database: Database) -> None:
    user = user_of(add(database, "one", "deployment", ["pi01"]), "pi01")
    wrote = Wrote(read_logins(database))
    topic = topic_of("anna", user)
    first = b"t v=1 %d\nt v=2 %d" % (T, T + 1)
    second = b"t v=3 %d\nbad\nt,device=pi02 v=4 %d" % (T + 2, T)
    assert wrote.write((topic, first), (topic, second)) == [0, 1]
    assert len(wrote.lines) == 3
    ((where, text),) = wrote.told
    assert where == f"refused/anna/{user}"
    told = json.loads(text)
    assert (told["refused"], [line["line"] for line in told["lines"]]) == (2, [2, 3])
    assert [(e.actor, e.object, e.reason) for e in wrote.noted] == [
        ("anna", "green on pi01", "identity-claimed")
    ]


def test_a_withdrawn_token_and_another_owners_are_refused_by_the_topic(database: Database) -> None:
    other = user_of(add(database, "two", "thing", ["roof"], owner="ben"), "roof")
    wrote = Wrote(read_logins(database))
    sent = [(topic_of("anna", user) + "/t", b"1") for user in ("0123456789abcdef.gone", other, "")]
    assert wrote.write(*sent) == [0, 1, 2], "they are dealt with: nobody waits for them"
    assert wrote.lines == []
    assert {entry.reason for entry in wrote.noted} == {"token-refused"}


def test_who_is_over_the_rate_waits_and_what_was_written_does_not_come_again(database: Database) -> None:
    users = [user_of(add(database, name, "thing", [name]), name) for name in ("a", "b")]
    wrote = Wrote(read_logins(database), points=1)
    many = b"\n".join(b"t v=1 %d" % (T + n) for n in range(12))  # more than the burst of ten
    assert wrote.write((topic_of("anna", users[0]), many), (topic_of("anna", users[1]), b"t v=2 %d" % T)) == [
        0
    ]
    assert wrote.noted[-1].reason == "quota-points"
    assert len(wrote.lines) == 12


def test_while_the_database_is_down_nothing_is_done(database: Database) -> None:
    user = user_of(add(database, "one", "thing", ["a"]), "a")
    wrote = Wrote(read_logins(database))
    wrote.store.down = PartDown("database-down", "away")
    assert wrote.write((topic_of("anna", user) + "/t", b"1")) == []
    wrote.store.down = None
    assert wrote.write((topic_of("anna", user) + "/t", b"1")) == [0]
