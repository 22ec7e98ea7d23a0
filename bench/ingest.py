"""Points through the ingest gateway (TLS, checks, stamps), against the same bytes straight into InfluxDB.

Over HTTPS and over devices' uplinks, on 1 connection and on 20; then the gateway's memory while a million points pass,
and its share of a processor for 150 sensors that measure ten times a second. Runs its own InfluxDB 1.x and gateway.

    python bench/ingest.py [points of each turn]
"""

from __future__ import annotations

import json
import os
import ssl
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count, cycle
from pathlib import Path
from queue import Empty, SimpleQueue
from statistics import median
from typing import Protocol
from urllib.parse import urlsplit

from cyberlab_edge.answers import Verdict
from cyberlab_edge.frames import PATH, Frame
from cyberlab_edge.uplink import Uplink
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / part) for part in ("", "contract")]
from gateway_process import Gateway, make_gateway, set_up  # noqa: E402 - found by the line above
from uplinks import UplinkByHand  # noqa: E402 - the same

T = 1_700_000_000_000_000_000
BATCH = 5_000
TURNS = 11
CONNECTIONS = (1, 20)
SENSORS, HERTZ, SECONDS = 150, 10, 15
PROGRAMS = 2
"""Deployments on each device, that send side by side on its one uplink."""
DEVICES = 20


NAMES = tuple(f"pi{number:02d}" for number in range(DEVICES))


def batches(points: int, measurement: str) -> list[bytes]:
    return [
        "\n".join(
            f"{measurement},sensor=s{i % 8} value={i % 977 / 16},other={i % 31} {T + i * 10**6}"
            for i in range(start, start + BATCH)
        ).encode()
        for start in range(0, points, BATCH)
    ]


class Line(Protocol):
    """A connection."""

    def send(self, message: bytes) -> None:
        """May return before it is answered."""

    def finish(self) -> None:
        """Returns when all is answered."""


class Way(Protocol):
    name: str

    def ready(self, bodies: list[bytes], devices: int, /) -> list[bytes]:
        """What that many devices send. Made before the clock starts: packing is their work, not the gateway's."""

    def open(self) -> Line: ...


class OneByOne:
    def __init__(self, send: Callable[[bytes], object]) -> None:
        self.send = send

    def finish(self) -> None:
        """Nothing is under way."""


class Direct:
    name = "direct"

    def __init__(self, gateway: Gateway) -> None:
        self._address = urlsplit(gateway.influx.url).netloc
        login = b64encode(f"admin:{gateway.influx.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}

    def ready(self, bodies: list[bytes], devices: int) -> list[bytes]:
        """With what the gateway adds, so that each way stores the same."""
        stamps = cycle(f",deployment=greenhouse,device={name},sensor=".encode() for name in NAMES[:devices])
        return [body.replace(b",sensor=", stamp) for body, stamp in zip(bodies, stamps, strict=False)]

    def open(self) -> Line:
        """The same HTTP client as the device's uplink has."""
        connection = HTTPConnection(self._address, timeout=60)

        def send(body: bytes) -> None:
            connection.request("POST", f"/write?db={database_of('anna')}&precision=ns", body, self._headers)
            response = connection.getresponse()
            assert response.status == 204, response.read()
            response.read()

        return OneByOne(send)


class Https:
    name = "https"

    def __init__(self, gateway: Gateway) -> None:
        self._url, self._ca_file = gateway.url, str(gateway.settings.certs / "ca.crt")
        self._token = str(gateway.token("anna", devices=NAMES))
        self._names = cycle(NAMES)

    def ready(self, bodies: list[bytes], _: int) -> list[bytes]:
        return bodies

    def open(self) -> Line:
        name = next(self._names)
        link = Uplink(self._url, device=name, token_file=self._token, ca_file=self._ca_file)

        def send(body: bytes) -> None:
            assert link.send(body).verdict is Verdict.TAKEN

        return OneByOne(send)


class Device:
    """Its uplink. It waits while it has a batch of each of its programs under way."""

    def __init__(self, line: UplinkByHand) -> None:
        self._line = line
        self._open = 0

    def send(self, message: bytes) -> None:
        if self._open == PROGRAMS:
            self._hear()
        self._line.put(message)
        self._open += 1

    def _hear(self) -> None:
        answer = self._line.answer()
        self._open -= 1
        assert answer.verdict is Verdict.TAKEN, answer
        assert not answer.lost, answer

    def finish(self) -> None:
        while self._open:
            self._hear()


class Uplinks:
    name = "uplink"

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self._url = f"wss://127.0.0.1:{gateway.uplink_port}{PATH}"
        self._contexts = cycle([self._enrolled(gateway, folder / name, name) for name in NAMES])
        self._tokens = [gateway.token("anna", devices=NAMES).read_text() for _ in range(PROGRAMS)]
        self._seq = count(1)

    def _enrolled(self, gateway: Gateway, folder: Path, name: str) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=gateway.settings.certs / "ca.crt")
        context.load_cert_chain(gateway.enrol(folder, name).parent / "agent.pem")
        return context

    def ready(self, bodies: list[bytes], _: int) -> list[bytes]:
        frames = zip(self._seq, cycle(self._tokens), bodies)
        return [Frame(seq, token, body).pack() for seq, token, body in frames]

    def open(self) -> Line:
        """Of the next device: one has one uplink, and a newer one replaces it."""
        return Device(UplinkByHand(self._url, next(self._contexts)))


def seconds(bodies: list[bytes], way: Way, connections: int) -> float:
    """How long that many threads, with a connection each, take for all bodies."""
    queue: SimpleQueue[bytes] = SimpleQueue()
    for message in way.ready(bodies, connections):
        queue.put(message)
    failed: list[BaseException] = []

    def work(line: Line) -> None:
        try:
            while True:
                line.send(queue.get_nowait())
        except Empty:
            line.finish()
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=(way.open(),)) for _ in range(connections)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError("a sender failed") from failed[0]
    return time.perf_counter() - begun


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def place() -> Iterator[tuple[list[Way], int]]:
    """The ways to a gateway, where anna's quota lets everything pass; and the gateway's process id."""
    with tempfile.TemporaryDirectory() as folder:
        gateway = make_gateway(Path(folder))
        with gateway.influx.running():
            set_up(gateway)
            store = gateway.store()
            store.ensure_owner("anna")
            store.close()
            database = Database.open(gateway.settings.db_url)
            Quotas(database).set("user", "anna", "points", 1_000_000_000)
            database.close()
            with gateway.running() as process:
                yield [Direct(gateway), Https(gateway), Uplinks(gateway, Path(folder))], process.pid


def speeds(ways: list[Way], points: int) -> dict[str, float]:
    """``WAY-CONNECTIONS`` -> points a second against writing directly: the median of what the turns give.

    What else the machine does changes from second to second, so a way is held against its neighbour in the same turn.
    """
    ratios: dict[str, float] = {}
    for connections in CONNECTIONS:
        took: dict[str, list[float]] = {way.name: [] for way in ways}
        for turn in range(TURNS):
            for way in ways:
                bodies = batches(points, f"{way.name}{turn}c{connections}")
                took[way.name].append(seconds(bodies, way, connections))
        for name in ("https", "uplink"):
            turns = sorted(d / w for d, w in zip(took["direct"], took[name], strict=True))
            ratios[f"{name}-{connections}"] = round(median(turns), 3)
            speed, direct = (points / median(took[way]) for way in (name, "direct"))
            told = f"{name} {speed:,.0f}/s, direct {direct:,.0f}/s, ratio {median(turns):.2f}"
            span = f"({turns[0]:.2f} to {turns[-1]:.2f})"
            print(f"{points} points, {connections} connections: {told} {span}")
    return ratios


def memory(https: Way, pid: int) -> tuple[float, float]:
    """Resident MB of the gateway before and after a million points more."""
    before = resident_mb(pid)
    seconds(batches(1_000_000, "million"), https, 4)
    after = resident_mb(pid)
    print(f"memory of the gateway: {before:.0f} MB, after a million points more {after:.0f} MB")
    return before, after


def steady(uplinks: Way, pid: int) -> float:
    """Percent of one core for `SENSORS` at `HERTZ`, sent as ten devices do: four batches a second each."""
    devices = [uplinks.open() for _ in range(10)]
    begun, used = time.perf_counter(), cpu_seconds(pid)
    for tick in range(SECONDS * 4):
        for number, device in enumerate(devices):
            at = T + tick * 250_000_000
            lines = [
                f"steady,sensor=s{sensor} value={tick} {at + part * 10**8 + number}"
                for sensor in range(SENSORS // len(devices))
                for part in range(HERTZ // 4 + tick % 2)
            ]
            (message,) = uplinks.ready(["\n".join(lines).encode()], 1)
            device.send(message)
        time.sleep(max(0.0, begun + (tick + 1) / 4 - time.perf_counter()))
    percent = 100 * (cpu_seconds(pid) - used) / (time.perf_counter() - begun)
    print(f"{SENSORS} sensors at {HERTZ} Hz: {percent:.1f} % of one core in the gateway")
    return percent


def main(points: int) -> None:
    with place() as (ways, pid):
        _, https, uplinks = ways
        ratios = speeds(ways, points)
        before, after = memory(https, pid)
        percent = steady(uplinks, pid)
    result = {
        "bench": "ingest",
        "points": points,
        "ratio": ratios,
        "against": "InfluxDB directly",
        "memory_mb": [round(before), round(after)],
        "core_percent_of_150_sensors": round(percent, 1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300_000)
