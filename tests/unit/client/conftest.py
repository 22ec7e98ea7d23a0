from __future__ import annotations

from collections.abc import Iterator

import pytest
from client_server import TOKEN, Server, serving
from cyberlab.lab import Lab


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as one:
        yield one


@pytest.fixture
def lab(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    monkeypatch.setenv("JUPYTERHUB_USER", "anna")
    monkeypatch.setenv("CYBERLAB_URL", f"{server.url}/api")
    monkeypatch.setenv("CYBERLAB_TOKEN", TOKEN)
    server.url += "/api"
    one = Lab()
    yield one
    one.close()
