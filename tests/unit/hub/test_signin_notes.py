"""What the sign-in pages tell the audit: who got in, who did not and why; no password."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cyberlab_hub import accounts
from cyberlab_hub.audit_notes import HubNotes, note_command
from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.database import Database
from cyberlab_hub.settings import Settings
from cyberlab_hub.signin import LabAuthenticator
from tornado.httputil import HTTPHeaders

RIGHT, WRONG = "correct horse staple", "wr0ng-5ecr3t-mark"


class Account:
    def __init__(self, name: str, approved: bool) -> None:
        self.username, self.is_authorized = name, approved
        self.password = accounts.hash_password(RIGHT)


class Authenticator(LabAuthenticator):
    """With accounts of its own instead of the hub's database."""

    known: ClassVar = {"anna": Account("anna", True), "carl": Account("carl", False)}

    def __init__(self) -> None:
        super().__init__(allowed_failed_logins=3, seconds_before_next_try=600)

    def add_new_table(self) -> None:
        """There is no hub's database."""

    def get_user(self, username: str) -> Any:
        return self.known.get(username)

    def _look_again(self, name: str) -> None:
        """There is no hub."""


class Handler:
    def __init__(self) -> None:
        context = type("Context", (), {"_orig_remote_ip": "203.0.113.9", "remote_ip": "6.6.6.6"})
        self.request = type(
            "Request",
            (),
            {
                "connection": type("Connection", (), {"context": context}),
                "remote_ip": "6.6.6.6",
                "headers": HTTPHeaders({"X-Forwarded-For": "6.6.6.6"}),
            },
        )
        self.refusal = ""


def test_each_attempt_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(state=tmp_path)
    database = Database.open(settings.db_url)
    notes = HubNotes(settings)
    monkeypatch.setattr(LabAuthenticator, "notes", notes)
    authenticator = Authenticator()
    tried = [
        ("anna", RIGHT),
        ("anna", WRONG),
        ("nobody", WRONG),
        ("carl", RIGHT),
        ("anna", WRONG),
        ("anna", WRONG),
    ]
    tried += [("anna", RIGHT)]
    for name, password in tried:
        asyncio.run(authenticator.authenticate(Handler(), {"username": name, "password": password}))
    notes.close()
    kept = Audit(database).following(0, 50)
    assert [(e.actor, e.object, e.reason, e.allowed) for e in kept] == [
        ("anna", "anna", "", True),
        ("", "anna", "password-wrong", False),
        ("", "nobody", "account-unknown", False),
        ("", "carl", "not-approved", False),
        ("", "anna", "password-wrong", False),
        ("", "anna", "password-wrong", False),
        ("", "anna", "too-many-tries", False),
    ]
    assert {e.address for e in kept} == {"203.0.113.9"}, "what a client claims of itself is not believed"
    assert WRONG not in str(kept)
    assert RIGHT not in str(kept)
    database.close()


def test_a_hub_that_is_not_wired_to_a_lab_signs_people_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LabAuthenticator, "notes", None)
    name = asyncio.run(Authenticator().authenticate(Handler(), {"username": "anna", "password": RIGHT}))
    assert name == "anna"


def test_an_operators_command_is_a_row_or_says_that_it_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(state=tmp_path)
    assert "not in the audit" in note_command(settings, "approve_account", "anna")
    Database.open(settings.db_url).close()
    monkeypatch.setenv("SUDO_USER", "olga")
    assert note_command(settings, "approve_account", "anna") == ""
    assert note_command(settings, "set_password", "x", "account-unknown") == ""
    database = Database.open(settings.db_url)
    kept = Audit(database).following(0, 10)
    database.close()
    assert [(e.actor, e.action, e.object, e.allowed, e.reason) for e in kept] == [
        ("operator", "approve_account", "anna", True, ""),
        ("operator", "set_password", "x", False, "account-unknown"),
    ]
    assert {e.address for e in kept} == {"olga with sudo"}
