"""A job seen from the client: nothing lost over cuts, deadlines kept, errors that say what to do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from client_server import Call, Server, ended, event, job, sent
from cyberlab.errors import JobCancelled, JobFailed, NotFound, TimedOut, Unreachable
from cyberlab.jobs import JobHandle, Patience
from cyberlab.transport import Transport
from cyberlab.wire import ErrorInfo, JobEvent, Phase

EVENTS = "/jobs/b7f3a1/events"
QUICK = Patience(first=0.01, longest=0.05, silence=1.0, give_up=0.4)


@pytest.fixture
def transport(server: Server) -> Iterator[Transport]:
    one = server.transport()
    yield one
    one.close()


@pytest.fixture
def handle(transport: Transport) -> JobHandle:
    return JobHandle(transport, job(Phase.QUEUED), QUICK)


def resumable(everything: list[JobEvent], cut_after: int) -> tuple[list[str], object]:
    """A route that sends `cut_after` events from where the client is, then cuts the connection."""
    asked: list[str] = []

    def answer(call: Call) -> None:
        asked.append(call.headers["Last-Event-ID"])
        rest = everything[int(asked[-1]) :]
        if len(rest) > cut_after:
            # half an event is on its way when the connection breaks
            call.events(*map(sent, rest[:cut_after]), sent(rest[cut_after])[:20])
        else:
            call.events(*map(sent, rest), ended(job(Phase.DONE)))

    return asked, answer


def test_a_cut_stream_is_taken_up_again_and_no_event_is_lost_or_doubled(
    server: Server, handle: JobHandle
) -> None:
    everything = [event(n, text=f"line {n} \u2028 ü") for n in range(1, 101)]
    asked, answer = resumable(everything, 30)
    server.on("GET", EVENTS, answer)  # type: ignore[arg-type]  # a route
    assert list(handle.events()) == everything
    assert asked == ["0", "30", "60", "90"]
    assert handle.job.phase is Phase.DONE


def test_a_server_that_forgets_where_we_were_doubles_nothing(server: Server, handle: JobHandle) -> None:
    calls = 0

    def answer(call: Call) -> None:
        nonlocal calls
        calls += 1
        pieces = [sent(event(n)) for n in range(1, 4)]
        call.events(*pieces, *([ended(job(Phase.DONE))] if calls == 3 else []))

    server.on("GET", EVENTS, answer)
    assert [one.id for one in handle.events()] == [1, 2, 3]


def test_the_lab_restarts_in_between(server: Server, handle: JobHandle) -> None:
    answers = iter(
        [lambda c: c.events(sent(event(1))), lambda c: c.text(502, "proxy"), lambda c: c.text(503, "proxy")]
    )
    last = lambda c: c.events(sent(event(2)), ended(job(Phase.DONE)))  # noqa: E731 - as the ones above
    server.on("GET", EVENTS, lambda call: next(answers, last)(call))
    assert [one.id for one in handle.events()] == [1, 2]


def test_no_contact_for_long_says_how_to_come_back(server: Server, handle: JobHandle) -> None:
    server.on("GET", EVENTS, lambda call: call.text(503, "down"))
    begin = time.monotonic()
    with pytest.raises(Unreachable, match=r'goes on there; come back with lab.job\("b7f3a1"\)') as caught:
        list(handle.events())
    assert caught.value.code == "job-out-of-sight"
    assert 0.3 < time.monotonic() - begin < 3


def test_a_job_that_is_gone_is_said_at_once(server: Server, handle: JobHandle) -> None:
    with pytest.raises(NotFound):
        list(handle.events())
    assert len(server.calls) == 1


def test_wait_keeps_its_deadline_while_the_stream_is_silent(server: Server, handle: JobHandle) -> None:
    over = threading.Event()

    def answer(call: Call) -> None:
        call.events(sent(event(1)))
        over.wait(5)

    server.on("GET", EVENTS, answer)
    seen: list[JobEvent] = []
    begin = time.monotonic()
    with pytest.raises(TimedOut, match="It goes on in the lab"):
        handle.wait(0.3, seen.append)
    over.set()
    assert 0.25 < time.monotonic() - begin < 1.5
    assert [one.id for one in seen] == [1]


def test_a_failure_is_raised_with_the_jobs_own_words(server: Server, handle: JobHandle) -> None:
    error = ErrorInfo(code="build-failed", message="pip found no library called numpi.")
    server.on("GET", EVENTS, lambda call: call.events(ended(job(Phase.FAILED, error=error))))
    with pytest.raises(JobFailed, match="numpi") as caught:
        handle.wait(5)
    assert caught.value.code == "build-failed"
    assert caught.value.job.phase is Phase.FAILED


def test_a_cancelled_job_is_not_done(server: Server, handle: JobHandle) -> None:
    server.on("POST", "/jobs/b7f3a1/cancel", job(Phase.CANCELLED))
    server.on("GET", EVENTS, lambda call: call.events(ended(job(Phase.CANCELLED))))
    handle.cancel()
    with pytest.raises(JobCancelled, match="was stopped"):
        handle.wait(5)


def test_the_past_of_a_running_job_does_not_wait_for_its_end(server: Server, handle: JobHandle) -> None:
    over = threading.Event()

    def answer(call: Call) -> None:
        call.events(sent(event(1)), sent(event(2)))
        over.wait(5)

    server.on("GET", EVENTS, answer)
    assert [one.id for one in handle.past(quiet=0.2)] == [1, 2]
    over.set()


def test_an_answer_of_another_version_is_said(server: Server, handle: JobHandle) -> None:
    server.on("GET", EVENTS, lambda call: call.events(b'event: log\ndata: {"new": 1}\n\n'))
    with pytest.raises(Exception, match="different versions"):
        list(handle.events())
