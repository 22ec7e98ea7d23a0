"""`cyberlab-hub doctor` on the running lab: nothing wrong; and each promise broken, seen, and put back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import doctor
from cyberlab_hub.setup.doctor import TABLE, Finding, Patient
from system.doctor_breaks import BREAKS, Break

pytestmark = pytest.mark.engine


def look(settings: Settings, name: str) -> Finding:
    (finding,) = doctor.examine(Patient(settings), [TABLE[name]], lambda _: None)
    return finding


def test_a_healthy_lab_has_nothing_wrong(lab_running: Settings) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cyberlab_hub", "doctor", "--json"],
        capture_output=True,
        text=True,
        timeout=280,
    )
    found = json.loads(done.stdout)
    assert [c for c in found["checks"] if c["state"] != "ok"] == []
    assert len(found["checks"]) == len(TABLE)
    assert done.returncode == 0


def test_every_promise_has_a_test_that_breaks_it() -> None:
    assert {name for name, _ in BREAKS} == set(TABLE)


@pytest.mark.parametrize(("name", "broken"), BREAKS, ids=[f"{n}: {b.__name__}" for n, b in BREAKS])
def test_a_broken_promise_is_seen_and_so_is_its_mending(
    lab_running: Settings, tmp_path: Path, name: str, broken: Break
) -> None:
    before = look(lab_running, name)
    assert before.state == "ok", before
    with broken(lab_running, tmp_path) as (settings, word):
        found = look(settings, name)
    after = look(lab_running, name)
    assert found.state == "wrong", found
    assert word in " ".join(found.details)
    assert found.mend
    assert after.state == "ok", after


def test_a_part_that_is_down_is_no_good_news(lab_running: Settings, tmp_path: Path) -> None:
    """An engine that nobody answers for: what cannot be seen is never `ok`."""
    away = Settings(state=lab_running.state, engine_url="tcp://127.0.0.1:9")
    assert {look(away, n).state for n in ("engine-remap", "engine-strangers", "swarm-manager")} == {
        "cannot-tell"
    }


def test_a_secret_is_named_and_its_value_never_shown(lab_running: Settings, tmp_path: Path) -> None:
    values = [path.read_text().strip() for path in lab_running.secrets.iterdir()]
    broken = next(b for name, b in BREAKS if name == "secrets-logs")
    with broken(lab_running, tmp_path) as (settings, _):
        values += [path.read_text().strip() for path in settings.secrets.iterdir()]
        told = " ".join(look(settings, "secrets-logs").details)
    assert "doctor-" in told
    assert not [value for value in values if value in told]
