"""The hub over HTTP, as Mallory speaks it: stolen tokens, forged headers, forms without their token, guessing.

What a script in a page can do is in `test_web_pages.py`, with a real browser.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import httpx
from cyberlab_hub import reach
from cyberlab_hub.accounts import ADMINS, list_accounts
from cyberlab_hub.demo.browser import Browser, login_error
from hostile.attack import Attack, Scene, table
from hostile.scene import Someone
from system.hubclient import Person, admin_api, person

AREA = "web"
REFUSED = (401, 403, 404, 405)


# ---------------------------------------------------------------- who tries
def signed_in(scene: Scene, who: Someone) -> Browser:
    """That person's session, with a server that runs."""
    scene.server(who)
    return who.person.browser


def bens_secret(scene: Scene) -> str:
    """The path of a file in Ben's home that says his canary."""

    def make() -> str:
        scene.server(scene.ben).run(f"open('/home/lab/diary.txt', 'w').write({scene.ben.canary!r})")
        return "diary.txt"

    return scene.once("the file of Ben's diary", make)


def from_address(scene: Scene, address: str) -> Browser:
    """A browser without a session, on another machine (another address of this one)."""
    browser: Browser = scene.once(
        f"browser at {address}", lambda: scene.keep(Browser(scene.settings, local_address=address))
    )
    return browser


def stolen(scene: Scene, which: str) -> str:
    """A token as Mallory finds it in a server: the hub's own, or the lab's."""
    code = {
        "hub": "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])",
        "lab": "print(open('/run/cyberlab/token').read())",
    }[which]
    return scene.once(f"stolen {which} token", lambda: scene.server(scene.ben).run(code))


# ---------------------------------------------------------------- stolen tokens
def with_stolen(
    which: str, name: str, tries: str, method: str, path: str, body: Any = None, through: str = "public"
) -> Attack:
    """Ben's token is in Mallory's hands. `path` may say {ben} and {mallory}."""

    def run(scene: Scene) -> None:
        token = stolen(scene, which)
        place = path.format(ben=scene.ben.name, mallory=scene.mallory.name)
        base = f"{scene.settings.public_url}/hub/api"
        if through == "server":
            bens_secret(scene)
            base = scene.ben.person.browser.server_url
        with reach.client(scene.settings, base_url=base, timeout=30) as client:
            me = client.get(f"{scene.settings.public_url}/hub/api/user", headers=bearer(token))
            assert me.json()["name"] == scene.ben.name, "the probe itself is wrong: the token does not work"
            answer = client.request(method, place, headers=bearer(token), json=body)
        # a server sends strangers to the sign-in page, the hub refuses them
        assert answer.status_code in (*REFUSED, 302), f"{answer.status_code}: {answer.text[:200]}"
        scene.assert_nothing_of_ben(answer.text)
        assert_ben_is_as_before(scene)

    return Attack(
        AREA, f"stolen-{which}-{name}", f"{tries} with a token from a server", "refused", "scope", run
    )


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"token {token}"}


def assert_ben_is_as_before(scene: Scene) -> None:
    with admin_api(scene.settings) as admin:
        ben = admin.get(f"/users/{scene.ben.name}").json()
        assert ben["admin"] is False
        assert ADMINS not in ben["groups"]
        assert ben["servers"][""]["ready"] is True


def both(name: str, tries: str, method: str, path: str, body: Any = None) -> tuple[Attack, ...]:
    return tuple(with_stolen(which, name, tries, method, path, body) for which in ("hub", "lab"))


STOLEN = (
    *both("mints-a-token", "makes a token for itself", "POST", "/users/{ben}/tokens", {"note": "x"}),
    *both("lists-tokens", "lists the owner's tokens", "GET", "/users/{ben}/tokens"),
    *both("lists-users", "lists who is here", "GET", "/users"),
    *both("stops-the-server", "stops the owner's server", "DELETE", "/users/{ben}/server"),
    *both("starts-another", "starts another user's server", "POST", "/users/{mallory}/server"),
    *both("becomes-admin", "makes its owner an administrator", "PATCH", "/users/{ben}", {"admin": True}),
    *both("makes-a-user", "makes an account", "POST", "/users/eve"),
    *both("joins-admins", "joins the administrators", "POST", f"/groups/{ADMINS}/users", {"users": ["x"]}),
    *both("ends-the-hub", "shuts the hub down", "POST", "/shutdown", {}),
    *both("reads-routes", "reads the proxy's routes", "GET", "/proxy"),
    with_stolen(
        "hub", "opens-the-server", "reads files of the server it is from", "GET",
        "/user/{ben}/api/contents/diary.txt", through="server",
    ),
    with_stolen(
        "lab", "opens-the-server", "reads files of the server it is from", "GET",
        "/user/{ben}/api/contents/diary.txt", through="server",
    ),
)  # fmt: skip


# ---------------------------------------------------------------- forms without their token, or with another's
def forged_form(name: str, path: str, form: dict[str, str], admin: bool = False) -> Attack:
    """What a form of another site would send from the victim's browser: cookies, and no token of the page."""

    def run(scene: Scene) -> None:
        victim = an_administrator(scene) if admin else signed_in(scene, scene.ben)
        attacker = signed_in(scene, scene.mallory)
        place = path.format(mallory=scene.mallory.name)
        for token in ({}, {"_xsrf": "x"}, {"_xsrf": attacker._xsrf("/hub/")}):
            answer = victim._http.post(place, data={**form, **token})
            # 400: the API did not even look at a form
            assert answer.status_code in (400, 403), f"{place} answered {answer.status_code}"
        assert scene.mallory.name in account_names(scene)

    return Attack(
        AREA,
        f"forged-{name}",
        f"has the victim's browser post to {path}",
        "refused, nothing changes",
        "hub",
        run,
    )


def an_administrator(scene: Scene) -> Browser:
    """An administrator's session, made for the attacks on it."""

    def make() -> Browser:
        chief: Person = scene.keep(person(scene.settings, word="chief", admin=True))
        return chief.browser

    made: Browser = scene.once("an administrator", make)
    return made


def account_names(scene: Scene) -> set[str]:
    return {account.name for account in list_accounts(scene.settings) if account.approved}


FORMS = (
    forged_form("sign-in", "/hub/login", {"username": "mallory", "password": "of mallory"}),
    forged_form("sign-up", "/hub/signup", {"username": "eve", "password": "x" * 12, "again": "x" * 12}),
    forged_form("password", "/hub/change-password", {"old": "a", "new": "b" * 12, "again": "b" * 12}),
    forged_form("approve", "/hub/accounts/{mallory}/approve", {}, admin=True),
    forged_form("revoke", "/hub/accounts/{mallory}/revoke", {}, admin=True),
    forged_form("remove", "/hub/accounts/{mallory}/remove", {}, admin=True),
    forged_form("reset", "/hub/accounts/{mallory}/reset", {}, admin=True),
    forged_form("token", "/hub/api/users/{mallory}/tokens", {}, admin=True),
    forged_form("spawn", "/hub/spawn", {}),
)


def _approves_by_get(scene: Scene) -> None:
    admin = an_administrator(scene)
    for action in ("approve", "revoke", "remove", "reset"):
        answer = admin._http.get(f"/hub/accounts/{scene.mallory.name}/{action}")
        assert answer.status_code == 405, action
        answer = admin._http.head(f"/hub/accounts/{scene.mallory.name}/{action}")
        assert answer.status_code == 405, action
    assert scene.mallory.name in account_names(scene)


def _administers_without_being_one(scene: Scene) -> None:
    mallory = signed_in(scene, scene.mallory)
    form = {"_xsrf": mallory._xsrf("/hub/")}
    for action in ("approve", "revoke", "remove", "reset"):
        assert mallory._http.post(f"/hub/accounts/{scene.ben.name}/{action}", data=form).status_code == 403
    assert mallory._http.get("/hub/accounts").status_code == 403
    assert mallory._http.get("/hub/admin").status_code == 403
    assert scene.ben.name in account_names(scene)


# ---------------------------------------------------------------- headers and addresses
def _forges_the_host(scene: Scene) -> None:
    browser = from_address(scene, "127.0.0.40")
    home = scene.settings.public_url
    for host in (
        "evil.example",
        "evil.example:8000",
        f"{scene.settings.public_host}.evil.example",
        "",
        "[::1]",
    ):
        answer = browser._http.get("/hub/login", headers={"Host": host}, follow_redirects=False)
        assert answer.status_code in (302, 400), f"{host!r}: {answer.status_code}"
        assert answer.headers.get("location", home).startswith(f"{home}/"), host
        assert "evil" not in answer.text
    answer = browser._http.post("/hub/login", headers={"Host": "evil.example"}, data={"username": "x"})
    assert answer.status_code == 421


def _forges_where_it_came_from(scene: Scene) -> None:
    browser = from_address(scene, "127.0.0.41")
    headers = {
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Proto": "javascript",
        "Forwarded": "host=evil.example;proto=https",
        "X-Scheme": "evil",
    }
    for path in ("/", "/hub/login", "/user/anna/lab", "/hub/home"):
        answer = browser._http.get(path, headers=headers, follow_redirects=False)
        assert "evil" not in answer.text + str(answer.headers), path


def next_place(scene: Scene, browser: Browser, target: str) -> str:
    """Where the sign-in page sends somebody who is signed in, as a browser reads it: without tabs and line ends."""
    url = f"{scene.settings.public_url}/hub/login?next={quote(target, safe='')}"
    request = browser._http.build_request("GET", url)
    with reach.Pinned(scene.settings) as transport:  # httpx itself refuses to read a location with a tab
        answer = transport.handle_request(request)
        answer.read()
    assert answer.status_code == 302, target
    return re.sub(r"[\t\r\n]", "", answer.headers["location"])


def _is_led_away(scene: Scene) -> None:
    home = scene.settings.public_url
    host = home.partition("://")[2]
    browser = signed_in(scene, scene.ben)
    own = (f"{home}/", f"{browser.server_url}/", "/")
    for target in (
        "https://evil.example/",
        "//evil.example/",
        "///evil.example/",
        "/\\evil.example/",
        "\\\\evil.example/",
        "/%5Cevil.example/",
        "http:evil.example",
        "http:///evil.example",
        "javascript:alert(1)",
        f"http://{host}.evil.example/",
        f"http://evil{host}/",
        f"http://{host}@evil.example/",
        "/\tevil.example",
        "/\t/evil.example",
    ):
        place = next_place(scene, browser, target)
        assert place.startswith(own), f"{target}: {place}"
        assert not place.startswith(("//", "/\\")), f"{target}: {place}"


def _elsewhere_leads_home(scene: Scene) -> None:
    browser = from_address(scene, "127.0.0.42")
    home = f"{scene.settings.public_url}/"
    for path in (
        "//evil.example/",
        "/\\evil.example/",
        "/https://evil.example/",
        "/.evil.example",
        "/@evil.example",
    ):
        for host in (scene.settings.public_host, f"{scene.mallory.name}.{scene.settings.public_host}"):
            request = httpx.Request("GET", f"{home}hub/elsewhere{path}", headers={"Host": host})
            answer = browser._http.send(request, follow_redirects=False)
            assert answer.headers["location"].startswith(home), path


def _cookies_are_guarded(scene: Scene) -> None:
    browser = from_address(scene, "127.0.0.43")
    browser._http.get("/hub/login")
    form = {
        "username": scene.ben.name,
        "password": scene.ben.person.password,
        "_xsrf": browser._xsrf("/hub/"),
    }
    answer = browser._http.post("/hub/login", data=form, follow_redirects=False)
    assert answer.status_code == 302
    cookies = answer.headers.get_list("set-cookie")
    login = [c for c in cookies if "jupyterhub-hub-login" in c.partition("=")[0]]
    assert login, cookies
    for cookie in cookies:
        flags = {part.strip().lower().partition("=")[0] for part in cookie.split(";")[1:]}
        assert "httponly" in flags, cookie
        assert "samesite=lax" in cookie.lower(), cookie
        if scene.settings.tls_mode != "off":
            assert "secure" in flags, cookie
    assert "domain" not in login[0].lower(), "the sign-in is sent to users' servers"
    browser._http.cookies.clear()


def _frames_the_hub(scene: Scene) -> None:
    browser = signed_in(scene, scene.ben)
    for path in (
        "/hub/login",
        "/hub/home",
        "/hub/token",
        "/hub/signup",
        "/hub/change-password",
        "/hub/nothing",
    ):
        answer = browser._http.get(path, follow_redirects=False)
        if answer.status_code != 302:
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], path
            assert answer.headers["x-content-type-options"] == "nosniff", path


# ---------------------------------------------------------------- another user's server
def _opens_bens_server(scene: Scene) -> None:
    diary = f"/api/contents/{bens_secret(scene)}"
    mallory = signed_in(scene, scene.mallory)
    ben, me = scene.ben.name, scene.mallory.name
    hosts = (scene.settings.public_url, mallory.server_url, scene.ben.person.browser.server_url)
    paths = (
        f"/user/{ben}",
        f"/user/{me}/../{ben}",
        f"/user/{me}/%2e%2e/{ben}",
        f"/user/{me}/..%2f{ben}",
        f"/user//{ben}",
        f"//user/{ben}",
        f"/user/{ben.upper()}",
        f"/user%2f{ben}",
        f"/user/{me};/../{ben}",
        f"/user/{me}/%252e%252e/{ben}",
        f"/hub/user/{ben}",
        f"/user/{me}/proxy/{scene.ben.person.address}:8888/user/{ben}",
    )
    mine = {"Cookie": mallory._http.build_request("GET", f"{hosts[1]}/user/{me}/").headers.get("cookie", "")}
    for host in hosts:
        for path in paths:
            request = httpx.Request(
                "GET", host, headers=mine, extensions={"target": f"{path}{diary}".encode()}
            )
            try:
                answer = mallory._http.send(request, follow_redirects=True)
            except httpx.TooManyRedirects:
                continue  # sent from one place to the other: nothing was shown
            scene.assert_nothing_of_ben(answer.text)


def _uses_its_cookies_at_bens_server(scene: Scene) -> None:
    mallory = signed_in(scene, scene.mallory)
    base = scene.ben.person.browser.server_url
    cookies = {c.name: c.value or "" for c in mallory._http.cookies.jar}
    renamed = {name.replace(scene.mallory.name, scene.ben.name): value for name, value in cookies.items()}
    for jar in (cookies, renamed):
        header = {"Cookie": "; ".join(f"{name}={value}" for name, value in jar.items())}
        url = f"{base}/user/{scene.ben.name}/api/contents/{bens_secret(scene)}"
        answer = from_address(scene, "127.0.0.44")._http.get(url, headers=header, follow_redirects=False)
        assert answer.status_code in (302, 403), answer.status_code
        scene.assert_nothing_of_ben(answer.text)


def _starts_and_stops_ben(scene: Scene) -> None:
    mallory = signed_in(scene, scene.mallory)
    for method, path in (
        ("DELETE", f"/users/{scene.ben.name}/server"),
        ("POST", f"/users/{scene.ben.name}/tokens"),
        ("GET", f"/users/{scene.ben.name}"),
        ("PATCH", f"/users/{scene.mallory.name}"),
        ("POST", "/shutdown"),
    ):
        body = {"json": {"admin": True}} if method == "PATCH" else {}
        answer = mallory.hub(method, path, ok=REFUSED, **body)
        scene.assert_nothing_of_ben(answer.text)
    assert_ben_is_as_before(scene)


# ---------------------------------------------------------------- guessing
def guess(browser: Browser, name: str, headers: dict[str, str] | None = None) -> str:
    """One wrong password; the words of the refusal."""
    if headers or not browser._xsrf("/hub/"):
        browser._http.get("/hub/login", headers=headers)  # its token holds for these headers only
    form = {"username": name, "password": secrets.token_hex(8), "_xsrf": browser._xsrf("/hub/")}
    answer = browser._http.post("/hub/login", data=form, headers=headers)
    assert answer.status_code == 403
    return login_error(answer.text)


def _guesses_one_name(scene: Scene) -> None:
    victim: Someone = scene.someone("victim")
    browser = from_address(scene, "127.0.0.45")
    said = [guess(browser, victim.name) for _ in range(6)]
    assert "Too many" in said[-1]
    form = {
        "username": victim.name,
        "password": victim.person.password,
        "_xsrf": browser._xsrf("/hub/"),
    }
    assert browser._http.post("/hub/login", data=form).status_code == 403, (
        "the lock opens to the right password"
    )


def _learns_which_names_exist(scene: Scene) -> None:
    browser = from_address(scene, "127.0.0.46")
    known: Someone = scene.someone("known")
    unknown = f"nobody{secrets.token_hex(4)}"
    for _ in range(7):
        answers = [guess(browser, name).replace(name, "NAME") for name in (known.name, unknown)]
        assert answers[0] == answers[1]


def _guesses_many_names_from_one_machine(scene: Scene) -> None:
    browser = from_address(scene, "127.0.0.47")
    for number in range(80):
        claimed = f"198.51.100.{number}"
        headers = {"X-Forwarded-For": claimed, "X-Real-Ip": claimed, "Forwarded": f"for={claimed}"}
        said = guess(browser, f"nobody{secrets.token_hex(4)}", headers)
        if "Too many wrong passwords from your address" in said:
            break
    else:
        raise AssertionError("80 names were tried from one machine")
    with Browser(scene.settings, local_address="127.0.0.48") as other:
        other.sign_in(scene.ben.name, scene.ben.person.password)  # Ben, elsewhere, is not locked out


def _guesses_by_the_api(scene: Scene) -> None:
    """The hub's API takes a name and a password too, to make a token."""
    victim: Someone = scene.someone("victim")
    browser = from_address(scene, "127.0.0.50")
    place = f"/hub/api/users/{victim.name}/tokens"
    for word in [*(secrets.token_hex(8) for _ in range(5)), victim.person.password]:
        auth = {"username": victim.name, "password": word}
        answer = browser._http.post(place, json={"auth": auth})
        assert answer.status_code == 403, "the lock does not hold for the API"
    with admin_api(scene.settings) as admin:
        notes = [t["note"] for t in admin.get(f"/users/{victim.name}/tokens").json()["api_tokens"]]
    assert notes == ["hostile tests"]


def _guesses_a_session(scene: Scene) -> None:
    browser = from_address(scene, "127.0.0.49")
    name = "__Host-jupyterhub-hub-login" if scene.settings.tls_mode != "off" else "jupyterhub-hub-login"
    for value in (
        scene.ben.name,
        f'"{scene.ben.name}"',
        "2|1:0|10:1|20:jupyterhub-hub-login|4:YmVu|" + "0" * 64,
    ):
        answer = browser._http.get("/hub/api/user", headers={"Cookie": f"{name}={value}"})
        assert answer.status_code == 403


def attack(name: str, tries: str, must_hold: str, layer: str, run: Callable[[Scene], None]) -> Attack:
    return Attack(AREA, name, tries, must_hold, layer, run)


OTHERS = (
    attack("approve-by-get", "decides about accounts by a link", "405", "hub", _approves_by_get),
    attack("administer", "uses an administrator's pages", "403", "hub", _administers_without_being_one),
    attack("forged-host", "asks under another host name", "led to the lab's name, or 421", "hub", _forges_the_host),
    attack("forged-origin", "claims another host by X-Forwarded", "ignored", "hub", _forges_where_it_came_from),
    attack("open-redirect", "leads a signed-in user away by next=", "stays on the lab", "hub", _is_led_away),
    attack("elsewhere", "leads away by the default route", "stays on the lab", "hub", _elsewhere_leads_home),
    attack("cookie-flags", "reads or replays a cookie by script", "cookies are guarded", "hub", _cookies_are_guarded),
    attack("frame-headers", "puts a page of the hub into a frame", "forbidden by header", "hub", _frames_the_hub),
    attack("bens-server", "opens Ben's server by tricks with the path", "nothing of Ben", "hub", _opens_bens_server),
    attack(
        "own-cookies", "shows its own cookies to Ben's server", "refused", "hub", _uses_its_cookies_at_bens_server
    ),
    attack("steer-ben", "starts, stops and mints for Ben by the API", "refused", "hub", _starts_and_stops_ben),
    attack("guess-a-name", "guesses Ben's password", "locked after five", "hub", _guesses_one_name),
    attack("learn-names", "learns which names exist by signing in", "same answers", "hub", _learns_which_names_exist),
    attack(
        "guess-many", "tries one password for many names, with forged addresses", "the address is locked", "hub",
        _guesses_many_names_from_one_machine,
    ),
    attack("guess-by-api", "guesses a password by the API", "the same lock holds", "hub", _guesses_by_the_api),
    attack("guess-a-session", "makes up a sign-in cookie", "403", "hub", _guesses_a_session),
)  # fmt: skip

ATTACKS = (*STOLEN, *FORMS, *OTHERS)


@table(ATTACKS)
def test_web(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
