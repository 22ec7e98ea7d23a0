"""``python3 -m cyberlab_edge.sensors.replay``: publish a recording until stopped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from cyberlab_edge.publish import publish
from cyberlab_edge.sensors.recorded import RECORDINGS, replay


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m cyberlab_edge.sensors.replay", description=__doc__)
    parser.add_argument("recording", nargs="?", default="sf-temps", choices=sorted(RECORDINGS))
    parser.add_argument(
        "--speed", type=float, default=3600.0, help="recorded seconds per second (default 3600)"
    )
    parser.add_argument("--unit", choices=("C", "F"), default="C")
    parser.add_argument("--start", type=int, default=0, help="skip that many readings")
    parser.add_argument("--once", action="store_true", help="stop at the end of the recording")
    args = parser.parse_args(argv)
    try:
        readings = replay(
            args.recording, speed=args.speed, loop=not args.once, unit=args.unit, start=args.start
        )
        for reading in readings:
            publish(reading.name, reading.value, reading.unit, sensor=args.recording)
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
