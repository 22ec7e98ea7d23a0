"""What an administrator reads in the audit, and what stands in none of its rows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from cyberlab.spec import FileEntry
from fakes import FakeHub
from service_lab import ServiceLab, body, spec


def rows(service: ServiceLab, **wanted: Any) -> list[dict[str, Any]]:
    """Oldest first."""
    answer = service.root.get("/audit", params={"after": 0, **wanted})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()
    return found


def test_filters_and_paging(service: ServiceLab) -> None:
    service.anna.put("/specs/greenhouse", json=body(spec()))
    service.anna.delete("/specs/nothing")
    service.ben.get("/audit")
    assert [r["action"] for r in rows(service)] == ["save_spec", "delete_spec", "list_audit"]
    assert [r["action"] for r in rows(service, allowed=False)] == ["delete_spec", "list_audit"]
    assert [r["actor"] for r in rows(service, actor="ben")] == ["ben"]
    assert [r["object"] for r in rows(service, object="house")] == ["greenhouse"]
    assert [r["reason"] for r in rows(service, reason="scope")] == ["scope-missing"]
    assert rows(service, since="2999-01-01") == rows(service, until="2000-01-01T00:00:00Z") == []
    first = rows(service, limit=1)[0]
    assert [r["action"] for r in rows(service, after=first["id"])] == ["delete_spec", "list_audit"]
    newest = service.root.get("/audit", params={"limit": 2}).json()
    assert [r["action"] for r in newest] == ["list_audit", "delete_spec"]
    older = service.root.get("/audit", params={"before": newest[-1]["id"]}).json()
    assert [r["id"] for r in older] == [first["id"]]


@pytest.mark.parametrize(
    ("params", "headers"),
    [
        ({"format": "jsonl"}, {}),
        ({}, {"Accept": "application/x-ndjson"}),
        ({"format": "jsonl", "after": 0}, {}),
    ],
)
def test_json_lines(service: ServiceLab, params: dict[str, Any], headers: dict[str, str]) -> None:
    service.anna.put("/specs/greenhouse", json=body(spec()))
    service.ben.get("/audit")
    answer = service.root.get("/audit", params=params, headers=headers)
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert [json.loads(line) for line in answer.text.splitlines()] == rows(service)


@pytest.mark.parametrize(
    "params",
    [
        {"since": "yesterday"}, {"since": "0001-01-01T00:00:00+14:00"}, {"limit": 0}, {"after": -1}, {"after": 2**70},
        {"format": "xml"}, {"allowed": "perhaps"}, {"actor": "a" * 256},
    ],
)  # fmt: skip
def test_filters_that_make_no_sense(service: ServiceLab, params: dict[str, Any]) -> None:
    assert service.root.get("/audit", params=params).status_code == 422


@pytest.mark.parametrize(
    "text", ["\0", "\ud800".encode("utf-8", "surrogatepass"), "%", "'; DROP TABLE audit; --"]
)
def test_odd_texts_in_filters_find_nothing(service: ServiceLab, text: Any) -> None:
    assert rows(service, actor=text) == []
    assert rows(service, object="nothing of the kind" if text == "%" else text) == []


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_no_call_changes_the_audit(service: ServiceLab, method: str) -> None:
    service.anna.put("/specs/greenhouse", json=body(spec()))
    before = rows(service)
    for path in ("/audit", f"/audit/{before[0]['id']}"):
        assert service.root.request(method, path, json={"actor": "nobody"}).status_code in (404, 405)
    assert rows(service)[: len(before)] == before


@pytest.mark.parametrize("who", ["anna", "bare"])
def test_only_administrators_read_it(service: ServiceLab, who: str) -> None:
    service.hub.holders["bare"] = FakeHub.user("carl", "custom:cyberlab:use!user=carl")
    client = service.client("bare") if who == "bare" else service.anna
    for params in ({}, {"format": "jsonl"}, {"actor": "anna"}):
        answer = client.get("/audit", params=params)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "scope-missing")


# ---------------------------------------------------------------- refusals
def test_a_foreign_id_is_told_from_an_unknown_one_to_the_administrator_alone(service: ServiceLab) -> None:
    job = service.built(service.anna)["id"]
    calls = [
        ("GET", "/jobs/{}"),
        ("GET", "/jobs/{}/events"),
        ("POST", "/jobs/{}/cancel"),
        ("DELETE", "/builds/{}"),
    ]
    for method, path in calls:
        seen = [service.ben.request(method, path.format(wanted)) for wanted in (job, "b0000000000000000")]
        texts = [answer.text.replace(job, "ID").replace("b0000000000000000", "ID") for answer in seen]
        assert [answer.status_code for answer in seen] == [404, 404]
        assert texts[0] == texts[1]
        kept = rows(service, actor="ben")[-2:]
        assert [(r["object"], r["reason"]) for r in kept] == [
            (job, "not-yours"),
            ("b0000000000000000", "job-unknown"),
        ]


def refused(service: ServiceLab) -> Iterator[tuple[str, str]]:
    """One refused act after the other: what the row must say of it."""
    service.built(service.anna)
    ben, nobody = service.ben, service.client(None)
    ben.post("/builds", json={"spec": body(spec(custom="RUN --mount=type=ssh x"))})
    yield "start_build", "spec-refused"
    ben.post("/trials", json={"image": "greenhouse"})
    yield "start_trial", "image-unknown"
    ben.post("/trials", json={"image": "anna/greenhouse:1"})
    yield "start_trial", "spec-refused image-invalid"
    ben.post("/deployments", json={"name": "x", "image": "greenhouse", "devices": ["nowhere"]})
    yield "start_deployment", "spec-refused"
    ben.put("/shares/nobody-there")
    yield "give_share", "user-unknown"
    ben.post("/things", json={"name": "Not A Name"})
    yield "add_thing", "spec-refused name-invalid"
    ben.delete("/things/of-nobody")
    yield "remove_thing", "thing-unknown"
    ben.get("/query", params={"q": "SELECT * FROM t", "db": "anna"})
    yield "query", "database-not-shared"
    ben.get("/query", params={"q": "DROP DATABASE anna"})
    yield "query", "query-refused"
    ben.get("/measurements", params={"db": "anna"})
    yield "list_measurements", "database-not-shared"
    ben.delete("/images/greenhouse/1")
    yield "delete_image", "image-unknown"
    ben.post("/builds", content=b"x" * 12_000_001)
    yield "send_body", "body-too-large"
    nobody.get("/images")
    yield "list_images", "token-missing"
    service.client("stolen").post("/builds", json={})
    yield "start_build", "token-refused"
    ben.post("/no/such/call")
    yield "no_such_call", "not-found"


def test_each_refused_act_leaves_exactly_one_row(service: ServiceLab) -> None:
    last = 0
    for action, reason in refused(service):
        fresh = [r for r in rows(service, after=last, allowed=False) if r["actor"] != "root"]
        assert [(r["action"], r["times"]) for r in fresh] == [(action, 1)], reason
        assert fresh[0]["reason"].startswith(reason)
        last = fresh[-1]["id"]


# ---------------------------------------------------------------- no secret
def test_no_secret_stands_in_any_row(service: ServiceLab) -> None:
    kinds = ("token", "env", "file", "query", "point", "arg", "error", "header")
    marks = {kind: f"{kind}-5ecr3t-mark" for kind in kinds}
    client = service.client(marks["token"])
    service.hub.holders[marks["token"]] = FakeHub.user("anna", "custom:cyberlab:use")
    wanted = spec(env={"KEY": marks["env"]}).model_copy(
        update={"files": (FileEntry(path="main.py", text=marks["file"]),)}
    )
    client.post("/builds", json={"spec": body(wanted)})
    client.post("/builds", json={"spec": {**body(wanted), marks["error"]: 1, "command": marks["arg"]}})
    client.put("/specs/greenhouse", json=body(wanted))
    client.post("/trials", json={"image": "x", "env": {"KEY": marks["env"]}, "command": [marks["arg"]]})
    client.post(
        "/deployments", json={"name": "x", "image": "x", "devices": ["pi01"], "env": {"A": marks["env"]}}
    )
    client.get("/query", params={"q": f"SELECT {marks['query']}", "db": "ben"})
    client.post("/write", content=f"t v={marks['point']}".encode(), headers={"X-Key": marks["header"]})
    service.client(marks["token"] + "-wrong").get("/images")
    service.stop()
    with sqlite3.connect(service.database.engine.url.database or "") as connection:
        kept = str(connection.execute("SELECT * FROM audit").fetchall())
    connection.close()
    assert "start_build" in kept
    assert "start_trial" in kept
    assert [name for name, mark in marks.items() if mark in kept] == []


def test_the_address_is_what_the_proxy_heard(service: ServiceLab) -> None:
    service.anna.put(
        "/specs/greenhouse", json=body(spec()), headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.7"}
    )
    assert rows(service)[-1]["address"] == "203.0.113.7"
