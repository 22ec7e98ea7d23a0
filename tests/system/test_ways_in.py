"""Ordinary clients inside a deployment, told by the environment where to write; and who says that the broker hangs."""

from __future__ import annotations

import secrets
import time

import pytest
from cyberlab import FileEntry, ImageSpec, Lab
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers, engines
from cyberlab_hub.setup.status import collect

pytestmark = pytest.mark.engine

PROGRAM = """
import os, ssl, time, warnings
from urllib.parse import urlsplit
import paho.mqtt.client as mqtt
from influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS

env = os.environ
token = open(env["CYBERLAB_TOKEN_FILE"]).read().strip()
trust = ssl.create_default_context(cafile=env["CYBERLAB_CA_FILE"])
broker = urlsplit(env["CYBERLAB_MQTT"])

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
client.username_pw_set(env["CYBERLAB_MQTT_USER"], token)
client.tls_set_context(trust)
client.on_connect = lambda *_: print("MQTT: connected", _[3], flush=True)
client.connect_async(broker.hostname, broker.port)
client.loop_start()

influx = InfluxDBClient(url=env["CYBERLAB_INGEST"], token=token, org="cyberlab",
                        ssl_ca_cert=env["CYBERLAB_CA_FILE"])
influx.api_client.set_default_header("X-Cyberlab-Device", env["CYBERLAB_DEVICE"])
write = influx.write_api(write_options=SYNCHRONOUS)
n = 0
while True:
    n += 1
    client.publish(env["CYBERLAB_MQTT_TOPIC"] + "/by_mqtt", n, qos=1)
    try:
        write.write("BUCKET", record=f"by_influx value={n}")
    except Exception as error:
        print(error, flush=True)
    time.sleep(0.5)
"""


def test_clients_in_a_deployment_write_as_their_device(student: Lab) -> None:
    name = f"clients-{secrets.token_hex(3)}"
    spec = ImageSpec(
        name=name,
        base="python",
        pip=("paho-mqtt", "influxdb-client"),
        files=(FileEntry(path="main.py", text=PROGRAM.replace("BUCKET", student.user)),),
        command=("python3", "main.py"),
    )
    devices = [device.name for device in student.devices()][:2]
    student.deploy(student.build(spec, show=False, timeout=300), devices=devices, show=False, timeout=120)
    try:
        for measurement in ("by_mqtt", "by_influx"):
            student.wait_for(measurement, devices=devices, start="-10m", timeout=60)
            frame = student.read(measurement, layout="long", start="-10m")
            assert set(frame["device"]) == set(devices)
            assert set(frame["deployment"]) == {name}
    finally:
        said = "\n".join(line.text for line in student.deployment_logs(name))
        student.stop(name)
    assert "connected" in said


def test_a_broker_that_hangs_is_down_in_status_and_health(lab_running: Settings, student: Lab) -> None:
    settings = lab_running
    broker = engines.system_engine().containers.get(containers.container_name(settings, "mqtt"))

    def told() -> tuple[tuple[bool, str], tuple[bool, str]]:
        (state,) = [row for row in collect(settings) if row.part == "mqtt"]
        (part,) = [row for row in student.health() if row.part == "mqtt"]
        return (state.ok, state.detail), (part.ok, part.detail)

    broker.pause()
    try:
        for ok, detail in told():
            assert not ok
            assert "make up" in detail
    finally:
        broker.unpause()
    deadline = time.monotonic() + 30
    while not all(ok for ok, _ in told()):
        assert time.monotonic() < deadline, told()
        time.sleep(0.5)
