"""Room on the engine's disk: what is dropped, in which order, and what never is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cyberlab_hub.errors import Conflict, NotFound, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import room as room_module
from cyberlab_hub.workshop.room import Room

REGISTRY = "10.77.0.3:5000"


class Images:
    """The engine's images: size in parts of the disk, and what prune frees."""

    def __init__(self, *images: dict[str, Any], used: float = 0.5, dangling: float = 0.0) -> None:
        self.images = list(images)
        self.used = used
        self.dangling = dangling
        self.pruned_until: list[int] = []
        self.deleted: list[str] = []

    def call(self, method: str, path: str, *, params: Any = None, **_more: Any) -> Any:
        if path == "/images/prune":
            self.pruned_until.append(int(json.loads(params["filters"])["until"][0]))
            self.used -= self.dangling
            self.dangling = 0
            return None
        if path == "/images/json":
            return self.images
        name = path.removeprefix("/images/").removesuffix("/json")
        found = next((i for i in self.images if name in (i["Id"], *i["RepoTags"])), None)
        if found is None:
            raise NotFound("engine-not-found", name)
        if method == "GET":
            return found
        if found.get("runs"):
            raise Conflict("engine-conflict", name)
        self.deleted.append(name)
        self.images.remove(found)
        self.used -= found.get("size", 0)
        return None


def image(name: str, created: int = 0, *tags: str, **more: Any) -> dict[str, Any]:
    return {"Id": name, "Created": created, "RepoTags": list(tags), **more}


def copy(name: str, created: int, size: float = 0.1, **more: Any) -> dict[str, Any]:
    return image(name, created, f"{REGISTRY}/{name}:1", size=size, **more)


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def made(images: Images) -> Room:
        monkeypatch.setattr(Room, "_free", lambda _: 1 - images.used)
        return Room(images, Settings(state=tmp_path))  # type: ignore[arg-type]  # it answers what is asked

    return made


def build(room: Room) -> str:
    with room.for_build():
        return "built"


def test_with_room_nothing_is_touched(room: Any) -> None:
    images = Images(copy("anna/a", 1), used=0.5, dangling=0.3)
    assert build(room(images)) == "built"
    assert images.pruned_until == []


def test_layers_that_nobody_uses_go_first(room: Any) -> None:
    images = Images(copy("anna/a", 1), used=0.95, dangling=0.4)
    assert build(room(images)) == "built"
    assert images.deleted == []


def test_then_copies_of_users_images_the_oldest_first_and_no_more_than_needed(room: Any) -> None:
    images = Images(copy("anna/new", 3), copy("anna/old", 1), copy("ben/middle", 2), used=0.99)
    assert build(room(images)) == "built"
    assert images.deleted == [f"{REGISTRY}/anna/old:1", f"{REGISTRY}/ben/middle:1"]


def test_bases_and_what_runs_stay_and_then_it_is_said(room: Any) -> None:
    base = image("python", 1, "cyberlab/python:latest", f"{REGISTRY}/cyberlab-bases/python:base", size=0.5)
    images = Images(base, copy("anna/runs", 1, 0.5, runs=True), used=0.99)
    with pytest.raises(WorkFailed, match="Delete images") as caught:
        build(room(images))
    assert caught.value.code == "disk-full"
    assert images.deleted == []


def test_what_a_running_build_may_have_made_is_not_pruned(room: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    images = Images(copy("ben/pushing", 1500, 0.9), used=0.5)
    made = room(images)
    clock = iter([1000.0])
    monkeypatch.setattr(room_module.time, "time", lambda: next(clock, 2000.0))
    with made.for_build():
        images.used = 0.97
        assert build(made) == "built"
    assert images.pruned_until == [1000]
    assert images.deleted == []


def test_of_a_build_that_filled_the_disk_only_its_own_nameless_layers_go(room: Any) -> None:
    mine, older, named = ("sha256:" + letter * 64 for letter in "abc")
    images = Images(
        image(mine, 1005, "<none>:<none>"), image(older, 900), image(named, 1007, f"{REGISTRY}/ben/x:1")
    )
    room(images).forget(["b" * 12, "d" * 12, "c" * 12, "a" * 12], 1000.0)
    assert images.deleted == [mine]
