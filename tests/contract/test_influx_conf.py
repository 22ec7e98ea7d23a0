"""The shipped configuration of InfluxDB holds what it says: on a real server that was started with it."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

import pytest
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import Selection, database_of
from influx_server import Server, free_port, need_influxd

SHIPPED = Path(__file__).parents[2] / "spawner_images/influxdb/influxdb.conf"
LIMIT = 500
T = 1_700_000_000_000_000_000


def test_a_database_has_so_many_series_and_no_more(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    need_influxd(request)
    port = free_port()
    text = SHIPPED.read_text().replace("/var/lib/influxdb", str(tmp_path))
    text = text.replace("127.0.0.1:8088", f"127.0.0.1:{free_port()}").replace(":8086", f"127.0.0.1:{port}")
    text, found = re.subn(r"(max-series-per-database =) \d+", rf"\1 {LIMIT}", text)
    assert found == 1
    (tmp_path / "influxd.conf").write_text(text)
    server = Server(port, tmp_path, secrets.token_hex(8))
    with server.running():
        store = Influx1Store(server.url, server.password, "derive")
        store.set_up()
        store.ensure_owner("anna")
        database = database_of("anna")
        lines = [f"t,room=r{n} value=1 {T}" for n in range(LIMIT + 100)]
        refused = store.write(database, "\n".join(lines).encode())
        assert refused
        assert "max-series-per-database" in refused[0].reason
        assert store.count(database, Selection(0, 2**62)) == LIMIT
        assert not store.write(database, f"t,room=r0 value=2 {T + 1}".encode()), "what there is goes on"
        store.close()
