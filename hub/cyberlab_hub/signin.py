"""Signing in and up on the hub's pages: NativeAuthenticator, repaired for JupyterHub 6.

What is repaired, and why:

- its login handler uses ``self.statsd``, gone in JupyterHub 6 (each login gave 500): ours is the hub's own;
- it approves and discards accounts by GET, so a link in a mail could: ours are POSTs (`account_pages`);
- whoever signed up under an administrator's name became one: nobody is approved by a name, and the first
  administrator is made at set-up (`accounts.create_account`);
- bcrypt ran on the event loop: thirty students signing in at once froze the hub for ten seconds.

Guessing is limited by name, also for names that nobody has (the answers do not tell which exist), and by the
address that guesses. Every attempt is a line in the hub's log that begins with ``sign-in``.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any, ClassVar

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LoginHandler, LogoutHandler
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo
from tornado import web

from cyberlab_hub import accounts
from cyberlab_hub.account_pages import AccountHandler, AccountsHandler, PasswordHandler
from cyberlab_hub.addresses import caller_of
from cyberlab_hub.audit_notes import HubNotes
from cyberlab_hub.throttle import Throttle, in_minutes, machine_of

MAX_WAITING = 200
"""Accounts waiting for approval at once; a script that signs up for ever stops here."""

ADDRESS_TRIES = 60
"""Wrong passwords from one address in ten minutes: a class behind one router makes typing mistakes too."""
ADDRESS_SIGN_UPS = 60
"""Requests for an account from one address in ten minutes."""

WRONG = "The name or the password is wrong. Look at Caps Lock, and try again."
_NOBODY = accounts.hash_password(secrets.token_hex(16))
"""Checked when the name is unknown, so that the answer takes as long as for a known one."""


class LabAuthenticator(NativeAuthenticator):  # type: ignore[misc]  # nativeauthenticator ships no types
    """Names and passwords in the hub's database; approval by an administrator is the gate."""

    notes: ClassVar[HubNotes | None] = None
    """Where the audit is written; set where the hub is wired."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.throttle = Throttle(self.allowed_failed_logins, self.seconds_before_next_try)
        self.addresses = Throttle(ADDRESS_TRIES, self.seconds_before_next_try)
        self.sign_ups = Throttle(ADDRESS_SIGN_UPS, self.seconds_before_next_try)

    def validate_username(self, username: str) -> bool:
        return accounts.name_problem(username) is None

    def get_user(self, username: str) -> Any:
        """The account's row as it is now; `cyberlab-hub user` changes it behind this session's back."""
        query = self.db.query(UserInfo).populate_existing()
        return query.filter(UserInfo.username == self.normalize_username(username)).first()

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        """The name when the password is right and the account approved; else None, and why on the handler."""
        name: str = self.normalize_username(data.get("username", ""))
        address = machine_of(caller_of(handler.request))
        handler.refusal = self._too_many(name, address)
        if handler.refusal:
            self._note(handler, "refused, too many tries", name, address, "too-many-tries")
            return None
        # no longer name can be an account's, and nobody fills the memory with them
        known_form = accounts.name_problem(name) is None
        self.addresses.tries(address)
        if known_form:
            self.throttle.tries(name)
        info = self.get_user(name) if known_form else None
        hashed, approved = (info.password, info.is_authorized) if info else (_NOBODY, False)
        matches = await asyncio.to_thread(accounts.password_matches, data.get("password", ""), hashed)
        if info is None or not matches:
            handler.refusal = WRONG
            self._note(handler, "failed", name, address, "password-wrong" if info else "account-unknown")
            return None
        self.throttle.succeeded(name)
        self.addresses.take_back(address)
        if not approved:
            handler.refusal = f"The account “{name}” waits for an administrator's approval. Try again later."
            self._note(handler, "refused, not approved", name, address, "not-approved")
            return None
        self._note(handler, "done", name, address)
        self._look_again(name)
        return name

    def _too_many(self, name: str, address: str) -> str | None:
        """The refusal when the name or the address has guessed too often; the same for names nobody has."""
        wait = self.throttle.blocked_for(name)
        if wait:
            return (
                f"Too many wrong passwords for “{name}”. Wait {in_minutes(wait)}, then try again, "
                "or ask an administrator for a new password."
            )
        wait = self.addresses.blocked_for(address)
        if wait:
            return f"Too many wrong passwords from your address. Wait {in_minutes(wait)}, then try again."
        return None

    def _note(self, handler: Any, what: str, name: str, address: str, reason: str = "") -> None:
        shown = name[: accounts.NAME_LENGTH]
        # %r: a name with a line end in it must not look like a line of its own
        self.log.info("sign-in %s: name %r from %s", what, shown, address)
        # whoever does not get in is nobody: the name is only what was claimed
        self.note(handler, "" if reason else name, "sign_in", shown, reason)

    def note(self, handler: Any, actor: str, action: str, about: str, reason: str = "") -> None:
        """A row of the lab's audit; with a `reason` it was refused."""
        if self.notes is not None:
            self.notes.put(handler.request, actor, action, about, reason)

    def _look_again(self, name: str) -> None:
        """Read the hub's own row anew: it is kept in memory, and `cyberlab-hub user` may have changed its cookie id.

        A login with the old one would be followed by the sign-in page again, for ever.
        """
        user = orm.User.find(self.db, name)
        if user is not None:
            self.db.refresh(user)

    def sign_up_problems(self, name: str, password: str, again: str) -> dict[str, str]:
        """Every problem of a sign-up form, by field."""
        found = {
            "name": accounts.name_problem(name),
            "password": self.password_problem(name, password),
            "again": None if password == again else "The two passwords differ.",
        }
        if found["name"] is None and self.get_user(name) is not None:
            found["name"] = f"“{name}” is taken. Choose another name."
        waiting = self.db.query(UserInfo).filter(~UserInfo.is_authorized).count()
        if waiting >= MAX_WAITING:
            found["name"] = "Too many accounts wait for approval. Ask an administrator to look at them."
        return {field: problem for field, problem in found.items() if problem}

    def password_problem(self, name: str, password: str) -> str | None:
        problem = accounts.password_problem(name, password)
        if problem is None and self.is_password_common(password):
            problem = "That password is on the list everybody tries first. Choose another one."
        return problem

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:  # noqa: ARG002 - the hub passes it
        return [
            (r"/login", SignInHandler),
            (r"/logout", LogoutHandler),
            (r"/signup", SignUpHandler),
            (r"/change-password", PasswordHandler),
            (r"/accounts", AccountsHandler),
            (r"/accounts/([^/]+)/(approve|revoke|remove|reset)", AccountHandler),
        ]


class SignInHandler(LoginHandler):  # type: ignore[misc]  # jupyterhub ships no types
    """The hub's own login page with our words for a refusal."""

    refusal: str | None = None

    def _render(self, login_error: str | None = None, username: str | None = None, **kwargs: Any) -> Any:
        return super()._render(
            login_error=self.refusal or login_error,
            username=username,
            enable_signup=self.authenticator.enable_signup,
            **kwargs,
        )

    async def login_user(self, data: dict[str, str] | None = None) -> Any:
        user = await super().login_user(data)
        if user:
            accounts.sync_admin_group(self.db, user.orm_user)
        return user


class SignUpHandler(BaseHandler):  # type: ignore[misc]  # jupyterhub ships no types
    """Ask for an account. It waits until an administrator approves it."""

    def prepare(self) -> Any:
        if not self.authenticator.enable_signup:
            raise web.HTTPError(404)
        return super().prepare()

    async def get(self) -> None:
        self.finish(await self.render_template("signup.html", problems={}, wanted="", done=False))

    async def post(self) -> None:
        name = self.get_body_argument("username", "").strip().lower()
        password = self.get_body_argument("password", "", strip=False)
        again = self.get_body_argument("again", "", strip=False)
        address = machine_of(caller_of(self.request))
        wait = self.authenticator.sign_ups.blocked_for(address)
        self.authenticator.sign_ups.tries(address)
        if wait:
            problems = {
                "name": f"Too many requests from your address. Wait {in_minutes(wait)}, then try again."
            }
            self.authenticator.note(self, "", "sign_up", name[: accounts.NAME_LENGTH], "too-many-requests")
        else:
            problems = self.authenticator.sign_up_problems(name, password, again)
        if not problems:
            hashed = await asyncio.to_thread(accounts.hash_password, password)
            # asked again: another request may have taken the name while this one was hashing
            problems = self.authenticator.sign_up_problems(name, password, again)
            if not problems:
                self.db.add(UserInfo(username=name, password=hashed, is_authorized=False))
                self.db.commit()
                self.log.info("Account %s asks for approval, from %s", name, address)
                self.authenticator.note(self, "", "sign_up", name)
        if problems:
            self.set_status(400)
        page = await self.render_template("signup.html", problems=problems, wanted=name, done=not problems)
        self.finish(page)
