"""``python3 -m cyberlab_edge.agent --config /etc/cyberlab/agent.json``: until SIGTERM.

The lab's program on a device: reads how the device is, takes the points of its containers, keeps both in the spool,
and brings them to the lab.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from cyberlab_edge.agent.config import Config, load
from cyberlab_edge.agent.intake import Intake
from cyberlab_edge.agent.link import Link
from cyberlab_edge.points import reading
from cyberlab_edge.sensors.machine import Machine
from cyberlab_edge.spool import Spool, SpoolFull

DEVICE = ""
"""The device itself, as a sender."""
log = logging.getLogger("cyberlab_edge.agent")


async def run(config: Config, stop: asyncio.Event) -> None:
    """Report, take in and send until `stop`.

    Raises:
        OSError, sqlite3.Error: the spool's folder or the intake's port cannot be used.
    """
    spool = Spool(Path(config.spool), limit_bytes=config.spool_mb * 1_000_000, on_put=lambda: link.wake())
    link = Link(config, spool)
    intake = Intake(config.intake_address, spool, link) if config.intake else None
    ended = threading.Event()
    threads = [threading.Thread(target=report, args=(config, spool, ended), daemon=True)]
    if intake is not None:
        threads.append(threading.Thread(target=intake.serve_forever, daemon=True))
    for thread in threads:
        thread.start()
    sending = asyncio.create_task(link.run())
    try:
        await stop.wait()
    finally:
        ended.set()
        sending.cancel()
        if intake is not None:
            await asyncio.to_thread(intake.shutdown)
            intake.server_close()
        spool.close()


def report(config: Config, spool: Spool, ended: threading.Event) -> None:
    """Put ``system`` into the spool every interval until `ended`."""
    machine = Machine(boxed=config.simulated)
    machine.read()  # starts the measuring of the CPU
    due = time.monotonic()
    while True:
        due = max(due + config.interval_s, time.monotonic())
        if ended.wait(due - time.monotonic()):
            return
        try:
            line = reading("system", machine.read(), at=time.time_ns()).line()
            spool.put(DEVICE, line.encode())
        except SpoolFull as error:
            log.warning("a report of the device itself is lost: %s", error)
        except OSError as error:
            log.warning("cannot read the machine: %s", error)


async def _until_told(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run(config, stop)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m cyberlab_edge.agent",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("/etc/cyberlab/agent.json"),
        help="written by the lab when it enrols",
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        config = load(args.config)
        log.info("%s reports to %s every %g s", config.device, config.uplink, config.interval_s)
        asyncio.run(_until_told(config))
    except (ValueError, OSError, sqlite3.Error) as error:
        log.error("%s", error)  # noqa: TRY400 - a wrong file or a full disk, not a bug: no traceback
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
