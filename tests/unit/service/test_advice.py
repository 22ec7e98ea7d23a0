"""hadolint's advice: about what the user can change, in plain words, and never in anybody's way."""

from __future__ import annotations

import asyncio
import shutil
import stat
import sys
from pathlib import Path

import pytest
from cyberlab.spec import ImageSpec
from cyberlab.spec.dockerfile import render
from cyberlab.wire import SpecAdvice
from cyberlab_hub.service import advice as advice_module
from cyberlab_hub.service.advice import Adviser
from cyberlab_hub.service.advice_words import WORDS, words
from cyberlab_hub.service.catalogue import read_seed

CATALOGUE = read_seed()
HADOLINT = Adviser().program
needs_hadolint = pytest.mark.skipif(HADOLINT is None, reason="hadolint has no wheel for this machine")


def about(adviser: Adviser, **fields: object) -> SpecAdvice:
    wanted = ImageSpec.model_validate({"name": "a", "files": [{"path": "main.py", "text": ""}], **fields})
    return asyncio.run(adviser.about("anna", wanted, CATALOGUE))


def test_hadolint_came_with_the_hub() -> None:
    if sys.platform == "linux":
        assert shutil.which("hadolint", path=str(Path(sys.executable).parent))


@needs_hadolint
@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("RUN sudo true", "DL3004"),
        ("RUN apt-get update && apt-get install nano", "DL3014"),
        ("RUN pip install requests", "DL3013"),
        ("RUN curl -s x | tar x", "DL4006"),
        ("RUN ls $HOME", "SC2086"),
        ("RUN ls $(id)", "SC2046"),
        ("RUN [[ a == b ]]", "SC30"),
        ("RUN [ -f x", "SC1072"),
        ("RUN cd /x; ls", "SC2164"),
        ("RUN ls `id` && ls", "SC2006"),
        ("RUN apt install -y x", "DL3027"),
        ("LABEL a-=x", ""),
    ],
)
def test_own_instructions(line: str, code: str) -> None:
    answer = about(Adviser(), custom=f"# first\n{line}")
    codes = [one.code for one in answer.advice]
    assert answer.available
    assert any(one.startswith(code) for one in codes) if code else codes == []
    dockerfile = render(ImageSpec(name="a", custom=f"# first\n{line}"), CATALOGUE).split("\n")
    assert all(dockerfile[one.line - 1] == line for one in answer.advice)


@needs_hadolint
def test_libraries_without_versions() -> None:
    (one,) = about(Adviser(), pip=("numpy", "requests==2.32.0")).advice
    assert (one.field, one.code, one.level) == ("pip", "DL3013", "warning")
    assert "numpy==2.1.0" in one.message


@needs_hadolint
def test_nothing_is_said_about_what_the_lab_writes() -> None:
    everything = about(
        Adviser(), base="python-science", apt=("i2c-tools",), pip=("numpy==2.1.0",), workdir="/home/app/x",
        env={"A": "1"}, ports=(8080,), command=("python3", "main.py"), custom='LABEL course="iot"\nRUN true',
    )  # fmt: skip
    assert everything == SpecAdvice(available=True)


@needs_hadolint
def test_a_rule_cannot_be_switched_off_and_one_line_speaks_for_all() -> None:
    answer = about(Adviser(), custom="# hadolint ignore=DL3004\nRUN sudo a\nRUN sudo b\nRUN sudo c")
    assert [one.code for one in answer.advice].count("DL3004") == 3
    assert [one.code for one in answer.advice].count("DL3059") == 1


@needs_hadolint
def test_a_half_filled_form_gets_advice_too() -> None:
    assert about(Adviser(), base="nope") == SpecAdvice(available=True)
    answer = about(Adviser(), name="", custom="RUN sudo a", env={"A\nB": "x"}, workdir="/etc")
    assert [one.code for one in answer.advice] == ["DL3004"]


def test_every_sentence_is_plain() -> None:
    for code, sentence in WORDS.items():
        assert sentence == words(code)
        assert sentence.endswith((".", "?", "..."))
        assert len(sentence) < 140
        assert "http" not in sentence
    assert words("DL3006") == ""
    assert words("SC3054") != ""


# ---------------------------------------------------------------- a program that is none
def program(folder: Path, body: str) -> Adviser:
    path = folder / "hadolint"
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Adviser(str(path))


@pytest.mark.parametrize(
    "body",
    [
        "print('no JSON')",
        "print('{}')",
        "raise SystemExit(3)",
        "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
        "print('[' * 100000)",
        "open('/tmp/cyberlab-advice-test', 'w').write('x')",
        "x = bytearray(10**9)",
    ],
)
def test_a_broken_program_is_no_advice_and_no_error(tmp_path: Path, body: str) -> None:
    assert about(program(tmp_path, body), custom="RUN sudo a") == SpecAdvice(available=False)


def test_a_slow_program_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice_module, "SECONDS", 0.2)
    assert not about(program(tmp_path, "import time; time.sleep(60)"), custom="RUN sudo a").available


def test_a_missing_program_says_so() -> None:
    assert not about(Adviser("/nowhere/hadolint"), custom="RUN sudo a").available


def test_the_program_sees_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CYBERLAB_SECRET", "s3cret")
    row = "{'line': 1, 'code': 'SC2086', 'level': 'info'}"
    body = f"import os, json; assert 'CYBERLAB_SECRET' not in os.environ; print(json.dumps([{row}]))"
    assert about(program(tmp_path, body), custom="RUN a").available
