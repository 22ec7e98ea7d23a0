"""The promises of `workshop.orders.Workshop`, held by the fake and by the real engines alike."""

from __future__ import annotations

import dataclasses
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from cyberlab.wire import Phase
from cyberlab_hub.errors import Cancelled, NotFound, WorkFailed
from cyberlab_hub.workshop.orders import BuildOrder, BuiltImage, DeployOrder, TrialEnd, TrialOrder, Workshop
from cyberlab_hub.workshop.registry import LAB_ACCOUNT, LAB_SECRET
from cyberlab_hub.workshop.workshop import DockerWorkshop
from fakes import FakeWorkshop, RecordedProgress

DOCKERFILE = "FROM cyberlab/python\nCOPY main.py main.py\n"
NOWHERE = "sha256:" + "0" * 64


@dataclass
class Bench:
    """A workshop with an owner of its own, who leaves nothing behind."""

    workshop: Workshop
    password: str
    owner: str = field(default_factory=lambda: f"contract-{secrets.token_hex(4)}")
    made: list[tuple[str, str]] = field(default_factory=list)

    def build(
        self, dockerfile: str = DOCKERFILE, *, name: str = "prog", progress: RecordedProgress | None = None
    ) -> BuiltImage:
        order = BuildOrder(
            job=secrets.token_hex(4),
            owner=self.owner,
            name="prog",
            version=len(self.made) + 1,
            dockerfile=dockerfile,
            files=(("main.py", f"print('{secrets.token_hex(4)}')".encode()),),
            base_image="cyberlab/python",
        )
        built = self.workshop.build(order, progress or RecordedProgress())
        self.made.append((f"{self.owner}/prog", built.digest))
        return built

    def trial(self, digest: str, *command: str, seconds: int = 30, job: str = "") -> TrialOrder:
        job = job or secrets.token_hex(4)
        return TrialOrder(job, self.owner, f"{self.owner}/prog", digest, command, (), seconds)

    def deployment(self, digest: str, nodes: tuple[str, ...]) -> DeployOrder:
        return DeployOrder(
            job=secrets.token_hex(4),
            owner=self.owner,
            name="greenhouse",
            deployment=f"d{self.owner[-8:]}",
            repository=f"{self.owner}/prog",
            digest=digest,
            image=f"{self.owner}/prog:1",
            node_ids=nodes,
            command=("sh", "-c", "echo hello; exec sleep 600"),
            env=(("INTERVAL", "1"),),
            ports=(),
            token=secrets.token_hex(16),
            pull_user=LAB_ACCOUNT,
            pull_password=self.password,
        )

    def tidy(self) -> None:
        for state in self.workshop.deployments(self.owner):
            self.workshop.remove_deployment(self.owner, state.name)
        for repository, digest in self.made:
            self.workshop.delete_image(repository, digest)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.engine)])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        made = Bench(FakeWorkshop(), "")
    else:
        settings = request.getfixturevalue("lab_running")
        made = Bench(DockerWorkshop(settings), settings.secret(LAB_SECRET))
    yield made
    made.tidy()


# ---------------------------------------------------------------- bases and builds
def test_a_base_that_was_never_built_is_not_ready(bench: Bench) -> None:
    assert not bench.workshop.base_state("cyberlab/no-such-base").ready


def test_a_ready_base_tells_size_and_versions(bench: Bench) -> None:
    state = bench.workshop.base_state("cyberlab/python")
    assert state.ready
    assert state.size_bytes
    assert dict(state.versions)["Python"].startswith("3.")
    assert state.digest.startswith("sha256:")


def test_a_build_ends_with_a_digest_and_tells_its_steps(bench: Bench) -> None:
    progress = RecordedProgress()
    built = bench.build(progress=progress)
    assert built.digest.startswith("sha256:")
    assert built.size_bytes > 10_000_000
    assert progress.phases[-2:] == [Phase.BUILDING, Phase.PUSHING]
    assert [step[:2] for step in progress.steps] == [(1, 2), (2, 2)]
    assert progress.steps[0][2] == "FROM cyberlab/python"


def test_other_code_is_another_digest(bench: Bench) -> None:
    assert bench.build().digest != bench.build().digest


def test_a_failed_build_names_the_step(bench: Bench) -> None:
    with pytest.raises(WorkFailed, match=r"[Ss]tep 2 of 2") as caught:
        bench.build("FROM cyberlab/python\nRUN false\n")
    assert caught.value.code == "build-failed"


def test_a_cancelled_build_ends_as_cancelled(bench: Bench) -> None:
    progress = RecordedProgress()
    progress.cancel()
    with pytest.raises(Cancelled):
        bench.build(progress=progress)


# ---------------------------------------------------------------- trials
def test_a_trial_logs_what_the_program_prints(bench: Bench) -> None:
    progress = RecordedProgress()
    end = bench.workshop.run_trial(bench.trial(bench.build().digest, "echo", "hello there"), progress)
    assert end == TrialEnd(0, "ended by itself")
    assert "hello there" in progress.lines
    assert progress.phases == [Phase.STARTING, Phase.RUNNING]


def test_a_trial_tells_the_exit_code(bench: Bench) -> None:
    end = bench.workshop.run_trial(
        bench.trial(bench.build().digest, "sh", "-c", "exit 3"), RecordedProgress()
    )
    assert end.exit_code == 3


def test_a_trial_ends_when_its_time_is_over(bench: Bench) -> None:
    end = bench.workshop.run_trial(
        bench.trial(bench.build().digest, "sleep", "60", seconds=1), RecordedProgress()
    )
    assert end.exit_code is None
    assert "time over" in end.reason


def test_a_cancelled_trial_ends_as_cancelled(bench: Bench) -> None:
    progress = RecordedProgress()
    order = bench.trial(bench.build().digest, "sleep", "60")
    threading.Timer(1.0, progress.cancel).start()
    with pytest.raises(Cancelled):
        bench.workshop.run_trial(order, progress)


def test_a_trial_of_an_image_that_is_gone_says_so(bench: Bench) -> None:
    with pytest.raises(WorkFailed) as caught:
        bench.workshop.run_trial(bench.trial(NOWHERE, "true"), RecordedProgress())
    assert caught.value.code == "image-missing"


def test_exec_runs_in_the_trial_while_it_lasts(bench: Bench) -> None:
    order = bench.trial(bench.build().digest, "sleep", "3", job=secrets.token_hex(4))
    progress = RecordedProgress()
    running = threading.Thread(target=bench.workshop.run_trial, args=(order, progress))
    running.start()
    try:
        for _ in range(100):
            if Phase.RUNNING in progress.phases:
                break
            running.join(0.05)
        done = bench.workshop.exec_in_trial(order.job, ("echo", "inside"), 5)
        assert (done.exit_code, done.output) == (0, "inside\n")
    finally:
        running.join(20)
    with pytest.raises(NotFound) as caught:
        bench.workshop.exec_in_trial(order.job, ("echo", "late"), 5)
    assert caught.value.code == "trial-ended"


# ---------------------------------------------------------------- deployments
def test_a_deployment_runs_on_the_chosen_devices_only(bench: Bench) -> None:
    first, second, *_ = bench.workshop.devices()
    progress = RecordedProgress()
    order = bench.deployment(bench.build().digest, (first.id, second.id))
    bench.workshop.deploy(order, progress)

    (state,) = bench.workshop.deployments(bench.owner)
    assert (state.owner, state.name, state.deployment) == (bench.owner, "greenhouse", order.deployment)
    assert state.image == order.image
    assert {(task.device, task.state) for task in state.tasks} == {
        (first.name, "running"),
        (second.name, "running"),
    }
    assert progress.phases == [Phase.STARTING, Phase.RUNNING]
    assert [step[:2] for step in progress.steps] == [(1, 2), (2, 2)]


def test_deploying_the_name_again_changes_it_in_place(bench: Bench) -> None:
    first, second, *_ = bench.workshop.devices()
    order = bench.deployment(bench.build().digest, (first.id,))
    bench.workshop.deploy(order, RecordedProgress())
    again = dataclasses.replace(
        order, job="again", digest=bench.build().digest, node_ids=(second.id,), token="other", image="other:2"
    )
    bench.workshop.deploy(again, RecordedProgress())

    (state,) = bench.workshop.deployments(bench.owner)
    assert [(task.device, task.state) for task in state.tasks] == [(second.name, "running")]
    assert state.image == "other:2"


def test_a_removed_deployment_is_gone_and_may_be_removed_again(bench: Bench) -> None:
    device = bench.workshop.devices()[0]
    bench.workshop.deploy(bench.deployment(bench.build().digest, (device.id,)), RecordedProgress())
    bench.workshop.remove_deployment(bench.owner, "greenhouse")
    bench.workshop.remove_deployment(bench.owner, "greenhouse")
    assert bench.workshop.deployments(bench.owner) == ()
    with pytest.raises(NotFound) as caught:
        list(bench.workshop.deployment_logs(bench.owner, "greenhouse", 5, follow=False))
    assert caught.value.code == "deployment-unknown"


def test_the_log_names_the_device_of_each_line(bench: Bench) -> None:
    device = bench.workshop.devices()[0]
    bench.workshop.deploy(bench.deployment(bench.build().digest, (device.id,)), RecordedProgress())
    lines = list(bench.workshop.deployment_logs(bench.owner, "greenhouse", 1, follow=False))
    assert [line.device for line in lines] == [device.name]
    assert lines[0].text
    assert lines[0].at


def test_deployments_of_others_are_not_listed(bench: Bench) -> None:
    assert bench.workshop.deployments("nobody-has-this-name") == ()


def test_an_image_that_is_gone_is_not_deployed(bench: Bench) -> None:
    device = bench.workshop.devices()[0]
    with pytest.raises(WorkFailed) as caught:
        bench.workshop.deploy(bench.deployment(NOWHERE, (device.id,)), RecordedProgress())
    assert caught.value.code == "deploy-failed"
    assert bench.workshop.deployments(bench.owner) == ()


# ---------------------------------------------------------------- devices and health
def test_devices_come_by_name_with_what_they_are(bench: Bench) -> None:
    devices = bench.workshop.devices()
    assert [device.name for device in devices] == sorted(device.name for device in devices)
    assert all(device.id and device.cluster and device.address for device in devices)
    assert {device.platform.split("/")[0] for device in devices} == {"linux"}
    assert all(device.state == "ready" and device.simulated for device in devices)


def test_deleting_an_image_twice_is_no_error(bench: Bench) -> None:
    digest = bench.build().digest
    bench.workshop.delete_image(f"{bench.owner}/prog", digest)
    bench.workshop.delete_image(f"{bench.owner}/prog", digest)


def test_a_healthy_workshop_says_so(bench: Bench) -> None:
    assert {(part.part, part.ok) for part in bench.workshop.health()} == {
        ("engine", True),
        ("swarm", True),
        ("registry", True),
    }


def test_sweep_leaves_what_is_in_use(bench: Bench) -> None:
    device = bench.workshop.devices()[0]
    bench.workshop.deploy(bench.deployment(bench.build().digest, (device.id,)), RecordedProgress())
    bench.workshop.sweep()
    (state,) = bench.workshop.deployments(bench.owner)
    assert [task.state for task in state.tasks] == ["running"]
