"""The hub as people meet it: accounts, approval, refusals, own servers, the narrow token."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator

import httpx
import pytest
from cyberlab_hub import accounts
from cyberlab_hub.demo.browser import Browser
from cyberlab_hub.demo.kernel import CellFailed, open_kernel
from cyberlab_hub.errors import NotFound, WorkFailed
from cyberlab_hub.settings import Settings
from hubclient import Person, UserServer, admin_api, person, remove_account, user_server

pytestmark = pytest.mark.engine

READ_TOKEN = "import os; print(open(os.environ['CYBERLAB_TOKEN_FILE']).read())"


@pytest.fixture
def someone(lab_running: Settings) -> Iterator[Person]:
    with person(lab_running) as made:
        yield made


@pytest.fixture(scope="module")
def server(lab_running: Settings) -> Iterator[UserServer]:
    with user_server(lab_running) as made:
        yield made


def whoami(settings: Settings, token: str) -> httpx.Response:
    headers = {"Authorization": f"token {token}"}
    return httpx.get(f"{settings.hub_api_url}/user", headers=headers, timeout=30, trust_env=False)


def own_name(name: str) -> set[str]:
    """What the hub adds to every token: it may say whose it is."""
    return {f"read:users:name!user={name}", f"read:users:groups!user={name}"}


def post_form(browser: Browser, path: str, **form: str) -> httpx.Response:
    form["_xsrf"] = browser._xsrf("/hub/")
    return browser._send("POST", path, data=form, ok=(200, 400, 403, 404, 405, 409))


def test_wrong_password_is_said_in_words(lab_running: Settings) -> None:
    with (
        Browser(lab_running) as browser,
        pytest.raises(WorkFailed, match="name or the password is wrong"),
    ):
        browser.sign_in("student", "not the password")


def test_unknown_name_gets_the_same_words(lab_running: Settings) -> None:
    with (
        Browser(lab_running) as browser,
        pytest.raises(WorkFailed, match="name or the password is wrong"),
    ):
        browser.sign_in("nobody-here", "not the password")


def test_sixth_try_is_refused_even_with_the_right_password(lab_running: Settings) -> None:
    with person(lab_running, sign_in=False) as locked:
        for _ in range(5):
            with pytest.raises(WorkFailed, match="is wrong"):
                locked.browser.sign_in(locked.name, "not the password")
        with pytest.raises(WorkFailed, match=r"Too many wrong passwords.*Wait 10 minutes"):
            locked.browser.sign_in(locked.name, locked.password)


def test_sign_up_waits_for_an_approval_that_only_a_post_can_give(lab_running: Settings) -> None:
    name, password = f"t{secrets.token_hex(5)}", secrets.token_urlsafe(12)
    chief = f"t{secrets.token_hex(5)}"
    try:
        accounts.create_account(lab_running, chief, password, admin=True)
        with Browser(lab_running) as browser, Browser(lab_running) as admin:
            browser._send("GET", "/hub/signup", ok=(200,))
            page = post_form(browser, "/hub/signup", username=name, password=password, again=password)
            assert "with the administrators" in page.text
            with pytest.raises(WorkFailed, match="waits for an administrator's approval"):
                browser.sign_in(name, password)

            admin.sign_in(chief, password)
            assert admin._send("GET", f"/hub/accounts/{name}/approve", ok=(405,)).status_code == 405
            without = admin._send("POST", f"/hub/accounts/{name}/approve", data={}, ok=(200, 403))
            assert without.status_code == 403, "a POST without the XSRF token approved an account"
            with pytest.raises(WorkFailed, match="waits for an administrator's approval"):
                browser.sign_in(name, password)

            assert "can sign in now" in post_form(admin, f"/hub/accounts/{name}/approve").text
            browser.sign_in(name, password)
            assert post_form(browser, f"/hub/accounts/{chief}/revoke").status_code == 403

            page = post_form(admin, f"/hub/accounts/{name}/reset")
            new = page.text.partition('class="cl-password">')[2].partition("<")[0]
            with pytest.raises(WorkFailed, match="is wrong"):
                browser.sign_in(name, password)
            browser.sign_in(name, new)
            own = post_form(admin, f"/hub/accounts/{chief}/revoke")
            assert own.status_code == 400, "an administrator locked itself out"

            post_form(admin, f"/hub/accounts/{name}/revoke")
            answer = browser._send("GET", f"/hub/api/users/{name}", ok=(200, 401, 403))
            assert answer.status_code == 403, "somebody shut out kept a session"
    finally:
        remove_account(lab_running, name)
        remove_account(lab_running, chief)


def test_sign_up_shows_each_problem_beside_its_field(lab_running: Settings) -> None:
    with Browser(lab_running) as browser:
        browser._send("GET", "/hub/signup", ok=(200,))
        page = post_form(browser, "/hub/signup", username="a b", password="short", again="shirt")
    assert page.status_code == 400
    assert page.text.count("cl-problem") >= 3
    for words in ("lower-case letters", "at least 10 characters", "two passwords differ"):
        assert words in page.text
    assert "shirt" not in page.text, "a password came back in the page"


def test_nobody_becomes_administrator_by_a_name(lab_running: Settings) -> None:
    with Browser(lab_running) as browser:
        browser._send("GET", "/hub/signup", ok=(200,))
        password = secrets.token_urlsafe(12)
        page = post_form(browser, "/hub/signup", username="admin", password=password, again=password)
    assert "is taken" in page.text


def test_changed_password_signs_other_browsers_out(someone: Person) -> None:
    new = secrets.token_urlsafe(12)
    with Browser(someone.settings) as other:
        other.sign_in(someone.name, someone.password)
        page = post_form(other, "/hub/change-password", old=someone.password, new=new, again=new)
        assert "Changed." in page.text
        assert other.hub("GET", "/user").json()["name"] == someone.name
    assert someone.browser.hub("GET", "/user", ok=(403,)).status_code == 403


def test_password_set_by_the_operator_works_at_once(someone: Person) -> None:
    new = secrets.token_urlsafe(12)
    accounts.set_password(someone.settings, someone.name, new)
    with Browser(someone.settings) as other:
        with pytest.raises(WorkFailed, match="is wrong"):
            other.sign_in(someone.name, someone.password)
        other.sign_in(someone.name, new)


def test_server_token_can_use_the_lab_and_nothing_else(server: UserServer) -> None:
    settings = server.person.settings
    token, url = server.run(f"{READ_TOKEN}; print(os.environ['CYBERLAB_URL'])").split()
    assert url == f"{settings.lab_url}/services/lab/api/v1"
    me = whoami(settings, token).json()
    assert (me["kind"], me["name"]) == ("user", server.person.name)
    assert set(me["scopes"]) == {accounts.USE, *own_name(server.person.name)}
    headers = {"Authorization": f"token {token}"}
    own = f"/users/{server.person.name}"
    for method, path in (
        ("GET", "/users"),
        ("GET", f"{own}/tokens"),
        ("POST", f"{own}/tokens"),
        ("DELETE", f"{own}/server"),
    ):
        url = f"{settings.hub_api_url}{path}"
        answer = httpx.request(method, url, headers=headers, timeout=30, trust_env=False)
        assert answer.status_code in (403, 404), f"{method} {path}"


def test_no_lab_token_is_in_an_environment(server: UserServer) -> None:
    token = server.run(READ_TOKEN)
    assert token not in server.run("import subprocess; print(subprocess.check_output('env', text=True))")
    assert token not in str(server.person.container.attrs)
    mode = server.run(
        "import os; s = os.stat('/run/cyberlab/token'); print(oct(s.st_mode & 0o777), s.st_uid)"
    )
    assert mode == "0o400 1000"
    with pytest.raises(CellFailed, match="Read-only"):
        server.run("import os; os.chmod('/run/cyberlab', 0o700); open('/run/cyberlab/x', 'w')")


def test_server_token_ends_with_a_crash(lab_running: Settings) -> None:
    with user_server(lab_running) as short:
        token = short.run(READ_TOKEN)
        short.person.container.kill()
        deadline = time.monotonic() + 90  # the hub looks every half minute
        while whoami(lab_running, token).status_code == 200:
            assert time.monotonic() < deadline, "the token outlives a server that crashed"
            time.sleep(1)
        short.person.browser.start_server(lambda _: None)
        short.person.browser.open_server()


@pytest.mark.parametrize("way", ["culled", "shut out", "account deleted"])
def test_server_token_ends_with(lab_running: Settings, way: str) -> None:
    with person(lab_running) as short:
        short.browser.start_server(lambda _: None)
        short.browser.open_server()
        with open_kernel(short.browser, "") as kernel:
            token = UserServer(short, kernel).run(READ_TOKEN)
        assert whoami(lab_running, token).status_code == 200
        if way == "shut out":
            with person(lab_running, admin=True) as chief:
                post_form(chief.browser, f"/hub/accounts/{short.name}/revoke")
        else:
            with admin_api(lab_running) as admin:
                path = f"/users/{short.name}" + ("/server" if way == "culled" else "")
                admin.delete(path)  # the first is what the culler asks for
                deadline = time.monotonic() + 60
                while whoami(lab_running, token).status_code == 200:
                    assert time.monotonic() < deadline, f"the token outlives a server that is {way}"
                    time.sleep(0.3)
        assert whoami(lab_running, token).status_code == 403


def test_server_token_ends_with_the_server(lab_running: Settings) -> None:
    with user_server(lab_running) as short:
        token = short.run(READ_TOKEN)
        assert whoami(lab_running, token).status_code == 200
        short.person.browser.stop_server()
        assert whoami(lab_running, token).status_code == 403
        # the fixture closes its kernel on a server that runs
        short.person.browser.start_server(lambda _: None)
        short.person.browser.open_server()


def test_other_peoples_servers_are_closed(server: UserServer, someone: Person) -> None:
    url = f"{server.person.browser.server_url}/user/{server.person.name}/api/contents"
    answer = someone.browser._send("GET", url, ok=(200, 403, 404))
    assert answer.status_code in (403, 404)
    answer = someone.browser.hub("POST", f"/users/{server.person.name}/server", ok=(201, 202, 400, 403, 404))
    assert answer.status_code in (403, 404)


def test_admin_scope_is_for_administrators(lab_running: Settings, someone: Person) -> None:
    token = accounts.api_token(lab_running, "admin", scopes=(accounts.ADMINISTER, accounts.USE))
    try:
        scopes = set(whoami(lab_running, token).json()["scopes"])
        assert scopes == {accounts.ADMINISTER, accounts.USE, *own_name("admin")}
    finally:
        with admin_api(lab_running) as admin:
            number = whoami(lab_running, token).json()["token_id"]
            admin.delete(f"/users/admin/tokens/{number}")
    with pytest.raises(Exception, match="cannot have this token"):
        accounts.api_token(lab_running, someone.name, scopes=(accounts.ADMINISTER,))


def test_token_of_an_unknown_account(lab_running: Settings) -> None:
    with pytest.raises(NotFound, match="There is no account"):
        accounts.api_token(lab_running, "nobody-here")


def test_home_survives_a_stop(lab_running: Settings) -> None:
    with user_server(lab_running) as before:
        before.run("import pathlib; pathlib.Path.home().joinpath('kept.txt').write_text('still here')")
        before.person.browser.stop_server()
        before.person.browser.start_server(lambda _: None)
        before.person.browser.open_server()
        assert before.person.browser.read_file("kept.txt")["content"] == "still here"


def test_start_tells_what_it_does(lab_running: Settings) -> None:
    told: list[str] = []
    with person(lab_running) as someone:
        assert someone.browser.start_server(told.append)
        assert not someone.browser.start_server(told.append), "the second start did not find the first"
    assert any("home folder" in line for line in told), json.dumps(told)
