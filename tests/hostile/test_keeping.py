"""Means, retention and the space for readings: names that are statements, others' rules, more than the quota says.

Everything here ends in statements that the lab writes to InfluxDB as its administrator, so a name that leaves its
quotation marks would do whatever it says. Mallory may choose names of measurements and fields as she likes.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any

import httpx
from cyberlab_edge.answers import Verdict
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas
from hostile.attack import Attack, Scene, table
from hostile.scene import Someone, wait_until
from hostile.test_devices import uplink
from hostile.test_ways import pub, readings_of, thing_of, write

STATEMENTS = (
    'm" ; DROP DATABASE "{db}"',
    'm"; DELETE FROM "diary',
    'm" INTO "{db}"."autogen"."diary',
    'm" FROM "{db}".."diary" --',
    "m') OR time > 0 --",
    "/.*/",
    '"{db}".."diary"',
    "m\u2028diary",
)
"""Names of measurements and of fields. `{db}` is Ben's database."""


# ---------------------------------------------------------------- what is watched
def diary(scene: Scene) -> str:
    return scene.ben.lab.query('SELECT * FROM "diary"').to_csv()


@contextmanager
def bens_stays(scene: Scene) -> Iterator[None]:
    """His diary, his rule and his days are afterwards as they were."""
    scene.once("Ben's rule", lambda: _rule(scene.ben, "diary", days=500).raise_for_status())
    before = diary(scene), _kept(scene.ben)
    assert scene.ben.canary in before[0], "Ben has no readings: the attack proves nothing"
    yield
    assert (diary(scene), _kept(scene.ben)) == before


def _kept(who: Someone) -> list[Any]:
    found = who.http.get("/storage").json()
    return [found["keep_days"], *((rule["target"], rule["active"], rule["days"]) for rule in found["means"])]


def _rule(who: Someone, measurement: str, every: str = "1h", **more: Any) -> httpx.Response:
    return who.http.put("/storage/means", json={"measurement": measurement, "every": every, **more})


def _escaped(name: str) -> str:
    return name.replace(",", "\\,").replace(" ", "\\ ")


def _writes(who: Someone, measurement: str, field: str = "value") -> httpx.Response:
    at = time.time_ns() - 5 * 3600 * 10**9
    line = f"{_escaped(measurement)} {_escaped(field).replace('=', chr(92) + '=')}=1 {at}"
    return who.http.post("/write", content=line.encode(), headers={"Content-Type": "text/plain"})


def _made(who: Someone, measurement: str) -> None:
    """Wait until InfluxDB has been asked for the means."""

    def done() -> bool:
        rules = who.http.get("/storage").json()["means"]
        return any(r["measurement"] == measurement and (r["made_until"] or r["problem"]) for r in rules)

    wait_until(f"means of {measurement!r}", done)


def _over(who: Someone) -> None:
    """Forget the rule and what it made, so that the next attack has place for its own."""
    for rule in who.http.get("/storage").json()["means"]:
        who.http.post("/storage/means/stop", json={"measurement": rule["measurement"]})
        for name in (rule["measurement"], rule["target"]):
            wish = {"measurement": name, "start": -(2**63), "stop": 2**63 - 1, "really": True}
            who.http.post("/storage/forget", json=wish)


@contextmanager
def quota(scene: Scene, who: Someone, name: str, value: int) -> Iterator[None]:
    with closing(Database.open(scene.settings.db_url)) as database:
        Quotas(database).set("user", who.name, name, value)
        try:
            time.sleep(6)  # a change counts within five seconds
            yield
        finally:
            Quotas(database).unset("user", who.name, name)
    time.sleep(6)


# ---------------------------------------------------------------- names that are statements
def _as_measurement(text: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        name = text.replace("{db}", database_of(scene.ben.name))
        with bens_stays(scene):
            assert _rule(scene.mallory, name).status_code in (404, 422), "there is no such measurement yet"
            if _writes(scene.mallory, name).json().get("written"):
                assert _rule(scene.mallory, name).status_code == 202
                _made(scene.mallory, name)
            for path, body in (
                ("/storage/forget", {"start": -(2**63), "stop": 2**63 - 1, "really": True}),
                ("/storage/means/stop", {}),
            ):
                answer = scene.mallory.http.post(path, json={"measurement": name, **body})
                assert answer.status_code in (200, 404, 422)
                scene.assert_nothing_of_ben(answer.text)
            _over(scene.mallory)

    return run


def _as_field(text: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        field = text.replace("{db}", database_of(scene.ben.name))
        name = f"fields-{secrets.token_hex(3)}"
        with bens_stays(scene):
            if _writes(scene.mallory, name, field).json().get("written"):
                assert _rule(scene.mallory, name).status_code == 202
                _made(scene.mallory, name)
                scene.assert_nothing_of_ben(readings_of(scene.mallory, f"{name}_1h"))
            _over(scene.mallory)

    return run


def _as_window(scene: Scene) -> None:
    with bens_stays(scene):
        _writes(scene.mallory, "windows")
        for every in (
            "1h) --",
            '1h","',
            "0s",
            "-1h",
            "1",
            "",
            "1h\0",
            "99999d",
            "1H",
            "\u0661h",
            ["1h"],
            None,
            1,
        ):
            answer = scene.mallory.http.put("/storage/means", json={"measurement": "windows", "every": every})
            assert answer.status_code == 422, f"{every!r}: {answer.status_code}"
        extra = {"aggregate": 'max(value) INTO "x"', "fn": "mean", "target": "diary", "owner": scene.ben.name}
        answer = _rule(scene.mallory, "windows", **extra)
        assert answer.status_code == 422 or answer.json()["target"] == "windows_1h"
        _over(scene.mallory)


# ---------------------------------------------------------------- what is another's
def _bens_rule(scene: Scene) -> None:
    ben, http = scene.ben.name, scene.mallory.http
    with bens_stays(scene):
        for more in ({}, {"owner": ben}, {"user": ben}, {"db": ben}):
            params = {"owner": ben, "user": ben, "db": ben}
            for name in ("diary", f"{ben}/diary", f"{database_of(ben)}.diary"):
                stop = http.post("/storage/means/stop", json={"measurement": name, **more}, params=params)
                make = http.put(
                    "/storage/means", json={"measurement": name, "every": "1d", **more}, params=params
                )
                assert {stop.status_code, make.status_code} <= {404, 422}
            forget = {"measurement": "diary", "start": -(2**63), "stop": 2**63 - 1, "really": True, **more}
            answer = http.post("/storage/forget", json=forget, params=params)
            assert answer.status_code == 422 or answer.json()["readings"] == 0
            keep = http.put("/storage/retention", json={"days": None, "really": True, **more}, params=params)
            assert keep.status_code in (200, 422)
        for path in (f"/storage/{ben}", f"/storage/means/{ben}", f"/storage/owners/{ben}"):
            assert http.delete(path).status_code in (404, 405)


def _bens_storage(scene: Scene) -> None:
    ben, http = scene.ben.name, scene.mallory.http
    own = http.get("/storage").json()
    for params in ({"owner": ben}, {"user": ben}, {"db": database_of(ben)}):
        seen = http.get("/storage", params=params, headers={"X-Forwarded-User": ben}).json()
        assert [rule["target"] for rule in seen["means"]] == [rule["target"] for rule in own["means"]]
    refused = http.get("/storage/owners")
    assert (refused.status_code, ben in refused.text) == (403, False)


# ---------------------------------------------------------------- more than the quota says
def _more_means(scene: Scene) -> None:
    who = scene.mallory
    names = [f"many{n}" for n in range(16)]
    for name in names:
        _writes(who, name)
    with quota(scene, who, "means", 3), ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda name: _rule(who, name).status_code, names))
        assert set(codes) == {202, 429}
        assert len(who.http.get("/storage").json()["means"]) == codes.count(202) == 3
    _over(who)


def _longer_means(scene: Scene) -> None:
    who = scene.mallory
    _writes(who, "longer")
    with quota(scene, who, "mean_days", 10):
        assert _rule(who, "longer", days=11).status_code == 429
        for days in (0, -1, 10**9, 1.5, "x"):
            assert _rule(who, "longer", days=days).status_code == 422, days
        assert _rule(who, "longer").json()["days"] == 10, "as long as possible"
    _over(who)


def _without_space(scene: Scene) -> None:
    who, thing = scene.mallory, thing_of(scene, scene.mallory)
    name = f"full-{secrets.token_hex(3)}"
    with quota(scene, who, "readings", 0):
        answer = write(scene, thing.token, who.name, f"{name} value=1".encode())
        assert (answer.status_code, answer.json()["err"]) == (429, "quota-readings")
        assert answer.headers["retry-after"] == "60"
        answer = _writes(who, name)
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "quota-readings")
        assert pub(scene, thing, "-m", "1", topic=f"{thing.mqtt_topic}/{name}") == 0, "it waits at the broker"
        time.sleep(5)
        assert not readings_of(who, name).strip()
    wait_until("what waited", lambda: bool(readings_of(who, name).strip()), 90)


def _without_space_on_an_uplink(scene: Scene) -> None:
    name = f"full-{secrets.token_hex(3)}"
    with quota(scene, scene.ben, "readings", 0):
        answer = uplink(
            scene, scene.ben.device, scene.ben.stolen_token, f"{name} value=1 {time.time_ns()}".encode()
        )
        assert answer.verdict is Verdict.LATER
    assert not readings_of(scene.ben, name).strip()


# ---------------------------------------------------------------- readings that pass for means
def _passes_for_a_mean(scene: Scene) -> None:
    who, thing = scene.mallory, thing_of(scene, scene.mallory)
    name = f"air{secrets.token_hex(3)}"
    _writes(who, name)
    assert _rule(who, name).status_code == 202
    _made(who, name)
    time.sleep(6)
    before = readings_of(who, f"{name}_1h")
    forged = f"{name}_1h value=666,value_count=1i"
    answer = write(scene, thing.token, who.name, f"{forged}\n{name} value=2".encode())
    assert (answer.status_code, "holds means" in answer.json()["message"]) == (400, True)
    answer = who.http.post("/write", content=f"{forged} {time.time_ns()}".encode())
    assert answer.json()["written"] == 0
    assert pub(scene, thing, "-m", "666", topic=f"{thing.mqtt_topic}/{name}_1h") == 0
    assert pub(scene, thing, "-m", "7654.25", topic=f"{thing.mqtt_topic}/{name}") == 0
    wait_until("the reading after it", lambda: "7654.25" in readings_of(who, name), 40)
    assert readings_of(who, f"{name}_1h") == before
    _over(who)


def _attack(name: str, tries: str, must_hold: str, layer: str, run: Callable[[Scene], None]) -> Attack:
    return Attack("keeping", name, tries, must_hold, layer, run)


BENS = "nothing of Ben's changes or is seen"
ATTACKS = (
    *(_attack(f"measurement-{n}", f"makes means of {text!r}", BENS, "quoted names", _as_measurement(text)) for n, text in enumerate(STATEMENTS)),
    *(_attack(f"field-{n}", f"makes means of a field {text!r}", BENS, "quoted names", _as_field(text)) for n, text in enumerate(STATEMENTS)),
    _attack("window", "gives windows and aggregates that are statements", "422", "policy", _as_window),
    _attack("bens-rule", "stops, makes and forgets what is Ben's", BENS, "owner check", _bens_rule),
    _attack("bens-storage", "reads what Ben's readings take up", "only her own is told", "owner check", _bens_storage),
    _attack("more-means", "makes 16 rules at once with a quota of 3", "three", "quota", _more_means),
    _attack("longer-means", "keeps means for longer than the quota", "refused", "quota", _longer_means),
    _attack("without-space", "writes without space, by three ways", "refused, or it waits", "quota", _without_space),
    _attack("without-space-uplink", "the same by a device's uplink", "told to come later", "quota", _without_space_on_an_uplink),
    _attack("passes-for-a-mean", "writes readings into her means", "refused by each way", "gateway", _passes_for_a_mean),
)  # fmt: skip


@table(ATTACKS)
def test_keeping(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
