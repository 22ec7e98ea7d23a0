"""Parts that stop in the middle of work: nothing is lost, and what is down is said."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from cyberlab import FileEntry, ImageSpec, Lab
from cyberlab.errors import JobFailed, LabError, PartDown
from cyberlab.wire import Phase
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers, engines, processes
from system.conftest import counter_spec
from system.hubclient import run_step

pytestmark = pytest.mark.engine


@contextmanager
def stopped(settings: Settings, part: str) -> Iterator[None]:
    """A container of the lab, stopped for a while."""
    container = containers.find(settings, engines.system_engine(), part)
    assert container is not None
    container.stop(timeout=5)
    try:
        yield
    finally:
        container.start()


def wait_until(what: str, condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(0.3)


def slow_spec(name: str, seconds: int) -> ImageSpec:
    return ImageSpec(
        name=name,
        base="python",
        files=(FileEntry(path="main.py", text=f"# {time.time()}\nprint('hello')"),),
        custom=f"RUN echo begun-{time.time_ns()} && sleep {seconds} && echo slept",
    )


def test_a_hub_restart_in_the_middle_of_a_build_loses_neither_the_job_nor_its_log(
    student: Lab, lab_running: Settings
) -> None:
    handle = student.start_build(slow_spec("through-hub", 20))
    wait_until("the build", lambda: handle.refresh().phase is Phase.BUILDING)
    assert processes.stop(lab_running, "hub")
    run_step(lab_running, "hub")
    texts: list[str] = []
    job = handle.wait(120, on_event=lambda e: texts.append(e.text))
    assert job.phase is Phase.DONE
    assert any("begun-" in t for t in texts)
    assert any("slept" in t for t in texts)


def log_of(lab: Lab, job: str) -> list[str]:
    return [event.text for event in lab.job(job).past()]


def test_a_service_restart_marks_what_ran_as_failed_with_the_reason_and_keeps_the_log(
    student: Lab, lab_running: Settings
) -> None:
    handle = student.start_build(slow_spec("through-lab", 60))
    wait_until("the build", lambda: any("begun-" in text for text in log_of(student, handle.id)))
    assert processes.stop(lab_running, "lab")
    run_step(lab_running, "lab")
    with pytest.raises(JobFailed) as caught:
        handle.wait(30)
    assert caught.value.code == "service-restarted"
    assert any("begun-" in text for text in log_of(student, handle.id))


def test_cancel_stops_the_build_and_not_only_the_watching(student: Lab) -> None:
    handle = student.start_build(slow_spec("cancelled", 120))
    wait_until("the build", lambda: any("begun-" in text for text in log_of(student, handle.id)))
    handle.cancel()
    wait_until("the end", lambda: handle.refresh().phase is Phase.CANCELLED, 15)
    # the queue's place is free again at once
    assert student.build(counter_spec("after-cancel"), show=False).version == 1


def test_no_reading_is_lost_or_doubled_while_the_gateway_is_away(student: Lab, lab_running: Settings) -> None:
    image = student.build(counter_spec("steady", "steady", pause=0.1), show=False)
    device = next(d.name for d in student.devices() if d.state == "ready")
    student.deploy(image, name="steady", devices=[device], show=False)
    student.wait_for("steady", devices=[device], timeout=30)
    assert processes.stop(lab_running, "ingest")
    time.sleep(3)
    run_step(lab_running, "ingest")
    _wait_for_the_present(student, "steady")
    student.stop("steady")
    wait_until("the last readings", lambda: _whole(student, "steady"), 30)


def _wait_for_the_present(lab: Lab, measurement: str) -> None:
    """Until what waited on the device has been sent: it is in memory there, and goes with the container."""
    now = datetime.now(UTC)
    wait_until("the newest readings", lambda: lab.read(measurement, start="-10m").index[-1] > now)


def _whole(lab: Lab, measurement: str) -> bool:
    """A counter without a hole: as many rows as its last value says, and none twice."""
    values = lab.read(measurement, start="-10m", layout="long")["value"].tolist()
    return len(values) > 30 and sorted(values) == list(range(len(values)))


def test_readings_wait_for_the_database(student: Lab, lab_running: Settings) -> None:
    image = student.build(counter_spec("patient", "patient", pause=0.1), show=False)
    device = next(d.name for d in student.devices() if d.state == "ready")
    student.deploy(image, name="patient", devices=[device], show=False)
    student.wait_for("patient", devices=[device], timeout=30)
    with stopped(lab_running, "influxdb"):
        with pytest.raises(PartDown) as caught:
            student.read("patient")
        assert caught.value.code == "database-down"
        time.sleep(2)
    wait_until("reading again", lambda: _readable(student, "patient"))
    _wait_for_the_present(student, "patient")
    student.stop("patient")
    wait_until("the last readings", lambda: _whole(student, "patient"), 30)


def _readable(lab: Lab, measurement: str) -> bool:
    try:
        return not lab.read(measurement, start="-10m").empty
    except PartDown:
        return False


def test_a_registry_that_is_down_is_named(student: Lab, lab_running: Settings) -> None:
    with stopped(lab_running, "registry"), pytest.raises(LabError) as caught:
        student.build(counter_spec("no-registry"), show=False)
    assert caught.value.code == "registry-down"
    wait_until("a build again", lambda: _builds(student, "no-registry"))


def _builds(lab: Lab, name: str) -> bool:
    try:
        return lab.build(counter_spec(name), show=False).name == name
    except LabError:
        return False


def test_a_device_that_is_away_is_refused_and_comes_back(student: Lab, lab_running: Settings) -> None:
    image = student.build(counter_spec("away"), show=False)
    with stopped(lab_running, "pi03"):
        wait_until("pi03 away", lambda: _state(student, "pi03") == "away")
        with pytest.raises(LabError) as caught:
            student.deploy(image, name="away", devices=["pi03"], show=False)
        assert "pi03" in str(caught.value)
    wait_until("pi03 back", lambda: _state(student, "pi03") == "ready")
    student.deploy(image, name="away", devices=["pi03"], show=False)


def _state(lab: Lab, device: str) -> str:
    return next(d.state for d in lab.devices() if d.name == device)


def test_an_engine_that_is_down_is_named_and_work_goes_on_after(student: Lab, lab_running: Settings) -> None:
    with stopped(lab_running, "engine"), pytest.raises(LabError) as caught:
        student.build(counter_spec("no-engine"), show=False)
    assert caught.value.code == "engine-down"
    wait_until("a build again", lambda: _builds(student, "no-engine"))
    wait_until("every device back", lambda: all(d.state == "ready" for d in student.devices()))
