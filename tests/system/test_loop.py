"""The main job through the real lab: a spec becomes readings; what is wrong is said and changes nothing."""

from __future__ import annotations

import time

import pytest
from cyberlab import FileEntry, ImageSpec, Lab
from cyberlab.errors import JobFailed, LabError, NotFound, SpecRefused
from system.conftest import counter_spec

pytestmark = pytest.mark.engine


def ready(lab: Lab) -> list[str]:
    return sorted(d.name for d in lab.devices() if d.state == "ready")


def test_from_a_spec_to_readings_of_every_device_and_a_second_version(student: Lab) -> None:
    devices = ready(student)
    image = student.build(counter_spec("loop", "first"), show=False)
    assert image.ref.endswith("/loop:1")
    deployment = student.deploy(image, name="loop", devices=devices, show=False)
    assert {t.device: t.state for t in deployment.tasks} == dict.fromkeys(devices, "running")
    frame = student.wait_for("first", devices=devices, timeout=30)
    assert sorted(frame.columns) == devices

    newer = student.build(counter_spec("loop", "second"), show=False)
    assert newer.version == 2
    student.deploy(newer, name="loop", devices=devices[:1], show=False)
    student.wait_for("second", devices=devices[:1], timeout=30)
    assert student.deployment("loop").devices == tuple(devices[:1])

    student.stop("loop")
    assert student.deployments() == []


def test_an_unchanged_spec_builds_nothing(student: Lab) -> None:
    spec = counter_spec("same")
    first = student.build(spec, show=False)
    handle = student.start_build(spec)
    assert handle.wait(30).result["reused"] is True
    assert [i.version for i in student.images() if i.name == "same"] == [first.version]


def test_a_trial_shows_its_readings_and_is_stopped_at_its_time(student: Lab) -> None:
    image = student.build(counter_spec("tried"), show=False)
    handle = student.start_trial(image, seconds=4)
    lines: list[str] = []
    handle.wait(60, on_event=lambda e: lines.append(e.text) if e.kind == "log" else None)
    assert any('"count"' in line for line in lines), lines


def test_a_pip_name_that_does_not_exist_is_explained_in_one_sentence(student: Lab) -> None:
    spec = ImageSpec(
        name="typo",
        base="python",
        pip=("nmupyy-does-not-exist==1",),
        files=(FileEntry(path="main.py", text="1"),),
    )
    with pytest.raises(JobFailed, match="nmupyy-does-not-exist") as caught:
        student.build(spec, show=False)
    assert caught.value.code == "build-failed"
    assert "No matching distribution" in str(caught.value)
    assert not [i for i in student.images() if i.name == "typo"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"base": "windows"}, "base-unknown"),
        ({"apt": ("no-such-package",)}, "library-unknown"),
        ({"name": "Not A Name"}, "name-invalid"),
        ({"files": (FileEntry(path="../../etc/passwd", text="x"),)}, "file-path"),
        ({"files": (FileEntry(path="big.bin", text="x" * 1_100_000),)}, "file-too-large"),
        ({"pip": ("numpy; rm -rf /",)}, "library-form"),
        ({"env": {"CYBERLAB_TOKEN_FILE": "/etc/passwd"}}, "env-name-reserved"),
    ],
)
def test_a_bad_spec_is_refused_by_the_service_too(student: Lab, change: dict[str, object], code: str) -> None:
    spec = counter_spec("bad").model_copy(update=change)
    with pytest.raises(SpecRefused) as caught:
        student.start_build(spec)
    assert code in {p.code for p in caught.value.problems}, caught.value.problems
    assert not [j for j in student.jobs() if j.name == "bad"]


def test_a_device_that_is_not_there_is_named(student: Lab) -> None:
    image = student.build(counter_spec("where"), show=False)
    with pytest.raises(SpecRefused) as caught:
        student.start_deploy(image, name="where", devices=["pi99"])
    assert caught.value.problems[0].code == "device-unknown"
    with pytest.raises(NotFound):
        student.start_deploy("nothing-like-this", devices=ready(student)[:1])


def test_a_program_that_ends_at_once_fails_the_deployment_and_says_why(student: Lab) -> None:
    spec = ImageSpec(
        name="crash", base="python", files=(FileEntry(path="main.py", text="raise SystemExit('no sensor')"),)
    )
    image = student.build(spec, show=False)
    device = ready(student)[0]
    with pytest.raises(LabError) as caught:
        student.deploy(image, name="crash", devices=[device], show=False)
    assert device in str(caught.value)


def test_what_is_published_from_the_notebook_is_read_back(student: Lab) -> None:
    student.publish("mood", 7.5, unit="points", room="b12")
    deadline = time.monotonic() + 10
    while (frame := student.read("mood", start="-5m", layout="long")).empty:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert frame["value"].iloc[0] == 7.5
    assert frame["room"].iloc[0] == "b12"
