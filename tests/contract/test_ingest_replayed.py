"""What Telegraf and Arduino's InfluxDB library send, byte by byte, over TLS: written down from their source, not run.

Neither can be had from Debian, PyPI or npm. Read were, on GitHub:

- `influxdata/telegraf`: ``plugins/outputs/influxdb_v2/`` (``http.go`` at 01b9116e, ``influxdb_v2.go`` at 0c7d44b7,
  ``batching.go`` at 071464ca, ``errors.go`` at 398b99f4), ``plugins/serializers/influx/influx.go`` at 020c7dca. It
  sends a body of unknown length, so Go's ``net/http`` makes it chunked, and keeps the connection.
- `tobiasschuerg/InfluxDB-Client-for-Arduino` 3.13.2: ``src/InfluxDbClient.cpp`` at 996f0c9f, ``HTTPService.cpp`` at
  d621b07f, ``Point.cpp`` at 0748806c; below it `espressif/arduino-esp32`, ``HTTPClient.cpp`` at 79928f9a. It asks
  ``GET /health`` for 200 (`validateConnection`) and ``POST /api/v2/write`` for 204.

Each answer is judged as these programs judge it.
"""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas
from gateway_process import Gateway

TELEGRAF = "Telegraf/1.36.1 Go/1.25.1"
ARDUINO = "influxdb-client-arduino/3.13.2 (ESP32 2.0.17)"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> tuple[str, str, int | None]:
        """As Telegraf's `genericRespError` takes it: code, message, line."""
        told = json.loads(self.body)
        assert isinstance(told["code"], str)
        assert isinstance(told["message"], str)
        assert told.get("line") is None or isinstance(told["line"], int)
        return told["code"], told["message"], told.get("line")

    @property
    def wait(self) -> int:
        """`Retry-After` as Arduino's ``toInt()`` and Telegraf's ``ParseFloat`` both read it."""
        return int(self.headers["retry-after"])


@contextmanager
def connected(gateway: Gateway, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> Iterator[ssl.SSLSocket]:
    context = ssl.create_default_context(cafile=gateway.settings.certs / "ca.crt")
    context.maximum_version = newest
    with (
        socket.create_connection(("127.0.0.1", gateway.port), timeout=20) as bare,
        context.wrap_socket(bare, server_hostname="127.0.0.1") as link,
    ):
        yield link


def sent(link: ssl.SSLSocket, *parts: bytes) -> Answer:
    """Everything is sent before the answer is looked at, as the library for Arduino does."""
    for part in parts:
        link.sendall(part)
    reply = http.client.HTTPResponse(link)
    reply.begin()
    return Answer(reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read())


def telegraf(
    link: ssl.SSLSocket, gateway: Gateway, owner: str, lines: list[str], packed: bool = True, token: str = ""
) -> Answer:
    """One batch, as `writeBatch` sends it (``content_encoding`` is gzip unless the user says "identity")."""
    body = "".join(f"{line}\n" for line in lines).encode()
    if packed:
        body = gzip.compress(body)
    head = (
        f"POST /api/v2/write?bucket={owner}&org=cyberlab HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{gateway.port}\r\n"
        f"User-Agent: {TELEGRAF}\r\n"
        "Transfer-Encoding: chunked\r\n"
        f"Authorization: Token {token or gateway.token(owner).read_text()}\r\n"
        + ("Content-Encoding: gzip\r\n" if packed else "")
        + "Content-Type: text/plain; charset=utf-8\r\n"
        "Accept-Encoding: gzip\r\n\r\n"
    )
    return sent(link, head.encode() + b"%x\r\n" % len(body) + body + b"\r\n", b"0\r\n\r\n")


def arduino(
    link: ssl.SSLSocket,
    gateway: Gateway,
    owner: str,
    lines: list[str],
    precision: str = "",
    reuse: bool = False,
    streamed: bool = False,
) -> Answer:
    """A batch, as `postData` and ESP32's `HTTPClient` send it; each line of it ends with a line end."""
    body = "".join(f"{line}\n" for line in lines).encode()
    unit = f"&precision={precision}" if precision else ""
    head = _arduino_head(gateway, owner, f"POST /api/v2/write?org=cyberlab&bucket={owner}{unit}", reuse)
    head += f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    pieces = [body[n : n + 1460] for n in range(0, len(body), 1460)] if streamed else [body]
    return sent(link, head, *pieces)


def _arduino_head(gateway: Gateway, owner: str, request: str, reuse: bool = False) -> bytes:
    return (
        f"{request} HTTP/1.1\r\n"
        f"Host: 127.0.0.1:{gateway.port}\r\n"
        f"User-Agent: {ARDUINO}\r\n"
        f"Connection: {'keep-alive' if reuse else 'close'}\r\n"
        "Accept-Encoding: identity;q=1,chunked;q=0.1,*;q=0\r\n"
        f"Authorization: Token {gateway.token(owner).read_text()}\r\n"
    ).encode()


def set_quota(gateway: Gateway, owner: str, quota: str, value: int) -> None:
    database = Database.open(gateway.settings.db_url)
    Quotas(database).set("user", owner, quota, value)
    database.close()


@pytest.fixture
def without_database(gateway: Gateway) -> Iterator[Gateway]:
    """A gateway whose InfluxDB is away."""
    gateway.token("anna")
    with gateway.running():
        yield gateway


# ---------------------------------------------------------------- Telegraf
@pytest.mark.parametrize("packed", [True, False])
def test_telegrafs_metrics(running: Gateway, owner: str, packed: bool) -> None:
    at = time.time_ns()
    lines = [
        f"cpu,cpu=cpu-total,host=north usage_idle=97.48743718592965,usage_user=1.5 {at}",
        f"mem,host=north available=3221225472i,used_percent=12 {at}",
        f'system,host=north uptime_format="1 day,\\n \\"2:03\\"",n_users=2i {at}',
        rf"win\ disk,drive=C:\Data,host=north,label=my\ disk\,\ old free=1i,full=false {at}",
    ]
    with connected(running) as link:
        for n in range(3):  # an interval each, over one connection
            batch = [f"{line.rpartition(' ')[0]} {at + n}" for line in lines]
            answer = telegraf(link, running, owner, batch, packed)
            assert (answer.status, answer.body) == (204, b"")
    frame = running.read(owner, "cpu")
    assert frame["usage_idle"].tolist() == [97.48743718592965] * 3
    assert set(frame["host"]) == {"north"}
    assert set(frame["device"]) == {"pi01"}
    assert running.read(owner, "mem")["available"].tolist() == [3221225472] * 3
    assert len(running.read(owner, "system")) == 3
    disk = running.read(owner, "win disk")
    assert (disk["label"].iloc[0], disk["drive"].iloc[0]) == ("my disk, old", "C:\\Data")


def test_telegraf_drops_what_is_refused_and_the_rest_is_there(running: Gateway, owner: str) -> None:
    """Its input `disk` has a tag `device`, which here is the sender's: docs/ways-in.md says what to do."""
    at = time.time_ns()
    lines = [
        f"disk,device=sda1,fstype=ext4,host=north,path=/ used_percent=4.5 {at}",
        f"mem,host=north used_percent=12 {at}",
    ]
    with connected(running) as link:
        answer = telegraf(link, running, owner, lines)
        assert answer.status == 400, "`APIError`, not retried"
        code, message, line = answer.error
        assert (code, line) == ("invalid", 1)
        assert "the line says device=sda1" in message
        assert telegraf(link, running, owner, lines[1:]).status == 204, "the connection goes on"
    assert running.read(owner, "mem")["used_percent"].tolist() == [12.0]


def test_telegraf_splits_what_is_too_large(running: Gateway, owner: str) -> None:
    set_quota(running, owner, "points", 100_000)
    at = time.time_ns()
    lines = [
        f"cpu,cpu=cpu{n % 64},host=north usage_idle={n / 7},usage_user={n / 3} {at + n}"
        for n in range(25_000)
    ]
    requests: list[int] = []

    def write(batch: list[str]) -> None:
        with connected(running) as link:
            answer = telegraf(link, running, owner, batch)
        requests.append(answer.status)
        if answer.status == 413:  # `splitAndWrite`
            assert answer.error[0] == "request too large"
            middle = len(batch) // 2
            write(batch[:middle])
            write(batch[middle:])
        else:
            assert answer.status == 204

    write(lines)
    assert requests.count(413) == requests.count(204) - 1
    assert len(running.read(owner, "cpu")) == 25_000


def test_telegraf_waits_for_as_long_as_it_is_told(running: Gateway, owner: str) -> None:
    set_quota(running, owner, "points", 1)
    with connected(running) as link:
        lines = [f"mem,host=north used={n} {time.time_ns()}" for n in range(20)]
        assert telegraf(link, running, owner, lines).status == 204, "a burst of ten seconds, and a debt"
        answer = telegraf(link, running, owner, lines)
    assert (answer.status, answer.error[0]) == (429, "too many requests")
    assert 1 <= answer.wait <= 60


def test_telegraf_keeps_its_metrics_when_its_token_is_wrong(running: Gateway, owner: str) -> None:
    with connected(running) as link:
        answer = telegraf(link, running, owner, [f"mem used=1 {time.time_ns()}"], token="wrong")
    assert (answer.status, answer.error[0]) == (401, "unauthorized")


# ---------------------------------------------------------------- Arduino
def test_arduino_validates_its_connection(running: Gateway, owner: str) -> None:
    with connected(running, ssl.TLSVersion.TLSv1_2) as link:  # ESP8266's BearSSL speaks no newer one
        answer = sent(link, _arduino_head(running, owner, "GET /health") + b"\r\n")
    assert answer.status == 200
    assert json.loads(answer.body)["status"] == "pass"


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("reuse", [False, True])
def test_arduinos_batches(running: Gateway, owner: str, reuse: bool, streamed: bool) -> None:
    at = int(time.time())
    lines = [
        f'wifi,sensor=dht,SSID=my\\ net rssi=-67i,temperature=21.50,ok=true,note="a \\"b\\"" {at + n}'
        for n in range(60)
    ]
    with connected(running, ssl.TLSVersion.TLSv1_2) as link:
        answer = arduino(link, running, owner, lines, "s", reuse, streamed)
        assert (answer.status, answer.body) == (204, b"")
        assert (answer.headers.get("connection") == "close") is not reuse
        if reuse:
            assert arduino(link, running, owner, [f"wifi rssi=1i {at}"], "s", reuse).status == 204
    frame = running.read(owner, "wifi", start="-1h")
    frame = frame[frame["SSID"] == "my net"]
    assert (frame.index.astype("int64") // 10**9).tolist() == [at + n for n in range(60)]
    assert set(frame["temperature"]) == {21.5}
    assert set(frame["device"]) == {"pi01"}


def test_an_arduino_without_a_clock(running: Gateway, owner: str) -> None:
    """The library's default: no precision, no time, a request a point."""
    for n in range(3):
        with connected(running, ssl.TLSVersion.TLSv1_2) as link:
            assert arduino(link, running, owner, [f"wifi rssi={n}i"]).status == 204
    frame = running.read(owner, "wifi")
    assert frame["rssi"].tolist() == [0, 1, 2]
    assert time.time_ns() - int(frame.index.astype("int64")[-1]) < 60 * 10**9


def test_an_arduino_tries_again_when_it_is_told(running: Gateway, owner: str) -> None:
    """It repeats a batch from status 429 on, three times at most, after `Retry-After`; other answers it gives up on."""
    set_quota(running, owner, "readings", 0)
    with connected(running, ssl.TLSVersion.TLSv1_2) as link:
        answer = arduino(link, running, owner, ["wifi rssi=1i"])
    assert (answer.status, answer.wait) == (429, 60)
    assert "0 GB are possible" in answer.error[1]


def test_while_influxdb_is_away(without_database: Gateway) -> None:
    lines = [f"mem used=1 {time.time_ns()}"]
    with connected(without_database) as link:
        answers = [telegraf(link, without_database, "anna", lines)]
    with connected(without_database, ssl.TLSVersion.TLSv1_2) as link:
        answers.append(arduino(link, without_database, "anna", lines))
        assert (answers[0].status, answers[0].error[0]) == (503, "unavailable")
    assert [(a.status, a.wait) for a in answers] == [(503, 5), (503, 5)]
    with connected(without_database) as link:
        assert sent(link, _arduino_head(without_database, "anna", "GET /health") + b"\r\n").status == 503
