"""The build context and its labels."""

from __future__ import annotations

import io
import tarfile

import pytest
from cyberlab_hub.errors import WorkFailed
from cyberlab_hub.workshop.context import DOCKERFILE, context_tar, labelled
from cyberlab_hub.workshop.limits import CONTEXT_BYTES


def entries(context: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        return {info.name: info for info in tar.getmembers()}


def test_equal_files_make_equal_bytes_whatever_their_order() -> None:
    files = [("b.py", b"2"), ("a/a.py", b"1")]
    assert context_tar("FROM x\n", files) == context_tar("FROM x\n", reversed(files))


def test_the_dockerfile_is_inside_and_scripts_may_be_run() -> None:
    found = entries(context_tar("FROM x\n", [("run.sh", b"#!/bin/sh\n"), ("Dockerfile", b"mine")]))
    assert set(found) == {DOCKERFILE, "run.sh", "Dockerfile"}
    assert (found["run.sh"].mode, found["Dockerfile"].mode) == (0o755, 0o644)
    assert {info.mtime for info in found.values()} == {0}


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "",
        ".",
        ".dockerignore",
        DOCKERFILE,
        "./.dockerignore",
        "a\nb",
        "a\0b",
    ],
)
def test_a_path_that_leaves_the_context_or_steers_the_builder_is_refused(path: str) -> None:
    with pytest.raises(WorkFailed) as caught:
        context_tar("FROM x\n", [(path, b"")])
    assert caught.value.code == "context-refused"


def test_a_context_has_a_limit() -> None:
    with pytest.raises(WorkFailed) as caught:
        context_tar("FROM x\n", [("big", bytes(CONTEXT_BYTES + 1))])
    assert caught.value.code == "context-refused"


def test_labels_are_one_last_instruction() -> None:
    assert labelled("FROM x\n", {"b": "2", "a": "1"}) == 'FROM x\nLABEL "a"="1" "b"="2"\n'
    assert labelled("FROM x\n", {}) == "FROM x\n"


def test_a_label_cannot_break_out_of_its_place() -> None:
    text = labelled("FROM x\n", {"owner": 'a"\nRUN evil $HOME \\'})
    assert text.count("\n") == 2
    assert text.endswith('LABEL "owner"="a\\" RUN evil \\$HOME \\\\"\n')
