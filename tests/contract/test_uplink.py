"""A device's whole way with real parts: programs, the agent's process, its spool, TLS, the gateway, InfluxDB."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
import ssl
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pandas as pd
import pytest
from cyberlab.reader import NothingRead
from cyberlab_edge.answers import Answer, Verdict
from cyberlab_edge.frames import BODY_BYTES, PATH, Frame
from cyberlab_edge.spool import Spool
from cyberlab_hub import certs
from cyberlab_hub.ingest.store import FLEET
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from gateway_process import Gateway, set_up, wait_for
from uplinks import ask
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, WebSocketException

OWNER = "anna"
NS = 10**9


class Agent:
    """The agent of one device, as a process that can be killed and started again."""

    def __init__(self, config: Path) -> None:
        self.config = config
        self.content = json.loads(config.read_text())
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "cyberlab_edge.agent", "--config", str(self.config)]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        assert self.process is not None
        self.process.send_signal(number)
        self.process.wait(10)

    @property
    def url(self) -> str:
        return f"http://{self.content['intake']}"

    def waiting(self) -> int:
        """Points in its spool; -1 while it does not answer."""
        try:
            return int(httpx.get(f"{self.url}/health", trust_env=False, timeout=5).json()["waiting"])
        except httpx.HTTPError:
            return -1

    def program(self, gateway: Gateway, token: Path, *args: str) -> subprocess.Popen[str]:
        return gateway.program(token, *args, url=self.url)


@contextmanager
def agent_of(gateway: Gateway, folder: Path, device: str = "pi01", **more: object) -> Iterator[Agent]:
    agent = Agent(gateway.enrol(folder, device, **more))
    agent.start()
    try:
        yield agent
    finally:
        if agent.process is not None and agent.process.poll() is None:
            agent.kill(signal.SIGTERM)


def so_far(
    gateway: Gateway, owner: str, measurement: str, database: str | None = None, start: str = "-1h"
) -> pd.DataFrame:
    """What there is, which may be nothing yet."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NothingRead)
        return gateway.read(owner, measurement, database, start)


def numbers(gateway: Gateway, owner: str) -> list[int]:
    frame = so_far(gateway, owner, "count")
    assert set(frame.get("device", ())) <= {"pi01"}
    assert set(frame.get("deployment", ())) <= {"greenhouse"}
    return sorted(int(value) for value in frame["value"]) if len(frame) else []


def arrive(gateway: Gateway, owner: str, count: int, seconds: float = 60) -> None:
    """Each of the numbers 0, 1, ... `count` - 1 is there once."""
    wait_for(lambda: len(numbers(gateway, owner)) >= count, seconds)
    assert numbers(gateway, owner) == list(range(count))


# ---------------------------------------------------------------- nothing lost, nothing doubled
def test_agent_gateway_and_database_are_killed_in_turn(gateway: Gateway, tmp_path: Path) -> None:
    token = gateway.token(OWNER)
    with gateway.influx.running():
        set_up(gateway)
    with agent_of(gateway, tmp_path / "pi01") as agent:
        program = agent.program(gateway, token, "4000", "0.002")
        with gateway.influx.running():
            with gateway.running() as process:
                time.sleep(1.5)
                process.send_signal(signal.SIGKILL)
                process.wait(10)
            agent.kill()
            time.sleep(1)
            agent.start()
        with gateway.running():
            time.sleep(1)  # without a database
            agent.kill()
            agent.start()
            with gateway.influx.running():
                _, err = program.communicate(timeout=90)
                assert program.returncode == 0, err
                arrive(gateway, OWNER, 4000)


def test_points_of_a_program_that_has_long_ended_arrive_after_the_outage(
    gateway: Gateway, tmp_path: Path
) -> None:
    """Its token was withdrawn while the device was away: what it measured before is still its owner's."""
    token = gateway.token(OWNER)
    with agent_of(gateway, tmp_path / "pi01") as agent:
        program = agent.program(gateway, token, "500", "0")
        program.communicate(timeout=60)
        assert program.returncode == 0
        agent.kill()
    revoke(gateway, token)
    with gateway.influx.running():
        set_up(gateway)
        with gateway.running():
            agent.start()
            try:
                arrive(gateway, OWNER, 500)
            finally:
                agent.kill(signal.SIGTERM)


def test_a_day_without_a_network_arrives_whole(running: Gateway, owner: str, tmp_path: Path) -> None:
    """24 hours of a point each two seconds, by a clock that travels; then the network is there again."""
    token = running.token(owner).read_text()
    end = time.time_ns()
    begin, count = end - 24 * 3600 * NS, 24 * 3600 // 2
    config = running.enrol(tmp_path / "pi01")
    spool = Spool(tmp_path / "pi01" / "spool.db")
    step = 3600
    for start in range(0, count, step):
        lines = (f"count value={n}i {begin + n * 2 * NS}" for n in range(start, min(count, start + step)))
        spool.put(token, "\n".join(lines).encode())
    spool.close()
    agent = Agent(config)
    agent.start()
    try:
        wait_for(lambda: 0 <= agent.waiting() < 100, 120)
        wait_for(lambda: len(so_far(running, owner, "count", start="-25h")) >= count, 60)
    finally:
        agent.kill(signal.SIGTERM)
    frame = running.read(owner, "count", start="-25h")
    assert sorted(frame["value"]) == list(range(count))
    assert frame.index.is_unique


def test_what_was_dropped_is_in_a_gap_and_the_rest_is_there(gateway: Gateway, tmp_path: Path) -> None:
    token = gateway.token(OWNER)
    with agent_of(gateway, tmp_path / "pi01", spool_mb=1) as agent:
        program = agent.program(gateway, token, "20000", "0")
        program.communicate(timeout=60)
        assert program.returncode == 0
        with gateway.influx.running():
            set_up(gateway)
            with gateway.running():
                wait_for(lambda: len(so_far(gateway, OWNER, "cyberlab_gap")) > 0, 60)
                wait_for(lambda: 19_999 in numbers(gateway, OWNER), 60)
                time.sleep(1)
                gap = gateway.read(OWNER, "cyberlab_gap")
                found = numbers(gateway, OWNER)
    assert len(set(found)) == len(found)
    assert len(found) < 20_000
    assert int(gap["lost"].sum()) + len(found) == 20_000
    assert set(gap["device"]) == {"pi01"}
    assert set(gap["deployment"]) == {"greenhouse"}


def test_the_device_itself_reports_to_the_fleet(running: Gateway, tmp_path: Path) -> None:
    with agent_of(running, tmp_path / "pi07", "pi07"):
        wait_for(lambda: len(reports(running, "pi07")) >= 5, 30)
    frame = reports(running, "pi07")
    assert "deployment" not in frame or frame["deployment"].isna().all()


def reports(gateway: Gateway, device: str) -> pd.DataFrame:
    frame = so_far(gateway, OWNER, "system", FLEET)
    return frame[frame["device"] == device] if len(frame) else frame


# ---------------------------------------------------------------- who may send what
def revoke(gateway: Gateway, token: Path) -> None:
    database = Database.open(gateway.settings.db_url)
    with database.session() as session:
        row = session.get(IngestToken, hashlib.sha256(token.read_bytes()).hexdigest())
        assert row is not None
        row.revoked = now()
    database.close()


def speak(gateway: Gateway, pem: Path | None, *messages: bytes | str) -> list[Answer]:
    """What the gateway answers to these messages on one connection."""

    context = ssl.create_default_context(cafile=gateway.settings.certs / "ca.crt")
    if pem is not None:
        context.load_cert_chain(pem)
    return ask(f"wss://127.0.0.1:{gateway.uplink_port}{PATH}", context, *messages)


def frame(token: str, body: bytes) -> bytes:
    return Frame(1, token, body).pack()


def point(value: int = 1, tags: str = "") -> bytes:
    return f"t{tags} value={value} {time.time_ns()}".encode()


def test_without_a_certificate_nobody_gets_in(running: Gateway) -> None:
    with pytest.raises((ssl.SSLError, WebSocketException, OSError)):
        speak(running, None, frame("", point()))


@pytest.mark.parametrize("role", ["builder", "runner", "swarm", "operator"])
def test_a_certificate_of_another_part_is_no_device(running: Gateway, role: certs.Role) -> None:
    pem = certs.client_file(running.settings.certs, role)
    with pytest.raises(ConnectionClosed) as closed:
        speak(running, pem, frame("", point()))
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4403, "certificate-refused")


def test_a_withdrawn_device_is_shut_out(running: Gateway, tmp_path: Path) -> None:
    running.enrol(tmp_path / "pi08", "pi08")
    database = Database.open(running.settings.db_url)
    with database.session() as session:
        for row in session.query(IngestToken).filter_by(kind="device", name="pi08"):
            row.revoked = now()
    database.close()
    with pytest.raises(ConnectionClosed, match="certificate-refused"):
        speak(running, tmp_path / "pi08" / "agent.pem", frame("", point()))


def test_a_token_is_good_on_its_own_device_only(running: Gateway, owner: str, tmp_path: Path) -> None:
    token = running.token(owner).read_text()
    running.enrol(tmp_path / "pi09", "pi09")
    running.enrol(tmp_path / "pi01")
    (there,) = speak(running, tmp_path / "pi09" / "agent.pem", frame(token, point()))
    assert there.verdict is Verdict.NEVER
    assert "not for the device 'pi09'" in there.reason
    (here,) = speak(running, tmp_path / "pi01" / "agent.pem", frame(token, point()))
    assert (here.verdict, here.lost) == (Verdict.TAKEN, 0)


def test_a_point_that_claims_to_be_of_another_is_refused_and_the_others_are_kept(
    running: Gateway, owner: str, tmp_path: Path
) -> None:
    token = running.token(owner).read_text()
    running.enrol(tmp_path / "pi01")
    body = b"\n".join([point(1, ",device=pi02"), point(2), b"no line", point(3, ",deployment=other")])
    (answer,) = speak(running, tmp_path / "pi01" / "agent.pem", frame(token, body))
    assert (answer.verdict, answer.lost) == (Verdict.TAKEN, 3)
    assert [reason.split(":")[0] for reason in answer.refused] == ["line 1", "line 3", "line 4"]
    assert running.read(owner, "t")["value"].tolist() == [2.0]


def test_a_withdrawn_token_brings_what_was_measured_before_and_nothing_later(
    running: Gateway, owner: str, tmp_path: Path
) -> None:
    token = running.token(owner)
    running.enrol(tmp_path / "pi01")
    before = point(1)
    revoke(running, token)
    later = f"t value=2 {time.time_ns() + 3600 * NS}".encode()
    (answer,) = speak(
        running, tmp_path / "pi01" / "agent.pem", frame(token.read_text(), before + b"\n" + later)
    )
    assert (answer.verdict, answer.lost) == (Verdict.TAKEN, 1)
    assert "after the deployment's end" in answer.refused[0]
    assert running.read(owner, "t")["value"].tolist() == [1.0]


@pytest.mark.parametrize("token", ["", "made up"])
def test_a_device_has_no_place_but_its_own(running: Gateway, token: str, tmp_path: Path) -> None:
    running.enrol(tmp_path / "pi01")
    (answer,) = speak(running, tmp_path / "pi01" / "agent.pem", frame(token, point(1, ",device=pi02")))
    assert (answer.verdict, answer.lost) in ((Verdict.TAKEN, 1), (Verdict.NEVER, 0))


BROKEN: dict[str, Callable[[], bytes | str]] = {
    "text": lambda: "hello",
    "no head": lambda: b"\x00" * 10,
    "no body": lambda: b'{"seq": 1, "token": ""}\n',
    "seq is no number": lambda: b'{"seq": true, "token": ""}\n',
    "cut off": lambda: frame("", point())[:-3],
    "something behind": lambda: frame("", point()) + b"x",
    "a bomb": lambda: frame("", b"x" * 200_000_000),
    "one byte too many": lambda: frame("", b"x" * (BODY_BYTES + 1)),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_message_ends_the_connection_and_nothing_else(
    running: Gateway, kind: str, tmp_path: Path
) -> None:
    running.enrol(tmp_path / "pi01")
    pem = tmp_path / "pi01" / "agent.pem"
    with pytest.raises(ConnectionClosed) as closed:
        speak(running, pem, BROKEN[kind]())
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4400
    (answer,) = speak(running, pem, frame("", point()))
    assert answer.verdict is Verdict.TAKEN


def test_another_path_is_not_there(running: Gateway, tmp_path: Path) -> None:
    running.enrol(tmp_path / "pi01")
    context = ssl.create_default_context(cafile=running.settings.certs / "ca.crt")
    context.load_cert_chain(tmp_path / "pi01" / "agent.pem")

    async def ask() -> None:
        async with connect(f"wss://127.0.0.1:{running.uplink_port}/", ssl=context, proxy=None):
            pass

    with pytest.raises(Exception, match="404"):
        asyncio.run(ask())
