"""`Lab` against the service: once on fakes, once on the lab that runs here. The same lines for both."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

import pytest
from client_app import LabHere, fake_lab
from cyberlab import DeploymentSpec, FileEntry, ImageSpec, Lab, errors
from cyberlab.wire import Image, JobKind, Phase

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module", params=["fake", pytest.param("real", marks=pytest.mark.engine)])
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabHere]:
    if request.param == "fake":
        with fake_lab(tmp_path_factory.mktemp("lab")) as one:
            yield one
        return
    settings = request.getfixturevalue("lab_running")
    from cyberlab.wire import API
    from cyberlab_hub.accounts import api_token

    yield LabHere(f"{settings.lab_url}{API}", api_token(settings, "student"), "student")


@pytest.fixture(scope="module")
def lab(here: LabHere) -> Iterator[Lab]:
    one = Lab(here.url, here.token)
    yield one
    one.close()


@pytest.fixture(scope="module")
def spec() -> ImageSpec:
    text = 'import time\nprint("hello from the contract", flush=True)\ntime.sleep(3600)\n'
    return ImageSpec(
        name=f"t-{secrets.token_hex(4)}", files=(FileEntry(path="main.py", text=text),), env={"INTERVAL": "1"}
    )


@pytest.fixture(scope="module")
def image(lab: Lab, spec: ImageSpec) -> Iterator[Image]:
    built = lab.build(spec, show=False, timeout=300)
    yield built
    lab.delete_image(built)
    assert built not in lab.images()


def test_who_i_am(lab: Lab, here: LabHere) -> None:
    assert lab.user == here.user


def test_the_catalogue_offers_what_a_spec_may_name(lab: Lab, spec: ImageSpec) -> None:
    assert lab.catalogue().base("python") is not None
    assert lab.problems(spec) == ()


def test_every_problem_comes_at_once_and_as_predicted(lab: Lab) -> None:
    wrong = ImageSpec(name="No Good", base="windows", pip=("numpy; curl evil|sh",), ports=(80,))
    with pytest.raises(errors.SpecRefused) as caught:
        lab.start_build(wrong)
    assert {"name", "base", "ports[0]"} <= {problem.path for problem in caught.value.problems}
    assert lab.problems(wrong) == caught.value.problems


def test_building_again_gives_the_image_from_before(lab: Lab, spec: ImageSpec, image: Image) -> None:
    handle = lab.start_build(spec)
    job = handle.wait(60)
    assert job.result["reused"] is True
    assert lab.build(spec, show=False) == image
    assert [event.phase for event in handle.events()][-1] is Phase.DONE


def test_the_log_can_be_read_again_from_any_event(lab: Lab, image: Image) -> None:
    handle = next(lab.job(job.id) for job in lab.jobs("build") if not job.result.get("reused"))
    everything = list(handle.events())
    assert [event.id for event in everything] == list(range(1, len(everything) + 1))
    assert list(handle.events(after=2)) == everything[2:]
    assert list(handle.past()) == everything


def test_a_trial_tells_what_it_wrote_and_how_it_ended(lab: Lab, image: Image) -> None:
    lines = []
    handle = lab.start_trial(image, command=["echo", "hello there"])
    job = handle.wait(120, lines.append)
    assert job.result["exit_code"] == 0
    assert "hello there" in [event.text for event in lines if event.kind == "log"]
    assert handle.kind is JobKind.TRIAL


def test_a_program_that_fails_says_so(lab: Lab, image: Image) -> None:
    handle = lab.start_trial(image, command=["sh", "-c", "exit 3"])
    with pytest.raises(errors.JobFailed, match="exit code 3"):
        handle.wait(120)


def test_exec_in_a_running_trial_and_cancel(lab: Lab, image: Image) -> None:
    handle = lab.start_trial(image, command=["sleep", "300"], seconds=300)
    for event in handle.events():
        if event.phase is Phase.RUNNING:
            break
    time.sleep(0.5)
    result = lab.exec(handle.id, ["echo", "hi"])
    assert (result.exit_code, result.output.strip()) == (0, "hi")
    handle.cancel()
    with pytest.raises(errors.JobCancelled):
        handle.wait(60)


def test_a_deployment_from_start_to_stop(lab: Lab, image: Image) -> None:
    chosen = [device for device in lab.devices() if device.state == "ready"][:2]
    deployment = lab.deploy(image, devices=chosen, show=False, timeout=120)
    try:
        assert set(deployment.devices) == {device.name for device in chosen}
        assert deployment.name in [one.name for one in lab.deployments()]
        assert {task.state for task in lab.deployment(deployment.name).tasks} == {"running"}
        assert isinstance(lab.deployment_logs(deployment.name, tail=5), list)
        with pytest.raises(errors.Conflict):
            lab.delete_image(image)
    finally:
        lab.stop(deployment.name)
    with pytest.raises(errors.NotFound):
        lab.deployment(deployment.name)


@pytest.mark.parametrize("where", [{}, {"devices": ["pi99"]}, {"cluster": "nowhere"}])
def test_a_deployment_to_nowhere_is_refused(lab: Lab, image: Image, where: dict[str, object]) -> None:
    with pytest.raises(errors.SpecRefused) as caught:
        lab.start_deploy(image, **where)  # type: ignore[arg-type]  # one of the three
    assert caught.value.problems


def test_what_is_not_there(lab: Lab) -> None:
    for ask in (
        lambda: lab.job("nothing"),
        lambda: lab.spec("nothing"),
        lambda: lab.deployment("nothing"),
        lambda: lab.stop("nothing"),
        lambda: lab.delete_image("nothing:1"),
        lambda: lab.start_trial("nothing"),
        lambda: lab.exec("nothing", ["ls"]),
        lambda: lab.deployment_logs("nothing"),
    ):
        with pytest.raises(errors.NotFound):
            ask()


def test_saved_specs(lab: Lab, spec: ImageSpec) -> None:
    lab.save_spec(spec)
    assert lab.spec(spec.name) == spec
    other = spec.model_copy(update={"env": {"INTERVAL": "2"}})
    with pytest.raises(errors.NameTaken):
        lab.save_spec(other)
    lab.save_spec(other, replace=True)
    assert lab.spec(spec.name) == other
    lab.delete_spec(spec.name)
    assert spec.name not in [one.spec.name for one in lab.specs()]


def test_a_request_that_cannot_be_right_is_refused_before_it_is_sent(lab: Lab) -> None:
    with pytest.raises(errors.SpecRefused) as caught:
        lab.start_trial("x", seconds=0)
    assert caught.value.problems[0].path == "seconds"


def test_publish_and_what_there_is_to_read(lab: Lab) -> None:
    name = f"m{secrets.token_hex(3)}"
    lab.publish(name, 21.5, unit="C", room="lab, left")
    assert name in [one.measurement for one in lab.measurements()]
    for wrong in ("", "1st", "a\nb"):
        with pytest.raises(errors.SpecRefused):
            lab.publish(wrong, 1)


def test_health_needs_no_right(here: LabHere) -> None:
    stranger = Lab(here.url, "nobody")
    assert {part.part for part in stranger.health()} >= {"engine", "registry", "database", "lab"}
    with pytest.raises(errors.NotSignedIn):
        stranger.images()
    stranger.close()


def test_specs_of_the_wire_are_those_of_the_package() -> None:
    assert DeploymentSpec(name="x", image="y").devices == ()
