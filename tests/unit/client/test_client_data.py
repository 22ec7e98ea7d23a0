"""Readings through the client and the command line, from the CSV that InfluxDB sends."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs

import pandas as pd
import pytest
from client_server import Call, Server
from cyberlab.cli import app
from cyberlab.errors import LabError, PartDown, TimedOut, Unreachable
from cyberlab.lab import Lab
from cyberlab.wire import ErrorBody, ErrorInfo
from typer.testing import CliRunner, Result

NS = 1_772_442_600_000_000_000
"""2026-03-02 09:10 UTC"""


class Influx:
    """Answers what `cyberlab.reader` asks, from rows of (device, seconds, value)."""

    def __init__(self, server: Server) -> None:
        self.rows: list[tuple[str, float, float]] = []
        self.asked: list[str] = []
        server.on("GET", "/api/query", self.answer)

    def answer(self, call: Call) -> None:
        question = parse_qs(call.query)["q"][0]
        self.asked.append(question)
        if question.startswith("SHOW"):
            call.text(200, "name,tags,fieldKey,fieldType\ntemperature,,value,float\n", "text/csv")
            return
        lines = [
            f'temperature,"device={device},unit=C",{NS + int(after * 1e9)},{value}\n'
            for device, after, value in self.rows
        ]
        call.text(200, "name,tags,time,value\n" + "".join(lines) if lines else "", "text/csv")


@pytest.fixture
def influx(server: Server, lab: Lab) -> Influx:
    return Influx(server)


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_readings_as_a_frame(lab: Lab, influx: Influx) -> None:
    influx.rows = [("pi01", 0, 21.5), ("pi02", 1, 19)]
    frame = lab.read("temperature", start="-10m", devices=["pi01", "pi02"])
    assert list(frame.columns) == ["pi01", "pi02"]
    assert str(frame.index[0]) == "2026-03-02 09:10:00+00:00"
    assert frame.attrs["units"]["pi01"] == "C"
    assert lab.plot(frame).axes[0].get_ylabel() == "temperature (°C)"


def test_wait_for_returns_when_each_device_has_sent(lab: Lab, influx: Influx) -> None:
    def arrive() -> None:
        time.sleep(0.3)
        influx.rows = [("pi01", 0, 21.5)]
        time.sleep(0.5)
        influx.rows += [("pi02", 1, 19)]

    threading.Thread(target=arrive, daemon=True).start()
    frame = lab.wait_for("temperature", devices=["pi01", "pi02"], timeout=20)
    assert list(frame.columns) == ["pi01", "pi02"]


def test_wait_for_names_who_is_missing(lab: Lab, influx: Influx) -> None:
    influx.rows = [("pi01", 0, 21.5)]
    with pytest.raises(TimedOut, match="from pi02 within") as caught:
        lab.wait_for("temperature", devices=["pi01", "pi02"], timeout=0.2)
    assert "lab.deployment_logs" in caught.value.message


def test_read_prints_csv_parquet_and_json(influx: Influx, tmp_path: Path) -> None:
    influx.rows = [("pi01", 0, 21.5), ("pi02", 1, 19)]
    lines = call("read", "temperature", "--csv", "-").stdout.splitlines()
    assert lines == [
        "time,pi01,pi02",
        "2026-03-02T09:10:00.000000000Z,21.5,",
        "2026-03-02T09:10:01.000000000Z,,19.0",
    ]
    assert "21.5" in call("read", "temperature").stdout
    both = call(
        "read", "temperature", "--csv", str(tmp_path / "x.csv"), "--parquet", str(tmp_path / "x.parquet")
    )
    assert both.exit_code == 0
    assert (tmp_path / "x.csv").read_text().splitlines() == lines
    assert (tmp_path / "x.parquet").read_bytes()[:4] == b"PAR1"
    found = json.loads(call("read", "temperature", "--json").stdout)
    assert found["units"]["value"] == "C"
    assert found["rows"][0] == {"time": "2026-03-02T09:10:00.000Z", "pi01": 21.5, "pi02": None}
    week = call("download", "readings", "temperature", "--start", "-7d", "--to", str(tmp_path / "week.csv"))
    assert week.exit_code == 0
    assert call("download", "readings", "temperature", "--to", str(tmp_path / "week.doc")).exit_code == 3


def test_nothing_to_read_is_a_remark(influx: Influx) -> None:
    result = call("read", "temperature")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "none in this time" in result.stderr
    assert "Warning" not in result.stderr


def test_an_answer_that_breaks_off_is_not_taken_for_all(server: Server, lab: Lab) -> None:
    def answer(one: Call) -> None:
        one.send_response(200)
        one.send_header("Transfer-Encoding", "chunked")
        one.end_headers()
        one.wfile.write(b"14\r\nname,tags,time,value\n\r\n")
        one.close_connection = True

    server.on("GET", "/api/query", answer)
    with pytest.raises(Unreachable, match="broke the connection"):
        lab.query("SELECT * FROM temperature")


def test_a_deployments_log_tells_when_it_breaks_off(server: Server, lab: Lab) -> None:
    line = b'data: {"device": "pi01", "text": "hello \xe2\x80\xa8 there"}\n\n'
    error = ErrorInfo(code="engine-down", message="The engine does not answer.").model_dump_json().encode()
    path = "/api/deployments/garden/logs"
    server.on(
        "GET", path, lambda one: one.events(line, b": still here\n\n", line, b"event: end\ndata: {}\n\n")
    )
    log = lab.deployment_logs("garden")
    assert [one.text for one in log] == ["hello \u2028 there"] * 2
    assert isinstance(log.to_frame(), pd.DataFrame)
    server.on("GET", path, lambda one: one.events(line, b"event: error\ndata: " + error + b"\n\n"))
    with pytest.raises(PartDown, match="The engine does not answer"):
        lab.deployment_logs("garden")
    server.on("GET", path, lambda one: one.events(line))
    followed = lab.deployment_logs("garden", follow=True)
    assert next(followed).device == "pi01"
    with pytest.raises(Unreachable, match="broke off"):
        next(followed)
    server.on("GET", path, lambda one: one.json(404, ErrorBody(error=ErrorInfo(code="x", message="none"))))
    with pytest.raises(LabError, match="none"):
        list(lab.deployment_logs("garden", follow=True))


def test_where_the_dashboard_is(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/anna/")
    assert lab.dashboard_url("sensors") == "/user/anna/voila/render/dashboards/sensors.ipynb"
    assert lab.dashboard_url("my sensors.ipynb").endswith("/my%20sensors.ipynb")
