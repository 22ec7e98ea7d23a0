"""The MQTT broker."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

from cyberlab_hub.campus import BROKER_PORT
from cyberlab_hub.setup.doctor.check import UP, CannotTell, check, none_wrong
from cyberlab_hub.setup.doctor.patient import Patient

SECONDS = 10
STRANGERS = {"nobody": (), "the gateway": ("gateway", "a guess")}


@check("mqtt-strangers", "registry", "Nobody signs in at the MQTT broker without a token, or without TLS", UP)
def strangers(patient: Patient) -> str:
    settings = patient.settings
    hosts = (settings.mqtt_address, *settings.on_campus.addresses)
    patient.at_hand(*hosts)
    trusted = ssl.create_default_context(cafile=settings.certs / "ca.crt")
    wrong = [problem for host in hosts for problem in _problems(host, trusted)]
    return none_wrong(wrong, f"{len(STRANGERS)} strangers refused, certificate good, TLS only")


def _problems(host: str, trusted: ssl.SSLContext) -> Iterator[str]:
    place = (host, BROKER_PORT)
    with socket.create_connection(place, SECONDS) as plain:
        if _accepted(plain, connect()):
            yield f"{host}:{BROKER_PORT} lets nobody in without TLS"
    try:
        for who, login in STRANGERS.items():
            with (
                socket.create_connection(place, SECONDS) as plain,
                trusted.wrap_socket(plain, server_hostname=host) as tls,
            ):
                if _accepted(tls, connect(*login)):
                    yield f"{host}:{BROKER_PORT} lets {who} in without a token"
    except ssl.SSLError as error:
        yield f"{host}:{BROKER_PORT} does not speak TLS with a certificate of this lab: {error.reason}"


def connect(user: str = "", password: str = "") -> bytes:
    """MQTT 3.1.1's first packet."""

    def text(what: str) -> bytes:
        return len(what).to_bytes(2) + what.encode()

    flags = 2 | (0xC0 if user else 0)
    body = text("MQTT") + bytes([4, flags, 0, 30]) + text("doctor")
    body += text(user) + text(password) if user else b""
    return bytes([0x10, len(body)]) + body


def _accepted(connection: socket.socket, wish: bytes) -> bool:
    """Raises: CannotTell, when the broker takes its time."""
    try:
        connection.sendall(wish)
        answer = connection.recv(4)
    except TimeoutError as error:
        raise CannotTell(f"the MQTT broker did not answer in {SECONDS} s") from error
    except OSError:
        return False  # it hung up
    return answer[:1] == b"\x20" and answer[3:4] == b"\x00"
