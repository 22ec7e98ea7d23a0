"""The intake's answers, over its real socket."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyberlab_edge.agent.intake import BYTES_A_SECOND, EACH, Intake
from cyberlab_edge.spool import Spool

LINE = b"t value=1 1700000000000000000"


class Told:
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def refusals(self, _token: str) -> list[str]:
        told, self.reasons = self.reasons, []
        return told


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def intake(tmp_path: Path, told: Told) -> Iterator[Intake]:
    spool = Spool(tmp_path / "spool.db")
    server = Intake(("127.0.0.1", 0), spool, told)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    spool.close()


def ask(
    intake: Intake, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes, http.client.HTTPMessage]:
    line = http.client.HTTPConnection(*intake.server_address[:2], timeout=10)  # type: ignore[arg-type]
    try:
        line.request(method, path, body, headers)
        answer = line.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        line.close()


def write(intake: Intake, body: bytes) -> tuple[int, bytes, http.client.HTTPMessage]:
    return ask(intake, "POST", "/api/v1/write", body, Authorization="Bearer one")


def test_points_are_in_the_spool_when_it_answers(intake: Intake) -> None:
    assert write(intake, LINE)[0] == 200
    batch = intake.spool.next()
    assert batch is not None
    assert (batch.token, batch.body) == ("one", LINE)
    assert ask(intake, "GET", "/health")[1].startswith(b'{"waiting": 1')


def test_what_the_lab_refused_is_told_to_the_program(intake: Intake, told: Told) -> None:
    told.reasons = ["line 1: no"]
    assert b'"reason": "line 1: no"' in write(intake, LINE)[1]
    assert b'"refused": []' in write(intake, LINE)[1]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/api/v1/write", {}, 401),
        ("POST", "/api/v1/write", {"Authorization": "Basic b25l"}, 401),
        ("POST", "/api/v1/write", {"Authorization": "Bearer " + "x" * 201}, 401),
        ("POST", "/api/v1/write", {"Authorization": "Bearer one", "Content-Length": "99999999"}, 413),
        ("POST", "/api/v1/write", {"Authorization": "Bearer one", "Content-Length": "-1"}, 413),
        ("POST", "/other", {"Authorization": "Bearer one"}, 404),
        ("GET", "/", {}, 404),
    ],
)
def test_refusals(intake: Intake, method: str, path: str, headers: dict[str, str], status: int) -> None:
    assert ask(intake, method, path, **headers)[0] == status
    assert intake.spool.next() is None


def test_too_many_points_at_once_are_to_be_sent_in_smaller_batches(intake: Intake) -> None:
    assert write(intake, b"\n".join([b"x"] * 5_001))[0] == 413


def test_one_container_cannot_take_all_places(intake: Intake) -> None:
    held = [socket.create_connection(intake.server_address[:2], timeout=5) for _ in range(EACH)]
    time.sleep(0.3)
    with socket.create_connection(intake.server_address[:2], timeout=5) as one_more:
        assert one_more.recv(1) == b""
    for line in held:
        line.close()
    time.sleep(0.3)
    assert write(intake, LINE)[0] == 200


def test_one_container_cannot_keep_the_disk_busy(intake: Intake) -> None:
    assert intake.has_room("127.0.0.1", BYTES_A_SECOND)
    status, _, headers = write(intake, LINE)
    assert (status, headers["Retry-After"]) == (429, "1")
    assert intake.has_room("172.17.0.9", len(LINE))
    time.sleep(1.1)
    assert write(intake, LINE)[0] == 200
