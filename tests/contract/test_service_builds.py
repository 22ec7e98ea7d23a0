"""Builds and images through the API, on the fake workshop."""

from __future__ import annotations

from typing import Any

import pytest
from cyberlab_hub.errors import PartDown, WorkFailed
from cyberlab_hub.workshop.orders import BuildOrder, Progress
from service_lab import ServiceLab, body, events, spec


def start(service: ServiceLab, **more: Any) -> Any:
    return service.anna.post("/builds", json={"spec": body(spec(**more))})


def test_a_build_makes_an_image(service: ServiceLab) -> None:
    job = service.built(service.anna)
    assert job["result"]["image"] == "anna/greenhouse:1"
    assert job["result"]["reused"] is False
    assert job["started"] <= job["finished"]
    (image,) = service.anna.get("/images").json()
    assert (image["owner"], image["name"], image["version"], image["base"]) == (
        "anna",
        "greenhouse",
        1,
        "python",
    )
    assert (image["digest"], image["size_mb"]) == (job["result"]["digest"], 151)


def test_the_workshop_gets_a_dockerfile_of_ours_and_the_files(service: ServiceLab) -> None:
    service.built(service.anna, spec(text="print(1)", pip=("numpy==2.1.0",)))
    (order,) = service.workshop.orders
    assert isinstance(order, BuildOrder)
    assert order.dockerfile.splitlines()[0].startswith("# Made by cyberlab")
    assert "FROM cyberlab/python" in order.dockerfile
    assert "numpy==2.1.0" in order.dockerfile
    assert [content for _, content in order.files] == [b"print(1)"]
    assert (order.owner, order.name, order.version, order.base_image) == (
        "anna",
        "greenhouse",
        1,
        "cyberlab/python",
    )


def test_the_same_form_again_builds_nothing(service: ServiceLab) -> None:
    first = service.built(service.anna)
    answer = start(service)
    again = answer.json()
    assert (answer.status_code, again["phase"]) == (202, "done")
    usage = first["result"].pop("usage")
    assert usage["steps"] > usage["cached_steps"]
    assert again["result"] == first["result"] | {"reused": True}, "nothing was used this time"
    assert len(service.workshop.orders) == 1
    with service.anna.stream("GET", f"/jobs/{again['id']}/events") as stream:
        assert [e.event for e in events(stream)] == ["phase", "end"]


def test_a_change_makes_the_next_version_and_going_back_reuses(service: ServiceLab) -> None:
    service.built(service.anna)
    assert service.built(service.anna, spec(text="print(2)"))["result"]["image"] == "anna/greenhouse:2"
    back = service.built(service.anna)
    assert back["result"]["image"] == "anna/greenhouse:1"
    assert back["result"]["reused"] is True


def test_versions_are_per_owner_and_name(service: ServiceLab) -> None:
    service.built(service.anna)
    assert service.built(service.ben)["result"]["image"] == "ben/greenhouse:1"
    assert service.built(service.anna, spec("other"))["result"]["image"] == "anna/other:1"


def test_two_builds_of_one_name_run_one_after_the_other(service: ServiceLab) -> None:
    running = []

    def watch(order: BuildOrder, progress: Progress) -> None:
        running.append(order.version)
        assert len(running) == 1
        assert not progress.cancelled
        running.pop()

    service.workshop.during_build = watch
    jobs = [start(service, text=f"print({n})").json()["id"] for n in range(2)]
    results = [service.ended(service.anna, job)["result"]["image"] for job in jobs]
    assert results == ["anna/greenhouse:1", "anna/greenhouse:2"]


def test_a_form_with_problems_changes_nothing(service: ServiceLab) -> None:
    answer = start(service, name="Not A Name", apt=("i2c-tools; rm -rf /",), scenario="nope", ports=(80,))
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "spec-refused")
    paths = {problem["path"] for problem in error["problems"]}
    assert {"name", "apt[0]", "scenario", "ports[0]"} <= paths
    assert service.anna.get("/jobs").json() == []
    assert service.workshop.orders == []


def test_a_build_that_fails_says_why(service: ServiceLab) -> None:
    def fails(_order: BuildOrder, progress: Progress) -> None:
        progress.log("ERROR: No matching distribution found for numpyy")
        raise WorkFailed("build-failed", "There is no Python library “numpyy”.")

    service.workshop.during_build = fails
    job = service.ended(service.anna, start(service).json()["id"])
    assert job["phase"] == "failed"
    assert job["error"] == {
        "code": "build-failed",
        "message": "There is no Python library “numpyy”.",
        "problems": [],
    }
    with service.anna.stream("GET", f"/jobs/{job['id']}/events") as stream:
        heard = list(events(stream))
    assert [e.event for e in heard][-4:] == ["log", "error", "phase", "end"]
    assert heard[-1].data == job
    assert service.anna.get("/images").json() == []


def test_a_failed_build_takes_no_version(service: ServiceLab) -> None:
    def fails(_order: BuildOrder, _progress: Progress) -> None:
        raise WorkFailed("build-failed", "No.")

    service.workshop.during_build = fails
    service.ended(service.anna, start(service).json()["id"])
    service.workshop.during_build = lambda _order, _progress: None
    assert service.built(service.anna)["result"]["image"] == "anna/greenhouse:1"


def test_a_fault_of_the_workshop_is_ours_and_shows_nothing(service: ServiceLab) -> None:
    def breaks(_order: BuildOrder, _progress: Progress) -> None:
        raise KeyError("a password")

    service.workshop.during_build = breaks
    job = service.ended(service.anna, start(service).json()["id"])
    assert job["error"]["code"] == "internal"
    assert "password" not in str(job)


def test_a_base_that_is_not_built_yet_is_built_first_with_a_word_about_it(service: ServiceLab) -> None:
    assert {b["name"]: b["ready"] for b in service.anna.get("/catalogue").json()["bases"]}["rare"] is False
    job = service.built(service.anna, spec(base="rare"))
    with service.anna.stream("GET", f"/jobs/{job['id']}/events") as stream:
        told = " ".join(e.data["text"] for e in events(stream) if e.event == "phase")
    assert "about 5 min" in told
    assert {b["name"]: b["ready"] for b in service.anna.get("/catalogue").json()["bases"]}["rare"] is True


def test_an_engine_that_is_down_fails_the_job_and_says_so(service: ServiceLab) -> None:
    service.workshop.down = PartDown(
        "engine-down", "The workshop engine does not answer. Try again in a minute."
    )
    job = service.ended(service.anna, start(service).json()["id"])
    assert job["error"]["code"] == "engine-down"


def test_no_more_builds_at_once_than_the_quota(service: ServiceLab) -> None:
    go_on: list[bool] = []

    def waits(_order: BuildOrder, progress: Progress) -> None:
        while not go_on and not progress.cancelled:
            pass

    service.workshop.during_build = waits
    answers = [start(service, name=f"image{n}") for n in range(3)]
    go_on.append(True)
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    error = answers[2].json()["error"]
    assert error["code"] == "quota-builds"
    assert "2" in error["message"]


def test_an_image_can_be_deleted_and_its_version_is_not_given_again(service: ServiceLab) -> None:
    service.built(service.anna)
    assert service.anna.delete("/images/greenhouse/1").status_code == 204
    assert service.workshop.images["anna/greenhouse"] == set()
    assert service.anna.delete("/images/greenhouse/1").status_code == 404
    job = service.built(service.anna)
    assert (job["result"]["image"], job["result"]["reused"]) == ("anna/greenhouse:2", False)


def test_an_image_that_is_deployed_stays(service: ServiceLab) -> None:
    service.built(service.anna)
    started = service.anna.post(
        "/deployments", json={"name": "bed", "image": "greenhouse:1", "devices": ["pi01"]}
    )
    service.ended(service.anna, started.json()["id"])
    answer = service.anna.delete("/images/greenhouse/1")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "image-in-use")
    assert "bed" in answer.json()["error"]["message"]
    assert service.workshop.images["anna/greenhouse"]


@pytest.mark.parametrize(
    "path", ["/images/greenhouse/0", "/images/greenhouse/x", "/images/greenhouse/99999999999999"]
)
def test_a_version_is_a_number(service: ServiceLab, path: str) -> None:
    assert service.anna.delete(path).status_code == 422
