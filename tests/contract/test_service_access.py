"""Who gets in, what another user sees, what a refusal looks like, and what the audit keeps of it."""

from __future__ import annotations

import httpx
import pytest
from cyberlab.wire import API
from cyberlab_hub.errors import PartDown
from cyberlab_hub.service.bodies import BODY_BYTES
from fakes import FakeHub
from service_lab import ServiceLab, body, spec

READ = ["/catalogue", "/me", "/specs", "/jobs", "/builds", "/trials", "/images", "/deployments", "/devices",
        "/measurements", "/shares"]  # fmt: skip


def code(answer: httpx.Response) -> str:
    error = answer.json()["error"]
    assert error["message"]
    return str(error["code"])


@pytest.mark.parametrize("path", [*READ, "/audit", "/query?q=x", "/jobs/b1/events", "/deployments/x/logs"])
def test_nothing_without_a_token(service: ServiceLab, path: str) -> None:
    answer = service.client(None).get(path)
    assert (answer.status_code, code(answer)) == (401, "token-missing")
    assert answer.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("path", READ)
def test_a_token_the_hub_does_not_know_opens_nothing(service: ServiceLab, path: str) -> None:
    answer = service.client("stolen").get(path)
    assert (answer.status_code, code(answer)) == (401, "token-refused")


def test_the_hubs_own_word_token_is_understood(service: ServiceLab) -> None:
    answer = service.client(None).get("/me", headers={"Authorization": "token anna-token"})
    assert answer.json() == {"name": "anna"}


def test_a_token_without_the_labs_scope_opens_nothing(service: ServiceLab) -> None:
    service.hub.holders["bare"] = FakeHub.user("carl", "self")
    answer = service.client("bare").get("/images")
    assert (answer.status_code, code(answer)) == (403, "scope-missing")


def test_a_scope_narrowed_to_somebody_else_does_not_count(service: ServiceLab) -> None:
    service.hub.holders["narrow"] = FakeHub.user("carl", "custom:cyberlab:use!user=carl")
    service.hub.holders["wrong"] = FakeHub.user("carl", "custom:cyberlab:use!user=anna")
    assert service.client("narrow").get("/images").status_code == 200
    assert service.client("wrong").get("/images").status_code == 403


def test_a_service_has_nothing_of_its_own(service: ServiceLab) -> None:
    service.hub.holders["monitor"] = FakeHub.user("anna", "custom:cyberlab:use", kind="service")
    assert code(service.client("monitor").get("/images")) == "user-needed"


@pytest.mark.parametrize("name", ["fleet", "lab", "cyberlab", "has@sign", "Ünal", "a" * 41, "user--foo"])
def test_names_that_cannot_own_things(service: ServiceLab, name: str) -> None:
    service.hub.holders["odd"] = FakeHub.user(name, "custom:cyberlab:use")
    assert code(service.client("odd").get("/images")) == "name-unusable"


def test_the_hub_is_asked_once_for_many_calls(service: ServiceLab) -> None:
    for _ in range(5):
        assert service.anna.get("/me").status_code == 200
    assert service.hub.calls == 1


def test_a_hub_that_is_down_is_named(service: ServiceLab) -> None:
    service.hub.down = True
    answer = service.anna.get("/me")
    assert (answer.status_code, code(answer)) == (503, "hub-down")
    assert "Retry-After" in answer.headers


def test_health_needs_no_token_and_always_answers(service: ServiceLab) -> None:
    service.workshop.down = PartDown("engine-down", "The engine is away.")
    service.store.down = PartDown("database-down", "InfluxDB is away.")
    service.hub.down = True
    answer = service.client(None).get("/health")
    assert answer.status_code == 200
    ok = {part["part"]: part["ok"] for part in answer.json()["parts"]}
    assert ok == {"engine": False, "swarm": True, "registry": True, "database": False, "lab": True,
                  "ingest": False, "hub": False}  # fmt: skip


def test_another_users_things_are_not_there(service: ServiceLab) -> None:
    job = service.built(service.anna)["id"]
    service.anna.put("/specs/greenhouse", json=body(spec())).raise_for_status()
    started = service.anna.post(
        "/deployments", json={"name": "bed", "image": "greenhouse", "devices": ["pi01"]}
    )
    service.ended(service.anna, started.json()["id"])
    ben = service.ben
    refused = [
        ben.get(f"/jobs/{job}"), ben.get(f"/builds/{job}"), ben.get(f"/jobs/{job}/events"),
        ben.post(f"/jobs/{job}/cancel"), ben.delete(f"/builds/{job}"), ben.get("/specs/greenhouse"),
        ben.delete("/specs/greenhouse"), ben.delete("/images/greenhouse/1"), ben.get("/deployments/bed"),
        ben.get("/deployments/bed/logs"), ben.delete("/deployments/bed"),
        ben.post("/trials", json={"image": "greenhouse"}),
    ]  # fmt: skip
    assert [answer.status_code for answer in refused] == [404] * len(refused)
    assert [ben.get(path).json() for path in ("/jobs", "/images", "/specs", "/deployments")] == [
        [],
        [],
        [],
        [],
    ]
    stolen = ben.post("/trials", json={"image": "anna/greenhouse:1"})
    assert (stolen.status_code, stolen.json()["error"]["problems"][0]["code"]) == (422, "image-invalid")


def test_a_request_of_the_wrong_form_says_where(service: ServiceLab) -> None:
    answer = service.anna.post(
        "/builds", json={"spec": {"name": "x", "files": [{"text": "a"}], "colour": "red"}}
    )
    assert (answer.status_code, code(answer)) == (422, "request-invalid")
    problems = {p["path"]: p["code"] for p in answer.json()["error"]["problems"]}
    assert problems == {"files[0].path": "missing", "colour": "extra-forbidden"}


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"spec": "\\ud800"}', b'{"spec": null}']
)
def test_bodies_that_are_no_request(service: ServiceLab, content: bytes) -> None:
    answer = service.anna.post("/builds", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, code(answer)) == (422, "request-invalid")


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_over_the_limit_is_refused(service: ServiceLab, announced: bool) -> None:
    content = b"x" * (BODY_BYTES + 1)
    sent = content if announced else iter([content[: BODY_BYTES // 2], content[BODY_BYTES // 2 :]])
    answer = service.anna.post("/write", content=sent)
    assert (answer.status_code, code(answer)) == (413, "body-too-large")


@pytest.mark.parametrize(
    "path", ["/nope", "/jobs/%00", "/jobs/../../etc/passwd", "/specs/%0a", "/deployments/a%2Fb"]
)
def test_odd_paths_are_not_found(service: ServiceLab, path: str) -> None:
    answer = service.anna.get(path)
    assert answer.status_code == 404
    assert code(answer)


def test_a_method_that_is_not_possible(service: ServiceLab) -> None:
    answer = service.anna.patch("/images")
    assert (answer.status_code, code(answer)) == (405, "method-not-allowed")


def test_a_fault_of_ours_has_a_number_and_no_insides(
    service: ServiceLab, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise RuntimeError("secret /etc/path")

    monkeypatch.setattr(service.workshop, "devices", broken)
    answer = service.anna.get("/devices")
    assert (answer.status_code, code(answer)) == (500, "internal")
    assert "secret" not in answer.text
    incident = answer.json()["error"]["message"].rstrip(".").rsplit(" ", 1)[1]
    assert incident in caplog.text
    assert "secret /etc/path" in caplog.text


def test_the_audit_keeps_changes_and_refusals(service: ServiceLab) -> None:
    service.built(service.anna)
    service.anna.post("/builds", json={"spec": body(spec("BAD"))})
    service.ben.get("/audit")
    service.client(None).get("/images")
    service.client(None).get("/images")
    service.anna.get("/images")
    kept = [(e["actor"], e["action"], e["object"], e["allowed"], e["reason"]) for e in audit(service)]
    assert kept == [
        ("anna", "start_build", "anna/greenhouse", True, ""),
        ("anna", "start_build", "anna/BAD", False, "spec-refused name-invalid"),
        ("ben", "list_audit", "", False, "scope-missing"),
        ("", "list_images", "", False, "token-missing"),
    ]
    assert {e["address"] for e in audit(service)} == {"127.0.0.1"}


def audit(service: ServiceLab) -> list[dict[str, object]]:
    """Oldest first."""
    entries: list[dict[str, object]] = service.root.get("/audit").json()
    return entries[::-1]


def test_a_fault_of_ours_is_in_the_audit_too(service: ServiceLab, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(service.parts.images, "find", broken)
    assert service.anna.delete("/images/greenhouse/1").status_code == 500
    assert [(e["action"], e["object"], e["allowed"], e["reason"]) for e in audit(service)] == [
        ("delete_image", "greenhouse/1", False, "500")
    ]


def test_every_call_is_documented(service: ServiceLab) -> None:
    document = service.client(None).get("/openapi.json").json()
    for path, methods in document["paths"].items():
        assert path.startswith(API)
        for method, operation in methods.items():
            where = f"{method} {path}"
            assert operation["responses"]["503"], where
            assert "HTTPValidationError" not in str(operation), where
            if path != f"{API}/health":
                assert operation["security"] == [{"hub token": []}], where


def test_the_page_of_the_documentation_fetches_nothing(service: ServiceLab) -> None:
    answer = service.client(None).get("/docs")
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "http://" not in answer.text.replace("http://127.0.0.1", "")
    assert "/jobs/{job}/events" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
