"""From a reading to the code that wrote it, through the API on fakes."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from cyberlab.wire_origin import HIDDEN
from cyberlab_hub.errors import PartDown, WorkFailed
from cyberlab_hub.service import history
from cyberlab_hub.service.models_readings import DeploymentEvent, ImageSource
from service_lab import ServiceLab, spec
from sqlalchemy import text


def deploy(service: ServiceLab, image: str, name: str = "bed", **more: Any) -> Any:
    wish = {"name": name, "image": image, "devices": ["pi01"], **more}
    return service.ended(service.anna, service.anna.post("/deployments", json=wish).json()["id"])


def asked(service: ServiceLab, at: int, until: int | None = None, **more: Any) -> Any:
    client = more.pop("client", service.anna)
    params = {"deployment": "bed", "start": at, "stop": until or at, **more}
    return client.get("/provenance", params=params)


@pytest.fixture
def two(service: ServiceLab) -> tuple[ServiceLab, list[int]]:
    """Deployed, updated and stopped; moments before, during each, and after."""
    moments = [time.time_ns()]
    service.built(service.anna, spec(text="print(1)", env={"KEY": "s3cret-of-the-image"}))
    assert deploy(service, "greenhouse:1", env={"PASSWORD": "s3cret-of-the-deployment"})["phase"] == "done"
    moments.append(time.time_ns())
    service.built(service.anna, spec(text="print(2)"))
    assert deploy(service, "greenhouse:2")["phase"] == "done"
    moments.append(time.time_ns())
    assert service.anna.delete("/deployments/bed").status_code == 204
    moments.append(time.time_ns())
    return service, moments


def test_the_version_in_force_at_the_time_counts(two: tuple[ServiceLab, list[int]]) -> None:
    service, moments = two
    (first,) = asked(service, moments[1]).json()
    (second,) = asked(service, moments[2]).json()
    assert (first["image"], second["image"]) == ("anna/greenhouse:1", "anna/greenhouse:2")
    assert (first["author"], first["kind"], first["devices"]) == ("anna", "deployment", ["pi01"])
    assert first["digest"].startswith("sha256:")
    assert first["digest"] != second["digest"]
    assert first["files"] == [
        {"path": "main.py", "size": 8, "sha256": hashlib.sha256(b"print(1)").hexdigest()}
    ]
    assert first["dockerfile"].startswith("#")
    assert 'KEY="s3cret-of-the-image"' in first["dockerfile"]
    assert first["spec"]["env"] == {"KEY": "s3cret-of-the-image"}
    assert first["deployed"]["env"] == {"PASSWORD": "s3cret-of-the-deployment"}
    assert (first["stopped"], second["stopped"]) == (False, True)
    assert first["until"] > second["since"], "both were in force while the update was rolled out"
    assert [o["image"] for o in asked(service, moments[1], moments[2]).json()] == [
        "anna/greenhouse:1", "anna/greenhouse:2",
    ]  # fmt: skip
    for nothing in (
        asked(service, moments[0]),
        asked(service, moments[3]),
        asked(service, moments[1], device="pi02"),
    ):
        assert (nothing.status_code, nothing.json()["error"]["code"]) == (404, "origin-unknown")
    source = service.anna.get("/provenance/source", params={"version": first["version"]})
    assert source.json() == {
        "image": "anna/greenhouse:1", "files": [{"path": "main.py", "text": "print(1)", "data": None}],
    }  # fmt: skip


def test_deleting_the_images_takes_nothing_away(two: tuple[ServiceLab, list[int]]) -> None:
    service, moments = two
    before = asked(service, moments[1]).json()
    assert service.anna.delete("/images/greenhouse/1").status_code == 204
    assert asked(service, moments[1]).json() == before


def test_the_same_name_again_is_another_deployment(two: tuple[ServiceLab, list[int]]) -> None:
    service, moments = two
    deploy(service, "greenhouse:1", devices=["pi02"])
    (again,) = asked(service, time.time_ns()).json()
    assert (again["image"], again["devices"], again["until"]) == ("anna/greenhouse:1", ["pi02"], None)
    assert [o["stopped"] for o in asked(service, moments[1], time.time_ns()).json()] == [False, True, False]


def test_readers_see_it_without_the_secrets_and_strangers_do_not(two: tuple[ServiceLab, list[int]]) -> None:
    service, moments = two
    source = {"version": asked(service, moments[1]).json()[0]["version"], "db": "anna"}
    for refused in (
        asked(service, moments[1], client=service.ben, db="anna"),
        asked(service, moments[1], client=service.ben),
        asked(service, moments[1], client=service.ben, db="nobody"),
        asked(service, moments[1], client=service.ben, db="fleet"),
        service.ben.get("/provenance/source", params=source),
        service.ben.get("/provenance/source", params={**source, "db": "mine"}),
    ):
        assert (refused.status_code, refused.json()["error"]["code"]) == (404, "origin-unknown")
        assert "greenhouse" not in refused.text
    service.anna.put("/shares/ben")
    seen = asked(service, moments[1], client=service.ben, db="anna")
    assert seen.status_code == 200
    assert "s3cret" not in seen.text
    (origin,) = seen.json()
    assert origin["spec"]["env"] == {"KEY": HIDDEN}
    assert origin["deployed"]["env"] == {"PASSWORD": HIDDEN}
    assert f'KEY="{HIDDEN}"' in origin["dockerfile"]
    assert service.ben.get("/provenance/source", params=source).json()["files"][0]["text"] == "print(1)"
    service.anna.delete("/shares/ben")
    assert asked(service, moments[1], client=service.ben, db="anna").status_code == 404


def test_an_update_that_failed_is_told_for_its_time_only(two: tuple[ServiceLab, list[int]]) -> None:
    service, _ = two
    deploy(service, "greenhouse:1")
    during: list[int] = []

    def fails(*_: object) -> None:
        during.append(time.time_ns())
        raise WorkFailed("deploy-failed", "It does not run.")

    service.workshop.during_deploy = fails
    assert deploy(service, "greenhouse:2")["phase"] == "failed"
    assert [o["image"] for o in asked(service, during[0]).json()] == [
        "anna/greenhouse:1",
        "anna/greenhouse:2",
    ]
    assert [o["image"] for o in asked(service, time.time_ns()).json()] == ["anna/greenhouse:1"]


def test_a_first_deployment_that_failed_but_stays_may_have_written(service: ServiceLab) -> None:
    service.built(service.anna)

    def fails(*_: object) -> None:
        raise PartDown("swarm-down", "One device does not answer.")

    service.workshop.during_deploy = fails
    assert deploy(service, "greenhouse")["phase"] == "failed"
    assert asked(service, time.time_ns()).json()[0]["until"] is None
    service.anna.delete("/deployments/bed")
    assert asked(service, time.time_ns()).status_code == 404


def test_points_from_a_notebook(service: ServiceLab) -> None:
    (origin,) = asked(service, 1, deployment="notebook").json()
    assert (origin["kind"], origin["author"], origin["image"]) == ("notebook", "anna", "")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE deployment_event SET image = 'x'",
        "DELETE FROM deployment_event",
        "INSERT OR REPLACE INTO deployment_event SELECT * FROM deployment_event",
    ],
)
def test_the_history_is_never_changed(two: tuple[ServiceLab, list[int]], statement: str) -> None:
    service, moments = two
    before = asked(service, moments[1]).json()
    with pytest.raises(PartDown), service.database.session() as session:
        session.execute(text(statement))
    with pytest.raises(RuntimeError, match="never changed"), service.database.session() as session:
        session.get_one(DeploymentEvent, 1).image = "x"
    assert asked(service, moments[1]).json() == before


def test_old_files_make_room_and_keep_their_names(
    two: tuple[ServiceLab, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, moments = two
    with service.database.session() as session:
        held = session.get_one(ImageSource, 1).size
    monkeypatch.setattr(history, "SOURCE_BYTES", 2 * held + held // 2)
    service.built(service.anna, spec(text="print(3)"))
    (first,) = asked(service, moments[1]).json()
    assert [f["path"] for f in first["files"]] == ["main.py"]
    gone = service.anna.get("/provenance/source", params={"version": first["version"]})
    assert (gone.status_code, gone.json()["error"]["code"]) == (404, "source-gone")
    (second,) = asked(service, moments[2]).json()
    assert service.anna.get("/provenance/source", params={"version": second["version"]}).status_code == 200


Row = Callable[[str, int], DeploymentEvent]


def test_a_rollout_that_the_services_death_cut_off_stays_possible() -> None:
    rows = [
        DeploymentEvent(id=number, event=event, deployment="d1", at=history.now())
        for number, event in enumerate(
            ["starting", "running", "starting", "starting", "running", "stopped"], 1
        )
    ]
    found = {version.row.id: version.until for version in history.versions(rows)}
    assert found == {1: rows[4].at, 3: rows[4].at, 4: rows[5].at}
