"""`lab.provenance(df)` on a real InfluxDB and the real service: from a frame to the code that wrote it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from cyberlab.errors import NotFound, SpecRefused
from cyberlab.lab import Lab
from cyberlab.wire import API
from cyberlab_hub.ingest.influx1 import Influx1Store
from cyberlab_hub.ingest.store import database_of
from influx_server import Server, influxd  # noqa: F401 - a fixture
from service_lab import ServiceLab, service_lab, spec


@pytest.fixture
def service(influxd: Server, tmp_path: Path) -> Iterator[ServiceLab]:  # noqa: F811 - the fixture
    store = Influx1Store(influxd.url, influxd.password, tmp_path.name)
    store.set_up()
    with service_lab(tmp_path, store=store) as lab:
        yield lab
    store.close()


def measured(service: ServiceLab, device: str, deployment: str = "bed", measurement: str = "t") -> int:
    """Write one reading now, as the gateway would; its time."""
    at = time.time_ns()
    tags = f",deployment={deployment}" if deployment else ""
    line = f"{measurement},device={device}{tags},unit=C value=1 {at}"
    service.parts.store.ensure_owner("anna")
    assert not service.parts.store.write(database_of("anna"), line.encode())
    return at


def deploy(service: ServiceLab, image: str, *devices: str) -> None:
    wish = {"name": "bed", "image": image, "devices": list(devices)}
    job = service.ended(service.anna, service.anna.post("/deployments", json=wish).json()["id"])
    assert job["phase"] == "done", job


def test_each_version_for_its_own_readings(service: ServiceLab) -> None:
    service.built(service.anna, spec(text="print(1)"))
    deploy(service, "greenhouse:1", "pi01", "pi02")
    first = measured(service, "pi01")
    measured(service, "pi02")
    service.built(service.anna, spec(text="print(2)", env={"KEY": "secret"}))
    deploy(service, "greenhouse:2", "pi01")
    second = measured(service, "pi01")
    by_hand = measured(service, "garden-arduino", "")
    service.anna.delete("/deployments/bed")
    service.anna.delete("/images/greenhouse/1")
    service.anna.put("/shares/ben")
    url = f"{service.url}{API}"
    with Lab(url, "anna-token") as anna, Lab(url, "ben-token") as ben:
        frame = anna.read("t")
        assert [o.image for o in anna.provenance(frame) if o.image] == [
            "anna/greenhouse:1",
            "anna/greenhouse:2",
        ]
        only = anna.provenance(frame[frame.index == pd.Timestamp(second, tz="UTC")])
        assert [o.image for o in only] == ["anna/greenhouse:2"]
        assert only[0].spec["env"] == {"KEY": "secret"}
        assert [file.text for file in anna.source(only[0]).files] == ["print(2)"]
        assert "print" in only._repr_html_() or "greenhouse:2" in only._repr_html_()
        old = frame[["pi02"]].dropna()
        assert [o.image for o in anna.provenance(old)] == ["anna/greenhouse:1"]
        assert [file.text for file in anna.source(anna.provenance(old)[0]).files] == ["print(1)"]
        (thing,) = anna.provenance(frame[frame.index == pd.Timestamp(by_hand, tz="UTC")])
        assert (thing.kind, thing.devices) == ("device", ("garden-arduino",))
        long = anna.read("t", layout="long", where={"deployment": "bed"})
        assert len(anna.provenance(long[long.index == pd.Timestamp(first, tz="UTC")])) == 1
        means = anna.read("t", every="1h", devices=["pi01"], start="-1d")
        assert [o.image for o in anna.provenance(means)] == ["anna/greenhouse:1", "anna/greenhouse:2"]
        hers = ben.read("t", db="anna")
        assert ben.provenance(hers)[-1].spec["env"] == {"KEY": "(hidden)"}
        anna.unshare("ben")
        with pytest.raises(NotFound):
            ben.provenance(ben_long(hers))
        assert anna.provenance(frame.iloc[:0]) == []
        with pytest.raises(SpecRefused, match=r"lab\.read gave"):
            anna.provenance(pd.DataFrame({"x": [1]}))


def ben_long(frame: pd.DataFrame) -> pd.DataFrame:
    """As if it had been read long: the database itself is not asked again."""
    return frame.assign(deployment="bed", device="pi01")


def test_readings_older_than_the_history(service: ServiceLab) -> None:
    measured(service, "pi01", "forgotten", "u")
    with Lab(f"{service.url}{API}", "anna-token") as lab:
        frame = lab.read("u")
        with pytest.raises(NotFound) as refusal:
            lab.provenance(frame)
        assert refusal.value.code == "origin-unknown"
        measured(service, "pi01", "notebook", "u")
        with pytest.warns(UserWarning, match="Of a part"):
            assert [o.kind for o in lab.provenance(lab.read("u"))] == ["notebook"]
