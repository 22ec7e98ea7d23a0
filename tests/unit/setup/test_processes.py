from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import processes


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(state=tmp_path)
    yield settings
    for name in ("sleeper", "stubborn", "talker", "signals"):
        processes.stop(settings, name)


def test_a_process_is_found_again_and_stopped(settings: Settings) -> None:
    started = processes.start(
        settings, "sleeper", [sys.executable, "-c", "import time; time.sleep(60)"], code="v1"
    )
    assert processes.find(settings, "sleeper") == started
    assert processes.stop(settings, "sleeper")
    assert processes.find(settings, "sleeper") is None
    assert not processes.stop(settings, "sleeper")


def test_a_process_that_ignores_sigterm_is_killed(settings: Settings) -> None:
    code = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    )
    processes.start(settings, "stubborn", [sys.executable, "-c", code])
    deadline = time.monotonic() + 10
    while "ready" not in processes.last_lines(settings, "stubborn"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert processes.stop(settings, "stubborn", seconds=0.3)


def test_a_pid_that_belongs_to_another_program_now_is_left_alone(settings: Settings) -> None:
    record = settings.state / "run" / "old.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"pid": os.getpid(), "born": "1", "code": ""}))
    assert processes.find(settings, "old") is None
    assert not processes.stop(settings, "old")


def test_what_a_killed_process_left_behind_is_ended(settings: Settings) -> None:
    """As the hub's proxy and its idle culler do, the child has a session of its own."""
    sleep = "import time; time.sleep(60)"
    code = f"""
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", {sleep!r}], start_new_session=True)
print("child", child.pid, flush=True)
time.sleep(60)
"""
    other = processes.start(settings, "sleeper", [sys.executable, "-c", sleep])
    parent = processes.start(settings, "talker", [sys.executable, "-c", code])
    deadline = time.monotonic() + 10
    while "child" not in processes.last_lines(settings, "talker"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int(processes.last_lines(settings, "talker").split()[1])
    os.kill(parent.pid, signal.SIGKILL)
    while processes.find(settings, "talker") is not None:
        time.sleep(0.05)
    assert Path(f"/proc/{child}").exists()
    assert processes.stop(settings, "talker")
    assert not alive(child)
    assert not processes.stop(settings, "talker")
    assert processes.find(settings, "sleeper") == other, "another part's is left alone"


def alive(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_the_end_of_the_log_is_in_the_error(settings: Settings) -> None:
    processes.start(settings, "talker", [sys.executable, "-c", "print('cause of death')"])
    deadline = time.monotonic() + 10
    while "cause of death" not in processes.last_lines(settings, "talker"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sigint_is_not_inherited_as_ignored(settings: Settings) -> None:
    code = "import signal; print(signal.getsignal(signal.SIGINT))"
    processes.start(settings, "signals", [sys.executable, "-c", code])
    deadline = time.monotonic() + 10
    while "default_int_handler" not in processes.last_lines(settings, "signals"):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_fingerprint_follows_the_code(settings: Settings) -> None:
    one = processes.fingerprint(settings, ["hub/cyberlab_hub/setup"])
    assert one == processes.fingerprint(settings, ["hub/cyberlab_hub/setup"])
    assert one != processes.fingerprint(settings, ["hub/cyberlab_hub/ingest"])
