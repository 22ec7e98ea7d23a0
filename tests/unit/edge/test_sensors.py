"""The replay and the machine, on invented clocks and invented files."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest
from cyberlab_edge.sensors import Machine, replay
from cyberlab_edge.sensors.cgroup import usage


class Time:
    """A clock that moves only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


def test_an_hour_a_second() -> None:
    time = Time()
    readings = list(islice(replay(speed=3600, sleep=time.sleep, clock=time.clock), 4))
    assert time.slept == [1, 1, 1]
    assert [(r.name, r.unit) for r in readings] == [("temperature", "C")] * 4
    assert readings[0].value == 8.78, "47.8 °F"
    assert readings[1].at.isoformat() == "2010-01-01T01:00:00-08:00"


def test_as_recorded_and_from_the_middle() -> None:
    time = Time()
    first = next(replay(unit="F", start=24, sleep=time.sleep, clock=time.clock))
    assert (first.unit, first.at.day) == ("F", 2)
    assert isinstance(first.value, float)


def test_once_through_the_year_and_round_again() -> None:
    time = Time()
    year = list(replay(speed=3600, loop=False, sleep=time.sleep, clock=time.clock))
    assert len(year) == 8759
    again = list(islice(replay(speed=3600, sleep=time.sleep, clock=time.clock), 8760))
    assert again[-1] == again[0]
    assert max(time.slept) < 3, "no long pause at the turn of the year"


def test_a_slow_reader_is_not_chased() -> None:
    time = Time()
    readings = replay(speed=3600, sleep=time.sleep, clock=time.clock)
    next(readings)
    time.now += 100
    next(readings)
    next(readings)
    assert time.slept == [1]


@pytest.mark.parametrize("arguments", [{"speed": 0}, {"speed": -1}, {"unit": "K"}, {"recording": "none"}])
def test_wrong_arguments_are_told_at_once(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        replay(**arguments)  # type: ignore[arg-type]  # wrong on purpose


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(FileNotFoundError, match="pip install vega-datasets"):
        replay()


def test_the_command_publishes() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cyberlab_edge.sensors.replay", "--speed", "1e12", "--once"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 8759


# ---------------------------------------------------------------- the machine
def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


PI = {
    "proc/meminfo": "MemTotal:  4000000 kB\nMemFree: 1 kB\nMemAvailable:  3000000 kB\n",
    "proc/stat": "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 1 2 3 4\n",
    "proc/loadavg": "0.42 0.30 0.20 1/123 4567\n",
    "sys/class/thermal/thermal_zone0/temp": "48312\n",
}
BOX1 = {
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    "sys/fs/cgroup/cpuacct/cpuacct.usage": "1000000000\n",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "300000000\n",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1000000000\n",
    "sys/fs/cgroup/memory/memory.stat": "cache 5\ntotal_inactive_file 100000000\n",
}
BOX2 = {
    "sys/fs/cgroup/cgroup.controllers": "cpu memory\n",
    "sys/fs/cgroup/cpu.max": "50000 100000\n",
    "sys/fs/cgroup/cpu.stat": "usage_usec 1000000\nuser_usec 5\n",
    "sys/fs/cgroup/memory.current": "300000000\n",
    "sys/fs/cgroup/memory.max": "1000000000\n",
    "sys/fs/cgroup/memory.stat": "anon 5\ninactive_file 100000000\n",
}


def test_a_real_pi_is_read_from_proc(tmp_path: Path) -> None:
    put(tmp_path, PI)
    machine = Machine(root=tmp_path)
    assert not machine.boxed
    assert "cpu_percent" not in machine.read()
    put(tmp_path, {"proc/stat": "cpu  150 0 150 900 0 0 0 0 0 0\n"})
    fields = machine.read()
    assert fields["cpu_percent"] == 50
    assert (fields["memory_mb"], fields["memory_percent"]) == (1024, 25)
    assert (fields["load_1m"], fields["temperature_c"]) == (0.42, 48.31)
    assert 0 < fields["disk_percent"] <= 100


@pytest.mark.parametrize(
    ("files", "more"),
    [
        (BOX1, {"sys/fs/cgroup/cpuacct/cpuacct.usage": "1250000000\n"}),
        (BOX2, {"sys/fs/cgroup/cpu.stat": "usage_usec 1250000\n"}),
    ],
    ids=["v1", "v2"],
)
def test_a_simulated_pi_is_read_from_its_control_group(
    tmp_path: Path, files: dict[str, str], more: dict[str, str]
) -> None:
    put(tmp_path, {**PI, **files})
    time = Time()
    machine = Machine(root=tmp_path, clock=time.clock)
    assert machine.boxed
    machine.read()
    time.now += 1
    put(tmp_path, more)
    fields = machine.read()
    assert fields["cpu_percent"] == 50, "0.25 s of the 0.5 s it may use"
    assert (fields["memory_mb"], fields["memory_percent"]) == (200, 20)
    assert "load_1m" not in fields
    assert "temperature_c" not in fields


def test_no_limits_means_no_box(tmp_path: Path) -> None:
    put(
        tmp_path, {**PI, **BOX2, "sys/fs/cgroup/cpu.max": "max 100000\n", "sys/fs/cgroup/memory.max": "max\n"}
    )
    assert not Machine(root=tmp_path).boxed
    assert usage(tmp_path / "nothing") is None
    put(
        tmp_path / "one",
        {
            **PI,
            **BOX1,
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
        },
    )
    assert not Machine(root=tmp_path / "one").boxed


def test_this_machine_can_be_read() -> None:
    assert Machine(boxed=False).read()["memory_mb"] > 10
