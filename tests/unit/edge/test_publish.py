"""`publish` as a program on a Pi uses it, where there is no gateway; and its clock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cyberlab_edge import publish as publish_now
from cyberlab_edge.points import PointError

publish_module = sys.modules["cyberlab_edge.publish"]
Clock = publish_module.Clock


def run(code: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("CYBERLAB_")}
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**clean, **env},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_without_a_gateway_readings_are_lines_of_json() -> None:
    done = run(
        "from cyberlab_edge import publish, flush\n"
        "publish('temperature', 21, unit='C', at=1700000000000000001, room='b 12')\n"
        "publish('air', {'co2': 600, 'ok': True, 'note': 'grün'}, sensor='scd30')\n"
        "assert flush()"
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, second = map(json.loads, done.stdout.splitlines())
    assert first == {
        "time": "2023-11-14T22:13:20.000000001Z",
        "measurement": "temperature",
        "value": 21.0,
        "unit": "C",
        "room": "b 12",
    }
    assert (second["co2"], second["ok"], second["note"], second["sensor"]) == (600.0, True, "grün", "scd30")


def test_a_log_reads_back_into_pandas(tmp_path: Path) -> None:
    log = tmp_path / "readings.ndjson"
    code = "from cyberlab_edge import publish\nfor i in range(3): publish('t', i, at=1700000000000000000 + i)"
    assert run(code, CYBERLAB_LOG=str(log)).stdout == ""
    frame = pd.read_json(log, lines=True)
    assert frame["value"].tolist() == [0, 1, 2]
    assert [t.nanosecond for t in pd.to_datetime(frame["time"])] == [0, 1, 2]


def test_a_bad_value_is_the_programs_mistake_and_raises() -> None:
    with pytest.raises(PointError, match="not NoneType"):
        publish_now("temperature", None)


def test_a_gateway_that_is_not_there_never_disturbs_the_program(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("x")
    done = run(
        "from cyberlab_edge import publish, flush\npublish('t', 1)\nprint(flush(0.3))",
        CYBERLAB_GATEWAY="https://127.0.0.1:9",
        CYBERLAB_TOKEN_FILE=str(token),
        CYBERLAB_CA_FILE=str(tmp_path / "missing.crt"),
    )
    assert done.returncode == 0
    assert done.stdout == "False\n"
    assert "1 readings could not be sent" in done.stderr


def test_a_process_that_forks_sends_its_own() -> None:
    done = run(
        "import os\nfrom cyberlab_edge import publish\npublish('t', 1)\n"
        "if os.fork() == 0:\n    publish('t', 2)\n    os._exit(0)\nos.wait()"
    )
    assert [json.loads(line)["value"] for line in done.stdout.splitlines()] == [1.0, 2.0]


def test_two_readings_in_one_tick_are_two_points(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, at = Clock(), [1_700_000_000_000_000_000]
    monkeypatch.setattr(publish_module.time, "time_ns", lambda: at[0])
    assert [clock.now() for _ in range(3)] == [at[0], at[0] + 1, at[0] + 2]
    at[0] -= 10  # jitter between processors
    assert clock.now() == 1_700_000_000_000_000_003


def test_a_clock_that_was_set_back_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, at = Clock(), [1_700_000_000_000_000_000]
    monkeypatch.setattr(publish_module.time, "time_ns", lambda: at[0])
    clock.now()
    at[0] -= 3_600_000_000_000
    assert clock.now() == at[0]
