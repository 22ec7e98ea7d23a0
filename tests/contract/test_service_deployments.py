"""Deployments through the API, on the fake workshop: devices, secrets, updates, logs, removal."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from cyberlab_hub.errors import PartDown, WorkFailed
from cyberlab_hub.service import policy
from cyberlab_hub.service.credentials import hashed
from cyberlab_hub.service.models import IngestToken, PullAccount
from cyberlab_hub.workshop.orders import DeployOrder, Progress
from fakes import pi
from service_lab import ServiceLab, events, spec, until
from sqlalchemy import select


@pytest.fixture(autouse=True)
def image(service: ServiceLab) -> Any:
    return service.built(service.anna, spec(ports=(8080,)))


def start(service: ServiceLab, **more: Any) -> Any:
    asked = {"name": "bed", "image": "greenhouse", "devices": ["pi01", "pi02"], **more}
    return service.anna.post("/deployments", json=asked)


def deployed(service: ServiceLab, **more: Any) -> DeployOrder:
    """Deploy to the end; what the workshop was ordered."""
    answer = start(service, **more)
    assert answer.status_code == 202, answer.text
    job = service.ended(service.anna, answer.json()["id"])
    assert job["phase"] == "done", job
    order = service.workshop.orders[-1]
    assert isinstance(order, DeployOrder)
    return order


def tokens(service: ServiceLab) -> dict[str, IngestToken]:
    with service.database.session() as session:
        return {row.hash: row for row in session.scalars(select(IngestToken))}


def accounts(service: ServiceLab) -> dict[str, PullAccount]:
    with service.database.session() as session:
        return {row.username: row for row in session.scalars(select(PullAccount))}


def test_a_deployment_runs_on_its_devices(service: ServiceLab, image: Any) -> None:
    order = deployed(service, env={"B": "2", "A": "1"}, command=["python3", "main.py", "-v"])
    assert (order.repository, order.digest, order.image) == (
        "anna/greenhouse", image["result"]["digest"], "anna/greenhouse:1",
    )  # fmt: skip
    assert (order.node_ids, order.ports) == (("node01", "node02"), (8080,))
    assert (order.env, order.command) == ((("A", "1"), ("B", "2")), ("python3", "main.py", "-v"))
    (seen,) = service.anna.get("/deployments").json()
    assert seen == service.anna.get("/deployments/bed").json()
    assert (seen["name"], seen["image"], seen["devices"]) == ("bed", "anna/greenhouse:1", ["pi01", "pi02"])
    assert [(t["device"], t["state"]) for t in seen["tasks"]] == [("pi01", "running"), ("pi02", "running")]
    assert [d["running"] for d in service.anna.get("/devices").json()] == [1, 1, 0]
    assert "anna" in service.store.lines or any("anna" in name for name in service.store.lines)


def test_only_hashes_of_its_secrets_are_kept(service: ServiceLab) -> None:
    order = deployed(service)
    token = tokens(service)[hashed(order.token)]
    assert (token.kind, token.owner, token.name, token.devices) == (
        "deployment",
        "anna",
        "bed",
        ["pi01", "pi02"],
    )
    assert (token.deployment, token.revoked) == (order.deployment, None)
    account = accounts(service)[order.pull_user]
    assert (account.repository, account.hash) == ("anna/greenhouse", hashed(order.pull_password))
    with service.database.engine.connect() as connection:
        everything = " ".join(
            str(row)
            for table in ("deployment", "job", "job_event", "audit", "ingest_token", "pull_account")
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}")  # noqa: S608 - names of ours
        )
    assert order.token not in everything
    assert order.pull_password not in everything


def test_a_cluster_is_every_device_of_it(service: ServiceLab) -> None:
    service.workshop.device_list.append(pi(9, cluster="roof"))
    assert deployed(service, devices=[], cluster="shelf").node_ids == ("node01", "node02", "node03")
    assert deployed(service, devices=["pi01"], cluster="roof").node_ids == ("node01", "node09")


def test_the_same_name_updates_in_place_with_new_secrets(service: ServiceLab) -> None:
    before = deployed(service)
    service.built(service.anna, spec(text="print(2)"))
    after = deployed(service, devices=["pi03"])
    assert (after.deployment, after.image) == (before.deployment, "anna/greenhouse:2")
    assert after.token != before.token
    kept = tokens(service)
    assert kept[hashed(before.token)].revoked is not None
    assert kept[hashed(after.token)].revoked is None
    assert list(accounts(service)) == [after.pull_user]
    (seen,) = service.anna.get("/deployments").json()
    assert (seen["image"], seen["devices"]) == ("anna/greenhouse:2", ["pi03"])
    assert seen["created"] < seen["updated"]


def test_an_update_that_fails_leaves_the_old_secrets_alive(service: ServiceLab) -> None:
    before = deployed(service)

    def fails(_order: DeployOrder, _progress: Progress) -> None:
        raise WorkFailed("deploy-failed", "pi02: the program ended at once.")

    service.workshop.during_deploy = fails
    job = service.ended(service.anna, start(service, devices=["pi02"]).json()["id"])
    assert (job["phase"], job["error"]["code"]) == ("failed", "deploy-failed")
    assert tokens(service)[hashed(before.token)].revoked is None
    assert before.pull_user in accounts(service)
    assert service.anna.get("/deployments/bed").json()["devices"] == ["pi01", "pi02"]


def test_a_first_deployment_that_fails_can_be_looked_at_and_removed(service: ServiceLab) -> None:
    def fails(_order: DeployOrder, _progress: Progress) -> None:
        raise WorkFailed("deploy-failed", "pi02: the program ended at once.")

    service.workshop.during_deploy = fails
    service.ended(service.anna, start(service).json()["id"])
    assert service.anna.get("/deployments/bed").status_code == 200
    assert service.anna.delete("/deployments/bed").status_code == 204
    assert service.anna.get("/deployments").json() == []


def test_a_first_deployment_that_never_reached_the_swarm_leaves_nothing(
    service: ServiceLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(order: DeployOrder, progress: Progress) -> None:
        raise PartDown("swarm-down", "The swarm does not answer.")

    monkeypatch.setattr(service.workshop, "deploy", refused)
    job = service.ended(service.anna, start(service).json()["id"])
    assert job["error"]["code"] == "swarm-down"
    assert service.anna.get("/deployments").json() == []
    assert accounts(service) == {}
    assert all(token.revoked for token in tokens(service).values())


@pytest.mark.parametrize(
    ("asked", "path", "code"),
    [
        ({"devices": ["pi99"]}, "devices[0]", "device-unknown"),
        ({"devices": ["pi01", "pi04"]}, "devices[1]", "device-away"),
        ({"devices": ["pi05"]}, "devices[0]", "device-paused"),
        ({"devices": []}, "devices", "devices-empty"),
        ({"devices": [], "cluster": "attic"}, "cluster", "cluster-unknown"),
        ({"devices": [], "cluster": "shelf"}, "cluster", "device-away"),
        ({"devices": ["pi01", "pi01"]}, "devices[1]", "device-duplicate"),
        ({"name": "Bed"}, "name", "name-invalid"),
        ({"env": {"CYBERLAB_TOKEN_FILE": "x"}}, "env.CYBERLAB_TOKEN_FILE", "env-name-reserved"),
        ({"env": {"A": "{{.Node.ID}}"}}, "env.A", "env-value-invalid"),
        ({"image": "greenhouse:x"}, "image", "image-invalid"),
    ],
)
def test_what_cannot_be_deployed_says_why_and_changes_nothing(
    service: ServiceLab, asked: Any, path: str, code: str
) -> None:
    service.workshop.device_list += [pi(4, state="away"), pi(5, state="paused", cluster="bench")]
    answer = start(service, **asked)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (422, "spec-refused")
    assert (path, code) in [(p["path"], p["code"]) for p in error["problems"]]
    assert service.anna.get("/jobs", params={"kind": "deploy"}).json() == []


def test_every_problem_at_once(service: ServiceLab) -> None:
    answer = start(service, name="B", devices=["pi99", "pi98"], env={"PATH": ""})
    assert len(answer.json()["error"]["problems"]) == 4


def test_an_image_that_is_not_there(service: ServiceLab) -> None:
    answer = start(service, image="other")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "image-unknown")


def test_a_swarm_that_is_down(service: ServiceLab) -> None:
    service.workshop.down = PartDown("swarm-down", "The swarm does not answer.")
    for answer in (start(service), service.anna.get("/deployments"), service.anna.get("/devices")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "swarm-down")


def test_removing_ends_everything(service: ServiceLab) -> None:
    order = deployed(service)
    assert service.anna.delete("/deployments/bed").status_code == 204
    assert service.workshop.deployed == {}
    assert tokens(service)[hashed(order.token)].revoked is not None
    assert accounts(service) == {}
    assert service.anna.delete("/deployments/bed").status_code == 404
    assert deployed(service).deployment != order.deployment


def test_removing_one_that_is_just_being_started_cancels_it(service: ServiceLab) -> None:
    inside = threading.Event()

    def slow(_order: DeployOrder, progress: Progress) -> None:
        inside.set()
        until(lambda: progress.cancelled, 20)

    service.workshop.during_deploy = slow
    job = start(service).json()["id"]
    assert inside.wait(5)
    assert service.anna.delete("/deployments/bed").status_code == 204
    assert service.anna.get(f"/jobs/{job}").json()["phase"] == "cancelled"
    assert service.workshop.deployed == {}
    assert service.anna.get("/deployments").json() == []
    assert accounts(service) == {}


def test_one_the_swarm_lost_is_shown_as_stopped(service: ServiceLab) -> None:
    deployed(service)
    service.workshop.deployed.clear()
    tasks = service.anna.get("/deployments/bed").json()["tasks"]
    assert [task["state"] for task in tasks] == ["stopped", "stopped"]


def test_one_the_database_lost_is_shown_and_can_be_removed(service: ServiceLab) -> None:
    order = deployed(service)
    service.anna.delete("/deployments/bed")
    service.workshop.deployed["anna", "bed"] = order
    (seen,) = service.anna.get("/deployments").json()
    assert (seen["name"], seen["devices"]) == ("bed", ["pi01", "pi02"])
    assert service.anna.delete("/deployments/bed").status_code == 204
    assert service.workshop.deployed == {}


def test_quota_of_deployments(service: ServiceLab) -> None:
    for number in range(10):
        deployed(service, name=f"bed{number}")
    answer = start(service, name="bed10")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "quota-deployments")
    assert deployed(service, name="bed3")  # an update is no new one


def test_logs_of_all_devices(service: ServiceLab) -> None:
    deployed(service)
    with service.anna.stream("GET", "/deployments/bed/logs", params={"tail": 2}) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        heard = list(events(stream))
    assert [e.event for e in heard] == ["message"] * 4 + ["end"]
    assert heard[0].data == {"device": "pi01", "text": "line 1", "at": "2026-01-01T00:00:00Z"}


def test_following_logs_until_the_end(service: ServiceLab) -> None:
    deployed(service)
    with service.anna.stream("GET", "/deployments/bed/logs", params={"tail": 0, "follow": True}) as stream:
        seen = []
        for event in events(stream):
            seen.append(event)
            if len(seen) == 3:
                service.anna.delete("/deployments/bed").raise_for_status()
    assert seen[0].data["text"] == "still here"
    assert seen[-1].event == "end"


def test_a_reader_that_leaves_frees_the_stream(service: ServiceLab) -> None:
    deployed(service)
    for _ in range(25):  # more than one may hold open at once
        with service.anna.stream("GET", "/deployments/bed/logs", params={"follow": True}) as stream:
            assert stream.status_code == 200
            next(events(stream))
        until(lambda: not service.parts.streams._open["anna"])


def test_too_many_open_logs(service: ServiceLab) -> None:
    deployed(service)
    held = [service.parts.streams.one_more("anna", policy.default("streams")) for _ in range(20)]
    for one in held:
        one.__enter__()
    answer = service.anna.get("/deployments/bed/logs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "quota-streams")


def test_logs_of_what_is_not_there(service: ServiceLab) -> None:
    assert service.anna.get("/deployments/nope/logs").status_code == 404
    deployed(service)
    service.workshop.deployed.clear()
    assert service.anna.get("/deployments/bed/logs").status_code == 404
    assert service.anna.get("/deployments/bed/logs", params={"tail": -1}).status_code == 422
