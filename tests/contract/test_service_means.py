"""Means of readings through the API on the fake store: rules, making, and what `keep` and `forget` leave of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from cyberlab_hub.errors import PartDown, QueryRefused
from cyberlab_hub.ingest import remembered
from cyberlab_hub.ingest.store import Means, database_of
from cyberlab_hub.service import keeping as keeping_module
from cyberlab_hub.service import means as means_module
from cyberlab_hub.service.models import now
from service_lab import ServiceLab, until

HOUR = 3600 * 10**9
DAY = 24 * HOUR


def midnight(days_ago: int = 0) -> int:
    """The beginning of a day in UTC, in nanoseconds."""
    return (int(now().timestamp()) * 10**9 // DAY - days_ago) * DAY


def write(service: ServiceLab, name: str, *at: int, value: float = 1, client: Any = None) -> None:
    lines = "\n".join(f"{name} value={value} {t}" for t in at)
    answer = (client or service.anna).post("/write", content=lines)
    assert answer.json()["written"] == len(at), answer.text


def held(service: ServiceLab, name: str, owner: str = "anna") -> list[bytes]:
    lines = service.store.lines.get(database_of(owner), [])
    return [line for line in lines if line.split(b" ")[0].split(b",")[0] == name.encode()]


def make(
    service: ServiceLab, measurement: str = "t", every: str = "1h", client: Any = None, **more: Any
) -> Any:
    wish = {"measurement": measurement, "every": every, **more}
    return (client or service.anna).put("/storage/means", json=wish)


def rules(service: ServiceLab, client: Any = None) -> dict[str, Any]:
    return {rule["target"]: rule for rule in (client or service.anna).get("/storage").json()["means"]}


def travel(service: ServiceLab, monkeypatch: pytest.MonkeyPatch, by: timedelta) -> None:
    monkeypatch.setattr(service.parts.keeping, "_clock", lambda: now() + by)


def code(answer: Any) -> str:
    error = answer.json()["error"]
    return " ".join([error["code"], *(problem["code"] for problem in error["problems"])])


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread of `Keeping` does nothing: the test sweeps."""
    monkeypatch.setattr(keeping_module.Keeping, "start", lambda _: None)


@pytest.fixture
def lab(still: None, service: ServiceLab) -> ServiceLab:
    return service


# ---------------------------------------------------------------- making
def test_what_is_there_and_what_comes_is_made_in_the_background(service: ServiceLab) -> None:
    write(service, "t", *(midnight(2) + n * HOUR for n in range(5)))
    write(service, "t", midnight(40))
    made = make(service, days=730)
    assert made.status_code == 202
    assert (made.json()["target"], made.json()["days"], made.json()["active"]) == ("t_1h", 730, True)
    until(lambda: len(held(service, "t_1h")) == 6)
    assert len(held(service, "t")) == 6
    found = until(lambda: rules(service)["t_1h"]["made_until"])
    until(lambda: now() - datetime.fromisoformat(rules(service)["t_1h"]["made_until"]) < timedelta(hours=1))
    assert found


def test_a_sweep_makes_late_windows_again_and_doubles_none(
    lab: ServiceLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lab, "t", midnight(1), midnight(1) + HOUR)
    make(lab).raise_for_status()
    lab.parts.keeping.sweep()
    write(lab, "t", midnight(1) + 5, value=3)
    lab.parts.keeping.sweep()
    lab.parts.keeping.sweep()
    assert [line.split(b" ")[1] for line in sorted(held(lab, "t_1h"), key=lambda r: r.rsplit(b" ")[-1])] == [
        b"value=2.0,value_min=1.0,value_max=3.0,value_count=2i",
        b"value=1.0,value_min=1.0,value_max=1.0,value_count=1i",
    ]
    travel(lab, monkeypatch, timedelta(days=10))
    lab.parts.keeping.sweep()
    lab.store.made.clear()
    lab.parts.keeping.sweep()
    assert lab.store.made == [], "nothing came: nothing is made again"


def test_a_window_that_is_not_over_is_not_made(lab: ServiceLab) -> None:
    write(lab, "t", int(now().timestamp()) * 10**9)
    make(lab, every="1d").raise_for_status()
    lab.parts.keeping.sweep()
    assert held(lab, "t_1d") == []


def test_a_piece_is_a_day_and_empty_years_are_skipped(lab: ServiceLab) -> None:
    write(lab, "t", -(2**63) + 2 + 9 * DAY, 0, midnight(900) + DAY - 1, midnight(3))
    make(lab).raise_for_status()
    lab.parts.keeping.sweep()
    assert len(lab.store.made) == 4
    for means in lab.store.made:
        assert means.start // DAY == (means.stop - 1) // DAY
        assert means.start % HOUR == means.stop % HOUR == 0


# ---------------------------------------------------------------- keeping
def test_means_outlive_their_readings_and_are_made_once_more_before(
    lab: ServiceLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lab, "t", midnight(1) + 1)
    make(lab, days=100).raise_for_status()
    lab.parts.keeping.sweep()
    travel(lab, monkeypatch, timedelta(days=20))
    lab.parts.keeping.sweep()
    write(lab, "t", midnight(1) + 2, value=3)  # far too late for the usual repetition
    dry = lab.anna.put("/storage/retention", json={"days": 10}).json()
    assert dry["readings"] == 2, "means are not counted: they stay"
    done = lab.anna.put("/storage/retention", json={"days": 10, "really": True}).json()
    assert done == {"readings": 2, "means": 0, "done": True, "later": False}
    assert held(lab, "t") == []
    assert [line.split(b" ")[1] for line in held(lab, "t_1h")] == [
        b"value=2.0,value_min=1.0,value_max=3.0,value_count=2i"
    ]
    write(lab, "t", midnight(1) + 3, value=99)  # of a window whose readings are gone
    lab.parts.keeping.sweep()
    assert held(lab, "t") == []
    assert b"value=2.0" in held(lab, "t_1h")[0], "a mean of a remnant would be wrong"
    travel(lab, monkeypatch, timedelta(days=102))
    lab.parts.keeping.sweep()
    assert held(lab, "t_1h") == [], "means have days of their own"


def test_deleting_never_cuts_a_window_in_two(lab: ServiceLab, monkeypatch: pytest.MonkeyPatch) -> None:
    write(lab, "t", *(midnight(11) + n * HOUR // 2 for n in range(48)))
    write(lab, "u", *(midnight(11) + n * HOUR // 2 for n in range(48)))
    make(lab, every="1d").raise_for_status()
    make(lab, every="1h").raise_for_status()
    at = midnight() + 10 * HOUR + HOUR // 4
    monkeypatch.setattr(lab.parts.keeping, "_clock", lambda: datetime.fromtimestamp(at / 1e9, now().tzinfo))
    lab.anna.put("/storage/retention", json={"days": 11, "really": True}).raise_for_status()
    assert len(held(lab, "t")) == 48, "the day is not over at the border"
    assert len(held(lab, "u")) == 48 - 21
    monkeypatch.setattr(
        lab.parts.keeping, "_clock", lambda: datetime.fromtimestamp(at / 1e9 + 86_400, now().tzinfo)
    )
    lab.parts.keeping.sweep()
    assert held(lab, "t") == held(lab, "u") == []
    assert b"value_count=48i" in held(lab, "t_1d")[0]
    assert len(held(lab, "t_1h")) == 24


def test_readings_wait_for_their_means_but_not_for_ever(
    lab: ServiceLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lab, "t", midnight(20))
    write(lab, "u", midnight(20))
    write(lab, "t", midnight(20), client=lab.ben)
    make(lab).raise_for_status()
    make(lab, "u").raise_for_status()
    make(lab, client=lab.ben).raise_for_status()
    good = lab.store.make_means

    def broken(database: str, means: Means) -> None:
        if (database, means.measurement) == (database_of("anna"), "t"):
            raise QueryRefused("query-refused", "InfluxDB says: query-timeout limit exceeded")
        good(database, means)

    monkeypatch.setattr(lab.store, "make_means", broken)
    for client in (lab.anna, lab.ben):
        kept = client.put("/storage/retention", json={"days": 5, "really": True}).json()
        assert kept["later"] is (client is lab.anna)
    assert (len(held(lab, "t")), len(held(lab, "u")), len(held(lab, "t", "ben"))) == (1, 0, 0)
    lab.parts.keeping.sweep()
    assert "query-timeout" in rules(lab)["t_1h"]["problem"]
    assert rules(lab)["u_1h"]["problem"] == ""
    assert rules(lab, lab.ben)["t_1h"]["problem"] == ""
    travel(lab, monkeypatch, means_module.PATIENCE + timedelta(hours=1))
    lab.parts.keeping.sweep()
    assert held(lab, "t") == [], "the quota is a promise"


def test_who_has_many_days_to_make_lets_others_go_first(
    lab: ServiceLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(lab, "t", *(midnight(n) for n in range(1, 60)))
    write(lab, "t", midnight(1), client=lab.ben)
    make(lab).raise_for_status()
    make(lab, client=lab.ben).raise_for_status()
    monkeypatch.setattr(keeping_module, "OWNER_SECONDS", -1.0)
    for _ in range(5):
        lab.parts.keeping.sweep()
    assert len(held(lab, "t_1h", "ben")) == 1
    assert 5 <= len(held(lab, "t_1h")) < 59
    assert lab.parts.keeping._behind
    monkeypatch.setattr(keeping_module, "OWNER_SECONDS", 60.0)
    lab.parts.keeping.sweep()
    assert len(held(lab, "t_1h")) == 59
    assert not lab.parts.keeping._behind


def test_without_space_only_what_goes_next_is_made(lab: ServiceLab) -> None:
    write(lab, "t", midnight(30), midnight(3))
    make(lab).raise_for_status()
    lab.root.put("/quotas/user/anna/readings", json={"value": 0}).raise_for_status()
    lab.parts.keeping.sweep()
    assert held(lab, "t_1h") == []
    lab.anna.put("/storage/retention", json={"days": 10, "really": True}).raise_for_status()
    lab.parts.keeping.sweep()
    assert (len(held(lab, "t_1h")), len(held(lab, "t"))) == (1, 1)


def test_while_the_database_is_away_nothing_is_lost(lab: ServiceLab) -> None:
    write(lab, "t", midnight(20))
    make(lab).raise_for_status()
    lab.anna.put("/storage/retention", json={"days": 30, "really": True}).raise_for_status()
    lab.store.down = PartDown("database-down", "InfluxDB does not answer.")
    assert lab.parts.keeping.sweep() == 0
    lab.store.down = None
    lab.parts.keeping.sweep()
    assert len(held(lab, "t_1h")) == 1


# ---------------------------------------------------------------- forgetting
@pytest.fixture
def three(lab: ServiceLab) -> ServiceLab:
    write(lab, "t", *(midnight(3) + n * HOUR // 2 for n in range(6)))
    make(lab).raise_for_status()
    lab.parts.keeping.sweep()
    assert len(held(lab, "t_1h")) == 3
    return lab


def forget(service: ServiceLab, start: int, stop: int, measurement: str = "t", **more: Any) -> Any:
    wish = {"measurement": measurement, "start": start, "stop": stop, "really": True, **more}
    return service.anna.post("/storage/forget", json=wish).json()


def test_forgotten_readings_are_in_no_mean(three: ServiceLab) -> None:
    at = midnight(3)
    dry = forget(three, at + HOUR // 2, at + 2 * HOUR, really=False)
    assert (dry["readings"], dry["means"], len(held(three, "t_1h"))) == (3, 2, 3)
    assert forget(three, at + HOUR // 2, at + 2 * HOUR)["means"] == 2
    assert {line.rsplit(b" ", 1)[1]: b"value_count=1i" in line for line in held(three, "t_1h")} == {
        b"%d" % at: True,  # of the reading that is left
        b"%d" % (at + 2 * HOUR): False,
    }
    forget(three, -(2**63), 2**63 - 1)
    assert held(three, "t") == held(three, "t_1h") == []


def test_means_may_stay(three: ServiceLab) -> None:
    assert forget(three, -(2**63), 2**63 - 1, means=False) == {
        "readings": 6, "means": 0, "done": True, "later": False,
    }  # fmt: skip
    three.parts.keeping.sweep()
    assert (len(held(three, "t")), len(held(three, "t_1h"))) == (0, 3)


def test_stopping_leaves_what_was_made_until_it_is_forgotten(three: ServiceLab) -> None:
    (stopped,) = three.anna.post("/storage/means/stop", json={"measurement": "t"}).json()
    assert (stopped["target"], stopped["active"]) == ("t_1h", False)
    write(three, "t", midnight(2))
    three.anna.put("/storage/retention", json={"days": 1, "really": True}).raise_for_status()
    three.parts.keeping.sweep()
    assert (len(held(three, "t")), len(held(three, "t_1h"))) == (0, 3)
    assert code(three.anna.post("/storage/means/stop", json={"measurement": "t"})) == "rule-unknown"
    assert list(rules(three)) == ["t_1h"]
    forget(three, -(2**63), 2**63 - 1, "t_1h")
    assert rules(three) == {}


# ---------------------------------------------------------------- refusals
def test_no_reading_passes_for_a_mean(three: ServiceLab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "FRESH_SECONDS", -1)
    before = held(three, "t_1h")
    lines = f"t_1h value=666,value_count=1i {midnight(1)}\nt value=1 {midnight(1)}"
    answer = three.anna.post("/write", content=lines).json()
    assert (answer["written"], [line["line"] for line in answer["refused"]]) == (1, [1])
    assert "'t_1h' holds means" in answer["refused"][0]["reason"]
    assert held(three, "t_1h") == before
    assert three.ben.post("/write", content=lines).json()["written"] == 2, "nobody else has such means"
    forget(three, -(2**63), 2**63 - 1)
    three.anna.post("/storage/means/stop", json={"measurement": "t"}).raise_for_status()
    forget(three, -(2**63), 2**63 - 1, "t_1h")
    assert three.anna.post("/write", content=lines).json()["written"] == 2, "the rule and its means are gone"


def test_refusals_have_codes(lab: ServiceLab) -> None:
    write(lab, "t", midnight(1))
    write(lab, "u_1h", midnight(1))
    write(lab, "u", midnight(1))
    lab.root.put("/quotas/user/anna/mean_days", json={"value": 100}).raise_for_status()
    make(lab, days=100).raise_for_status()
    lab.parts.keeping.sweep()
    refused: dict[str, Callable[[], Any]] = {
        "spec-refused every-invalid": lambda: make(lab, every="7m"),
        "spec-refused means-of-means": lambda: make(lab, "t_1h", every="1d"),
        "measurement-unknown": lambda: make(lab, "nothing"),
        "target-exists": lambda: make(lab, "u"),
        "quota-mean_days": lambda: make(lab, days=101),
        "rule-unknown": lambda: lab.anna.post("/storage/means/stop", json={"measurement": "u"}),
    }
    for expected, call in refused.items():
        assert code(call()) == expected
    assert list(rules(lab)) == ["t_1h"]
    lab.root.put("/quotas/user/anna/means", json={"value": 1}).raise_for_status()
    assert code(make(lab, every="1d")) == "quota-means"
    make(lab, days=50).raise_for_status()  # the one there is may be changed
    assert rules(lab)["t_1h"]["days"] == 50
    assert make(lab, every="1h", days=0).status_code == 422


def test_nobody_reaches_anothers_readings(lab: ServiceLab) -> None:
    write(lab, "t", midnight(1))
    assert code(make(lab, client=lab.ben)) == "measurement-unknown"
    make(lab).raise_for_status()
    assert code(lab.ben.post("/storage/means/stop", json={"measurement": "t"})) == "rule-unknown"
    assert rules(lab, lab.ben) == {}
    assert rules(lab)["t_1h"]["active"]


def test_the_audit_says_who_made_and_stopped_what(lab: ServiceLab) -> None:
    write(lab, "t", midnight(1))
    make(lab).raise_for_status()
    make(lab, every="x")
    lab.anna.post("/storage/means/stop", json={"measurement": "t"}).raise_for_status()
    found = [
        (row["action"], row["object"], row["reason"])
        for row in lab.root.get("/audit", params={"user": "anna", "limit": 200}).json()
        if "means" in row["action"]
    ]
    assert found == [
        ("stop_means", "anna: t", ""),
        ("make_means", "anna: t x", "spec-refused every-invalid"),
        ("make_means", "anna: t 1h", ""),
    ]
