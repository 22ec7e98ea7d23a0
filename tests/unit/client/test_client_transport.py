"""The border to HTTP: addresses, tokens, proxies, and what each foreign answer means."""

from __future__ import annotations

import copy
import socket
import traceback

import pytest
from client_server import TOKEN, Server
from cyberlab import errors
from cyberlab.lab import Lab
from cyberlab.transport import Token, Transport, settings
from cyberlab.wire import API, Catalogue, ErrorBody, ErrorInfo, Problem

EMPTY = Catalogue(bases=(), scenarios=())


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("http://lab.example.org:8000", f"http://lab.example.org:8000{API}"),
        ("http://lab.example.org:8000/", f"http://lab.example.org:8000{API}"),
        (f"http://10.77.8.1:8082{API}/", f"http://10.77.8.1:8082{API}"),
        ("https://me:pass@lab.example.org/x?y=1#z", "https://lab.example.org/x"),
    ],
)
def test_the_address_is_completed(given: str, wanted: str) -> None:
    assert settings(given, "t")[0] == wanted


@pytest.mark.parametrize(
    "url", ["lab.example.org", "ftp://lab", "http://", "http://[::1", "file:///etc/passwd"]
)
def test_an_address_that_is_none_is_said(url: str) -> None:
    with pytest.raises(errors.Unreachable) as caught:
        settings(url, "t")
    assert caught.value.code == "url-invalid"


def test_nothing_set_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CYBERLAB_URL", raising=False)
    monkeypatch.delenv("CYBERLAB_TOKEN", raising=False)
    with pytest.raises(errors.Unreachable, match="CYBERLAB_URL is not set"):
        Lab()
    with pytest.raises(errors.NotSignedIn, match="cyberlab-hub token"):
        Lab("http://127.0.0.1:1")


@pytest.mark.parametrize("token", ["a\nb", "a b", "tökén", "x\r\nHost: evil"])
def test_a_token_that_would_break_the_header_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(errors.NotSignedIn) as caught:
        settings("http://127.0.0.1:1", token)
    assert token not in "".join(traceback.format_exception(caught.value)).replace("raise", "")
    assert caught.value.code == "token-invalid"


def test_the_token_is_shown_nowhere(server: Server, lab: Lab) -> None:
    server.on("GET", "/api/catalogue", lambda call: call.text(500, "boom"))
    with pytest.raises(errors.LabError) as caught:
        lab.catalogue()
    shown = repr(lab) + repr(vars(lab)) + repr(vars(lab._transport)) + repr(lab._transport._http.headers)
    shown += "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))
    assert TOKEN not in shown
    assert server.calls[-1].headers["Authorization"] == f"Bearer {TOKEN}"


def test_a_proxy_of_the_environment_is_not_asked(
    server: Server, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.on("GET", "/api/catalogue", EMPTY)
    with_proxy = Lab()
    assert with_proxy.catalogue() == EMPTY
    with_proxy.close()


def test_a_lab_that_is_not_there_names_its_address_and_what_to_try() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x"
    transport = Transport(url, Token(text="t"))
    with pytest.raises(errors.Unreachable) as caught:
        transport.get("/catalogue", Catalogue)
    transport.close()
    assert url in caught.value.message
    assert "cyberlab-hub status" in caught.value.message
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (502, "<html>Bad Gateway</html>", errors.Unreachable, "behind its proxy"),
        (503, "<html>Service Unavailable</html>", errors.Unreachable, "behind its proxy"),
        (404, '{"detail": "Not Found"}', errors.NotFound, "not this lab's API"),
        (302, "", errors.LabError, "not this lab's API"),
        (401, "", errors.NotSignedIn, "refused the token"),
        (500, "Internal Server Error", errors.LabError, "mistake of its own"),
        (200, "<html>hello</html>", errors.LabError, "different versions"),
    ],
)
def test_foreign_answers(
    server: Server, lab: Lab, status: int, body: str, kind: type[Exception], words: str
) -> None:
    server.on("GET", "/api/catalogue", lambda call: call.text(status, body))
    with pytest.raises(kind, match=words):
        lab.catalogue()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "token-refused", errors.NotSignedIn),
        (403, "scope-missing", errors.NotAllowed),
        (404, "image-unknown", errors.NotFound),
        (409, "image-in-use", errors.Conflict),
        (409, "name-taken", errors.NameTaken),
        (400, "query-refused", errors.QueryRefused),
        (422, "spec-refused", errors.SpecRefused),
        (429, "quota-builds", errors.OverQuota),
        (503, "engine-down", errors.PartDown),
        (418, "odd", errors.LabError),
    ],
)
def test_errors_of_the_lab_keep_code_message_and_problems(
    server: Server, lab: Lab, status: int, code: str, kind: type[errors.LabError]
) -> None:
    problem = Problem(path="pip[0]", code="pip-invalid", message="numpy = 2 is not a requirement.")
    body = ErrorBody(error=ErrorInfo(code=code, message="So it is.", problems=(problem,)))
    server.on("GET", "/api/catalogue", lambda call: call.json(status, body))
    with pytest.raises(kind) as caught:
        lab.catalogue()
    error = caught.value
    assert (error.code, error.message, error.problems) == (code, "So it is.", (problem,))
    assert str(error) == "So it is.\n  pip[0]: numpy = 2 is not a requirement."
    assert str(kind(code, problem.message, (problem,))) == problem.message, "said once"
    assert type(copy.copy(error.problems[0])) is Problem


def test_what_a_user_types_stays_in_its_part_of_the_path(server: Server, lab: Lab) -> None:
    with pytest.raises(errors.NotFound):
        lab.deployment("../images/x?y#z")
    assert server.calls[-1].path == "/api/deployments/..%2Fimages%2Fx%3Fy%23z"
