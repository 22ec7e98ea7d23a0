from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest
from cyberlab_hub import accounts
from cyberlab_hub.errors import Conflict, HubError, NotFound, PartDown, SpecRefused
from cyberlab_hub.settings import Settings

GOOD = "correct horse staple"


@pytest.fixture
def lab(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path)


@pytest.mark.parametrize("name", ["a", "anna", "anna-b", "a1", "x" * 40, "student", "admin"])
def test_names_that_are_possible(name: str) -> None:
    assert accounts.name_problem(name) is None


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", "Anna", "anna ", "anna\n", "1anna", "-anna", "anna-", "an--na", "x" * 41, "has@sign"),
        *("user--foo", "анна", "a/b", "a.b", "_lab", "..", "a\0", "fleet", "mine", "a%2fb"),
    ],
)
def test_names_that_are_not(name: str) -> None:
    assert accounts.name_problem(name)


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "at least 10"),
        ("x" * 73, "at most 72"),
        ("ä" * 40, "at most 72"),
        ("aaaaaaaaaaaa", "easy to guess"),
        ("anna-1234567", "easy to guess"),
        ("abc\0defghijk", "NUL"),
    ],
)
def test_passwords_that_are_refused(password: str, words: str) -> None:
    problem = accounts.password_problem("anna", password)
    assert problem is not None
    assert words in problem


def test_account_from_making_to_shutting_out(lab: Settings) -> None:
    accounts.create_account(lab, "chief", GOOD, admin=True)
    accounts.create_account(lab, "anna", GOOD)
    assert accounts.list_accounts(lab) == (
        accounts.Account("anna", approved=True, admin=False),
        accounts.Account("chief", approved=True, admin=True),
    )
    accounts.approve(lab, "anna", approved=False)
    assert accounts.list_accounts(lab)[0].approved is False
    accounts.approve(lab, "anna")
    assert accounts.list_accounts(lab)[0].approved is True
    accounts.set_password(lab, "anna", "another horse staple")


def test_a_name_is_given_once_and_keeps_its_password(lab: Settings) -> None:
    accounts.create_account(lab, "anna", GOOD)
    with pytest.raises(Conflict) as refused:
        accounts.create_account(lab, "anna", "another horse staple", admin=True)
    assert refused.value.code == "name-taken"
    assert accounts.list_accounts(lab) == (accounts.Account("anna", approved=True, admin=False),)


def test_every_problem_at_once_and_nothing_made(lab: Settings) -> None:
    with pytest.raises(SpecRefused) as refused:
        accounts.create_account(lab, "Anna B", "short")
    assert [problem.path for problem in refused.value.problems] == ["name", "password"]
    assert not (lab.state / "jupyterhub.sqlite").exists()


@pytest.mark.parametrize(
    "call",
    [
        lambda lab: accounts.set_password(lab, "nobody", GOOD),
        lambda lab: accounts.approve(lab, "nobody"),
        lambda lab: accounts.api_token(lab, "nobody"),
    ],
)
def test_an_unknown_account_is_said_so(lab: Settings, call) -> None:  # type: ignore[no-untyped-def]  # three lambdas
    with pytest.raises(NotFound, match="no account “nobody”"):
        call(lab)


def test_token_before_the_hub_ever_ran(lab: Settings) -> None:
    accounts.create_account(lab, "anna", GOOD)
    with pytest.raises(PartDown, match="make up"):
        accounts.api_token(lab, "anna")


def test_token_of_an_account_that_waits(lab: Settings) -> None:
    accounts.create_account(lab, "anna", GOOD)
    accounts.approve(lab, "anna", approved=False)
    with pytest.raises(NotFound, match="waits for approval"):
        accounts.api_token(lab, "anna")


def test_database_is_private_and_logging_is_left_alone(lab: Settings) -> None:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    accounts.create_account(lab, "anna", GOOD)
    assert (root.handlers[:], root.level) == before
    assert stat.S_IMODE((lab.state / "jupyterhub.sqlite").stat().st_mode) == 0o600


def test_no_error_tells_a_password(lab: Settings, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(HubError) as refused:
        accounts.create_account(lab, "anna", "s3cr3t")
    told = f"{refused.value!r} {refused.value.info()} {caplog.text}"
    assert "s3cr3t" not in told


def test_state_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(PartDown, match="cannot be used"):
        accounts.list_accounts(Settings(state=tmp_path / "nowhere"))


def test_passwords_beyond_bcrypt_do_not_match_and_do_not_raise() -> None:
    hashed = accounts.hash_password(GOOD)
    assert accounts.password_matches(GOOD, hashed)
    assert not accounts.password_matches("x" * 5000, hashed)
    assert not accounts.password_matches("a\0b", hashed)
