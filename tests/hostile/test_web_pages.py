"""What a script in a page of Mallory's server can do in a browser where Ben, or an administrator, is signed in.

The page is served under Mallory's own name, as her server would serve it (she decides what runs there); everything
it asks for goes to the real hub and to Ben's real server, from a real Chromium with Ben's real session.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser.lab_pages import chromium, sign_in
from cyberlab_hub import address
from cyberlab_hub.accounts import list_accounts
from hostile.attack import Attack, Scene, table
from playwright.sync_api import BrowserContext, Page
from system.hubclient import Person, admin_api, person

AREA = "web"


@pytest.fixture(scope="module", autouse=True)
def _browser_ends_with_this_file(scene: Scene) -> Iterator[None]:
    with scene.act():
        yield


# ---------------------------------------------------------------- the browser of the victim
class Victim:
    """A signed-in browser that opened Mallory's page."""

    def __init__(self, scene: Scene, who: Person) -> None:
        self.scene, self.who = scene, who
        self.hub = scene.settings.public_url
        self.own = address.url_of(scene.settings, who.name)
        self.evil = (
            f"{address.url_of(scene.settings, scene.mallory.name)}/user/{scene.mallory.name}/files/evil.html"
        )
        self.context: BrowserContext = scene.keep(
            scene.once("chromium", lambda: scene.keep(chromium())).new_context()
        )
        first = self.context.new_page()
        sign_in(first, self.hub, who.name, who.password)
        first.close()
        self.context.route(
            self.evil, lambda route: route.fulfill(content_type="text/html", body="<h1>look, a chart</h1>")
        )

    def open(self) -> Page:
        """Mallory's page, anew."""
        page = self.context.new_page()
        page.goto(self.evil)
        return page

    def run(self, script: str, place: str = "") -> Any:
        """What a script of that page (or of `place`) finds out; ``blocked: ...`` when the browser stopped it."""
        page = self.open()
        if place:
            page.goto(place)
        known = {
            "xsrf": self.scene.mallory.person.browser._xsrf("/hub/"),
            "hub": self.hub,
            "own": self.own,
            "ben": self.who.name,
            "mallory": self.scene.mallory.name,
        }
        wrapped = f"async (f) => {{ try {{ {script} }} catch (e) {{ return 'blocked: ' + e }} }}"
        try:
            return page.evaluate(wrapped, known)
        finally:
            page.close()

    def still_signed_in(self) -> None:
        page = self.context.new_page()
        page.goto(f"{self.hub}/hub/home")
        assert page.locator("h1").inner_text() == f"Hello, {self.who.name}"
        page.close()


def ben(scene: Scene) -> Victim:
    scene.server(scene.ben)
    scene.server(scene.mallory)
    return scene.once("Ben's browser", lambda: Victim(scene, scene.ben.person))


def chief(scene: Scene) -> Victim:
    def make() -> Victim:
        who: Person = scene.keep(person(scene.settings, word="chief", admin=True))
        return Victim(scene, who)

    return scene.once("the administrator's browser", make)


def tokens_of(scene: Scene, name: str) -> set[str]:
    with admin_api(scene.settings) as admin:
        return {token["id"] for token in admin.get(f"/users/{name}/tokens").json()["api_tokens"]}


# ---------------------------------------------------------------- reading
SCRIPTS: list[str] = []


def reads(name: str, tries: str, script: str) -> Attack:
    """The script gets text from where it may not; it must get none."""
    SCRIPTS.append(script)

    def run(scene: Scene) -> None:
        scene.server(scene.ben).run(f"open('/home/lab/diary.txt', 'w').write({scene.ben.canary!r})")
        found = ben(scene).run(script)
        assert isinstance(found, str), found
        assert found.startswith("blocked"), found[:300]

    return Attack(AREA, f"page-{name}", f"a page of Mallory's {tries}", "the browser keeps it", "origin", run)


FETCH = "const r = await fetch({url}, {{credentials: 'include', {more}}}); return r.status + await r.text()"
DIARY = FETCH.format(
    url="`${f.own}/user/${f.ben}/files/diary.txt?_xsrf=${(document.cookie.match(/_xsrf=([^;]+)/) || [])[1]}`",
    more="",
)
READS = (
    reads("reads-home", "reads the hub's start page", FETCH.format(url="f.hub + '/hub/home'", more="")),
    reads("reads-tokens", "reads the page of tokens", FETCH.format(url="f.hub + '/hub/token'", more="")),
    reads(
        "reads-account", "reads the account by the API", FETCH.format(url="f.hub + '/hub/api/user'", more="")
    ),
    reads(
        "mints-json",
        "makes a token by the API and reads it",
        FETCH.format(
            url="`${f.hub}/hub/api/users/${f.ben}/tokens`",
            more="method: 'POST', headers: {'Content-Type': 'application/json'}, body: '{}'",
        ),
    ),
    reads(
        "reads-file",
        "reads a file from Ben's server",
        DIARY,
    ),
    reads(
        "reads-contents",
        "reads Ben's home by the server's API",
        FETCH.format(url="`${f.own}/user/${f.ben}/api/contents/diary.txt`", more=""),
    ),
    reads(
        "runs-code",
        "starts a terminal in Ben's server",
        FETCH.format(url="`${f.own}/user/${f.ben}/api/terminals`", more="method: 'POST'"),
    ),
    reads(
        "looks-into-window",
        "opens the page of tokens and looks into it",
        "const w = window.open(f.hub + '/hub/token'); await new Promise(r => setTimeout(r, 3000));"
        "if (!w) return 'blocked: no window'; return w.document.body.innerText",
    ),
    reads(
        "frames-the-hub",
        "puts the page of tokens into a frame and looks into it",
        "const i = document.createElement('iframe'); i.src = f.hub + '/hub/token'; document.body.append(i);"
        "await new Promise(r => i.onload = r); return i.contentWindow.document.body.innerText",
    ),
    reads(
        "listens",
        "opens the event channel of Ben's server",
        "const u = `${f.own.replace('http', 'ws')}/user/${f.ben}/api/events/subscribe`;"
        "return await new Promise(r => { const s = new WebSocket(u); s.onopen = () => r('open'); "
        "s.onerror = () => r('blocked: refused'); })",
    ),
    reads(
        "registers-worker",
        "registers a worker for the hub's pages",
        "await navigator.serviceWorker.register(f.hub + '/hub/static/x.js'); return 'registered'",
    ),
)


# ---------------------------------------------------------------- acting
def acts(
    name: str, tries: str, script: str, after: Callable[[Scene, Victim], None], admin: bool = False
) -> Attack:
    """The script needs no answer: afterwards nothing may have changed."""

    def run(scene: Scene) -> None:
        victim = chief(scene) if admin else ben(scene)
        before = tokens_of(scene, victim.who.name)
        victim.run(script)
        assert tokens_of(scene, victim.who.name) <= before, "a token was made"
        victim.still_signed_in()
        after(scene, victim)

    return Attack(AREA, f"page-{name}", f"a page of Mallory's {tries}", "nothing changes", "hub", run)


def posts(path: str, body: str = "''", kind: str = "text/plain") -> str:
    """A POST without a preflight, as a form sends it; and the form itself, in a window of its own."""
    return (
        f"await fetch(`${{f.hub}}{path}`, {{method: 'POST', mode: 'no-cors', credentials: 'include', "
        f"headers: {{'Content-Type': '{kind}'}}, body: {body}}});"
        "const form = document.createElement('form'); form.method = 'post'; form.target = '_blank';"
        f"form.action = `${{f.hub}}{path}`; document.body.append(form); form.submit();"
        "await new Promise(r => setTimeout(r, 1500)); return 'sent'"
    )


def nothing(scene: Scene, victim: Victim) -> None:
    """What `acts` looks at is enough."""


def approved(scene: Scene, victim: Victim) -> None:
    names = {account.name for account in list_accounts(scene.settings) if account.approved}
    assert scene.mallory.name in names


def not_an_administrator(scene: Scene, victim: Victim) -> None:
    with admin_api(scene.settings) as admin:
        assert admin.get(f"/users/{scene.mallory.name}").json()["admin"] is False


def server_runs(scene: Scene, victim: Victim) -> None:
    with admin_api(scene.settings) as admin:
        assert admin.get(f"/users/{victim.who.name}").json()["servers"][""]["ready"] is True


def password_is_the_same(scene: Scene, victim: Victim) -> None:
    browser = victim.context.browser
    assert browser is not None
    other = browser.new_context()
    try:
        sign_in(other.new_page(), victim.hub, victim.who.name, victim.who.password)
    finally:
        other.close()


NEW = secrets.token_urlsafe(12)
ACTS = (
    acts("mints-blindly", "posts to the hub's token API", posts("/hub/api/users/${f.ben}/tokens"), nothing),
    acts(
        "changes-password",
        "posts the form of passwords",
        posts(
            "/hub/change-password",
            json.dumps(f"old=x&new={NEW}&again={NEW}"),
            "application/x-www-form-urlencoded",
        ),
        password_is_the_same,
    ),
    acts(
        "revokes",
        "posts an administrator's decision",
        posts("/hub/accounts/${f.mallory}/revoke"),
        approved,
        True,
    ),
    acts(
        "makes-admin",
        "makes its owner an administrator",
        "await fetch(`${f.hub}/hub/api/users/${f.mallory}`, {method: 'PATCH', credentials: 'include',"
        "headers: {'Content-Type': 'application/json'}, body: JSON.stringify({admin: true})}); return 'sent'",
        not_an_administrator,
        True,
    ),
    acts(
        "stops-server",
        "stops Ben's server",
        "await fetch(`${f.hub}/hub/api/users/${f.ben}/server`, {method: 'DELETE', credentials: 'include'});",
        server_runs,
    ),
    acts(
        "signs-out",
        "loads the sign-out page as a picture",
        "await new Promise(r => { const i = new Image(); i.onload = i.onerror = r; i.src = f.hub + '/hub/logout' });",
        nothing,
    ),
    acts(
        "plants-a-token",
        "plants its own form token in Ben's browser, then posts a form with it",
        "document.cookie = `_xsrf=${f.xsrf}; domain=${new URL(f.hub).hostname}; path=/hub/`;"
        + posts("/hub/api/users/${f.ben}/tokens?_xsrf=${f.xsrf}"),
        nothing,
    ),
)


# ---------------------------------------------------------------- the rest
def _shows_the_hub_under_its_own_name(scene: Scene) -> None:
    victim = ben(scene)
    page = victim.context.new_page()
    for path in ("/hub/login", "/hub/home", "/hub/token", "/"):
        page.goto(victim.evil.partition("/user/")[0] + path)
        assert page.url.startswith((f"{victim.hub}/", f"{victim.own}/")), page.url
    page.close()


def _finds_a_sign_in_among_its_cookies(scene: Scene) -> None:
    victim = ben(scene)
    sent = victim.context.cookies(victim.evil)
    assert not [c for c in sent if "login" in c["name"] or f"-{victim.who.name}" in c["name"]], (
        "sent to Mallory"
    )
    seen = victim.run("return document.cookie")
    assert "jupyterhub" not in seen


def _frames_bens_server(scene: Scene) -> None:
    victim = ben(scene)
    page = victim.open()
    page.evaluate(
        "(url) => { const i = document.createElement('iframe'); i.src = url; document.body.append(i); }",
        f"{victim.own}/user/{victim.who.name}/lab",
    )
    page.wait_for_timeout(4000)
    shown = [frame.url for frame in page.frames[1:]]
    assert shown == ["chrome-error://chromewebdata/"], shown
    page.close()


OTHERS = (
    Attack(AREA, "page-hub-under-own-name", "shows the hub's pages under Mallory's name", "they are only at the hub's",
           "hub", _shows_the_hub_under_its_own_name),
    Attack(AREA, "page-collects-cookies", "reads the cookies that come with a visit", "no sign-in among them",
           "origin", _finds_a_sign_in_among_its_cookies),
    Attack(AREA, "page-frames-server", "puts Ben's JupyterLab into a frame", "the frame stays empty",
           "hub", _frames_bens_server),
)  # fmt: skip

ATTACKS = (*READS, *ACTS, *OTHERS)


@table(ATTACKS)
def test_web_pages(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)


@pytest.mark.engine
def test_the_same_scripts_read_where_they_may(scene: Scene) -> None:
    """Else they would prove nothing: at the hub's own name, and at Ben's."""
    scene.server(scene.ben).run(f"open('/home/lab/diary.txt', 'w').write({scene.ben.canary!r})")
    victim = ben(scene)
    home = FETCH.format(url="f.hub + '/hub/home'", more="")
    assert f"Hello, {scene.ben.name}" in victim.run(home, f"{victim.hub}/hub/home")
    assert scene.ben.canary in victim.run(DIARY, f"{victim.own}/user/{scene.ben.name}/lab")
    channel = next(attack for attack in SCRIPTS if "events/subscribe" in attack)
    assert victim.run(channel, f"{victim.own}/user/{scene.ben.name}/lab") == "open"
