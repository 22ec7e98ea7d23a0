"""The widgets in a real browser, in JupyterLab and in Voila, with the fake lab in the kernel: no engine needed."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
from bad_archives import zipped
from lab_pages import (
    WatchedPage,
    chromium,
    local_jupyter,
    open_in_lab,
    run_cell,
    set_lab_setting,
    wait_until,
    write_notebook,
)
from playwright.sync_api import Browser, Page, expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

FORM = "from cyberlab.widgets import ImageForm\nfrom fake_lab import FakeLab\nform = ImageForm(FakeLab(0.1))\nform"
DASHBOARD = (
    "from cyberlab.widgets import SensorDashboard\nfrom fake_lab import FakeLab\nSensorDashboard(FakeLab())"
)
TOKEN = "browser-test"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jupyter")


@pytest.fixture(scope="module")
def jupyter(home: Path) -> Iterator[str]:
    with local_jupyter(home, TOKEN) as base:
        yield base


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def form_in_lab(home: Path, page: Page, base: str, name: str, *more: str) -> None:
    write_notebook(home / "notebooks" / name, FORM, *more)
    open_in_lab(page, base, name, TOKEN)
    run_cell(page)
    page.wait_for_selector(".cl-steps")


def test_form_by_mouse_and_keyboard(home: Path, jupyter: str, browser: Browser) -> None:
    watched = WatchedPage(browser, jupyter, size=(1500, 2900))
    page = watched.page
    form_in_lab(home, page, jupyter, "form.ipynb")
    name = page.get_by_label("Name", exact=True).first

    name.fill("Green House!")
    page.wait_for_timeout(500)
    assert page.locator(".cl-problem").count() == 0, "nobody is scolded while typing"
    page.keyboard.press("Tab")
    expect(page.locator(".cl-problem")).to_contain_text("cannot be a name")

    page.get_by_role("checkbox", name="requests").check()
    page.get_by_text("More settings").click()
    page.get_by_role("button", name="Add a variable").click()
    page.get_by_label("Name of variable 1").fill("INTERVAL")
    page.get_by_label("Value of variable 1").fill("2")
    page.get_by_label("Ports").fill("80a")
    page.get_by_role("button", name="Build", exact=True).click()
    expect(page.get_by_text("2 things to repair first")).to_be_visible()
    expect(name).to_be_focused()
    watched.shot("form-problems", ".cl-form")

    name.fill("greenhouse")
    page.get_by_label("Ports").fill("8080")
    page.locator(".cl-editor .cm-content").click()
    page.keyboard.press("Control+Home")
    page.keyboard.type("# mine\n")
    expect(page.locator(".cl-dockerfile")).to_contain_text('ENV INTERVAL="2"')
    expect(page.locator(".cl-dockerfile")).to_contain_text("EXPOSE 8080")
    page.get_by_role("button", name="Build", exact=True).press("Enter")
    expect(page.get_by_text("student/greenhouse:1 is ready")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Try out", exact=True).click()
    expect(page.get_by_text("The time is over")).to_be_visible(timeout=20_000)
    page.get_by_role("button", name="Deploy on 3").click()
    expect(page.get_by_text("greenhouse runs on 3 devices")).to_be_visible(timeout=20_000)
    watched.shot("form-deployed", ".cl-form")

    page.keyboard.press("Control+s")
    page.wait_for_timeout(1500)
    page.reload()
    expect(page.get_by_label("Name", exact=True).first).to_have_value("greenhouse", timeout=60_000)
    expect(page.get_by_text("greenhouse runs on 3 devices")).to_be_visible()
    assert watched.errors == []
    assert watched.outside == []
    watched.context.close()


DROP = """(area, packed) => {
  const bytes = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
  const transfer = new DataTransfer();
  transfer.items.add(new File([bytes], "project.zip"));
  for (const kind of ["dragover", "drop"])
    area.dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


def drop_archive(page: Page, packed: bytes) -> None:
    page.locator(".cl-files").evaluate(
        f"(area, packed) => ({DROP})(area, packed)", base64.b64encode(packed).decode()
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_dropped_archive_and_advice(home: Path, jupyter: str, browser: Browser, dark: bool) -> None:
    set_lab_setting(home, "themes", {"theme": f"JupyterLab {'Dark' if dark else 'Light'}"})
    watched = WatchedPage(browser, jupyter, dark=dark, size=(1500, 2400))
    try:
        page = watched.page
        form_in_lab(home, page, jupyter, f"drop-{dark}.ipynb")
        packed = zipped(("p/main.py", b"print('dropped')\n"), ("p/data/in.csv", b"1\n"), ("p/.git/x", b""))
        drop_archive(page, packed)
        expect(
            page.get_by_text("2 files of project.zip added. 1 hidden or generated left out.")
        ).to_be_visible()
        expect(page.get_by_role("button", name="data/in.csv", exact=True)).to_be_visible()
        expect(page.locator(".cl-editor .cm-content")).to_contain_text("dropped")

        page.get_by_role("checkbox", name="requests").check()
        advice = page.get_by_role("region", name="Advice")
        expect(advice).to_contain_text("numpy==2.1.0", timeout=15_000)
        expect(page.locator(".cl-line.cl-advised")).to_contain_text("RUN pip install")

        drop_archive(page, zipped(("../evil.py", b"")))
        refusal = page.locator(".cl-problem", has_text="project.zip was not added.")
        expect(refusal).to_contain_text("climbs out")
        watched.shot(f"form-archive-{'dark' if dark else 'light'}", ".cl-form")
        page.get_by_role("button", name="Build", exact=True).click()
        expect(page.get_by_text("is ready. Try it out")).to_be_visible(timeout=20_000)
        assert watched.errors == []
        assert watched.outside == []
    finally:
        watched.context.close()
        set_lab_setting(home, "themes", {"theme": "JupyterLab Light"})


def test_a_folder_is_picked(home: Path, jupyter: str, browser: Browser, tmp_path: Path) -> None:
    project = tmp_path / "garden"
    (project / "data").mkdir(parents=True)
    (project / "main.py").write_text("print('picked')\n")
    (project / "data" / "in.csv").write_text("1\n")
    (project / ".secret").write_text("x")
    watched = WatchedPage(browser, jupyter, size=(1500, 2400))
    form_in_lab(home, watched.page, jupyter, "folder.ipynb")
    watched.page.get_by_label("Folder to upload").set_input_files(project)
    expect(watched.page.get_by_text("2 files of garden added.")).to_be_visible()
    expect(watched.page.locator(".cl-editor .cm-content")).to_contain_text("picked")
    watched.context.close()


def test_form_answers_while_a_cell_runs(home: Path, jupyter: str, browser: Browser) -> None:
    watched = WatchedPage(browser, jupyter, size=(1500, 2600))
    page = watched.page
    form_in_lab(home, page, jupyter, "busy.ipynb", "import time\ntime.sleep(40)")
    busy = page.locator(".jp-CodeCell").nth(1)
    busy.locator(".jp-InputArea .cm-content").click()
    page.keyboard.press("Shift+Enter")
    expect(busy.locator(".jp-InputPrompt").first).to_have_text("[*]:")
    page.get_by_role("button", name="Build", exact=True).click()
    expect(page.get_by_text("is ready. Try it out")).to_be_visible(timeout=15_000)
    expect(busy.locator(".jp-InputPrompt").first).to_have_text("[*]:")
    watched.context.close()


def test_letters_on_the_forms_buttons_are_no_notebook_commands(
    home: Path, jupyter: str, browser: Browser
) -> None:
    watched = WatchedPage(browser, jupyter)
    page = watched.page
    form_in_lab(home, page, jupyter, "keys.ipynb")
    cells = page.locator(".jp-Cell").count()
    page.get_by_role("button", name="Copy", exact=True).focus()
    for key in ("b", "a", "x"):
        page.keyboard.press(key)
    page.wait_for_timeout(500)
    assert page.locator(".jp-Cell").count() == cells
    watched.context.close()


def test_form_in_the_dark_and_on_a_narrow_screen(home: Path, jupyter: str, browser: Browser) -> None:
    set_lab_setting(home, "themes", {"theme": "JupyterLab Dark"})
    try:
        watched = WatchedPage(browser, jupyter, dark=True, size=(560, 2900))
        form_in_lab(home, watched.page, jupyter, "narrow.ipynb")
        watched.page.keyboard.press("Escape")
        watched.page.keyboard.press("Control+b")  # the file browser leaves no room on such a screen
        watched.page.wait_for_timeout(800)
        watched.shot("form-narrow-dark", ".cl-form")
        form = "document.querySelector('.cl-form')"
        assert watched.page.evaluate(f"{form}.scrollWidth <= {form}.clientWidth")
        back = watched.page.evaluate(f"getComputedStyle({form}.querySelector('.cl-section')).backgroundColor")
        assert max(int(part) for part in back[4:-1].split(",")[:3]) < 80, back
        watched.context.close()
    finally:
        set_lab_setting(home, "themes", {"theme": "JupyterLab Light"})


@pytest.mark.parametrize(
    ("name", "dark", "size"),
    [("light", False, (1280, 900)), ("dark", True, (1280, 900)), ("phone", False, (390, 1000))],
)
def test_dashboard_changes_over_time(
    home: Path, jupyter: str, browser: Browser, name: str, dark: bool, size: tuple[int, int]
) -> None:
    write_notebook(home / "notebooks" / "sensors.ipynb", DASHBOARD, title="Sensors")
    watched = WatchedPage(browser, jupyter, dark=dark, size=size)
    page = watched.page
    page.goto(f"{jupyter}/voila/render/sensors.ipynb?token={TOKEN}")
    values = page.locator(".cs-tile-value")
    expect(values).to_have_count(3, timeout=60_000)
    before = values.all_inner_texts()
    wait_until(lambda: values.all_inner_texts() != before, seconds=10, page=page)
    watched.shot(f"dashboard-{name}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.errors == []
    assert watched.outside == []
    watched.context.close()


def test_dashboard_picks_hides_and_downloads(home: Path, jupyter: str, browser: Browser) -> None:
    write_notebook(home / "notebooks" / "sensors.ipynb", DASHBOARD, title="Sensors")
    watched = WatchedPage(browser, jupyter)
    page = watched.page
    page.goto(f"{jupyter}/voila/render/sensors.ipynb?token={TOKEN}")
    expect(page.locator(".cs-tile")).to_have_count(3, timeout=60_000)
    page.get_by_text("1 min", exact=True).click()
    tile = page.get_by_role("button", name="pi02")
    tile.click()
    expect(tile).to_have_attribute("aria-pressed", "false")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "temperature-1m.csv"
    with page.expect_download() as download:
        page.get_by_role("button", name="Download Parquet").click()
    assert download.value.suggested_filename == "temperature-1m.parquet"
    assert download.value.path().read_bytes()[:4] == b"PAR1"
    page.get_by_role("button", name="Which code?").click()
    origins = page.locator(".cs-origins details")
    expect(origins).to_have_count(2)
    origins.last.locator("summary").click()
    expect(page.get_by_label("Dockerfile")).to_have_text("FROM x")
    watched.shot("dashboard-origins")
    assert watched.errors == []
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".cs-state")).to_have_text("paused")
    watched.context.close()


def test_a_closed_dashboard_leaves_its_kernel_idle(home: Path, jupyter: str, browser: Browser) -> None:
    def activity() -> dict[str, str]:
        with urlopen(f"{jupyter}/api/kernels?token={TOKEN}") as answer:  # noqa: S310 - an address of this machine
            return {kernel["id"]: kernel["last_activity"] for kernel in json.load(answer)}

    before = set(activity())
    write_notebook(home / "notebooks" / "closed.ipynb", DASHBOARD)
    watched = WatchedPage(browser, jupyter)
    watched.page.goto(f"{jupyter}/voila/render/closed.ipynb?token={TOKEN}")
    expect(watched.page.locator(".cs-tile")).to_have_count(3, timeout=60_000)
    (mine,) = set(activity()) - before
    watched.context.close()
    rest = browser.new_context().new_page()  # its clock, to wait on
    rest.wait_for_timeout(20_000)
    after_stop = activity()[mine]
    rest.wait_for_timeout(5_000)
    assert activity()[mine] == after_stop
    rest.context.close()
