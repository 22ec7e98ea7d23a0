"""What is kept of readings and what is forgotten, through the API on the fake store."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from cyberlab_hub.errors import PartDown
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service.models import now
from service_lab import ServiceLab

T0 = 1_700_000_000_000_000_000


def write(service: ServiceLab, *days_old: int, client: Any = None, device: str = "") -> None:
    tag = f",room={device}" if device else ""
    for old in days_old:
        at = int((now() - timedelta(days=old, minutes=1)).timestamp()) * 10**9
        answer = (client or service.anna).post("/write", content=f"t{tag} value=1 {at}")
        assert answer.json()["written"] == 1, answer.text


def told(readings: int, *, done: bool = True) -> dict[str, Any]:
    return {"readings": readings, "means": 0, "done": done, "later": False}


def rows(service: ServiceLab, action: str) -> Any:
    """Of the audit, the newest first."""
    return service.root.get("/audit", params={"action": action}).json()


def held(service: ServiceLab, owner: str = "anna") -> int:
    return len(service.store.lines.get(database_of(owner), []))


def test_how_much_there_is_and_how_long_it_is_kept(service: ServiceLab) -> None:
    write(service, 0)
    found = service.anna.get("/storage").json()
    assert found["used_mb"] > 0 or held(service) == 1
    assert (found["keep_days"], found["possible_days"]) == (None, 36_500)
    service.store.down = PartDown("database-down", "InfluxDB does not answer.")
    assert service.anna.get("/storage").status_code == 503


def test_without_space_nothing_more_is_taken_and_one_is_told(service: ServiceLab) -> None:
    service.root.put("/quotas/user/anna/readings", json={"value": 1}).raise_for_status()
    write(service, 0)
    service.store.more = 1_500_000_000
    service.parts.space.forget()
    refused = service.anna.post("/write", content=f"t value=1 {T0}")
    error = refused.json()["error"]
    assert (refused.status_code, error["code"]) == (429, "quota-readings")
    assert (error["quota"]["value"], error["quota"]["in_use"]) == (1, 1.5)
    assert refused.headers["Retry-After"] == "60"
    assert held(service) == 1
    found = service.anna.get("/storage").json()
    assert (found["used_mb"], found["possible_mb"], found["full"]) == (1500, 1000, True)
    (row,) = (q for q in service.anna.get("/quotas/mine").json() if q["quota"] == "readings")
    assert (row["in_use"], row["value"], row["unit"]) == (1.5, 1, "GB")
    write(service, 0, client=service.ben)  # who has space goes on


def test_space_that_is_not_known_stops_nobody(service: ServiceLab) -> None:
    service.root.put("/quotas/user/anna/readings", json={"value": 0}).raise_for_status()
    service.store.says_space = False
    write(service, 0)
    found = service.anna.get("/storage").json()
    assert (found["used_mb"], found["full"]) == (None, False)
    (row,) = (q for q in service.anna.get("/quotas/mine").json() if q["quota"] == "readings")
    assert row["in_use"] is None


def test_it_is_counted_before_it_is_lost(service: ServiceLab) -> None:
    write(service, 1, 10, 100)
    write(service, 100, client=service.ben)
    dry = service.anna.put("/storage/retention", json={"days": 30})
    assert dry.json() == told(1, done=False)
    assert (held(service), service.anna.get("/storage").json()["keep_days"]) == (3, None)
    assert rows(service, "set_retention") == [], "a question is no change"
    done = service.anna.put("/storage/retention", json={"days": 30, "really": True})
    assert done.json() == told(1)
    assert (held(service), service.anna.get("/storage").json()["keep_days"]) == (2, 30)
    assert held(service, "ben") == 1
    (row,) = rows(service, "set_retention")
    assert (row["action"], row["object"]) == ("set_retention", "anna: 30 days")
    again = service.anna.put("/storage/retention", json={"days": None, "really": True})
    assert again.json() == told(0)
    assert service.anna.get("/storage").json()["keep_days"] is None


def test_no_longer_than_the_quota(service: ServiceLab) -> None:
    write(service, 1, 10)
    service.root.put("/quotas/user/anna/days", json={"value": 5}).raise_for_status()
    refused = service.anna.put("/storage/retention", json={"days": 6, "really": True})
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "quota-days")
    assert service.anna.get("/storage").json()["keep_days"] == 5, "whoever set nothing has the quota"
    assert service.parts.keeping.sweep() == 1
    assert held(service) == 1


def test_what_becomes_too_old_goes_by_itself(
    service: ServiceLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write(service, 1)
    write(service, 1, client=service.ben)
    service.anna.put("/storage/retention", json={"days": 30, "really": True})
    assert (service.parts.keeping.sweep(), held(service)) == (1, 1)
    monkeypatch.setattr(service.parts.keeping, "_clock", lambda: now() + timedelta(days=31))
    service.store.down = PartDown("database-down", "InfluxDB does not answer.")
    with caplog.at_level(logging.WARNING):
        assert service.parts.keeping.sweep() == 0
    assert "of anna are not deleted yet" in caplog.text
    service.store.down = None
    assert service.parts.keeping.sweep() == 1
    assert (held(service), held(service, "ben")) == (0, 1)


def test_forgetting_a_part(service: ServiceLab) -> None:
    write(service, 1, 2, 3)
    at = int((now() - timedelta(days=2, hours=1)).timestamp()) * 10**9
    wish = {"measurement": "t", "start": -(2**63), "stop": at}
    assert service.anna.post("/storage/forget", json=wish).json() == told(1, done=False)
    assert service.anna.post("/storage/forget", json={**wish, "measurement": "u"}).json()["readings"] == 0
    assert service.ben.post("/storage/forget", json={**wish, "really": True}).json()["readings"] == 0
    assert service.anna.post("/storage/forget", json={**wish, "devices": ["pi01"]}).json()["readings"] == 0
    assert held(service) == 3
    assert service.anna.post("/storage/forget", json={**wish, "really": True}).json() == told(1)
    assert held(service) == 2
    assert [row["object"] for row in rows(service, "forget_readings")] == ["anna: t", "ben: t"]


@pytest.mark.parametrize(
    "wish",
    [
        {"measurement": "", "start": 0, "stop": 1},
        {"measurement": "t", "start": 2**63, "stop": 1},
        {"measurement": "t"},
    ],
)
def test_wishes_that_are_none(service: ServiceLab, wish: dict[str, Any]) -> None:
    assert service.anna.post("/storage/forget", json=wish).status_code == 422
    assert service.anna.put("/storage/retention", json={"days": 0, "really": True}).status_code == 422
