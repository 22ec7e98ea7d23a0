"""From the side of the devices: a stolen token, another's name, replayed batches, odd lines, floods, the Pis' own ports."""

from __future__ import annotations

import gzip
import random
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import httpx
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cyberlab_edge.answers import Answer, Verdict
from cyberlab_edge.frames import PATH, Frame
from cyberlab_hub.ingest.store import FLEET, database_of
from cyberlab_hub.ingest.uplink import UPLINK_PORT
from cyberlab_hub.setup.cluster import rotate_join_token
from cyberlab_hub.setup.engines import workshop_engine
from hostile.attack import Attack, Scene, table
from hostile.scene import Someone, small_spec, wait_until
from hostile.watch import PartProcess, memory_free
from uplinks import ask

MB = 2**20
NOW = 1_700_000_000_000_000_000
SHOWS_ITS_TOKEN = """import time
print("token:" + open("/run/secrets/cyberlab_token").read().strip(), flush=True)
time.sleep(3600)
"""


# ---------------------------------------------------------------- speaking to the gateway
def gateway(scene: Scene) -> httpx.Client:
    def make() -> httpx.Client:
        context = ssl.create_default_context(cafile=str(scene.settings.certs / "ca.crt"))
        client = httpx.Client(base_url=scene.settings.ingest_url, verify=context, trust_env=False, timeout=30)
        return scene.keep(client)

    return scene.once("gateway", make)


def send(
    scene: Scene, token: str, device: str | None, lines: bytes | Iterator[bytes], **headers: str
) -> httpx.Response:
    sent = {"Authorization": f"Bearer {token}", **headers}
    if device is not None:
        sent["X-Cyberlab-Device"] = device
    return gateway(scene).post("/api/v1/write", content=lines, headers=sent)


def another_device(scene: Scene) -> str:
    return next(d.name for d in scene.ben.lab.devices() if d.name != scene.ben.device)


def everything_of(who: Someone, measurement: str = "/.*/") -> str:
    answer = who.http.get("/query", params={"q": f"SELECT * FROM {measurement} WHERE time < '2030-01-01'"})
    return answer.text


def own_token(scene: Scene) -> str:
    """Of a deployment of Mallory's on Ben's device."""
    return scene.once("a token of Mallory's", lambda: deployed(scene, "hers"))


def deployed(scene: Scene, name: str) -> str:
    """Deploys and gives the token that the program shows."""
    lab = scene.mallory.lab
    image = scene.once(
        "image that shows its token",
        lambda: lab.build(small_spec("shows", SHOWS_ITS_TOKEN), show=False, timeout=120),
    )
    before = _tokens(scene, name) if name in {d.name for d in lab.deployments()} else set()
    lab.deploy(image, name=name, devices=[scene.ben.device], show=False, timeout=120)
    wait_until("the program", lambda: _tokens(scene, name) - before, 40)
    return (_tokens(scene, name) - before).pop()


def _tokens(scene: Scene, name: str) -> set[str]:
    lines = scene.mallory.lab.deployment_logs(name)
    return {x.text.removeprefix("token:").strip() for x in lines if x.text.startswith("token:")}


# ---------------------------------------------------------------- a stolen token
def _from_another_device(scene: Scene) -> None:
    token, device = scene.ben.stolen_token, scene.ben.device
    assert send(scene, token, device, f"proof value=1 {NOW}".encode()).status_code == 200, (
        "the token is no good"
    )
    for name in (
        another_device(scene),
        None,
        "",
        device.upper(),
        f"{device},x",
        "*",
        f"{device}/../x",
        "fleet",
        "\x7f",
    ):
        answer = send(scene, token, name, f"stolen value=1 {NOW}".encode())
        assert answer.status_code == 403, f"{name!r}: {answer.status_code}"
    assert "stolen" not in everything_of(scene.ben)


def _two_devices(scene: Scene) -> None:
    """The header twice: whichever counts, the stamp is a device of the token."""
    headers = [
        ("Authorization", f"Bearer {scene.ben.stolen_token}"),
        ("X-Cyberlab-Device", scene.ben.device),
        ("X-Cyberlab-Device", another_device(scene)),
    ]
    gateway(scene).post("/api/v1/write", content=f"twice value=1 {NOW}".encode(), headers=headers)
    assert another_device(scene) not in everything_of(scene.ben, "twice")


def _into_another_database(scene: Scene) -> None:
    """Mallory's token and parameters that name Ben's database."""
    ben = scene.ben
    line = f"intruder value=1 {NOW}".encode()
    for params in (
        {"db": database_of(ben.name)},
        {"owner": ben.name},
        {"db": FLEET, "rp": "autogen"},
        {"precision": "s"},
    ):
        headers = {"Authorization": f"Bearer {own_token(scene)}", "X-Cyberlab-Device": ben.device}
        gateway(scene).post("/api/v1/write", params=params, content=line, headers=headers)
    assert "intruder" not in everything_of(ben)
    assert "intruder" not in ben.http.get("/query", params={"q": "SHOW MEASUREMENTS", "db": FLEET}).text
    assert "intruder" in everything_of(scene.mallory), "the line never arrived: the attack proves nothing"


def _claims_another_device(scene: Scene) -> None:
    _claims(scene, f"claim,device={another_device(scene)} value=1 {NOW}")


def _claims_another_deployment(scene: Scene) -> None:
    _claims(scene, f"claim,deployment=hut value=1 {NOW}")


def _claims(scene: Scene, line: str) -> None:
    answer = send(scene, own_token(scene), scene.ben.device, line.encode())
    assert answer.json()["written"] == 0, answer.text
    assert answer.json()["refused"]
    assert "claim" not in everything_of(scene.mallory)


def _as_the_lab_itself(scene: Scene) -> None:
    """Users' tokens at the gateway, and none."""
    lab_token = scene.settings.secret("hub-lab.token")
    for token in (
        scene.mallory.token,
        scene.ben.token,
        lab_token,
        "x",
        "a" * 5000,
        scene.ben.stolen_token[:-1],
    ):
        answer = send(scene, token, scene.ben.device, f"x value=1 {NOW}".encode())
        assert answer.status_code == 401, answer.text
    for path in (
        "/query",
        "/write",
        "/api/v2/write",
        "/docs",
        "/openapi.json",
        "/debug/pprof",
        "/api/v1/tokens",
    ):
        assert gateway(scene).get(path).status_code in (404, 405), path


# ---------------------------------------------------------------- after its end
def _after_the_stop(scene: Scene) -> None:
    """A copy of the token, used when the deployment is stopped."""
    token = deployed(scene, "stopped")
    line = f"late value=1 {NOW}".encode()
    assert send(scene, token, scene.ben.device, line).status_code == 200
    scene.mallory.lab.stop("stopped")
    wait_until(
        "the end of the token", lambda: send(scene, token, scene.ben.device, line).status_code == 401, 15
    )


def _after_an_update(scene: Scene) -> None:
    """The token of the version before."""
    old = deployed(scene, "updated")
    try:
        new = deployed(scene, "updated")
        line = f"late value=1 {NOW}".encode()
        wait_until(
            "the end of the old token",
            lambda: send(scene, old, scene.ben.device, line).status_code == 401,
            15,
        )
        assert send(scene, new, scene.ben.device, line).status_code == 200
    finally:
        scene.mallory.lab.stop("updated")


def _replay(scene: Scene) -> None:
    """The same batch five times: one point each."""
    batch = b"\n".join(f"again,n={n} value={n} {NOW + n}".encode() for n in range(100))
    for _ in range(5):
        assert send(scene, own_token(scene), scene.ben.device, batch).json()["written"] == 100
    answer = scene.mallory.http.get("/query", params={"q": "SELECT count(value) FROM again"})
    assert answer.text.strip().endswith(",100"), answer.text


# ---------------------------------------------------------------- a device's own certificate
def uplink(scene: Scene, device: str, token: str, lines: bytes) -> Answer:
    """What the gateway answers to a batch on an uplink with the certificate stolen from that Pi."""

    def stolen() -> Path:
        node = docker.from_env().containers.get(f"{scene.settings.name}-{device}")
        path = Path(scene.keep(tempfile.TemporaryDirectory())) / "agent.pem"
        path.write_bytes(node.exec_run(["cat", "/etc/cyberlab/agent.pem"]).output)
        return path

    context = ssl.create_default_context(cafile=scene.settings.certs / "ca.crt")
    context.load_cert_chain(scene.once(f"certificate of {device}", stolen))
    url = f"wss://{scene.settings.gateway('devices')}:{UPLINK_PORT}{PATH}"
    (answer,) = ask(url, context, Frame(1, token, lines).pack())
    return answer


def _agent_into_a_users_database(scene: Scene) -> None:
    """Whoever owns a Pi has its agent's certificate: it writes about that Pi, into the fleet's database."""
    line = f"agentx,owner={scene.ben.name} value=1 {NOW}".encode()
    answer = uplink(scene, scene.ben.device, "", line)
    assert (answer.verdict, answer.lost) == (Verdict.TAKEN, 0), "the certificate is no good"
    assert "agentx" not in everything_of(scene.ben)
    assert "agentx" not in everything_of(scene.mallory)


def _agent_as_another_device(scene: Scene) -> None:
    claim = f"agenty,device={another_device(scene)} value=1 {NOW}".encode()
    answer = uplink(scene, scene.ben.device, "", claim)
    assert (answer.verdict, answer.lost) == (Verdict.TAKEN, 1)


def _stolen_token_on_another_uplink(scene: Scene) -> None:
    answer = uplink(scene, another_device(scene), scene.ben.stolen_token, f"x value=1 {NOW}".encode())
    assert answer.verdict is Verdict.NEVER


def _fingerprint_as_a_token(scene: Scene) -> None:
    """The hash that the lab knows a device by is in every handshake: it must open nothing."""
    uplink(scene, scene.ben.device, "", f"agentz value=1 {NOW}".encode())
    pem = scene.once(f"certificate of {scene.ben.device}", Path).read_bytes()
    fingerprint = x509.load_pem_x509_certificate(pem).fingerprint(SHA256()).hex()
    assert send(scene, fingerprint, scene.ben.device, f"x value=1 {NOW}".encode()).status_code == 401
    assert uplink(scene, scene.ben.device, fingerprint, f"x value=1 {NOW}".encode()).verdict is Verdict.NEVER


# ---------------------------------------------------------------- lines
ODD_LINES = {
    "new-line-in-a-text": b'odd,room=a value="x\nbens,device=other value=1 1700000000000000000" 1700000000000000000',
    "return-in-a-text": b'odd,room=a value="x\rbens value=1" 1700000000000000000',
    "open-quote": b'odd value="a 1700000000000000000\nodd2 value="b" 1700000000000000000',
    "escaped-end": b"odd,room=a\\ value=1 1700000000000000000",
    "escaped-line-end": b"odd,room=a\\\nbens,device=other value=1 1700000000000000000",
    "nul": b"odd,room=a\0,device=other value=1 1700000000000000000",
    "device-by-escapes": b"odd,dev\\ice=other value=1 1700000000000000000",
    "second-device": b"odd,room=a,device=other,device=other2 value=1 1700000000000000000",
    "device-as-a-field": b"odd,room=a device=1,value=1 1700000000000000000\nodd,Device=other value=1 1700000000000000000",
    "comment": b"# odd\n#odd,device=other value=1 1700000000000000000",
    "not-utf-8": b"odd,room=\xff\xfe value=1 1700000000000000000",
    "not-a-number": b"odd value=NaN 1700000000000000000\nodd value=1e999 1700000000000000000\nodd value=Inf 1700000000000000000",
    "stamp-too-long": b"odd value=1 99999999999999999999999\nodd value=1 0x10\nodd value=1 1e18",
    "statement-as-a-name": b'"; DROP DATABASE x value=1 1700000000000000000\nodd\\;DROP\\ SERIES value=1 1700000000000000000',
    "internal-name": b"_internal value=1 1700000000000000000\n_fieldKeys value=1 1700000000000000000",
}


def _odd(lines: bytes) -> Callable[[Scene], None]:
    def run(scene: Scene) -> None:
        answer = send(scene, own_token(scene), scene.ben.device, lines)
        assert answer.status_code in (200, 400), f"{answer.status_code}: {answer.text[:300]}"
        shown = scene.mallory.http.get("/query", params={"q": "SHOW TAG VALUES WITH KEY = device"}).text
        found = {line.split(",")[-1] for line in shown.splitlines() if line and not line.startswith("name,")}
        assert found <= {scene.ben.device}, shown
        assert "bens" not in scene.mallory.http.get("/query", params={"q": "SHOW MEASUREMENTS"}).text

    return run


# ---------------------------------------------------------------- much
def _gzip_bomb(scene: Scene) -> None:
    """A gigabyte in a megabyte. The gateway unpacks nothing."""
    bomb = gzip.compress(b"a" * (200 * MB), 9)
    before = memory_free()
    answer = send(scene, own_token(scene), scene.ben.device, bomb, **{"Content-Encoding": "gzip"})
    assert answer.status_code in (200, 400, 413, 415), answer.status_code
    assert answer.status_code != 200 or answer.json()["written"] == 0
    assert before - memory_free() < 300 * MB


def _endless_batch(scene: Scene) -> None:
    """After the refusal the rest is read and forgotten, for half a minute at most: so clients hear what was wrong."""
    token, process = own_token(scene), PartProcess(scene.settings, "ingest")
    before = process.memory()
    answer = send(scene, token, scene.ben.device, (b"a" * MB for _ in range(300)))
    assert answer.status_code == 413
    assert process.memory() - before < 50 * MB, "the gateway keeps what it was sent"


def _many_lines(scene: Scene) -> None:
    """A batch of half a million empty lines, and one of a hundred thousand wrong ones: short answers."""
    for batch in (b"\n" * 500_000, b"x\n" * 100_000):
        answer = send(scene, own_token(scene), scene.ben.device, batch)
        assert answer.status_code == 413, answer.status_code
        assert len(answer.content) < MB


def _flood(scene: Scene) -> None:
    """Twenty senders, as fast as they can: told to wait, and Ben's readings come as ever."""
    codes: list[int] = []
    token = own_token(scene)
    end = time.monotonic() + 6

    def pour(number: int) -> None:
        at = NOW + number * 10**9
        while time.monotonic() < end:
            at += 10**12
            batch = b"\n".join(f"flood value={n} {at + n}".encode() for n in range(1000))
            try:
                codes.append(send(scene, token, scene.ben.device, batch).status_code)
            except httpx.TransportError:
                codes.append(0)

    before = _beats(scene)
    threads = [threading.Thread(target=pour, args=(n,), daemon=True) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 429 in codes, set(codes)
    wait_until("Ben's next readings", lambda: _beats(scene) > before + 8, 30)


# ---------------------------------------------------------------- the device's own intake
INTO_THE_INTAKE = """
import http.client, sys, threading, time
from collections import Counter

said = Counter()

def pour(number):
    line = http.client.HTTPConnection("172.17.0.1", 8087, timeout=20)
    end = time.monotonic() + {seconds}
    turn = 0
    while time.monotonic() < end:
        turn += 1
        token = {token!r} or f"made-up-{{number}}-{{turn}}"
        body = b"\\n".join(b"hog,n=%d value=1 %d" % (n, time.time_ns() + n) for n in range({lines}))
        try:
            line.request("POST", "/api/v1/write", body, {{"Authorization": "Bearer " + token}})
            answer = line.getresponse()
            answer.read()
            said[answer.status] += 1
        except OSError:
            line.close()
            said["cut"] += 1

threads = [threading.Thread(target=pour, args=(n,)) for n in range(20)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(dict(said))
"""


def _pours_into_the_intake(token_of: Callable[[Scene], str], lines: int) -> Callable[[Scene], None]:
    """Twenty connections from one address, as a container has one; Ben's readings come as ever."""

    def run(scene: Scene) -> None:
        node = docker.from_env().containers.get(f"{scene.settings.name}-{scene.ben.device}")
        before = _beats(scene)
        code = INTO_THE_INTAKE.format(seconds=6, token=token_of(scene), lines=lines)
        said = node.exec_run(["python3", "-c", code]).output.decode()
        assert "cut" in said, f"one address has more than its places: {said}"
        wait_until("Ben's next readings", lambda: _beats(scene) > before + 8, 60)
        resident = node.exec_run(["sh", "-c", "cat /proc/$(pgrep -f cyberlab_edge.agent | head -1)/status"])
        (size,) = [row.split()[1] for row in resident.output.decode().splitlines() if row.startswith("VmRSS")]
        assert int(size) < 150_000, f"the agent has {size} KB"

    return run


def _beats(scene: Scene) -> int:
    answer = scene.ben.http.get("/query", params={"q": "SELECT count(value) FROM heartbeat"})
    return int(answer.text.strip().rsplit(",", 1)[-1])


def _every_week_since_1678(scene: Scene) -> None:
    """Points of every time that a stamp can say: each new stretch of time is a folder and files of InfluxDB."""
    week = 7 * 86400 * 10**9
    weeks = random.Random(1678).sample(range(-15_000, 15_000), 30_000)  # noqa: S311 - an order, not a secret
    lines = [f"ages value=1 {n * week}".encode() for n in weeks if n * week <= 0 or n * week > 10**17]
    at, limit = 0, time.monotonic() + 12
    while at < len(lines) and time.monotonic() < limit:
        answer = send(scene, own_token(scene), scene.ben.device, b"\n".join(lines[at : at + 1000]))
        assert answer.status_code in (200, 429), answer.text
        if answer.status_code == 429:
            time.sleep(1)
        else:
            at += 1000
    assert at >= 3000, "nothing was taken: the attack proves nothing"
    influx = docker.from_env().containers.get(f"{scene.settings.name}-influxdb")
    folder = f"/var/lib/influxdb/data/{database_of(scene.mallory.name)}/autogen"
    shards = int(influx.exec_run(["sh", "-c", f"ls {folder} | wc -l"]).output)
    assert shards < 700, f"{shards} shards"
    assert scene.ben.canary in everything_of(scene.ben, "diary")


def _many_fields_and_series(scene: Scene) -> None:
    """Three thousand fields in a line, and thousands of series: bounded, and in her own database only."""
    wide = ",".join(f"f{n}=1" for n in range(3000))
    send(scene, own_token(scene), scene.ben.device, f"wide {wide} {NOW}".encode())
    for part in range(5):
        batch = b"\n".join(f"many,n={part}x{n} value=1 {NOW}".encode() for n in range(1000))
        send(scene, own_token(scene), scene.ben.device, batch)
    assert "wide" not in everything_of(scene.ben)
    assert scene.ben.canary in everything_of(scene.ben, "diary")


# ---------------------------------------------------------------- the machines
def _ports_of_a_pi(scene: Scene) -> None:
    """A Pi's engine, its agent and its swarm, from the host's side of the devices' network."""
    address = next(d.address for d in scene.ben.lab.devices() if d.name == scene.ben.device)
    for port in (22, 80, 2375, 2376, 2377, 8080, 8443):
        try:
            socket.create_connection((address, port), timeout=2).close()
        except OSError:
            continue
        raise AssertionError(f"port {port} of {scene.ben.device} answers")


def _join_token_on_a_pi(scene: Scene) -> None:
    """Whoever owns a Pi looks for what would let another machine join."""
    node = docker.from_env().containers.get(f"{scene.settings.name}-{scene.ben.device}")
    look = "grep -rIl SWMTKN /etc /run /tmp /root /home /opt /var/log /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null"
    found = node.exec_run(["sh", "-c", f"{look} | grep -v /proc/self | head -5"]).output.decode()
    lines = [line for line in found.splitlines() if not line.startswith("/proc/")]
    assert not lines, found
    environment = node.exec_run(["sh", "-c", "cat /proc/1/environ"]).output
    assert b"SWMTKN" not in environment


def _old_join_token(scene: Scene) -> None:
    """A token that was right when the Pis joined: the manager has another one now."""
    manager = workshop_engine(scene.settings)
    node = docker.from_env().containers.get(f"{scene.settings.name}-{scene.ben.device}")

    def current() -> str:
        return str(manager.api.inspect_swarm()["JoinTokens"]["Worker"])

    old = current()
    assert old.startswith("SWMTKN"), old
    rotate_join_token(scene.settings, manager)
    assert current() != old
    # asked for a certificate as a new machine would: with a folder of its own and the manager's port
    name = "second"
    try:
        started = f"dockerd --data-root /tmp/{name} --exec-root /run/{name} -p /run/{name}.pid -H unix:///run/{name}.sock --bridge=docker0 --iptables=false >/tmp/{name}.log 2>&1 &"
        node.exec_run(["sh", "-c", started])
        asked = f"for i in $(seq 30); do docker -H unix:///run/{name}.sock info >/dev/null 2>&1 && break; sleep 0.5; done; timeout 20 docker -H unix:///run/{name}.sock swarm join --token {old} {scene.settings.engine_address}:2377"
        done = node.exec_run(["sh", "-c", asked])
        assert done.exit_code != 0, done.output
        assert b"valid join token" in done.output, done.output
    finally:
        node.exec_run(["sh", "-c", f"kill $(cat /run/{name}.pid); sleep 1; rm -rf /tmp/{name}* /run/{name}*"])


def _attack(name: str, tries: str, must_hold: str, layer: str, run: Callable[[Scene], None]) -> Attack:
    return Attack("devices", name, tries, must_hold, layer, run)


ATTACKS = (
    _attack("stolen-token-elsewhere", "uses Ben's token as another device", "403; nothing is written", "gateway", _from_another_device),
    _attack("stolen-token-two-devices", "names two devices", "the stamp is the token's device", "gateway", _two_devices),
    _attack("another-database", "names Ben's database with her token", "it is written into her own", "gateway", _into_another_database),
    _attack("another-devices-tag", "claims another device in a tag", "the line is refused", "gateway", _claims_another_device),
    _attack("another-deployments-tag", "claims another deployment in a tag", "the line is refused", "gateway", _claims_another_deployment),
    _attack("users-tokens", "uses users' tokens and other paths", "401, 404", "token", _as_the_lab_itself),
    _attack("after-the-stop", "uses the token of a stopped deployment", "401 soon", "token", _after_the_stop),
    _attack("after-an-update", "uses the token of an older version", "401 soon", "token", _after_an_update),
    _attack("replay", "sends a batch five times", "one point each", "InfluxDB", _replay),
    _attack("agent-into-a-database", "writes as the Pi's agent about Ben", "it stays in the fleet's database", "gateway", _agent_into_a_users_database),
    _attack("agent-as-another", "writes as another Pi's agent", "refused", "gateway", _agent_as_another_device),
    _attack("token-on-another-uplink", "uses Ben's token with another Pi's certificate", "refused", "gateway", _stolen_token_on_another_uplink),
    _attack("fingerprint-as-a-token", "uses the hash of a device's certificate as a token", "401", "token", _fingerprint_as_a_token),
    *(_attack(f"line-{name}", f"sends {lines[:60]!r}", "no other device, no second line", "gateway", _odd(lines)) for name, lines in ODD_LINES.items()),
    _attack("gzip-bomb", "sends 200 MB in a few KB", "it is not unpacked", "gateway", _gzip_bomb),
    _attack("endless-batch", "sends a batch without end", "413, not taken, not kept", "gateway", _endless_batch),
    _attack("many-lines", "sends half a million lines", "413, a short answer", "gateway", _many_lines),
    _attack("flood", "sends from twenty threads", "429; Ben's readings come", "quota", _flood),
    _attack("made-up-senders", "leaves points of made-up tokens with the agent", "few are kept; Ben's readings come", "agent", _pours_into_the_intake(lambda _: "", 20)),
    _attack("hog-of-the-spool", "leaves all the points that she can with the agent, under one name", "429; Ben's readings come", "agent", _pours_into_the_intake(lambda _: "not-a-token", 3000)),
    _attack("every-week-since-1678", "sends stamps of every week since 1678", "few shards; Ben reads", "InfluxDB limits", _every_week_since_1678),
    _attack("many-fields-and-series", "sends thousands of fields and series", "in her own database", "InfluxDB limits", _many_fields_and_series),
    _attack("ports-of-a-pi", "knocks at a Pi's engine", "no port answers", "firewall", _ports_of_a_pi),
    _attack("join-token-on-a-pi", "looks for a join token on a Pi", "there is none", "swarm", _join_token_on_a_pi),
    _attack("old-join-token", "joins with the token of before", "the manager refuses", "swarm", _old_join_token),
)  # fmt: skip


@table(ATTACKS)
def test_devices(attack: Attack, scene: Scene) -> None:
    scene.attempt(attack)
