from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cyberlab_hub.demo import lesson
from cyberlab_hub.demo.browser import Tell, login_error
from cyberlab_hub.demo.display import Display
from cyberlab_hub.demo.kernel import CellFailed, Outputs, last_line
from cyberlab_hub.demo.lesson import cell_titles, find_result, has_code, last_picture, run_lesson
from cyberlab_hub.errors import WorkFailed
from rich.console import Console

REPORT = {
    "points": 7,
    "devices": [{"device": "pi01", "points": 7, "first": 10.0, "last": 11.5}],
    "seconds": 9.5,
    "chart": "lessons/chart.png",
}


def markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def code(text: str, **metadata: Any) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": metadata, "source": text, "outputs": [], "execution_count": None}


def message(kind: str, **content: Any) -> dict[str, Any]:
    return {"msg_type": kind, "content": content}


# ---------------------------------------------------------------- the lesson
def test_titles_come_from_the_headings() -> None:
    cells = [
        code("first()"),
        markdown("# Lesson\n\n## 1. Hello\n\ntext"),
        code("a()"),
        code("# only a remark\n"),
        code("b()"),
        code("c()", tags=["report"]),
    ]
    assert cell_titles(cells) == ["The lesson", "1. Hello", "1. Hello (2)", "Collect the figures"]
    assert sum(has_code(cell) for cell in cells) == 4


def test_the_result_is_found_and_checked() -> None:
    cell = code("print()")
    cell["outputs"] = [
        {"output_type": "stream", "name": "stdout", "text": f"x\n{lesson.RESULT}{json.dumps(REPORT)}\n"}
    ]
    result = find_result([cell])
    assert (result.points, result.seconds, result.devices[0].device) == (7, 9.5, "pi01")
    cell["outputs"][0]["text"] = f'{lesson.RESULT}{{"points": "many"}}'
    with pytest.raises(WorkFailed, match="cannot be read"):
        find_result([cell])
    with pytest.raises(WorkFailed, match="reported no readings"):
        find_result([code("x")])


def test_last_picture() -> None:
    cell = code("plot()")
    cell["outputs"] = [
        {"data": {"image/png": "old"}},
        {"data": {"image/png": ["ne", "w"]}},
        {"data": {"text/plain": "x"}},
    ]
    assert last_picture({"cells": [cell, markdown("end")]}) == "new"
    assert last_picture({"cells": [code("x")]}) is None


class FakeKernel:
    """Answers each cell from a table; code it does not know prints nothing."""

    def __init__(self, answers: dict[str, str | Exception]) -> None:
        self.answers = answers
        self.ran: list[str] = []

    def run(self, text: str, tell: Tell, seconds: float, outputs: list[dict[str, Any]] | None = None) -> int:
        self.ran.append(text)
        answer = self.answers.get(text, "")
        if isinstance(answer, Exception):
            raise answer
        tell(answer)
        if outputs is not None:
            outputs.append({"output_type": "stream", "name": "stdout", "text": answer})
            outputs.append({"output_type": "display_data", "data": {"text/plain": answer}})
        return len(self.ran)


class FakeBrowser:
    def __init__(self, cells: list[dict[str, Any]]) -> None:
        self.notebook: dict[str, Any] = {"cells": cells}
        self.saved: dict[str, Any] | None = None

    def read_file(self, path: str, **_: Any) -> dict[str, Any]:
        return {"content": self.notebook}

    def save_notebook(self, path: str, content: dict[str, Any]) -> None:
        self.saved = content


def run(
    monkeypatch: pytest.MonkeyPatch, answers: dict[str, str | Exception]
) -> tuple[FakeBrowser, FakeKernel, str]:
    kernel = FakeKernel(answers)
    browser = FakeBrowser([markdown("## Build"), code("build()"), markdown("## Report"), code("report()")])

    @contextmanager
    def opened(*_: Any) -> Iterator[FakeKernel]:
        yield kernel

    monkeypatch.setattr(lesson, "open_kernel", opened)
    told = io.StringIO()
    display = Display(Console(file=told, width=400))
    try:
        run_lesson(browser, "lessons/01.ipynb", display.step, 60)  # type: ignore[arg-type]  # the fake
    except WorkFailed as error:
        told.write(f"raised {error.message}")
    return browser, kernel, told.getvalue()


def test_lesson_runs_saves_and_tells_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: dict[str, str | Exception] = {
        "build()": "reused first:1",
        "report()": lesson.RESULT + json.dumps(REPORT),
    }
    browser, kernel, told = run(monkeypatch, answers)
    assert "CYBERLAB_DEMO" in kernel.ran[0]
    assert browser.saved is not None
    assert browser.saved["cells"][1]["execution_count"] == 2
    lines = told.splitlines()
    assert [("done" in line, "Build" in line) for line in lines] == [(True, True), (True, False)]
    assert "reused first:1" in lines[0]
    assert "raised" not in told


def test_failure_names_the_cell_and_keeps_what_came_out(monkeypatch: pytest.MonkeyPatch) -> None:
    browser, kernel, told = run(monkeypatch, {"build()": CellFailed("JobFailed", "pip found no numpyy")})
    assert "failed" in told
    assert "stopped in cell 1 of 2, “Build”: JobFailed: pip found no numpyy" in told.replace("\n", " ")
    assert "report()" not in kernel.ran
    assert browser.saved is not None, "the outputs so far are lost"


# ---------------------------------------------------------------- outputs
def test_streams_are_merged_and_clear_waits_for_the_next_output() -> None:
    outputs: list[dict[str, Any]] = []
    taker = Outputs(outputs)
    assert taker.add(message("stream", name="stdout", text="one\n")) == "one"
    assert taker.add(message("stream", name="stdout", text="two\rtwo and a half")) == "two and a half"
    assert [o["text"] for o in outputs] == ["one\ntwo\rtwo and a half"]
    taker.add(message("clear_output", wait=True))
    assert outputs
    taker.add(message("stream", name="stderr", text="new"))
    assert [(o["name"], o["text"]) for o in outputs] == [("stderr", "new")]


def test_displays_are_updated_in_place() -> None:
    outputs: list[dict[str, Any]] = []
    taker = Outputs(outputs)
    taker.add(
        message("display_data", data={"text/plain": "10 %"}, metadata={}, transient={"display_id": "bar"})
    )
    taker.add(message("execute_result", data={"text/plain": "7"}, metadata={}, execution_count=3))
    line = taker.add(
        message(
            "update_display_data", data={"text/plain": "90 %"}, metadata={}, transient={"display_id": "bar"}
        )
    )
    assert line == "90 %"
    assert [o["data"]["text/plain"] for o in outputs] == ["90 %", "7"]
    assert outputs[1]["execution_count"] == 3
    assert "transient" not in outputs[0], "not a field of the notebook format"


def test_errors_are_kept_and_widget_traffic_is_not() -> None:
    outputs: list[dict[str, Any]] = []
    taker = Outputs(outputs)
    taker.add(message("error", ename="E", evalue="v", traceback=["t"]))
    taker.add(message("comm_open", comm_id="1", data={}))
    assert [o["output_type"] for o in outputs] == ["error"]


@pytest.mark.parametrize(
    ("text", "line"), [("", ""), ("\n \n", ""), ("a\nb\n\n", "b"), ("x\r50 %\r70 %", "70 %")]
)
def test_last_line(text: str, line: str) -> None:
    assert last_line(text) == line


def test_login_error_reads_the_page() -> None:
    assert login_error('<p class="login_error alert" role="alert">a &amp; b</p>') == "a & b"
    assert login_error("<html>") == "the sign-in page came back without a reason"


# ---------------------------------------------------------------- display
def test_long_steps_speak_in_a_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cyberlab_hub.demo.display.QUIET_SECONDS", 0.0)
    out = io.StringIO()
    with Display(Console(file=out, width=100)).step("Build") as watcher:
        watcher.tell("step 3 of 7")
    lines = out.getvalue().splitlines()
    assert "step 3 of 7" in lines[0]
    assert "done" in lines[1]


def test_words_in_brackets_are_not_markup() -> None:
    out = io.StringIO()
    with Display(Console(file=out, width=100)).step("Build [bold]x[/]") as watcher:
        watcher.note("[red]")
    assert "Build [bold]x[/]  [red]" in out.getvalue()
