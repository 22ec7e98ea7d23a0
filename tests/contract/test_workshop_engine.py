"""What only real engines can show: the cage around users' work, and failures in a student's words."""

from __future__ import annotations

import base64
import dataclasses
import json
import secrets
import threading
import time
from collections.abc import Iterator

import pytest
from cyberlab.wire import BuildUsage, Phase
from cyberlab_hub.errors import Cancelled, WorkFailed
from cyberlab_hub.settings import Settings
from cyberlab_hub.workshop.engine import Engine, filters
from cyberlab_hub.workshop.orders import BuildOrder, DeployOrder, TrialOrder
from cyberlab_hub.workshop.output import LONGEST_LINE, MOST_LINES, TAIL
from cyberlab_hub.workshop.registry import LAB_ACCOUNT, LAB_SECRET
from cyberlab_hub.workshop.workshop import DockerWorkshop
from fakes import RecordedProgress

pytestmark = pytest.mark.engine

LOOK_AROUND = """
import json, os, socket, time
status = open("/proc/self/status").read()
def may_write(path):
    try: open(path, "w").close()
    except OSError: return False
    return True
gateway = os.environ.get("CYBERLAB_GATEWAY", "").partition("//")[2].split(":")
print(json.dumps({
    "caps": [line.split()[1] for line in status.splitlines() if line.startswith("CapBnd")],
    "no_new_privs": "NoNewPrivs:\\t1" in status,
    "uid_map": open("/proc/self/uid_map").read().split()[1],
    "root": may_write("/probe"), "tmp": may_write("/tmp/probe"),
    "env": {k: v for k, v in os.environ.items() if k.startswith(("CYBERLAB_", "MY_"))},
    "token": open("/run/secrets/cyberlab_token").read() if os.path.exists("/run/secrets/cyberlab_token") else "",
    "ca": os.path.exists("/run/cyberlab/ca.crt"),
    "gateway": bool(gateway[0]) and bool(socket.create_connection((gateway[0], int(gateway[1])), 3)),
}), flush=True)
time.sleep(float(os.environ.get("MY_SECONDS", "0")))
"""


class Student:
    """Builds, tries and deploys under a name of their own."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.workshop = DockerWorkshop(settings)
        self.engine = Engine(settings.workshop_url, settings.certs, "operator")
        self.swarm = Engine(settings.workshop_url, settings.certs, "swarm")
        self.owner = f"engine-{secrets.token_hex(4)}"
        self.digests: list[str] = []
        self.used: list[BuildUsage] = []

    def build(self, *lines: str, code: str = LOOK_AROUND, progress: RecordedProgress | None = None) -> str:
        order = BuildOrder(
            job=secrets.token_hex(4),
            owner=self.owner,
            name="prog",
            version=len(self.digests) + 1,
            dockerfile="\n".join(("FROM cyberlab/python", *lines, "USER app", "COPY main.py main.py", "")),
            files=(("main.py", code.encode()),),
            base_image="cyberlab/python",
        )
        built = self.workshop.build(order, progress or RecordedProgress())
        self.digests.append(built.digest)
        if built.usage is not None:
            self.used.append(built.usage)
        return built.digest

    def trial(self, digest: str, *command: str) -> TrialOrder:
        return TrialOrder(secrets.token_hex(4), self.owner, f"{self.owner}/prog", digest, command, (), 30)

    def deployment(self, digest: str, *, name: str = "d", ports: tuple[int, ...] = ()) -> DeployOrder:
        return DeployOrder(
            job=secrets.token_hex(4),
            owner=self.owner,
            name=name,
            deployment=f"d{name}{self.owner[-6:]}",
            repository=f"{self.owner}/prog",
            digest=digest,
            image=f"{self.owner}/prog:1",
            node_ids=(self.workshop.devices()[0].id,),
            command=("python3", "main.py"),
            env=(("MY_SECONDS", "600"),),
            ports=ports,
            token=secrets.token_hex(16),
            pull_user=LAB_ACCOUNT,
            pull_password=self.settings.secret(LAB_SECRET),
        )

    def deploy(self, order: DeployOrder) -> DeployOrder:
        self.workshop.deploy(order, RecordedProgress())
        return order

    def states(self) -> list[str]:
        (state,) = self.workshop.deployments(self.owner)
        return [task.state for task in state.tasks]

    def go(self) -> None:
        for state in self.workshop.deployments(self.owner):
            self.workshop.remove_deployment(self.owner, state.name)
        for digest in self.digests:
            self.workshop.delete_image(f"{self.owner}/prog", digest)


@pytest.fixture
def student(lab_running: Settings) -> Iterator[Student]:
    someone = Student(lab_running)
    yield someone
    someone.go()


# ---------------------------------------------------------------- what a build uses, and what it prints
BUSY = (
    "import time; held = bytearray(300 << 20); end = time.time() + 2; "
    "[0 for _ in iter(lambda: time.time() < end, 0)]"
)


def test_a_build_says_what_it_used(student: Student) -> None:
    mark = secrets.token_hex(4)
    lines = (f"RUN echo {mark}", f"RUN python3 -c '{BUSY}'")
    progress = RecordedProgress()
    first = student.build(*lines, progress=progress)
    assert first
    (said,) = [line for line in progress.lines if line.startswith("Used ")]
    used = student.used[-1]
    assert said == used.sentence
    assert used.steps > used.cached_steps
    assert used.cpu_seconds is not None
    assert used.cpu_seconds > 1
    assert used.peak_memory_mb is not None
    assert 280 < used.peak_memory_mb < used.memory_limit_mb
    assert used.image_mb is not None
    assert used.layers_mb is not None
    assert used.layers_mb < used.image_mb
    student.build(*lines, code=LOOK_AROUND + "# other")
    assert student.used[-1].cached_steps > used.cached_steps


def test_a_flood_of_a_build_is_cut_and_its_end_is_kept(student: Student) -> None:
    progress = RecordedProgress()
    with pytest.raises(WorkFailed, match="the very end"):
        student.build(
            f"RUN echo {secrets.token_hex(4)}; yes | head -c 10000000; echo error: the very end; exit 3",
            progress=progress,
        )
    assert MOST_LINES < len(progress.lines) < MOST_LINES + 2 * TAIL
    assert any("the rest of it is not kept" in line for line in progress.lines)
    assert any("lines are left out here" in line for line in progress.lines)
    assert "error: the very end" in progress.lines[-3:]


def test_binary_output_escapes_and_a_line_without_end_are_text(student: Student) -> None:
    progress = RecordedProgress()
    student.build(
        f"RUN echo {secrets.token_hex(4)}; head -c 50000 /dev/urandom; echo; "
        "python3 -c \"import sys; sys.stdout.write(chr(27) + ']0;owned' + chr(7) + chr(27) + '[2Jtitle')\"; echo; "
        "head -c 10000000 /dev/zero | tr '\\000' x; echo; echo ready",
        progress=progress,
    )
    assert all(c.isprintable() or c == "\t" or ord(c) > 0x9F for line in progress.lines for c in line)
    assert max(map(len, progress.lines)) <= LONGEST_LINE + 20
    assert "ready" in progress.lines
    assert "title" in progress.lines


def test_cancel_stops_an_endless_flood(student: Student) -> None:
    class Impatient(RecordedProgress):
        def log(self, text: str) -> None:
            super().log(text)
            if len(self.lines) == MOST_LINES + 1:
                threading.Thread(target=self.cancel).start()

    progress = Impatient()
    with pytest.raises(Cancelled):
        student.build(f"RUN echo {secrets.token_hex(4)}; yes", progress=progress)
    assert progress.lines[-1] == "y"


# ---------------------------------------------------------------- builds
@pytest.mark.parametrize(
    ("line", "sentence", "path"),
    [
        ("RUN pip install no-such-library-zq==3", "pip found no version of “no-such-library-zq==3”", "pip"),
        (
            "RUN apt-get update -qq && apt-get install -y -qq no-such-pkg",
            "Debian has no package “no-such-pkg”",
            "apt",
        ),
        ("RUN frobnicate", "no command “frobnicate”", ""),
        ("RUN tail /dev/zero", "more memory", ""),
        ("RUN head -c 3G /dev/zero > /big", "larger than a build may write", ""),
        ("RUN for i in $(seq 1 700); do sleep 3 & done; wait", "more processes", ""),
        ("RUN echo something happened; exit 4", "something happened", ""),
    ],
)
def test_a_failed_build_is_explained(student: Student, line: str, sentence: str, path: str) -> None:
    with pytest.raises(WorkFailed) as caught:
        student.build(line)
    assert caught.value.code == "build-failed"
    assert sentence in caught.value.message
    assert "step 2 of 4" in caught.value.message
    assert [problem.path for problem in caught.value.problems] == ([path] if path else [])


def test_a_build_is_cancelled_at_once_and_leaves_no_container(student: Student) -> None:
    progress = RecordedProgress()
    threading.Timer(1.0, progress.cancel).start()
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        student.build("RUN sleep 60", progress=progress)
    assert time.monotonic() - begun < 5
    deadline = time.monotonic() + 5
    while any("sleep 60" in each["Command"] for each in student.engine.call("GET", "/containers/json")):
        assert time.monotonic() < deadline, "the build's container still runs"
        time.sleep(0.1)


def test_a_build_that_takes_too_long_is_stopped(student: Student) -> None:
    student.workshop = DockerWorkshop(dataclasses.replace(student.settings, build_seconds=2))
    with pytest.raises(WorkFailed) as caught:
        student.build("RUN sleep 60")
    assert caught.value.code == "build-timeout"
    assert "RUN sleep 60" in caught.value.message


def test_a_build_starts_from_its_base_and_nothing_else(student: Student) -> None:
    with pytest.raises(WorkFailed) as caught:
        student.build("FROM cyberlab/debian")
    assert caught.value.code == "dockerfile-refused"


def test_an_image_for_another_processor_is_refused(student: Student) -> None:
    order = BuildOrder(
        "j",
        student.owner,
        "prog",
        1,
        "FROM cyberlab/python\n",
        (),
        "cyberlab/python",
        platforms=("linux/s390x",),
    )
    with pytest.raises(WorkFailed) as caught:
        student.workshop.build(order, RecordedProgress())
    assert caught.value.code == "platform-unsupported"


def test_code_only_changes_reuse_every_layer_but_their_own(student: Student) -> None:
    student.build("RUN pip install tinydb")
    progress = RecordedProgress()
    student.build("RUN pip install tinydb", code="print('other')", progress=progress)
    assert not any("Collecting" in line for line in progress.lines)


# ---------------------------------------------------------------- trials
def test_a_trial_is_caged(student: Student) -> None:
    progress = RecordedProgress()
    student.workshop.run_trial(student.trial(student.build(), "python3", "main.py"), progress)
    seen = json.loads(progress.lines[0])
    assert set(seen["caps"]) == {"0000000000000000"}
    assert seen["no_new_privs"]
    assert seen["uid_map"] != "0"
    assert seen["root"] is False
    assert seen["tmp"] is True
    assert seen["token"] == ""


def test_a_trial_that_needs_too_much_memory_says_so(student: Student) -> None:
    order = student.trial(student.build(), "python3", "-c", "x = b'1' * 900_000_000")
    end = student.workshop.run_trial(order, RecordedProgress())
    assert end.reason.startswith("out of memory")


def test_a_flood_of_output_is_cut(student: Student) -> None:
    progress = RecordedProgress()
    student.workshop.run_trial(
        student.trial(student.build(), "sh", "-c", "yes | head -n 60000; echo the end"), progress
    )
    assert MOST_LINES < len(progress.lines) < MOST_LINES + 2 * TAIL
    assert any("the rest of it is not kept" in line for line in progress.lines)
    assert progress.lines[-1] == "the end"


def test_no_container_is_left_after_a_trial(student: Student) -> None:
    student.workshop.run_trial(student.trial(student.build(), "true"), RecordedProgress())
    mine = filters(label=f"cyberlab.owner={student.owner}")
    assert student.engine.call("GET", "/containers/json", params={"all": 1, **mine}) == []


def test_an_exec_that_takes_too_long_is_ended(student: Student) -> None:
    order, progress = student.trial(student.build(), "sleep", "4"), RecordedProgress()
    running = threading.Thread(target=student.workshop.run_trial, args=(order, progress))
    running.start()
    try:
        while Phase.RUNNING not in progress.phases:
            running.join(0.05)
        with pytest.raises(WorkFailed) as caught:
            student.workshop.exec_in_trial(order.job, ("sleep", "60"), 1)
        assert caught.value.code == "exec-timeout"
    finally:
        running.join(20)


# ---------------------------------------------------------------- deployments
def test_a_task_is_caged_and_gets_what_publish_needs(student: Student) -> None:
    device = student.workshop.devices()[0]
    order = student.deployment(student.build())
    theirs = (("MY_TEMPLATE", "{{.Node.ID}} {{ $x }}"), ("CYBERLAB_DEVICE", "somebody-else"))
    order = student.deploy(dataclasses.replace(order, env=(*order.env, *theirs)))
    line, *_ = student.workshop.deployment_logs(student.owner, "d", 10, follow=False)
    seen = json.loads(line.text)
    assert set(seen["caps"]) == {"0000000000000000"}
    assert seen["no_new_privs"]
    assert seen["uid_map"] != "0"
    assert (seen["root"], seen["tmp"]) == (False, True)
    assert seen["env"]["CYBERLAB_DEVICE"] == device.name
    assert seen["env"]["MY_TEMPLATE"] == "{{.Node.ID}} {{ $x }}"
    assert seen["token"] == order.token
    assert seen["ca"]
    assert seen["gateway"], "the ingest gateway is reached"
    assert order.token not in json.dumps(seen["env"])


def test_nothing_is_left_in_the_swarm_after_removal(student: Student) -> None:
    order = student.deploy(student.deployment(student.build()))
    student.workshop.remove_deployment(student.owner, "d")
    left = [*student.engine.call("GET", "/services"), *student.swarm.call("GET", "/secrets")]
    assert not any(order.deployment in json.dumps(thing["Spec"]) for thing in left)
    nodes = student.engine.call("GET", "/nodes")
    assert not any(f"cyberlab.d.{order.deployment}" in (node["Spec"].get("Labels") or {}) for node in nodes)


def test_a_program_that_stops_at_once_is_a_failure_that_names_device_and_code(student: Student) -> None:
    device = student.workshop.devices()[0]
    with pytest.raises(WorkFailed) as caught:
        student.deploy(student.deployment(student.build(code="raise SystemExit(3)")))
    assert caught.value.code == "deploy-failed"
    assert device.name in caught.value.message
    assert "exit code 3" in caught.value.message


def test_a_failed_update_leaves_the_version_before_running(student: Student) -> None:
    order = student.deploy(student.deployment(student.build()))
    bad = dataclasses.replace(
        order, job="bad", digest=student.build(code="raise SystemExit(3)"), token="other"
    )
    with pytest.raises(WorkFailed, match="The version before runs again"):
        student.deploy(bad)
    deadline = time.monotonic() + 20
    while student.states() != ["running"]:
        assert time.monotonic() < deadline, "the version before does not run again"
        time.sleep(0.3)
    time.sleep(1.5)
    assert student.states() == ["running"]
    (service,) = student.engine.call(
        "GET", "/services", params=filters(label=f"cyberlab.owner={student.owner}")
    )
    assert order.digest in service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]


def test_a_cancelled_update_leaves_the_version_before_running(student: Student) -> None:
    order = student.deploy(student.deployment(student.build()))
    progress = RecordedProgress()
    progress.cancel()
    with pytest.raises(Cancelled):
        student.workshop.deploy(
            dataclasses.replace(order, job="again", digest=student.build(code="1")), progress
        )
    (service,) = student.engine.call(
        "GET", "/services", params=filters(label=f"cyberlab.owner={student.owner}")
    )
    assert order.digest in service["Spec"]["TaskTemplate"]["ContainerSpec"]["Image"]


def test_a_service_that_the_swarm_refuses_leaves_nothing(student: Student) -> None:
    # no constraint can be written for such an id
    order = dataclasses.replace(student.deployment(student.build()), deployment=f"no id {student.owner}")
    with pytest.raises(WorkFailed) as caught:
        student.deploy(order)
    assert caught.value.code == "engine-refused"
    left = [*student.swarm.call("GET", "/secrets"), *student.engine.call("GET", "/nodes")]
    assert not any(order.deployment in json.dumps(thing["Spec"]) for thing in left)


def test_a_port_that_is_taken_is_said_in_plain_words(student: Student) -> None:
    digest = student.build()
    student.deploy(student.deployment(digest, name="a", ports=(18099,)))
    with pytest.raises(WorkFailed, match="already uses one of these ports"):
        student.deploy(student.deployment(digest, name="b", ports=(18099,)))


def test_a_port_is_kept_over_an_update(student: Student) -> None:
    order = student.deploy(student.deployment(student.build(), ports=(18098,)))
    student.deploy(dataclasses.replace(order, job="again", token="other"))
    assert student.states() == ["running"]


def test_a_followed_log_ends_when_it_is_closed(student: Student) -> None:
    student.deploy(student.deployment(student.build()))
    log = student.workshop.deployment_logs(student.owner, "d", 1, follow=True)
    assert next(log).device
    threading.Timer(0.5, log.close).start()  # type: ignore[attr-defined]  # the seam promises it for followed logs
    begun = time.monotonic()
    assert list(log) == []
    assert time.monotonic() - begun < 5


def test_the_token_is_in_no_description_but_the_secret(student: Student) -> None:
    order = student.deploy(student.deployment(student.build()))
    things = [
        student.swarm.call("GET", path) for path in ("/services", "/tasks", "/configs", "/secrets", "/nodes")
    ]
    told = json.dumps(things)
    assert order.token not in told
    assert base64.b64encode(order.token.encode()).decode() not in told
