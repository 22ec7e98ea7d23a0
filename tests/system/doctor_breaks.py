"""How each promise is broken, for `test_doctor.py`. Each puts back what it took, whatever happens.

A break yields the settings with which the doctor then looks, and a word that the finding must have. What would hurt
the running lab is broken in a copy or a stand-in (`doctor_stand_ins`); the rest in the lab itself, for a moment.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import docker
import httpx
from cyberlab_hub import certs
from cyberlab_hub.campus import GATEWAY_PORT
from cyberlab_hub.ingest.influx1 import Influx1Store, reader_of
from cyberlab_hub.ingest.store import FLEET, database_of
from cyberlab_hub.settings import Settings
from cyberlab_hub.setup import containers, engines, firewall, kernel, networks, processes
from system.doctor_stand_ins import Hospitable, careless, elsewhere, program

Broken = Iterator[tuple[Settings, str]]
Break = Callable[[Settings, Path], AbstractContextManager[tuple[Settings, str]]]
BREAKS: list[tuple[str, Break]] = []
PI = "pi01"


def breaks(name: str) -> Callable[[Callable[[Settings, Path], Broken]], Break]:
    def add(function: Callable[[Settings, Path], Broken]) -> Break:
        made = contextmanager(function)
        BREAKS.append((name, made))
        return made

    return add


# ---------------------------------------------------------------- helpers
def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)


def inside(settings: Settings, part: str, *argv: str) -> None:
    container = containers.find(settings, docker.from_env(), part)
    assert container is not None
    containers.run_inside(container, list(argv))


@contextmanager
def stranger(
    settings: Settings, name: str, labels: dict[str, str] | None = None, **more: Any
) -> Iterator[None]:
    """A container that sleeps, removed at the end."""
    engine = docker.from_env()
    made = engine.containers.run(
        "cyberlab/debian", ["sleep", "300"], name=name, labels=labels or {}, detach=True, **more
    )
    try:
        yield
    finally:
        made.remove(force=True)


def random_name(settings: Settings, word: str = "doctor") -> str:
    return f"{settings.name}-{word}-{secrets.token_hex(4)}"


@contextmanager
def secret_file(settings: Settings) -> Iterator[tuple[str, str]]:
    """A secret of the lab that opens nothing: its name and value."""
    path = settings.secrets / f"doctor-{secrets.token_hex(4)}.token"
    value = secrets.token_hex(16)
    certs.write_private(path, value.encode())
    try:
        yield f"secrets/{path.name}", value
    finally:
        path.unlink()


@contextmanager
def influx(settings: Settings, *undo: str) -> Iterator[Callable[[str], None]]:
    """Runs statements as InfluxDB's administrator; `undo` at the end."""
    login = ("admin", settings.secret("influx.admin"))
    with httpx.Client(base_url=settings.store_url, auth=login, timeout=30, trust_env=False) as http:

        def ask(statement: str) -> None:
            answer = http.post("/query", data={"q": statement})
            assert answer.status_code == 200, answer.text
            assert "error" not in answer.text, answer.text

        try:
            yield ask
        finally:
            for statement in undo:
                ask(statement)


# ---------------------------------------------------------------- workshop engine
@breaks("engine-remap")
def an_engine_without_user_namespaces(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with careless("127.0.0.1", 0, there.certs / "engine.crt") as port:
        yield replace(there, engine_url=f"tcp://127.0.0.1:{port}"), "userns-remap"


@breaks("engine-strangers")
def an_engine_that_asks_for_no_certificate(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with careless("127.0.0.1", 0, there.certs / "engine.crt") as port:
        yield replace(there, engine_url=f"tcp://127.0.0.1:{port}"), "shows no certificate"


@breaks("engine-strangers")
def an_engine_without_tls(settings: Settings, tmp: Path) -> Broken:
    with careless("127.0.0.1", 0) as port:
        yield replace(settings, engine_url=f"tcp://127.0.0.1:{port}"), "without TLS"


@breaks("engine-warden")
def an_engine_that_asks_nobody(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with careless("127.0.0.1", 0, there.certs / "engine.crt") as port:
        yield replace(there, engine_url=f"tcp://127.0.0.1:{port}"), "asked for as builder was not refused"


FAKE_DOCKERD = "printf dockerd > /proc/$$/comm; echo $$ > /run/doctor.pid; sleep 300 & wait"


@contextmanager
def second_dockerd(settings: Settings, part: str) -> Iterator[None]:
    """A program that calls itself dockerd and has none of the flags."""
    container = containers.find(settings, docker.from_env(), part)
    assert container is not None
    container.exec_run(["sh", "-c", FAKE_DOCKERD], detach=True)
    try:
        inside(
            settings,
            part,
            "sh",
            "-c",
            "for _ in $(seq 50); do [ -s /run/doctor.pid ] && exit 0; sleep 0.1; done; exit 1",
        )
        yield
    finally:
        inside(
            settings,
            part,
            "sh",
            "-c",
            "kill -KILL -$(cat /run/doctor.pid); rm /run/doctor.pid",
        )


@breaks("engine-flags")
def a_second_engine_without_flags(settings: Settings, _: Path) -> Broken:
    with second_dockerd(settings, "engine"):
        yield settings, "--userns-remap"


@breaks("engine-builds")
def builds_without_a_bound(settings: Settings, _: Path) -> Broken:
    group = f"{settings.name}-builds/pids.max"
    script = f"cd /sys/fs/cgroup/pids 2>/dev/null || cd /sys/fs/cgroup; echo %s > {group}"
    try:
        inside(settings, "engine", "sh", "-c", script % "max")
        yield settings, "has the limit max"
    finally:
        inside(settings, "engine", "sh", "-c", script % "600")


@breaks("engine-out")
def a_way_out_of_the_engine(settings: Settings, _: Path) -> Broken:
    rule = ["LAB-OUT", "-o", "eth0", "-p", "tcp", "--dport", "1", "-j", "RETURN"]
    try:
        inside(settings, "engine", "iptables", "-w", "-I", *rule)
        yield settings, "nobody asked for"
    finally:
        inside(settings, "engine", "iptables", "-w", "-D", *rule)


# ---------------------------------------------------------------- swarm and devices
def change_node(settings: Settings, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    workshop = engines.workshop_engine(settings)
    (node,) = [n for n in workshop.nodes.list() if n.attrs["Description"]["Hostname"] == name]
    node.update(change(node.attrs["Spec"]))


@breaks("swarm-manager")
def a_manager_that_takes_work(settings: Settings, _: Path) -> Broken:
    try:
        change_node(settings, "engine", lambda spec: {**spec, "Availability": "active"})
        yield settings, "not drained"
    finally:
        change_node(settings, "engine", lambda spec: {**spec, "Availability": "drain"})


@breaks("swarm-nodes")
def a_node_that_was_never_enrolled(settings: Settings, _: Path) -> Broken:
    kept: dict[str, str] = {}

    def forget(spec: dict[str, Any]) -> dict[str, Any]:
        kept.update(spec["Labels"])
        return {**spec, "Labels": {k: v for k, v in spec["Labels"].items() if k != "enrolled"}}

    try:
        change_node(settings, PI, forget)
        yield settings, f"{PI} ("
    finally:
        change_node(settings, PI, lambda spec: {**spec, "Labels": {**spec["Labels"], **kept}})


@breaks("device-flags")
def a_second_engine_on_a_device(settings: Settings, _: Path) -> Broken:
    with second_dockerd(settings, PI):
        yield settings, f"{PI}: dockerd runs without --no-new-privileges"


@breaks("device-flags")
def an_api_on_a_device(settings: Settings, _: Path) -> Broken:
    listener = (
        "import os, socket, time; s = socket.create_server(('127.0.0.1', 2375)); "
        "open('/run/doctor.pid', 'w').write(str(os.getpid())); time.sleep(300)"
    )
    container = containers.find(settings, docker.from_env(), PI)
    assert container is not None
    container.exec_run(["python3", "-c", listener], detach=True)
    try:
        inside(
            settings,
            PI,
            "sh",
            "-c",
            "for _ in $(seq 50); do [ -s /run/doctor.pid ] && exit 0; sleep 0.1; done; exit 1",
        )
        yield settings, "port 2375"
    finally:
        inside(settings, PI, "sh", "-c", "kill -KILL -$(cat /run/doctor.pid); rm /run/doctor.pid")


@breaks("device-out")
def a_device_without_its_filter(settings: Settings, _: Path) -> Broken:
    try:
        inside(settings, PI, "iptables", "-w", "-D", "DOCKER-USER", "-j", "LAB-OUT")
        yield settings, f"{PI}: the first rule of DOCKER-USER"
    finally:
        inside(settings, PI, "iptables", "-w", "-I", "DOCKER-USER", "-j", "LAB-OUT")


# ---------------------------------------------------------------- containers
@breaks("parts-caged")
def a_part_that_got_more_memory(settings: Settings, _: Path) -> Broken:
    container = containers.find(settings, docker.from_env(), "proxy")
    assert container is not None
    before = container.attrs["HostConfig"]["Memory"]
    try:
        container.update(mem_limit=before * 2, memswap_limit=before * 2)
        yield settings, "proxy: Memory is"
    finally:
        container.update(mem_limit=before, memswap_limit=before)


@breaks("servers-caged")
def a_server_with_every_right(settings: Settings, _: Path) -> Broken:
    name = random_name(settings, "user")
    labels = {containers.LAB: settings.name, containers.PART: "user"}
    with stranger(settings, name, labels, network=f"{settings.name}-users"):
        yield settings, f"{name}: it keeps capabilities"


@breaks("servers-kernel")
def io_uring_for_everybody(settings: Settings, _: Path) -> Broken:
    before = kernel.SWITCH.read_text()
    try:
        kernel.SWITCH.write_text("0")
        yield settings, "is 0: users' servers have io_uring"
    finally:
        kernel.SWITCH.write_text(before)


@breaks("containers-published")
def a_published_port(settings: Settings, _: Path) -> Broken:
    name = random_name(settings)
    with stranger(settings, name, {containers.LAB: settings.name}, ports={"80/tcp": ("127.0.0.1", None)}):
        yield settings, f"{name} publishes 80/tcp"


@breaks("containers-mounts")
def a_container_with_dockers_socket(settings: Settings, _: Path) -> Broken:
    name = random_name(settings)
    binds = {"/var/run/docker.sock": {"bind": "/var/run/docker.sock", "mode": "ro"}}
    with stranger(settings, name, {containers.LAB: settings.name}, volumes=binds, network_mode="none"):
        yield settings, "docker.sock"


@breaks("containers-mounts")
def a_container_with_the_labs_secrets(settings: Settings, _: Path) -> Broken:
    name = random_name(settings)
    binds = {str(settings.certs): {"bind": "/certs", "mode": "ro"}}
    with stranger(settings, name, {containers.LAB: settings.name}, volumes=binds, network_mode="none"):
        yield settings, f"{name} has {settings.certs}"


@breaks("containers-known")
def a_container_with_the_labs_label(settings: Settings, _: Path) -> Broken:
    name = random_name(settings)
    with stranger(settings, name, {containers.LAB: settings.name}, network_mode="none"):
        yield settings, f"{name} carries the lab's label"


@breaks("containers-known")
def a_container_on_a_network_of_the_lab(settings: Settings, _: Path) -> Broken:
    name = random_name(settings)
    with stranger(settings, name, network=f"{settings.name}-users"):
        yield settings, f"{name} is on a network of the lab"


# ---------------------------------------------------------------- firewall and the way out
@contextmanager
def inserted(*rule: str) -> Iterator[None]:
    """A rule that is asked before every other one."""
    try:
        run("iptables", "-w", "-I", *rule)
        yield
    finally:
        run("iptables", "-w", "-D", *rule)


@breaks("firewall-rules")
def a_rule_that_is_gone(settings: Settings, _: Path) -> Broken:
    chain = next(c for c in firewall.chains(settings) if c.hook == "DOCKER-USER")
    bridge = networks.bridge_name(settings, "data")
    rule = next(r for r in chain.rules if r[:2] == ["-i", bridge] and "REJECT" in r)
    try:
        run("iptables", "-w", "-D", chain.name, *rule)
        yield settings, chain.name
    finally:
        firewall.ensure(settings)


@breaks("firewall-rules")
def a_rule_that_is_asked_first(settings: Settings, _: Path) -> Broken:
    with inserted("INPUT", "-i", "lo", "-j", "ACCEPT"):
        yield settings, "in INPUT"


@breaks("firewall-hook")
def a_rule_before_dockers(settings: Settings, _: Path) -> Broken:
    with inserted("FORWARD", "-i", "lo", "-j", "ACCEPT"):
        yield settings, "-i lo -j ACCEPT"


@breaks("firewall-bridges")
def bridges_that_pass_everything(settings: Settings, _: Path) -> Broken:
    switch = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
    try:
        switch.write_text("0")
        yield settings, "is 0"
    finally:
        switch.write_text("1")


@breaks("proxy-rules")
def a_list_that_somebody_changed(settings: Settings, _: Path) -> Broken:
    file = settings.state / "mounts" / "proxy-given" / "squid.conf"
    before = file.read_text()
    try:
        file.write_text(f"http_access allow all\n{before}")
        yield settings, "nobody asked for: http_access allow all"
    finally:
        file.write_text(before)


@breaks("proxy-refuses")
def a_proxy_that_opens_everything(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with careless(there.proxy_address, 3128), careless(there.proxy_address, 3129):
        yield there, "CONNECT 169.254.169.254:80 through port 3128 was answered 200"


# ---------------------------------------------------------------- files and secrets
@breaks("files-state")
def a_secret_that_others_may_read(settings: Settings, _: Path) -> Broken:
    with secret_file(settings) as (name, _value):
        (settings.state / name).chmod(0o644)
        yield settings, f"{name} has the mode 0644"


@breaks("files-state")
def a_database_that_others_may_read(settings: Settings, tmp: Path) -> Broken:
    state = tmp / "state"
    state.mkdir(mode=0o711)
    (state / "lab.sqlite").touch(mode=0o644)
    (state / "lab.sqlite").chmod(0o644)
    yield replace(settings, state=state), "lab.sqlite has the mode 0644"


@breaks("files-keys")
def a_key_that_went_to_another_part(settings: Settings, tmp: Path) -> Broken:
    folder = tmp / "mounts" / "registry"
    folder.mkdir(parents=True)
    shutil.copyfile(settings.certs / "engine.key", folder / "engine.key")
    (folder / "engine.key").chmod(0o400)
    yield replace(settings, state=tmp), "is not the key of registry"


@breaks("files-code")
def code_that_everybody_may_change(settings: Settings, tmp: Path) -> Broken:
    module = tmp / "node" / "node_modules" / "x.js"
    module.parent.mkdir(parents=True)
    module.touch()
    module.chmod(0o666)
    yield replace(settings, state=tmp), "x.js can be changed by everybody"


@breaks("secrets-logs")
def a_secret_in_a_log(settings: Settings, _: Path) -> Broken:
    log = settings.logs / f"doctor-{secrets.token_hex(4)}.log"
    with secret_file(settings) as (name, value):
        try:
            log.write_text(f"signed in with {value}\n")
            yield settings, f"{log} holds {name}"
        finally:
            log.unlink()


@breaks("secrets-environment")
def a_secret_in_an_environment(settings: Settings, _: Path) -> Broken:
    name = random_name(settings)
    labels = {containers.LAB: settings.name}
    with (
        secret_file(settings) as (secret, value),
        stranger(settings, name, labels, environment={"TOKEN": value}, network_mode="none"),
    ):
        yield settings, f"the environment of {name} holds {secret}"


@breaks("secrets-arguments")
def a_secret_in_a_command_line(settings: Settings, _: Path) -> Broken:
    with secret_file(settings) as (secret, value), program("", value) as child:
        yield settings, f"(pid {child.pid}) holds {secret}"


# ---------------------------------------------------------------- certificates
def copied(settings: Settings, tmp: Path) -> Settings:
    """The certificates of the lab, in a state folder of their own."""
    shutil.copytree(settings.certs, tmp / "certs")
    return replace(settings, state=tmp)


@breaks("certs-authority")
def an_authority_with_another_key(settings: Settings, tmp: Path) -> Broken:
    there = copied(settings, tmp)
    shutil.copyfile(there.certs / "lab.key", there.certs / "ca.key")
    yield there, "ca.key is not the key of ca.crt"


@breaks("certs-parts")
def a_part_with_anothers_certificate(settings: Settings, tmp: Path) -> Broken:
    there = copied(settings, tmp)
    for suffix in ("crt", "key"):
        shutil.copyfile(there.certs / f"ingest.{suffix}", there.certs / f"registry.{suffix}")
    yield there, "registry.crt names ingest, not registry"


@breaks("certs-shown")
def a_part_that_shows_an_older_certificate(settings: Settings, tmp: Path) -> Broken:
    there = copied(settings, tmp)
    (there.certs / "registry.crt").unlink()
    certs.ensure(there)
    yield there, "shows another certificate"


# ---------------------------------------------------------------- readings and database
@breaks("influx-strangers")
def a_database_that_asks_for_no_login(settings: Settings, _: Path) -> Broken:
    with careless("127.0.0.1", 0) as port:
        yield (
            replace(settings, influx_url=f"http://127.0.0.1:{port}"),
            "a query of a stranger was answered 200",
        )


@breaks("influx-readers")
def a_reader_who_may_write(settings: Settings, _: Path) -> Broken:
    store = Influx1Store(
        settings.store_url, settings.secret("influx.admin"), settings.secret("influx.derive")
    )
    store.ensure_owner("admin")
    store.close()
    name, reader = database_of("admin"), reader_of("admin")
    # accounts are tried in the order of their names: nobody is before admin here, or the next line says so
    with influx(settings, f'GRANT READ ON "{name}" TO "{reader}"') as ask:
        ask(f'GRANT ALL ON "{name}" TO "{reader}"')
        yield settings, f"may write to {name}"


@breaks("influx-queries")
def a_query_that_runs_by_itself(settings: Settings, _: Path) -> Broken:
    name = f"doctor_{secrets.token_hex(4)}"
    query = f'SELECT mean(x) INTO "{name}" FROM "{name}" GROUP BY time(1h)'  # noqa: S608 - InfluxQL of a test
    with influx(settings, f'DROP CONTINUOUS QUERY "{name}" ON "{FLEET}"') as ask:
        ask(f'CREATE CONTINUOUS QUERY "{name}" ON "{FLEET}" BEGIN {query} END')
        yield settings, f"has the continuous query {name}"


@breaks("audit-fixed")
def an_audit_without_its_triggers(settings: Settings, tmp: Path) -> Broken:
    file = tmp / "copy.sqlite"
    with sqlite3.connect(settings.state / "lab.sqlite") as lab, sqlite3.connect(file) as copy:
        lab.backup(copy)
        copy.executescript("DROP TRIGGER audit_fixed; DROP TRIGGER audit_kept;")
    for connection in (lab, copy):
        connection.close()
    yield replace(settings, database_url=f"sqlite:///{file}"), "the database takes `UPDATE audit"


# ---------------------------------------------------------------- ports
@breaks("ports-open")
def a_port_that_is_open_to_all(settings: Settings, tmp: Path) -> Broken:
    (tmp / "run").mkdir()
    for name in ("hub", "ingest"):
        shutil.copyfile(settings.state / "run" / f"{name}.json", tmp / "run" / f"{name}.json")
    with program("import socket; s = socket.create_server(('0.0.0.0', 0))") as child:
        record = processes.Running(child.pid, processes._born(child.pid) or "", "")
        (tmp / "run" / "lab.json").write_text(json.dumps(asdict(record)))
        yield replace(settings, state=tmp), "every address of this machine"


@breaks("ports-engine")
def an_engine_on_the_network(settings: Settings, _: Path) -> Broken:
    code = "import socket; open('/proc/self/comm', 'w').write('dockerd'); s = socket.create_server(('127.0.0.1', 0))"
    with program(code):
        yield settings, "dockerd listens on 127.0.0.1:"


@breaks("campus-gateway")
def a_gateway_that_answers_the_campus(settings: Settings, tmp: Path) -> Broken:
    there = replace(elsewhere(settings, tmp / "state"), campus="127.77.9.1")
    certs.ensure(there)
    with careless("127.77.9.1", GATEWAY_PORT, there.certs / "ingest.crt"):
        yield there, "was answered 200 to a stranger, not 404"


# ---------------------------------------------------------------- web, registry, disks
@breaks("web-address")
def a_lab_that_is_open_and_not_encrypted(settings: Settings, _: Path) -> Broken:
    yield replace(settings, bind="0.0.0.0", tls="off"), "without encryption"  # noqa: S104 - never started


@breaks("web-address")
def one_origin_for_everybody(settings: Settings, _: Path) -> Broken:
    yield replace(settings, host="192.0.2.1"), "share one origin"


@breaks("web-pages")
def cookies_that_scripts_may_read(settings: Settings, _: Path) -> Broken:
    with careless("127.0.0.1", 0) as port:
        yield replace(settings, hub_port=port), "no HttpOnly"


@breaks("web-strangers")
def a_service_that_answers_anybody(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with careless(there.gateway("users"), 8081), careless(there.gateway("users"), 8082):
        yield there, "answers 200 to no token"


@breaks("web-accounts")
def a_first_password_that_lies_about(settings: Settings, _: Path) -> Broken:
    yield replace(settings, bind="0.0.0.0"), "account student still has its first password"  # noqa: S104


@breaks("registry-strangers")
def a_registry_for_everybody(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with (
        careless(there.registry_address, 5000, there.certs / "registry.crt"),
        careless(there.gateway("devices"), 8444, there.certs / "lab.crt"),
    ):
        yield there, "the list of all images was answered 200 to a stranger"


@breaks("registry-tls")
def a_registry_without_tls(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with careless(there.registry_address, 5000):
        yield there, "answers plain HTTP with 200"


@breaks("mqtt-strangers")
def a_broker_for_everybody(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with careless(there.mqtt_address, 8883, there.certs / "mqtt.crt", Hospitable):
        yield there, "lets nobody in without a token"


@breaks("mqtt-strangers")
def a_broker_without_tls(settings: Settings, tmp: Path) -> Broken:
    there = elsewhere(settings, tmp / "state")
    with careless(there.mqtt_address, 8883, answers=Hospitable):
        yield there, "lets nobody in without TLS"


@breaks("disks-parts")
def an_engine_without_a_bound(settings: Settings, _: Path) -> Broken:
    yield replace(settings, engine_disk_gb=0), "engine can fill this machine's disk"


@breaks("disks-homes")
def a_home_without_a_bound(settings: Settings, _: Path) -> Broken:
    name = random_name(settings, "user")
    labels = {containers.LAB: settings.name, containers.PART: "user"}
    with stranger(settings, name, labels, network_mode="none"):
        yield settings, f"{name} has its home outside"


@breaks("disks-free")
def a_disk_that_is_full(settings: Settings, tmp: Path) -> Broken:
    run("mount", "-t", "tmpfs", "-o", "size=1m", "none", str(tmp))
    try:
        (tmp / "x").write_bytes(b"x" * 1_000_000)
        yield replace(settings, state=tmp), f"{tmp}: 0 of"
    finally:
        run("umount", str(tmp))
