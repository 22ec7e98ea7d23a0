"""Reading 1 M rows (2 tags, 2 fields) into a DataFrame: `lab.read` against the raw HTTP transfer of the same rows,
the 1.x client's `DataFrameClient`, and the official client's parser on the same rows in annotated CSV.

python bench/read.py [rows]

Runs an InfluxDB 1.x of its own. Each contender runs in a process of its own, so that its peak memory is its own:
`peak_mb` is what the process held at most, minus what it held when everything was imported. No two readings have the
same time, the worst for the wide layout: a row and 40 cells for each. For "wide, together" the devices measure at the
same moments. The official client
speaks to 2.x; its parser is given the rows as 2.x would send them, from memory: no network, which favours it. It and
`DataFrameClient` run once, the others three times of which the best counts.
"""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "contract"))

T = 1_700_000_000_000_000_000
DEVICES = 20
QUESTION = 'SELECT "value"::field, "humidity"::field FROM "temperature" GROUP BY *'
ONCE = ("official", "dataframeclient")


def held_mb(what: str) -> float:
    """``VmRSS``: held now; ``VmHWM``: at most since `forget`."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith(what))


def forget() -> None:
    """Begin to watch the peak anew: a child process inherits that of its parent."""
    Path("/proc/self/clear_refs").write_text("5")


# ---------------------------------------------------------------- contenders: each runs alone in a child process
def raw(where: dict[str, Any]) -> Callable[[], int]:
    """Only the transfer: bytes are counted and thrown away."""
    params = {"db": where["database"], "q": QUESTION, "epoch": "ns", "chunked": "true"}

    def work() -> int:
        with httpx.stream(
            "GET", f"{where['url']}/query", params=params, headers=headers(where), timeout=120
        ) as got:
            return int(sum(len(part) for part in got.iter_raw()) > 0) * int(where["rows"])

    return work


def lab(
    layout: str, engine: str = "pandas", chunks: int | None = None, measurement: str = "temperature"
) -> Callable[[dict[str, Any]], Callable[[], int]]:
    def prepared(where: dict[str, Any]) -> Callable[[], int]:
        from cyberlab import pieces, reader
        from cyberlab_hub.ingest.influx1 import Influx1Store

        store = Influx1Store(where["url"], where["password"], "derive")
        store.ensure_owner("anna")

        @contextmanager
        def query(influxql: str, _: str) -> Iterator[Iterator[bytes]]:
            yield store.query("anna", where["database"], influxql)

        def work() -> int:
            arguments: dict[str, Any] = {"start": "2023-01-01", "layout": layout, "engine": engine}
            if chunks is not None:
                return sum(len(part) for part in pieces.pieces(query, measurement, chunks, **arguments))
            table = reader.read(query, measurement, **arguments)
            return int(table.notna().to_numpy().sum()) // 2 if layout == "wide" else len(table)

        if engine != "pandas":
            __import__("pyarrow"), __import__("polars")
        return work

    return prepared


def dataframeclient(where: dict[str, Any]) -> Callable[[], int]:
    from influxdb import DataFrameClient

    address = urlparse(where["url"])
    client = DataFrameClient(address.hostname, address.port, "admin", where["password"], where["database"])
    # whole numbers for times: it trips over its own texts where some of them have no fraction of a second
    return lambda: sum(len(frame) for frame in client.query(QUESTION, epoch="ns").values())


def official(where: dict[str, Any]) -> Callable[[], int]:
    import urllib3
    from influxdb_client.client.flux_csv_parser import FluxCsvParser, FluxSerializationMode
    from influxdb_client.client.query_api import QueryOptions

    text = Path(where["annotated"]).read_bytes()

    def work() -> int:
        answer = urllib3.HTTPResponse(body=io.BytesIO(text), preload_content=False)
        parser = FluxCsvParser(
            response=answer,
            serialization_mode=FluxSerializationMode.dataFrame,
            query_options=QueryOptions(),
        )
        with parser:
            return sum(len(frame) for frame in parser.generator())

    return work


CONTENDERS: dict[str, Callable[[dict[str, Any]], Callable[[], int]]] = {
    "raw": raw,
    "long": lab("long"),
    "wide": lab("wide"),
    "wide, together": lab("wide", measurement="together"),
    "chunks": lab("long", chunks=100_000),
    "arrow": lab("long", "arrow"),
    "polars": lab("long", "polars"),
    "dataframeclient": dataframeclient,
    "official": official,
}


def child(name: str, where: dict[str, Any]) -> None:
    """Run one contender and say how it went, as JSON."""
    warnings.simplefilter("ignore")  # the older clients warn of pandas' future
    work = CONTENDERS[name](where)
    import pandas  # noqa: F401 - everybody has it; what importing it holds is not counted

    forget()
    before = held_mb("VmRSS")
    seconds = []
    for _ in range(1 if name in ONCE else 3):
        begun = time.perf_counter()
        rows = work()
        seconds.append(time.perf_counter() - begun)
        assert rows == where["rows"], f"{name} found {rows} rows"
    print(json.dumps({"seconds": min(seconds), "peak_mb": round(held_mb("VmHWM") - before)}))


def headers(where: dict[str, Any]) -> dict[str, str]:
    login = base64.b64encode(f"admin:{where['password']}".encode()).decode()
    # not compressed: on one machine or a campus network that would only make the comparison easy
    return {"Accept": "application/csv", "Accept-Encoding": "identity", "Authorization": f"Basic {login}"}


# ---------------------------------------------------------------- the rows
def readings(rows: int) -> Iterator[tuple[int, float, float, int]]:
    """Device, temperature, humidity, time in nanoseconds."""
    for i in range(rows):
        yield i % DEVICES, i % 977 / 16, 40 + i % 613 / 32, T + i * 10**6


def fill(where: dict[str, Any]) -> None:
    from cyberlab_hub.ingest.influx1 import Influx1Store

    store = Influx1Store(where["url"], where["password"], "derive")
    store.set_up()
    store.ensure_owner("anna")
    lines: list[str] = []
    for device, value, humidity, at in readings(where["rows"]):
        lines.append(f"temperature,device=pi{device:02d},unit=C value={value},humidity={humidity} {at}")
        together = T + (at - T) // (DEVICES * 10**6) * DEVICES * 10**6
        lines.append(f"together,device=pi{device:02d},unit=C value={value},humidity={humidity} {together}")
        if len(lines) == 10_000:
            store.write(where["database"], "\n".join(lines).encode())
            lines.clear()
    store.write(where["database"], "\n".join(lines).encode())
    store.close()


def annotate(where: dict[str, Any]) -> None:
    """The same rows as 2.x answers a pivoted Flux query: one table a series."""
    head = (
        "#datatype,string,long,dateTime:RFC3339,string,string,string,double,double\r\n"
        "#group,false,false,false,true,true,true,false,false\r\n#default,_result,,,,,,,\r\n"
        ",result,table,_time,_measurement,device,unit,value,humidity\r\n"
    )
    tables: list[list[str]] = [[] for _ in range(DEVICES)]
    for device, value, humidity, at in readings(where["rows"]):
        moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at // 10**9))}.{at % 10**9:09d}Z"
        tables[device].append(f",,{device},{moment},temperature,pi{device:02d},C,{value},{humidity}\r\n")
    with Path(where["annotated"]).open("w", newline="") as file:
        file.write(head)
        for table in tables:
            file.writelines(table)
        file.write("\r\n")


def main(rows: int) -> None:
    from cyberlab_hub.ingest.store import database_of
    from influx_server import make_server

    with tempfile.TemporaryDirectory() as folder:
        server = make_server(Path(folder))
        with server.running():
            where = {
                "url": server.url,
                "password": server.password,
                "database": database_of("anna"),
                "annotated": f"{folder}/annotated.csv",
                "rows": rows,
            }
            fill(where)
            annotate(where)
            found = {}
            for name in CONTENDERS:
                command = [sys.executable, __file__, "--child", name, json.dumps(where)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                found[name] = json.loads(done.stdout)
    alone = found["raw"]["seconds"]
    ours = found["long"]["seconds"]
    for name, one in found.items():
        print(
            f"{name:16} {one['seconds']:7.2f} s {one['seconds'] / alone:7.2f} times raw HTTP"
            f" {one['seconds'] / ours:7.2f} times lab.read(layout='long') {one['peak_mb']:6} MB"
        )
    print(
        json.dumps(
            {
                "bench": "read",
                "rows": rows,
                "ratio": round(ours / alone, 3),
                "against": "raw HTTP",
                "ratios": {name: round(one["seconds"] / alone, 3) for name, one in found.items()},
                "dataframeclient_over_ours": round(found["dataframeclient"]["seconds"] / ours, 2),
                "official_parser_over_ours": round(found["official"]["seconds"] / ours, 2),
                "peak_mb": {name: one["peak_mb"] for name, one in found.items()},
            }
        )
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], json.loads(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
