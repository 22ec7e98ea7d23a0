"""The gateway's answers, without TLS and InfluxDB. (With both: ``tests/contract/test_ingest.py``.)"""

from __future__ import annotations

import asyncio
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cyberlab.wire import AuditEntry
from cyberlab_edge.frames import BODY_BYTES, BODY_LINES
from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest import app as app_module
from cyberlab_hub.ingest.app import create_app
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.ingest.tokens import Tokens
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.service.policy import Allowance
from fakes import FakeStore

T = 1_700_000_000_000_000_000
Call = Callable[..., httpx.Response]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def tokens(tmp_path: Path) -> Iterator[Tokens]:
    database = Database.open(f"sqlite:///{tmp_path / 'lab.sqlite'}")
    with database.session() as session:
        for token, kind, owner in (("one", "deployment", "anna"), ("agent", "device", "fleet")):
            digest = hashlib.sha256(token.encode()).hexdigest()
            session.add(
                IngestToken(
                    hash=digest, kind=kind, owner=owner, name="green", devices=["pi01"], created=now()
                )
            )
    yield Tokens(database)
    database.close()


@pytest.fixture
def call(store: FakeStore, tokens: Tokens) -> Call:
    app = create_app(store, tokens, unlimited())

    def post(body: object = b"t value=1 %d" % T, **headers: str) -> httpx.Response:
        sent = {"Authorization": "Bearer one", "X-Cyberlab-Device": "pi01", **headers}

        async def go() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(app), base_url="http://gateway"
            ) as client:
                if body is None:
                    return await client.get("/health")
                return await client.post("/api/v1/write", content=body, headers=sent)  # type: ignore[arg-type]  # bytes or an iterator of them

        return asyncio.run(go())

    return post


def unlimited() -> Pace:
    return Pace(lambda _owner: Allowance("points", 10**9))


def code(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["code"])


def test_points_land_stamped_in_the_owners_database(call: Call, store: FakeStore) -> None:
    answer = call(b"t value=1 %d\nbad" % T)
    assert answer.status_code == 200
    assert answer.json()["written"] == 1
    assert answer.json()["refused"][0]["line"] == 2
    assert store.lines[database_of("anna")] == [b"t,deployment=green,device=pi01 value=1 %d" % T]


def test_a_devices_certificate_is_no_token(call: Call, store: FakeStore) -> None:
    assert call(Authorization="Bearer agent").status_code == 401
    assert not any(store.lines.values())


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ({"Authorization": ""}, 401, "token-missing"),
        ({"Authorization": "Basic b25l"}, 401, "token-missing"),
        ({"Authorization": "Bearer two"}, 401, "token-refused"),
        ({"X-Cyberlab-Device": "pi02"}, 403, "device-not-yours"),
        ({"X-Cyberlab-Device": ""}, 403, "device-not-yours"),
    ],
)
def test_who_may_not(
    call: Call, store: FakeStore, headers: dict[str, str], status: int, expected: str
) -> None:
    answer = call(**headers)
    assert (answer.status_code, code(answer)) == (status, expected)
    assert database_of("anna") not in store.lines


def test_a_body_is_cut_off_while_it_is_read(call: Call) -> None:
    read = 0

    async def endless() -> object:
        nonlocal read
        while True:
            read += 1
            assert read < 100
            yield b"x" * 100_000

    answer = call(endless())
    assert (answer.status_code, code(answer)) == (413, "body-large")
    assert read <= BODY_BYTES // 100_000 + 2
    assert call(b"x" * BODY_BYTES).status_code == 200, "the limit itself is allowed; the line is refused"
    assert call(b"x\n" * (BODY_LINES + 1)).status_code == 413


def test_nobody_unknown_gets_a_byte_of_memory(call: Call) -> None:
    async def never() -> object:
        raise AssertionError("the body was read")
        yield b""

    assert call(never(), Authorization="Bearer two").status_code == 401


def test_a_database_that_is_down_means_come_again(call: Call, store: FakeStore) -> None:
    store.down = PartDown("database-down", "InfluxDB does not answer.")
    answer = call()
    assert (answer.status_code, code(answer)) == (503, "database-down")
    assert call(None).status_code == 503
    store.down = None
    assert call().status_code == 200
    assert call(None).json()["ok"] is True


def test_a_mistake_of_ours_shows_no_details(
    call: Call, store: FakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cyberlab_hub.errors import NotFound

    store.down = NotFound("database-missing", "secret detail")
    answer = call()
    assert (answer.status_code, code(answer)) == (500, "internal")
    assert "secret" not in answer.text


def test_too_many_at_once_are_sent_away(
    store: FakeStore, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app_module, "IN_HOUSE", 3)
    go = threading.Event()
    write = store.write

    def slow(database: str, body: bytes) -> object:
        go.wait(10)
        return write(database, body)

    monkeypatch.setattr(store, "write", slow)
    app = create_app(store, tokens, unlimited())
    headers = {"Authorization": "Bearer one", "X-Cyberlab-Device": "pi01"}

    async def crowd() -> list[int]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            calls = [
                asyncio.create_task(
                    client.post("/api/v1/write", content=b"t v=%d %d" % (i, T + i), headers=headers)
                )
                for i in range(8)
            ]
            deadline = time.monotonic() + 5
            while sum(c.done() for c in calls) < 5 and time.monotonic() < deadline:
                await asyncio.sleep(0.01)
            go.set()
            return [(await c).status_code for c in calls]

    codes = asyncio.run(crowd())
    assert sorted(codes) == [200] * 3 + [429] * 5


def test_the_audit_hears_who_was_refused_and_who_claimed_to_be_another(
    store: FakeStore, tokens: Tokens
) -> None:
    noted: list[AuditEntry] = []
    app = create_app(store, tokens, unlimited(), noted.append)

    async def go(token: str, device: str, body: bytes) -> int:
        headers = {"Authorization": f"Bearer {token}", "X-Cyberlab-Device": device}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
            return (await client.post("/api/v1/write", content=body, headers=headers)).status_code

    good, foreign = b"t value=1 %d" % T, b"t,device=pi02 value=1 %d" % T
    sent = [("one", "pi01", good), ("stolen", "pi01", good), ("one", "pi02", good)]
    sent.append(("one", "pi01", b"\n".join([good, foreign, foreign, b"nonsense"])))
    assert [asyncio.run(go(*one)) for one in sent] == [200, 401, 403, 200]
    assert [(e.actor, e.object, e.reason, e.times, e.allowed) for e in noted] == [
        ("", "", "token-refused", 1, False),
        ("anna", "green on pi02", "device-not-yours", 1, False),
        ("anna", "green on pi01", "identity-claimed", 2, False),
    ]
    assert {e.address for e in noted} == {"127.0.0.1"}
    assert "stolen" not in str(noted)


# ---------------------------------------------------------------- readings a second
def test_who_sends_too_fast_is_told_when_to_come_again(store: FakeStore, tokens: Tokens) -> None:
    clock = [0.0]
    pace = Pace(lambda _owner: Allowance("points", 1, "group", "course-a"), clock=lambda: clock[0])
    app = create_app(store, tokens, pace)

    def post(lines: int) -> httpx.Response:
        headers = {"Authorization": "Bearer one", "X-Cyberlab-Device": "pi01"}
        body = b"\n".join(b"t value=1 %d" % (T + n) for n in range(lines))

        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return await client.post("/api/v1/write", content=body, headers=headers)

        return asyncio.run(go())

    assert post(12).json()["written"] == 12  # the burst is 10; what is over is a debt
    refused = post(1)
    assert (refused.status_code, code(refused)) == (429, "quota-points")
    assert "than the 1 that are possible (for the group “course-a”)" in refused.json()["error"]["message"]
    assert refused.json()["error"]["quota"]["value"] == 1
    assert refused.headers["Retry-After"] == "3"
    clock[0] = 3.0
    assert post(1).status_code == 200
    store.down = PartDown("database-down", "away")
    clock[0] = 10.0
    assert [post(5).status_code for _ in range(9)] == [503] * 9  # what was not written does not count
