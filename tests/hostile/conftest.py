"""The scene of the attacks, and the account of them at the end of a run. See `attack.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from cyberlab_hub.settings import Settings
from hostile.scene import Scene, raise_the_curtain

_SCENE = pytest.StashKey[Scene]()


@pytest.fixture(scope="session")
def scene(lab_running: Settings, pytestconfig: pytest.Config) -> Iterator[Scene]:
    """Mallory, Ben and what watches them."""
    with raise_the_curtain(lab_running) as made:
        pytestconfig.stash[_SCENE] = made
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    scene = config.stash.get(_SCENE, None)
    if scene is None:
        return
    areas: Counter[str] = Counter()
    layers: Counter[str] = Counter()
    stopped = 0
    for (area, layer), outcomes in scene.tried.items():
        areas[area] += len(outcomes)
        layers[layer] += sum(outcomes)
        stopped += sum(outcomes)
    terminalreporter.write_sep("=", "attacks")
    terminalreporter.write_line("tried, by area:     " + _told(areas))
    terminalreporter.write_line("stopped, by layer:  " + _told(layers))
    terminalreporter.write_line(f"{sum(areas.values())} attacks tried, {stopped} stopped")


def _told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in counts.most_common())
