"""``python3 -m cyberlab_edge.agent --config /etc/cyberlab/agent.json``: report the device until SIGTERM."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from cyberlab_edge.agent.config import Config, load
from cyberlab_edge.outbox import Outbox
from cyberlab_edge.points import reading
from cyberlab_edge.sensors.machine import Machine
from cyberlab_edge.uplink import Uplink

LAST_WORDS = 0.5
"""Seconds for what is unsent when told to stop."""
QUEUE = 20_000
"""Points kept while the gateway is away: more than a day at the usual interval."""
log = logging.getLogger("cyberlab_edge.agent")


def run(config: Config, stop: threading.Event) -> None:
    """Publish ``system`` every interval until `stop`."""
    uplink = Uplink(
        config.gateway, device=config.device, token_file=config.token_file, ca_file=config.ca_file
    )
    outbox = Outbox(uplink.send, limit=QUEUE)
    machine = Machine(boxed=config.simulated)
    machine.read()  # starts the measuring of the CPU
    due = time.monotonic()
    while True:
        due = max(due + config.interval_s, time.monotonic())
        if stop.wait(due - time.monotonic()):
            break
        try:
            fields = machine.read()
        except OSError as error:
            log.warning("cannot read the machine: %s", error)
            continue
        outbox.put(reading("system", fields, at=time.time_ns()))
    outbox.close(LAST_WORDS)
    uplink.close()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python3 -m cyberlab_edge.agent", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path("/etc/cyberlab/agent.json"))
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        config = load(args.config)
        log.info("%s reports to %s every %g s", config.device, config.gateway, config.interval_s)
        run(config, stop)
    except ValueError as error:
        log.error("%s", error)  # noqa: TRY400 - a wrong file, not a bug: no traceback
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
