"""`make demo`: the main job of the lab, done as a person would do it, and told while it runs.

Signs in as `student`, starts that account's server, runs the first lesson in it cell by cell and shows what came
out. It holds a password and nothing more: what it can do, everybody who signs in can do.
"""

from __future__ import annotations

import base64
from pathlib import Path

from rich.console import Console

from cyberlab_hub.demo.browser import Browser
from cyberlab_hub.demo.display import Display
from cyberlab_hub.demo.lesson import LessonResult, Run, last_picture, run_lesson
from cyberlab_hub.errors import HubError, SetupError, WorkFailed
from cyberlab_hub.settings import Settings

ACCOUNT = "student"
LESSON = "lessons/01-first-readings.ipynb"


def run_demo(settings: Settings, console: Console) -> LessonResult:
    """Run the demonstration against the lab that is up; leaves the lab and the server running.

    Raises:
        SetupError: ``demo-failed``: which step went wrong, why, and what to do next.
    """
    display = Display(console)
    try:
        with Browser(settings) as browser:
            run = _as_student(settings, browser, display)
            chart = _fetch_chart(settings, browser, run)
    except FileNotFoundError as error:
        raise SetupError(
            "demo-failed",
            f"There is no account “{ACCOUNT}” here yet ({error.filename}). Run `make up` first.",
        ) from error
    except HubError as error:
        raise SetupError("demo-failed", f"{error.message}\n{_what_to_do(settings)}") from error
    _report(settings, console, display, run.result, chart)
    return run.result


def _as_student(settings: Settings, browser: Browser, display: Display) -> Run:
    password = settings.secret(f"{ACCOUNT}.password")
    with display.step(f"Sign in as {ACCOUNT}"):
        browser.sign_in(ACCOUNT, password)
    with display.step(f"Server of {ACCOUNT}") as watcher:
        if not browser.start_server(watcher.tell):
            watcher.note("reused: it ran already")
        browser.open_server()
    # a build may use all its time, and a bit of waiting goes before it
    return run_lesson(browser, LESSON, display.step, cell_seconds=settings.build_seconds + 120)


def _fetch_chart(settings: Settings, browser: Browser, run: Run) -> Path:
    """Save the chart under the state folder. Raises: WorkFailed ``demo-no-chart``."""
    if run.result.chart:
        picture = browser.read_file(run.result.chart, type="file", format="base64")["content"]
    else:
        picture = last_picture(run.notebook)
    if not picture:
        raise WorkFailed("demo-no-chart", "The lesson reported readings but drew no chart.")
    path = settings.state / "demo" / "first-readings.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(base64.b64decode(picture))
    return path


def _report(
    settings: Settings, console: Console, display: Display, result: LessonResult, chart: Path
) -> None:
    def say(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    say("")
    display.table(result)
    say(f"chart:   {chart}")
    say(
        f"sign in: {settings.public_url} as {ACCOUNT}; the password is in {settings.secrets / f'{ACCOUNT}.password'}"
    )
    say(f"demo: {result.points} points from {len(result.devices)} devices in {result.seconds:.1f} s")


def _what_to_do(settings: Settings) -> str:
    return (
        "What to do: `cyberlab-hub status` shows what is down, the logs are in "
        f"{settings.logs}. Then run `make demo` again: it goes on from what is there. The lesson with its outputs "
        f"is in the home of {ACCOUNT}: sign in at {settings.public_url}."
    )
