"""InfluxDB's own way in, without TLS and InfluxDB. (With both: ``tests/contract/test_ingest_v2.py``.)"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cyberlab.wire import AuditEntry
from cyberlab_edge.frames import BODY_BYTES, BODY_LINES
from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest.app import create_app
from cyberlab_hub.ingest.pace import Pace
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.ingest.tokens import Tokens
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.service.policy import Allowance
from fakes import FakeStore

T = 1_700_000_000_000_000_000
OWN = database_of("anna")
Call = Callable[..., httpx.Response]


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@pytest.fixture
def noted() -> list[AuditEntry]:
    return []


@pytest.fixture
def call(store: FakeStore, noted: list[AuditEntry], tmp_path: Path) -> Iterator[Call]:
    database = Database.open(f"sqlite:///{tmp_path / 'lab.sqlite'}")
    with database.session() as session:
        for token, devices in (("one", ["pi01"]), ("many", ["pi01", "pi02"])):
            digest = hashlib.sha256(token.encode()).hexdigest()
            row = IngestToken(hash=digest, kind="deployment", owner="anna", name="green", created=now())
            row.devices = devices
            session.add(row)
    app = create_app(store, Tokens(database), Pace(lambda _: Allowance("points", 10**9)), noted.append)

    def ask(
        body: object = b"t value=1 %d" % T,
        headers: dict[str, str] | None = None,
        method: str = "POST",
        path: str = "/api/v2/write",
        **params: str,
    ) -> httpx.Response:
        async def go() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
                return await client.request(
                    method,
                    path,
                    params={"bucket": "anna", "org": "cyberlab", **params},
                    content=body,  # type: ignore[arg-type]  # bytes or an iterator of them
                    headers={"Authorization": "Token one", **(headers or {})},
                )

        return asyncio.run(go())

    yield ask
    database.close()


def said(answer: httpx.Response) -> tuple[int, str, str]:
    content = answer.json()
    assert content["message"]
    return answer.status_code, content["code"], content.get("err", "")


@pytest.mark.parametrize("authorization", ["Token one", "token one", "Bearer one"])
def test_points_land_stamped(call: Call, store: FakeStore, authorization: str) -> None:
    answer = call(headers={"Authorization": authorization})
    assert (answer.status_code, answer.content) == (204, b"")
    assert store.lines[OWN] == [b"t,deployment=green,device=pi01 value=1 %d" % T]


@pytest.mark.parametrize("bucket", ["anna", OWN, f"{OWN}/autogen", "anna/"])
@pytest.mark.parametrize("org", ["", "cyberlab", "anna"])
def test_names_of_the_own_bucket(call: Call, bucket: str, org: str) -> None:
    assert call(bucket=bucket, org=org).status_code == 204


@pytest.mark.parametrize(
    ("headers", "params", "expected"),
    [
        ({"Authorization": ""}, {}, (401, "unauthorized", "token-missing")),
        ({"Authorization": "Token "}, {}, (401, "unauthorized", "token-missing")),
        ({"Authorization": "Basic one"}, {}, (401, "unauthorized", "token-missing")),
        ({"Authorization": "Token two"}, {}, (401, "unauthorized", "token-refused")),
        ({}, {"bucket": "ben"}, (403, "forbidden", "bucket-not-yours")),
        ({}, {"bucket": ""}, (403, "forbidden", "bucket-not-yours")),
        ({}, {"bucket": "fleet"}, (403, "forbidden", "bucket-not-yours")),
        ({}, {"bucket": database_of("ben")}, (403, "forbidden", "bucket-not-yours")),
        ({}, {"org": "ben"}, (403, "forbidden", "org-unknown")),
        ({"X-Cyberlab-Device": "pi02"}, {}, (403, "forbidden", "device-not-yours")),
        ({"Authorization": "Token many"}, {}, (403, "forbidden", "device-not-said")),
    ],
)
def test_who_may_not(
    call: Call,
    store: FakeStore,
    noted: list[AuditEntry],
    headers: dict[str, str],
    params: dict[str, str],
    expected: tuple[int, str, str],
) -> None:
    assert said(call(headers=headers, **params)) == expected
    assert not any(store.lines.values())
    assert [entry.reason for entry in noted] == [expected[2]]


def test_a_token_of_several_devices_says_which(call: Call, store: FakeStore) -> None:
    headers = {"Authorization": "Token many", "X-Cyberlab-Device": "pi02"}
    assert call(headers=headers).status_code == 204
    assert store.lines[OWN] == [b"t,deployment=green,device=pi02 value=1 %d" % T]


def test_precision_and_time_left_to_the_lab(call: Call, store: FakeStore) -> None:
    assert call(b"t value=1 1700000000\nt value=2", precision="s").status_code == 204
    first, second = store.lines[OWN]
    assert first.endswith(b" 1700000000000000000")
    assert int(second.rpartition(b" ")[2]) > T
    assert said(call(precision="minutes")) == (400, "invalid", "precision-unknown")


def test_good_lines_are_kept_and_the_others_told(
    call: Call, store: FakeStore, noted: list[AuditEntry]
) -> None:
    bad = [b"nonsense", b"t,device=pi02 value=1 %d" % T, b"t,deployment=other value=1 %d" % T]
    answer = call(b"\n".join([b"t value=1 %d" % T, *bad, b"t value=5 %d" % (T + 1)]))
    assert answer.status_code == 400
    assert (answer.json()["code"], answer.json()["line"]) == ("invalid", 2)
    message = answer.json()["message"]
    assert message.startswith("partial write: line 2: this is not line protocol")
    assert message.endswith("dropped=3")
    assert "line 3: the line says device=pi02" in message
    assert len(store.lines[OWN]) == 2
    assert [(entry.reason, entry.times) for entry in noted] == [("identity-claimed", 2)]


def test_nothing_to_write(call: Call) -> None:
    assert said(call(b" \n")) == (400, "invalid", "points-missing")


# ---------------------------------------------------------------- packed bodies
GZIP = {"Content-Encoding": "gzip"}


def test_a_packed_body(call: Call, store: FakeStore) -> None:
    assert call(gzip.compress(b"t value=1 %d" % T), GZIP).status_code == 204
    assert len(store.lines[OWN]) == 1
    full = b"#" * BODY_BYTES
    assert call(gzip.compress(full), GZIP).status_code == 204, "the limit itself is allowed"


def test_a_bomb_is_never_unpacked(call: Call) -> None:
    read = 0
    packed = gzip.compress(b"0" * 200_000_000, 1)
    pieces = [packed[at : at + 1000] for at in range(0, len(packed), 1000)]

    async def body() -> object:
        nonlocal read
        for piece in pieces:
            read += 1
            yield piece

    answer = call(body(), GZIP)
    assert said(answer) == (413, "request too large", "body-large")
    assert read < len(pieces) / 100, "the rest was not even read"
    assert said(call(gzip.compress(b"x\n" * (BODY_LINES + 1)), GZIP))[0] == 413


@pytest.mark.parametrize(
    "body",
    [
        b"t value=1 1",
        gzip.compress(b"t value=1 1")[:-4],
        gzip.compress(b"t value=1 1") + b"more",
        gzip.compress(b"t value=1 1") * 2,
        zlib.compress(b"t value=1 1"),
        b"",
    ],
    ids=["plain", "cut", "followed", "two", "zlib", "empty"],
)
def test_a_broken_packed_body(call: Call, store: FakeStore, body: bytes) -> None:
    assert said(call(body, GZIP)) == (400, "invalid", "gzip-broken")
    assert not any(store.lines.values())


def test_another_packing(call: Call) -> None:
    assert said(call(headers={"Content-Encoding": "br"})) == (400, "invalid", "encoding-unknown")


# ---------------------------------------------------------------- what clients ask first
def test_ping_and_health(call: Call, store: FakeStore) -> None:
    for method in ("GET", "HEAD"):
        answer = call(b"", method=method, path="/ping")
        assert answer.status_code == 204
        assert answer.headers["X-Influxdb-Version"].startswith("v2.")
    assert call(b"", method="GET", path="/health").json()["status"] == "pass"
    store.down = PartDown("database-down", "InfluxDB does not answer.")
    answer = call(b"", method="GET", path="/health")
    assert (answer.status_code, answer.json()["status"]) == (503, "fail")
    answer = call()
    assert said(answer) == (503, "unavailable", "database-down")
    assert int(answer.headers["Retry-After"]) > 0
