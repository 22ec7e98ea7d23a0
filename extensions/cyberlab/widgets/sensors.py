"""`SensorDashboard`: readings live, in a notebook or as a page of its own (Voila).

A thread looks every second or two, and only while somebody watches: the page sends a beat every five seconds
as long as it is visible. Without beats the thread ends, so that the kernel of a closed page becomes idle and is
culled (Voila itself leaves it running), and a hidden tab asks the database nothing. The next beat starts it again.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from cyberlab.errors import LabError
from cyberlab.widgets import handing
from cyberlab.widgets.anyshell import answer_in_any_shell
from cyberlab.widgets.series import LAST_SECONDS, SPANS, Span, columns, telling, tiles

if TYPE_CHECKING:
    import pandas as pd

    from cyberlab.lab import Lab

HERE = Path(__file__).parent
BEAT_OVER = 15.0
"""Seconds without a beat after which nobody watches."""
CHOICES_SECONDS = 15.0


class SensorDashboard(anywidget.AnyWidget):
    """Pick data, measurement and time range; see a live chart and a tile for each device."""

    _esm = HERE / "sensors.js"
    _css = HERE / "sensors.css"

    spans = traitlets.List([{"name": s.name, "title": s.title} for s in SPANS.values()]).tag(sync=True)
    choices: traitlets.Dict[str, Any] = traitlets.Dict({"databases": [], "measurements": []}).tag(sync=True)
    picked = traitlets.Dict().tag(sync=True)
    series = traitlets.Dict({"t": [], "lines": [], "tiles": [], "unit": ""}).tag(sync=True)
    status = traitlets.Dict({"kind": "loading", "text": ""}).tag(sync=True)

    def __init__(
        self, lab: Lab, measurement: str = "temperature", span: str = "10m", db: str = "mine"
    ) -> None:
        """
        Raises:
            ValueError: there is no such time range.
        """
        if span not in SPANS:
            raise ValueError(f"There is no time range {span!r}. Choose one of {', '.join(SPANS)}.")
        super().__init__(picked={"db": db, "measurement": measurement, "field": "value", "span": span})
        self._lab = lab
        self._lock = threading.RLock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._beat_at = 0.0
        self._choices_at = 0.0
        self._user_picked = False
        self._wishes: dict[str, Callable[..., None]] = {
            "beat": self._do_beat,
            "pick": self._do_pick,
            "csv": self._do_csv,
            "parquet": self._do_parquet,
            "origins": self._do_origins,
        }
        self.on_msg(self._on_message)
        answer_in_any_shell(self)

    @property
    def watched(self) -> bool:
        """Whether the loop runs."""
        return self._thread is not None and self._thread.is_alive()

    # ------------------------------------------------------------ wishes from the browser
    def _on_message(self, _widget: object, content: dict[str, Any], _buffers: Sequence[memoryview]) -> None:
        wish = self._wishes.get(content.get("do", ""))
        if wish is not None:
            wish(**{key: value for key, value in content.items() if key != "do"})

    def _do_beat(self) -> None:
        with self._lock:
            self._beat_at = time.monotonic()
            if not self.watched:
                self._thread = threading.Thread(target=self._loop, daemon=True)
                self._thread.start()

    def _do_pick(self, **changes: str) -> None:
        with self._lock:
            picked = {
                **self.picked,
                **{k: v for k, v in changes.items() if k in self.picked and isinstance(v, str)},
            }
            if picked["span"] not in SPANS:
                return
            if changes.get("db", self.picked["db"]) != self.picked["db"]:
                self._choices_at = 0.0
            self._user_picked = self._user_picked or "measurement" in changes
            if "measurement" in changes and "field" not in changes:
                picked["field"] = self._first_field(picked["measurement"])
            self.picked = picked
            self.status = {"kind": "loading", "text": ""}
        self._wake.set()

    def _do_csv(self) -> None:
        self._hand_over_later(handing.csv)

    def _do_parquet(self) -> None:
        self._hand_over_later(handing.parquet)

    def _do_origins(self) -> None:
        self._hand_over_later(lambda frame, _name: handing.origins(self._lab, frame))

    def _hand_over_later(
        self, made: Callable[[pd.DataFrame, str], tuple[dict[str, Any], list[bytes]]]
    ) -> None:
        threading.Thread(target=self._hand_over, args=(made,), daemon=True).start()

    # ------------------------------------------------------------ the loop
    def _loop(self) -> None:
        while time.monotonic() - self._beat_at < BEAT_OVER:
            self._wake.clear()
            self.look()
            self._wake.wait(SPANS[self.picked["span"]].refresh)

    def look(self) -> None:
        """Ask the lab once and show the answer; what goes wrong is shown as well."""
        picked = dict(self.picked)
        try:
            self._look_for_choices(picked["db"])
            picked = dict(self.picked)
            series = self._read(picked, SPANS[picked["span"]])
        except LabError as error:
            self.status = {"kind": "error", "text": error.message}
            return
        with self._lock:
            if picked != self.picked:
                return  # an answer to the question before last
            self.series = series
            self.status = {"kind": "live" if series["tiles"] else "empty", "text": ""}

    def _read(self, picked: dict[str, str], span: Span) -> dict[str, Any]:
        from cyberlab.reader import NothingRead  # pandas takes a second to load, and not while a form opens

        field = picked["field"]

        def read(seconds: int, every: str | None) -> pd.DataFrame:
            name, db = picked["measurement"], picked["db"]
            with warnings.catch_warnings():
                # nothing to see is a state of this page, not a warning in somebody's notebook
                warnings.simplefilter("ignore", NothingRead)
                return self._lab.read(name, field, start=f"-{seconds}s", every=every, layout="long", db=db)

        known = [m["measurement"] for m in self.choices["measurements"]]
        now = time.time_ns() // 1_000_000
        if picked["measurement"] not in known:
            return {"t": [], "lines": [], "tiles": [], "unit": "", "now": now, "seconds": span.seconds}
        means = read(span.seconds, f"{span.every}s")
        latest = read(LAST_SECONDS, None)
        apart = telling(means)
        series = columns(means, field, apart)
        unit = latest.attrs.get("units", {}).get(field) or means.attrs.get("units", {}).get(field) or ""
        return {
            **series,
            "tiles": tiles(series, latest, field, apart),
            "unit": unit,
            "now": now,
            "seconds": span.seconds,
            "every": span.every,
        }

    def _look_for_choices(self, db: str) -> None:
        """Which databases and measurements there are: now and then, and each time while there is nothing to see."""
        if self.status["kind"] == "live" and time.monotonic() - self._choices_at < CHOICES_SECONDS:
            return
        shared = sorted({share.owner for share in self._lab.shares() if share.owner != self._lab.user})
        databases = [
            {"name": "mine", "title": "My readings"},
            {"name": "fleet", "title": "The devices themselves"},
        ]
        databases += [{"name": owner, "title": f"Shared by {owner}"} for owner in shared]
        measurements = [
            {"measurement": m.measurement, "fields": list(m.fields)} for m in self._lab.measurements(db=db)
        ]
        with self._lock:
            self.choices = {"databases": databases, "measurements": measurements}
            self._choices_at = time.monotonic()
            self._settle(measurements)

    def _settle(self, measurements: list[dict[str, Any]]) -> None:
        """Show something that exists: the wished measurement may not (yet) be in this database."""
        names = [m["measurement"] for m in measurements]
        picked = self.picked
        if names and picked["measurement"] not in names and (self._user_picked or picked["db"] != "mine"):
            picked = {**picked, "measurement": names[0]}
        if picked["measurement"] in names:
            fields = next(m["fields"] for m in measurements if m["measurement"] == picked["measurement"])
            if fields and picked["field"] not in fields:
                picked = {**picked, "field": fields[0]}
        if picked != self.picked:
            self.picked = picked

    def _first_field(self, measurement: str) -> str:
        for known in self.choices["measurements"]:
            if known["measurement"] == measurement and known["fields"]:
                return "value" if "value" in known["fields"] else str(known["fields"][0])
        return "value"

    def _hand_over(self, made: Callable[[pd.DataFrame, str], tuple[dict[str, Any], list[bytes]]]) -> None:
        """Every reading of the range, handed over as `made` says; means when a spreadsheet could not hold all."""
        picked, span = dict(self.picked), SPANS[self.picked["span"]]
        try:
            frame = self._lab.read(
                picked["measurement"],
                start=f"-{span.seconds}s",
                layout="long",
                db=picked["db"],
                every=_thinned(span),
            )
            message, buffers = made(frame, f"{picked['measurement']}-{picked['span']}")
        except LabError as error:
            self.send({"error": error.message})
            return
        self.send(message, buffers)


def _thinned(span: Span) -> str | None:
    """A day of 150 sensors at 1 Hz is 13 million readings: from a day on, the means that the chart shows."""
    return None if span.seconds < SPANS["1d"].seconds else f"{span.every}s"
