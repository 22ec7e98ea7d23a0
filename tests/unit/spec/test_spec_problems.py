"""What the form and the lab service say about each field: path, stable code, and a sentence that helps."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from cyberlab.spec import DeploymentSpec, FileEntry, ImageSpec
from cyberlab.spec.problems import deployment_problems, find_problems
from cyberlab.spec.run import run_problems
from cyberlab.wire import Base, Catalogue, Problem, Scenario, SpecLimits
from spec_samples import spec

MAIN = FileEntry(path="main.py", text="")


def found(catalogue: Catalogue, **changes: Any) -> list[tuple[str, str]]:
    return [(problem.path, problem.code) for problem in find_problems(spec(**changes), catalogue)]


def only(catalogue: Catalogue, **changes: Any) -> Problem:
    (problem,) = find_problems(spec(**changes), catalogue)
    return problem


def files(*paths: str) -> tuple[FileEntry, ...]:
    return (MAIN, *(FileEntry(path=path, text="x") for path in paths))


@pytest.mark.parametrize("name", ["a", "greenhouse", "my-first-image", "a1-2b", "a" * 40])
def test_names_that_are_fine(catalogue: Catalogue, name: str) -> None:
    assert found(catalogue, name=name) == []


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "1a",
        "-a",
        "a-",
        "a--b",
        "has@sign",
        "user--foo",
        "теплица",
        "a" * 41,
        "a\n",
        "a_b",
        "a.b",
        "a/b",
        "ａ",
    ],
)
def test_names_that_are_refused(catalogue: Catalogue, name: str) -> None:
    assert found(catalogue, name=name) == [("name", "name-invalid")]


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    # field, path, code
    ({"base": "windows"}, "base", "base-unknown"),
    ({"apt": ("i2c-tool",)}, "apt[0]", "library-unknown"),
    ({"apt": ("i2c-tools", "i2c-tools")}, "apt[1]", "library-duplicate"),
    ({"apt": ("i2c-tools; rm -rf /",)}, "apt[0]", "library-unknown"),
    ({"pip": ("-r requirements.txt",)}, "pip[0]", "library-form"),
    ({"pip": ("--index-url=http://evil",)}, "pip[0]", "library-form"),
    ({"pip": ("git+https://example.org/x",)}, "pip[0]", "library-form"),
    ({"pip": ("numpy @ file:///etc/passwd",)}, "pip[0]", "library-form"),
    ({"pip": ('numpy; python_version < "3"',)}, "pip[0]", "library-form"),
    ({"pip": ("numpy\nRUN evil",)}, "pip[0]", "library-form"),
    ({"pip": ("./numpy",)}, "pip[0]", "library-form"),
    ({"pip": ("cv2",)}, "pip[0]", "library-import-name"),
    ({"pip": ("json",)}, "pip[0]", "library-builtin"),
    ({"pip": ("cyberlab_edge",)}, "pip[0]", "library-builtin"),
    ({"pip": ("Flask", "flask")}, "pip[1]", "library-duplicate"),
    ({"pip": tuple(f"a{n}" for n in range(61))}, "pip", "libraries-too-many"),
    ({"npm": ("mqtt",)}, "npm", "library-misfit"),
    ({"files": files("../x")}, "files[1].path", "file-path"),
    ({"files": files("a/../../x")}, "files[1].path", "file-path"),
    ({"files": files("/etc/passwd")}, "files[1].path", "file-path"),
    ({"files": files("/usr/src/app")}, "files[1].path", "file-path"),
    ({"files": files("a\\b")}, "files[1].path", "file-path"),
    ({"files": files("a\0b")}, "files[1].path", "file-path"),
    ({"files": files("a\nb")}, "files[1].path", "file-path"),
    ({"files": files("data/")}, "files[1].path", "file-path"),
    ({"files": files("a//b")}, "files[1].path", "file-path"),
    ({"files": files("")}, "files[1].path", "file-path"),
    ({"files": files(".")}, "files[1].path", "file-path"),
    ({"files": files("x" * 256)}, "files[1].path", "file-path"),
    ({"files": files("invoice\u202efdp.exe")}, "files[1].path", "file-path"),
    ({"files": files("./main.py")}, "files[1].path", "file-duplicate"),
    ({"files": files("/usr/src/app/main.py")}, "files[1].path", "file-duplicate"),
    ({"files": files("MAIN.py")}, "files[1].path", "file-case"),
    ({"files": files("e\u0301.txt", "\u00e9.txt")}, "files[2].path", "file-case"),
    ({"files": files("data", "data/x.csv")}, "files[1].path", "file-is-folder"),
    ({"files": (MAIN, FileEntry(path="x"))}, "files[1]", "file-content"),
    ({"files": (MAIN, FileEntry(path="x", text="a", data="YQ=="))}, "files[1]", "file-content"),
    ({"files": (MAIN, FileEntry(path="x", data="not base64!"))}, "files[1]", "file-content"),
    ({"files": (MAIN, FileEntry(path="x", text="a" * 1_000_001))}, "files[1]", "file-too-large"),
    (
        {"files": (MAIN, FileEntry(path="x", data=b64encode(b"a" * 1_000_001).decode()))},
        "files[1]",
        "file-too-large",
    ),
    (
        {"files": tuple(FileEntry(path=f"{n}", text="") for n in range(201)), "command": ("sh",)},
        "files",
        "files-too-many",
    ),
    ({"files": ()}, "files", "program-missing"),
    ({"command": ("python3", "other.py")}, "files", "program-missing"),
    ({"workdir": "/etc"}, "workdir", "workdir-invalid"),
    ({"workdir": "/usr/src"}, "workdir", "workdir-invalid"),
    ({"workdir": "/usr/src/app/"}, "workdir", "workdir-invalid"),
    ({"workdir": "/usr/src/app/../../../etc"}, "workdir", "workdir-invalid"),
    ({"workdir": "/home/app/$HOME"}, "workdir", "workdir-invalid"),
    ({"workdir": "/opt/apple"}, "workdir", "workdir-invalid"),
    ({"workdir": "usr/src/app"}, "workdir", "workdir-invalid"),
    ({"workdir": "/opt/app\nUSER root"}, "workdir", "workdir-invalid"),
    ({"command": ("",)}, "command[0]", "command-invalid"),
    ({"command": ("sh", "-c", "a\nb")}, "command[2]", "command-invalid"),
    ({"command": ("sh", "-c", "a" * 2049)}, "command[2]", "command-too-long"),
    ({"command": ("sh",) * 65}, "command", "command-too-long"),
    ({"command": ("sh", *["é" * 2048] * 16)}, "command", "command-too-long"),
    ({"env": {f"A{n}": "x" * 4000 for n in range(9)}}, "env", "env-too-large"),
    ({"devices": ("camera",) * 17}, "devices", "devices-too-many"),
    ({"platforms": ("linux/amd64",) * 17}, "platforms", "platforms-too-many"),
    ({"env": {"1A": ""}}, "env.1A", "env-name-invalid"),
    ({"env": {"": ""}}, "env.", "env-name-invalid"),
    ({"env": {"A B": ""}}, "env.A B", "env-name-invalid"),
    ({"env": {"A": "x\ny"}}, "env.A", "env-value-invalid"),
    ({"env": {"A": "x\u2028USER root"}}, "env.A", "env-value-invalid"),
    ({"env": {"A": "x" * 4097}}, "env.A", "env-value-too-long"),
    ({"env": {"PATH": "/x"}}, "env.PATH", "env-name-reserved"),
    ({"env": {"LD_PRELOAD": "x.so"}}, "env.LD_PRELOAD", "env-name-reserved"),
    ({"env": {"CYBERLAB_GATEWAY": "https://evil"}}, "env.CYBERLAB_GATEWAY", "env-name-reserved"),
    ({"env": {f"A{n}": "" for n in range(65)}}, "env", "env-too-many"),
    ({"ports": (80,)}, "ports[0]", "port-invalid"),
    ({"ports": (65536,)}, "ports[0]", "port-invalid"),
    ({"ports": (-1,)}, "ports[0]", "port-invalid"),
    ({"ports": (10**3000,)}, "ports[0]", "port-invalid"),
    ({"ports": (8080, 8080)}, "ports[1]", "port-duplicate"),
    ({"ports": (2377,)}, "ports[0]", "port-reserved"),
    ({"ports": tuple(range(8000, 8017))}, "ports", "ports-too-many"),
    ({"scenario": "run-away"}, "scenario", "scenario-unknown"),
    ({"scenario": "image-stats"}, "scenario", "scenario-unfit"),
    ({"devices": ("laser",)}, "devices[0]", "device-profile-unknown"),
    ({"platforms": ("linux/s390x",)}, "platforms[0]", "platform-unknown"),
    ({"custom": "USER root"}, "custom", "custom-verb"),
]


@pytest.mark.parametrize(("changes", "path", "code"), REFUSED)
def test_refused_beside_its_field(
    catalogue: Catalogue, changes: dict[str, Any], path: str, code: str
) -> None:
    problem = only(catalogue, **changes)
    assert (problem.path, problem.code) == (path, code)
    assert problem.message.isprintable()
    assert 20 < len(problem.message) < 300
    assert problem.message.endswith((".", "?"))


FINE: list[dict[str, Any]] = [
    {},
    {"apt": ("i2c-tools", "usbutils")},
    {"pip": ("numpy==2.1.0", "fastapi[standard]>=0.110,<1", "Pillow", "torch==2.4.0+cpu", "scipy==1.*")},
    {
        "files": files(
            "data/input.csv",
            "/usr/src/app/lib/x.py",
            "Ünïcode näme.txt",
            "Dockerfile",
            ".dockerignore",
            "a$b`c",
        )
    },
    {"files": (MAIN, FileEntry(path="empty", text=""), FileEntry(path="photo.png", data="iVBORw=="))},
    {"workdir": "/home/app"},
    {"workdir": "/opt/app/v1.2/my_program"},
    {"command": ("python3", "-m", "http.server", "8080")},
    {"command": ("python3", "./main.py", "--name", 'ß "quoted" $HOME \\', "")},
    {"command": ("python3", "/usr/src/app/main.py")},
    {"command": ("sleep", "5"), "files": ()},
    {"command": ("python3", "made.py"), "custom": "RUN touch made.py"},
    {"env": {"INTERVAL": "1", "_x": "", "GREETING": 'Grüß Gott, "Welt" $HOME \\ `date` #'}},
    {"ports": (1024, 65535)},
    {"scenario": "web-server"},
    {"devices": ("camera", "i2c")},
    {"platforms": ("linux/arm64", "linux/amd64")},
    {"custom": '# a note\nRUN echo hello\n\nLABEL course="iot 1"'},
]


@pytest.mark.parametrize("changes", FINE)
def test_nothing_wrong_with(catalogue: Catalogue, changes: dict[str, Any]) -> None:
    assert find_problems(spec(**changes), catalogue) == ()


def test_every_problem_at_once_in_the_order_of_the_fields(catalogue: Catalogue) -> None:
    codes = found(
        catalogue,
        name="Bad Name",
        apt=("nope",),
        pip=("cv2", "-r x"),
        files=files("../x"),
        env={"PATH": ""},
        ports=(1,),
    )
    assert codes == [
        ("name", "name-invalid"),
        ("apt[0]", "library-unknown"),
        ("pip[0]", "library-import-name"),
        ("pip[1]", "library-form"),
        ("files[1].path", "file-path"),
        ("env.PATH", "env-name-reserved"),
        ("ports[0]", "port-invalid"),
    ]


@pytest.mark.parametrize(
    ("changes", "advice"),
    [
        ({"apt": ("i2ctools",)}, "Did you mean i2c-tools?"),
        ({"apt": ("requests",)}, "It is a pip library"),
        ({"pip": ("cv2",)}, "opencv-python-headless"),
        ({"pip": ("sklearn",)}, "scikit-learn"),
        ({"pip": ("numpy=2.1.0",)}, "Write numpy==2.1.0."),
        ({"pip": ("pip install numpy",)}, "without 'pip install'"),
        ({"base": "pyton"}, "python-science"),
        ({"scenario": "node-script"}, "run-script"),
        ({"platforms": ("linux/riscv64",)}, "linux/arm64"),
        ({"custom": "ENV A=1"}, "environment field"),
        ({"custom": "RUN a\nCOPY . /"}, "Line 2"),
        ({"files": ()}, "'main.py'"),
    ],
)
def test_the_message_says_what_to_do(catalogue: Catalogue, changes: dict[str, Any], advice: str) -> None:
    assert advice in only(catalogue, **changes).message


def test_libraries_must_speak_the_language_of_the_base(catalogue: Catalogue) -> None:
    script = (FileEntry(path="main.js", text=""),)
    on_node = {"base": "node", "scenario": "node-script", "files": script}
    assert found(catalogue, **on_node, npm=("mqtt@5.0.0", "@scope/thing@^1.2")) == []
    assert found(catalogue, **on_node, pip=("numpy",)) == [("pip", "library-misfit")]
    assert found(catalogue, **on_node, npm=("fs",)) == [("npm[0]", "library-builtin")]
    assert found(catalogue, **on_node, npm=("mqtt", "mqtt@5.0.0")) == [("npm[1]", "library-duplicate")]
    assert found(catalogue, **on_node, npm=("user/repository",)) == [("npm[0]", "library-form")]


def test_the_total_of_the_files_is_limited_too(catalogue: Catalogue) -> None:
    small = catalogue.model_copy(update={"limits": SpecLimits(file_bytes=10, total_bytes=15, files=3)})
    ten = "x" * 10
    many = (FileEntry(path="main.py", text=ten), FileEntry(path="b", text=ten))
    assert found(small, files=many) == [("files", "files-too-large")]


def test_a_platform_the_base_does_not_have(catalogue: Catalogue) -> None:
    python, *others = catalogue.bases
    here = catalogue.model_copy(
        update={"bases": (python.model_copy(update={"platforms": ("linux/amd64",)}), *others)}
    )
    assert found(here, platforms=("linux/amd64",)) == []
    assert found(here, platforms=("linux/arm64",)) == [("platforms[0]", "platform-unfit")]


def test_a_scenario_without_a_command_wants_one() -> None:
    base = Base(name="python", title="", summary="", image="x", language="python", build_seconds=1)
    scenario = Scenario(name="free", title="", summary="", command=(), bases=("python",))
    catalogue = Catalogue(bases=(base,), scenarios=(scenario,))
    assert found(catalogue, scenario="free") == [("command", "command-missing")]
    assert found(catalogue, scenario="free", command=("python3", "main.py")) == []


def test_no_hardware_is_offered_by_a_lab_without_profiles(catalogue: Catalogue) -> None:
    bare = catalogue.model_copy(update={"device_profiles": ()})
    assert "leave the field empty" in only(bare, devices=("camera",)).message


# ---------------------------------------------------------------- deployments
def deployment(**changes: Any) -> list[tuple[str, str]]:
    fields = {"name": "greenhouse", "image": "greenhouse", "devices": ("pi01",)}
    problems = deployment_problems(DeploymentSpec(**{**fields, **changes}))
    assert all(problem.message.isprintable() for problem in problems)
    return [(problem.path, problem.code) for problem in problems]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image": "greenhouse:12"},
        {"devices": (), "cluster": "bench-1"},
        {"devices": ("pi01", "pi02"), "env": {"INTERVAL": "2"}, "command": ("python3", "other.py")},
    ],
)
def test_deployments_that_are_fine(changes: dict[str, Any]) -> None:
    assert deployment(**changes) == []


@pytest.mark.parametrize(
    ("changes", "path", "code"),
    [
        ({"name": "A"}, "name", "name-invalid"),
        ({"image": "other/greenhouse"}, "image", "image-invalid"),
        ({"image": "greenhouse:latest"}, "image", "image-invalid"),
        ({"image": "greenhouse:0"}, "image", "image-invalid"),
        ({"image": "greenhouse:"}, "image", "image-invalid"),
        ({"devices": ()}, "devices", "devices-empty"),
        ({"devices": ("pi01; reboot",)}, "devices[0]", "device-unknown"),
        ({"devices": ("pi01", "pi01")}, "devices[1]", "device-duplicate"),
        ({"devices": ("pi",) * 1001}, "devices", "devices-too-many"),
        ({"cluster": "A B"}, "cluster", "cluster-unknown"),
        ({"env": {"CYBERLAB_TOKEN_FILE": "/etc/shadow"}}, "env.CYBERLAB_TOKEN_FILE", "env-name-reserved"),
        ({"env": {"A": "{{.Node.ID}}"}}, "env.A", "env-value-invalid"),
        ({"command": ("a\0",)}, "command[0]", "command-invalid"),
    ],
)
def test_deployments_that_are_refused(changes: dict[str, Any], path: str, code: str) -> None:
    assert deployment(**changes) == [(path, code)]


def test_a_trial_obeys_the_same_rules_for_what_it_adds() -> None:
    assert run_problems(("python3", "main.py"), {"INTERVAL": "1"}) == ()
    codes = [problem.code for problem in run_problems(("a\n",), {"PATH": "x"})]
    assert codes == ["command-invalid", "env-name-reserved"]


def test_specs_have_a_json_schema_with_descriptions() -> None:
    for model in (ImageSpec, DeploymentSpec):
        schema = model.model_json_schema()
        assert schema["additionalProperties"] is False
        assert "description" in schema["properties"]["name"]
    assert "FileEntry" in ImageSpec.model_json_schema()["$defs"]
