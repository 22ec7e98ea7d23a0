"""The ways in for things without an agent: InfluxDB's interface and MQTT, with Mallory's own good token in hand."""

from __future__ import annotations

import gzip
import os
import secrets
import ssl
import subprocess
import time
from collections.abc import Callable

import httpx
from cyberlab.errors import NotFound
from cyberlab.wire import NewThing
from hostile.attack import Attack, Scene, table
from hostile.scene import Someone, wait_until
from hostile.test_audit import last, rows

PATH = f"{os.environ['PATH']}:/usr/sbin"
MARK = "ways"


# ---------------------------------------------------------------- what each has
def thing_of(scene: Scene, who: Someone) -> NewThing:
    """A thing that the broker lets in."""

    def make() -> NewThing:
        made = who.lab.add_thing(f"thing-{secrets.token_hex(3)}")
        wait_until("the broker to know it", lambda: pub(scene, made, "-n", topic=made.mqtt_topic) == 0, 40)
        return made

    return scene.once(f"a thing of {who.name}", make)


def write(scene: Scene, token: str, bucket: str, body: bytes, **headers: str) -> httpx.Response:
    context = ssl.create_default_context(cafile=str(scene.settings.certs / "ca.crt"))
    with httpx.Client(verify=context, trust_env=False, timeout=30) as client:
        return client.post(
            f"{scene.settings.ingest_url}/api/v2/write",
            params={"bucket": bucket, "org": "cyberlab"},
            content=body,
            headers={"Authorization": f"Token {token}", **headers},
        )


def mqtt(
    scene: Scene, program: str, user: str, password: str, *argv: str, tls: bool = True
) -> tuple[int, str]:
    """Exit code and what was printed."""
    secure = ["--cafile", str(scene.settings.certs / "ca.crt")] if tls else []
    where = ["-h", scene.settings.mqtt_address, "-p", "8883", "-u", user, "-P", password]
    done = subprocess.run(
        [program, *secure, *where, *argv],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout


def pub(scene: Scene, thing: NewThing, *argv: str, topic: str) -> int:
    return mqtt(scene, "mosquitto_pub", thing.mqtt_user, thing.token, "-q", "1", "-t", topic, *argv)[0]


def readings_of(who: Someone, measurement: str) -> str:
    answer = who.http.get("/query", params={"q": f'SELECT * FROM "{measurement}" WHERE time > 0'})
    return answer.text


def arrives(scene: Scene, who: Someone, thing: NewThing) -> None:
    """What is published now is read by its owner: so what was published before would be there too."""
    name = f"{MARK}-{secrets.token_hex(4)}"
    assert pub(scene, thing, "-m", "1", topic=f"{thing.mqtt_topic}/{name}") == 0
    wait_until("the reading", lambda: thing.name in readings_of(who, name), 40)


# ---------------------------------------------------------------- InfluxDB's interface
def _bens_bucket(scene: Scene) -> None:
    mallory, ben = scene.mallory, scene.ben
    mine = thing_of(scene, mallory)
    for bucket in (ben.name, f"{ben.name}/autogen", "fleet", "lab", "", "*"):
        answer = write(scene, mine.token, bucket, b"stolen value=1")
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert mine.name not in readings_of(ben, "stolen")


def _claims(scene: Scene) -> None:
    mine = thing_of(scene, scene.mallory)
    lines = b"claim,device=%s value=1\nclaim,deployment=%s value=1" % (
        scene.ben.device.encode(),
        scene.ben.deployment.encode(),
    )
    answer = write(scene, mine.token, scene.mallory.name, lines)
    assert answer.status_code == 400
    assert answer.json()["message"].endswith("dropped=2")
    assert scene.ben.device not in readings_of(scene.mallory, "claim")


def _bomb(scene: Scene) -> None:
    mine = thing_of(scene, scene.mallory)
    packed = gzip.compress(b"0" * 200_000_000)
    with scene.host_steady():
        answer = write(scene, mine.token, scene.mallory.name, packed, **{"Content-Encoding": "gzip"})
    assert answer.status_code == 413


def _name_of_a_device(scene: Scene) -> None:
    answer = scene.mallory.http.post("/things", json={"name": scene.ben.device})
    assert answer.status_code == 422


# ---------------------------------------------------------------- MQTT
def _other_topics(scene: Scene) -> None:
    mallory, ben = scene.mallory, scene.ben
    mine, theirs = thing_of(scene, mallory), thing_of(scene, ben)
    name = f"{MARK}-{secrets.token_hex(4)}"
    topics = [
        f"{theirs.mqtt_topic}/{name}",
        f"cyberlab/{ben.name}/{mine.mqtt_user}/{name}",
        f"cyberlab/{mallory.name}/{theirs.mqtt_user}/{name}",
        f"refused/{ben.name}/{theirs.mqtt_user}",
        f"{mine.mqtt_topic}/../{theirs.mqtt_user}/{name}",
    ]
    for topic in topics:
        pub(scene, mine, "-m", "666", topic=topic)
        pub(scene, mine, "-V", "5", "-m", "666", topic=topic)
    arrives(scene, ben, theirs)
    arrives(scene, mallory, mine)
    assert "666" not in readings_of(ben, name)


def _listens(scene: Scene) -> None:
    mine, theirs = thing_of(scene, scene.mallory), thing_of(scene, scene.ben)
    topics = ["#", "cyberlab/#", "+/+/+/+", f"{theirs.mqtt_topic}/#", "$SYS/#", "refused/#"]
    wanted = [part for topic in topics for part in ("-t", topic)]
    since = last(scene)
    listening = subprocess.Popen(
        ["mosquitto_sub", "--cafile", str(scene.settings.certs / "ca.crt"), "-h", scene.settings.mqtt_address,
         "-p", "8883", "-u", mine.mqtt_user, "-P", mine.token, "-W", "8", "-v", *wanted],
        env={**os.environ, "PATH": PATH}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(2)
    arrives(scene, scene.ben, theirs)
    heard, _ = listening.communicate(timeout=60)
    assert heard == ""
    noted = rows(scene, since, action="mqtt", actor=scene.mallory.name)
    assert any("listens to" in row["object"] for row in noted), "it is in the audit"


def _strangers(scene: Scene) -> None:
    mine, theirs = thing_of(scene, scene.mallory), thing_of(scene, scene.ben)
    logins = [
        (theirs.mqtt_user, mine.token),
        (theirs.mqtt_user, "guess"),
        ("gateway", mine.token),
        (f"gateway.{scene.ben.name}", mine.token),
        ("", ""),
        ("#", "x"),
        (f"{theirs.mqtt_user}\n", mine.token),
    ]
    for user, password in logins:
        code, _ = mqtt(
            scene, "mosquitto_pub", user, password, "-q", "1", "-m", "1", "-t", f"{theirs.mqtt_topic}/x"
        )
        assert code != 0, user
    code, _ = mqtt(
        scene,
        "mosquitto_pub",
        mine.mqtt_user,
        mine.token,
        "-q",
        "1",
        "-m",
        "1",
        "-t",
        mine.mqtt_topic,
        tls=False,
    )
    assert code != 0


def _takes_over(scene: Scene) -> None:
    mine, theirs = thing_of(scene, scene.mallory), thing_of(scene, scene.ben)
    for name in ("gateway", f"gateway.{scene.ben.name}", theirs.mqtt_user):
        for version in ("311", "5"):
            pub(scene, mine, "-V", version, "-i", name, "-m", "1", topic=f"{mine.mqtt_topic}/x")
    arrives(scene, scene.ben, theirs)


def _keeps_in_memory(scene: Scene) -> None:
    mine = thing_of(scene, scene.mallory)
    assert pub(scene, mine, "-r", "-m", "1", topic=f"{mine.mqtt_topic}/x") != 0
    code, _ = mqtt(
        scene, "mosquitto_pub", mine.mqtt_user, mine.token, "-q", "1", "-t", f"{mine.mqtt_topic}/x",
        "-m", "x" * 100_000,
    )  # fmt: skip
    assert code != 0
    arrives(scene, scene.ben, thing_of(scene, scene.ben))


def _after_removal(scene: Scene) -> None:
    lab = scene.mallory.lab
    made = lab.add_thing(f"thing-{secrets.token_hex(3)}")
    wait_until("the broker to know it", lambda: pub(scene, made, "-n", topic=made.mqtt_topic) == 0, 40)
    lab.remove_thing(made.name)
    wait_until(
        "the broker to forget it",
        lambda: pub(scene, made, "-m", "1", topic=f"{made.mqtt_topic}/late") != 0,
        40,
    )
    wait_until(
        "the gateway to forget it",
        lambda: write(scene, made.token, scene.mallory.name, b"late value=1").status_code == 401,
        20,
    )


def _bens_thing(scene: Scene) -> None:
    theirs = thing_of(scene, scene.ben)
    try:
        scene.mallory.lab.remove_thing(theirs.name)
    except NotFound:
        arrives(scene, scene.ben, theirs)
        return
    raise AssertionError("she removed it")


def _attack(name: str, tries: str, must_hold: str, layer: str, run: Callable[[Scene], None]) -> Attack:
    return Attack("ways in", name, tries, must_hold, layer, run)


ATTACKS = (
    _attack("v2-bens-bucket", "writes into Ben's bucket", "403", "gateway", _bens_bucket),
    _attack(
        "v2-claims", "claims Ben's device and deployment in tags", "the lines are refused", "gateway", _claims
    ),
    _attack("v2-gzip-bomb", "sends 200 MB in 200 KB", "413, never unpacked", "gateway", _bomb),
    _attack(
        "thing-named-as-a-device", "names a thing as Ben's device", "refused", "policy", _name_of_a_device
    ),
    _attack("bens-thing", "removes Ben's thing", "it is not found", "owner check", _bens_thing),
    _attack(
        "mqtt-other-topics", "publishes to Ben's topics", "nothing of it is read", "broker", _other_topics
    ),
    _attack("mqtt-listens", "subscribes to everything", "she hears nothing", "broker", _listens),
    _attack("mqtt-strangers", "signs in with guesses, and without TLS", "refused", "token", _strangers),
    _attack(
        "mqtt-takes-over", "takes the names of others' sessions", "Ben's readings come", "broker", _takes_over
    ),
    _attack("mqtt-memory", "retains messages, sends huge ones", "refused", "broker", _keeps_in_memory),
    _attack("mqtt-after-removal", "goes on with a withdrawn token", "refused soon", "token", _after_removal),
)


@table(ATTACKS)
def test_ways(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
