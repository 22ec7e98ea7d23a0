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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from queue import Empty, SimpleQueue

from cyberlab_edge.answers import Verdict
from cyberlab_edge.frames import PATH, Frame
from cyberlab_edge.uplink import Uplink
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / part) for part in ("", "contract")]
from gateway_process import Gateway, make_gateway, set_up  # noqa: E402 - found by the line above
from uplinks import UplinkByHand  # noqa: E402 - the same

T = 1_700_000_000_000_000_000
BATCH = 5_000
TURNS = 3
CONNECTIONS = (1, 20)
SENSORS, HERTZ, SECONDS = 150, 10, 15
STAMP = ",deployment=greenhouse,device=pi01"
"""What the gateway adds, so that each way stores the same."""
Send = Callable[[bytes], object]


def batches(points: int, head: str) -> list[bytes]:
    """Lines that begin with `head`."""
    return [
        "\n".join(
            f"{head},sensor=s{i % 8} value={i % 977 / 16},other={i % 31} {T + i * 10**6}"
            for i in range(start, start + BATCH)
        ).encode()
        for start in range(0, points, BATCH)
    ]


def seconds(bodies: list[bytes], opened: Callable[[], Send], connections: int) -> float:
    """How long that many threads, with a connection each, take for all bodies."""
    queue: SimpleQueue[bytes] = SimpleQueue()
    for body in bodies:
        queue.put(body)
    failed: list[BaseException] = []

    def work(send: Send) -> None:
        try:
            while True:
                send(queue.get_nowait())
        except Empty:
            return
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=(opened(),)) for _ in range(connections)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise RuntimeError("a sender failed") from failed[0]
    return time.perf_counter() - begun


class Ways:
    """How to open a connection of each kind."""

    def __init__(self, gateway: Gateway, folder: Path) -> None:
        self._gateway = gateway
        self._folder = folder
        self.token = gateway.token("anna")
        self._device = count()

    def direct(self) -> Send:
        own = Influx1Store(self._gateway.influx.url, self._gateway.influx.password, "derive")
        return lambda body: own.write(database_of("anna"), body)

    def https(self) -> Send:
        ca_file = str(self._gateway.settings.certs / "ca.crt")
        link = Uplink(self._gateway.url, device="pi01", token_file=str(self.token), ca_file=ca_file)

        def send(body: bytes) -> None:
            assert link.send(body).verdict is Verdict.TAKEN

        return send

    def uplink(self) -> Send:
        # a device has one uplink, so each connection is another device
        device = f"pi{next(self._device):05d}"
        config = self._gateway.enrol(self._folder / device, device)
        context = ssl.create_default_context(cafile=self._gateway.settings.certs / "ca.crt")
        context.load_cert_chain(config.parent / "agent.pem")
        url = f"wss://127.0.0.1:{self._gateway.uplink_port}{PATH}"
        line = UplinkByHand(url, context)
        token = self._gateway.token("anna", devices=(device,)).read_text()
        numbers = count(1)

        def send(body: bytes) -> None:
            answer = line.send(Frame(next(numbers), token, body).pack())
            assert answer.verdict is Verdict.TAKEN, answer
            assert not answer.lost, answer

        return send


def resident_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def place() -> Iterator[tuple[Gateway, Ways, int]]:
    """A gateway for anna, whose quota nobody measures here; and its process id."""
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
                yield gateway, Ways(gateway, Path(folder)), process.pid


def speeds(ways: Ways, points: int) -> dict[str, float]:
    """``WAY-CONNECTIONS`` -> points a second against writing directly, the best of `TURNS`."""
    ratios: dict[str, float] = {}
    for connections in CONNECTIONS:
        best: dict[str, float] = {}
        for turn in range(TURNS):
            for way in (ways.direct, ways.https, ways.uplink):
                name = way.__name__
                head = f"{name}{turn}c{connections}" + (STAMP if name == "direct" else "")
                took = seconds(batches(points, head), way, connections)
                best[name] = max(best.get(name, 0.0), points / took)
        for name in ("https", "uplink"):
            ratio = best[name] / best["direct"]
            ratios[f"{name}-{connections}"] = round(ratio, 3)
            told = f"{best[name]:,.0f}/s, direct {best['direct']:,.0f}/s, ratio {ratio:.2f}"
            print(f"{points} points, {connections} connections: {name} {told}")
    return ratios


def memory(ways: Ways, pid: int) -> tuple[float, float]:
    """Resident MB of the gateway before and after a million points more."""
    before = resident_mb(pid)
    seconds(batches(1_000_000, "million"), ways.https, 4)
    after = resident_mb(pid)
    print(f"memory of the gateway: {before:.0f} MB, after a million points more {after:.0f} MB")
    return before, after


def steady(ways: Ways, pid: int) -> float:
    """Percent of one core for `SENSORS` at `HERTZ`, sent as ten devices do: four batches a second each."""
    senders = [ways.uplink() for _ in range(10)]
    begun, used = time.perf_counter(), cpu_seconds(pid)
    for tick in range(SECONDS * 4):
        for number, send in enumerate(senders):
            at = T + tick * 250_000_000
            lines = [
                f"steady,sensor=s{sensor} value={tick} {at + part * 10**8 + number}"
                for sensor in range(SENSORS // len(senders))
                for part in range(HERTZ // 4 + tick % 2)
            ]
            send("\n".join(lines).encode())
        time.sleep(max(0.0, begun + (tick + 1) / 4 - time.perf_counter()))
    percent = 100 * (cpu_seconds(pid) - used) / (time.perf_counter() - begun)
    print(f"{SENSORS} sensors at {HERTZ} Hz: {percent:.1f} % of one core in the gateway")
    return percent


def main(points: int) -> None:
    with place() as (_, ways, pid):
        ratios = speeds(ways, points)
        before, after = memory(ways, pid)
        percent = steady(ways, pid)
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
