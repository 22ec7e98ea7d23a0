"""The Dockerfile's text: other parsers read from it what was put in, and nothing else, whatever the values are."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from typing import Any

import pytest
from cyberlab.spec import FileEntry, ImageSpec
from cyberlab.spec.custom import custom_lines, custom_problems
from cyberlab.spec.digest import spec_digest
from cyberlab.spec.dockerfile import render
from cyberlab.spec.files import context_files
from cyberlab.spec.problems import find_problems
from cyberlab.spec.requirements import npm_package, pip_requirement
from cyberlab.spec.run import command_of, ports_of
from cyberlab.wire import Catalogue
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_samples import READERS, Instruction, catalogue, read_by_python, spec, unquoted

CATALOGUE = catalogue()

# ---------------------------------------------------------------- values that try
VISIBLE = st.sampled_from(
    ["\\", "`", '"', "'", "$", "${X}", "$(id)", "#", "# syntax=x", "<<EOF", "USER root", "FROM scratch", "--mount=x",
     ";", "&&", "|", ">", "<", "]", '"]', "{{.Node}}", "é", "e\u0301", "😀", " ", "=", "==", "@", "/", "..", "*", "~"]
)  # fmt: skip
INVISIBLE = st.sampled_from(
    ["\n", "\r", "\0", "\\\n", "\nUSER root\n", "\t", "\x0b", "\x85", "\u2028", "\u202e"]
)
WORD = st.lists(VISIBLE | st.text("abc", max_size=3), max_size=6).map("".join)
TEXT = st.one_of(WORD, WORD, st.text(max_size=12), st.lists(VISIBLE | INVISIBLE, max_size=6).map("".join))


def mostly(good: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return good | good | TEXT


def names_of(kind: str, base: str) -> list[str]:
    found = CATALOGUE.base(base)
    assert found
    return [library.name for library in found.libraries if library.kind == kind]


PIP = st.from_regex(
    r"[A-Za-z0-9]([A-Za-z0-9._-]{0,8}[A-Za-z0-9])?(\[[a-z]{1,3}\])?" r"((==|>=|<|~=|!=)[0-9]\.[0-9]{1,2})?",
    fullmatch=True,
)
NPM = st.from_regex(r"(@[a-z]{1,4}/)?[a-z][a-z0-9-]{0,6}(@[~^]?[0-9]\.[0-9])?", fullmatch=True)
ENV = st.dictionaries(mostly(st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)), TEXT, max_size=4)
WORKDIR = mostly(st.sampled_from(["/usr/src/app", "/home/app", "/opt/app/x.y", "/usr/src/_a/b-c"]))
CUSTOM = st.lists(
    mostly(st.builds("{} {}".format, st.sampled_from(["RUN", "run", "LABEL", "#"]), TEXT)), max_size=3
).map("\n".join)
PATH = mostly(st.from_regex(r"[a-z]{1,5}(/[A-Za-z. ]{1,5}){0,2}", fullmatch=True))
FILE = st.builds(FileEntry, path=PATH, text=TEXT) | st.builds(FileEntry, path=PATH, data=TEXT)


def lists(items: st.SearchStrategy[Any], most: int = 4) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(items, max_size=most).map(tuple)


@st.composite
def specs(draw: st.DrawFn) -> ImageSpec:
    """Mostly plausible, with nasty values in every field."""
    base = draw(st.sampled_from([b.name for b in CATALOGUE.bases]))
    fitting = [s.name for s in CATALOGUE.scenarios if base in s.bases]
    return ImageSpec(
        name=draw(mostly(st.just("greenhouse"))),
        base=base,
        apt=draw(lists(mostly(st.sampled_from(names_of("apt", base))))),
        pip=draw(lists(mostly(PIP))) if base != "node" else (),
        npm=draw(lists(mostly(NPM))) if base == "node" else (),
        files=draw(lists(FILE)),
        workdir=draw(WORKDIR),
        command=draw(lists(TEXT)),
        env=draw(ENV),
        ports=draw(lists(st.integers(1000, 70000), 3)),
        scenario=draw(mostly(st.sampled_from(fitting))),
        devices=draw(lists(mostly(st.just("camera")), 2)),
        platforms=draw(lists(mostly(st.just("linux/arm64")), 2)),
        custom=draw(CUSTOM),
    )


def sound(draft: ImageSpec) -> ImageSpec:
    """`draft` without what has a problem, and no more than that: nasty where the rules let it be."""
    while problems := find_problems(draft, CATALOGUE):
        problem = problems[0]
        field, rest = re.fullmatch(r"(\w+)[.\[]?(.*)", problem.path, flags=re.DOTALL).groups()  # type: ignore[union-attr]
        draft = draft.model_copy(update=without(draft, problem.code, field, rest))
    return draft


def without(draft: ImageSpec, code: str, field: str, rest: str) -> dict[str, Any]:
    if code == "program-missing":
        return {"command": ("sleep", "1")}
    if field == "env":
        return {"env": {name: value for name, value in draft.env.items() if name != rest}}
    if field == "custom":
        return {
            "custom": "\n".join(line for line in draft.custom.split("\n") if not list(custom_problems(line)))
        }
    if field in ("apt", "pip", "npm", "files", "ports", "devices", "platforms"):
        bad = int(rest.split("]")[0])
        return {field: tuple(item for index, item in enumerate(getattr(draft, field)) if index != bad)}
    return {field: getattr(spec(base=draft.base, scenario=scenario_of(draft.base)), field)}


def scenario_of(base: str) -> str:
    return next(s.name for s in CATALOGUE.scenarios if base in s.bases)


# ---------------------------------------------------------------- what the text must say
def expected(wanted: ImageSpec) -> list[str]:
    """The verbs of a spec without problems, in order."""
    custom = [line.split()[0] for line in custom_lines(wanted.custom) if not line.startswith("#")]
    return [
        "FROM",
        *["RUN"] * bool(wanted.apt),
        *["RUN"] * bool(wanted.pip or wanted.npm),
        *["RUN"] * (wanted.workdir != "/usr/src/app"),
        "WORKDIR",
        *custom,
        *["ENV"] * bool(wanted.env),
        *["COPY"] * bool(wanted.files),
        *["EXPOSE"] * bool(ports_of(wanted, CATALOGUE)),
        "USER",
        "CMD",
    ]


def joined(instruction: Instruction) -> str:
    return " ".join(instruction.words)


def the(verb: str, found: list[Instruction]) -> Instruction:
    (one,) = (instruction for instruction in found if instruction.verb == verb)
    return one


def env_words(text: str) -> dict[str, str]:
    """ENV read from the text by the engine's rule for quoted words."""
    _, _, rest = text.partition("\nENV ")
    pairs = rest.split("\n\n")[0].split(" \\\n    ")
    return {name: unquoted(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def shell_words(line: str) -> list[str]:
    """The words a shell finds; an operator such as ``<`` or ``;`` that is not quoted is a word of its own."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.wordchars += "@+[]!,%^:"
    lexer.commenters = ""
    return list(lexer)


SLOW = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("read", READERS)
@SLOW
@given(draft=specs())
def test_no_value_leaves_its_place(read: Callable[[str], list[Instruction]], draft: ImageSpec) -> None:
    wanted = sound(draft)
    text = render(wanted, CATALOGUE)
    found = read(text)

    assert [instruction.verb for instruction in found] == expected(wanted)
    assert joined(the("FROM", found)) == f"cyberlab/{wanted.base}"
    assert joined(the("WORKDIR", found)) == wanted.workdir
    assert joined(the("USER", found)) == "1000:1000"
    if wanted.files:
        assert joined(the("COPY", found)) == "--chown=1000:1000 files/ ./"
    if ports := ports_of(wanted, CATALOGUE):
        assert joined(the("EXPOSE", found)) == " ".join(map(str, ports))
    check_env_and_command(wanted, text, None if read is read_by_python else found)
    check_libraries(wanted, found)


def check_env_and_command(wanted: ImageSpec, text: str, found: list[Instruction] | None) -> None:
    """From what the engine's parser found; else from the text, because the other one cannot unquote."""
    command = tuple(json.loads(text.rpartition("\nCMD ")[2])) if found is None else the("CMD", found).words
    assert command == command_of(wanted, CATALOGUE)
    if wanted.env:
        words = the("ENV", found).words if found else ()
        pairs = zip(words[::2], words[1::2], strict=True)
        env = {name: unquoted(value) for name, value in pairs} if found else env_words(text)
        assert env == wanted.env


def check_libraries(wanted: ImageSpec, found: list[Instruction]) -> None:
    ours = bool(wanted.apt) + bool(wanted.pip or wanted.npm)
    runs = [shell_words(joined(i)) for i in [i for i in found if i.verb == "RUN"][:ours]]
    if wanted.apt:
        assert sorted(wanted.apt) == runs[0][runs[0].index("--no-install-recommends") + 1 : -7]
    if wanted.pip:
        libraries = {str(pip_requirement(text)) for text in wanted.pip}
        assert set(runs[bool(wanted.apt)]) == {"pip", "install", *libraries}
    if wanted.npm:
        libraries = {str(npm_package(text)) for text in wanted.npm}
        assert libraries == set(runs[bool(wanted.apt)][5:-4])


@pytest.mark.parametrize("read", READERS)
@SLOW
@given(draft=specs())
def test_the_preview_of_a_half_filled_form_holds_too(
    read: Callable[[str], list[Instruction]], draft: ImageSpec
) -> None:
    text = render(draft, CATALOGUE)
    found = [instruction for instruction in read(text) if instruction.verb != "LABEL"]
    order = ["FROM", "RUN", "WORKDIR", "RUN", "ENV", "COPY", "EXPOSE", "USER", "CMD"]
    for instruction in found:
        assert instruction.verb in order
        order = order[order.index(instruction.verb) :]
    assert [instruction.verb for instruction in found].count("FROM") == 1
    assert joined(the("USER", found)) == "1000:1000"


@SLOW
@given(draft=specs(), order=st.randoms(use_true_random=False))
def test_the_order_of_typing_does_not_matter(draft: ImageSpec, order: Any) -> None:
    wanted = sound(draft)
    shuffled = {}
    for field in ("apt", "pip", "npm", "files", "ports", "platforms"):
        items = list(getattr(wanted, field))
        order.shuffle(items)
        shuffled[field] = tuple(items)
    pairs = list(wanted.env.items())
    order.shuffle(pairs)
    other = wanted.model_copy(update={**shuffled, "env": dict(pairs)})
    assert render(other, CATALOGUE) == render(wanted, CATALOGUE)
    assert spec_digest(other, CATALOGUE) == spec_digest(wanted, CATALOGUE)


JUNK = st.builds(
    ImageSpec,
    name=TEXT,
    base=TEXT | st.just("python"),
    apt=lists(TEXT),
    pip=lists(TEXT),
    npm=lists(TEXT),
    files=lists(st.builds(FileEntry, path=TEXT, text=st.none() | TEXT, data=st.none() | TEXT)),
    workdir=TEXT,
    command=lists(TEXT),
    env=st.dictionaries(TEXT, TEXT, max_size=4),
    ports=lists(st.integers()),
    scenario=TEXT,
    devices=lists(TEXT),
    platforms=lists(TEXT),
    custom=TEXT,
)


@SLOW
@given(junk=JUNK)
def test_junk_has_problems_and_breaks_nothing(junk: ImageSpec) -> None:
    problems = find_problems(junk, CATALOGUE)
    assert problems
    assert all(problem.code and problem.message.isprintable() for problem in problems)
    if CATALOGUE.base(junk.base):
        assert render(junk, CATALOGUE) == render(junk, CATALOGUE)


# ---------------------------------------------------------------- the rest, by example
def test_a_base_is_needed_to_begin_with(catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match="no base image 'windows'"):
        render(spec(base="windows"), catalogue)


def test_libraries_come_before_the_code_so_that_their_layers_are_shared(catalogue: Catalogue) -> None:
    first = render(spec(pip=("numpy", "requests"), env={"A": "1"}), catalogue)
    second = render(
        spec(pip=("requests", "NumPy"), files=(FileEntry(path="main.py", text="other"),)), catalogue
    )
    shared = first[: first.index("# The folder of your program")]
    assert "pip install" in shared
    assert second.startswith(shared)


def test_what_has_a_problem_is_left_out_of_the_preview_and_named(catalogue: Catalogue) -> None:
    text = render(spec(pip=("numpy", "-r x"), env={"A\nUSER root": "1", "B": "2"}, workdir="/etc"), catalogue)
    assert "numpy" in text
    assert 'ENV B="2"' in text
    assert "-r x" not in text
    assert "USER root" not in text
    assert "WORKDIR /usr/src/app" in text
    assert "parts of env, pip, workdir." in text


def test_files_stand_in_a_folder_of_their_own_in_the_context() -> None:
    files = (
        FileEntry(path="main.py", text="grüß\n"),
        FileEntry(path="Dockerfile", text="FROM evil"),
        FileEntry(path="/usr/src/app/data/x.bin", data="AAEC"),
        FileEntry(path="./.dockerignore", text="*"),
    )
    assert context_files(spec(files=files)) == (
        ("files/.dockerignore", b"*"),
        ("files/Dockerfile", b"FROM evil"),
        ("files/data/x.bin", b"\x00\x01\x02"),
        ("files/main.py", "grüß\n".encode()),
    )


def test_context_files_of_a_spec_with_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="climbs out"):
        context_files(spec(files=(FileEntry(path="../x", text=""),)))


def test_the_digest_is_of_what_is_built(catalogue: Catalogue) -> None:
    digest = spec_digest(spec(), catalogue, "sha256:base")
    assert digest.startswith("sha256:")
    assert len(digest) == 71
    assert spec_digest(spec(name="other"), catalogue, "sha256:base") == digest
    assert spec_digest(spec(devices=("camera",)), catalogue, "sha256:base") == digest

    different = [
        spec_digest(spec(), catalogue),
        spec_digest(spec(), catalogue, "sha256:newer-base"),
        spec_digest(spec(files=(FileEntry(path="main.py", text="other"),)), catalogue, "sha256:base"),
        spec_digest(spec(env={"A": "1"}), catalogue, "sha256:base"),
        spec_digest(spec(platforms=("linux/arm64",)), catalogue, "sha256:base"),
    ]
    assert len({digest, *different}) == 6


def test_bytes_moved_from_one_file_to_another_are_another_digest(catalogue: Catalogue) -> None:
    def two(first: str, second: str) -> str:
        files = (FileEntry(path="main.py", text=first), FileEntry(path="x", text=second))
        return spec_digest(spec(files=files), catalogue)

    assert two("ab", "c") != two("a", "bc")
