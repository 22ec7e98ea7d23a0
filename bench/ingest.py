"""Points through the ingest gateway (TLS, checks, stamps), against the same points straight into InfluxDB.

Runs its own InfluxDB 1.x and gateway.

    python bench/ingest.py [points]
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

from cyberlab_edge.uplink import Uplink, Verdict
from cyberlab_hub import certs
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import database_of
from cyberlab_hub.service.database import Database
from cyberlab_hub.service.quotas import Quotas
from cyberlab_hub.settings import Settings

sys.path[:0] = [str(Path(__file__).parents[1] / "tests" / part) for part in ("", "contract")]
from influx_server import free_port, make_server  # noqa: E402 - found by the line above
from test_ingest import Gateway  # noqa: E402 - the same

T = 1_700_000_000_000_000_000
BATCH = 5_000
SENDERS = 4
STAMP = ",deployment=greenhouse,device=pi01"
"""What the gateway adds, so that both ways store the same."""


def batches(points: int, head: str) -> list[bytes]:
    """Lines that begin with `head`."""
    return [
        "\n".join(
            f"{head},sensor=s{i % 8} value={i % 977 / 16},other={i % 31} {T + i * 10**6}"
            for i in range(start, start + BATCH)
        ).encode()
        for start in range(0, points, BATCH)
    ]


def seconds(bodies: list[bytes], sender: Callable[[], Callable[[bytes], object]]) -> float:
    """How long `SENDERS` threads take for all bodies."""
    queue: SimpleQueue[bytes] = SimpleQueue()
    for body in bodies:
        queue.put(body)

    def work() -> None:
        send = sender()
        while True:
            try:
                send(queue.get_nowait())
            except Empty:
                return

    threads = [threading.Thread(target=work) for _ in range(SENDERS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def main(points: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        influx = make_server(Path(folder))
        settings = Settings(state=Path(folder) / "state", subnet="127.0.0.0/16")
        certs.ensure(settings)
        settings.secrets.mkdir()
        (settings.secrets / "influx.admin").write_text(influx.password)
        (settings.secrets / "influx.derive").write_text("derive")
        gateway = Gateway(settings, influx, free_port())
        with influx.running():
            store = gateway.store()
            store.set_up()
            store.ensure_owner("anna")
            token = gateway.token("anna")
            database = Database.open(settings.db_url)
            Quotas(database).set(
                "user", "anna", "points", 1_000_000_000
            )  # the gateway is measured, not the quota
            database.close()
            with gateway.running():

                def through() -> Callable[[bytes], object]:
                    ca_file = str(settings.certs / "ca.crt")
                    link = Uplink(gateway.url, device="pi01", token_file=str(token), ca_file=ca_file)

                    def send(body: bytes) -> None:
                        assert link.send(body).verdict is Verdict.TAKEN

                    return send

                def straight() -> Callable[[bytes], object]:
                    own = Influx1Store(influx.url, influx.password, "derive")
                    return lambda body: own.write(database_of("anna"), body)

                times: dict[str, list[float]] = {"gateway": [], "direct": []}
                for turn in range(3):
                    times["direct"].append(seconds(batches(points, f"direct{turn}{STAMP}"), straight))
                    times["gateway"].append(seconds(batches(points, f"gateway{turn}"), through))
            store.close()
    direct, gate = points / min(times["direct"]), points / min(times["gateway"])
    print(f"{points} points: gateway {gate:,.0f}/s, direct {direct:,.0f}/s, ratio {gate / direct:.2f}")
    result = {
        "bench": "ingest",
        "points": points,
        "ratio": round(gate / direct, 3),
        "against": "InfluxDB directly",
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 500_000)
