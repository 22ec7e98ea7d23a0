"""Requests that came to the lab under a name that is not the hub's: by the bare address, or a user's domain.

The proxy sends them here (its default route; see `jupyterhub_config.py`), so no page of the hub is ever shown under
a user's own domain, where that user's scripts could read it. People are led to the right name; nothing else is done.
"""

from __future__ import annotations

from jupyterhub.handlers import BaseHandler

PATH = "/hub/elsewhere"


class ElsewhereHandler(BaseHandler):  # type: ignore[misc]  # jupyterhub ships no types
    """Leads a reader to the same page under the lab's own name; refuses to do anything."""

    async def prepare(self) -> None:  # instead of the hub's own: no cookie is read, no session begun
        self._jupyterhub_user = None
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        home = self.public_url._replace(path="", query="").geturl()
        if self.request.method in ("GET", "HEAD"):
            wanted = self.request.uri.removeprefix(PATH).lstrip("/\\")
            self.redirect(f"{home}/{wanted}")
        else:
            self.set_status(421)
            self.finish(f"This lab answers at {home} only. Send the request there.\n")
