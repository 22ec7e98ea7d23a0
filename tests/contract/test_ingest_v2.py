"""InfluxDB's own interface with its own client (`influxdb-client`), unchanged: TLS, the gateway's process, InfluxDB."""

from __future__ import annotations

import gzip
import hashlib
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from gateway_process import Gateway, make_gateway, set_up, wait_for
from influx_server import need_influxd
from influxdb_client import InfluxDBClient, Point, WritePrecision  # type: ignore[attr-defined]  # follow_imports = skip
from influxdb_client.client.write_api import SYNCHRONOUS, WriteOptions
from influxdb_client.rest import ApiException
from javascript import need_clients, run


@contextmanager
def client(
    gateway: Gateway, owner: str, *, packed: bool = False, token: str = ""
) -> Iterator[InfluxDBClient]:
    with InfluxDBClient(
        url=gateway.url,
        token=token or gateway.token(owner).read_text(),
        org="cyberlab",
        ssl_ca_cert=str(gateway.settings.certs / "ca.crt"),
        enable_gzip=packed,
        timeout=20_000,
    ) as made:
        yield made


def refusal(gateway: Gateway, owner: str, record: object, **how: object) -> ApiException:
    with (
        client(gateway, owner, token=str(how.pop("token", ""))) as influx,
        pytest.raises(ApiException) as caught,
    ):
        influx.write_api(write_options=SYNCHRONOUS).write(str(how.pop("bucket", owner)), record=record, **how)
    return caught.value


def test_the_client_finds_the_lab_well(running: Gateway, owner: str) -> None:
    with client(running, owner) as influx:
        assert influx.ping() is True
        assert influx.version().startswith("v2.")
        with pytest.warns(DeprecationWarning, match="ping"):
            assert influx.health().status == "pass"


@pytest.mark.parametrize("packed", [False, True])
def test_points_of_the_client(running: Gateway, owner: str, packed: bool) -> None:
    at = time.time_ns() // 10**9
    with client(running, owner, packed=packed) as influx:
        write = influx.write_api(write_options=SYNCHRONOUS)
        points = [Point("t").field("value", float(n)).time(at - n, WritePrecision.S) for n in range(50)]
        write.write(owner, record=points, write_precision=WritePrecision.S)
        write.write(owner, record=Point("now").tag("room", "b 12").field("value", 1.5))
    frame = running.read(owner, "t")
    assert sorted(frame["value"]) == list(range(50))
    assert set(frame["device"]) == {"pi01"}
    assert set(frame["deployment"]) == {"greenhouse"}
    assert (frame.index.astype("int64") % 10**9 == 0).all()
    assert running.read(owner, "now")["room"].tolist() == ["b 12"]


def test_the_clients_batches(running: Gateway, owner: str) -> None:
    at = time.time_ns()
    with (
        client(running, owner) as influx,
        influx.write_api(write_options=WriteOptions(batch_size=500, flush_interval=200)) as write,
    ):
        for n in range(2_300):
            write.write(owner, record=f"t value={n} {at - n}")
    assert sorted(running.read(owner, "t")["value"]) == list(range(2_300))


def test_good_lines_are_kept_and_the_reason_is_told(running: Gateway, owner: str) -> None:
    at = time.time_ns()
    lines = [
        f"t value=1 {at}",
        f"t,device=pi02 value=2 {at}",
        f"t value=3 {at + 1}",
        "broken",
        f't value="a text" {at + 2}',
    ]
    error = refusal(running, owner, lines)
    assert (error.status, '"code":"invalid"' in error.body) == (400, True)
    assert "line 2: the line says device=pi02" in error.body
    assert "line 4: this is not line protocol" in error.body
    assert "line 5: 'value' of 't' is float" in error.body
    assert "dropped=3" in error.body
    assert sorted(running.read(owner, "t")["value"]) == [1.0, 3.0]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("t,device=pi02 value=1", "device=pi02"),
        ("t,deployment=ben value=1", "deployment=ben"),
        ("t value=", "not line protocol"),
    ],
)
def test_what_a_line_may_not_say(running: Gateway, owner: str, line: str, said: str) -> None:
    error = refusal(running, owner, line)
    assert (error.status, said in error.body) == (400, True)


def test_whose_token_and_whose_bucket(running: Gateway, owner: str) -> None:
    assert refusal(running, owner, "t value=1", token="wrong").status == 401
    assert refusal(running, owner, "t value=1", bucket="ben").status == 403
    assert refusal(running, owner, "t value=1", org="ben").status == 403
    token = running.token(owner).read_text()
    database = Database.open(running.settings.db_url)
    with database.session() as session:
        session.get_one(IngestToken, hashlib.sha256(token.encode()).hexdigest()).revoked = now()
    database.close()
    error = refusal(running, owner, "t value=1", token=token)
    assert (error.status, "unauthorized" in error.body) == (401, True)


def test_a_bomb_is_turned_away_and_the_gateway_goes_on(running: Gateway, owner: str) -> None:
    token = running.token(owner).read_text()
    bomb = gzip.compress(b"0" * 300_000_000, 1)
    assert len(bomb) > 1_000_000, "cut off while it is sent"
    for body in (bomb, gzip.compress(b"0" * 50_000_000)):
        try:
            status = httpx.post(
                f"{running.url}/api/v2/write?bucket={owner}",
                content=body,
                headers={"Authorization": f"Token {token}", "Content-Encoding": "gzip"},
                verify=running._context(),
                trust_env=False,
            ).status_code
        except httpx.TransportError:
            status = 413
        assert status == 413
    with client(running, owner, packed=True, token=token) as influx:
        influx.write_api(write_options=SYNCHRONOUS).write(owner, record="t value=7")
    assert running.read(owner, "t")["value"].tolist() == [7.0]


def test_a_client_that_retries_loses_nothing_over_an_outage(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, owner: str
) -> None:
    need_influxd(request)
    gateway = make_gateway(tmp_path_factory.mktemp("outage"))
    with gateway.influx.running():
        set_up(gateway)
    with gateway.running(), client(gateway, owner) as influx:
        options = WriteOptions(batch_size=50, flush_interval=100, retry_interval=1_000, max_retries=20)
        with influx.write_api(write_options=options) as write:
            at = time.time_ns()
            for n in range(200):
                write.write(owner, record=f"t value={n} {at - n}")
            wait_for(lambda: gateway.health() == 503, 30)
            with gateway.influx.running():
                wait_for(lambda: gateway.health() == 200, 30)
                write.close()
                frame = gateway.read(owner, "t")
    assert sorted(frame["value"]) == list(range(200))


JAVASCRIPT = """
const { InfluxDB, Point } = require("@influxdata/influxdb-client");
const { URL, TOKEN, BUCKET, GZIP } = process.env;
const writeOptions = { gzipThreshold: Number(GZIP), maxRetries: 0 };
const write = new InfluxDB({ url: URL, token: TOKEN }).getWriteApi("cyberlab", BUCKET, "ms", writeOptions);
for (let n = 0; n < 500; n++)
  write.writePoint(new Point("js").tag("room", "b 12").floatField("value", n).timestamp(Number(process.env.AT) + n));
write.close().then(() => console.log("written"), (error) => { console.log(error.body || error); process.exit(1); });
"""


@pytest.mark.parametrize("gzip_over", ["1", "1000000"])
def test_the_client_in_javascript(
    request: pytest.FixtureRequest, running: Gateway, owner: str, tmp_path: Path, gzip_over: str
) -> None:
    clients = need_clients(request, tmp_path)
    said = run(
        clients,
        JAVASCRIPT,
        str(running.settings.certs / "ca.crt"),
        URL=running.url,
        TOKEN=running.token(owner).read_text(),
        BUCKET=owner,
        GZIP=gzip_over,
        AT=str(time.time_ns() // 10**6),
    )
    assert said == "written\n"
    frame = running.read(owner, "js")
    assert sorted(frame["value"]) == list(range(500))
    assert set(frame["room"]) == {"b 12"}
    assert set(frame["device"]) == {"pi01"}


@pytest.mark.parametrize("path", ["/api/v1/write", "/api/v2/write?bucket={owner}"])
def test_a_client_hears_that_its_batch_is_too_large_also_when_it_sends_all_of_it(
    running: Gateway, owner: str, path: str
) -> None:
    body = b"t value=1 1700000000000000000\n" * 500_000
    headers = {
        "Authorization": f"Bearer {running.token(owner).read_text()}",
        "X-Cyberlab-Device": "pi01",
        "Content-Type": "text/plain",
    }
    address = urlsplit(running.url)
    context = ssl.create_default_context(cafile=running.settings.certs / "ca.crt")
    connection = HTTPSConnection(address.hostname or "", address.port, timeout=30, context=context)
    with closing(connection):
        connection.request("POST", path.format(owner=owner), body, headers)
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("Connection")) == (413, "close")
        assert b"body-large" in answer.read()


def test_a_head_without_end_is_cut_off(running: Gateway) -> None:
    """Nobody has said yet who they are: what they may make the gateway remember is bounded."""
    address = urlsplit(running.url)
    context = ssl.create_default_context(cafile=running.settings.certs / "ca.crt")
    with (
        socket.create_connection((address.hostname, address.port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname=address.hostname) as line,
    ):
        line.sendall(b"GET /ping HTTP/1.1\r\nHost: lab\r\n")
        line.sendall(b"".join(b"X-%d: %s\r\n" % (n, b"a" * 1000) for n in range(1000)))
        assert line.recv(100).startswith(b"HTTP/1.1 400 "), "it waits for the end"
