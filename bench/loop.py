"""From the build request to the first point of every device: through the lab, and by the engine's API by hand.

Both do the same work on the same workshop engine, registry and devices, in turn, in one run: the same Dockerfile and
files, the same limits of the service, one ingest token, and the same query until every device has a point.

    sudo .venv/bin/python bench/loop.py [--rounds 3]

*cold*: the image needs a library that no build has used before. *code*: only the program changed.
The last line is JSON with the ratios lab/hand of the medians.
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cyberlab import Lab
from cyberlab.spec import FileEntry, ImageSpec
from cyberlab.spec.dockerfile import render
from cyberlab.spec.files import context_files
from cyberlab_hub import settings as settings_module
from cyberlab_hub.accounts import api_token
from cyberlab_hub.errors import Conflict
from cyberlab_hub.service.credentials import hashed
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop import limits, service_spec
from cyberlab_hub.workshop.context import DOCKERFILE, context_tar
from cyberlab_hub.workshop.engine import Engine, registry_auth
from cyberlab_hub.workshop.nodes import Nodes
from cyberlab_hub.workshop.orders import DeployOrder
from cyberlab_hub.workshop.registry import LAB_ACCOUNT, LAB_SECRET, Registry
from rich.console import Console

USER = "student"
BENCH = "bench"
"""Owner, deployment and repository of what is made by hand."""
DEADLINE = 180.0
VERSIONS = ["3.4", "3.5", "3.6", "3.7", "3.8", "3.9", "3.10", "3.3", "3.2", "3.1"]
"""Releases of one small pure-Python package (idna): each gives a layer of the same kind that no build has used."""

PROGRAM = """# {mark}
import time

from cyberlab_edge import publish

while True:
    publish("{measurement}", 1)
    time.sleep(1)
"""


@dataclass(frozen=True)
class Sample:
    way: str
    kind: str
    seconds: float


def spec_for(name: str, measurement: str, version: str) -> ImageSpec:
    text = PROGRAM.format(mark=secrets.token_hex(4), measurement=measurement)
    return ImageSpec(
        name=name,
        base="python",
        pip=(f"idna=={version}",),
        files=(FileEntry(path="main.py", text=text),),
        command=("python3", "main.py"),
    )


# ---------------------------------------------------------------- through the lab
def through_lab(lab: Lab, spec: ImageSpec, measurement: str, devices: list[str]) -> float:
    started = time.monotonic()
    image = lab.build(spec, show=False)
    # not waited for, as `docker service create --detach` by hand is not
    deployment = lab.start_deploy(image, name=spec.name, devices=devices)
    wait_for_points(lab, measurement, devices)
    seconds = time.monotonic() - started
    deployment.wait(60)
    return seconds


def wait_for_points(lab: Lab, measurement: str, devices: list[str]) -> None:
    """Both ways read the same way: one query until every device has a point."""
    deadline = time.monotonic() + DEADLINE
    while True:
        # S608: the measurement is this file's own random name
        frame = lab.query(f'SELECT COUNT("value") FROM "{measurement}" GROUP BY "device"')  # noqa: S608
        if len(frame) >= len(devices):
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"no points of {measurement} from all devices within {DEADLINE:.0f} s")
        time.sleep(0.1)


# ---------------------------------------------------------------- by hand
class Hand:
    """The calls that somebody makes who knows the engine's API: build, push, service create or update.

    Not the docker command line: the engine's warden takes what is under the lab's limits only, and the command line
    leaves half of it out. Secret, configuration and the devices' labels are prepared before the clock runs.
    """

    def __init__(self, settings: Settings, nodes: tuple[str, ...], devices: list[str]) -> None:
        self.settings = settings
        self.builder = Engine(settings.workshop_url, settings.certs, "builder")
        self.swarm = Engine(settings.workshop_url, settings.certs, "swarm")
        info = self.builder.call("GET", "/info")
        self.limits = limits.build_params(settings, info["CgroupDriver"], info["NCPU"])
        self.auth = registry_auth(LAB_ACCOUNT, settings.secret(LAB_SECRET), settings.registry)
        self.nodes = Nodes(self.swarm, settings)
        self.node_ids = nodes
        self.version = 0
        self.service = ""
        self.made: list[tuple[str, str, str]] = []
        self.token = secrets.token_urlsafe(32)
        add_token(settings, self.token, devices)
        order = self.order("bench-hand", "")
        authority = (settings.certs / "ca.crt").read_bytes()
        self.secret = self.keep("/secrets", service_spec.secret_name(settings, order), self.token.encode())
        self.config = self.keep("/configs", service_spec.config_name(settings, authority), authority)
        self.nodes.select(BENCH, nodes)

    def keep(self, path: str, name: str, data: bytes) -> service_spec.Kept:
        body = {"Name": name, "Labels": {}, "Data": base64.b64encode(data).decode()}
        try:
            return service_spec.Kept(self.swarm.call("POST", f"{path}/create", body=body)["ID"], name)
        except Conflict:
            return service_spec.Kept(self.swarm.call("GET", f"{path}/{name}")["ID"], name)

    def order(self, name: str, digest: str) -> DeployOrder:
        return DeployOrder(
            job=f"j{self.version}",
            owner=BENCH,
            name=name,
            deployment=BENCH,
            repository=f"{BENCH}/{name}",
            digest=digest,
            image=f"{BENCH}/{name}:{self.version}",
            node_ids=self.node_ids,
            command=(),
            env=(),
            ports=(),
            token=self.token,
            pull_user=LAB_ACCOUNT,
            pull_password="",
        )

    def loop(self, lab: Lab, spec: ImageSpec, measurement: str, devices: list[str]) -> float:
        self.version += 1
        context = context_tar(render(spec, lab.catalogue()), context_files(spec))
        repository = f"{self.settings.registry}/{BENCH}/{spec.name}"
        tag = str(self.version)
        started = time.monotonic()
        self.build(f"{repository}:{tag}", context)
        digest = self.push(repository, tag)
        self.made.append((f"{BENCH}/{spec.name}", tag, digest))
        self.deploy(spec.name, digest)
        wait_for_points(lab, measurement, devices)
        return time.monotonic() - started

    def build(self, tag: str, context: bytes) -> None:
        params = self.limits | {"t": tag, "dockerfile": DOCKERFILE}
        with self.builder.stream("POST", "/build", params=params, data=context) as stream:
            for message in stream.messages():
                if "error" in message:
                    raise SystemExit(f"docker build: {message['error'][-400:]}")

    def push(self, repository: str, tag: str) -> str:
        digest = ""
        path = f"/images/{repository}/push"
        with self.builder.stream("POST", path, params={"tag": tag}, headers=self.auth) as stream:
            for message in stream.messages():
                if "error" in message:
                    raise SystemExit(f"docker push: {message['error'][-400:]}")
                digest = (message.get("aux") or {}).get("Digest", digest)
        return digest

    def deploy(self, name: str, digest: str) -> None:
        spec = service_spec.service_spec(self.settings, self.order(name, digest), self.secret, self.config)
        if not self.service:
            made = self.swarm.call("POST", "/services/create", body=spec, headers=self.auth)
            self.service = str(made["ID"])
            return
        version = self.swarm.call("GET", f"/services/{self.service}")["Version"]["Index"]
        self.swarm.call(
            "POST",
            f"/services/{self.service}/update",
            params={"version": version},
            body=spec,
            headers=self.auth,
        )

    def clean(self) -> None:
        if self.service:
            self.swarm.call("DELETE", f"/services/{self.service}")
        self.nodes.keep_only(BENCH, ())
        time.sleep(3)  # a secret in use cannot go; tasks take a moment to end
        self.swarm.call("DELETE", f"/secrets/{self.secret.id}")
        for repository, tag, digest in self.made:
            Registry(self.settings).delete(repository, digest)
            self.builder.call("DELETE", f"/images/{self.settings.registry}/{repository}:{tag}")


def add_token(settings: Settings, token: str, devices: list[str]) -> None:
    database = Database.open(settings.db_url, upgrade=False)
    with database.session() as session:
        session.add(
            IngestToken(
                hash=hashed(token),
                kind="deployment",
                owner=USER,
                deployment="bench",
                name="bench",
                devices=devices,
                created=now(),
                revoked=None,
            )
        )
    database.close()


# ---------------------------------------------------------------- the run
def measure(lab: Lab, hand: Hand, devices: list[str], rounds: int, console: Console) -> list[Sample]:
    ways: dict[str, Callable[[ImageSpec, str], float]] = {
        "lab": lambda spec, m: through_lab(lab, spec, m, devices),
        "hand": lambda spec, m: hand.loop(lab, spec, m, devices),
    }
    samples: list[Sample] = []
    versions = iter(VERSIONS)
    for number in range(rounds):
        for way, loop in ways.items():
            version = next(versions)
            for kind in ("cold", "code"):
                measurement = f"bench_{way}_{kind}_{secrets.token_hex(4)}"
                seconds = loop(spec_for(f"bench-{way}", measurement, version), measurement)
                samples.append(Sample(way, kind, seconds))
                console.print(f"round {number + 1}  {kind:4}  {way:4}  {seconds:6.2f} s")
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 6))
    rounds = parser.parse_args().rounds
    console = Console(highlight=False)
    settings = settings_module.load()
    token = api_token(settings, USER, expires_in=timedelta(hours=1), note="bench/loop.py")
    lab = Lab(url=f"{settings.lab_url}/services/lab/api/v1", token=token)
    devices = [d.name for d in lab.devices() if d.state == "ready"]
    console.print(f"{len(devices)} devices; from the build request to a point of every one")
    nodes = tuple(d.id for d in lab.devices() if d.name in devices)
    hand = Hand(settings, nodes, devices)
    try:
        samples = measure(lab, hand, devices, rounds, console)
    finally:
        hand.clean()
        if any(d.name == "bench-lab" for d in lab.deployments()):
            lab.stop("bench-lab")
    medians = {
        (way, kind): statistics.median(s.seconds for s in samples if (s.way, s.kind) == (way, kind))
        for way in ("lab", "hand")
        for kind in ("cold", "code")
    }
    print(
        json.dumps(
            {
                "bench": "loop",
                "against": "build, push, service create/update by the engine's API",
                "devices": len(devices),
                **{f"{k}_{w}_s": round(medians[w, k], 2) for w in ("lab", "hand") for k in ("cold", "code")},
                **{f"ratio_{k}": round(medians["lab", k] / medians["hand", k], 2) for k in ("cold", "code")},
            }
        )
    )


if __name__ == "__main__":
    main()
