"""MQTT with ordinary clients (`mosquitto_pub`, `paho-mqtt`): real broker, the gateway's process, InfluxDB."""

from __future__ import annotations

import json
import os
import secrets
import signal
import ssl
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from cyberlab.wire import AuditEntry
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service.audit import Audit
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.service.things import Things
from fakes import FakeStore
from gateway_process import make_gateway, set_up, wait_for
from influx_server import need_influxd
from javascript import need_clients, run
from mqtt_broker import PATH, Broker, make_broker, need_mosquitto
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion


@dataclass(frozen=True)
class Thing:
    """A thing with its token, as its owner was shown it."""

    broker: Broker
    owner: str
    user: str
    topic: str
    token: str = field(repr=False)

    def pub(self, *argv: str, topic: str = "", user: str = "", token: str = "", tls: bool = True) -> int:
        """mosquitto_pub's exit code."""
        secure = ["--cafile", self.broker.ca_file] if tls else []
        login = ["-u", user or self.user, "-P", token or self.token]
        where = ["-h", self.broker.address, "-p", str(self.broker.port), "-t", topic or self.topic]
        done = subprocess.run(
            ["mosquitto_pub", *secure, *login, *where, *argv],
            env={**os.environ, "PATH": PATH},
            capture_output=True,
            timeout=30,
        )
        return done.returncode

    @contextmanager
    def client(self, version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311) -> Iterator[paho.Client]:
        client = paho.Client(CallbackAPIVersion.VERSION2, protocol=version)
        client.username_pw_set(self.user, self.token)
        client.tls_set_context(ssl.create_default_context(cafile=self.broker.ca_file))
        client.connect(self.broker.address, self.broker.port)
        client.loop_start()
        try:
            yield client
        finally:
            client.disconnect()
            client.loop_stop()


def things(broker: Broker) -> tuple[Database, Things]:
    database = Database.open(broker.gateway.settings.db_url)
    return database, Things(broker.gateway.settings, database, FakeStore(), Quotas(database))


def make_thing(broker: Broker, owner: str, name: str = "balcony") -> Thing:
    database, made_by = things(broker)
    made = made_by.add(owner, name)
    database.close()
    return Thing(broker, owner, made.mqtt_user, made.mqtt_topic, made.token)


def let_in(thing: Thing) -> Thing:
    """Wait until the broker knows it."""
    wait_for(lambda: thing.pub("-n") == 0, 30)
    return thing


def values(broker: Broker, owner: str, measurement: str) -> list[float]:
    store = broker.gateway.store()
    store.ensure_owner(owner)
    store.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing there yet is no fault here
        frame = broker.gateway.read(owner, measurement)
    return sorted(frame["value"]) if "value" in frame else []


def audit(broker: Broker) -> list[AuditEntry]:
    database = Database.open(broker.gateway.settings.db_url)
    try:
        return Audit(database).newest(300)
    finally:
        database.close()


def needed(request: pytest.FixtureRequest) -> None:
    need_influxd(request)
    need_mosquitto(request)


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Broker, gateway and InfluxDB, up for all tests that do not cut anything off."""
    needed(request)
    broker = make_broker(make_gateway(tmp_path_factory.mktemp("gateway")))
    with broker.gateway.influx.running():
        set_up(broker.gateway)
        with broker.running(), broker.bridge():
            yield broker


@pytest.fixture
def alone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Broker:
    """Nothing runs yet."""
    needed(request)
    return make_broker(make_gateway(tmp_path_factory.mktemp("alone")))


@pytest.fixture
def owner() -> str:
    return f"anna-{secrets.token_hex(4)}"


@pytest.fixture
def thing(running: Broker, owner: str) -> Thing:
    return let_in(make_thing(running, owner))


# ---------------------------------------------------------------- ordinary clients
def test_mosquitto_pub(running: Broker, thing: Thing) -> None:
    at = time.time_ns()
    name = f"{thing.topic}/t"
    for qos in ("0", "1", "2"):
        assert thing.pub("-q", qos, "-m", f'{{"value": {qos}, "time": {at + int(qos)}}}', topic=name) == 0
    assert thing.pub("-V", "5", "-q", "1", "-m", "3", topic=name) == 0
    assert thing.pub("-V", "mqttv31", "-q", "1", "-m", "4.5", topic=name) == 0
    assert thing.pub("-q", "1", "-m", f"t,room=b12 value=5 {at + 9}\nt value=6 {at + 10}") == 0
    wait_for(lambda: len(values(running, thing.owner, "t")) == 7, 30)
    frame = running.gateway.read(thing.owner, "t")
    assert sorted(frame["value"]) == [0, 1, 2, 3, 4.5, 5, 6]
    assert set(frame["device"]) == {"balcony"}
    assert "deployment" not in frame


@pytest.mark.parametrize("version", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_paho(running: Broker, thing: Thing, version: MQTTProtocolVersion) -> None:
    at = time.time_ns()
    with thing.client(version) as client:
        for n in range(1_000):
            text = json.dumps({"value": n, "time": at + n, "unit": "C", "tags": {"room": "b 12"}})
            sent = client.publish(f"{thing.topic}/t", text, qos=1)
        sent.wait_for_publish(30)
    wait_for(lambda: len(values(running, thing.owner, "t")) == 1_000, 60)
    frame = running.gateway.read(thing.owner, "t")
    assert sorted(frame["value"]) == list(range(1_000))
    assert frame.attrs["units"] == {"value": "C"}
    assert set(frame["room"]) == {"b 12"}


JAVASCRIPT = """
const { URL, LOGIN, TOKEN, TOPIC, AT } = process.env;
const protocolVersion = Number(process.env.VERSION);
const client = require("mqtt").connect(URL, { username: LOGIN, password: TOKEN, protocolVersion, reconnectPeriod: 0 });
client.on("error", (error) => { console.log(error); process.exit(1); });
client.on("connect", async () => {
  for (let n = 0; n < 200; n++)
    await client.publishAsync(`${TOPIC}/js`, JSON.stringify({ value: n, unit: "C" }), { qos: 1 });
  await client.publishAsync(TOPIC, `js value=200,unit="C" ${AT}`, { qos: 1 });
  await client.endAsync();
  console.log("published");
});
"""


@pytest.mark.parametrize("version", ["4", "5"])
def test_the_client_in_javascript(
    request: pytest.FixtureRequest, running: Broker, thing: Thing, tmp_path: Path, version: str
) -> None:
    said = run(
        need_clients(request, tmp_path),
        JAVASCRIPT,
        running.ca_file,
        URL=f"mqtts://{running.address}:{running.port}",
        LOGIN=thing.user,
        TOKEN=thing.token,
        TOPIC=thing.topic,
        VERSION=version,
        AT=str(time.time_ns()),
    )
    assert said == "published\n"
    wait_for(lambda: values(running, thing.owner, "js") == list(range(201)), 30)


# ---------------------------------------------------------------- what is refused
def test_refused_lines_are_told_and_the_good_ones_kept(running: Broker, thing: Thing) -> None:
    told: list[dict[str, object]] = []
    at = time.time_ns()
    lines = [f"t value=1 {at}", "nonsense", f"t,device=pi02 value=2 {at}", f"t value=3 {at + 1}"]
    messages = {
        f"{thing.topic}": "\n".join(lines),
        f"{thing.topic}/a": '{"value": 1,',
        f"{thing.topic}/b": '{"value": 1, "tags": {"device": "pi02"}}',
        f"{thing.topic}/c": '{"value": 1, "deployment": "greenhouse"}',
        f"{thing.topic}/d": '{"value": [1, 2]}',
        f"{thing.topic}/e": "",
        f"{thing.topic}/f": "[" * 20_000,
    }
    with thing.client() as client:
        client.on_message = lambda _c, _d, message: told.append(json.loads(message.payload))
        client.subscribe(thing.topic.replace("cyberlab/", "refused/", 1))
        time.sleep(0.5)
        for topic, text in messages.items():
            client.publish(topic, text, qos=1).wait_for_publish(10)
        wait_for(lambda: sum(int(str(one["refused"])) for one in told) == 8, 30)
    reasons = json.dumps(told)
    for part in ("this is not line protocol", "the line says device=pi02", "this is not JSON", "is empty"):
        assert part in reasons
    assert values(running, thing.owner, "t") == [1.0, 3.0]
    claimed = [e for e in audit(running) if e.actor == thing.owner and e.reason == "identity-claimed"]
    assert sum(entry.times for entry in claimed) == 3


def test_nobody_publishes_elsewhere_or_reads_anything(running: Broker, owner: str) -> None:
    hers = let_in(make_thing(running, owner, "hers"))
    other = let_in(make_thing(running, f"ben-{owner}"))
    got: list[str] = []
    with other.client() as client:
        wait_for(client.is_connected, 10)
        client.on_message = lambda _c, _d, message: got.append(message.topic)
        for topic in ("#", "cyberlab/#", "+/+/+/+", f"{hers.topic}/#", "$SYS/#", "refused/#", "gateway/#"):
            client.subscribe(topic, qos=1)
        time.sleep(0.5)
        foreign = [
            f"{hers.topic}/t",
            "cyberlab/t",
            "t",
            f"cyberlab/{owner}/x/t",
            f"refused/{owner}/{hers.user}",
        ]
        for topic in foreign:
            other.pub("-q", "1", "-m", "666", topic=topic)
            other.pub("-V", "5", "-q", "1", "-m", "666", topic=topic)
        assert hers.pub("-q", "1", "-m", "1", topic=f"{hers.topic}/t") == 0
        wait_for(lambda: values(running, owner, "t") == [1.0], 30)
    assert got == []
    assert values(running, other.owner, "t") == []


def test_who_listens_to_others_is_in_the_audit(running: Broker, owner: str) -> None:
    mallory = let_in(make_thing(running, owner, "hers"))
    topics = ("#", "cyberlab/#", f"refused/ben/{mallory.user}", f"refused/{owner}/{mallory.user}")
    with mallory.client() as client:
        wait_for(client.is_connected, 10)
        for topic in topics:
            client.subscribe(topic, qos=1)
            time.sleep(1.1)  # each in a second of its own

    def listened() -> list[str]:
        found = [e.object for e in audit(running) if e.actor == owner and e.reason == "topic-denied"]
        return sorted(what.partition(" listens to ")[2] for what in found)

    wait_for(lambda: len(listened()) >= 3, 30)
    assert listened() == sorted(topics[:3]), "her own refusals she may read"


def test_a_denied_topic_is_in_the_audit_under_its_owner(running: Broker, owner: str) -> None:
    mallory = let_in(make_thing(running, owner, "hers"))
    ben = let_in(make_thing(running, f"ben-{owner}"))
    forged = f"{ben.topic}/x', ... (1 bytes))\u202e Denied PUBLISH from {ben.user} (d0, q0, r0, m0, 'x"
    with mallory.client() as client:
        wait_for(client.is_connected, 10)
        for topic in (forged, *[f"{ben.topic}/{n}" for n in range(50)]):
            client.publish(topic, "SECRET", qos=1).wait_for_publish(10)

    def denied() -> list[AuditEntry]:
        return [entry for entry in audit(running) if entry.reason == "topic-denied"]

    def counted() -> int:
        """One more is sent, for what was not heard is told with the next that is."""
        mallory.pub("-q", "1", "-m", "SECRET", topic=f"{ben.topic}/again")
        mine = sum(entry.times for entry in denied() if entry.actor == owner)
        return mine + sum(entry.times for entry in audit(running) if entry.reason == "not-heard")

    wait_for(lambda: counted() >= 51, 30)
    assert {entry.actor for entry in denied() if owner in entry.actor} == {owner}, "and not under Ben"
    assert len([e for e in denied() if e.actor == owner]) < 20, "a flood becomes few rows"
    for entry in denied():
        assert entry.object.isascii()
        assert entry.object.isprintable()
        assert "SECRET" not in entry.object
        assert len(entry.object) < 200
    assert any(f"thing on hers to {ben.topic}"[:60] in e.object for e in denied())


def test_who_is_not_let_in(running: Broker, thing: Thing) -> None:
    assert thing.pub("-q", "1", "-m", "1", token="wrong") == 5
    assert thing.pub("-q", "1", "-m", "1", user="gateway") == 5
    assert thing.pub("-q", "1", "-m", "1", user=f"gateway.{thing.owner}") == 5
    assert thing.pub("-q", "1", "-m", "1", user="+") == 5
    assert thing.pub("-q", "1", "-m", "1", tls=False) != 0
    assert thing.pub("-q", "1", "-m", "1", "-r", topic=f"{thing.topic}/t") != 0, (
        "retained messages are not kept"
    )
    wait_for(
        lambda: any(e.reason == "login-refused" and e.address.startswith("127.") for e in audit(running)), 30
    )
    assert values(running, thing.owner, "t") == []


def test_another_cannot_take_over_a_session(running: Broker, thing: Thing) -> None:
    for name in ("gateway", f"gateway.{thing.owner}"):
        assert thing.pub("-i", name, "-c", "-q", "1", "-m", "1", topic=f"{thing.topic}/t") == 0
    wait_for(lambda: len(values(running, thing.owner, "t")) == 2, 30)


def test_a_withdrawn_token_ends_the_connection(running: Broker, owner: str) -> None:
    thing = let_in(make_thing(running, owner))
    with thing.client() as client:
        wait_for(client.is_connected, 10)
        ended: list[object] = []
        client.on_disconnect = lambda *_: ended.append(1)
        client.reconnect_delay_set(60, 120)
        database, made_by = things(running)
        made_by.remove(owner, "balcony")
        database.close()
        wait_for(lambda: bool(ended), 30)
    assert thing.pub("-q", "1", "-m", "1", topic=f"{thing.topic}/t") == 5


# ---------------------------------------------------------------- nothing lost, nothing doubled
def publish(thing: Thing, numbers: range, *, timed: bool) -> None:
    """Each is acknowledged by the broker when this returns."""
    with thing.client() as client:
        wait_for(client.is_connected, 10)
        at = time.time_ns()
        sent = [
            client.publish(
                f"{thing.topic}/t", json.dumps({"value": n, "time": at + n} if timed else n), qos=1
            )
            for n in numbers
        ]
        for one in sent:
            one.wait_for_publish(30)


def assert_each_once(broker: Broker, owner: str, count: int) -> None:
    wait_for(lambda: len(values(broker, owner, "t")) >= count, 60)
    time.sleep(1)
    assert values(broker, owner, "t") == list(range(count))


@pytest.mark.parametrize("timed", [True, False])
def test_the_database_and_the_gateway_are_killed_in_turn(alone: Broker, owner: str, timed: bool) -> None:
    with alone.running():
        with alone.gateway.influx.running():
            set_up(alone.gateway)
            with alone.bridge() as process:
                thing = let_in(make_thing(alone, owner))
                publish(thing, range(200), timed=timed)
                process.send_signal(signal.SIGKILL)
                process.wait(10)
            publish(thing, range(200, 500), timed=timed)  # nobody is there but the broker
        with alone.bridge() as process:  # and now there is no database
            publish(thing, range(500, 700), timed=timed)
            time.sleep(2)
            process.send_signal(signal.SIGKILL)
            process.wait(10)
        with alone.gateway.influx.running(), alone.bridge():
            assert_each_once(alone, owner, 700)


def test_the_broker_is_restarted_while_messages_wait(alone: Broker, owner: str) -> None:
    with alone.gateway.influx.running():
        set_up(alone.gateway)
    with alone.bridge():
        with alone.running():
            thing = let_in(make_thing(alone, owner))
            publish(thing, range(300), timed=False)
            time.sleep(6)  # as often as it saves (autosave_interval)
        with alone.running(), alone.gateway.influx.running():
            assert_each_once(alone, owner, 300)


def test_who_sends_too_fast_waits_and_holds_up_nobody(running: Broker, owner: str) -> None:
    fast, other = let_in(make_thing(running, owner)), let_in(make_thing(running, f"ben-{owner}"))
    database = Database.open(running.gateway.settings.db_url)
    Quotas(database).set("user", owner, "points", 20)
    database.close()
    publish(fast, range(260), timed=True)  # a burst of 200, and three seconds
    publish(other, range(50), timed=True)
    assert_each_once(running, other.owner, 50)
    assert_each_once(running, owner, 260)


def test_without_space_messages_wait_at_the_broker(running: Broker, owner: str) -> None:
    """The client is told nothing: the broker has the message. Its owner sees why in `cyberlab storage`."""
    thing = let_in(make_thing(running, owner))
    database = Database.open(running.gateway.settings.db_url)
    quotas = Quotas(database)
    quotas.set("user", owner, "readings", 0)
    publish(thing, range(10), timed=True)
    time.sleep(7)
    assert values(running, owner, "t") == []
    assert not [entry for entry in audit(running) if entry.actor == owner], "nothing is refused"
    quotas.set("user", owner, "readings", 1)
    database.close()
    assert_each_once(running, owner, 10)


def test_the_databases_are_the_owners(running: Broker, thing: Thing) -> None:
    """What was written went where the owner reads, and nowhere else."""
    assert thing.pub("-q", "1", "-m", "1", topic=f"{thing.topic}/here") == 0
    store = running.gateway.store()
    wait_for(lambda: bool(store.measurements(thing.owner, database_of(thing.owner))), 30)
    assert store.measurements(thing.owner, "fleet") == ()
    store.close()
