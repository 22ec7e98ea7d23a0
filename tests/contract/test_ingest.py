"""The whole way of a reading, with real parts: `publish` in its own process, TLS, the gateway's process, InfluxDB."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from cyberlab_edge.uplink import Answer, Uplink, Verdict
from cyberlab_hub import certs
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.settings import Settings
from gateway_process import Gateway, set_up, wait_for

OWNER = "anna"


def assert_all_there(frame: pd.DataFrame, points: int) -> None:
    assert sorted(frame["value"]) == list(range(points)), "each point once, none lost"
    assert frame.index.is_unique
    assert set(frame["device"]) == {"pi01"}
    assert set(frame["deployment"]) == {"greenhouse"}
    assert frame.attrs["units"] == {"value": "1"}


# ---------------------------------------------------------------- nothing lost, nothing doubled
def test_the_gateway_is_killed_in_the_middle(gateway: Gateway) -> None:
    with gateway.influx.running():
        set_up(gateway)
        token = gateway.token(OWNER)
        with gateway.running() as process:
            program = gateway.program(token, "3000", "0.001")
            time.sleep(1.5)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        time.sleep(1)
        with gateway.running():
            out, err = program.communicate(timeout=90)
        assert (program.returncode, out.strip()) == (0, "published"), err
        assert_all_there(gateway.read(OWNER, "count"), 3000)


def test_the_database_is_killed_in_the_middle(gateway: Gateway) -> None:
    token = gateway.token(OWNER)
    with gateway.influx.running():
        set_up(gateway)
    with gateway.running():
        with gateway.influx.running():
            program = gateway.program(token, "3000", "0.001")
            time.sleep(1.5)
        assert gateway.health() == 503
        time.sleep(1)
        with gateway.influx.running():
            out, err = program.communicate(timeout=90)
            assert (program.returncode, out.strip()) == (0, "published"), err
            assert_all_there(gateway.read(OWNER, "count"), 3000)


def test_the_program_starts_before_there_is_a_gateway(gateway: Gateway) -> None:
    token = gateway.token(OWNER)
    program = gateway.program(token, "50", "0.001")
    time.sleep(1)
    with gateway.influx.running():
        set_up(gateway)
        with gateway.running():
            program.communicate(timeout=90)
            assert program.returncode == 0
            assert_all_there(gateway.read(OWNER, "count"), 50)


def test_sigterm_sends_what_is_left_and_ends_at_once(running: Gateway, owner: str) -> None:
    token = running.token(owner)
    program = running.program(token, "1000000", "0.001")
    time.sleep(2)
    program.terminate()
    begun = time.monotonic()
    program.communicate(timeout=10)
    assert time.monotonic() - begun < 3
    assert program.returncode == 128 + signal.SIGTERM
    frame = running.read(owner, "count")
    assert_all_there(frame, len(frame))
    assert len(frame) > 500


def test_a_program_that_just_ends_loses_nothing(running: Gateway, owner: str) -> None:
    token = running.token(owner)
    code = "from cyberlab_edge import publish\nfor i in range(7): publish('count', i, '1')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=running.env(token), timeout=30, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert_all_there(running.read(owner, "count"), 7)


# ---------------------------------------------------------------- readings a second
def test_over_the_quota_readings_wait_on_the_device_and_none_is_lost(running: Gateway, owner: str) -> None:
    token = running.token(owner)
    database = Database.open(running.settings.db_url)
    Quotas(database).set("user", owner, "points", 10)
    database.close()
    flood = b"\n".join(b"flood value=1 %d" % (time.time_ns() + n) for n in range(130))
    assert send(running, token, flood).verdict is Verdict.TAKEN  # a burst of 100, and a debt
    other = send(running, running.token(owner), b"flood value=1 %d" % time.time_ns())
    assert (other.verdict, other.wait is not None and other.wait > 0) == (Verdict.LATER, True)
    assert "than the 10 that are possible (set for you by an administrator)" in other.reason
    program = running.program(token, "7", "0")
    out, _ = program.communicate(timeout=60)
    assert (program.returncode, out) == (0, "published\n")
    assert_all_there(running.read(owner, "count"), 7)


def test_without_space_a_device_is_told_to_come_again(running: Gateway, owner: str) -> None:
    token, line = running.token(owner), b"t value=1 %d" % time.time_ns()
    database = Database.open(running.settings.db_url)
    quotas = Quotas(database)
    quotas.set("user", owner, "readings", 0)
    answer = send(running, token, line)
    assert (answer.verdict, answer.wait) == (Verdict.LATER, 60)
    assert "0 GB are possible" in answer.reason
    assert send(running, running.token(f"{owner}-2"), line).verdict is Verdict.TAKEN, "nobody else waits"
    quotas.set("user", owner, "readings", 1)
    database.close()
    wait_for(lambda: send(running, token, line).verdict is Verdict.TAKEN, 30)


# ---------------------------------------------------------------- who may send what
@contextmanager
def uplink(gateway: Gateway, token_file: Path, device: str = "pi01") -> Iterator[Uplink]:
    ca_file = str(gateway.settings.certs / "ca.crt")
    link = Uplink(gateway.url, device=device, token_file=str(token_file), ca_file=ca_file)
    yield link
    link.close()


def send(gateway: Gateway, token_file: Path, body: bytes, device: str = "pi01") -> Answer:
    with uplink(gateway, token_file, device) as link:
        return link.send(body)


def test_only_a_known_token_on_its_own_device_may_write(running: Gateway, owner: str, tmp_path: Path) -> None:
    body = b"t value=1 %d" % time.time_ns()
    good = running.token(owner)
    assert send(running, good, body).verdict is Verdict.TAKEN

    answer = send(running, good, body, device="pi02")
    assert answer.verdict is Verdict.LATER
    assert "not for the device 'pi02'" in answer.reason

    unknown = tmp_path / "unknown"
    unknown.write_text("nobody")
    answer = send(running, unknown, body)
    assert answer.verdict is Verdict.LATER
    assert "does not know this token" in answer.reason


def test_a_renewed_token_is_read_again(running: Gateway, owner: str) -> None:
    path = running.token(owner)
    with uplink(running, path) as link:
        assert link.send(b"t value=1 %d" % time.time_ns()).verdict is Verdict.TAKEN
        database = Database.open(running.settings.db_url)
        with database.session() as session:
            row = session.get(IngestToken, hashlib.sha256(path.read_bytes()).hexdigest())
            assert row is not None
            row.revoked = now()
        database.close()
        fresh = running.token(owner)
        time.sleep(5.5)  # the gateway believes a token for five seconds
        path.write_text(fresh.read_text())
        assert link.send(b"t value=2 %d" % time.time_ns()).verdict is Verdict.TAKEN


def test_a_line_cannot_speak_for_another_device(running: Gateway, owner: str) -> None:
    token = running.token(owner)
    at = time.time_ns()
    answer = send(running, token, b"t,device=pi02 value=1 %d\nt,device=pi01 value=2 %d" % (at, at))
    assert answer.verdict is Verdict.TAKEN
    assert len(answer.refused) == 1
    frame = running.read(owner, "t")
    assert frame["device"].tolist() == ["pi01"]
    assert frame["value"].tolist() == [2.0]


def test_a_batch_over_the_limit_is_cut_off(running: Gateway, owner: str) -> None:
    token = running.token(owner)
    answer = send(running, token, b"x" * 1_000_001)
    assert answer.verdict in (Verdict.SMALLER, Verdict.LATER), "413, or cut off while sending"
    assert send(running, token, b"t value=1 %d" % time.time_ns()).verdict is Verdict.TAKEN


def test_plain_http_and_an_unknown_authority_get_nowhere(
    running: Gateway, owner: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="https"):
        Uplink("http://10.0.0.1:1", device="pi01", token_file="t", ca_file="c")
    strangers = Settings(state=tmp_path / "other", subnet="127.0.0.0/16")
    certs.ensure(strangers)
    token = running.token(owner)
    link = Uplink(running.url, device="pi01", token_file=str(token), ca_file=str(strangers.certs / "ca.crt"))
    answer = link.send(b"t value=1 %d" % time.time_ns())
    assert answer.verdict is Verdict.LATER
    assert "certificate verify failed" in answer.reason
