"""Base images of the catalogue: each a folder of ``spawner_images/bases``, built on the workshop engine.

A base carries a hash of everything it is made from, its parents included. It is ready while that hash is the one of the
files as they are now; otherwise it is built again, mostly from the builder's cache.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import secrets
import tarfile
import threading
from collections import defaultdict
from pathlib import Path
from typing import Any

from cyberlab.wire import Phase

from cyberlab_hub.errors import Cancelled, NotFound, SetupError
from cyberlab_hub.settings import ROOT, Settings
from cyberlab_hub.workshop import limits
from cyberlab_hub.workshop.builder import Builder
from cyberlab_hub.workshop.context import context_tar, labelled
from cyberlab_hub.workshop.engine import Engine
from cyberlab_hub.workshop.images import Images
from cyberlab_hub.workshop.orders import BaseState, Progress

PREFIX = "cyberlab/"
SHARED = "cyberlab-bases"
CONTENT = "cyberlab.base"
VERSIONS = "/usr/share/cyberlab/versions.json"
_OURS = re.compile(r"^FROM cyberlab/([a-z0-9-]+)", re.MULTILINE)


class Bases:
    def __init__(
        self, engine: Engine, builder: Builder, images: Images, settings: Settings, root: Path = ROOT
    ) -> None:
        self._engine = engine
        self._builder = builder
        self._images = images
        self._settings = settings
        self._folders = root / "spawner_images" / "bases"
        self._edge = root / "edge" / "cyberlab_edge"
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._versions: dict[str, tuple[tuple[str, str], ...]] = {}

    def state(self, image: str) -> BaseState:
        """Is `image` (``cyberlab/python``) there and made from today's files; its size and what is inside."""
        try:
            found = self._engine.call("GET", f"/images/{image}/json")
        except NotFound:
            return BaseState(ready=False)
        name = image.removeprefix(PREFIX)
        labels = found["Config"].get("Labels") or {}
        if (self._folders / name).is_dir() and labels.get(CONTENT) != self.content(name):
            return BaseState(ready=False)
        return BaseState(True, int(found["Size"]), self._inside(found), str(found["Id"]))

    def prepare(self, name: str, progress: Progress) -> None:
        """Build the base and the bases under it when they are not ready.

        Raises:
            NotFound: ``base-unknown``. WorkFailed, Cancelled, PartDown: as a build.
            SetupError: ``root-missing``: set-up has not loaded the root image.
        """
        if not (self._folders / name / "Dockerfile").is_file():
            raise NotFound("base-unknown", f"There is no base image named {name}.")
        for parent in self._parents(name):
            self.prepare(parent, progress)
        with self._locks[name]:
            if not self.state(PREFIX + name).ready:
                self._build(name, progress)

    def _build(self, name: str, progress: Progress) -> None:
        if progress.cancelled:
            raise Cancelled("cancelled", "You stopped this build.")
        if not self._engine.exists("/images/cyberlab/debian/json"):
            raise SetupError(
                "root-missing", "The workshop engine lacks the image cyberlab/debian; run `make up` again."
            )
        progress.phase(Phase.PREPARING, f"Building the base image {name}: only the first time")
        labels = {"cyberlab.lab": self._settings.name, CONTENT: self.content(name)}
        context = context_tar(labelled(self._dockerfile(name), labels), self._files(name))
        self._builder.run(PREFIX + name, context, progress)
        self._share_layers(name, progress)

    def _share_layers(self, name: str, progress: Progress) -> None:
        """Push the base: users' first pushes then find its layers in the registry. Nobody pulls it by this name."""
        repository = f"{self._settings.registry}/{SHARED}/{name}"
        self._engine.call("POST", f"/images/{PREFIX}{name}/tag", params={"repo": repository, "tag": "base"})
        self._images.push(repository, "base", progress)

    # ------------------------------------------------------------ what a base is made from
    def content(self, name: str) -> str:
        """Hash of the base's files, of `cyberlab_edge` where it goes in, and of the bases under it."""
        digest = hashlib.sha256(self._dockerfile(name).encode())
        for path, content in self._files(name):
            digest.update(f"\0{path}\0{len(content)}\0".encode() + content)
        for parent in self._parents(name):
            digest.update(self.content(parent).encode())
        return digest.hexdigest()[:32]

    def _dockerfile(self, name: str) -> str:
        return (self._folders / name / "Dockerfile").read_text()

    def _parents(self, name: str) -> list[str]:
        found = dict.fromkeys(_OURS.findall(self._dockerfile(name)))
        return [parent for parent in found if parent != name and (self._folders / parent).is_dir()]

    def _files(self, name: str) -> list[tuple[str, bytes]]:
        folder = self._folders / name
        files = [
            (p.relative_to(folder).as_posix(), p.read_bytes())
            for p in _sources(folder)
            if p.name != "Dockerfile"
        ]
        if "cyberlab_edge/" in self._dockerfile(name):
            files += [
                (f"cyberlab_edge/{p.relative_to(self._edge)}", p.read_bytes()) for p in _sources(self._edge)
            ]
        return files

    # ------------------------------------------------------------ what is inside
    def _inside(self, image: dict[str, Any]) -> tuple[tuple[str, str], ...]:
        """Names and versions that the base wrote about itself, read from its file system once an image."""
        key = str(image["Id"])
        if key not in self._versions:
            self._versions[key] = self._read_versions(key)
        return self._versions[key]

    def _read_versions(self, image: str) -> tuple[tuple[str, str], ...]:
        name = f"{self._settings.name}-reading-{secrets.token_hex(8)}"
        body = {
            "Image": image,
            "Cmd": ["true"],
            "Labels": {"cyberlab.lab": self._settings.name},
            "HostConfig": {**limits.cage(), "NetworkMode": "none"},
        }
        self._engine.call("POST", "/containers/create", params={"name": name}, body=body)
        try:
            packed = self._engine.raw("GET", f"/containers/{name}/archive", params={"path": VERSIONS})
        except NotFound:
            return ()
        finally:
            self._engine.call("DELETE", f"/containers/{name}", params={"force": 1})
        with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
            file = tar.extractfile(tar.getmembers()[0])
            return tuple(json.loads(file.read()).items()) if file else ()


def _sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
