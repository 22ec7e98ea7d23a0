"""From the build request to the first point of every device: through the lab, and by hand with the docker command line.

Both do the same work on the same workshop engine, registry and devices, in turn, in one run: the same Dockerfile and
files, the same limits of the service, one ingest token, and the same query until every device has a point.

    sudo .venv/bin/python bench/loop.py [--rounds 3]

*cold*: the image needs a library that no build has used before. *code*: only the program changed.
The last line is JSON with the ratios lab/hand of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from cyberlab import Lab
from cyberlab.spec import FileEntry, ImageSpec
from cyberlab.spec.dockerfile import render
from cyberlab.spec.files import context_files
from cyberlab_hub import settings as settings_module
from cyberlab_hub.accounts import api_token
from cyberlab_hub.service.credentials import hashed
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, now
from cyberlab_hub.settings import Settings
from rich.console import Console

USER = "student"
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
    """What somebody who knows Docker types. Credentials, secret and CA are prepared before the clock runs."""

    def __init__(self, settings: Settings, devices: list[str], folder: Path) -> None:
        self.settings = settings
        self.folder = folder
        certs = settings.certs
        self.env = {**os.environ, "DOCKER_CONFIG": str(folder / "docker"), "DOCKER_BUILDKIT": "0"}
        self.docker = [
            "docker",
            "-H",
            settings.workshop_url,
            "--tlsverify",
            "--tlscacert",
            str(certs / "ca.crt"),
        ]
        self.docker += [
            "--tlscert",
            str(certs / "engine-client.crt"),
            "--tlskey",
            str(certs / "engine-client.key"),
        ]
        token = secrets.token_urlsafe(32)
        add_token(settings, token, devices)
        self.suffix = secrets.token_hex(3)
        self.run(
            "login",
            "-u",
            "_lab",
            "--password-stdin",
            settings.registry,
            stdin=settings.secret("registry.lab"),
        )
        self.run("secret", "create", f"bench-token-{self.suffix}", "-", stdin=token)
        self.run("config", "create", f"bench-ca-{self.suffix}", str(certs / "ca.crt"))

    def run(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            [*self.docker, *words],
            input=stdin,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        if done.returncode:
            raise SystemExit(f"docker {words[0]} {words[1]}: {done.stderr.strip()[-400:]}")
        return done.stdout

    def loop(self, lab: Lab, spec: ImageSpec, measurement: str, devices: list[str]) -> float:
        context = Path(tempfile.mkdtemp(dir=self.folder))
        (context / "Dockerfile").write_text(render(spec, lab.catalogue()))
        for path, content in context_files(spec):
            (context / path).parent.mkdir(parents=True, exist_ok=True)
            (context / path).write_bytes(content)
        ref = f"{self.settings.registry}/bench/{spec.name}:{context.name.lower().strip('_')}"
        started = time.monotonic()
        self.run("build", "-q", "-t", ref, str(context))
        self.run("push", ref)
        if spec.name in self.run("service", "ls", "--format", "{{.Name}}").split():
            self.run("service", "update", "--detach", "--with-registry-auth", "--image", ref, spec.name)
        else:
            self.run("service", "create", "--detach", "--with-registry-auth", *self.options(spec), ref)
        wait_for_points(lab, measurement, devices)
        return time.monotonic() - started

    def options(self, spec: ImageSpec) -> list[str]:
        settings = self.settings
        env = {
            "CYBERLAB_GATEWAY": settings.ingest_url,
            "CYBERLAB_DEVICE": "{{.Node.Hostname}}",
            "CYBERLAB_DEPLOYMENT": "bench",
            "CYBERLAB_TOKEN_FILE": "/run/secrets/cyberlab_token",
            "CYBERLAB_CA_FILE": "/run/cyberlab/ca.crt",
        }
        return [
            *("--name", spec.name, "--mode", "global", "--constraint", "node.labels.enrolled==1"),
            *("--endpoint-mode", "dnsrr", "--cap-drop", "ALL", "--read-only", "--init"),
            *(
                "--mount",
                "type=tmpfs,destination=/tmp",
                "--limit-memory",
                "256M",
                "--stop-grace-period",
                "2s",
            ),
            *("--update-parallelism", "0"),
            *("--secret", f"source=bench-token-{self.suffix},target=cyberlab_token,mode=0444"),
            *("--config", f"source=bench-ca-{self.suffix},target=/run/cyberlab/ca.crt"),
            *(word for key, value in env.items() for word in ("--env", f"{key}={value}")),
        ]

    def clean(self, names: list[str]) -> None:
        for name in names:
            subprocess.run(
                [*self.docker, "service", "rm", name], env=self.env, capture_output=True, timeout=60
            )
        time.sleep(3)  # a secret in use cannot go; tasks take a moment to end
        for kind in ("secret", "config"):
            name = f"bench-{'token' if kind == 'secret' else 'ca'}-{self.suffix}"
            subprocess.run([*self.docker, kind, "rm", name], env=self.env, capture_output=True, timeout=60)


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
    with tempfile.TemporaryDirectory() as folder:
        hand = Hand(settings, devices, Path(folder))
        try:
            samples = measure(lab, hand, devices, rounds, console)
        finally:
            hand.clean(["bench-hand"])
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
                "against": "docker build, push, service create/update by hand",
                "devices": len(devices),
                **{f"{k}_{w}_s": round(medians[w, k], 2) for w in ("lab", "hand") for k in ("cold", "code")},
                **{f"ratio_{k}": round(medians["lab", k] / medians["hand", k], 2) for k in ("cold", "code")},
            }
        )
    )


if __name__ == "__main__":
    main()
