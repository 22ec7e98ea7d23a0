"""`up`: the steps and what each needs. What a step does is in the module it names."""

from __future__ import annotations

import os
import secrets as random
import sys
import time
from collections.abc import Callable

from rich.console import Console

from cyberlab_hub import address, certs
from cyberlab_hub.errors import HubError, SetupError
from cyberlab_hub.ingest.store import open_store
from cyberlab_hub.service.database import Database
from cyberlab_hub.settings import ROOT, Settings
from cyberlab_hub.setup import (
    broker,
    campus,
    cluster,
    containers,
    door,
    engines,
    firewall,
    images,
    kernel,
    networks,
    processes,
)
from cyberlab_hub.setup.bases import ensure_bases, load_debian
from cyberlab_hub.setup.health import health_urls, healthy
from cyberlab_hub.setup.steps import Outcome, Reused, Step, StepRunner

HEALTH_SECONDS = 60
AUDITING = [
    f"hub/cyberlab_hub/service/{name}.py"
    for name in ("audit", "audit_post", "bell", "database", "floods", "journal", "models")
]
"""What a process needs to write to the audit."""
CODE = {
    "lab": ["hub/cyberlab_hub", "extensions/cyberlab/spec", "extensions/cyberlab/wire.py"],
    "ingest": [
        "edge/cyberlab_edge",
        "hub/cyberlab_hub/campus.py",
        "hub/cyberlab_hub/egress.py",
        "hub/cyberlab_hub/errors.py",
        "hub/cyberlab_hub/ingest",
        "hub/cyberlab_hub/listeners.py",
        *AUDITING,
        "hub/cyberlab_hub/service/credentials.py",
        "hub/cyberlab_hub/service/models_readings.py",
        "hub/cyberlab_hub/service/mqtt_logins.py",
        "hub/cyberlab_hub/service/policy.py",
        "hub/cyberlab_hub/service/quota_table.py",
        "hub/cyberlab_hub/service/quotas.py",
        "hub/cyberlab_hub/settings.py",
    ],
    "hub": [
        "jupyterhub_config.py",
        "hub/cyberlab_hub/account_pages.py",
        "hub/cyberlab_hub/accounts.py",
        "hub/cyberlab_hub/address.py",
        "hub/cyberlab_hub/addresses.py",
        "hub/cyberlab_hub/audit_notes.py",
        "hub/cyberlab_hub/campus.py",
        "hub/cyberlab_hub/disks.py",
        "hub/cyberlab_hub/egress.py",
        "hub/cyberlab_hub/elsewhere.py",
        "hub/cyberlab_hub/errors.py",
        "hub/cyberlab_hub/server_token.py",
        "hub/cyberlab_hub/setup/processes.py",
        *AUDITING,
        "hub/cyberlab_hub/signin.py",
        "hub/cyberlab_hub/throttle.py",
        "hub/cyberlab_hub/spawner.py",
        "hub/cyberlab_hub/templates",
        "hub/cyberlab_hub/settings.py",
    ],
}
"""What each process runs (a test holds it): when it changes, `up` starts the process anew."""

SECRETS = ("hub-lab.token", "influx.admin", "influx.derive", "mqtt.gateway", "registry.lab")


def up(settings: Settings, console: Console) -> list[Outcome]:
    """Bring the lab up, reusing what is there.

    Raises: SetupError naming the step that failed and what to do.
    """
    settings.state.mkdir(parents=True, exist_ok=True)
    settings.state.chmod(0o711)
    return StepRunner(console).run(plan(settings))


def plan(settings: Settings) -> list[Step]:
    """The steps of `up`. Order is by need alone; what does not wait for anything else runs at once."""

    def image(name: str, *needs: str) -> Step:
        return Step(
            f"image-{name}",
            f"Image {name}",
            lambda: images.ensure_image(engines.system_engine(), name),
            needs,
        )

    def container(describe: Callable[[Settings], containers.Part], title: str, *needs: str) -> Step:
        part = describe(settings)
        return Step(
            part.name, title, lambda: containers.ensure(settings, engines.system_engine(), part), needs
        )

    def process(name: str, title: str, module: list[str], *needs: str) -> Step:
        return Step(name, title, lambda: _ensure_process(settings, name, module), needs)

    return [
        Step("engine-system", "System engine", lambda: engines.ensure_system_engine(settings)),
        Step("kernel", "Kernel", lambda: kernel.ensure(settings)),
        Step("campus", "Way in from the campus", lambda: campus.ensure(settings)),
        Step("secrets", "Secrets and certificates", lambda: _ensure_secrets(settings), ("campus",)),
        Step("database", "Lab database", lambda: _ensure_database(settings)),
        Step(
            "rootfs",
            "Root file system",
            lambda: images.ensure_rootfs(engines.system_engine(), settings),
            ("engine-system",),
        ),
        Step(
            "networks",
            "Networks",
            lambda: networks.ensure(settings, engines.system_engine()),
            ("engine-system",),
        ),
        Step("firewall", "Firewall", lambda: firewall.ensure(settings), ("networks", "campus")),
        image("debian", "rootfs"),
        image("engine", "image-debian"),
        image("pi", "image-engine"),
        image("proxy", "image-debian"),
        image("registry", "image-debian"),
        image("influxdb", "image-debian"),
        image("mqtt", "image-debian"),
        image("user", "image-debian", "image-pi"),
        Step(
            "proxy",
            "Door to the package mirrors",
            lambda: door.ensure(settings, engines.system_engine()),
            ("image-proxy", "firewall"),
        ),
        container(containers.registry, "Registry", "image-registry", "firewall", "secrets"),
        container(containers.influxdb, "InfluxDB", "image-influxdb", "firewall"),
        Step(
            "mqtt",
            "MQTT broker",
            lambda: broker.ensure(settings, engines.system_engine()),
            ("image-mqtt", "firewall", "secrets"),
        ),
        container(containers.workshop, "Workshop engine", "image-engine", "firewall", "secrets"),
        Step(
            "swarm",
            "Swarm",
            lambda: cluster.ensure_swarm(settings, engines.wait_for_workshop(settings)),
            ("engine",),
        ),
        Step(
            "pis",
            "Simulated Raspberry Pis",
            lambda: cluster.ensure_pis(settings, engines.system_engine(), engines.workshop_engine(settings)),
            ("swarm", "image-pi", "database"),
        ),
        Step("store", "Database rights", lambda: _set_up_store(settings), ("influxdb", "secrets")),
        process(
            "lab",
            "Lab service",
            ["cyberlab_hub.service"],
            "database",
            "swarm",
            "secrets",
            "store",
        ),
        process(
            "ingest",
            "Ingest gateway",
            ["cyberlab_hub.ingest"],
            "database",
            "firewall",
            "mqtt",
            "secrets",
            "store",
        ),
        Step("address", "Address", lambda: _ensure_address(settings), ("secrets",)),
        Step("accounts", "Accounts", lambda: _ensure_accounts(settings), ("secrets",)),
        process(
            "hub",
            "JupyterHub",
            ["jupyterhub", "-f", str(ROOT / "jupyterhub_config.py")],
            "lab",
            "firewall",
            "accounts",
            "address",
            "image-user",
        ),
        Step(
            "debian",
            "Debian on the workshop engine",
            lambda: load_debian(settings),
            ("swarm", "image-debian"),
        ),
        Step(
            "bases",
            "Base image python",
            lambda: ensure_bases(settings, ["python"]),
            ("debian", "registry", "lab", "pis", "proxy"),
        ),
    ]


# ---------------------------------------------------------------- the small steps
def _ensure_secrets(settings: Settings) -> str:
    settings.secrets.mkdir(parents=True, exist_ok=True)
    settings.secrets.chmod(0o700)
    made = certs.ensure(settings)
    for name in SECRETS:
        path = settings.secrets / name
        if not path.exists():
            certs.write_private(path, random.token_hex(32).encode())
            made.append(name)
    if not made:
        raise Reused("secrets and certificates in place")
    return f"made {len(made)}"


def _ensure_database(settings: Settings) -> str:
    if not settings.database_url:
        file = settings.state / "lab.sqlite"
        file.touch(mode=0o600)
        for path in settings.state.glob(f"{file.name}*"):  # SQLite gives its journals the mode of the file
            path.chmod(0o600)
    database = Database.open(settings.db_url)
    database.close()
    return settings.db_url.partition(":")[0]


def _set_up_store(settings: Settings) -> str:
    deadline = time.monotonic() + HEALTH_SECONDS
    while True:
        try:
            open_store(settings).set_up()
        except HubError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        else:
            return "databases and users in place"


def _ensure_address(settings: Settings) -> str:
    if settings.tls_mode == "given":
        address.check_given(settings)
    if address.record(settings).each:
        return f"{settings.public_url}, an origin for each user"
    return f"{settings.public_url}, ONE origin for all users"


def _ensure_accounts(settings: Settings) -> str:
    """The administrator and the demonstration account. Passwords are told once, by `announce`."""
    from cyberlab_hub.accounts import create_account, list_accounts

    there = {account.name for account in list_accounts(settings)}
    made: list[str] = []
    for name, admin in (("admin", True), ("student", False)):
        path = settings.secrets / f"{name}.password"
        if name in there and (admin or path.exists()):
            continue
        password = random.token_urlsafe(9)
        create_account(settings, name, password, admin=admin)
        certs.write_private(path, password.encode())
        made.append(name)
    if not made:
        raise Reused("admin and student exist")
    return f"made {' and '.join(made)}"


def announce(settings: Settings, console: Console) -> None:
    """Say where the lab is and, the first time only, the passwords."""
    console.print(f"\nThe lab is at [bold]{settings.public_url}[/]")
    for warning in address.warnings(settings):
        console.print(f"[yellow]warning[/] {warning}", highlight=False)
    if address.advice(settings):
        console.print(address.advice(settings), highlight=False)
    if settings.on_campus.entries:
        console.print(f"Things on the campus: {campus.described(settings)}", highlight=False)
    path = settings.secrets / "admin.password"
    if path.exists():
        console.print(f"Administrator [bold]admin[/], password [bold]{settings.secret('admin.password')}[/]")
        console.print(
            f"Student       [bold]student[/], password [bold]{settings.secret('student.password')}[/]"
        )
        console.print("[dim]Shown this once. `cyberlab-hub user password NAME` sets a new one.[/]")
        path.unlink()
    else:
        console.print(
            f"Accounts [bold]admin[/] and [bold]student[/], passwords as shown at set-up "
            f"[dim](student's: {settings.secrets / 'student.password'}, readable by root)[/]"
        )


# ---------------------------------------------------------------- processes on the host
def _ensure_process(settings: Settings, name: str, module: list[str]) -> str:
    health = health_urls(settings)[name]
    code = processes.fingerprint(settings, CODE[name])
    if name == "hub":
        code += address.fingerprint(settings)
    running = processes.find(settings, name)
    if running is not None and running.code == code and healthy(settings, health):
        raise Reused(f"pid {running.pid}")
    processes.stop(settings, name)
    env = {"CYBERLAB_STATE": str(settings.state), "PATH": _path(settings)}
    started = processes.start(settings, name, [sys.executable, "-m", *module], env, code)
    deadline = time.monotonic() + HEALTH_SECONDS
    while not healthy(settings, health):
        if processes.find(settings, name) is None:
            raise SetupError(f"{name}-died", f"ended at once: {processes.last_lines(settings, name)}")
        if time.monotonic() > deadline:
            raise SetupError(f"{name}-down", f"no answer at {health}: {processes.last_lines(settings, name)}")
        time.sleep(0.2)
    return f"pid {started.pid}" + (", code changed" if running is not None else "")


def _path(settings: Settings) -> str:
    node = settings.state / "node" / "node_modules" / ".bin"
    return f"{node}:{os.environ.get('PATH', '/usr/sbin:/usr/bin:/sbin:/bin')}"
