"""Quotas on the real lab: set by the operator's command, felt by the student; and the space of deleted images."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import docker
import httpx
import pytest
from cyberlab import Lab
from cyberlab.errors import LabError, NotFound, OverQuota
from cyberlab_hub.accounts import api_token
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers
from cyberlab_hub.setup.registry import clean
from system.conftest import counter_spec


def operator(*words: str) -> str:
    """`cyberlab-hub quota ...`; what it printed."""
    command = [sys.executable, "-m", "cyberlab_hub", "quota", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def given(quota: str, value: int, *whose: str) -> Iterator[None]:
    operator("set", quota, str(value), *whose)
    try:
        yield
    finally:
        operator("unset", quota, *whose)


def test_the_operator_sets_and_the_student_feels_it(student: Lab) -> None:
    with given("images", 0, "--user", student.user):
        row = next(row for row in student.quotas() if row.quota == "images")
        assert (row.value, row.origin) == (0, "own")
        assert json.loads(operator("list", "--user", student.user, "--json"))
        with pytest.raises(OverQuota, match="0 are possible") as caught:
            student.start_build(counter_spec("refused"))
        assert caught.value.code == "quota-images"
        assert caught.value.quota is not None
        assert caught.value.quota.value == 0
    assert next(row for row in student.quotas() if row.quota == "images").origin == "default"


def test_a_group_of_the_hub_counts_for_its_members(lab_running: Settings, student: Lab) -> None:
    group = f"course-{student.user}"
    with given("trials", 7, "--group", group), member(lab_running, student.user, group):
        fresh = Lab(url=student.url, token=another_token(lab_running, student.user))
        row = next(row for row in fresh.quotas() if row.quota == "trials")
        fresh.close()
        assert (row.value, row.origin, row.group) == (7, "group", group)


def another_token(settings: Settings, user: str) -> str:
    # what the hub says of a known token is remembered for ten seconds: a new one is asked about at once
    return api_token(settings, user, expires_in=timedelta(minutes=5), note="system tests")


@contextmanager
def member(settings: Settings, user: str, group: str) -> Iterator[None]:
    """As the administrator does it on the hub's own page."""
    token = api_token(settings, "admin", scopes=("admin:groups",), expires_in=timedelta(minutes=5))
    headers = {"Authorization": f"token {token}"}
    with httpx.Client(base_url=settings.hub_api_url, headers=headers, trust_env=False, timeout=30) as hub:
        hub.post(f"/groups/{group}").raise_for_status()
        try:
            hub.post(f"/groups/{group}/users", json={"users": [user]}).raise_for_status()
            yield
        finally:
            hub.delete(f"/groups/{group}").raise_for_status()


def test_ten_builds_at_once_do_not_get_past_the_quota(student: Lab) -> None:
    student.quotas()  # the connection is there

    def start(number: int) -> str:
        try:
            return student.start_build(counter_spec(f"flood{number}")).id
        except OverQuota as error:
            return error.code

    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(start, range(10)))
    started = [answer for answer in answers if not answer.startswith("quota-")]
    try:
        assert answers.count("quota-builds") == 8
    finally:
        for job in started:
            student.job(job).cancel()
            with pytest.raises(LabError):
                student.job(job).wait(120)


def test_the_space_of_a_deleted_image_is_given_back_and_the_others_stay(
    lab_running: Settings, student: Lab
) -> None:
    def used() -> float:
        return next(row.in_use for row in student.quotas() if row.quota == "gigabytes") or 0.0

    kept = student.build(counter_spec("kept"), show=False)
    deleted = student.build(counter_spec("deleted"), show=False)
    assert used() > 0
    student.delete_image(deleted)
    engine = docker.from_env()
    assert clean(lab_running, engine) > 0
    assert clean(lab_running, engine) == 0  # nothing is left to give back
    name = containers.container_name(lab_running, "registry-clean")
    assert not engine.containers.list(all=True, filters={"name": name})
    with pytest.raises(NotFound):
        student.start_trial(deleted)
    job = student.run(kept, seconds=20, command=["echo", "still here"], show=False)
    assert job.result["exit_code"] == 0
