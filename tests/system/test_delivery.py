"""Under steady load, each part is killed in turn: every point published is there once, or was reported lost.

A counter runs on each device. Its own log says what it published; the database says what arrived. What a program still
held in its own memory when it was killed (the last moments before the kill) is counted apart: no lab can keep that.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import docker
import pytest
from cyberlab import FileEntry, ImageSpec, Lab
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers, engines, processes
from system.hubclient import run_step
from system.test_resilience import wait_until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

NAME = "delivery"
PAUSE = 0.05
PROGRAM = """
import itertools, secrets, time
from cyberlab_edge import publish

run = secrets.token_hex(4)
for number in itertools.count():
    publish("tick", number, run=run)
    print("published", run, number, flush=True)
    time.sleep({pause})
"""
IN_MEMORY_SECONDS = 2.0
"""A killed program may lose what it published within this; it is a fraction of a second when nothing else is wrong."""


@dataclass
class Stage:
    settings: Settings
    lab: Lab
    devices: tuple[str, ...]
    engine: docker.DockerClient = field(default_factory=engines.system_engine)

    def part(self, name: str) -> Any:
        container = containers.find(self.settings, self.engine, name)
        assert container is not None
        return container

    def inside(self, device: str, command: str) -> str:
        done = self.part(device).exec_run(["sh", "-c", command])
        return str(done.output.decode())

    def kill_process(self, name: str) -> None:
        found = processes.find(self.settings, name)
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)
        time.sleep(2)
        run_step(self.settings, name)

    def waiting(self, device: str) -> int:
        asked = (
            "python3 -c 'import json, urllib.request as u;"
            ' print(json.load(u.urlopen("http://172.17.0.1:8087/health", timeout=5))["waiting"])\''
        )
        said = self.inside(device, asked)
        return int(said) if said.strip().isdigit() else -1


# ---------------------------------------------------------------- what goes wrong
def kill_gateway(stage: Stage) -> None:
    stage.kill_process("ingest")


def kill_hub(stage: Stage) -> None:
    stage.kill_process("hub")


def kill_database(stage: Stage) -> None:
    stage.part("influxdb").kill("SIGKILL")
    time.sleep(3)
    stage.part("influxdb").start()


def kill_agent(stage: Stage) -> None:
    for _ in range(3):
        stage.inside(stage.devices[0], "pkill -KILL -f cyberlab_edge.agent")
        time.sleep(1.5)


def kill_container(stage: Stage) -> None:
    stage.inside(stage.devices[1], f"docker kill -s KILL $(docker ps -q --filter label=cyberlab.name={NAME})")


def cut_the_network(stage: Stage) -> None:
    with cut(stage, stage.devices[2]):
        time.sleep(8)


@contextmanager
def cut(stage: Stage, device: str) -> Iterator[None]:
    stage.inside(device, "iptables -I INPUT -i eth0 -j DROP; iptables -I OUTPUT -o eth0 -j DROP")
    try:
        yield
    finally:
        stage.inside(device, "iptables -D INPUT -i eth0 -j DROP; iptables -D OUTPUT -o eth0 -j DROP")


def cut_the_power(stage: Stage) -> None:
    pi = stage.part(stage.devices[0])
    pi.kill("SIGKILL")
    time.sleep(3)
    pi.start()


def fill_the_disk(stage: Stage) -> None:
    """Of the spool; first with an uplink, then without one."""
    device = stage.devices[1]
    stage.inside(device, "dd if=/dev/zero of=/var/lib/cyberlab/fill bs=1M 2>/dev/null; sync")
    try:
        time.sleep(4)
        with cut(stage, device):
            time.sleep(4)
    finally:
        stage.inside(device, "rm -f /var/lib/cyberlab/fill")


TROUBLE: tuple[Callable[[Stage], None], ...] = (
    kill_gateway, kill_database, kill_agent, kill_container, kill_hub, cut_the_network, fill_the_disk, cut_the_power,
)  # fmt: skip


# ---------------------------------------------------------------- what was published, what arrived
@dataclass(frozen=True)
class Account:
    published: int
    found: int
    doubled: int
    reported: int
    in_memory: int
    """Published by a program in the moments before it was killed, and never given to the agent."""


def published(stage: Stage) -> dict[str, int]:
    """Run -> how many points it published, by the logs of all containers there were."""
    last: dict[str, int] = {}
    for device in stage.devices:
        logs = stage.inside(
            device,
            f"for c in $(docker ps -aq --filter label=cyberlab.name={NAME}); do docker logs $c 2>&1; done",
        )
        for run, number in re.findall(r"published ([0-9a-f]{8}) (\d+)", logs):
            last[run] = max(last.get(run, -1), int(number))
    return {run: number + 1 for run, number in last.items()}


def account(stage: Stage) -> tuple[Account, list[str]]:
    """The figures, and what is wrong with them."""
    sent = published(stage)
    frame = stage.lab.read("tick", start="-30m", layout="long")
    gaps = stage.lab.query("SELECT lost FROM cyberlab_gap WHERE time > now() - 30m")
    reported = int(gaps["lost"].sum()) if len(gaps) else 0
    wrong: list[str] = []
    found = doubled = tail = 0
    for run, rows in frame.groupby("run"):
        numbers = sorted(int(value) for value in rows["value"])
        found += len(numbers)
        doubled += len(numbers) - len(set(numbers))
        holes = sorted(set(range(numbers[-1] + 1)) - set(numbers))
        if len(holes) > reported:
            wrong.append(f"run {run} lacks {holes[:10]} and reports {reported} lost")
        # a program prints after it has published: the log may be one behind
        behind = max(0, sent.get(str(run), 0) - numbers[-1] - 1)
        tail += behind
        if behind * PAUSE > IN_MEMORY_SECONDS:
            wrong.append(f"run {run}: its last {behind} points never left it")
    missing = set(sent) - {str(run) for run in frame["run"]}
    if missing:
        wrong.append(f"nothing at all of {missing}")
    return Account(sum(sent.values()), found, doubled, reported, tail), wrong


def test_every_point_arrives_once_whatever_is_killed(
    student: Lab, lab_running: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    devices = tuple(sorted(d.name for d in student.devices() if d.state == "ready"))
    assert len(devices) >= 3
    stage = Stage(lab_running, student, devices[:3])
    text = f"# {secrets.token_hex(4)}\n" + PROGRAM.format(pause=PAUSE)
    spec = ImageSpec(
        name=NAME,
        base="python",
        files=(FileEntry(path="main.py", text=text),),
        command=("python3", "main.py"),
    )
    student.deploy(student.build(spec, show=False), name=NAME, devices=stage.devices, show=False)
    student.wait_for("tick", devices=stage.devices, timeout=30)
    for trouble in TROUBLE:
        trouble(stage)
        time.sleep(4)
    wait_until("every device being ready", lambda: _ready(student) >= set(stage.devices), 90)
    wait_until("every device sending", lambda: _sending(student, stage.devices), 90)
    with paused(stage):
        for device in stage.devices:
            wait_until(
                f"the spool of {device} being empty", lambda d=device: stage.waiting(d) in range(10), 60
            )
        time.sleep(2)
        figures, wrong = account(stage)
    student.stop(NAME)
    with capsys.disabled():
        print(f"\ndelivery: {figures}")  # noqa: T201 - the figures are for whoever runs this
    assert not wrong, wrong
    assert figures.doubled == 0
    assert figures.published > 1000


@contextmanager
def paused(stage: Stage) -> Iterator[None]:
    """The programs stand still, so that what they published can be compared with what arrived."""
    for device in stage.devices:
        stage.inside(device, f"docker pause $(docker ps -q --filter label=cyberlab.name={NAME})")
    try:
        yield
    finally:
        for device in stage.devices:
            stage.inside(device, f"docker unpause $(docker ps -q --filter label=cyberlab.name={NAME})")


def _ready(lab: Lab) -> set[str]:
    return {d.name for d in lab.devices() if d.state == "ready"}


def _sending(lab: Lab, devices: tuple[str, ...]) -> bool:
    frame = lab.read("tick", start="-5s", layout="long")
    return set(frame.get("device", ())) >= set(devices)
