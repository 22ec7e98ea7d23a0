"""`replay`: real recorded readings, at any speed.

``sf-temps`` is the temperature in San Francisco, every hour of 2010 (8,759 readings), in degrees Fahrenheit. The
file comes with the Python package ``vega-datasets``; only the file is used, so pandas is not needed.
"""

from __future__ import annotations

import csv
import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from itertools import count
from pathlib import Path

from cyberlab_edge.sensors.reading import Reading


@dataclass(frozen=True)
class Recording:
    package: str
    install: str
    """What to install when the package is missing."""
    file: str
    """Inside the package."""
    name: str
    unit: str
    zone: timezone


RECORDINGS = {
    "sf-temps": Recording(
        package="vega_datasets",
        install="vega-datasets",
        file="_data/sf-temps.csv",
        name="temperature",
        unit="F",
        # the file knows no summer time: local standard time
        zone=timezone(timedelta(hours=-8)),
    )
}


def replay(
    recording: str = "sf-temps",
    *,
    speed: float = 3600.0,
    loop: bool = True,
    unit: str = "C",
    start: int = 0,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Reading]:
    """Play a recording: one `Reading` after the other, each when it is due.

    `speed`: recorded seconds in each real second; 3600 turns hourly readings into one a second. `loop`: begin again
    at the end. `unit`: ``C`` or, as recorded, ``F``. `start`: skip that many readings, so that several devices
    do not all say the same. Publish without `at`: the reading is new now.

    Raises:
        ValueError: an argument is not possible; says what is.
        FileNotFoundError: the package with the recording is not installed; says how to install it.
    """
    if recording not in RECORDINGS:
        raise ValueError(f"There is no recording {recording!r}; there are: {', '.join(RECORDINGS)}.")
    if not speed > 0:
        raise ValueError(f"speed must be above 0 recorded seconds per second, not {speed!r}.")
    if unit not in ("C", "F"):
        raise ValueError(f"unit is 'C' or 'F', not {unit!r}.")
    what = RECORDINGS[recording]
    rows = _rows(what)
    # arguments and file are checked by the call itself, not by the first reading
    return _play(what, rows, speed, loop, unit, start % len(rows), sleep, clock)


def _play(
    what: Recording,
    rows: list[tuple[datetime, float]],
    speed: float,
    loop: bool,
    unit: str,
    start: int,
    sleep: Callable[[float], None],
    clock: Callable[[], float],
) -> Iterator[Reading]:
    convert = partial(_celsius, digits=2) if unit == "C" else float
    due = clock()
    for number in count(start):
        if number >= len(rows) and not loop:
            return
        at, value = rows[number % len(rows)]
        if number > start:
            before = rows[(number - 1) % len(rows)][0]
            # from the last row to the first of the next round: as between the first two
            step = (at - before) if at > before else rows[1][0] - rows[0][0]
            due += step.total_seconds() / speed
        if (wait := due - clock()) > 0:
            sleep(wait)
        else:
            due = clock()  # whoever reads us was slow: go on from here instead of rushing after it
        yield Reading(convert(value), unit, at, what.name)


def _celsius(fahrenheit: float, digits: int) -> float:
    return round((fahrenheit - 32) / 1.8, digits)


def _rows(what: Recording) -> list[tuple[datetime, float]]:
    with _file(what).open(newline="", encoding="utf-8") as file:
        return [
            (
                datetime.strptime(row["date"], "%Y/%m/%d %H:%M:%S").replace(tzinfo=what.zone),
                float(row["temp"]),
            )
            for row in csv.DictReader(file)
        ]


def _file(what: Recording) -> Path:
    spec = importlib.util.find_spec(what.package)
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        path = Path(folder) / what.file
        if path.is_file():
            return path
    raise FileNotFoundError(
        f"The recording is a file of the Python package {what.install!r}, which is not installed here. "
        f"Add {what.install} to the libraries of the image (pip), or run: pip install {what.install}"
    )
