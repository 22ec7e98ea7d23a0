"""Reading 1 M rows into a DataFrame, against the raw HTTP transfer of the same rows. Runs its own InfluxDB 1.x.

python bench/read.py [rows]
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from cyberlab import reader
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import database_of

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "contract"))
from influx_server import make_server

T = 1_700_000_000_000_000_000
DEVICES = 20
QUESTION = 'SELECT "value"::field FROM "temperature" GROUP BY *'


def best_of(times: int, work: Callable[[], object]) -> float:
    seconds = []
    for _ in range(times):
        begun = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def main(rows: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = make_server(Path(folder))
        with server.running():
            store = Influx1Store(server.url, server.password, "derive")
            store.set_up()
            store.ensure_owner("anna")
            for start in range(0, rows, 10_000):
                lines = (
                    f"temperature,device=pi{i % DEVICES:02d},deployment=green,unit=C"
                    f" value={i % 977 / 16} {T + i * 10**6}"
                    for i in range(start, min(rows, start + 10_000))
                )
                store.write(database_of("anna"), "\n".join(lines).encode())

            login = base64.b64encode(f"admin:{server.password}".encode()).decode()
            params = {"db": database_of("anna"), "q": QUESTION, "epoch": "ns", "chunked": "true"}
            # not compressed: on one machine or a campus network that would only make the comparison easy
            headers = {
                "Accept": "application/csv",
                "Accept-Encoding": "identity",
                "Authorization": f"Basic {login}",
            }

            def raw() -> int:
                with httpx.stream(
                    "GET", f"{server.url}/query", params=params, headers=headers, timeout=60
                ) as answer:
                    return sum(len(part) for part in answer.iter_raw())

            @contextmanager
            def query(influxql: str, _: str) -> Iterator[Iterator[bytes]]:
                yield store.query("anna", database_of("anna"), influxql)

            def frame(layout: str) -> None:
                table = reader.read(query, "temperature", start="2023-01-01", layout=layout)  # type: ignore[arg-type]  # one of the two
                assert table.notna().to_numpy().sum() == (rows if layout == "wide" else rows * 4)

            alone = best_of(3, raw)
            taken = {layout: best_of(3, lambda layout=layout: frame(layout)) for layout in ("wide", "long")}  # type: ignore[misc]  # mypy and default arguments of lambdas
            store.close()
    for layout, seconds in taken.items():
        print(f"{rows} rows, {layout}: {seconds:.2f} s; raw HTTP {alone:.2f} s; ratio {seconds / alone:.2f}")
    ratios = {layout: round(seconds / alone, 3) for layout, seconds in taken.items()}
    print(
        json.dumps(
            {"bench": "read", "rows": rows, "ratio": ratios["long"], "ratios": ratios, "against": "raw HTTP"}
        )
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
