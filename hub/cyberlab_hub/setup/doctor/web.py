"""The pages: who can read them on the way, who may come in, and who answers a stranger."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from http.cookies import SimpleCookie

import httpx

from cyberlab_hub import address, reach
from cyberlab_hub.accounts import list_accounts
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.doctor.check import UP, Wrong, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

LAYER = "web"
SECONDS = 10
LOGIN = "/hub/login"


@check(
    "web-address",
    LAYER,
    "Pages that a network can reach are encrypted, and each user has an origin of their own",
    "see *HTTPS* and *An origin for each user* in docs/operating.md (CYBERLAB_HOST, CYBERLAB_TLS), then `make up`",
)
def web_address(patient: Patient) -> str:
    settings = patient.settings
    return none_wrong(address.warnings(settings), f"{settings.public_url}, listens on {settings.bind}")


@check("web-pages", LAYER, "Cookies and headers of the sign-in page are as promised", UP)
def pages(patient: Patient) -> str:
    settings = patient.settings
    with reach.client(settings, timeout=SECONDS) as client:
        answer = client.get(LOGIN)
    if answer.status_code != 200:
        raise Wrong(f"{settings.public_url}{LOGIN} answers {answer.status_code}")
    secure = settings.tls_mode != "off"
    wrong = [*cookie_problems(answer.headers.get_list("set-cookie"), secure=secure)]
    wrong += header_problems(answer.headers, insist=settings.tls_mode == "given")
    return none_wrong(wrong, "HttpOnly, SameSite" + (", Secure" if secure else ""))


def cookie_problems(lines: Iterable[str], *, secure: bool) -> Iterator[str]:
    for line in lines:
        for name, cookie in SimpleCookie(line).items():
            if not cookie["httponly"]:
                yield f"the cookie {name} can be read by scripts (no HttpOnly)"
            if str(cookie["samesite"]).lower() not in ("lax", "strict"):
                yield f"the cookie {name} goes along with requests from other sites (no SameSite)"
            if secure and not cookie["secure"]:
                yield f"the cookie {name} is sent without encryption too (no Secure)"


def header_problems(headers: Mapping[str, str], *, insist: bool) -> Iterator[str]:
    if "frame-ancestors 'none'" not in headers.get("content-security-policy", ""):
        yield "another site may show the page in a frame (no frame-ancestors 'none')"
    if headers.get("x-content-type-options", "").lower() != "nosniff":
        yield "browsers may guess the type of a file (no X-Content-Type-Options: nosniff)"
    if insist and "max-age" not in headers.get("strict-transport-security", ""):
        yield "browsers may come back without encryption (no Strict-Transport-Security)"


@check("web-strangers", LAYER, "Without a token the hub, its proxy and the lab service tell nothing", UP)
def strangers(patient: Patient) -> str:
    settings = patient.settings
    patient.at_hand(settings.gateway("users"))
    places = {
        "the proxy's routes": f"http://127.0.0.1:{settings.hub_port + 1}/api/routes",
        "the hub's users": f"{settings.hub_api_url}/users",
        "the lab's images": f"{settings.lab_url}/services/lab/api/v1/images",
        "the audit": f"{settings.lab_url}/services/lab/api/v1/audit",
    }
    wrong: list[str] = []
    with httpx.Client(timeout=SECONDS, trust_env=False) as client:
        for what, url in places.items():
            for headers in ({}, {"Authorization": "token 0000000000000000"}):
                status = client.get(url, headers=headers).status_code
                if status not in (401, 403):
                    wrong.append(f"{what} ({url}) answers {status} to {'a wrong' if headers else 'no'} token")
    return none_wrong(wrong, f"refused: {', '.join(places)}")


@check(
    "web-accounts",
    LAYER,
    "Administrators are approved accounts, and no first password lies about",
    "`cyberlab-hub user password NAME` sets a new password; remove the file it came from",
)
def accounts(patient: Patient) -> str:
    settings = patient.settings
    everyone = list_accounts(settings)
    admins = [account.name for account in everyone if account.admin]
    wrong = [f"the administrator {a.name} is not approved" for a in everyone if a.admin and not a.approved]
    wrong += password_problems(settings)
    waiting = sum(not account.approved for account in everyone)
    return none_wrong(wrong, f"administrators: {', '.join(admins)}; {waiting} accounts wait for approval")


def password_problems(settings: Settings) -> Iterator[str]:
    if (settings.secrets / "admin.password").exists():
        yield f"the administrator's first password is still in {settings.secrets / 'admin.password'}"
    if (settings.secrets / "student.password").exists() and not settings.local:
        yield (
            f"the lab is open to the network, and the demonstration's account student still has its first password "
            f"({settings.secrets / 'student.password'}): remove the file and the account if you do not need them"
        )
