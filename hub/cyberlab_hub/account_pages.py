"""The hub's pages about accounts that are signed in: one's own password, and everybody's for an administrator.

What changes something is a POST with the XSRF token of the page, so no link in a mail decides anything.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.scopes import needs_scope
from tornado import web

from cyberlab_hub import accounts
from cyberlab_hub.throttle import in_minutes


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
        self.authenticator.note(
            self, user.name, "change_password", user.name, "password-refused" if problem else ""
        )
        self.finish(await self.render_template("password.html", problem=problem, done=problem is None))

    async def _problem(self, name: str, new: str) -> str | None:
        old = self.get_body_argument("old", "", strip=False)
        info = self.authenticator.get_user(name)
        if info is None:
            return "This account has no password here; an administrator can give it one."
        wait = self.authenticator.throttle.blocked_for(name)
        if wait:
            return f"Too many wrong passwords. Wait {in_minutes(wait)}, then try again."
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
            self._note(name, action, "account-unknown")
            raise web.HTTPError(404, f"There is no account “{name}”. It may have been removed meanwhile.")
        if name == self.current_user.name:
            self._note(name, action, "own-account")
            raise web.HTTPError(400, "Your own account is not changed here, lest you lock yourself out.")
        self.log.info("%s: %s account %s", self.current_user.name, action, name)
        # whoever waits no longer cannot be removed
        self._note(name, action, "account-approved" if action == "remove" and info.is_authorized else "")
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

    def _note(self, name: str, action: str, reason: str = "") -> None:
        about = name[: accounts.NAME_LENGTH]
        self.authenticator.note(self, self.current_user.name, f"{action}_account", about, reason)

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
