"""InfluxDB: who may read and write readings."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from cyberlab_hub.accounts import list_accounts
from cyberlab_hub.ingest.influx1 import Influx1Store, reader_of
from cyberlab_hub.ingest.store import FLEET, database_of
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup.doctor.check import CannotTell, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

LAYER = "readings"
SECONDS = 10
ANEW = "`docker rm -f {name}-influxdb` (its readings stay), then `make up`"
REFUSED = (401, 403)


@check("influx-strangers", LAYER, "InfluxDB answers nobody without a login", ANEW)
def strangers(patient: Patient) -> str:
    _at_hand(patient)
    with _http(patient.settings) as http:
        asked = {
            "a query": http.get("/query", params={"q": "SHOW DATABASES"}),
            "a write": http.post("/write", params={"db": FLEET}, content=b""),
            "a wrong password": http.get("/query", params={"q": "SHOW DATABASES"}, auth=("admin", "admin")),
        }
        open_pages = {page: http.get(page) for page in ("/debug/pprof/", "/debug/vars")}
    wrong = [
        f"{what} of a stranger was answered {a.status_code}"
        for what, a in asked.items()
        if a.status_code not in REFUSED
    ]
    if open_pages["/debug/pprof/"].status_code == 200:
        wrong.append("its profiler (/debug/pprof) is open: anybody can make it busy")
    return none_wrong(wrong, f"refused: {', '.join(asked)}")


@check(
    "influx-readers",
    LAYER,
    "A reader reads what is theirs, and changes nothing",
    "as InfluxDB's user admin (password in {secrets}/influx.admin): `SHOW GRANTS FOR ...`, then `REVOKE` what is wrong",
)
def readers(patient: Patient) -> str:
    settings = patient.settings
    if settings.influx_org:
        raise CannotTell("InfluxDB 2.x: the readers' tokens are known to the lab service alone")
    _at_hand(patient)
    store = Influx1Store(
        settings.store_url, settings.secret("influx.admin"), settings.secret("influx.derive")
    )
    try:
        there = store.readers()
        owners = [a.name for a in list_accounts(settings) if reader_of(a.name) in there]
        if not owners:
            return "no account has readings yet"
        with _http(settings) as http:
            return none_wrong(reader_problems(http, store, owners[0]), f"tried as the reader of {owners[0]}")
    finally:
        store.close()


def reader_problems(http: httpx.Client, store: Influx1Store, owner: str) -> Iterator[str]:
    """What InfluxDB lets a reader do and should not. None of it changes anything, even where it is allowed."""
    own, login = database_of(owner), store.reader_login(owner)
    asked = {
        f"write to {own}": http.post("/write", params={"db": own}, content=b"", headers=login),
        f"write to {FLEET}": http.post("/write", params={"db": FLEET}, content=b"", headers=login),
    }
    for what, answer in asked.items():
        if answer.status_code not in REFUSED:
            yield f"the reader of {owner} may {what} (answer {answer.status_code})"
    for statement in (
        # of InfluxDB itself: every 1.x has it, and no reader has a right to it
        'SELECT * FROM "_internal".."runtime" LIMIT 1',
        "SHOW USERS",
        'DROP SERIES FROM "doctor_none"',
        'DROP DATABASE "doctor_none"',
    ):
        answer = http.post("/query", data={"q": statement, "db": own}, headers=login)
        results = answer.json().get("results", [{}]) if answer.status_code == 200 else []
        if answer.status_code == 200 and not all("error" in r for r in results):
            yield f"the reader of {owner} may run {statement}"


@check(
    "influx-queries",
    LAYER,
    "Nothing runs in InfluxDB by itself: continuous queries are off, and there are none",
    ANEW,
)
def continuous(patient: Patient) -> str:
    settings = patient.settings
    if settings.influx_org:
        raise CannotTell("InfluxDB 2.x: look at its tasks (`influx task list`)")
    _at_hand(patient)
    with _http(settings) as http:
        admin = ("admin", settings.secret("influx.admin"))
        answer = http.get(
            "/query", params={"q": "SHOW DIAGNOSTICS FOR 'config-cqs'; SHOW CONTINUOUS QUERIES"}, auth=admin
        )
    if answer.status_code != 200:
        raise CannotTell(f"InfluxDB answers {answer.status_code} to its administrator")
    switch, queries = answer.json()["results"]
    wrong: list[str] = []
    if switch["series"][0]["values"][0][0] is not False:
        wrong.append("continuous queries are switched on: a reader could create one, and it would write")
    for database in queries.get("series", ()):
        wrong += [
            f"{database['name']} has the continuous query {row[0]}" for row in database.get("values", ())
        ]
    return none_wrong(wrong, "off, and none there")


def _http(settings: Settings) -> httpx.Client:
    return httpx.Client(base_url=settings.store_url, timeout=SECONDS, trust_env=False)


def _at_hand(patient: Patient) -> None:
    """Raises: CannotTell."""
    if not patient.settings.influx_url:
        patient.at_hand(patient.settings.influx_address)
