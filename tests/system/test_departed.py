"""Somebody leaves while their program runs on a device: the operator ends it and drops the readings, for good."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

from cyberlab import Lab
from cyberlab.wire import API
from cyberlab_hub.accounts import api_token
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.workshop import DockerWorkshop
from system.conftest import counter_spec
from system.hubclient import person, remove_account


def storage(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cyberlab_hub", "storage", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def owners() -> dict[str, bool]:
    """Whether there is an account, of each owner of readings."""
    return {row["owner"]: row["account"] for row in json.loads(storage("--json").stdout)}


def until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.5)


def test_what_a_gone_account_left_running_is_ended(lab_running: Settings) -> None:
    with person(lab_running, sign_in=False) as gone:
        token = api_token(lab_running, gone.name, expires_in=timedelta(hours=1), note="system tests")
        lab = Lab(url=f"{lab_running.lab_url}{API}", token=token)
        image = lab.build(counter_spec("left"))
        lab.deploy(image, name="left", devices=["pi01"])
        lab.add_thing("balcony")
        until(lambda: bool(lab.measurements()))
        lab.close()
        remove_account(lab_running, gone.name)

    refused = storage("--drop", gone.name, "--yes")
    assert refused.returncode == 1
    told = " ".join(refused.stderr.split())
    assert "deployment left, thing balcony" in told
    assert f"cyberlab-hub storage --drop {gone.name} --stop" in told
    done = storage("--drop", gone.name, "--stop", "--yes")
    assert done.returncode == 0, done.stderr
    workshop = DockerWorkshop(lab_running)
    try:
        assert workshop.deployments(gone.name) == ()
        time.sleep(10)  # the device brings what it still had
        assert gone.name not in owners()
        workshop.delete_image(f"{gone.name}/left", image.digest)
    finally:
        workshop.close()
