"""Whose value counts, what a refusal says, and that what is counted cannot be outrun."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from cyberlab_hub.errors import NotFound, OverQuota
from cyberlab_hub.service import policy
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.policy import Allowance
from cyberlab_hub.service.quota_table import QUOTAS
from cyberlab_hub.service.quotas import Quotas


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(f"sqlite:///{tmp_path}/lab.sqlite")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("own", "groups", "value", "origin", "group"),
    [
        (None, {}, 50, "default", ""),
        (None, {"a": 7}, 7, "group", "a"),
        (None, {"a": 7, "b": 90, "c": 8}, 90, "group", "b"),
        (None, {"b": 0}, 0, "group", "b"),
        (3, {"a": 90}, 3, "own", ""),
        (0, {"a": 90}, 0, "own", ""),
    ],
)
def test_whose_value_counts(
    own: int | None, groups: dict[str, int], value: int, origin: str, group: str
) -> None:
    found = policy.allowance("images", own, groups)
    assert (found.value, found.origin, found.group) == (value, origin, group)


@pytest.mark.parametrize("quota", QUOTAS)
def test_a_refusal_names_quota_value_use_and_origin(quota: str) -> None:
    allowed = Allowance(quota, 7, "group", "course-a")
    with pytest.raises(OverQuota) as caught:
        policy.within(allowed, 7)
    info = caught.value.info()
    assert info.code == f"quota-{quota}"
    assert info.quota is not None
    assert (info.quota.value, info.quota.in_use, info.quota.group) == (7, 7, "course-a")
    for words in ("7", QUOTAS[quota].what, "course-a", QUOTAS[quota].advice):
        assert words in info.message


def test_up_to_the_value_and_no_further() -> None:
    policy.within(Allowance("builds", 2), 1)
    with pytest.raises(OverQuota, match="You have 2 builds waiting or running already, and 2 are possible"):
        policy.within(Allowance("builds", 2), 2)
    with pytest.raises(OverQuota):
        policy.within(Allowance("builds", 0), 0)
    with pytest.raises(OverQuota, match=r"You have 5\.12 GB of images already, and 5 GB are possible"):
        policy.within(Allowance("gigabytes", 5), 5.1234, more=1e-9)


def test_devices_count_once_and_those_one_has_are_never_refused() -> None:
    allowed = Allowance("devices", 2)
    policy.devices_within(allowed, {"pi01"}, {"pi01", "pi02"})
    with pytest.raises(OverQuota, match="on 3 devices: 2 now and 1 more"):
        policy.devices_within(allowed, {"pi01", "pi02"}, {"pi01", "pi03"})
    # an administrator made it smaller than what is there: updating in place goes on
    policy.devices_within(Allowance("devices", 1), {"pi01", "pi02", "pi03"}, {"pi02", "pi03"})


def test_the_table(database: Database) -> None:
    quotas = Quotas(database)
    assert quotas.of("anna", "builds") == Allowance("builds", 2)
    quotas.set("group", "course-a", "builds", 4)
    quotas.set("group", "course-b", "builds", 9)
    quotas.set("group", "strangers", "builds", 99)
    assert quotas.of("anna", "builds").origin == "default"  # nobody has said yet that she is in a group
    quotas.seen("anna", frozenset({"course-a", "course-b"}))
    assert quotas.of("anna", "builds") == Allowance("builds", 9, "group", "course-b")
    quotas.set("user", "anna", "builds", 1)
    quotas.set("user", "anna", "builds", 3)
    assert quotas.of("anna", "builds") == Allowance("builds", 3, "own")
    assert quotas.of("ben", "builds").origin == "default"
    assert [(s.kind, s.subject, s.value) for s in quotas.settings()] == [
        ("user", "anna", 3), ("group", "course-a", 4), ("group", "course-b", 9), ("group", "strangers", 99),
    ]  # fmt: skip
    quotas.unset("user", "anna", "builds")
    quotas.seen("anna", frozenset())
    assert quotas.of("anna", "builds").origin == "default"
    with pytest.raises(NotFound, match="no value of its own"):
        quotas.unset("user", "anna", "builds")
    with pytest.raises(NotFound, match="There are: builds"):
        quotas.set("user", "anna", "nonsense", 1)


def test_a_user_whose_name_is_a_groups_has_not_the_groups_value(database: Database) -> None:
    quotas = Quotas(database)
    quotas.set("group", "anna", "builds", 9)
    assert quotas.of("anna", "builds").origin == "default"
    quotas.set("user", "course-a", "images", 9)
    quotas.seen("ben", frozenset({"course-a"}))
    assert quotas.of("ben", "images").origin == "default"


def test_another_process_sees_the_groups(database: Database) -> None:
    Quotas(database).seen("anna", frozenset({"course-a"}))
    gateway = Quotas(database)
    gateway.set("group", "course-a", "points", 5)
    assert gateway.of("anna", "points").value == 5
