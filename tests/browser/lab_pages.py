"""Helpers of the browser tests: Chromium, a JupyterLab of one's own with the fake lab, notebooks, sign-in.

Screenshots go to ``artifacts/browser`` (or ``CYBERLAB_SHOTS``) and are kept: people look at them.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
SHOTS = Path(os.environ.get("CYBERLAB_SHOTS", ROOT / "artifacts" / "browser"))
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
]
FAKES = ROOT / "tests" / "unit" / "widgets"
"""Where the kernels of `local_jupyter` find ``fake_lab``."""


@contextmanager
def chromium() -> Iterator[Browser]:
    """The distribution's Chromium, without a window."""
    path = os.environ.get("CYBERLAB_CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class WatchedPage:
    """A page that remembers its errors and every request that left `origin` and `also`."""

    def __init__(
        self,
        browser: Browser,
        origin: str,
        *,
        also: tuple[str, ...] = (),
        dark: bool = False,
        size: tuple[int, int] = (1440, 1000),
    ):
        self.origin = origin
        pages = (origin, *also)
        self.allowed = (*pages, *(page.replace("http", "ws", 1) for page in pages), "data:", "blob:")
        self.errors: list[str] = []
        self.outside: list[str] = []
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=scheme,  # type: ignore[arg-type]  # it is one of the two
        )
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))

    def _note(self, url: str) -> None:
        if not url.startswith(self.allowed):
            self.outside.append(url)

    def shot(self, name: str, selector: str | None = None) -> Path:
        """Save a picture of the page, or of the whole of one element."""
        SHOTS.mkdir(parents=True, exist_ok=True)
        path = SHOTS / f"{name}.png"
        if selector is None:
            self.page.screenshot(path=path)
        else:
            self.page.locator(selector).first.screenshot(path=path)
        return path


def write_notebook(path: Path, *sources: str, title: str = "") -> None:
    cells = [
        {
            "cell_type": "code",
            "id": f"cell-{number}",
            "execution_count": None,
            "metadata": {},
            "outputs": [],
            "source": source,
        }
        for number, source in enumerate(sources)
    ]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "title": title or path.stem}
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))


@contextmanager
def local_jupyter(home: Path, token: str = "browser-test") -> Iterator[str]:  # noqa: S107 - of a server that lives for one test
    """A JupyterLab with Voila and the lab's own template, on a free port of this machine. Gives its address.

    Everything it writes is below `home`; notebooks are in ``home/notebooks``.
    """
    (home / "notebooks").mkdir(parents=True, exist_ok=True)
    templates = home / "data" / "voila" / "templates"
    templates.mkdir(parents=True, exist_ok=True)
    if not (templates / "cyberlab").exists():
        (templates / "cyberlab").symlink_to(ROOT / "notebooks" / "voila" / "cyberlab")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        **os.environ,
        "HOME": str(home),
        "PYTHONPATH": str(FAKES),
        "JUPYTER_PLATFORM_DIRS": "1",
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
    }
    # what the user image sets as well (its overrides.json)
    set_lab_setting(home, "notification", {"fetchNews": "false", "checkForUpdates": False})
    argv = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", f"--port={port}"]
    argv += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={home / 'notebooks'}"]
    # Lab and Voila as users' servers have them
    argv += [
        f"--config={ROOT / 'spawner_images/user/etc/jupyter_server_config.py'}",
        "--ServerApp.ip=127.0.0.1",
    ]
    with (home / "jupyter.log").open("w") as log:
        process = subprocess.Popen(argv, env=env, stdout=log, stderr=log)
        try:
            wait_for_answer(f"http://127.0.0.1:{port}/api/status?token={token}", seconds=60)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def set_lab_setting(home: Path, which: str, values: dict[str, object]) -> None:
    """A user setting of JupyterLab, such as ``themes``."""
    folder = home / "settings" / "@jupyterlab" / "apputils-extension"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{which}.jupyterlab-settings").write_text(json.dumps(values))


def wait_for_answer(url: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urlopen(url, timeout=5):  # noqa: S310 - an address of this machine
                return
        except (URLError, OSError):
            assert time.monotonic() < deadline, f"{url} did not answer within {seconds} s"
            time.sleep(0.2)


def open_in_lab(page: Page, base: str, path: str, token: str = "browser-test") -> None:  # noqa: S107 - as above
    """Open a notebook in JupyterLab and wait until its kernel is idle. `base` ends before ``/lab``."""
    query = f"?reset&token={token}" if token else "?reset"
    page.goto(f"{base}/lab/workspaces/test-{time.time_ns()}/tree/{path}{query}")
    page.wait_for_selector(
        ".jp-Notebook-ExecutionIndicator[data-status=idle]", state="attached", timeout=90_000
    )


def run_cell(page: Page, number: int = 0, seconds: float = 60) -> None:
    """Run one code cell and wait until it is done. Pressing again covers a session that was not ready yet."""
    cell = page.locator(".jp-CodeCell").nth(number)
    prompt = cell.locator(".jp-InputPrompt").first
    deadline = time.monotonic() + seconds
    while prompt.inner_text().strip() in ("[ ]:", ""):
        assert time.monotonic() < deadline, f"cell {number} did not start"
        cell.locator(".jp-InputArea .cm-content").click()
        page.keyboard.press("Shift+Enter")
        page.wait_for_timeout(1000)
    while "*" in prompt.inner_text():
        assert time.monotonic() < deadline, f"cell {number} did not end"
        page.wait_for_timeout(200)


def wait_until(check: Callable[[], bool], seconds: float, page: Page) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"it did not happen within {seconds} s"
        page.wait_for_timeout(200)


def sign_in(page: Page, url: str, user: str, password: str) -> None:
    """Through the hub's own page; ends in the user's server, started when it was not."""
    page.goto(f"{url}/hub/login")
    page.fill("#username_input", user)
    page.fill("#password_input", password)
    page.click("#login_submit")
    page.wait_for_url("**/user/**/lab**", timeout=150_000)
    page.wait_for_selector("#jp-top-panel", timeout=90_000)
