"""Whether the broker answers: for health and status."""

from __future__ import annotations

import socket
import ssl

from cyberlab_hub.errors import PartDown
from cyberlab_hub.settings import Settings

SECONDS = 5.0


def ask(settings: Settings, seconds: float = SECONDS) -> str:
    """Its TLS version. Nobody signs in: a refused guess would be in the audit each time somebody asks for health.

    The broker does all its work in one loop, so one that finishes a handshake is not stuck.

    Raises:
        PartDown: ``mqtt-down``, with what an operator does about it.
    """
    host, _, port = settings.mqtt_url.partition("//")[2].partition(":")
    try:
        trust = ssl.create_default_context(cafile=str(settings.certs / "ca.crt"))
        with (
            socket.create_connection((host, int(port)), seconds) as plain,
            trust.wrap_socket(plain, server_hostname=host) as tls,
        ):
            return str(tls.version())
    except OSError as error:  # also every fault of TLS
        raise PartDown("mqtt-down", _words(settings, error)) from error


def is_set_up(settings: Settings) -> bool:
    """Whether this lab has a broker."""
    return settings.mqtt_folder.exists()


def _words(settings: Settings, error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good ({error.verify_message}); `make up` renews it"
    if isinstance(error, FileNotFoundError):
        return "the lab's certificates are missing; `make up` makes them"
    why = " in time" if isinstance(error, TimeoutError) else f" ({error.strerror or type(error).__name__})"
    return f"no answer{why}; `make up` starts it, `docker logs {settings.name}-mqtt` says why it ended"
