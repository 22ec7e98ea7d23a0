"""`FakeLab`: what the widgets ask of `cyberlab.Lab`, in memory. `pace` is the pause between two events of a job."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from cyberlab.errors import LabError, NotFound
from cyberlab.spec.dockerfile import render
from cyberlab.spec.image import ImageSpec
from cyberlab.wire import (
    Advice,
    Base,
    Catalogue,
    Deployment,
    Device,
    ErrorInfo,
    Image,
    Job,
    JobEvent,
    JobKind,
    Library,
    Measurement,
    Phase,
    Scenario,
    Share,
    TaskView,
)
from cyberlab.wire_origin import Origin, SourceFile

START = datetime(2026, 1, 1, tzinfo=UTC)
REPLAY = '''"""Replays real temperatures of San Francisco, one reading a second."""

import time

from cyberlab_edge import publish
from cyberlab_edge.sensors import replay

SPEED = 3600  # an hour of 2010 passes in a second

for reading in replay("sf-temperature", speed=SPEED):
    publish("temperature", reading.value, unit="C")
    time.sleep(1)
'''
HELLO = """import time

while True:
    print("hello from the little computer")
    time.sleep(1)
"""

CATALOGUE = Catalogue(
    bases=(
        Base(
            name="python",
            title="Python",
            summary="Plain Python. Small and quick to send: right for most sensors.",
            image="cyberlab/python",
            language="python",
            versions={"Python": "3.11.2", "Debian": "12"},
            size_mb=182,
            ready=True,
            build_seconds=40,
            libraries=(
                Library(name="requests", kind="pip", summary="Talk to web pages and web services"),
                Library(name="pyserial", kind="pip", summary="Talk to an Arduino over USB"),
                Library(name="i2c-tools", kind="apt", summary="Find sensors on the I2C bus"),
                Library(name="curl", kind="apt", summary="Fetch a web page from a shell"),
            ),
            includes=("cyberlab_edge",),
        ),
        Base(
            name="python-science",
            title="Python for science",
            summary="Python with numpy, pandas and scipy, to calculate on the device.",
            image="cyberlab/python-science",
            language="python",
            versions={"Python": "3.11.2", "numpy": "1.24.2", "pandas": "1.5.3"},
            size_mb=540,
            ready=False,
            build_seconds=95,
            libraries=(Library(name="requests", kind="pip", summary="Talk to web pages and web services"),),
            includes=("cyberlab_edge", "numpy", "pandas", "scipy"),
        ),
        Base(
            name="node",
            title="Node.js",
            summary="JavaScript outside the browser.",
            image="cyberlab/node",
            language="node",
            versions={"Node": "18.20"},
            size_mb=310,
            ready=False,
            build_seconds=60,
            libraries=(Library(name="mqtt", kind="npm", summary="Send and receive MQTT messages"),),
        ),
    ),
    scenarios=(
        Scenario(
            name="replay-temperature",
            title="Replay real temperatures",
            summary="Replays hourly temperatures of San Francisco, faster than they were, and publishes them.",
            command=("python3", "main.py"),
            bases=("python", "python-science"),
            sample=REPLAY,
        ),
        Scenario(
            name="run-script",
            title="Run a Python program",
            summary="Starts main.py and keeps it running.",
            command=("python3", "main.py"),
            bases=("python", "python-science"),
            sample=HELLO,
        ),
        Scenario(
            name="web-page",
            title="Serve a web page",
            summary="A small web server on port 8080.",
            command=("python3", "-m", "http.server", "8080"),
            bases=("python",),
            ports=(8080,),
            sample_path="index.html",
            sample="<h1>Hello</h1>\n",
        ),
        Scenario(
            name="run-node",
            title="Run a Node program",
            summary="Starts main.js and keeps it running.",
            command=("node", "main.js"),
            bases=("node",),
            sample_path="main.js",
            sample="console.log('hello');\n",
        ),
    ),
    device_profiles=("camera", "i2c"),
)

SCRIPTS: dict[str, list[tuple[str, Phase, str, int | None, int | None]]] = {
    "build": [
        ("phase", Phase.PREPARING, "Looking at the base image", None, None),
        ("phase", Phase.BUILDING, "Building", None, None),
        *[
            item
            for step, text in enumerate(
                (
                    "FROM cyberlab/python",
                    "RUN pip install requests",
                    "WORKDIR /usr/src/app",
                    "COPY . .",
                    "CMD",
                ),
                1,
            )
            for item in (
                ("step", Phase.BUILDING, text, step, 5),
                ("log", Phase.BUILDING, f"Step {step}/5 : {text}\n ---> Running in 0f{step}c", None, None),
            )
        ],
        ("phase", Phase.PUSHING, "Saving the image in the registry", None, None),
    ],
    "trial": [
        ("phase", Phase.STARTING, "Starting", None, None),
        ("phase", Phase.RUNNING, "Running", None, None),
        *[
            (
                "log",
                Phase.RUNNING,
                f'{{"measurement": "temperature", "value": {8.4 + n / 10:.1f}}}',
                None,
                None,
            )
            for n in range(8)
        ],
    ],
    "deploy": [
        ("phase", Phase.PREPARING, "Making the deployment's own token", None, None),
        ("phase", Phase.STARTING, "Starting on the devices", None, None),
        *[("step", Phase.STARTING, f"pi0{n} runs", n, 3) for n in (1, 2, 3)],
    ],
}


class FakeHandle:
    """A job that plays its script; all handles of one job share the events."""

    def __init__(self, lab: FakeLab, job: Job, error: ErrorInfo | None = None) -> None:
        self._lab, self._error = lab, error
        self.job = job
        self.cancelled = threading.Event()

    @property
    def id(self) -> str:
        return self.job.id

    def events(self, after: int = 0) -> Iterator[JobEvent]:
        at = START
        for number, (kind, phase, text, step, steps) in enumerate(SCRIPTS[self.job.kind], 1):
            if self.cancelled.wait(self._lab.pace) if self._lab.pace else self.cancelled.is_set():
                self.job = self.job.model_copy(update={"phase": Phase.CANCELLED})
                return
            yield JobEvent(
                id=number,
                job=self.id,
                at=at,
                kind=kind,
                phase=phase,
                text=text,
                step=step,
                steps=steps,  # type: ignore[arg-type]  # the scripts hold the right words
            )
        self.job = self._lab.end(self.job, self._error)

    def cancel(self) -> Job:
        self.cancelled.set()
        return self.job


class FakeLab:
    user = "student"

    def __init__(self, pace: float = 0.0) -> None:
        self.pace = pace
        self.refuse: LabError | None = None
        self.fail: ErrorInfo | None = None
        self.advised = 0
        self.down: LabError | None = None
        self.specs: list[ImageSpec] = []
        self.handles: dict[str, FakeHandle] = {}
        self._images: list[Image] = []
        self._deployments: dict[str, Deployment] = {}
        self.measured = [Measurement(measurement="temperature", fields=("value",), tags=("device", "unit"))]

    # ------------------------------------------------------------ jobs
    def _start(self, kind: str, name: str, **result: Any) -> FakeHandle:
        if self.refuse is not None:
            raise self.refuse
        job = Job(
            id=f"{kind}-{len(self.handles) + 1}",
            kind=JobKind(kind),
            owner="student",
            name=name,
            phase=Phase.QUEUED,
            created=START,
            result=result,
        )
        self.handles[job.id] = FakeHandle(self, job, self.fail)
        return self.handles[job.id]

    def end(self, job: Job, error: ErrorInfo | None) -> Job:
        if error is not None:
            return job.model_copy(update={"phase": Phase.FAILED, "error": error})
        result = dict(job.result)
        if job.kind == "build":
            result["image"] = self._add_image(job.name).ref
        elif job.kind == "deploy":
            self._deployments[job.name] = self._deployment(job.name, result["devices"])
            self.measured.append(Measurement(measurement="humidity", fields=("value",)))
        return job.model_copy(update={"phase": Phase.DONE, "result": result})

    def _add_image(self, name: str) -> Image:
        version = sum(image.name == name for image in self._images) + 1
        image = Image(
            owner="student",
            name=name,
            version=version,
            digest=f"sha256:{version:064x}",
            spec_digest="0" * 64,
            size_mb=191,
            created=START,
            base="python",
        )
        self._images.append(image)
        return image

    def _deployment(self, name: str, devices: Sequence[str]) -> Deployment:
        return Deployment(
            owner="student",
            name=name,
            image="student/first-readings:1",
            digest="sha256:0",
            devices=tuple(devices),
            tasks=tuple(TaskView(device=device, state="running") for device in devices),
            created=START,
            updated=START,
        )

    def start_build(self, spec: ImageSpec) -> FakeHandle:
        self.specs.append(spec)
        return self._start("build", spec.name)

    def start_trial(self, image: Image, *, seconds: int) -> FakeHandle:
        return self._start("trial", image.name, exit_code=None, seconds=seconds)

    def start_deploy(self, image: Image, *, name: str, devices: list[str], cluster: str | None) -> FakeHandle:
        chosen = devices or [d.name for d in self.devices() if d.cluster == cluster]
        return self._start("deploy", name, deployment=name, devices=chosen)

    def job(self, job_id: str) -> FakeHandle:
        return self.handles[job_id]

    def jobs(self) -> list[Job]:
        return [handle.job for handle in self.handles.values()]

    # ------------------------------------------------------------ things
    def catalogue(self) -> Catalogue:
        if self.down is not None:
            raise self.down
        return CATALOGUE

    def advice(self, spec: ImageSpec) -> list[Advice]:
        """One sentence, about the first library."""
        if self.down is not None:
            raise self.down
        self.advised += 1
        if not spec.pip:
            return []
        line = next(
            n for n, text in enumerate(render(spec, CATALOGUE).split("\n"), 1) if text == "RUN pip install \\"
        )
        message = "Name the version of each Python library, such as numpy==2.1.0."
        return [Advice(line=line, field="pip", level="warning", code="DL3013", message=message)]

    def images(self) -> list[Image]:
        return list(self._images)

    def devices(self) -> list[Device]:
        if self.down is not None:
            raise self.down
        return [
            Device(
                name=f"pi0{n}",
                id=f"node{n}",
                cluster="shelf-1" if n < 3 else "shelf-2",
                state="away" if n == 4 else "ready",
                platform="linux/arm64",
                cpus=4,
                memory_mb=4096,
                simulated=True,
                address=f"10.77.0.1{n}",
                running=n - 1,
            )
            for n in (1, 2, 3, 4)
        ]

    def deployments(self) -> list[Deployment]:
        return list(self._deployments.values())

    def deployment(self, name: str) -> Deployment:
        if name in self._deployments:
            return self._deployments[name]
        running = [h.job for h in self.handles.values() if h.job.kind == "deploy" and h.job.name == name]
        if not running:
            raise NotFound("deployment-unknown", f"There is no deployment {name}.")
        return self._deployment(name, running[-1].result["devices"])

    def stop(self, name: str) -> None:
        self._deployments.pop(name)

    # ------------------------------------------------------------ data
    def shares(self) -> list[Share]:
        return [Share(owner="ada", reader="student", created=START)]

    def measurements(self, db: str = "mine") -> list[Measurement]:
        if self.down is not None:
            raise self.down
        return self.measured

    def provenance(self, _df: pd.DataFrame) -> list[Origin]:
        return [
            Origin(kind="notebook", author="student", deployment="notebook"),
            Origin(
                kind="deployment", author="student", deployment="bed", version=1, since=START, stopped=True,
                until=START, image="student/bed:1", digest="sha256:0", devices=("pi01",), dockerfile="FROM x",
                files=(SourceFile(path="main.py", size=8, sha256="0"),),
            ),
        ]  # fmt: skip

    def read(
        self, measurement: str, fields: str = "value", *, start: str, every: str | None, layout: str, db: str
    ) -> pd.DataFrame:
        seconds = int(start.strip("-s"))
        step = int(every.strip("s")) if every else 1
        now = math.floor(time.time() / step) * step
        rows = [
            (
                pd.Timestamp(at, unit="s", tz="UTC"),
                f"pi{n:02d}",
                12 + n + 3 * math.sin(at / 90 + n) + math.sin(at * n) / 8,
            )
            for at in range(now - seconds, now, step)
            for n in (1, 2, 3)
        ]
        frame = pd.DataFrame(rows, columns=["time", "device", fields]).set_index("time")
        frame.attrs["units"] = {fields: "C"}
        return frame


def until(check: Any, seconds: float = 5.0) -> None:
    """Wait until `check()` holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


__all__ = ["CATALOGUE", "FakeLab", "until"]
