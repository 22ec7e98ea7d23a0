"""The readers that the lab service asks before each build: they agree about every spec, and about nothing else."""

from __future__ import annotations

import platform

import pytest
from cyberlab.spec import ImageSpec
from cyberlab.spec.dockerfile import render
from cyberlab_hub.errors import WorkFailed
from cyberlab_hub.service import proof, readings
from cyberlab_hub.service.proof import check, proven
from cyberlab_hub.service.readings import READERS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spec_samples import catalogue, spec
from test_spec_golden import CASES, GOLDEN
from test_spec_render import INVISIBLE, TEXT, VISIBLE, sound, specs

CATALOGUE = catalogue()
SLOW = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FULL = spec(
    apt=("i2c-tools",),
    pip=("numpy==2.1.0", "requests>=2,<3"),
    workdir="/home/app/x",
    env={"A": '1 \\ " $x', "B": "  two  "},
    ports=(8080,),
    command=("python3", "main.py", "é", "[", '"'),
    custom='# note\nRUN echo "a"   \'b\' $HOME && true\nlabel course="iot"\nRUN ["touch", "x y"]\n#no space',
)


def test_there_are_always_two_readers_and_the_engines_own_where_it_exists() -> None:
    names = [read.__name__ for read in READERS]
    assert names[:2] == ["by_lines", "by_dockerfile_parse"]
    assert ("by_engine" in names) == (platform.machine() == "x86_64")


@pytest.mark.parametrize("name", [name for name in CASES if not name.startswith("problems-")])
def test_every_golden_spec_is_proven(name: str) -> None:
    wanted = ImageSpec.model_validate_json((GOLDEN / f"{name}.json").read_text())
    assert proven(wanted, CATALOGUE) == (GOLDEN / f"{name}.Dockerfile").read_text()


@SLOW
@given(draft=specs())
def test_whatever_is_allowed_is_proven(draft: ImageSpec) -> None:
    proven(sound(draft), CATALOGUE)


@SLOW
@given(
    custom=st.lists(TEXT, max_size=4).map("\n".join), env=st.dictionaries(TEXT, TEXT, max_size=3), word=TEXT
)
def test_what_the_rules_forgot_is_refused_or_harmless(custom: str, env: dict[str, str], word: str) -> None:
    """As if the rules let everything through: the text is then proven to mean what the spec says, or refused."""
    draft = spec(env=env, command=("python3", word))
    quoted = ", ".join(f'"{item}"' for item in draft.command)
    text = render(spec(), CATALOGUE)
    careless = text.replace("\n\n# Run as", f"\n\n{custom}\n\n# Run as")
    careless = careless.replace('["python3", "main.py"]', f"[{quoted}]")
    try:
        check(careless, draft.model_copy(update={"env": {}}), CATALOGUE)
    except WorkFailed:
        return
    for read in READERS:
        assert [one.verb for one in read(careless)] == ["FROM", "WORKDIR", "COPY", "USER", "CMD"]


@SLOW
@given(data=st.data())
def test_any_change_of_an_instruction_is_noticed(data: st.DataObject) -> None:
    text = render(FULL, CATALOGUE)
    at = data.draw(st.integers(0, len(text)))
    changed = text[:at] + data.draw(VISIBLE | INVISIBLE) + text[at:]
    before = [read(text) for read in READERS]
    try:
        check(changed, FULL, CATALOGUE)
    except WorkFailed:
        return
    after = [read(changed) for read in READERS]
    for old, new in zip(
        before, after, strict=True
    ):  # it went into a comment, or between two words of the lab's own
        assert [(one.verb, one.value.split()) for one in old] == [
            (one.verb, one.value.split()) for one in new
        ]


QUIRKS = {
    "another instruction": "USER root",
    "a second base": "FROM scratch",
    "a named stage": "FROM cyberlab/python AS other",
    "a variable for the base": "ARG BASE=cyberlab/python\nFROM ${BASE}",
    "a heredoc": "RUN cat <<E\nUSER root\nE",
    "a heredoc that executes": "RUN <<E\nUSER root\nE",
    "a trigger for other builds": "ONBUILD RUN id",
    "a bind mount": "RUN --mount=type=bind,from=cyberlab/node,target=/x ls /x",
    "the insecure mode": "RUN --security=insecure id",
    "the host's network": "RUN --network=host id",
    "a file of another image": "COPY --from=cyberlab/node /etc/passwd ./",
    "an address": "ADD http://127.0.0.1:8000/x ./",
    "a shell": 'SHELL ["/bin/bash", "-c"]',
    "an entry point": 'ENTRYPOINT ["sh"]',
    "a check": "HEALTHCHECK CMD id",
    "an unknown verb": "ROOT now",
    "lower case": "user root",
    "a folded line": "RUN echo \\\nUSER root",
    "a comment inside a folded line": "RUN echo \\\n# x\n USER root",
    "an empty line inside a folded line": "RUN echo \\\n\nUSER root",
    "the end inside a line": "RUN echo \\",
    "a folded nothing": "\\\nUSER root",
    "a NUL before more": "RUN true\0\nUSER root",
    "a carriage return": "RUN true\rUSER root",
    "a form feed": "RUN true\x0cUSER root",
    "a vertical tab": "RUN true\x0bUSER root",
    "a line separator": "RUN true\u2028USER root",
    "a next-line character": "RUN true\x85USER root",
    "an overridden direction": "RUN true \u202eresu",
    "a tab before the verb": "\tUSER root",
    "half a pair": "RUN true \ud800",
}


@pytest.mark.parametrize("lines", QUIRKS.values(), ids=QUIRKS)
@pytest.mark.parametrize("place", ["\n\n# Run as", "\n\n# What runs"])
def test_what_engines_read_in_their_own_way_is_refused(lines: str, place: str) -> None:
    text = render(FULL, CATALOGUE)
    assert place in text
    with pytest.raises(WorkFailed) as refused:
        check(text.replace(place, f"\n{lines}{place}"), FULL, CATALOGUE)
    assert refused.value.code == "dockerfile-refused"


@pytest.mark.parametrize(
    "head", ["# escape=`\n", "# syntax=docker/dockerfile:1\n", "#\tcheck=skip=all\n", "\ufeff", "ARG X=1\n"]
)
def test_nothing_may_stand_before_the_first_line(head: str) -> None:
    with pytest.raises(WorkFailed, match="do not agree"):
        check(head + render(FULL, CATALOGUE), FULL, CATALOGUE)


@pytest.mark.parametrize(
    "line", ["USER 1000:1000", "COPY --chown=1000:1000 files/ ./", "RUN echo \"a\"   'b' $HOME && true"]
)
def test_nothing_may_be_missing_or_doubled(line: str) -> None:
    text = render(FULL, CATALOGUE)
    for other in (text.replace(f"{line}\n", ""), text.replace(line, f"{line}\n{line}")):
        with pytest.raises(WorkFailed):
            check(other, FULL, CATALOGUE)


@pytest.mark.parametrize(
    "image", ["${X}", "scratch AS x", "--platform=linux/arm64 cyberlab/python", "cyberlab/python\nUSER root"]
)
def test_a_catalogue_cannot_smuggle_a_second_word_into_from(image: str) -> None:
    base = CATALOGUE.bases[0].model_copy(update={"image": image})
    with pytest.raises(WorkFailed, match="unusual name"):
        proven(spec(base=base.name), CATALOGUE.model_copy(update={"bases": (base,)}))


def test_a_reader_that_disagrees_stops_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(text: str) -> tuple[readings.Instruction, ...]:
        return readings.by_lines(text)[:-1]

    monkeypatch.setattr(proof, "READERS", (*READERS, blind))
    with pytest.raises(WorkFailed, match="4 instructions instead of 5"):
        proven(spec(), CATALOGUE)
