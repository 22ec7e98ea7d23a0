"""Where things elsewhere on the campus reach the lab: the form of ``CYBERLAB_CAMPUS``, and how much it opens.

An ESP32 or a Telegraf is on no network of the lab. The setting lists addresses of this machine and names that lead to
it, apart by commas. At each of the *addresses* two ports open, the gateway's and the MQTT broker's; *names* open
nothing: they are in the two certificates, as the addresses are. The first entry is what people are told. What of the
gateway is served there is `ingest.app.CAMPUS`; everything else of the lab stays closed (`setup.firewall`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

GATEWAY_PORT = 8443
BROKER_PORT = 8883
CONNECTIONS = 512
"""At each of the two ports at once, so that strangers cannot take what the devices need."""
CONNECTIONS_EACH = 64
"""Of them for one client's address (which may stand for a whole building)."""

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
HOST_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True)
class Campus:
    entries: tuple[str, ...] = ()
    """Addresses and names, in the operator's order; empty: closed."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where the two ports open."""
        return tuple(entry for entry in self.entries if is_ipv4(entry))

    @property
    def gateway_url(self) -> str:
        """For clients of InfluxDB; empty when closed."""
        return f"https://{self.entries[0]}:{GATEWAY_PORT}" if self.entries else ""

    @property
    def broker_url(self) -> str:
        """For MQTT; empty when closed."""
        return f"mqtts://{self.entries[0]}:{BROKER_PORT}" if self.entries else ""


def parse(text: str) -> Campus:
    """The setting's value. Whether this machine has the addresses is asked at `up` (`setup.campus`).

    Raises:
        ValueError: an entry is neither address nor name, or there are names only; says what to write.
    """
    campus = Campus(tuple(dict.fromkeys(filter(None, re.split(r"[,\s]+", text.lower())))))
    for entry in campus.entries:
        name = HOST_NAME.fullmatch(entry) and len(entry) <= 253 and not entry.rpartition(".")[2].isdigit()
        if not name and not is_ipv4(entry):
            raise ValueError(
                f"{entry!r} is neither an address (version 4) nor a host name; write it without https:// and port, "
                "as in 192.0.2.10,lab.example.org"
            )
    if campus.entries and not campus.addresses:
        raise ValueError(
            f"{text!r} names no address of this machine to listen on; add one, as in {text.strip()},192.0.2.10"
        )
    return campus


def is_ipv4(text: str) -> bool:
    """Whether it is an address of version 4, and so no name."""
    try:
        IPv4Address(text)
    except ValueError:
        return False
    return True
