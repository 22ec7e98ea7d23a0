"""The main job by mouse and keyboard, on the real lab: sign in, lesson 01, the form, build, try out, deploy, chart.

Then the live dashboard. The screenshots in ``artifacts/browser`` are what the README shows (`make pictures`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from browser.lab_pages import WatchedPage, chromium, run_cell, sign_in
from cyberlab_hub import address
from cyberlab_hub.settings import Settings
from playwright.sync_api import Browser, expect
from system.hubclient import Person, person

pytestmark = [pytest.mark.engine, pytest.mark.browser]

NAME = "my-weather"
DASHBOARD = "voila/render/dashboards/sensors.ipynb"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def someone(lab_running: Settings) -> Iterator[Person]:
    with person(lab_running, sign_in=False) as someone:
        yield someone


@pytest.fixture(scope="module")
def lesson(browser: Browser, someone: Person) -> Iterator[WatchedPage]:
    """Lesson 01 in the student's own JupyterLab, with the form shown."""
    own = address.url_of(someone.settings, someone.name)
    watched = WatchedPage(browser, someone.settings.public_url, also=(own,), size=(1500, 1000))
    sign_in(watched.page, someone.settings.public_url, someone.name, someone.password)
    watched.page.wait_for_selector(
        ".jp-Notebook-ExecutionIndicator[data-status=idle]", state="attached", timeout=90_000
    )
    for cell in range(4):
        run_cell(watched.page, cell, seconds=60)
    watched.page.get_by_label("Image form").wait_for(timeout=60_000)
    yield watched
    watched.context.close()


def test_after_signing_in_the_lesson_lies_open(lesson: WatchedPage) -> None:
    assert "01-first-readings.ipynb" in lesson.page.url
    expect(lesson.page.locator(".jp-CodeCell").first).to_contain_text("pi01")
    lesson.shot("lesson")


def test_a_problem_stands_beside_its_field_and_the_preview_follows_the_typing(lesson: WatchedPage) -> None:
    name = lesson.page.get_by_label("Name", exact=True).first
    name.click()
    name.press("Control+a")
    lesson.page.keyboard.type("My Weather!")
    name.press("Tab")
    expect(lesson.page.locator(".cl-field", has=name).locator(".cl-problem")).to_be_visible(timeout=10_000)
    name.click()
    name.press("Control+a")
    lesson.page.keyboard.type(NAME)
    name.press("Tab")
    expect(lesson.page.locator(".cl-field", has=name).locator(".cl-problem")).to_have_count(0, timeout=10_000)

    tick = lesson.page.locator(".cl-tick").first
    library = tick.locator("b, strong, .cl-tick-name").first.inner_text()
    tick.locator("input").check()
    expect(lesson.page.get_by_label("Dockerfile preview")).to_contain_text(library, timeout=10_000)


def test_build_try_out_and_deploy_by_mouse(lesson: WatchedPage) -> None:
    page = lesson.page
    page.get_by_role("button", name="Build", exact=True).click()
    expect(page.get_by_text(f"{NAME}:1 is ready")).to_be_visible(timeout=180_000)
    page.get_by_label("Seconds to run").select_option("10")
    page.get_by_role("button", name="Try out", exact=True).click()
    expect(page.get_by_label("Log of the trial")).to_contain_text("temperature", timeout=60_000)
    expect(page.get_by_text("The time is over")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Deploy on", exact=False).click()
    expect(page.get_by_text(f"{NAME} runs on")).to_be_visible(timeout=120_000)
    page.get_by_label("Image form").get_by_text("Deploy", exact=True).first.scroll_into_view_if_needed()
    lesson.shot("form-deployed")
    page.get_by_label("Name", exact=True).first.scroll_into_view_if_needed()
    lesson.shot("form")


def test_the_readings_become_a_chart_in_the_notebook(lesson: WatchedPage) -> None:
    for cell in (8, 9):
        run_cell(lesson.page, cell, seconds=60)
    chart = lesson.page.locator(".jp-CodeCell").nth(9).locator(".jp-OutputArea img").first
    expect(chart).to_be_visible(timeout=30_000)
    chart.scroll_into_view_if_needed()
    lesson.shot("chart")


def test_the_page_fetched_nothing_from_outside(lesson: WatchedPage) -> None:
    assert lesson.outside == []


def test_the_dashboard_changes_over_time(browser: Browser, lesson: WatchedPage, someone: Person) -> None:
    watched = WatchedPage(browser, someone.settings.public_url, size=(1280, 860))
    watched.context.add_cookies(lesson.context.cookies())  # type: ignore[arg-type]  # what one context gives, another takes
    page = watched.page
    page.goto(f"{address.url_of(someone.settings, someone.name)}/user/{someone.name}/{DASHBOARD}")
    tiles = page.locator(".cs-tile-value")
    expect(tiles).to_have_count(3, timeout=90_000)
    before = tiles.all_inner_texts()
    deadline = time.monotonic() + 30
    while tiles.all_inner_texts() == before:
        assert time.monotonic() < deadline, "the dashboard did not change"
        page.wait_for_timeout(500)
    page.get_by_text("1 min", exact=True).click()
    page.wait_for_timeout(20_000)  # a chart worth a picture
    watched.shot("dashboard")
    page.get_by_role("button", name="Which code?").click()
    origins = page.get_by_role("region", name="Which code wrote these readings")
    origins.locator("summary").first.click(timeout=20_000)
    expect(origins.get_by_text("sha256:").first).to_be_visible()
    expect(origins.get_by_label("Dockerfile").first).to_be_visible()
    origins.scroll_into_view_if_needed()
    watched.shot("dashboard-code")
    page.get_by_role("button", name="Which code?").click()
    expect(origins).to_have_count(0)
    page.locator(".cs-tile").first.click()
    expect(page.locator(".cs-tile").first).to_have_attribute("aria-pressed", "false")
    assert watched.errors == []
    watched.context.close()
