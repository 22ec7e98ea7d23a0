from __future__ import annotations

import pytest
from cyberlab.spec.custom import custom_lines, custom_problems


@pytest.mark.parametrize(
    "line",
    [
        "RUN echo hello",
        "run echo hello && touch /tmp/x | cat > 'y z'",
        "   RUN   echo hello   ",
        "RUN [ -f main.py ] || echo missing",
        'RUN ["echo", "hello"]',
        "RUN echo 'grüß dich' # note",
        "LABEL course=iot",
        'LABEL org.opencontainers.image.title="My program, first version"',
        "# a comment",
        "",
    ],
)
def test_allowed(line: str) -> None:
    assert list(custom_problems(line)) == []


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("FROM cyberlab/python", "custom-verb"),
        ("from other", "custom-verb"),
        ("USER root", "custom-verb"),
        ("COPY --from=other/image /etc /etc", "custom-verb"),
        ("ADD http://example.org/x /", "custom-verb"),
        ("ONBUILD RUN id", "custom-verb"),
        ("ENTRYPOINT sh", "custom-verb"),
        ('SHELL ["/bin/evil"]', "custom-verb"),
        ("ARG X", "custom-verb"),
        ("VOLUME /x", "custom-verb"),
        ("HEALTHCHECK CMD id", "custom-verb"),
        ("STOPSIGNAL 9", "custom-verb"),
        ("WORKDIR /", "custom-verb"),
        ("ENV PATH=/x", "custom-verb"),
        ("RUNX id", "custom-verb"),
        ("echo hello", "custom-verb"),
        ("RUN\u00a0id", "custom-verb"),
        ("RUN", "custom-form"),
        ("RUN\tid", "custom-form"),
        ("RUN --mount=type=bind,from=other/image,target=/x id", "custom-form"),
        ("RUN   --network=host id", "custom-form"),
        ("RUN cat <<EOF", "custom-form"),
        ("RUN echo \\", "custom-form"),
        ("RUN echo \\   ", "custom-form"),
        ("RUN echo `", "custom-form"),
        ("RUN a\rUSER root", "custom-form"),
        ("RUN a\x0bUSER root", "custom-form"),
        ("RUN a\u2028USER root", "custom-form"),
        ("RUN a\0", "custom-form"),
        ("# syntax=other/frontend", "custom-form"),
        ("#escape=`", "custom-form"),
        ("LABEL", "custom-form"),
        ("LABEL a b", "custom-form"),
        ('LABEL a="x" b="y"', "custom-form"),
        ('LABEL a="$HOME"', "custom-form"),
        ("LABEL cyberlab.owner=teacher", "custom-form"),
        ("RUN " + "x" * 1000, "custom-too-long"),
        ("\n" * 40, "custom-too-long"),
    ],
)
def test_refused(line: str, code: str) -> None:
    assert [problem.code for problem in custom_problems(line)] == [code]


def test_every_bad_line_is_named() -> None:
    messages = [problem.message for problem in custom_problems("RUN ok\nUSER root\n\nFROM x")]
    assert [message.split(":")[0] for message in messages] == ["Line 2", "Line 4"]


def test_lines_as_they_are_written() -> None:
    assert custom_lines("  run  echo   a \n\n# note\nlabel a=b") == ("RUN echo   a", "# note", "LABEL a=b")
