"""A spec in a file: YAML and JSON, files beside it, and the line of each problem."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from cyberlab.cli.specfile import SpecFile
from cyberlab.errors import LabError, SpecRefused

SPEC = """\
name: greenhouse
pip: [numpy==2.1.0,
      requests]
apt:
files:
  - main.py
  - lib
  - {path: in.csv, from: data/may.csv}
  - path: note.txt
    text: typed here
env: {INTERVAL: 1, MODE: on, EMPTY: ""}
ports: [8080]
command: [python3, main.py, -n, 5]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text("print('ü')\n")
    (tmp_path / "lib" / "deep").mkdir(parents=True)
    (tmp_path / "lib" / "a.py").write_text("a = 1\n")
    (tmp_path / "lib" / "deep" / "photo.png").write_bytes(b"\x89PNG\0\xff")
    (tmp_path / "lib" / "__pycache__").mkdir()
    (tmp_path / "lib" / "__pycache__" / "a.pyc").write_bytes(b"x")
    (tmp_path / "lib" / ".secret").write_text("no")
    (tmp_path / "lib" / "link").symlink_to("/etc/passwd")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "may.csv").write_text("1,2\n")
    (tmp_path / "greenhouse.yaml").write_text(SPEC)
    return tmp_path


def test_values_are_text_and_files_are_read(folder: Path) -> None:
    spec = SpecFile(folder / "greenhouse.yaml").load()
    assert spec.env == {"INTERVAL": "1", "MODE": "on", "EMPTY": ""}
    assert spec.command == ("python3", "main.py", "-n", "5")
    assert spec.ports == (8080,)
    assert spec.apt == ()
    assert [file.path for file in spec.files] == [
        "main.py",
        "lib/a.py",
        "lib/deep/photo.png",
        "in.csv",
        "note.txt",
    ]
    assert spec.files[0].text == "print('ü')\n"
    assert base64.b64decode(spec.files[2].data or "") == b"\x89PNG\0\xff"
    assert spec.files[4].text == "typed here"


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("name", 1),
        ("pip[0]", 2),
        ("pip[1]", 3),
        ("files[0].path", 6),
        ("files[1]", 7),
        ("files[2].path", 7),
        ("files[3]", 8),
        ("files[4].text", 10),
        ("env.MODE", 11),
        ("ports[0]", 12),
        ("base", None),
    ],
)
def test_a_problem_points_at_its_line(folder: Path, field: str, line: int | None) -> None:
    file = SpecFile(folder / "greenhouse.yaml")
    file.load()
    assert file.where(field) == str(file.path) + (f":{line}" if line else "")


def test_json_gives_the_same(folder: Path) -> None:
    spec = {
        "name": "greenhouse",
        "env": {"INTERVAL": "1"},
        "files": ["main.py", {"from": "lib", "path": "."}],
    }
    (folder / "x.json").write_text(json.dumps(spec, indent="\t"))
    file = SpecFile(folder / "x.json")
    assert [one.path for one in file.load().files] == ["main.py", "a.py", "deep/photo.png"]
    (folder / "y.json").write_text(json.dumps(spec, indent=1))
    file = SpecFile(folder / "y.json")
    file.load()
    assert file.where("env.INTERVAL") == f"{folder / 'y.json'}:4"


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ("../x", "file-outside"),
        ("/etc/passwd", "file-outside"),
        ("lib/link", "file-outside"),
        ("none.py", "file-missing"),
        ("{from: main.py, text: x}", "file-entry"),
    ],
)
def test_files_that_may_not_be_sent(folder: Path, entry: str, code: str) -> None:
    (folder / "x.yaml").write_text(f"name: x\nfiles:\n  - main.py\n  - {entry}\n")
    file = SpecFile(folder / "x.yaml")
    with pytest.raises(SpecRefused) as caught:
        file.load()
    problem = caught.value.problems[0]
    assert (problem.path, problem.code) == ("files[1]", code)
    assert file.where(problem.path) == f"{file.path}:4"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a spec"),
        ("- a\n- b\n", "not a spec"),
        ("name: [", "not readable as YAML"),
        ("name: x\nfiles: main.py\n", "one file a line"),
        ("a: &a [*a]\n", "not readable as YAML"),
        (
            "a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + "".join(
                f"{c}: &{c} [{','.join(['*' + p] * 10)}]\n" for p, c in zip("abcdef", "bcdefg", strict=True)
            ),
            "too many values",
        ),
        ("\0", "not readable"),
    ],
)
def test_what_is_no_spec_is_said(folder: Path, text: str, words: str) -> None:
    (folder / "x.yaml").write_text(text)
    with pytest.raises(LabError, match=words):
        SpecFile(folder / "x.yaml").load()


def test_wrong_fields_are_named(folder: Path) -> None:
    (folder / "x.yaml").write_text("name: x\npips: [numpy]\nports: [eighty]\n")
    file = SpecFile(folder / "x.yaml")
    with pytest.raises(SpecRefused) as caught:
        file.load()
    found = {problem.path: file.where(problem.path) for problem in caught.value.problems}
    assert found == {"pips": f"{file.path}:2", "ports[0]": f"{file.path}:3"}


def test_no_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="cyberlab init") as caught:
        SpecFile(tmp_path / "none.yaml").load()
    assert caught.value.code == "spec-missing"
