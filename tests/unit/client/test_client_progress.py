"""What a reader sees of a job while it runs and when it is over."""

from __future__ import annotations

import io
import re
import threading
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import pytest
from client_server import START, TOKEN, Call, Server, ended, event, job, sent
from cyberlab.errors import JobFailed
from cyberlab.jobs import JobHandle
from cyberlab.lab import Lab
from cyberlab.progress import notebook, watch
from cyberlab.progress.terminal import PlainView, TerminalView
from cyberlab.progress.timeline import Timeline, clean, seconds
from cyberlab.wire import ErrorInfo, Job, JobEvent, JobKind, Phase
from hypothesis import given
from hypothesis import strategies as st
from nbclient import NotebookClient
from rich.console import Console

EVENTS = "/api/jobs/b7f3a1/events"


def at(second: float, number: int, kind: str, text: str = "", **more: Any) -> JobEvent:
    return event(number, kind, text, at=START + timedelta(seconds=second), **more)


BUILD = [
    at(0.1, 1, "phase", phase=Phase.QUEUED),
    at(1, 2, "phase", "on the workshop engine", phase=Phase.BUILDING),
    at(2, 3, "step", "RUN pip install numpy", step=2, steps=4),
    at(3, 4, "log", "Collecting numpy\n\x1b[32m  10%\r  90%\r\x1b[0m"),
]
DONE = job(Phase.DONE, finished=START + timedelta(seconds=12.3), result={"image": "anna/greenhouse:3"})


def timeline(events: list[JobEvent], of: Job | None = None) -> Timeline:
    one = Timeline(of or job(Phase.QUEUED), clock=lambda: START + timedelta(seconds=5))
    for each in events:
        one.add(each)
    return one


def test_stages_have_the_durations_of_the_labs_clock() -> None:
    one = timeline(BUILD)
    assert [(str(s.phase), round(one.took(s), 3)) for s in one.stages] == [("queued", 0.9), ("building", 4.0)]
    assert (one.title, one.fraction, list(one.log)) == (
        "Building greenhouse",
        0.25,
        ["Collecting numpy", "  90%"],
    )
    one.end(DONE)
    assert (one.title, one.elapsed, one.fraction) == ("anna/greenhouse:3 built", 12.3, 1.0)


def test_a_clock_that_is_behind_the_labs_gives_no_negative_times() -> None:
    slow = Timeline(job(Phase.QUEUED), clock=lambda: START - timedelta(hours=1))
    for each in BUILD:
        slow.add(each)
    assert 0 <= slow.took(slow.stages[-1]) < 10
    assert 0 <= slow.elapsed < 10


@given(st.text())
def test_text_of_a_container_cannot_steer_a_terminal(text: str) -> None:
    assert not any((char < " " and char != "\n") or "\x7f" <= char <= "\x9f" for char in clean(text))


@pytest.mark.parametrize(
    ("dirty", "wanted"),
    [
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("10%\r50%\r100%", "100%"),
        ("line\r\n", "line"),
        ("a\tb", "a   b"),
        ("\x1b[2J\x1b[1;1Hhome", "home"),
    ],
)
def test_colours_and_cursor_movements_go(dirty: str, wanted: str) -> None:
    assert clean(dirty) == wanted


@pytest.mark.parametrize(
    ("value", "text"), [(0.04, "0.0 s"), (59.94, "59.9 s"), (125, "2 min 05 s"), (-1, "0.0 s")]
)
def test_durations(value: float, text: str) -> None:
    assert seconds(value) == text


# ---------------------------------------------------------------- HTML
class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


EVIL = "</pre></details><script>alert(1)</script>"


def test_the_card_is_well_formed_and_nothing_of_the_job_becomes_markup() -> None:
    events = [
        *BUILD,
        at(4, 5, "log", EVIL),
        at(4, 6, "phase", EVIL, phase=Phase.PUSHING),
        at(4, 7, "step", EVIL, step=3, steps=4),
    ]
    running = timeline(events, job(Phase.QUEUED, name=EVIL))
    over = timeline(events)
    over.end(job(Phase.DONE, finished=START, result={"image": EVIL}))
    broken = timeline(events)
    broken.end(job(Phase.FAILED), JobFailed("x", EVIL, job=job(Phase.FAILED)))
    left = timeline(events)
    left.leave(EVIL)
    for one in (running, over, broken, left):
        tags = Tags(notebook.html(one))
        assert "script" not in tags.seen
        assert tags.open == []
        assert "alert(1)" in notebook.html(one)


def test_the_card_folds_when_done_but_shows_the_log_of_a_trial_and_of_a_failure() -> None:
    built, tried, failed = timeline(BUILD), timeline(BUILD, job(kind=JobKind.TRIAL)), timeline(BUILD)
    built.end(DONE)
    tried.end(job(Phase.DONE, kind=JobKind.TRIAL, finished=START, result={"exit_code": 0}))
    failed.end(job(Phase.FAILED), JobFailed("build-failed", "pip found no numpi.", job=job(Phase.FAILED)))
    assert "<details>" in notebook.html(built)
    assert "<details open>" in notebook.html(tried)
    assert "<details" not in notebook.html(failed)
    assert "pip found no numpi." in notebook.html(failed)
    assert 'role="progressbar"' in notebook.html(timeline(BUILD))


def test_a_long_log_stays_bounded() -> None:
    one = timeline([at(1, n, "log", f"line {n}") for n in range(1, 5000)])
    one.end(DONE)
    html = notebook.html(one)
    assert "4799 earlier lines" in html
    assert html.count("line ") < 250


# ---------------------------------------------------------------- terminals
def paper(**options: Any) -> Console:
    return Console(file=io.StringIO(), width=90, **options)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_for_a_log_file() -> None:
    console = paper()
    view, one = PlainView(console, console), Timeline(job(Phase.QUEUED))
    for each in BUILD:
        one.add(each)
        view.update(one)
    one.end(DONE)
    view.update(one, last=True)
    lines = written(console).splitlines()
    assert lines[0].split() == ["greenhouse", "0.1", "s", "queued"]
    assert "step 2 of 4 RUN pip install numpy" in lines[2]
    assert lines[-1].endswith("anna/greenhouse:3 built")
    assert "\x1b" not in written(console)


def test_a_trials_output_goes_to_standard_output_alone() -> None:
    console, output = paper(), paper()
    view, one = PlainView(console, output), Timeline(job(Phase.QUEUED, kind=JobKind.TRIAL))
    one.add(at(1, 1, "log", "[bold]6 * 7[/bold] = 42"))
    view.update(one)
    one.end(job(Phase.DONE, kind=JobKind.TRIAL, finished=START, result={"exit_code": 0}))
    view.update(one, last=True)
    assert written(output) == "[bold]6 * 7[/bold] = 42\n"
    assert "42" not in written(console)


def test_the_live_picture_ends_with_what_went_wrong() -> None:
    console = paper(force_terminal=True, height=20)
    with TerminalView(console, console) as view:
        one = timeline(BUILD)
        view.update(one)
        one.end(job(Phase.FAILED), JobFailed("x", "pip found no numpi.", job=job(Phase.FAILED)))
        view.update(one, last=True)
    assert "The build of greenhouse failed" in written(console)
    assert "pip found no numpi." in written(console).splitlines()[-2]


# ---------------------------------------------------------------- watching
def test_a_failed_job_is_shown_and_raised(server: Server, lab: Lab) -> None:
    error = ErrorInfo(code="build-failed", message="pip found no numpi.")
    server.on("GET", "/api/jobs/b7f3a1", job())
    server.on(
        "GET", EVENTS, lambda call: call.events(*map(sent, BUILD), ended(job(Phase.FAILED, error=error)))
    )
    console = paper()
    with pytest.raises(JobFailed):
        watch(lab.job("b7f3a1"), console=console)
    assert "The build of greenhouse failed\npip found no numpi." in written(console)


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(
    server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()

    def answer(call: Call) -> None:
        call.events(*map(sent, BUILD))
        over.wait(5)

    def interrupted(handle: JobHandle, timeout: float | None = None) -> Any:
        yield BUILD[0]
        raise KeyboardInterrupt

    monkeypatch.setattr(JobHandle, "follow", interrupted)
    server.on("GET", "/api/jobs/b7f3a1", job())
    server.on("GET", EVENTS, answer)
    console = paper()
    with pytest.raises(KeyboardInterrupt):
        watch(lab.job("b7f3a1"), console=console)
    over.set()
    assert 'lab.job("b7f3a1").wait()' in written(console)
    assert not [call for call in server.calls if call.command != "GET"]


NOTEBOOK = """
from cyberlab import FileEntry, ImageSpec, Lab
lab = Lab()
image = lab.build(ImageSpec(name="greenhouse", files=(FileEntry(path="main.py", text="print(1)"),)))
image
"""
FAILING = """
def mine():
    return lab.deployment("garden")

mine()
"""


def test_in_a_notebook_that_runs_without_a_browser(
    server: Server, lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    image = {
        "owner": "anna", "name": "greenhouse", "version": 3, "digest": "sha256:1", "spec_digest": "sha256:2",
        "size_mb": 150, "created": START.isoformat(), "base": "python",
    }  # fmt: skip
    server.on("POST", "/api/builds", lambda call: call.json(202, job(Phase.QUEUED)))
    server.on("GET", EVENTS, lambda call: call.events(*map(sent, BUILD), ended(DONE)))
    server.on("GET", "/api/images", [image])
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in (NOTEBOOK, FAILING)])
    book.cells[1].metadata["tags"] = ["raises-exception"]
    NotebookClient(
        book, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    outputs = book.cells[0].outputs
    assert [one.output_type for one in outputs] == ["display_data", "execute_result"]
    assert "anna/greenhouse:3 built" in outputs[0].data["text/html"]
    assert outputs[0].data["text/plain"] == "anna/greenhouse:3 built (12.3 s)"
    assert outputs[1].data["text/plain"].splitlines()[1].split()[0] == "greenhouse:3"
    assert "<td" in outputs[1].data["text/html"]
    (error,) = book.cells[1].outputs
    assert error.ename == "NotFound"
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in error.traceback]
    assert lines == ['line 2: return lab.deployment("garden")', "NotFound: no /api/deployments/garden"]
    assert TOKEN not in str(book)
