"""Lines of the broker's log as audit entries: whose, how many, and nothing that a stranger could forge."""

from __future__ import annotations

import pytest
from cyberlab.wire import AuditEntry
from cyberlab_hub.ingest.mqtt.logins import Login
from cyberlab_hub.ingest.mqtt.said import STRANGERS, Said
from cyberlab_hub.ingest.tokens import Sender

USER = "0123456789abcdef.balcony"


class Heard:
    def __init__(self) -> None:
        self.at = 0.0
        self.noted: list[AuditEntry] = []
        sender = Sender(owner="anna", deployment="", devices=frozenset({"balcony"}), agent=False)
        login = Login(USER, "balcony", sender, "")
        self.said = Said(lambda: {USER: login}, self.noted.append, clock=lambda: self.at)

    def take(self, text: str) -> list[tuple[str, str, str, str, int]]:
        self.said.take(text.encode())
        return [(e.actor, e.reason, e.object, e.address, e.times) for e in self.noted]


@pytest.fixture
def heard() -> Heard:
    return Heard()


def denied(topic: str, user: str = USER) -> str:
    return f"0 Denied PUBLISH from {user} (d0, q1, r0, m1, '{topic}', ... (3 bytes))"


def refused(named: str, client: str = "<unknown>") -> str:
    return f"0 Sending CONNACK to {named} (0, 5)\nClient {client} disconnected, not authorised."


def test_a_denied_publish_is_its_owners(heard: Heard) -> None:
    told = heard.take(denied("cyberlab/ben/x"))
    assert told == [("anna", "topic-denied", "thing on balcony to cyberlab/ben/x", "", 1)]


def test_a_flood_is_one_row_a_second_and_its_count(heard: Heard) -> None:
    for _ in range(1_000):
        heard.take(denied("x"))
    heard.at = 1.0
    heard.said.tick()
    assert [entry.times for entry in heard.noted] == [1, 999]


@pytest.mark.parametrize(
    "topic",
    ["x\x1b[31m", "x\nDenied PUBLISH", "x\u202ey", f"x', ... (1 bytes))\n0 {denied('y')}", "x" * 9_000],
)
def test_no_topic_steers_a_terminal_or_forges_a_row(heard: Heard, topic: str) -> None:
    ((actor, reason, what, _, times),) = heard.take(denied(topic))
    assert (actor, reason, times) == ("anna", "topic-denied", 1)
    assert what.isascii()
    assert what.isprintable()
    assert len(what) < 120


def listens(topic: str, user: str = USER) -> str:
    return f"0 Received SUBSCRIBE from {user}\n\t{topic} (QoS 1)"


@pytest.mark.parametrize(
    "topic", ["#", "cyberlab/ben/#", f"refused/anna/{USER}/#", f"refused/ben/{USER}", "x (QoS 1)"]
)
def test_who_listens_to_what_is_anothers(heard: Heard, topic: str) -> None:
    assert heard.take(listens(topic)) == [
        ("anna", "topic-denied", f"thing on balcony listens to {topic}", "", 1)
    ]


@pytest.mark.parametrize(
    ("topic", "user"),
    [(f"refused/anna/{USER}", USER), ("cyberlab/ben/#", "gateway.ben"), ("#", "0123456789abcdff.balcony")],
)
def test_what_one_may_listen_to_is_no_refusal(heard: Heard, topic: str, user: str) -> None:
    assert heard.take(listens(topic, user)) == []


def test_an_unknown_login_is_nobodys(heard: Heard) -> None:
    assert heard.take(denied("x", "0123456789abcdff.balcony")) == [("", "topic-denied", "", "", 1)]


def test_a_refused_login_has_its_address_and_no_name(heard: Heard) -> None:
    assert heard.take(refused("10.1.2.3")) == [("", "login-refused", "", "10.1.2.3", 1)]


@pytest.mark.parametrize(
    ("named", "client"),
    [
        ("10.1.2.3", "10.1.2.3"),  # a client id that looks like an address
        ("<unknown>", "<unknown>"),
        ("1.2.3.999", "<unknown>"),
        ("x\nClient y", f"Denied PUBLISH from {USER} (d0, q0, r0, m0, 'x', ... (1 bytes))"),
    ],
)
def test_what_a_stranger_says_of_himself_is_no_address(heard: Heard, named: str, client: str) -> None:
    assert heard.take(refused(named, client)) == [("", "login-refused", "", "", 1)]


def test_many_addresses_do_not_fill_the_memory(heard: Heard) -> None:
    for n in range(5_000):
        heard.take(refused(f"10.0.{n // 250}.{n % 250}"))
    assert len(heard.noted) <= STRANGERS + 3
    heard.at = 1.0
    heard.said.tick()
    assert sum(entry.times for entry in heard.noted) == 5_000


def test_what_was_not_heard_is_said(heard: Heard) -> None:
    told = heard.take(denied("x").replace("0 ", "12 ", 1))
    assert [(actor, reason, times) for actor, reason, _, _, times in told] == [
        ("", "not-heard", 12),
        ("anna", "topic-denied", 1),
    ]


@pytest.mark.parametrize(
    "text", ["", "x", "-1 Denied", "0 Received PUBLISH from x", "0 Client x disconnected."]
)
def test_anything_else_is_no_entry(heard: Heard, text: str) -> None:
    assert heard.take(text) == []
