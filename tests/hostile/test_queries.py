"""Reading another's database by the ways that InfluxQL has, and hurting the database itself.

Mallory knows the name of Ben's database: it is made from his name by a rule that anybody can read. It is no secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from cyberlab_hub.ingest.store import database_of
from hostile.attack import Attack, Scene, table
from hostile.scene import in_background
from hostile.watch import memory_free

MB = 2**20
GATE, RIGHTS = "query gate", "InfluxDB rights"

READS = {
    "from-his-database": ('SELECT * FROM "{db}".."diary"', RIGHTS),
    "from-his-policy": ('SELECT * FROM "{db}"."autogen"."diary"', RIGHTS),
    "from-every-measurement": ('SELECT * FROM "{db}"../.*/', RIGHTS),
    "from-both": ('SELECT * FROM "diary", "{db}".."diary"', RIGHTS),
    "in-a-subquery": ('SELECT * FROM (SELECT * FROM "{db}".."diary")', RIGHTS),
    "in-two-subqueries": (
        'SELECT max(v) FROM (SELECT max(value) AS v FROM (SELECT value FROM "{db}".."diary"))',
        RIGHTS,
    ),
    "after-a-semicolon": ('SELECT * FROM "diary"; SELECT * FROM "{db}".."diary"', RIGHTS),
    "after-a-comment": ('SELECT /* "mine" */ * FROM "{db}".."diary" -- end', RIGHTS),
    "quoted-oddly": ('SELECT * FROM "{db}"."autogen"."dia\\u0072y"', RIGHTS),
    "show-measurements": ('SHOW MEASUREMENTS ON "{db}"', RIGHTS),
    "show-series": ('SHOW SERIES ON "{db}"', RIGHTS),
    "show-tag-values": ('SHOW TAG VALUES ON "{db}" WITH KEY = "room"', RIGHTS),
    "show-tag-values-from": ('SHOW TAG VALUES FROM "{db}".."diary" WITH KEY = "room"', RIGHTS),
    "show-field-keys": ('SHOW FIELD KEYS ON "{db}"', RIGHTS),
    "show-cardinality": ('SHOW SERIES CARDINALITY ON "{db}"', RIGHTS),
    "show-exact-cardinality": ('SHOW MEASUREMENT EXACT CARDINALITY ON "{db}"', RIGHTS),
    "from-the-database-itself": ('SELECT * FROM "_internal".."database"', RIGHTS),
    "explain": ('EXPLAIN ANALYZE SELECT * FROM "{db}".."diary"', GATE),
    "show-databases": ("SHOW DATABASES", GATE),
    "show-users": ("SHOW USERS", GATE),
    "show-grants": ('SHOW GRANTS FOR "{reader}"', GATE),
    "show-queries": ("SHOW QUERIES", GATE),
    "show-continuous-queries": ("SHOW CONTINUOUS QUERIES", GATE),
    "show-stats": ("SHOW STATS", GATE),
    "show-diagnostics": ("SHOW DIAGNOSTICS", GATE),
    "show-shards": ("SHOW SHARDS", GATE),
    "show-retention": ('SHOW RETENTION POLICIES ON "{db}"', GATE),
    "show-subscriptions": ("SHOW SUBSCRIPTIONS", GATE),
}
"""What she sends, and which layer says no."""

CHANGES = {
    "select-into-his": ('SELECT * INTO "{db}".."diary" FROM "seen"', RIGHTS),
    "select-into-hers": ('SELECT * INTO "stolen" FROM "{db}".."diary"', RIGHTS),
    "select-into-in-a-comment": ('SELECT * /**/INTO/**/ "{db}".."diary" FROM "seen"', RIGHTS),
    "drop-database": ('DROP DATABASE "{db}"', GATE),
    "drop-after-select": ('SELECT 1 FROM x; DROP DATABASE "{db}"', GATE),
    "drop-after-a-quote": ('SELECT * FROM "a;b" WHERE x = \';\'; DROP MEASUREMENT "diary"', GATE),
    "drop-after-a-comment": ('/* */ DROP DATABASE "{db}"', GATE),
    "drop-after-a-line-comment": ('-- SELECT\nDROP DATABASE "{db}"', GATE),
    "drop-in-other-letters": ('dRoP\tDATABASE "{db}"', GATE),
    "drop-series": ('DROP SERIES FROM "diary"', GATE),
    "delete": ('DELETE FROM "diary"', GATE),
    "delete-with-a-long-s": ('\u017fELECT 1; DELETE FROM "diary"', GATE),
    "continuous-query": (
        'CREATE CONTINUOUS QUERY q ON "{db}" BEGIN SELECT mean(value) INTO "{db}".."x" FROM "{db}".."diary" GROUP BY time(1m) END',
        GATE,
    ),
    "grant": ('GRANT ALL ON "{db}" TO "{hers}"', GATE),
    "grant-admin": ('GRANT ALL PRIVILEGES TO "{hers}"', GATE),
    "create-user": ("CREATE USER mallory WITH PASSWORD 'x' WITH ALL PRIVILEGES", GATE),
    "set-password": ("SET PASSWORD FOR \"{reader}\" = 'x'", GATE),
    "create-database": ("CREATE DATABASE mallory", GATE),
    "retention-of-an-hour": ('ALTER RETENTION POLICY "autogen" ON "{db}" DURATION 1h', GATE),
    "subscription": (
        'CREATE SUBSCRIPTION s ON "{db}"."autogen" DESTINATIONS ALL \'http://127.0.0.1:{port}\'',
        GATE,
    ),
    "kill-query": ("KILL QUERY 1", GATE),
}


def _words(scene: Scene) -> dict[str, object]:
    his, hers = database_of(scene.ben.name), database_of(scene.mallory.name)
    return {"db": his, "reader": f"r{his[1:]}", "hers": f"r{hers[1:]}", "port": scene.listener.port}


def _filled(scene: Scene, text: str) -> str:
    for word, value in _words(scene).items():
        text = text.replace("{" + word + "}", str(value))
    return text


def _bens_points(scene: Scene) -> str:
    return scene.ben.lab.query('SELECT * FROM "diary"').to_csv()


def _asks(text: str) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        before = scene.once("Ben's diary", lambda: _bens_points(scene))
        assert scene.ben.canary in before, "Ben has no points: the attack proves nothing"
        query = _filled(scene, text)
        answer = scene.mallory.http.get("/query", params={"q": query})
        assert answer.status_code in (200, 400, 403), f"{answer.status_code}: {answer.text[:300]}"
        scene.assert_nothing_of_ben(answer.text)
        if answer.status_code == 200:
            assert not answer.text.strip(), f"answered: {answer.text[:300]}"
        assert _bens_points(scene) == before

    return run


def _his_database_as_the_parameter(scene: Scene) -> None:
    name = database_of(scene.ben.name)
    for db in (
        scene.ben.name,
        name,
        f'{name}"',
        "_internal",
        f"{scene.mallory.name}/../{scene.ben.name}",
        "*",
        "mine\0",
    ):
        for path in ("/query", "/measurements"):
            answer = scene.mallory.http.get(path, params={"q": "SHOW MEASUREMENTS", "db": db})
            assert answer.status_code in (403, 422), f"{db!r}: {answer.status_code}"
    twice = [("q", "SHOW MEASUREMENTS"), ("db", "mine"), ("db", scene.ben.name)]
    answer = scene.mallory.http.get("/query", params=twice)
    assert "diary" not in answer.text


def _other_parameters_of_influxdb(scene: Scene) -> None:
    """Parameters that InfluxDB itself understands must not reach it."""
    name = database_of(scene.ben.name)
    more = {
        "u": "admin",
        "p": "admin",
        "rp": f'"{name}".autogen',
        "params": "{}",
        "chunked": "false",
        "pretty": "true",
    }
    answer = scene.mallory.http.get("/query", params={"q": 'SELECT * FROM "diary"', **more, "database": name})
    scene.assert_nothing_of_ben(answer.text)


def _carla_passes_it_on(scene: Scene) -> None:
    """Carla may read Ben's diary; she cannot share it with Mallory, and her share ends when Ben says so."""
    assert (
        scene.ben.canary
        in scene.carla.http.get("/query", params={"q": "SELECT * FROM diary", "db": scene.ben.name}).text
    )
    scene.carla.lab.share(scene.mallory.name)
    try:
        answer = scene.mallory.http.get(
            "/query",
            params={"q": f'SELECT * FROM "{database_of(scene.ben.name)}".."diary"', "db": scene.carla.name},
        )
        scene.assert_nothing_of_ben(answer.text)
        assert (
            scene.mallory.http.get(
                "/query", params={"q": "SELECT * FROM diary", "db": scene.ben.name}
            ).status_code
            == 403
        )
    finally:
        scene.carla.lab.unshare(scene.mallory.name)


def _ended_share(scene: Scene) -> None:
    """Whoever was shared with reads no longer, by none of the two ways."""
    scene.ben.lab.share(scene.mallory.name)
    query = f'SELECT * FROM "{database_of(scene.ben.name)}".."diary"'
    assert scene.ben.canary in scene.mallory.http.get("/query", params={"q": query}).text, (
        "the share itself is wrong"
    )
    scene.ben.lab.unshare(scene.mallory.name)
    for params in ({"q": query}, {"q": "SELECT * FROM diary", "db": scene.ben.name}):
        scene.assert_nothing_of_ben(scene.mallory.http.get("/query", params=params).text)


def _costly(*queries: str, at_once: int = 1) -> Callable[[Scene], None]:
    """Queries that would take all of the database's memory, time or connections; Ben reads meanwhile."""

    def run(scene: Scene) -> None:
        line = {"content": b"seen value=1 1700000000000000000", "headers": {"Content-Type": "text/plain"}}
        assert scene.mallory.http.post("/write", **line).status_code == 200
        before = memory_free()
        ended = [in_background(lambda q=query: _asked(scene, q)) for query in queries * at_once]
        limit = scene.ben.http.get("/query", params={"q": "SELECT * FROM diary"}, timeout=15)
        assert scene.ben.canary in limit.text
        for wait in ended:
            wait()
        assert scene.ben.canary in _bens_points(scene)
        assert before - memory_free() < 1500 * MB

    return run


def _asked(scene: Scene, query: str) -> None:
    """Read for a few seconds at most: Mallory does not want the answer either."""
    with scene.mallory.http.stream("GET", "/query", params={"q": query}, timeout=60) as answer:
        assert answer.status_code in (200, 400, 422, 503), f"{query[:80]}: {answer.status_code}"
        size, limit = 0, time.monotonic() + 4
        for piece in answer.iter_bytes():
            size += len(piece)
            if size > 64 * MB or time.monotonic() > limit:
                return


def _attack(name: str, tries: str, must_hold: str, layer: str, run: Callable[[Scene], None]) -> Attack:
    return Attack("queries", name, tries, must_hold, layer, run)


UNSEEN = "nothing of Ben's is seen"
CENTURIES = "SELECT mean(value) FROM seen WHERE time > '1970-01-01' AND time < '2200-01-01'"
READABLE = "it is refused or bounded; Ben reads on"
ATTACKS = (
    *(_attack(f"read-{name}", text, UNSEEN, layer, _asks(text)) for name, (text, layer) in READS.items()),
    *(_attack(f"change-{name}", text, "nothing changes", layer, _asks(text)) for name, (text, layer) in CHANGES.items()),
    _attack("his-database-as-parameter", "names Ben's database as db", UNSEEN, "owner check", _his_database_as_the_parameter),
    _attack("parameters-of-influxdb", "sends InfluxDB's own parameters", UNSEEN, "owner check", _other_parameters_of_influxdb),
    _attack("share-passed-on", "reads Ben through Carla's share", UNSEEN, RIGHTS, _carla_passes_it_on),
    _attack("share-ended", "reads Ben after he took his share back", UNSEEN, RIGHTS, _ended_share),
    _attack("costly-buckets", "asks for thousands of millions of rows", READABLE, "InfluxDB limits", _costly(
        f"{CENTURIES} GROUP BY time(1s) FILL(0)", f"{CENTURIES} GROUP BY time(1ns) FILL(linear)",
    )),
    _attack("costly-at-once", "asks 20 slow questions at once", READABLE, "query turns", _costly(
        "SELECT mean(value) FROM seen WHERE time > now() - 20d GROUP BY time(1s) FILL(0)", at_once=20,
    )),
    _attack("costly-expressions", "sends regular expressions that explode", READABLE, "query gate", _costly(
        "SELECT * FROM /((a+)+)+$/ WHERE room =~ /((((a*)*)*)*)*b/",
        f"SELECT * FROM /{'(a?)' * 900}{'a' * 900}/",
        f"SELECT {'(' * 3000}value{')' * 3000} FROM seen",
        f"SELECT * FROM {'(SELECT * FROM ' * 300}seen{')' * 300}",
    )),
)  # fmt: skip


@table(ATTACKS)
def test_queries(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
