"""Whose word is taken for where a request comes from."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from cyberlab_hub.addresses import caller_of, client_of, is_ours
from tornado.httputil import HTTPHeaders


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("198.51.100.1", 9))
        return str(probe.getsockname()[0])


def test_the_machines_own_addresses() -> None:
    assert is_ours("127.0.0.1")
    assert is_ours(own_address())
    assert not is_ours("203.0.113.7")
    assert not any(map(is_ours, ["", "localhost", "127.0.0.1 ", "10.0.0.1/8", "unix", "\0"]))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", "203.0.113.7", "203.0.113.7"),
        ("127.0.0.1", "6.6.6.6, 203.0.113.7", "203.0.113.7"),  # the client's own claim stands before
        ("127.0.0.1", "203.0.113.7, 127.0.0.1", "127.0.0.1"),  # a client on this machine has no better word
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "nonsense", "127.0.0.1"),
        ("127.0.0.1", "6.6.6.6, nonsense", "127.0.0.1"),
        ("203.0.113.9", "6.6.6.6", "203.0.113.9"),  # a user's server that speaks to us directly
        ("203.0.113.9", "127.0.0.1", "203.0.113.9"),
    ],
)
def test_the_client(peer: str, forwarded: str, client: str) -> None:
    assert client_of(peer, forwarded) == client


class Request:
    """As tornado gives it after it has believed the header."""

    def __init__(self, peer: str, forwarded: str) -> None:
        context: dict[str, Any] = {"_orig_remote_ip": peer, "remote_ip": "6.6.6.6"}
        self.connection = type("Connection", (), {"context": type("Context", (), context)})
        self.remote_ip = "6.6.6.6"
        self.headers = HTTPHeaders({"X-Forwarded-For": forwarded})


def test_on_the_hub_a_users_server_cannot_choose_its_address() -> None:
    assert caller_of(Request("203.0.113.9", "6.6.6.6")) == "203.0.113.9"
    assert caller_of(Request("127.0.0.1", "6.6.6.6, 203.0.113.7")) == "203.0.113.7"
