"""The agent's file, and that it starts and stops without a gateway."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cyberlab_edge.agent.config import Config, load
from cyberlab_edge.spool import Spool

GOOD = {"device": "pi01", "uplink": "wss://10.0.0.1:8445/api/v1/uplink", "pem_file": "/t", "ca_file": "/c"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def write(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def test_the_least_and_the_newest(tmp_path: Path) -> None:
    config = load(write(tmp_path / "a.json", {**GOOD, "from_a_later_version": 1}))
    assert config == Config(**GOOD)
    assert (config.interval_s, config.simulated) == (5.0, False)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([], "JSON object"),
        ({**GOOD, "device": ""}, "'device'"),
        ({k: v for k, v in GOOD.items() if k != "ca_file"}, "'ca_file'"),
        ({**GOOD, "interval_s": 0}, "0.1 to 3600"),
        ({**GOOD, "interval_s": True}, "0.1 to 3600"),
        ({**GOOD, "simulated": "yes"}, "true or false"),
        ({**GOOD, "uplink": "ws://10.0.0.1:8445/"}, "wss://"),
        ({**GOOD, "spool_mb": 0}, "1 to 1e\\+06 MB"),
        ({**GOOD, "spool": 1}, "'spool'"),
        ({**GOOD, "intake": "8087"}, "172.17.0.1:8087"),
    ],
)
def test_a_wrong_file_names_file_and_key(tmp_path: Path, content: object, words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        load(write(tmp_path / "agent.json", content))
    assert "agent.json" in str(error.value)


def test_it_outlives_a_missing_gateway_and_stops_within_a_second(tmp_path: Path) -> None:
    files = {
        "pem_file": str(tmp_path / "pem"),
        "ca_file": str(tmp_path / "ca"),
        "spool": str(tmp_path / "s.db"),
    }
    there = {"uplink": "wss://127.0.0.1:9/x", "intake": f"127.0.0.1:{free_port()}", "interval_s": 0.1}
    config = write(tmp_path / "a.json", {**GOOD, **files, **there})
    agent = subprocess.Popen(
        [sys.executable, "-W", "error", "-m", "cyberlab_edge.agent", "--config", str(config)],
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(1.5)
    assert agent.poll() is None
    begun = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    _, err = agent.communicate(timeout=10)
    assert time.monotonic() - begun < 1
    assert agent.returncode == 0, err
    spool = Spool(tmp_path / "s.db")
    kept = spool.next()
    spool.close()
    assert kept is not None
    assert kept.body.startswith(b"system ")
    assert "readings are kept here and sent later" in err


def test_without_a_file_it_says_so_and_ends(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cyberlab_edge.agent", "--config", str(tmp_path / "none.json")],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "none.json" in done.stderr
    assert "Traceback" not in done.stderr
