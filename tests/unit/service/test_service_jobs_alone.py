"""Queue, lanes and journal without HTTP."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cyberlab.wire import JobKind, Phase
from cyberlab_hub.errors import NotFound, OverQuota, PartDown, WorkFailed
from cyberlab_hub.service import job_rows, journal, policy
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.jobs import Jobs
from cyberlab_hub.service.line import Outcome
from cyberlab_hub.service.progress import JobProgress


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path}/lab.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def jobs(database: Database) -> Iterator[Jobs]:
    made = Jobs(database, {JobKind.BUILD: 2, JobKind.TRIAL: 1})
    made.start()
    yield made
    made.close(2)


def nothing(_progress: JobProgress) -> Outcome:
    return Outcome({})


def test_one_lane_runs_one_job_and_another_passes_it(jobs: Jobs) -> None:
    go, order = threading.Event(), []

    def slow(_progress: JobProgress) -> Outcome:
        order.append("slow")
        assert go.wait(5)
        return Outcome({})

    def note(name: str) -> Any:
        def work(_progress: JobProgress) -> Outcome:
            order.append(name)
            return Outcome({})

        return work

    first = jobs.submit(JobKind.BUILD, "anna", "x", slow, lane="image x")
    second = jobs.submit(JobKind.BUILD, "anna", "x", note("second"), lane="image x")
    other = jobs.submit(JobKind.BUILD, "ben", "x", note("ben"), lane="image x")
    assert jobs.wait(other.id, 5)
    assert jobs.active("anna", "image x") == (first.id, second.id)
    go.set()
    assert jobs.wait(second.id, 5)
    assert order == ["slow", "ben", "second"]
    assert jobs.active("anna", "image x") == ()


def test_work_that_fails_after_a_cancel_is_cancelled(jobs: Jobs) -> None:
    inside = threading.Event()

    def broken_by_us(progress: JobProgress) -> Outcome:
        stopped = threading.Event()
        progress.on_cancel(stopped.set)
        inside.set()
        assert stopped.wait(5)
        raise WorkFailed("build-failed", "connection closed")

    job = jobs.submit(JobKind.BUILD, "anna", "x", broken_by_us)
    assert inside.wait(5)
    jobs.cancel("anna", job.id)
    assert jobs.wait(job.id, 5)
    assert jobs.rows.get("anna", job.id).phase is Phase.CANCELLED


def test_work_that_succeeds_in_spite_of_a_cancel_is_done(jobs: Jobs) -> None:
    inside, go = threading.Event(), threading.Event()

    def deaf(_progress: JobProgress) -> Outcome:
        inside.set()
        assert go.wait(5)
        return Outcome({"image": "anna/x:1"})

    job = jobs.submit(JobKind.BUILD, "anna", "x", deaf)
    assert inside.wait(5)
    jobs.cancel("anna", job.id)
    go.set()
    assert jobs.wait(job.id, 5)
    assert jobs.rows.get("anna", job.id).phase is Phase.DONE


def test_a_stop_that_goes_wrong_or_comes_late_is_still_called(jobs: Jobs) -> None:
    called: list[str] = []
    inside = threading.Event()

    def bad() -> None:
        called.append("bad")
        raise OSError

    def work(progress: JobProgress) -> Outcome:
        progress.on_cancel(bad)
        progress.on_cancel(lambda: called.append("good"))
        inside.set()
        while not progress.cancelled:
            pass
        progress.on_cancel(lambda: called.append("late"))
        return Outcome({})

    job = jobs.submit(JobKind.BUILD, "anna", "x", work)
    assert inside.wait(5)
    jobs.cancel("anna", job.id)
    jobs.cancel("anna", job.id)
    assert jobs.wait(job.id, 5)
    assert sorted(called) == ["bad", "good", "late"]


def test_work_cannot_say_that_it_has_ended(jobs: Jobs) -> None:
    def lies(progress: JobProgress) -> Outcome:
        progress.phase(Phase.DONE)
        return Outcome({})

    job = jobs.submit(JobKind.BUILD, "anna", "x", lies)
    assert jobs.wait(job.id, 5)
    error = jobs.rows.get("anna", job.id).error
    assert error is not None
    assert error.code == "internal"


def test_admission_sees_what_is_waiting_and_running(jobs: Jobs) -> None:
    go = threading.Event()

    def slow(_progress: JobProgress) -> Outcome:
        assert go.wait(5)
        return Outcome({})

    def admit(active: int) -> None:
        policy.within(policy.default("trials"), active)

    for _ in range(2):
        jobs.submit(JobKind.TRIAL, "anna", "x", slow, admit=admit, claims=("pi01",))
    with pytest.raises(OverQuota, match="You have 2 trials"):
        jobs.submit(JobKind.TRIAL, "anna", "x", slow, admit=admit)
    jobs.submit(JobKind.TRIAL, "ben", "x", nothing, admit=admit)
    assert len(jobs.rows.newest("anna", None, 10)) == 2
    assert [claims for _, claims in jobs.live("anna", JobKind.TRIAL)] == [{"pi01"}] * 2
    go.set()


def test_owners_take_turns_and_everybody_is_told_the_true_place(jobs: Jobs) -> None:
    go, inside, order = threading.Event(), threading.Event(), []

    def note(name: str) -> Any:
        def work(_progress: JobProgress) -> Outcome:
            order.append(name)
            inside.set()
            assert go.wait(5)
            return Outcome({})

        return work

    made = {"anna0": jobs.submit(JobKind.TRIAL, "anna", "x", note("anna0"))}
    assert inside.wait(5)
    for number in range(1, 5):
        name = f"anna{number}"
        made[name] = jobs.submit(JobKind.TRIAL, "anna", "x", note(name))
    for owner in ("ben", "carl"):
        for number in range(2):
            name = f"{owner}{number}"
            made[name] = jobs.submit(JobKind.TRIAL, owner, "x", note(name))
    go.set()
    for job in made.values():
        assert jobs.wait(job.id, 5)
    # everybody's first, then everybody's second; anna, who came first and asked for most, has only the rest
    assert order == ["anna0", "ben0", "carl0", "anna1", "ben1", "carl1", "anna2", "anna3", "anna4"]
    _, events = jobs.rows.page("carl", made["carl0"].id, 0, 100)
    places = [event.text for event in events if event.phase is Phase.QUEUED]
    assert places[0] == "Place 2 in the queue"


def test_old_jobs_go_with_their_logs(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_rows, "KEPT_JOBS", 3)
    made = [jobs.record_done(JobKind.BUILD, "anna", "x", {}, "again") for _ in range(6)]
    jobs.record_done(JobKind.BUILD, "ben", "x", {}, "again")
    left = jobs.rows.newest("anna", None, 100)
    assert len(left) == 4  # three that had ended when the last one came
    with pytest.raises(NotFound):
        jobs.rows.get("anna", made[0].id)


def test_a_database_that_is_away_loses_no_event(
    jobs: Jobs, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "RETRY_SECONDS", 0.05)
    down, go, said = threading.Event(), threading.Event(), threading.Event()
    real = database.session

    @contextmanager
    def session() -> Iterator[Any]:
        if down.is_set():
            raise PartDown("database-down", "away")
        with real() as opened:
            yield opened

    monkeypatch.setattr(database, "session", session)

    def work(progress: JobProgress) -> Outcome:
        down.set()
        for number in range(100):
            progress.log(f"line {number}")
        said.set()
        assert go.wait(5)
        progress.log("after")
        return Outcome({"exit_code": 0})

    job = jobs.submit(JobKind.BUILD, "anna", "x", work)
    assert said.wait(5)
    go.set()
    jobs.wait(job.id, 5)
    down.clear()
    for _ in range(100):
        view, events = jobs.rows.page("anna", job.id, 0, 500)
        if view.phase.ended:
            break
        threading.Event().wait(0.05)
    assert view.phase is Phase.DONE
    assert [e.text for e in events if e.kind == "log"] == [f"line {n}" for n in range(100)] + ["after"]
    assert [e.id for e in events] == list(range(1, len(events) + 1))


def test_nothing_is_taken_while_the_service_stops(database: Database) -> None:
    jobs = Jobs(database, {JobKind.BUILD: 1})
    jobs.start()
    jobs.close(1)
    with pytest.raises(PartDown, match="being stopped"):
        jobs.submit(JobKind.BUILD, "anna", "x", nothing)


def test_jobs_wait_for_the_tidying_up_and_survive_its_failure(database: Database) -> None:
    go = threading.Event()

    def tidy() -> None:
        assert go.wait(5)
        raise PartDown("engine-down", "away")

    jobs = Jobs(database, {JobKind.BUILD: 1})
    jobs.start(tidy)
    job = jobs.submit(JobKind.BUILD, "anna", "x", nothing)
    assert not jobs.wait(job.id, 0.2)
    go.set()
    assert jobs.wait(job.id, 5)
    jobs.close(1)
