"""io_uring: for root alone while the lab runs, and as it was afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import kernel
from cyberlab_hub.setup.steps import Reused


def test_it_is_closed_and_put_back(tmp_path: Path) -> None:
    switch = tmp_path / "io_uring_disabled"
    switch.write_text("0\n")
    settings = Settings(state=tmp_path / "state")
    kernel.ensure(settings, switch)
    assert switch.read_text() == "1"
    with pytest.raises(Reused):
        kernel.ensure(settings, switch)
    assert kernel.restore(settings, switch)
    assert switch.read_text().strip() == "0"
    assert not kernel.restore(settings, switch)


@pytest.mark.parametrize("before", ["1", "2", None])
def test_what_was_closed_already_or_has_no_switch_is_left_alone(tmp_path: Path, before: str | None) -> None:
    switch = tmp_path / "io_uring_disabled"
    if before:
        switch.write_text(before)
    settings = Settings(state=tmp_path / "state")
    with pytest.raises(Reused):
        kernel.ensure(settings, switch)
    assert not kernel.restore(settings, switch)
    assert (switch.read_text() if before else None) == before
