"""Every setting of the server side, in one place. Read once at start; passed on as a value.

Order of precedence: environment (`CYBERLAB_*`), then `lab.env` in the state folder, then the default.
Secrets are never settings: they are files under ``state/secrets`` (mode 0600), read by the one part that needs each.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass, fields
from ipaddress import IPv4Address, IPv4Network, ip_address
from pathlib import Path

from cyberlab_hub import campus, egress
from cyberlab_hub.campus import Campus

ROOT = Path(__file__).resolve().parents[2]
"""The checkout (or the installed tree) with `spawner_images`, `notebooks` and `jupyterhub_config.py`."""


def default_state() -> Path:
    """``/var/lib/cyberlab``: one machine is one lab, whichever checkout started it."""
    return Path(os.environ.get("CYBERLAB_STATE", "/var/lib/cyberlab"))


@dataclass(frozen=True)
class Settings:
    state: Path
    name: str = "cyberlab"
    """Prefix of every container, volume, network and image the lab makes; value of their label `cyberlab.lab`."""
    bind: str = "127.0.0.1"
    """Where the public proxy listens. ``0.0.0.0`` opens the lab to the network."""
    hub_port: int = 8000
    host: str = ""
    """The name people type. Empty: ``cyberlab.localhost`` on this machine alone, else the machine's own name."""
    tls: str = ""
    """``off``, ``own`` (a certificate of the lab's authority) or a path: PATH.crt and PATH.key are used.
    Empty: ``own`` as soon as the network can reach the page, ``off`` on this machine alone."""
    campus: str = ""
    """Addresses of this machine and names at which things elsewhere reach gateway and MQTT broker. Empty: nowhere."""
    subnet: str = "10.77.0.0/16"
    """Cut into four networks: devices (.0.0/22), data (.4.0/24), gate (.5.0/24), users (.8.0/22)."""
    pis: int = -1
    """Simulated Raspberry Pis that `up` keeps. -1: those there are, and three in a new lab."""
    pi_cpus: float = 1.0
    pi_memory_mb: int = 1024
    engine_url: str = ""
    """Another workshop engine (``tcp://host:2376``). Empty: `up` starts one as a container."""
    database_url: str = ""
    """SQLAlchemy URL of the lab's database. Empty: SQLite in the state folder."""
    influx_url: str = ""
    """Another InfluxDB. Empty: `up` starts one as a container."""
    influx_org: str = ""
    """Set it to speak to InfluxDB 2.x (the token is ``secrets/influx.token``)."""
    server_memory_mb: int = 1024
    server_cpus: float = 1.0
    server_pids: int = 256
    server_idle_minutes: int = 120
    """A user server that nobody uses is stopped after this time; its files stay."""
    egress: str = "packages"
    """What builds, trials and deployments may reach outside the lab; the forms of an entry are in `egress`."""
    notebook_egress: str = ""
    """The same for notebooks. Empty: as `egress`; read it by `egress_of_notebooks`."""
    home_mb: int = 2048
    """Size of each user's home. 0: not bounded."""
    engine_disk_gb: int = 20
    """Disk of the workshop engine: bases (python-vision 2 to 3 GB), users' newest images, running builds."""
    registry_disk_gb: int = 20
    influx_disk_gb: int = 20
    pi_disk_gb: int = 4
    """Disk of each simulated Pi. 0 for any of these: not bounded."""
    build_seconds: int = 900
    build_memory_mb: int = 1024
    build_slots: int = 2
    """Builds at once in all."""
    audit_days: int = 365
    """Older rows of the audit are removed; 0: none ever."""

    # ------------------------------------------------------------ networks
    def network(self, which: str) -> IPv4Network:
        base = IPv4Network(self.subnet).network_address
        offset, prefix = {
            "devices": (0, 22),
            "data": (4 * 256, 24),
            "gate": (5 * 256, 24),
            "users": (8 * 256, 22),
        }[which]
        return IPv4Network((int(base) + offset, prefix))

    @property
    def whole_network(self) -> IPv4Network:
        """Every address of the lab."""
        return IPv4Network(self.subnet)

    def gateway(self, which: str) -> str:
        """The host's own address on that network."""
        return str(self.network(which).network_address + 1)

    def address(self, which: str, number: int) -> str:
        return str(IPv4Address(int(self.network(which).network_address) + number))

    @property
    def engine_address(self) -> str:
        return self.address("devices", 2)

    @property
    def registry_address(self) -> str:
        return self.address("devices", 3)

    @property
    def mqtt_address(self) -> str:
        return self.address("devices", 4)

    @property
    def influx_address(self) -> str:
        return self.address("data", 2)

    @property
    def proxy_address(self) -> str:
        """The one door out of users' code."""
        return self.address("gate", 2)

    # ------------------------------------------------------------ where parts answer
    @property
    def local(self) -> bool:
        """Whether only this machine reaches the page: what it sends never leaves it."""
        if self.bind == "localhost":
            return True
        try:
            return ip_address(self.bind).is_loopback
        except ValueError:
            return False  # a name, or nothing: every address

    @property
    def connect_address(self) -> str:
        """Where our own clients reach the proxy, whatever the public name resolves to."""
        return "127.0.0.1" if self.bind in ("", "0.0.0.0", "localhost") else self.bind  # noqa: S104 - compared

    @property
    def public_host(self) -> str:
        """The name of the lab in addresses. Browsers take every name below ``localhost`` for this machine."""
        if self.host:
            return self.host.lower()
        if self.local:
            label = self.name if re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", self.name) else "cyberlab"
            return f"{label}.localhost"
        return socket.gethostname().lower() if self.bind in ("", "0.0.0.0") else self.bind  # noqa: S104 - compared

    @property
    def egress_of_notebooks(self) -> str:
        return self.notebook_egress or self.egress

    @property
    def tls_mode(self) -> str:
        """``off``, ``own`` or ``given``."""
        if not self.tls:
            return "off" if self.local else "own"
        return self.tls if self.tls in ("off", "own") else "given"

    @property
    def tls_files(self) -> tuple[Path, Path]:
        """Certificate (with its chain) and key of the page."""
        prefix = self.tls if self.tls_mode == "given" else str(self.certs / "web")
        return Path(f"{prefix}.crt"), Path(f"{prefix}.key")

    @property
    def public_url(self) -> str:
        """Where people find the lab."""
        scheme, usual = ("http", 80) if self.tls_mode == "off" else ("https", 443)
        port = "" if self.hub_port == usual else f":{self.hub_port}"
        return f"{scheme}://{self.public_host}{port}"

    @property
    def hub_api_url(self) -> str:
        """The hub's API for user servers and the lab service (host address on the users' network)."""
        return f"http://{self.gateway('users')}:8081/hub/api"

    @property
    def lab_url(self) -> str:
        """The lab service, plain HTTP, reachable from the host and the users' network only."""
        return f"http://{self.gateway('users')}:8082"

    @property
    def token_url(self) -> str:
        """Registry tokens, TLS, on the devices' network."""
        return f"https://{self.gateway('devices')}:8444/token"

    @property
    def ingest_url(self) -> str:
        """The ingest gateway, TLS, on the devices' network."""
        return f"https://{self.gateway('devices')}:{campus.GATEWAY_PORT}"

    @property
    def mqtt_url(self) -> str:
        """The MQTT broker, TLS, on the devices' network."""
        return f"mqtts://{self.mqtt_address}:{campus.BROKER_PORT}"

    @property
    def on_campus(self) -> Campus:
        """Where things that are on no network of the lab reach the two."""
        return campus.parse(self.campus)

    @property
    def registry(self) -> str:
        return f"{self.registry_address}:5000"

    @property
    def workshop_url(self) -> str:
        return self.engine_url or f"tcp://{self.engine_address}:2376"

    @property
    def store_url(self) -> str:
        return self.influx_url or f"http://{self.influx_address}:8086"

    @property
    def db_url(self) -> str:
        return self.database_url or f"sqlite:///{self.state / 'lab.sqlite'}"

    # ------------------------------------------------------------ files
    @property
    def secrets(self) -> Path:
        return self.state / "secrets"

    @property
    def certs(self) -> Path:
        """``ca.crt``, and ``NAME.crt``/``NAME.key`` of servers (lab, engine, web ...), ROLE.pem of clients."""
        return self.state / "certs"

    @property
    def disks(self) -> Path:
        """Files that are mounted as disks, see `disks`."""
        return self.state / "disks"

    @property
    def mqtt_folder(self) -> Path:
        """What the gateway keeps for the MQTT broker: who may sign in, and when messages came."""
        return self.state / "mqtt"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def secret(self, name: str) -> str:
        """Read one secret. Raises FileNotFoundError when set-up has not made it."""
        return (self.secrets / name).read_text().strip()


def load() -> Settings:
    """Settings from the environment over ``lab.env`` over defaults.

    Raises:
        ValueError: a setting has the wrong form; names the setting.
    """
    state = default_state()
    values: dict[str, str] = {}
    env_file = state / "lab.env"
    if env_file.exists():
        for line in env_file.read_text().splitlines():
            if "=" in line and not line.lstrip().startswith("#"):
                key, _, value = line.partition("=")
                values[key.strip()] = value.strip()
    values.update({k: v for k, v in os.environ.items() if k.startswith("CYBERLAB_")})
    chosen: dict[str, str | int | float] = {}
    for field in fields(Settings):
        if field.name == "state":
            continue
        # PIS=20 is the one short form, because people type it
        raw = values.get(f"CYBERLAB_{field.name.upper()}") or (
            os.environ.get("PIS") if field.name == "pis" else None
        )
        if raw is None:
            continue
        kind = {"int": int, "float": float}.get(str(field.type), str)
        try:
            chosen[field.name] = kind(raw)
        except ValueError as error:
            raise ValueError(f"CYBERLAB_{field.name.upper()}={raw!r} is not {field.type}") from error
    settings = Settings(state=state, **chosen)  # type: ignore[arg-type]  # each value was made by its field's type
    _check_address(settings)
    for name in ("egress", "notebook_egress", "campus"):
        try:
            (campus if name == "campus" else egress).parse(getattr(settings, name))
        except ValueError as error:
            raise ValueError(f"CYBERLAB_{name.upper()}: {error}") from error
    return settings


def _check_address(settings: Settings) -> None:
    """Raises: ValueError."""
    if settings.host and not campus.HOST_NAME.fullmatch(settings.host.lower()):
        raise ValueError(
            f"CYBERLAB_HOST={settings.host!r} is not a host name; write it without http:// and port, "
            "as in lab.example.org"
        )
    if settings.tls_mode == "given" and not settings.tls.startswith("/"):
        raise ValueError(
            f"CYBERLAB_TLS={settings.tls!r} is none of: off, own, or an absolute path PATH such that "
            "PATH.crt and PATH.key are the certificate and its key"
        )
