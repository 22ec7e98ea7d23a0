"""Failed builds in a student's words. The lines are what pip, apt, npm and the engine really printed."""

from __future__ import annotations

import pytest
from cyberlab_hub.workshop.build_words import explain

STEP = "step 3 of 7 (RUN x)"
NON_ZERO = "The command '/bin/sh -c x' returned a non-zero code: 1"


@pytest.mark.parametrize(
    ("line", "sentence", "path", "code"),
    [
        (
            "ERROR: No matching distribution found for nmpy==3",
            "pip found no version of “nmpy==3”",
            "pip",
            "package-unknown",
        ),
        (
            "ERROR: Invalid requirement: 'numpy=>1': Expected semicolon",
            "does not understand “numpy=>1”",
            "pip",
            "package-invalid",
        ),
        (
            "ERROR: ResolutionImpossible: for help visit https://pip.pypa.io",
            "cannot be installed together",
            "pip",
            "packages-conflict",
        ),
        ("ERROR: Failed building wheel for pycairo", "could not build “pycairo”", "pip", "package-failed"),
        ("E: Unable to locate package nosuchpkg", "no package “nosuchpkg”", "apt", "package-unknown"),
        ("E: Version '99' for 'hello' was not found", "no such version of “hello”", "apt", "package-unknown"),
        (
            "E: Package 'foo' has no installation candidate",
            "does not offer the package “foo”",
            "apt",
            "package-unknown",
        ),
        (
            "npm error 404  'no-such-zq@*' is not in this registry.",
            "npm has no package “no-such-zq@*”",
            "npm",
            "package-unknown",
        ),
        (
            "npm error notarget No matching version found for mqtt@99.9.9.",
            "no such version of “mqtt@99.9.9”",
            "npm",
            "package-unknown",
        ),
    ],
)
def test_a_package_that_cannot_be_installed_names_package_and_field(
    line: str, sentence: str, path: str, code: str
) -> None:
    told = explain(STEP, ["Collecting things", line, ""], NON_ZERO, 1024)
    assert told.code == "build-failed"
    assert sentence in told.message
    assert line.strip() in told.message
    assert STEP in told.message
    assert [(problem.path, problem.code) for problem in told.problems] == [(path, code)]


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("dd: error writing '/x': No space left on device", "disk of the workshop is full"),
        ("File size limit exceeded", "larger than a build may write"),
        ("/bin/sh: 1: foobar: not found", "no command “foobar”"),
        ("bash: foobar: command not found", "no command “foobar”"),
        ("W: Temporary failure resolving 'deb.example.org'", "could not reach a server"),
        ("<urlopen error [Errno -2] Name or service not known>", "could not reach a server"),
        ("sh: 0: Cannot fork", "more processes"),
        ("MemoryError", "more memory than its 1024 MB"),
    ],
)
def test_other_failures_are_explained_without_blaming_a_field(line: str, sentence: str) -> None:
    told = explain(STEP, [line], NON_ZERO, 1024)
    assert sentence in told.message
    assert told.problems == ()


def test_a_full_disk_has_its_own_code() -> None:
    assert explain(STEP, [], "write /x: no space left on device", 1024).code == "disk-full"


def test_a_killed_step_is_a_lack_of_memory() -> None:
    told = explain(STEP, ["working"], "The command 'x' returned a non-zero code: 137", 512)
    assert "more memory than its 512 MB" in told.message


def test_without_a_network_pip_is_not_believed_that_the_library_does_not_exist() -> None:
    lines = [
        "WARNING: Retrying after connection broken by 'Failed to establish a new connection'",
        "ERROR: No matching distribution found for numpy",
    ]
    told = explain(STEP, lines, NON_ZERO, 1024)
    assert "could not reach a server" in told.message


def test_an_unknown_failure_quotes_the_line_that_speaks_of_an_error() -> None:
    told = explain(STEP, ["all well", "ValueError: bad thing", "see the log"], NON_ZERO, 1024)
    assert told.message == f"The build failed in {STEP}: ValueError: bad thing"


def test_a_silent_failure_passes_the_engines_word_on() -> None:
    assert NON_ZERO in explain(STEP, [], NON_ZERO, 1024).message


@pytest.mark.parametrize("text", ["{0}", "{memory_mb} {", "100% {x!r}"])
def test_braces_in_a_log_are_only_text(text: str) -> None:
    assert text in explain(STEP, [text], NON_ZERO, 1).message
