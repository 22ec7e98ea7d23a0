"""Each part of the lab does its work through the warden: real code, and an engine that asks the rules each time."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import pytest
from cyberlab_hub.errors import WorkFailed
from cyberlab_hub.setup import cluster
from cyberlab_hub.workshop import rollout, service_logs, service_spec
from cyberlab_hub.workshop.bases import Bases
from cyberlab_hub.workshop.builder import Builder
from cyberlab_hub.workshop.engine import Engine
from cyberlab_hub.workshop.images import Images
from cyberlab_hub.workshop.meter import Meter
from cyberlab_hub.workshop.nodes import Nodes
from cyberlab_hub.workshop.orders import BuildOrder, DeployOrder, TrialOrder
from cyberlab_hub.workshop.registry import LAB_SECRET, Registry
from cyberlab_hub.workshop.swarm import Swarm
from cyberlab_hub.workshop.trials import Trials
from fakes import RecordedProgress
from unit.warden.dockerd import SETTINGS, Guarded, dockerd
from unit.workshop.scripted import node, task

DIGEST = "sha256:" + "a" * 64
IMAGE = {"Id": DIGEST, "Os": "linux", "Architecture": "amd64", "Size": 7, "Config": {"Labels": {}}}
INFO = {"CgroupDriver": "cgroupfs", "NCPU": 4, "Swarm": {"LocalNodeState": "inactive", "NodeID": "n1"}}


@pytest.fixture(autouse=True)
def _settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(SETTINGS), "secret", lambda _self, name: f"secret of {name}")
    assert LAB_SECRET


@pytest.fixture(params=["1.41", "1.45"])
def api(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class OpenRegistry:
    def exists(self, _repository: str, _digest: str) -> bool:
        return True

    def delete(self, _repository: str, _digest: str) -> None:
        """Nothing is there."""


# ---------------------------------------------------------------- builder
def images_of(method: str, path: str, _body: Any) -> Any:
    """An engine that has the base, and of the user's image an older version."""
    if path == "/info":
        return INFO
    if path == "/build":
        return b'{"stream": "Step 1/1 : FROM cyberlab/python"}\n'
    if path.endswith("/push"):
        return json.dumps({"aux": {"Digest": DIGEST}}).encode()
    if path == "/images/json":
        return [{"RepoTags": [f"{SETTINGS.registry}/ann/prog:1", f"{SETTINGS.registry}/ann/prog:2"]}]
    if method == "GET" and path.startswith("/images/"):
        local = [f"{SETTINGS.registry}/ann/prog@{DIGEST}"]
        return {**IMAGE, "RepoTags": [], "RepoDigests": local} if "@" in path else IMAGE
    return {"Id": "c1"}


def builder_parts(guarded: Guarded, folder: Path) -> tuple[Engine, Images]:
    engine = Engine(guarded.url, folder, "builder")
    return engine, Images(engine, Builder(engine, SETTINGS), cast(Registry, OpenRegistry()), SETTINGS)


def test_the_builder_builds_pushes_and_tidies(tmp_path: Path, api: str) -> None:
    with dockerd(tmp_path, "builder", images_of, api) as guarded:
        engine, images = builder_parts(guarded, tmp_path)
        order = BuildOrder(
            "j", "ann", "prog", 2, "FROM cyberlab/python\n", (("main.py", b"1"),), "cyberlab/python", ("linux/amd64",)
        )  # fmt: skip
        assert images.build(order, RecordedProgress()).digest == DIGEST
        images.delete("ann/prog", DIGEST)
        images.sweep()
        engine.close()
    assert not guarded.refused
    assert {"POST /build", "POST /images/{}/ann/prog/push", "POST /images/prune"} <= guarded.paths()
    assert ("DELETE", f"/images/{SETTINGS.registry}/ann/prog:1") in guarded.asked


def test_the_builder_fetches_what_the_engine_lacks(tmp_path: Path) -> None:
    with dockerd(tmp_path, "builder", lambda _m, p, _b: b"" if p == "/images/create" else 404) as guarded:
        engine, images = builder_parts(guarded, tmp_path)
        images.ensure_local("ann/prog", DIGEST)
        engine.close()
    assert not guarded.refused
    assert ("POST", "/images/create") in guarded.asked


def test_the_builder_reads_what_a_step_uses(tmp_path: Path, api: str) -> None:
    used = {"memory_stats": {"usage": 5}, "cpu_stats": {"cpu_usage": {"total_usage": 2_000_000_000}}}
    with dockerd(tmp_path, "builder", lambda *_: used, api) as guarded:
        engine, _ = builder_parts(guarded, tmp_path)
        meter = Meter(engine)
        meter._sample("0123456789ab")
        engine.close()
    assert not guarded.refused
    assert (meter.cpu_seconds, meter.peak_memory) == (2.0, 5)


def test_the_builder_makes_a_base_and_reads_its_versions(tmp_path: Path, api: str) -> None:
    def answers(method: str, path: str, body: Any) -> Any:
        if path.endswith("/archive"):
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w") as tar:
                info = tarfile.TarInfo("versions.json")
                info.size = len(text := b'{"Python": "3.11.2"}')
                tar.addfile(info, io.BytesIO(text))
            return packed.getvalue()
        return images_of(method, path, body)

    folder = tmp_path / "spawner_images/bases/python"
    folder.mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM cyberlab/debian\n")
    with dockerd(tmp_path, "builder", answers, api) as guarded:
        engine, images = builder_parts(guarded, tmp_path)
        bases = Bases(engine, Builder(engine, SETTINGS), images, SETTINGS, tmp_path)
        bases.prepare("python", RecordedProgress())
        assert dict(bases.state("cyberlab/other").versions) == {"Python": "3.11.2"}
        engine.close()
    assert not guarded.refused
    assert {"POST /containers/create", "POST /images/cyberlab/python/tag"} <= guarded.paths()


# ---------------------------------------------------------------- runner
def trial_of(method: str, path: str, _body: Any) -> Any:
    if path == "/containers/json":
        return [{"Names": ["/cyberlab-trial-0123456789abcdef"], "Id": "c" * 64}]
    if path.endswith("/exec"):
        return {"Id": "e" * 64}
    if path.endswith("/logs") or (path.startswith("/exec/") and method == "POST"):
        return b"\1\0\0\0\0\0\0\2hi"
    if path.startswith("/networks/") and method == "GET":
        return 404
    return {"Id": "c1", "State": {"ExitCode": 0}, "ExitCode": 0}


def test_the_runner_runs_a_trial_and_a_command_in_it(tmp_path: Path, api: str) -> None:
    class Local:
        def ensure_local(self, repository: str, digest: str) -> str:
            return f"{SETTINGS.registry}/{repository}@{digest}"

    with dockerd(tmp_path, "runner", trial_of, api) as guarded:
        engine = Engine(guarded.url, tmp_path, "runner")
        trials = Trials(engine, cast(Images, Local()), SETTINGS)
        order = TrialOrder("j", "ann", "ann/prog", DIGEST, ("python3", "main.py"), (("A", "{{x}}"),), 30)
        progress = RecordedProgress()
        assert trials.run(order, progress).exit_code == 0
        assert trials.exec("j", ["ls", "-l"], 5).output == "hi"
        trials._stop("cyberlab-trial-0123456789abcdef")
        trials.sweep()
        engine.close()
    assert not guarded.refused
    assert progress.lines == ["hi"]
    assert {m for m, p in guarded.asked if p.startswith("/containers/cyberlab-trial-")} == {
        "GET",
        "POST",
        "DELETE",
    }
    assert ("POST", "/networks/create") in guarded.asked


# ---------------------------------------------------------------- swarm
class OneService:
    """A swarm with three devices and at most one service, which adds to a description what Swarm itself adds."""

    def __init__(self) -> None:
        self.spec: dict[str, Any] | None = None
        self.before: dict[str, Any] | None = None
        self.nodes = [node(n) for n in (1, 2, 3)]
        self.fails = False

    def __call__(self, method: str, path: str, body: Any) -> Any:
        if path.startswith("/nodes/") and method == "POST":
            return self._relabel(path.split("/")[2], body)
        if path.startswith("/nodes"):
            nodes = [{**n, "Version": {"Index": 7}} for n in self.nodes]
            return nodes if path == "/nodes" else next(n for n in nodes if n["ID"] == path.split("/")[2])
        if path in ("/services/create", "/services/s1/update"):
            self.before, self.spec = self.spec, self._as_kept(body)
            return {"ID": "s1"}
        if path == "/services/s1" and method == "DELETE":
            self.spec = None
            return {}
        if path.endswith("/logs"):
            return b""
        if path == "/tasks":
            return self._tasks()
        if path.startswith("/services"):
            one = {"ID": "s1", "Version": {"Index": 5}, "Spec": self.spec, "PreviousSpec": self.before}
            return one if path == "/services/s1" else [one] if self.spec else []
        return self._kept(path)

    def _relabel(self, which: str, body: Any) -> Any:
        for each in self.nodes:
            if each["ID"] == which:
                each["Spec"] = body
        return {}

    def _as_kept(self, spec: Any) -> Any:
        spec["TaskTemplate"]["ContainerSpec"] |= {"Isolation": "default", "DNSConfig": {}}
        spec["TaskTemplate"] |= {"ForceUpdate": 0, "Runtime": "container"}
        return spec

    def _tasks(self) -> Any:
        labels = self.spec["TaskTemplate"]["ContainerSpec"]["Labels"] if self.spec else {}
        state = "failed" if self.fails and labels.get(service_spec.JOB) == "bad" else "running"
        return [task(1, state, code=1, Spec={"ContainerSpec": {"Labels": labels}})]

    def _kept(self, path: str) -> Any:
        if path.endswith("/create"):
            return {"ID": "k1"}
        labels = self.spec["Labels"] if self.spec else {}
        return [{"ID": "old", "Spec": {"Name": "old", "Labels": labels}}]


def deployment(job: str = "j", token: str = "t") -> DeployOrder:  # noqa: S107 - of a fake
    return DeployOrder(
        job, "ann", "green", "d0a1", "ann/prog", DIGEST, "ann/prog:1", ("n1",), ("python3", "main.py"),
        (("MY_TEMPLATE", "{{.Node.ID}}"),), (8080,), token, "dev", "pw",
    )  # fmt: skip


@pytest.fixture
def swarm_parts(
    tmp_path: Path, api: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Guarded, OneService, Swarm, Engine]]:
    monkeypatch.setattr(rollout, "SETTLE_SECONDS", 0.0)
    monkeypatch.setattr(type(SETTINGS), "certs", tmp_path)
    (tmp_path / "ca.crt").write_text("authority")
    service = OneService()
    with dockerd(tmp_path, "swarm", service, api) as guarded:
        engine = Engine(guarded.url, tmp_path, "swarm")
        nodes = Nodes(engine, SETTINGS)
        yield guarded, service, Swarm(engine, nodes, cast(Registry, OpenRegistry()), SETTINGS), engine
        engine.close()


def test_the_swarm_role_deploys_updates_lists_and_removes(
    swarm_parts: tuple[Guarded, OneService, Swarm, Engine],
) -> None:
    guarded, _, swarm, engine = swarm_parts
    swarm.deploy(deployment(), RecordedProgress())
    swarm.deploy(deployment("again", "other"), RecordedProgress())
    assert [state.name for state in swarm.deployments("ann")] == ["green"]
    list(service_logs.read(engine, Nodes(engine, SETTINGS), "s1", 10))
    swarm.sweep()
    swarm.remove("ann", "green")
    assert not guarded.refused
    assert {
        "POST /services/{}/update",
        "DELETE /services/{}",
        "GET /services/{}/logs",
        "POST /configs/create",
    } <= guarded.paths()
    assert ("POST", "/nodes/n1/update") in guarded.asked
    assert ("DELETE", "/secrets/old") in guarded.asked


def test_a_failed_update_is_put_back_with_what_the_swarm_itself_added(
    swarm_parts: tuple[Guarded, OneService, Swarm, Engine],
) -> None:
    guarded, service, swarm, _ = swarm_parts
    swarm.deploy(deployment(), RecordedProgress())
    service.fails = True
    with pytest.raises(WorkFailed, match="The version before runs again"):
        swarm.deploy(deployment("bad"), RecordedProgress())
    assert not guarded.refused


# ---------------------------------------------------------------- operator
def test_the_operator_sets_the_swarm_up_and_loads_images(tmp_path: Path, api: str) -> None:
    def answers(method: str, path: str, body: Any) -> Any:
        if path == "/info":
            return INFO
        if path == "/swarm":
            return {
                "ID": "s",
                "Version": {"Index": 3},
                "JoinTokens": {},
                "Spec": {"Name": "default", "Labels": {}},
            }
        if path == "/nodes":
            return [{**node(1), "Version": {"Index": 7}}]
        if path.startswith("/nodes/"):
            return {**node(1), "Version": {"Index": 7}}
        if path == "/images/load":
            return b'{"stream": "Loaded image: cyberlab/debian:latest"}\n'
        if path == "/images/json":
            return [IMAGE]
        return IMAGE if path.startswith("/images/") else "n1"

    with dockerd(tmp_path, "operator", answers, api) as guarded:
        client = docker.DockerClient(base_url=guarded.url)
        assert client.ping
        cluster.ensure_swarm(SETTINGS, client)
        cluster._label(client, "n1", {"enrolled": "1"})
        client.swarm.reload()
        client.swarm.update(rotate_worker_token=True)
        client.api.remove_node("n1", force=True)
        client.images.load(cast(Any, iter([b"image"])))
        assert client.images.list("cyberlab/debian")
        assert client.nodes.list()
        client.close()
    assert not guarded.refused
    assert {
        "POST /swarm/init",
        "POST /swarm/update",
        "POST /images/load",
        "DELETE /nodes/{}",
    } <= guarded.paths()
