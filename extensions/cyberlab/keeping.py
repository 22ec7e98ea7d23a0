"""`Keeping`: the part of the `Lab` that exports, keeps, averages and forgets readings."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyberlab.influxql import moment_ns
from cyberlab.tables import Table
from cyberlab.wire import Device
from cyberlab.wire_keep import ForgetWish, Forgotten, MeansRule, MeansStop, MeansWish, RetentionWish, Storage

if TYPE_CHECKING:
    from cyberlab.transport import Transport

EARLIEST, LATEST = -(2**63) + 2, 2**63 - 2
"""The times that InfluxDB can keep."""
PIECE = 100_000


class Keeping:
    _transport: Transport

    def export(self, measurement: str, path: str | Path, **arguments: Any) -> Path:
        """Every reading of a time range as one file, ``.csv`` or ``.parquet``, however many there are: it is written
        piece by piece. Times are UTC with nanoseconds. Gives the absolute path.

        Args:
            arguments: those of `read`, without `chunks` and `engine`; `layout` is ``long`` if you give none.

        Raises:
            SpecRefused: ``file-kind-unknown``. LabError: ``file-unwritable``. And as `read`.
        """
        from cyberlab.export import save_pieces  # pandas takes a second to load

        target = Path(path).expanduser().resolve()
        pieces: Any = self.read(measurement, **{"layout": "long", **arguments}, chunks=PIECE)  # type: ignore[attr-defined]  # `Data` has it
        save_pieces(pieces, target)
        return target

    def storage(self) -> Storage:
        """How much space your readings take up, and how long they are kept."""
        return self._transport.get("/storage", Storage)

    def keep(self, days: int | None, *, really: bool = False) -> Forgotten:
        """Keep your readings for `days` days and delete older ones, now and from now on. None: as long as your quota
        lets you. Without ``really=True`` nothing happens: you are told how many readings would be deleted now.

        Raises:
            OverQuota: ``quota-days``.
        """
        return self._send("PUT", "/storage/retention", RetentionWish(days=days, really=really))

    def downsample(self, measurement: str, every: str | None, days: int | None = None) -> Table[MeansRule]:
        """Make means of your readings: ``lab.downsample("air", every="1h", days=730)`` fills ``air_1h``, of what is
        there (in the background: `storage` shows how far it is) and of what comes. In it a field has its mean,
        `value_min`, `value_max` and `value_count` the rest; the tags stay. `keep` does not touch it.

        Args:
            every: 1m, 5m, 10m, 15m, 30m, 1h, 3h, 6h, 12h or 1d. None: stop; what was made stays.
            days: How long the means are kept. None: as long as your quota `mean_days` lets you.

        Raises:
            SpecRefused: ``every-invalid``, ``means-of-means``. NotFound: ``measurement-unknown``, ``rule-unknown``.
            Conflict: ``target-exists``. OverQuota: ``quota-means``, ``quota-mean_days``.
        """
        if every is None:
            stop = MeansStop(measurement=measurement).model_dump_json().encode()
            stopped = self._transport.post("/storage/means/stop", tuple[MeansRule, ...], stop)
            return Table(MeansRule, stopped)
        wish = MeansWish(measurement=measurement, every=every, days=days).model_dump_json().encode()
        return Table(MeansRule, [self._transport.put("/storage/means", MeansRule, wish)])

    def forget(
        self,
        measurement: str,
        start: str | datetime | None = None,
        stop: str | datetime | None = None,
        devices: Iterable[Device | str] | str | None = None,
        *,
        means: bool = True,
        really: bool = False,
    ) -> Forgotten:
        """Delete readings of yours: those of a measurement, from `start` up to (not including) `stop`, of some devices
        or all; and the means that were made of them, unless ``means=False``. It cannot be undone. Without
        ``really=True`` nothing happens: you are told how many it would be.
        """
        from cyberlab.data import names

        now = time.time_ns()
        wish = ForgetWish(
            measurement=measurement,
            start=EARLIEST if start is None else moment_ns(start, now),
            stop=LATEST if stop is None else moment_ns(stop, now),
            devices=() if devices is None else names(devices),
            means=means,
            really=really,
        )
        return self._send("POST", "/storage/forget", wish)

    def _send(self, method: str, path: str, wish: RetentionWish | ForgetWish) -> Forgotten:
        body = wish.model_dump_json().encode()
        if method == "PUT":
            return self._transport.put(path, Forgotten, body)
        return self._transport.post(path, Forgotten, body, timeout=300)
