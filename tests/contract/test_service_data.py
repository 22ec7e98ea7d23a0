"""Readings, shares and saved forms through the API, on the fake store."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from urllib.parse import urlparse

import httpx
import pytest
from cyberlab.wire import API
from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest.store import database_of
from service_lab import ServiceLab, body, spec, until

POINT = "temperature,unit=C value=21.5 1760000000000000000"


def test_points_of_a_notebook_are_stamped_and_can_be_read(service: ServiceLab) -> None:
    answer = service.anna.post("/write", content=f"{POINT}\n", headers={"Content-Type": "text/plain"})
    assert answer.json() == {"written": 1, "refused": []}
    csv = service.anna.get("/query", params={"q": "SELECT * FROM temperature"})
    assert csv.headers["content-type"].startswith("text/csv")
    assert "deployment=notebook" in csv.text
    assert service.anna.get("/measurements").json() == [
        {"measurement": "temperature", "fields": ["value"], "tags": []}
    ]
    assert service.ben.get("/measurements").json() == []


def test_lines_that_are_none_are_named(service: ServiceLab) -> None:
    answer = service.anna.post("/write", content=f"nonsense\n{POINT}\nx,deployment=bed value=1 {10**18}")
    written = answer.json()
    assert written["written"] == 1
    assert [refused["line"] for refused in written["refused"]] == [1, 3]


def test_a_query_that_is_refused_says_what_influxdb_said(service: ServiceLab) -> None:
    answer = service.anna.get("/query", params={"q": "DROP DATABASE fleet"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "query-refused")
    assert "DROP" in answer.json()["error"]["message"]


@pytest.mark.parametrize("db", ["ben", "nobody", "Ben", "u_ben_123", "../fleet", "ben\0", ""])
def test_other_peoples_readings(service: ServiceLab, db: str) -> None:
    for answer in (
        service.anna.get("/query", params={"q": "SELECT 1", "db": db}),
        service.anna.get("/measurements", params={"db": db}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "database-not-shared")


@pytest.mark.parametrize("db", ["mine", "anna", "fleet", "lab"])
def test_own_and_common_readings(service: ServiceLab, db: str) -> None:
    assert service.anna.get("/query", params={"q": "SELECT 1", "db": db}).status_code == 200


def test_sharing(service: ServiceLab) -> None:
    service.ben.post("/write", content=POINT)
    given = service.ben.put("/shares/anna")
    assert (given.json()["owner"], given.json()["reader"]) == ("ben", "anna")
    assert service.ben.put("/shares/anna").json() == given.json()
    assert service.ben.get("/shares").json() == service.anna.get("/shares").json() == [given.json()]
    query = {"q": "SELECT * FROM temperature", "db": "ben"}
    assert "temperature" in service.anna.get("/query", params=query).text
    assert service.ben.delete("/shares/anna").status_code == 204
    assert service.anna.get("/query", params=query).status_code == 403
    assert service.ben.delete("/shares/anna").status_code == 404


@pytest.mark.parametrize(
    ("reader", "status", "code"),
    [("nobody", 404, "user-unknown"), ("ben", 422, "spec-refused"), ("A%40b", 404, "user-unknown")],
)
def test_sharing_with_whom(service: ServiceLab, reader: str, status: int, code: str) -> None:
    answer = service.ben.put(f"/shares/{reader}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_a_database_that_is_down(service: ServiceLab) -> None:
    service.store.down = PartDown("database-down", "InfluxDB does not answer.")
    for answer in (
        service.anna.get("/query", params={"q": "SELECT 1"}),
        service.anna.get("/measurements"),
        service.anna.post("/write", content=POINT),
        service.anna.put("/shares/ben"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database-down")
    assert service.anna.get("/shares").json() == []


def test_a_query_is_streamed_and_let_go_when_the_reader_leaves(
    service: ServiceLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, closed = [0], []

    def endless(*_: object) -> Iterator[bytes]:
        try:
            while True:
                sent[0] += 1
                yield b"x" * 65536
        finally:
            closed.append(True)

    monkeypatch.setattr(service.store, "query", endless)
    with service.anna.stream("GET", "/query", params={"q": "SELECT 1"}) as stream:
        assert len(next(stream.iter_raw(1000))) == 1000
    until(lambda: closed)
    assert sent[0] < 10_000  # the service did not read on for nobody


def test_an_answer_that_breaks_off_is_seen_to_break_off(
    service: ServiceLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> Iterator[bytes]:
        yield b"name,tags,time,value\n"
        raise PartDown("database-down", "InfluxDB went away.")

    monkeypatch.setattr(service.store, "query", breaks)
    with pytest.raises(httpx.RemoteProtocolError):
        service.anna.get("/query", params={"q": "SELECT 1"})


def test_a_client_that_leaves_in_the_middle_of_its_request_harms_nobody(service: ServiceLab) -> None:
    where = urlparse(service.url)
    with socket.create_connection((str(where.hostname), int(where.port or 0))) as connection:
        connection.sendall(
            f"POST {API}/write HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer anna-token\r\n"
            "Content-Length: 1000\r\n\r\nhalf".encode()
        )
    assert service.anna.get("/me").status_code == 200
    assert service.store.lines.get(database_of("anna"), []) == []


# ---------------------------------------------------------------- saved forms
def test_saved_forms(service: ServiceLab) -> None:
    form = body(spec())
    saved = service.anna.put("/specs/greenhouse", json=form)
    assert saved.json()["spec"] == form
    assert service.anna.put("/specs/greenhouse", json=form).json() == saved.json()
    assert service.anna.get("/specs/greenhouse").json() == saved.json()
    changed = body(spec(text="print(2)"))
    taken = service.anna.put("/specs/greenhouse", json=changed)
    assert (taken.status_code, taken.json()["error"]["code"]) == (409, "name-taken")
    assert service.anna.get("/specs/greenhouse").json() == saved.json()
    assert (
        service.anna.put("/specs/greenhouse", json=changed, params={"replace": True}).json()["spec"]
        == changed
    )
    service.anna.put("/specs/second", json=body(spec("second")))
    assert [s["spec"]["name"] for s in service.anna.get("/specs").json()] == ["second", "greenhouse"]
    assert service.anna.delete("/specs/greenhouse").status_code == 204
    assert service.anna.get("/specs/greenhouse").status_code == 404


def test_an_unfinished_form_may_be_saved_but_not_without_its_name(service: ServiceLab) -> None:
    unfinished = body(spec(apt=("not-offered",), command=("",)))
    assert service.anna.put("/specs/greenhouse", json=unfinished).status_code == 200
    for name in ("other", "Not-A-Name", "a" * 41):
        answer = service.anna.put(f"/specs/{name}", json=unfinished)
        assert (answer.status_code, answer.json()["error"]["problems"][0]["path"]) == (422, "name")
