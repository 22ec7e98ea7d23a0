"""Trials through the API, on the fake workshop."""

from __future__ import annotations

from typing import Any

import pytest
from cyberlab_hub.errors import PartDown
from cyberlab_hub.workshop.orders import TrialOrder
from service_lab import ServiceLab, events, until


def start(service: ServiceLab, **more: Any) -> Any:
    return service.anna.post("/trials", json={"image": "greenhouse", **more})


def running(service: ServiceLab) -> str:
    """A trial that runs until it is stopped."""
    job = str(start(service, command=["sleep", "60"], seconds=120).json()["id"])
    until(lambda: service.anna.get(f"/trials/{job}").json()["phase"] == "running")
    return job


@pytest.fixture(autouse=True)
def image(service: ServiceLab) -> Any:
    return service.built(service.anna)


def test_a_trial_runs_the_image_and_shows_what_it_writes(service: ServiceLab, image: Any) -> None:
    job = service.ended(
        service.anna, start(service, command=["echo", "hello"], env={"A": "1"}, seconds=5).json()["id"]
    )
    assert (job["kind"], job["phase"], job["result"]["exit_code"]) == ("trial", "done", 0)
    with service.anna.stream("GET", f"/trials/{job['id']}/events") as stream:
        assert [e.data["text"] for e in events(stream) if e.event == "log"] == ["hello"]
    order = service.workshop.orders[-1]
    assert isinstance(order, TrialOrder)
    assert (order.repository, order.digest) == ("anna/greenhouse", image["result"]["digest"])
    assert (order.command, order.env, order.seconds) == (("echo", "hello"), (("A", "1"),), 5)


def test_a_program_that_fails_fails_its_trial_and_keeps_the_code(service: ServiceLab) -> None:
    job = service.ended(service.anna, start(service, command=["exit", "3"]).json()["id"])
    assert (job["phase"], job["error"]["code"], job["result"]["exit_code"]) == ("failed", "program-failed", 3)
    assert "exit code 3" in job["error"]["message"]


def test_a_trial_whose_time_is_over_has_done_its_work(service: ServiceLab) -> None:
    job = service.ended(service.anna, start(service, command=["sleep", "30"], seconds=1).json()["id"])
    assert job["phase"] == "done"
    assert job["result"] == {"exit_code": None, "reason": "time over"}


def test_a_trial_can_be_stopped(service: ServiceLab) -> None:
    job = running(service)
    assert service.anna.delete(f"/trials/{job}").status_code == 202
    assert service.ended(service.anna, job)["phase"] == "cancelled"
    assert service.workshop.trials == {}


def test_a_command_inside_a_trial(service: ServiceLab) -> None:
    job = running(service)
    answer = service.anna.post(f"/trials/{job}/exec", json={"command": ["echo", "inside"]})
    assert answer.json() == {"exit_code": 0, "output": "inside\n"}
    assert service.ben.post(f"/trials/{job}/exec", json={"command": ["echo"]}).status_code == 404
    assert service.anna.post(f"/trials/{job}/exec", json={"command": []}).status_code == 422
    service.anna.post(f"/trials/{job}/cancel")
    service.ended(service.anna, job)
    late = service.anna.post(f"/trials/{job}/exec", json={"command": ["echo"]})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "trial-not-running")


@pytest.mark.parametrize("reference", ["greenhouse", "greenhouse:1", "anna/greenhouse:1", "anna/greenhouse"])
def test_own_images_by_every_name(service: ServiceLab, reference: str) -> None:
    assert service.ended(service.anna, start(service, image=reference).json()["id"])["phase"] == "done"


@pytest.mark.parametrize(
    ("reference", "status", "code"),
    [
        ("nope", 404, "image-unknown"), ("greenhouse:2", 404, "image-unknown"),
        ("greenhouse:0", 422, "spec-refused"), ("greenhouse:latest", 422, "spec-refused"),
        ("ben/greenhouse", 422, "spec-refused"), ("debian@sha256:abc", 422, "spec-refused"),
        ("", 422, "spec-refused"), ("greenhouse\n", 422, "spec-refused"),
    ],
)  # fmt: skip
def test_images_that_are_none(service: ServiceLab, reference: str, status: int, code: str) -> None:
    answer = start(service, image=reference)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_env_and_command_are_checked(service: ServiceLab) -> None:
    answer = start(service, env={"LD_PRELOAD": "x", "1": "y"}, command=["a\nb"], seconds=9)
    paths = {p["path"] for p in answer.json()["error"]["problems"]}
    assert paths == {"env.LD_PRELOAD", "env.1", "command[0]"}
    assert start(service, seconds=99_999).json()["error"]["problems"][0]["path"] == "seconds"


def test_no_more_trials_at_once_than_the_quota(service: ServiceLab) -> None:
    jobs = [start(service, command=["sleep", "60"], seconds=120) for _ in range(3)]
    assert [answer.status_code for answer in jobs] == [202, 202, 429]
    assert jobs[2].json()["error"]["code"] == "quota-trials"
    service.anna.post(f"/jobs/{jobs[0].json()['id']}/cancel")
    service.ended(service.anna, jobs[0].json()["id"])
    assert start(service).status_code == 202


def test_an_engine_that_is_down(service: ServiceLab) -> None:
    service.workshop.down = PartDown("engine-down", "The engine does not answer.")
    assert service.ended(service.anna, start(service).json()["id"])["error"]["code"] == "engine-down"
