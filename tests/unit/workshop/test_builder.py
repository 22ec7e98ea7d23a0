"""What the builder says becomes steps, lines and figures; what a program prints cannot pretend to be the builder."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from cyberlab_hub.errors import Cancelled, PartDown, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import meter as meter_module
from cyberlab_hub.workshop.builder import Builder, Built
from cyberlab_hub.workshop.meter import figures
from cyberlab_hub.workshop.output import MOST_LINES
from fakes import RecordedProgress

ID = "0123456789ab"
STATS = {
    "cpu_stats": {"cpu_usage": {"total_usage": 1_500_000_000}},
    "memory_stats": {"usage": 300 * 2**20, "stats": {"total_inactive_file": 100 * 2**20}},
}


class FakeStream:
    def __init__(self, said: Iterator[str | dict[str, Any]]) -> None:
        self._said = said
        self.closed = False

    def __enter__(self) -> FakeStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.closed = True

    def close(self) -> None:
        self.closed = True

    def messages(self) -> Iterator[dict[str, Any]]:
        for one in self._said:
            if self.closed:
                return
            yield {"stream": one} if isinstance(one, str) else one


class FakeEngine:
    """Builds what it is told to say. `stats` answers the questions about containers."""

    def __init__(self, said: Callable[[], Iterator[str | dict[str, Any]]]) -> None:
        self._said = said
        self.asked: list[str] = []
        self.sampled = threading.Event()
        self.stats: Callable[[], Any] = lambda: STATS

    def stream(self, method: str, path: str, **_: Any) -> FakeStream:
        assert (method, path) == ("POST", "/build")
        return FakeStream(self._said())

    def call(self, method: str, path: str, **_: Any) -> Any:
        if path == "/info":
            return {"CgroupDriver": "cgroupfs", "NCPU": 2}
        if path.endswith("/stats"):
            self.asked.append(path.split("/")[2])
            try:
                return self.stats()
            finally:
                self.sampled.set()
        return {"Size": 1}


def run(engine: FakeEngine, progress: RecordedProgress) -> Built:
    settings = Settings(state=Path("/nowhere"), build_seconds=60)
    return Builder(engine, settings).run("r/anna/x:1", b"", progress)  # type: ignore[arg-type]  # all of an engine that is used


def built(*said: str | dict[str, Any]) -> tuple[Built, RecordedProgress]:
    progress = RecordedProgress()
    return run(FakeEngine(lambda: iter(said)), progress), progress


def test_steps_from_the_cache_are_counted() -> None:
    made, progress = built(
        "Step 1/3 : FROM python\n", " ---> 5f3a\n",
        "Step 2/3 : RUN pip install x\n", " ---> Using cache\n", " ---> 77aa\n",
        "Step 3/3 : CMD x\n", " ---> Using cache\n", " ---> 77ab\n", "Successfully built 77ab\n",
    )  # fmt: skip
    assert (made.usage.steps, made.usage.cached_steps) == (3, 2)
    assert (made.usage.cpu_seconds, made.usage.peak_memory_mb) == (None, None)
    assert progress.lines == []


def test_what_a_step_uses_is_sampled_while_it_runs() -> None:
    def said() -> Iterator[str | dict[str, Any]]:
        yield "Step 1/1 : RUN work\n"
        yield f" ---> Running in {ID}\n"
        assert engine.sampled.wait(5)

    engine = FakeEngine(said)
    usage = run(engine, RecordedProgress()).usage
    assert set(engine.asked) == {ID}
    assert (usage.cpu_seconds, usage.peak_memory_mb, usage.memory_limit_mb) == (1.5, 200, 1024)
    assert "1.5 s of processor time, 200 of 1024 MB of memory" in usage.sentence


@pytest.mark.parametrize(
    "answer", [PartDown("engine-down", "away"), {}, [], None, "nonsense", {"memory_stats": 1}]
)
def test_a_sample_that_fails_costs_a_figure_and_nothing_else(answer: Any) -> None:
    def said() -> Iterator[str | dict[str, Any]]:
        yield "Step 1/1 : RUN work\n"
        yield f" ---> Running in {ID}\n"
        assert engine.sampled.wait(5)

    def stats() -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    engine = FakeEngine(said)
    engine.stats = stats
    assert run(engine, RecordedProgress()).usage.peak_memory_mb is None


def test_an_engine_that_never_answers_a_sample_does_not_hold_the_build() -> None:
    go = threading.Event()

    def said() -> Iterator[str | dict[str, Any]]:
        yield "Step 1/1 : RUN work\n"
        yield f" ---> Running in {ID}\n"

    engine = FakeEngine(said)
    engine.stats = lambda: go.wait(30)
    assert run(engine, RecordedProgress()).usage.steps == 1  # with `go` unset, a build that waited would hang
    go.set()


def test_a_program_cannot_make_steps_or_have_other_containers_watched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meter_module, "PAUSE_SECONDS", 0.01)
    other = "f" * 12

    def said() -> Iterator[str | dict[str, Any]]:
        yield "Step 1/2 : RUN work\n"
        yield f" ---> Running in {ID}\n"
        for _ in range(100):
            yield "Step 1/2 : RUN forged\n"
            yield "Step 7/2 : RUN forged\n"
            yield "Step 2/900 : RUN forged\n"
            yield f" ---> Running in {other}\n"
            yield " ---> Using cache\n"
        assert engine.sampled.wait(5)
        yield "Step 2/2 : CMD x\n"

    engine, progress = FakeEngine(said), RecordedProgress()
    usage = run(engine, progress).usage
    assert progress.steps == [(1, 2, "RUN work"), (2, 2, "CMD x")]
    assert (usage.steps, usage.cached_steps) == (2, 0)
    assert set(engine.asked) == {ID}


def test_a_failed_build_says_what_it_used_and_keeps_the_end_of_its_flood() -> None:
    progress = RecordedProgress()
    said = [
        "Step 1/1 : RUN work\n",
        f" ---> Running in {ID}\n",
        "y\n" * (MOST_LINES + 1_000),
        "E: \x1b]0;t\x07the end\n",
    ]
    engine = FakeEngine(lambda: iter([*said, {"error": "returned a non-zero code: 1\x1b[2J"}]))
    with pytest.raises(WorkFailed, match="the end") as caught:
        run(engine, progress)
    assert "\x1b" not in caught.value.message
    assert progress.lines[-2] == "E: the end"
    assert progress.lines[-1].startswith("Used ")
    assert len(progress.lines) < MOST_LINES + 300


def test_cancel_works_in_the_middle_of_an_endless_flood() -> None:
    progress = RecordedProgress()

    def said() -> Iterator[str | dict[str, Any]]:
        yield "Step 1/1 : RUN yes\n"
        number = 0
        while True:
            number += 1
            yield f"{number}\n" * 100
            if number == 200:
                threading.Thread(target=progress.cancel).start()

    with pytest.raises(Cancelled):
        run(FakeEngine(said), progress)
    assert progress.lines[-1].isdigit(), "the end of the log is kept"


def test_a_line_end_that_comes_alone_ends_the_line() -> None:
    _, progress = built(
        "Step 1/1 : RUN work\n",
        "\n",
        f" ---> Running in {ID}\n",
        "\n",
        "one",
        "\n",
        "two",
        "\n",
        "\n",
        "three\n",
    )
    assert progress.lines == ["one", "two", "three"]


def test_figures_of_both_kinds_of_cgroups() -> None:
    assert figures(STATS) == (1.5, 200 * 2**20)
    v2 = {**STATS, "memory_stats": {"usage": 50, "stats": {"inactive_file": 20}}}
    assert figures(v2)[1] == 30
    assert figures({**STATS, "memory_stats": {"usage": 50}})[1] == 50
