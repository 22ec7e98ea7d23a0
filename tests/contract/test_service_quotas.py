"""Quotas over HTTP: the table, what a user sees, and ten requests at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from cyberlab_hub.workshop.orders import BuildOrder, Progress
from fakes import FakeHub
from service_lab import ServiceLab, body, spec


def give(service: ServiceLab, quota: str, value: int, whose: str = "user/anna") -> None:
    answer = service.root.put(f"/quotas/{whose}/{quota}", json={"value": value})
    assert answer.status_code == 200, answer.text


def mine(client: httpx.Client) -> dict[str, Any]:
    return {row["quota"]: row for row in client.get("/quotas/mine").raise_for_status().json()}


def at_once(
    service: ServiceLab, number: int, call: Callable[[httpx.Client, int], httpx.Response]
) -> list[httpx.Response]:
    """`number` requests of anna's, side by side."""
    anna = service.anna
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda n: call(anna, n), range(number)))


def codes(answers: list[httpx.Response]) -> dict[str, int]:
    said = [a.json()["error"]["code"] if a.status_code == 429 else str(a.status_code) for a in answers]
    return {code: said.count(code) for code in sorted(set(said))}


@pytest.fixture
def held(service: ServiceLab) -> list[bool]:
    """Builds and deployments wait until this list is no longer empty."""
    go_on: list[bool] = []

    def waits(_order: Any, progress: Progress) -> None:
        while not go_on and not progress.cancelled:
            pass

    service.workshop.during_build = waits
    service.workshop.during_deploy = waits
    return go_on


# ---------------------------------------------------------------- the table
def test_administrators_edit_and_everybody_else_is_refused(service: ServiceLab) -> None:
    give(service, "images", 7)
    give(service, "builds", 4, "group/course-a")
    table = service.root.get("/quotas").json()
    assert {row["quota"]: row["value"] for row in table["defaults"]}["builds"] == 2
    assert [(s["kind"], s["subject"], s["quota"], s["value"]) for s in table["settings"]] == [
        ("user", "anna", "images", 7), ("group", "course-a", "builds", 4),
    ]  # fmt: skip
    for answer in (
        service.anna.get("/quotas"),
        service.anna.get("/quotas/user/ben"),
        service.anna.put("/quotas/user/anna/images", json={"value": 1000}),
        service.anna.delete("/quotas/user/anna/images"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope-missing")
    assert mine(service.anna)["images"]["value"] == 7
    assert service.root.delete("/quotas/user/anna/images").status_code == 204
    assert service.root.delete("/quotas/user/anna/images").status_code == 404
    assert mine(service.anna)["images"]["origin"] == "default"


@pytest.mark.parametrize(
    ("path", "sent", "status"),
    [
        ("user/anna/nonsense", {"value": 1}, 404),
        ("user/nobody/images", {"value": 1}, 404),
        ("user/an%0Ana/images", {"value": 1}, 404),
        ("team/anna/images", {"value": 1}, 422),
        ("user/anna/images", {"value": -1}, 422),
        ("user/anna/images", {"value": 10**12}, 422),
        ("user/anna/images", {"value": "many"}, 422),
        ("user/anna/images", {}, 422),
    ],
)
def test_what_is_no_quota(service: ServiceLab, path: str, sent: Any, status: int) -> None:
    assert service.root.put(f"/quotas/{path}", json=sent).status_code == status
    assert service.root.get("/quotas").json()["settings"] == []


def test_the_largest_of_the_users_groups_counts_and_is_named(service: ServiceLab) -> None:
    service.hub.holders["carl-token"] = FakeHub.user("carl", "custom:cyberlab:use")
    service.hub.holders["carl-token"]["groups"] = ["course-a", "course-b"]
    carl = service.client("carl-token")
    give(service, "builds", 4, "group/course-a")
    give(service, "builds", 0, "group/course-b")
    row = mine(carl)["builds"]
    assert (row["value"], row["origin"], row["group"], row["in_use"]) == (4, "group", "course-a", 0)
    assert mine(service.anna)["builds"]["value"] == 2


def test_a_user_sees_what_is_in_use(service: ServiceLab) -> None:
    service.built(service.anna)
    started = service.anna.post(
        "/deployments", json={"name": "bed", "image": "greenhouse", "devices": ["pi01"]}
    )
    service.ended(service.anna, started.json()["id"])
    service.anna.put("/specs/greenhouse", json=body(spec()))
    used = {name: row["in_use"] for name, row in mine(service.anna).items()}
    assert used == {
        "builds": 0, "images": 1, "gigabytes": 0.151, "trials": 0, "deploys": 0, "deployments": 1, "devices": 1,
        "things": 0, "points": None, "readings": 0.0, "days": None, "means": 0,
        "mean_days": None, "specs": 1, "streams": 0,
    }  # fmt: skip
    assert service.root.get("/quotas/user/anna").json() == list(mine(service.anna).values())
    assert mine(service.ben)["images"]["in_use"] == 0


# ---------------------------------------------------------------- refusals
def test_a_refusal_has_the_numbers_in_words_and_as_data(service: ServiceLab) -> None:
    give(service, "images", 1)
    service.built(service.anna)
    error = service.anna.post("/builds", json={"spec": body(spec(text="other"))}).json()["error"]
    assert error["code"] == "quota-images"
    assert error["quota"] == {
        "quota": "images", "title": "Images", "value": 1, "unit": "", "in_use": 1, "origin": "own", "group": "",
    }  # fmt: skip
    assert (
        "You have 1 images already, and 1 are possible (set for you by an administrator)" in error["message"]
    )


def test_what_was_pushed_by_hand_counts_too(service: ServiceLab) -> None:
    give(service, "gigabytes", 1)
    service.workshop.by_hand["anna"] = 2_500_000_000
    answer = service.anna.post("/builds", json={"spec": body(spec())})
    assert answer.status_code == 429
    assert "You have 2.5 GB of images already, and 1 GB are possible" in answer.json()["error"]["message"]
    assert service.ben.post("/builds", json={"spec": body(spec())}).status_code == 202


def test_what_fills_up_while_a_build_waits_stops_it(service: ServiceLab, held: list[bool]) -> None:
    give(service, "gigabytes", 1)
    give(service, "builds", 9)
    first = [
        service.anna.post("/builds", json={"spec": body(spec(f"image{n}"))}).json()["id"] for n in range(3)
    ]
    service.workshop.by_hand["anna"] = 2_500_000_000
    held.append(True)
    ended = [service.ended(service.anna, job) for job in first]
    assert [job["phase"] for job in ended] == ["done", "done", "failed"]
    assert ended[2]["error"]["code"] == "quota-gigabytes"


def test_devices_are_counted_over_all_deployments(service: ServiceLab) -> None:
    give(service, "devices", 2)
    service.built(service.anna)

    def deploy(name: str, *devices: str) -> httpx.Response:
        return service.anna.post(
            "/deployments", json={"name": name, "image": "greenhouse", "devices": devices}
        )

    service.ended(service.anna, deploy("one", "pi01", "pi02").json()["id"])
    service.ended(service.anna, deploy("two", "pi02").json()["id"])
    answer = deploy("three", "pi03")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "quota-devices")
    give(service, "devices", 1)
    assert deploy("one", "pi01").status_code == 202  # what one has may be updated


# ---------------------------------------------------------------- ten at once
def test_ten_builds_at_once(service: ServiceLab, held: list[bool]) -> None:
    answers = at_once(
        service, 10, lambda anna, n: anna.post("/builds", json={"spec": body(spec(f"image{n}"))})
    )
    assert codes(answers) == {"202": 2, "quota-builds": 8}
    held.append(True)


def test_ten_builds_at_once_with_room_for_three_images(service: ServiceLab, held: list[bool]) -> None:
    give(service, "builds", 10)
    give(service, "images", 3)
    answers = at_once(
        service, 10, lambda anna, n: anna.post("/builds", json={"spec": body(spec(f"image{n}"))})
    )
    assert codes(answers) == {"202": 3, "quota-images": 7}
    held.append(True)


def test_ten_deployments_at_once(service: ServiceLab) -> None:
    service.built(service.anna)
    give(service, "deploys", 10)
    give(service, "deployments", 3)

    def deploy(anna: httpx.Client, number: int) -> httpx.Response:
        wish = {"name": f"bed{number}", "image": "greenhouse", "devices": ["pi01"]}
        return anna.post("/deployments", json=wish)

    answers = at_once(service, 10, deploy)
    assert codes(answers) == {"202": 3, "quota-deployments": 7}
    for answer in answers:
        if answer.status_code == 202:
            service.ended(service.anna, answer.json()["id"])
    assert len(service.anna.get("/deployments").json()) == 3


def test_three_deployments_at_once_on_three_devices_with_room_for_one(
    service: ServiceLab, held: list[bool]
) -> None:
    held.append(True)
    service.built(service.anna)
    held.clear()
    give(service, "devices", 1)

    def deploy(anna: httpx.Client, number: int) -> httpx.Response:
        wish = {"name": f"bed{number}", "image": "greenhouse", "devices": [f"pi0{number + 1}"]}
        return anna.post("/deployments", json=wish)

    assert codes(at_once(service, 3, deploy)) == {"202": 1, "quota-devices": 2}
    held.append(True)


def test_ten_trials_and_ten_forms_at_once(service: ServiceLab) -> None:
    service.built(service.anna)
    wish = {"image": "greenhouse", "command": ["sleep", "20"]}
    answers = at_once(service, 10, lambda anna, _: anna.post("/trials", json=wish))
    assert codes(answers) == {"202": 2, "quota-trials": 8}
    give(service, "specs", 3)
    answers = at_once(service, 10, lambda anna, n: anna.put(f"/specs/form{n}", json=body(spec(f"form{n}"))))
    assert codes(answers) == {"200": 3, "quota-specs": 7}


def test_one_user_does_not_fill_the_queue_for_others(service: ServiceLab, held: list[bool]) -> None:
    give(service, "builds", 20)
    for number in range(8):
        service.anna.post("/builds", json={"spec": body(spec(f"image{number}"))}).raise_for_status()
    job = service.ben.post("/builds", json={"spec": body(spec("first"))}).json()["id"]
    held.append(True)
    service.ended(service.ben, job)
    order = [order.owner for order in service.workshop.orders if isinstance(order, BuildOrder)]
    assert order.index("ben") == 2  # right after the two of anna's that ran already
