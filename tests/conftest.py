"""Fixtures of every tier. A test that needs the running lab asks for `lab_running` and carries the marker `engine`."""

from __future__ import annotations

import pytest
from cyberlab_hub import settings as settings_module
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.status import collect


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-engine",
        action="store_true",
        help="a lab that does not run fails the tests that need it, instead of skipping them",
    )


@pytest.fixture(scope="session")
def settings() -> Settings:
    return settings_module.load()


@pytest.fixture(scope="session")
def lab_running(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """The settings of the lab that runs on this machine. Skips (or fails, see above) when a part is down."""
    down = [f"{part.part}: {part.detail}" for part in collect(settings) if not part.ok]
    if down:
        message = f"no lab runs here ({'; '.join(down)}); `make up` starts one"
        if request.config.getoption("--require-engine"):
            pytest.fail(message, pytrace=False)
        pytest.skip(message)
    return settings
