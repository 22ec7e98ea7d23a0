"""The `cyberlab` command against the service on fakes: what it prints, what it writes, how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from client_app import LabHere, fake_lab
from cyberlab.cli import app
from cyberlab_hub.errors import PartDown, WorkFailed
from typer.testing import CliRunner, Result

JOB = r"[bdt][0-9a-f]+"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabHere]:
    with fake_lab(tmp_path_factory.mktemp("lab")) as one:
        yield one


@pytest.fixture(autouse=True)
def place(here: LabHere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, value in {"CYBERLAB_URL": here.url, "CYBERLAB_TOKEN": here.token, "COLUMNS": "100"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("JUPYTERHUB_USER", raising=False)
    return tmp_path


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def answer(*words: str, code: int = 0) -> Any:
    result = call(*words, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def spec_file(place: Path, name: str = "garden", **fields: Any) -> str:
    (place / "main.py").write_text("print(1)\n")
    (place / f"{name}.json").write_text(json.dumps({"name": name, "files": ["main.py"], **fields}))
    return f"{name}.json"


# ---------------------------------------------------------------- the tour of --help
def test_from_nothing_to_a_deployment_and_back(place: Path) -> None:
    assert call("init", "greenhouse").stdout.startswith("Written: greenhouse.yaml, main.py")
    rendered = call("render", "greenhouse.yaml")
    assert rendered.exit_code == 0
    assert rendered.stdout.rstrip().endswith('CMD ["python3", "main.py"]')
    built = call("build", "greenhouse.yaml")
    assert (built.exit_code, built.stdout) == (0, "greenhouse:1\n")
    assert "greenhouse:1 built" in built.stderr
    again = answer("build", "greenhouse.yaml")
    assert again["result"]["reused"] is True
    assert "greenhouse:1" in call("images").stdout

    tried = call("run", "greenhouse", "--", "echo", "--json is the program's own")
    assert (tried.exit_code, tried.stdout) == (0, "--json is the program's own\n")

    deployed = answer("deploy", "greenhouse", "-d", "pi01", "-d", "pi02")
    assert deployed["devices"] == ["pi01", "pi02"]
    assert re.search(r"greenhouse +anna/greenhouse:1 +2 of 2", call("ps").stdout)
    assert "line 1" in call("logs", "greenhouse").stdout
    assert call("rm", "image", "greenhouse:1").exit_code == 3
    assert call("rm", "deployment", "greenhouse").exit_code == 0
    assert answer("rm", "image", "greenhouse:1")["removed"]["name"] == "greenhouse:1"
    assert answer("images") == []


def test_a_folder_and_an_archive_are_specs_too(place: Path) -> None:
    (place / "Weather Station 2").mkdir()
    (place / "Weather Station 2" / "main.py").write_text("print(1)\n")
    (place / "Weather Station 2" / ".secret").write_text("x")
    assert call("build", "Weather Station 2").stdout == "weather-station-2:1\n"
    with zipfile.ZipFile(place / "Garden.zip", "w") as packed:
        packed.writestr("garden/main.py", "print(2)\n")
        packed.writestr("garden/__pycache__/main.pyc", "x")
    assert call("build", "Garden.zip").stdout == "garden:1\n"
    (place / "Weather Station 2" / "cyberlab.yaml").write_text("name: own-name\nfiles: [main.py]\n")
    assert call("build", "Weather Station 2").stdout == "own-name:1\n"


def test_a_bad_archive_is_refused_before_it_is_sent(place: Path) -> None:
    with zipfile.ZipFile(place / "evil.zip", "w") as packed:
        packed.writestr("../evil.py", "x")
    assert answer("build", "evil.zip", code=3)["error"]["problems"][0]["code"] == "file-path"


def test_advice_is_given_when_asked_for(place: Path) -> None:
    file = spec_file(place, "advised", pip=["numpy"])
    told = answer("render", file, "--advice")
    assert [one["code"] for one in told["advice"]] == ["DL3013"]
    assert "numpy==2.1.0" in call("render", file, "--advice").stderr
    assert "advice" not in answer("render", file)


def test_init_does_not_overwrite_and_knows_its_scenarios(place: Path) -> None:
    (place / "main.py").write_text("mine")
    assert call("init", "x").exit_code == 3
    assert (place / "main.py").read_text() == "mine"
    assert call("init", "x", "--force").exit_code == 0
    wrong = call("init", "y", "--scenario", "fly")
    assert wrong.exit_code == 3
    assert "run-script" in wrong.stderr


# ---------------------------------------------------------------- exit codes
def test_a_failed_build_is_1(place: Path, here: LabHere) -> None:
    def fail(*_: object) -> None:
        raise WorkFailed("build-failed", "pip found no library called numpi (line 7).")

    assert here.workshop is not None
    ordinary, here.workshop.during_build = here.workshop.during_build, fail
    try:
        result = call("build", spec_file(place, "broken"))
        assert result.exit_code == 1
        assert result.stderr.count("pip found no library called numpi") == 1
        assert answer("build", spec_file(place, "broken"), code=1)["error"]["code"] == "build-failed"
    finally:
        here.workshop.during_build = ordinary


def test_a_program_that_fails_is_1(place: Path) -> None:
    call("build", spec_file(place))
    assert call("run", "garden", "--", "sh", "-c", "exit 3").exit_code == 1


def test_wrong_usage_is_2() -> None:
    assert call("deploy").exit_code == 2
    assert call("nonsense").exit_code == 2
    assert call("run", "x", "--env", "no-equals").exit_code == 2
    assert call("build", "no-such-file.yaml").exit_code == 2


def test_refused_is_3_with_every_problem_beside_its_line(place: Path) -> None:
    (place / "bad.yaml").write_text("name: Bad\npip:\n  - numpy; evil\nenv: {PATH: x}\n")
    result = call("build", "bad.yaml")
    assert result.exit_code == 3
    for where in ("bad.yaml:1  name", "bad.yaml:3  pip[0]", "bad.yaml:4  env.PATH"):
        assert where in result.stderr
    problems = answer("build", "bad.yaml", code=3)["error"]["problems"]
    assert {"name", "pip[0]", "env.PATH"} <= {problem["path"] for problem in problems}
    shown = call("render", "bad.yaml")
    assert shown.exit_code == 3
    assert "FROM cyberlab/python" in shown.stdout
    assert call("cancel", "nothing").exit_code == 3


def test_a_lab_or_part_that_is_down_is_4(here: LabHere, monkeypatch: pytest.MonkeyPatch) -> None:
    assert here.workshop is not None
    here.workshop.down = PartDown("engine-down", "The workshop engine does not answer.")
    try:
        assert answer("devices", code=4)["error"]["code"] == "engine-down"
    finally:
        here.workshop.down = None
    monkeypatch.setenv("CYBERLAB_URL", "http://127.0.0.1:9")
    result = call("devices")
    assert result.exit_code == 4
    assert "127.0.0.1:9" in result.stderr


# ---------------------------------------------------------------- jobs
def test_detach_logs_exec_and_cancel(place: Path) -> None:
    call("build", spec_file(place))
    started = call("run", "garden", "--detach", "--seconds", "100", "--", "sleep", "100")
    job = started.stdout.strip()
    assert re.fullmatch(JOB, job)
    over = time.monotonic() + 10
    while "running" not in call("logs", job).stdout:
        assert time.monotonic() < over
    assert job in call("ps").stdout
    said = call("exec", job, "--", "echo", "-n", "hi")
    assert (said.exit_code, said.stdout) == (0, "-n hi\n")
    assert json.loads(call("exec", "--json", job, "echo", "hi").stdout) == {"exit_code": 0, "output": "hi\n"}
    assert call("cancel", job).exit_code == 0
    followed = call("logs", "-f", job)
    assert followed.exit_code == 1
    assert job not in call("ps").stdout
    assert job in call("ps", "--all").stdout
    lines = [json.loads(line) for line in call("logs", job, "--json").stdout.splitlines()]
    assert [line["id"] for line in lines] == list(range(1, len(lines) + 1))


def test_ctrl_c_in_a_build_leaves_it_running(place: Path, here: LabHere) -> None:
    def slow(_order: object, progress: Any) -> None:
        progress.log("working")
        time.sleep(3)

    assert here.workshop is not None
    ordinary, here.workshop.during_build = here.workshop.during_build, slow
    try:
        command = [sys.executable, "-m", "cyberlab", "build", spec_file(place, "slow")]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # a shell starts what runs in its background with the signal ignored, and children inherit that
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        ) as process:
            assert process.stderr is not None
            seen = ""
            while "working" not in seen:
                seen += process.stderr.readline()
            process.send_signal(signal.SIGINT)
            _, rest = process.communicate(timeout=20)
        assert process.returncode == 130
        job = re.search(rf"cyberlab logs -f ({JOB})", rest)
        assert job is not None, rest
        assert "Traceback" not in rest
        assert call("logs", "-f", job[1]).exit_code == 0
    finally:
        here.workshop.during_build = ordinary


# ---------------------------------------------------------------- data
def test_publish_share_and_measure(here: LabHere) -> None:
    assert answer("publish", "temperature", "-3.5", "--unit", "C", "--tag", "room=lab")["value"] == -3.5
    assert here.store is not None
    (lines,) = [lines for name, lines in here.store.lines.items() if name.startswith("u_anna")]
    assert re.fullmatch(rb"temperature,deployment=notebook,room=lab,unit=C value=-3.5 \d{19}", lines[-1])
    assert call("publish", "temperature", "1", "--tag", "device=pi01").exit_code == 3
    assert "ben may read your data" in call("share", "ben").stdout
    assert answer("share")[0]["reader"] == "ben"
    assert call("share", "ben", "--stop").exit_code == 0
    assert answer("share") == []
    assert call("share", "nobody-there").exit_code == 3


def test_things(here: LabHere, tmp_path: Path) -> None:
    made = answer("thing", "balcony")
    assert made["token"]
    assert (made["bucket"], made["org"]) == (here.user, "cyberlab")
    assert made["mqtt_topic"].endswith(made["mqtt_user"])
    listed = answer("things")
    assert [row["name"] for row in listed] == ["balcony"]
    assert made["token"] not in str(listed)
    assert "thing-exists" in str(answer("thing", "balcony", code=3))
    assert call("thing", "Not A Name").stderr.count("cannot name a thing") == 1
    assert "cannot be written" in call("thing", "roof", "--ca", "/no/folder/ca.crt").stderr
    assert call("rm", "thing", "roof").exit_code == 0
    shown = call("thing", "roof", "--ca", str(tmp_path / "ca.crt")).stdout
    assert "shown this once" in shown
    assert "MEASUREMENT" in shown
    assert (tmp_path / "ca.crt").read_text() == made["ca"]
    for name in ("balcony", "roof"):
        assert call("rm", "thing", name).exit_code == 0
    assert call("rm", "thing", "roof").exit_code == 3
    assert answer("things") == []


def test_quotas_and_a_refusal_with_its_numbers(place: Path, here: LabHere) -> None:
    rows = {row["quota"]: row for row in answer("quota")}
    assert (rows["images"]["value"], rows["images"]["origin"]) == (50, "default")
    shown = call("quota").stdout
    assert "Builds at once" in shown
    assert "the lab's default" in shown
    url, headers = f"{here.url}/quotas/user/{here.user}/builds", {"Authorization": "Bearer root-token"}
    httpx.put(url, json={"value": 0}, headers=headers, trust_env=False).raise_for_status()
    try:
        refused = answer("build", spec_file(place, "too-many"), code=3)["error"]
    finally:
        httpx.delete(url, headers=headers, trust_env=False).raise_for_status()
    assert refused["code"] == "quota-builds"
    assert (refused["quota"]["value"], refused["quota"]["in_use"]) == (0, 0)


def test_a_query_that_the_database_refuses() -> None:
    refused = answer("query", "DROP DATABASE x", code=3)
    assert refused["error"]["code"] == "query-refused"


def test_download_of_a_spec_as_folder_and_zip(place: Path) -> None:
    spec = spec_file(place)
    assert call("download", "spec", spec, "--to", "out").exit_code == 0
    assert (place / "out" / "Dockerfile").read_text().startswith("# Made by cyberlab")
    assert (place / "out" / "files" / "main.py").read_text() == "print(1)\n"
    assert call("download", "spec", spec, "--to", "out").exit_code == 3
    assert answer("download", "spec", spec, "--to", "out.zip")["files"] == [
        "Dockerfile",
        "files/main.py",
        "spec.json",
    ]
    assert sorted(zipfile.ZipFile(place / "out.zip").namelist()) == [
        "Dockerfile",
        "files/main.py",
        "spec.json",
    ]


def test_a_saved_spec_goes_by_its_name(place: Path) -> None:
    from cyberlab import ImageSpec, Lab

    with Lab() as lab:
        lab.save_spec(ImageSpec(name="saved"))
    assert "FROM cyberlab/python" in call("render", "saved").stdout
    assert call("rm", "spec", "saved").exit_code == 0
    assert call("render", "saved").exit_code == 3


# ---------------------------------------------------------------- help
COMMANDS = ["", "init", "render", "build", "images", "quota", "run", "exec", "devices", "deploy", "ps", "logs",
            "cancel", "rm image", "rm deployment", "rm spec", "rm thing", "things", "thing",
            "read", "query", "provenance", "export", "storage", "keep", "downsample", "forget", "publish", "share",
            "download readings", "download spec"]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_with_an_example_and_takes_json(command: str) -> None:
    text = call(*command.split(), "--help").stdout
    assert "cyberlab " + (command.split()[0] if command else "init") in text
    assert not command or "--json" in text


def test_the_command_and_the_module_are_the_same_and_start_quickly() -> None:
    script = Path(sys.executable).with_name("cyberlab")
    texts = {}
    for name, command in {"script": [str(script)], "module": [sys.executable, "-m", "cyberlab"]}.items():
        before = os.times()
        done = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=60, check=True)
        after = os.times()
        used = after.children_user + after.children_system - before.children_user - before.children_system
        assert used < 1.5  # about 0.4 s of a core; room for a slow machine
        texts[name] = done.stdout.split("\n\n", 1)[1]
    assert texts["script"] == texts["module"]
