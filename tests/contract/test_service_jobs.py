"""What a job promises: its events can be taken up anywhere, it can be stopped, it waits in turn, it outlives us."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cyberlab_hub.service.journal import LOG_CHARACTERS, TAIL_LINES
from cyberlab_hub.workshop.orders import BuildOrder, Progress
from service_lab import ServiceLab, body, events, service_lab, spec, until


class Held:
    """A build that stands still until it is let go or cancelled."""

    def __init__(self, service: ServiceLab) -> None:
        self.go = threading.Event()
        self.inside: list[str] = []
        service.workshop.during_build = self._hold

    def _hold(self, order: BuildOrder, progress: Progress) -> None:
        self.inside.append(order.name)
        progress.log("standing still")
        progress.on_cancel(self.go.set)
        assert self.go.wait(20)


def start(client: Any, name: str = "greenhouse") -> str:
    answer = client.post("/builds", json={"spec": body(spec(name))})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def heard(client: Any, job: str, **asked: Any) -> list[Any]:
    with client.stream("GET", f"/jobs/{job}/events", **asked) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        return list(events(stream))


def test_events_are_numbered_and_end_with_the_job(service: ServiceLab) -> None:
    job = service.built(service.anna)
    all_of_them = heard(service.anna, job["id"])
    assert [e.id for e in all_of_them[:-1]] == list(range(1, len(all_of_them)))
    assert [e.data["id"] for e in all_of_them[:-1]] == [e.id for e in all_of_them[:-1]]
    phases = [e.data["phase"] for e in all_of_them if e.event == "phase"]
    assert phases == ["queued", "preparing", "building", "pushing", "done"]
    assert (all_of_them[-1].event, all_of_them[-1].data) == ("end", job)


def test_a_stream_is_taken_up_after_any_event(service: ServiceLab) -> None:
    job = service.built(service.anna)["id"]
    whole = heard(service.anna, job)
    for last in (0, 1, 4, len(whole) - 1, 9999):
        expected = [e for e in whole if e.id > last or e.event == "end"]
        assert heard(service.anna, job, headers={"Last-Event-ID": str(last)}) == expected
        assert heard(service.anna, job, params={"after": last}) == expected


@pytest.mark.parametrize("junk", ["abc", "-1", "²", "9" * 40, ""])
def test_a_last_event_id_that_is_none_is_the_beginning_or_the_end(service: ServiceLab, junk: str) -> None:
    job = service.built(service.anna)["id"]
    assert heard(service.anna, job, headers={"Last-Event-ID": junk.encode()})[-1].event == "end"


def test_events_arrive_while_the_job_runs(service: ServiceLab) -> None:
    held = Held(service)
    job = start(service.anna)
    seen: list[str] = []
    with service.anna.stream("GET", f"/builds/{job}/events") as stream:
        for event in events(stream):
            seen.append(event.event)
            if event.event == "log":
                assert service.ben.get("/jobs").json() == []  # the service is not held up by the stream
                held.go.set()
    assert seen[-1] == "end"
    assert "log" in seen


def test_many_watchers_see_the_same(service: ServiceLab) -> None:
    held = Held(service)
    job = start(service.anna)
    found: list[list[Any]] = []
    watchers = [threading.Thread(target=lambda: found.append(heard(service.anna, job))) for _ in range(8)]
    for watcher in watchers:
        watcher.start()
    until(lambda: held.inside)
    held.go.set()
    for watcher in watchers:
        watcher.join(10)
    assert len(found) == 8
    assert all(one == found[0] for one in found)


def test_a_running_build_can_be_cancelled(service: ServiceLab) -> None:
    held = Held(service)
    job = start(service.anna)
    until(lambda: held.inside)
    answer = service.anna.post(f"/jobs/{job}/cancel")
    assert answer.status_code == 202
    ended = service.ended(service.anna, job)
    assert (ended["phase"], ended["error"]) == ("cancelled", None)
    assert service.anna.get("/images").json() == []
    assert service.anna.delete(f"/builds/{job}").json() == ended  # once more changes nothing


def test_a_job_that_has_ended_stays_as_it_is(service: ServiceLab) -> None:
    job = service.built(service.anna)
    answer = service.anna.post(f"/jobs/{job['id']}/cancel")
    assert (answer.status_code, answer.json()) == (202, job)


def test_the_queue_tells_the_place_and_a_waiting_job_can_be_cancelled(tmp_path: Path) -> None:
    with service_lab(tmp_path, build_slots=1) as service:
        held = Held(service)
        first = start(service.anna, "one")
        until(lambda: held.inside)
        second = start(service.anna, "two")
        third = start(service.ben, "three")  # ben's first goes before anna's second
        assert service.anna.delete(f"/builds/{second}").json()["phase"] == "cancelled"
        held.go.set()
        assert service.ended(service.ben, third)["phase"] == "done"
        told = [e.data["text"] for e in heard(service.ben, third) if e.data.get("phase") == "queued"]
        assert told == ["Place 1 in the queue"]
        told = [e.data["text"] for e in heard(service.anna, second) if e.data.get("phase") == "queued"]
        assert told == ["Place 1 in the queue", "Place 2 in the queue"]
        assert held.inside == ["one", "three"]
        assert service.anna.get(f"/jobs/{first}").json()["phase"] == "done"


def test_jobs_of_one_kind_are_listed_newest_first(service: ServiceLab) -> None:
    for name in ("one", "two"):
        service.built(service.anna, spec(name))
    trial = service.anna.post("/trials", json={"image": "one"}).json()["id"]
    service.ended(service.anna, trial)
    names = [job["name"] for job in service.anna.get("/builds").json()]
    assert names == ["two", "one"]
    assert [job["kind"] for job in service.anna.get("/jobs", params={"limit": 1}).json()] == ["trial"]
    assert service.anna.get("/jobs", params={"kind": "deploy"}).json() == []
    assert service.anna.get(f"/builds/{trial}").status_code == 404
    assert service.anna.get("/jobs", params={"limit": 0}).status_code == 422


def test_what_ran_when_the_service_died_is_marked(tmp_path: Path) -> None:
    with service_lab(tmp_path, build_slots=1) as service:
        held = Held(service)
        running, waiting = start(service.anna, "one"), start(service.ben, "two")
        until(lambda: held.inside)
        before = until(lambda: (found := first_events(service, running)) and len(found) >= 4 and found)
        service.parts.jobs.rows.mark_left_behind()  # what a start after a sudden death finds and does
        for client, job in ((service.anna, running), (service.ben, waiting)):
            view = client.get(f"/jobs/{job}").json()
            assert (view["phase"], view["error"]["code"]) == ("failed", "service-restarted")
        after = heard(service.anna, running)
        assert after[: len(before)] == before
        assert [e.event for e in after[len(before) :]] == ["error", "phase", "end"]
        held.go.set()


def first_events(service: ServiceLab, job: str) -> list[Any]:
    """Those that are written by now."""
    found = []
    with service.anna.stream("GET", f"/jobs/{job}/events") as stream:
        for event in events(stream):
            found.append(event)
            if event.event == "log":
                break
    return found


def test_stopping_the_service_ends_streams_and_jobs_quickly(tmp_path: Path) -> None:
    with service_lab(tmp_path, build_slots=1) as service:
        held = Held(service)
        running, waiting = start(service.anna, "one"), start(service.ben, "two")
        until(lambda: held.inside)
        found: list[list[Any]] = []
        watcher = threading.Thread(target=lambda: found.append(heard(service.anna, running)))
        watcher.start()
        time.sleep(0.2)
        began = time.monotonic()
        service.stop()
        assert time.monotonic() - began < 5
        watcher.join(5)
        assert found[0][-1].event != "end"  # the client comes back with its last id
    with service_lab(tmp_path) as service:
        for client, job in ((service.anna, running), (service.ben, waiting)):
            assert client.get(f"/jobs/{job}").json()["error"]["code"] == "service-restarted"
        assert heard(service.anna, running, params={"after": found[0][-1].id})[-1].event == "end"


def test_a_noisy_build_is_not_slowed_and_its_log_is_capped_with_its_end_kept(service: ServiceLab) -> None:
    lines, took = 100_000, []

    def noisy(_order: BuildOrder, progress: Progress) -> None:
        began = time.monotonic()
        for number in range(lines):
            progress.log(f"line {number:06} of a build that talks far too much for anybody to read")
        took.append(time.monotonic() - began)

    service.workshop.during_build = noisy
    job = start(service.anna)
    assert service.ended(service.anna, job, 60)["phase"] == "done"
    assert took[0] < 20
    *logged, use = [e.data["text"] for e in heard(service.anna, job) if e.event == "log"]
    assert use.startswith("Used ")
    assert sum(map(len, logged)) < LOG_CHARACTERS * 1.1
    assert logged[0].startswith("line 000000")
    assert logged[-1].startswith(f"line {lines - 1:06}")
    left_out = [text for text in logged if text.startswith("(")]
    assert len(left_out) == 2
    assert "4 MB" in left_out[0]
    assert int(left_out[1].strip("(").split()[0]) == lines - (len(logged) - 2)
    assert logged.index(left_out[1]) == len([*logged, use]) - 1 - TAIL_LINES


def test_lines_no_database_would_take_are_made_storable(service: ServiceLab) -> None:
    def odd(_order: BuildOrder, progress: Progress) -> None:
        progress.log("nul \0 surrogate \ud800 end")
        progress.log("x" * 100_000)
        progress.log("two\nlines")

    service.workshop.during_build = odd
    job = start(service.anna)
    assert service.ended(service.anna, job)["phase"] == "done"
    first, second, third, use = (e.data["text"] for e in heard(service.anna, job) if e.event == "log")
    assert use.startswith("Used ")
    assert first == "nul \ufffd surrogate ? end"
    assert len(second) < 5000
    assert "100000 characters" in second
    assert third == "two\nlines"
