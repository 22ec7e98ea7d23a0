"""Accounts: names, passwords, approval, tokens. What the command line calls and the sign-in pages share.

An account is a row of NativeAuthenticator's table `users_info` in the hub's own database; who administers is
the hub's business (`User.admin`, and the group `ADMINS`, which carries the lab's administration scope).
Everything here works on that database directly, whether the hub runs or not: the hub looks passwords, tokens
and cookies up there each time. So the lab service needs no right to make other people's tokens.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import bcrypt
from cyberlab.wire import Problem
from jupyterhub import orm, roles
from jupyterhub.scopes import define_custom_scopes
from nativeauthenticator.orm import UserInfo
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from cyberlab_hub.errors import Conflict, HubError, NotFound, PartDown, SpecRefused
from cyberlab_hub.settings import Settings

USE = "custom:cyberlab:use"
ADMINISTER = "custom:cyberlab:admin"
SCOPES = {
    USE: {"description": "Use the lab: build, try out, deploy, read own data"},
    ADMINISTER: {"description": "Administer the lab: see everyone's work and the audit log"},
}
"""The lab's own scopes, as `JupyterHub.custom_scopes` wants them."""

ADMINS = "cyberlab-admins"
"""Hub group whose members hold `ADMINISTER`: the hub's role `admin` takes no further scopes."""

NAME = re.compile(r"[a-z](?:-?[a-z0-9])*")
NAME_LENGTH = 40
RESERVED = frozenset({"fleet", "lab", "mine", "notebook", "shared", "system"})
"""Words with a meaning of their own where an owner's name stands (databases, registry, log tags)."""

PASSWORD_LENGTH = 10
PASSWORD_BYTES = 72
"""What bcrypt reads; a longer password would be cut without a word."""


@dataclass(frozen=True)
class Account:
    name: str
    approved: bool
    """May sign in."""
    admin: bool


# ---------------------------------------------------------------- rules
def name_problem(name: str) -> str | None:
    """Why `name` cannot be an account's name, in one sentence; None when it can."""
    if not name:
        return "Choose a name."
    if len(name) > NAME_LENGTH:
        return f"The name has {len(name)} characters; at most {NAME_LENGTH} are possible."
    if NAME.fullmatch(name) is None:
        return "Use lower-case letters, digits and single hyphens, and begin with a letter, as in “anna-b”."
    if name in RESERVED:
        return f"“{name}” has a meaning of its own in the lab. Choose another name."
    return None


def password_problem(name: str, password: str) -> str | None:
    """Why `password` is no good for `name`, in one sentence; None when it is."""
    if len(password) < PASSWORD_LENGTH:
        return f"Use at least {PASSWORD_LENGTH} characters; three or four words make a good password."
    if len(password.encode()) > PASSWORD_BYTES:
        return f"The password is too long: at most {PASSWORD_BYTES} bytes are possible."
    if "\0" in password:
        return "The password contains a NUL character, which cannot be typed again. Choose another one."
    if len(set(password)) < 4 or (name and name in password.lower()):
        return "That is easy to guess. Do not use your name, and mix different characters."
    return None


def hash_password(password: str) -> bytes:
    """Takes about 0.2 s of one core, on purpose."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt())


def password_matches(password: str, hashed: bytes) -> bool:
    """Constant in time for any password; False for one that bcrypt cannot take."""
    try:
        return bcrypt.checkpw(password.encode(), hashed)
    except ValueError:
        return False


# ---------------------------------------------------------------- what the command line calls
def create_account(settings: Settings, name: str, password: str, admin: bool = False) -> None:
    """Make an approved account. Works before the hub's first start and while it runs.

    Raises:
        SpecRefused: ``account-refused``, with problems at ``name`` and ``password``.
        Conflict: ``name-taken``.
    """
    found = {"name": name_problem(name), "password": password_problem(name, password)}
    problems = tuple(Problem(path=p, code=f"{p}-invalid", message=m) for p, m in found.items() if m)
    if problems:
        raise SpecRefused("account-refused", " ".join(p.message for p in problems), problems)
    with _session(settings) as db:
        if UserInfo.find(db, name) is not None:
            raise Conflict("name-taken", f"There is an account “{name}” already. Choose another name.")
        db.add(UserInfo(username=name, password=hash_password(password), is_authorized=True))
        if admin:
            user = _hub_user(db, name)
            user.admin = True
            if orm.Role.find(db, "admin") is not None:
                roles.assign_default_roles(db, user)
            sync_admin_group(db, user)


def set_password(settings: Settings, name: str, password: str) -> None:
    """Change a password and sign the account out everywhere; its API tokens go on working.

    Raises:
        SpecRefused: ``account-refused``. NotFound: ``account-unknown``.
    """
    problem = password_problem(name, password)
    if problem is not None:
        detail = Problem(path="password", code="password-invalid", message=problem)
        raise SpecRefused("account-refused", problem, (detail,))
    with _session(settings) as db:
        _known(db, name).password = hash_password(password)
        user = orm.User.find(db, name)
        if user is not None:
            end_sessions(db, user)


def approve(settings: Settings, name: str, approved: bool = True) -> None:
    """Let an account sign in, or (``approved=False``) no longer: then its sessions and tokens end too.

    Raises:
        NotFound: ``account-unknown``.
    """
    with _session(settings) as db:
        _known(db, name).is_authorized = approved
        user = orm.User.find(db, name)
        if user is not None and not approved:
            end_sessions(db, user, tokens=True)


def list_accounts(settings: Settings) -> tuple[Account, ...]:
    """Every account by name, the waiting ones too."""
    with _session(settings) as db:
        return accounts(db)


def names_in_use(settings: Settings) -> frozenset[str]:
    """Every name that may own something: accounts, whoever signed in another way, and groups."""
    with _session(settings) as db:
        found = {row.username for row in db.query(UserInfo)}
        return frozenset(found | {one.name for kind in (orm.User, orm.Group) for one in db.query(kind)})


def api_token(
    settings: Settings,
    user: str,
    scopes: tuple[str, ...] = (USE,),
    expires_in: timedelta = timedelta(days=7),
    note: str = "cyberlab-hub token",
) -> str:
    """A narrow hub token for a user's scripts. The only time it is seen: the database keeps its hash.

    Raises:
        NotFound: ``account-unknown``: no such account, or not approved.
        SpecRefused: ``scope-refused``: a scope the user does not hold or the hub does not know.
        PartDown: ``hub-down``: the hub has never run here, so there is nothing to be admitted to.
    """
    with _session(settings) as db:
        if not _known(db, user).is_authorized:
            raise NotFound("account-unknown", f"The account “{user}” waits for approval. Approve it first.")
        if orm.Role.find(db, "user") is None:
            raise PartDown("hub-down", "The hub has not run here yet. Start the lab with `make up` first.")
        owner = _hub_user(db, user)
        roles.assign_default_roles(db, owner)
        db.commit()
        define_custom_scopes(SCOPES)  # this process's library has to know them, as the hub's does
        try:
            made: str = owner.new_api_token(
                scopes=list(scopes), expires_in=int(expires_in.total_seconds()), note=note
            )
        except (ValueError, KeyError) as error:
            raise SpecRefused("scope-refused", f"“{user}” cannot have this token: {error}") from error
        return made


# ---------------------------------------------------------------- shared with the sign-in pages
def accounts(db: Session) -> tuple[Account, ...]:
    admins = {user.name for user in db.query(orm.User).filter(orm.User.admin)}
    rows = db.query(UserInfo).order_by(UserInfo.username)
    return tuple(Account(row.username, bool(row.is_authorized), row.username in admins) for row in rows)


def end_sessions(db: Session, user: Any, tokens: bool = False) -> None:
    """Make every login cookie of the hub user worthless; with `tokens` every API token as well."""
    user.cookie_id = secrets.token_hex(16)
    if tokens:
        for token in list(user.api_tokens):
            db.delete(token)
    db.commit()


def sync_admin_group(db: Session, user: Any) -> None:
    """Put an administrator into `ADMINS`, and anyone else out of it."""
    group = orm.Group.find(db, ADMINS)
    if group is None:
        group = orm.Group(name=ADMINS)
        db.add(group)
    if user.admin and group not in user.groups:
        user.groups.append(group)
    elif not user.admin and group in user.groups:
        user.groups.remove(group)
    db.commit()


def own_secret(settings: Settings, name: str) -> str:
    """A secret that only the hub needs: made at its first start, mode 0600, kept from then on."""
    with suppress(FileExistsError):
        file = os.open(settings.secrets / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(file, "w") as out:
            out.write(secrets.token_hex(32))
    return settings.secret(name)


# ---------------------------------------------------------------- the hub's database
@contextmanager
def _session(settings: Settings) -> Iterator[Session]:
    """A session on the hub's database, made if need be; committed at the end, translated when it fails."""
    path = settings.state / "jupyterhub.sqlite"
    try:
        path.touch(mode=0o600)  # it holds password hashes and cookie ids
        with _quiet_alembic():
            factory = orm.new_session_factory(
                f"sqlite:///{path}", connect_args={"check_same_thread": False, "timeout": 15}
            )
        with factory() as db:
            yield db
            db.commit()
        factory.kw["bind"].dispose()
    except HubError:
        raise
    except (SQLAlchemyError, OSError) as error:
        raise PartDown("hub-down", f"The hub's database {path} cannot be used: {error}") from error


@contextmanager
def _quiet_alembic() -> Iterator[None]:
    """JupyterHub stamps an empty database with alembic, which takes over this process's logging to say so."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        root.handlers[:], root.level = handlers, level


def _known(db: Session, name: str) -> Any:
    info = UserInfo.find(db, name)
    if info is None:
        raise NotFound("account-unknown", f"There is no account “{name}”. See `cyberlab-hub user list`.")
    return info


def _hub_user(db: Session, name: str) -> Any:
    """The hub's own row for the account, made if it never signed in."""
    user = orm.User.find(db, name)
    if user is None:
        user = orm.User(name=name)
        db.add(user)
        db.commit()
    return user
