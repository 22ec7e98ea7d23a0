"""Signing in and up on the hub's pages: NativeAuthenticator, repaired for JupyterHub 6.

What is repaired, and why:

- its login handler uses ``self.statsd``, gone in JupyterHub 6 (each login gave 500): ours is the hub's own;
- it approves and discards accounts by GET, so a link in a mail could: ours are POSTs with the XSRF token;
- whoever signed up under an administrator's name became one: nobody is approved by a name, and the first
  administrator is made at set-up (`accounts.create_account`);
- bcrypt ran on the event loop: thirty students signing in at once froze the hub for ten seconds.
"""

from __future__ import annotations

import asyncio
import math
import secrets
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.handlers.login import LoginHandler, LogoutHandler
from jupyterhub.scopes import needs_scope
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo
from tornado import web

from cyberlab_hub import accounts
from cyberlab_hub.throttle import Throttle

MAX_WAITING = 200
"""Accounts waiting for approval at once; a script that signs up for ever stops here."""

WRONG = "The name or the password is wrong. Look at Caps Lock, and try again."
_NOBODY = accounts.hash_password(secrets.token_hex(16))
"""Checked when the name is unknown, so that the answer takes as long as for a known one."""


class LabAuthenticator(NativeAuthenticator):  # type: ignore[misc]  # nativeauthenticator ships no types
    """Names and passwords in the hub's database; approval by an administrator is the gate."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.throttle = Throttle(self.allowed_failed_logins, self.seconds_before_next_try)

    def validate_username(self, username: str) -> bool:
        return accounts.name_problem(username) is None

    def get_user(self, username: str) -> Any:
        """The account's row as it is now; `cyberlab-hub user` changes it behind this session's back."""
        query = self.db.query(UserInfo).populate_existing()
        return query.filter(UserInfo.username == self.normalize_username(username)).first()

    async def authenticate(self, handler: Any, data: dict[str, str]) -> str | None:
        """The name when the password is right and the account approved; else None, and why on the handler."""
        name: str = self.normalize_username(data.get("username", ""))
        password = data.get("password", "")
        info = self.get_user(name)
        if info is None:
            await asyncio.to_thread(accounts.password_matches, password, _NOBODY)
            handler.refusal = WRONG
            return None
        wait = self.throttle.blocked_for(name)
        if wait:
            minutes = math.ceil(wait / 60)
            handler.refusal = (
                f"Too many wrong passwords for “{name}”. Wait {minutes} minute{'s' * (minutes != 1)}, "
                "then try again, or ask an administrator for a new password."
            )
            return None
        self.throttle.tries(name)
        hashed, approved = info.password, info.is_authorized
        if not await asyncio.to_thread(accounts.password_matches, password, hashed):
            handler.refusal = WRONG
            return None
        self.throttle.succeeded(name)
        if not approved:
            handler.refusal = f"The account “{name}” waits for an administrator's approval. Try again later."
            return None
        self._look_again(name)
        return name

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
        problems = self.authenticator.sign_up_problems(name, password, again)
        if not problems:
            hashed = await asyncio.to_thread(accounts.hash_password, password)
            # asked again: another request may have taken the name while this one was hashing
            problems = self.authenticator.sign_up_problems(name, password, again)
            if not problems:
                self.db.add(UserInfo(username=name, password=hashed, is_authorized=False))
                self.db.commit()
                self.log.info("Account %s asks for approval", name)
        if problems:
            self.set_status(400)
        page = await self.render_template("signup.html", problems=problems, wanted=name, done=not problems)
        self.finish(page)


class PasswordHandler(BaseHandler):  # type: ignore[misc]  # jupyterhub ships no types
    """Change one's own password; other browsers are signed out."""

    @web.authenticated
    async def get(self) -> None:
        self.finish(await self.render_template("password.html", problem=None, done=False))

    @web.authenticated
    async def post(self) -> None:
        user = self.current_user
        new = self.get_body_argument("new", "", strip=False)
        problem = await self._problem(user.name, new)
        if problem is None:
            info = self.authenticator.get_user(user.name)
            info.password = await asyncio.to_thread(accounts.hash_password, new)
            accounts.end_sessions(self.db, user.orm_user)
            self.set_login_cookie(user)
        else:
            self.set_status(400)
        self.finish(await self.render_template("password.html", problem=problem, done=problem is None))

    async def _problem(self, name: str, new: str) -> str | None:
        old = self.get_body_argument("old", "", strip=False)
        info = self.authenticator.get_user(name)
        if info is None:
            return "This account has no password here; an administrator can give it one."
        wait = self.authenticator.throttle.blocked_for(name)
        if wait:
            return f"Too many wrong passwords. Wait {math.ceil(wait / 60)} minutes, then try again."
        self.authenticator.throttle.tries(name)
        if not await asyncio.to_thread(accounts.password_matches, old, info.password):
            return "The current password is wrong."
        self.authenticator.throttle.succeeded(name)
        if new != self.get_body_argument("again", "", strip=False):
            return "The two new passwords differ."
        problem: str | None = self.authenticator.password_problem(name, new)
        return problem


class AccountsHandler(BaseHandler):  # type: ignore[misc]  # jupyterhub ships no types
    """Who waits for approval, and who has an account."""

    @web.authenticated
    @needs_scope("admin:users")  # type: ignore[untyped-decorator]  # jupyterhub ships no types
    async def get(self) -> None:
        await self.show()

    async def show(self, notice: str = "", password: str = "") -> None:
        everyone = accounts.accounts(self.db)
        self.finish(
            await self.render_template(
                "accounts.html",
                waiting=[account for account in everyone if not account.approved],
                approved=[account for account in everyone if account.approved],
                notice=notice,
                password=password,
            )
        )


class AccountHandler(AccountsHandler):
    """One decision about one account. POST only, with the XSRF token of the page."""

    async def get(self, name: str, action: str) -> None:  # a link must not decide
        raise web.HTTPError(405, f"To {action} {name}, use the button on the page of accounts.")

    @web.authenticated
    @needs_scope("admin:users")  # type: ignore[untyped-decorator]  # jupyterhub ships no types
    async def post(self, name: str, action: str) -> None:
        info = self.authenticator.get_user(name)
        if info is None:
            raise web.HTTPError(404, f"There is no account “{name}”. It may have been removed meanwhile.")
        if name == self.current_user.name:
            raise web.HTTPError(400, "Your own account is not changed here, lest you lock yourself out.")
        self.log.info("%s: %s account %s", self.current_user.name, action, name)
        if action == "approve":
            info.is_authorized = True
            self.db.commit()
            await self.show(f"“{name}” can sign in now.")
        elif action == "reset":
            await self._reset(info)
        elif action == "revoke":
            info.is_authorized = False
            await self._shut_out(name)
            await self.show(f"“{name}” cannot sign in any more; its server, sessions and tokens have ended.")
        else:
            await self._remove(info)

    async def _reset(self, info: Any) -> None:
        password = secrets.token_urlsafe(12)
        info.password = await asyncio.to_thread(accounts.hash_password, password)
        self.authenticator.throttle.succeeded(info.username)
        user = orm.User.find(self.db, info.username)
        if user is not None:
            accounts.end_sessions(self.db, user)
        self.db.commit()
        await self.show(f"The new password of “{info.username}” is shown this once. Pass it on.", password)

    async def _remove(self, info: Any) -> None:
        if info.is_authorized:
            raise web.HTTPError(409, "Only an account that waits can be removed. Shut it out first.")
        name = info.username
        self.db.delete(info)
        self.db.commit()
        await self.show(f"The request of “{name}” is removed.")

    async def _shut_out(self, name: str) -> None:
        self.db.commit()
        user = self.find_user(name)
        if user is None:
            return
        for server, spawner in list(user.spawners.items()):
            if spawner.active and not spawner.pending:
                await self.stop_single_user(user, server)
        accounts.end_sessions(self.db, user.orm_user, tokens=True)
