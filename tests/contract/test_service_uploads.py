"""Archives and JSON that somebody made to do harm, sent to the service; and ordinary ones."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from bad_archives import zipped
from cyberlab.wire import ErrorInfo
from cyberlab_hub.service import bodies
from cyberlab_hub.service.bodies import Bodies, json_problem
from service_lab import ServiceLab, body, spec


def code(answer: Any) -> str:
    return str(answer.json()["error"]["code"])


def send(service: ServiceLab, packed: bytes, **params: str) -> Any:
    """As a client does that names no content type; binary data is no JSON."""
    return service.anna.post("/files/unpack", content=packed, params=params)


def test_an_archive_becomes_files_of_a_spec(service: ServiceLab) -> None:
    packed = zipped(("p/main.py", b"print('hello')"), ("p/raw.bin", b"\xff\0"), ("p/.git/x", b""))
    answer = send(service, packed, without_top="true")
    assert answer.status_code == 200
    assert answer.json() == {
        "files": [
            {"path": "main.py", "text": "print('hello')", "data": None},
            {"path": "raw.bin", "text": None, "data": "/wA="},
        ],
        "skipped": 1,
    }
    wanted = {**body(spec()), "files": answer.json()["files"]}
    assert service.anna.post("/builds", json={"spec": wanted}).status_code == 202


def test_a_refusal_has_the_archives_own_code(service: ServiceLab) -> None:
    answer = send(service, zipped(("../x", b"")))
    assert (answer.status_code, code(answer)) == (422, "file-path")
    assert answer.json()["error"]["problems"][0]["path"] == "files"


def test_only_users_may_unpack(service: ServiceLab) -> None:
    assert service.client(None).post("/files/unpack", content=zipped(("a", b""))).status_code == 401


def test_an_archive_has_a_limit_of_its_own(service: ServiceLab) -> None:
    assert code(send(service, bytes(8_500_001))) == "body-too-large"


def test_unpacking_is_no_row_of_the_audit_but_a_refusal_is(service: ServiceLab) -> None:
    send(service, zipped(("a", b"")))
    send(service, b"")
    send(service, zipped(("/a", b"")))
    rows = service.root.get("/audit").json()
    reasons = [row["reason"].split()[0] for row in rows if row["action"] == "unpack_archive"]
    assert reasons == ["file-path", "request-invalid"]


def test_a_user_unpacks_few_at_once(service: ServiceLab, monkeypatch: pytest.MonkeyPatch) -> None:
    started, go_on = threading.Semaphore(0), threading.Event()

    def slow(*_: Any, **__: Any) -> Any:
        started.release()
        assert go_on.wait(10)
        raise AssertionError

    monkeypatch.setattr("cyberlab_hub.service.uploads.unpack", slow)
    threads = [threading.Thread(target=send, args=(service, b"x")) for _ in range(2)]
    for thread in threads:
        thread.start()
        assert started.acquire(timeout=10)
    answer = send(service, b"x")
    assert service.ben.get("/images").status_code == 200, "others are served meanwhile"
    go_on.set()
    for thread in threads:
        thread.join()
    assert (answer.status_code, code(answer)) == (429, "quota-uploads")


# ---------------------------------------------------------------- JSON
MANY = 1_000_000


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"[" * 1_000_000, "body-too-deep"),
        (b'{"a":' * 100_000, "body-too-deep"),
        (b'{"spec": {"name": "a", "files": [' + b"1," * MANY + b"1]}}", "body-too-full"),
        (
            b'{"spec": {"name": "a", "env": {' + b",".join(b'"%d":1' % n for n in range(MANY)) + b"}}}",
            "body-too-full",
        ),
        (b'{"spec": {"name": "a", ' + b'"x":1,' * MANY + b'"y":1}}', "body-too-full"),
        (b'""' * MANY, "body-too-full"),
        (b"{}" * MANY, "body-too-full"),
        (b'{"spec": "' + b'\\"' * MANY, "request-invalid"),
        (b'{"spec": "' + b'\\"' * MANY + b"\\", "request-invalid"),
        (b"{" + b'"\\' * MANY, "request-invalid"),
        (('{"spec": {"name": "a", "files": [' + "1," * 1000 + "1]}}").encode("utf-16"), "body-not-utf8"),
        (('{"spec": {"name": "a", "ports": [' + "9" * 5000 + "]}}").encode(), "bad-request"),
        (b'{"spec": {"name": "a", "ports": [1e999]}}', "request-invalid"),
        (b'{"spec": {"name": "a", "ports": [NaN]}}', "request-invalid"),
        (b'{"spec": {"name": "' + b"a" * 5 * MANY + b'"}}', "spec-refused"),
        (b'{"spec": {"name": "a", "custom": "' + b"RUN a\\n" * MANY + b'"}}', "spec-refused"),
        (
            b'{"spec": {"name": "a", "files": [{"path": "' + b"../" * MANY + b'", "text": ""}]}}',
            "spec-refused",
        ),
        (b'{"spec": {"name": "greenhouse", "custom": "RUN id", "custom": "USER root"}}', "spec-refused"),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else value,
)
def test_json_that_is_a_bomb_is_refused(service: ServiceLab, content: bytes, expected: str) -> None:
    answer = service.anna.post("/builds", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text[:300]
    assert code(answer) == expected
    assert len(answer.content) < 100_000
    assert service.workshop.orders == []


def test_json_is_read_only_where_it_is_counted(service: ServiceLab) -> None:
    """The count looks at the content type: a body without one must never be parsed."""
    content = json.dumps({"spec": body(spec())}).encode()
    for kind in ("", "text/plain", "application/octet-stream"):
        assert (
            service.anna.post("/builds", content=content, headers={"Content-Type": kind}).status_code == 422
        )


def test_a_full_spec_is_not_too_full() -> None:
    text = 'x = "\\\\", [{"a": 1}, ]\n' * 4000
    files = [{"path": f"{number}.py", "text": text} for number in range(100)]
    assert (
        json_problem(json.dumps({"spec": {"name": "a", "files": files}}).encode(), b"application/json")
        is None
    )


def test_bodies_in_memory_are_bounded_for_each_address_and_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "ADDRESS_BYTES", 200)
    monkeypatch.setattr(bodies, "ALL_BYTES", 300)
    reader = Bodies(limit=150)

    async def sent() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(120), "more_body": False}

    async def story() -> None:
        def of(address: str) -> dict[str, Any]:
            return {"path": "/", "headers": [(b"content-type", b"text/plain")], "client": (address, 1)}

        with (
            reader.holding(of("a")) as first,
            reader.holding(of("a")) as second,
            reader.holding(of("b")) as third,
        ):
            assert await reader.read(first, of("a"), sent) == bytes(120)
            refused = await reader.read(second, of("a"), sent)
            assert isinstance(refused, ErrorInfo)
            assert refused.code == "body-too-many"
            busy = await reader.read(third, of("b"), sent)
            assert isinstance(busy, ErrorInfo)
            assert busy.code == "lab-busy"
        with reader.holding(of("a")) as again:
            assert await reader.read(again, of("a"), sent) == bytes(120), "what was answered is forgotten"

    asyncio.run(story())


# ---------------------------------------------------------------- advice
def test_advice_stops_nothing_and_is_no_row_of_the_audit(service: ServiceLab) -> None:
    wanted = body(spec(custom="RUN sudo true"))
    answer = service.anna.post("/specs/advice", json=wanted)
    assert answer.status_code == 200
    assert answer.json()["available"] is True
    assert [one["code"] for one in answer.json()["advice"]] == ["DL3004"]
    assert service.anna.post("/builds", json={"spec": wanted}).status_code == 202
    assert "advise" not in {row["action"] for row in service.root.get("/audit").json()}
